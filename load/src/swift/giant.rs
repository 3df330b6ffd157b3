//! One blob beyond the size of an object that Swift takes, made of one block in memory.

use wharfinger_oci::{Algorithm, Digest, Hasher};

use crate::content::random_bytes;

/// Bytes of the block.
const BLOCK: usize = 64 << 20;
/// Bytes at the start of each repetition that make it unlike the others.
const STAMP: usize = 64;

/// A block, again and again, each time with another beginning.
pub(crate) struct Giant {
    block: Vec<u8>,
    stamps: Vec<Vec<u8>>,
    /// Of the whole.
    pub(crate) digest: Digest,
}

impl Giant {
    /// A blob of `size` bytes, rounded down to whole blocks of 64 MiB but at least one.
    pub(crate) fn new(size: u64, seed: u64) -> Giant {
        let count = (size / BLOCK as u64).max(1);
        let block = random_bytes(BLOCK - STAMP, seed);
        let stamps: Vec<Vec<u8>> = (0..count).map(|number| random_bytes(STAMP, seed + 1 + number)).collect();
        let mut hasher = Hasher::new(Algorithm::Sha256);
        for stamp in &stamps {
            hasher.update(stamp);
            hasher.update(&block);
        }
        Giant { block, stamps, digest: hasher.finish() }
    }

    /// The whole blob in its parts.
    pub(crate) fn parts(&self) -> Vec<&[u8]> {
        self.stamps.iter().flat_map(|stamp| [&stamp[..], &self.block[..]]).collect()
    }

    /// Bytes of the whole.
    pub(crate) fn size(&self) -> u64 {
        (self.stamps.len() * BLOCK) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_giant_are_the_whole_and_no_block_is_like_another() {
        let giant = Giant::new(2 * BLOCK as u64 + 1, 5);
        let whole = giant.parts().concat();
        assert_eq!((whole.len() as u64, giant.size()), (2 * BLOCK as u64, 2 * BLOCK as u64));
        assert_eq!(Digest::sha256(&whole), giant.digest);
        assert!(whole[..BLOCK] != whole[BLOCK..]);
    }
}
