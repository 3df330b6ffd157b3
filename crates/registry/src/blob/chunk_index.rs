//! The chunk index of a blob: a CRC32C for every mebibyte, so that any part of it is checked on every read.
//!
//! Written when the content has been proved by its digest: at push, or at the first whole read of a blob that
//! another registry wrote. Blobs that suit being held in memory (`Shape::small`) have none: they are hashed on each read.
//!
//! | bytes | content, numbers little-endian |
//! |---|---|
//! | 4 | `WCI1` |
//! | 4 | chunk size in bytes |
//! | 8 | size of the blob in bytes |
//! | 4 each | CRC32C of each chunk, the last one may be shorter |
//! | 4 | CRC32C of everything before |

use crc_fast::CrcAlgorithm::Crc32Iscsi;

/// Bytes in a chunk.
pub const CHUNK: u64 = 1024 * 1024;

const MAGIC: &[u8; 4] = b"WCI1";
const HEADER: usize = 16;

/// CRC32C (Castagnoli, RFC 3720) of some bytes.
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::checksum(Crc32Iscsi, bytes) as u32
}

/// Checksums of a blob's chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkIndex {
    size: u64,
    checksums: Vec<u32>,
}

impl ChunkIndex {
    /// Size of the blob in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The checksum of the chunk that begins at `chunk * CHUNK`.
    pub fn checksum(&self, chunk: u64) -> Option<u32> {
        self.checksums.get(usize::try_from(chunk).ok()?).copied()
    }

    /// Bytes that the index takes in memory.
    pub(crate) fn memory(&self) -> u64 {
        self.checksums.len() as u64 * 4
    }

    /// The largest that an index of a blob of `size` bytes is, in bytes.
    pub fn encoded_size(size: u64) -> usize {
        usize::try_from(size.div_ceil(CHUNK)).unwrap_or(usize::MAX / 8) * 4 + HEADER + 4
    }

    /// The index as it is stored.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(Self::encoded_size(self.size));
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&(CHUNK as u32).to_le_bytes());
        out.extend_from_slice(&self.size.to_le_bytes());
        for checksum in &self.checksums {
            out.extend_from_slice(&checksum.to_le_bytes());
        }
        out.extend_from_slice(&crc32c(&out).to_le_bytes());
        out
    }

    /// Reads a stored index. `None` where it is damaged or of another format: then the blob is hashed anew.
    pub fn decode(bytes: &[u8]) -> Option<ChunkIndex> {
        let (body, checksum) = bytes.split_last_chunk::<4>()?;
        if crc32c(body) != u32::from_le_bytes(*checksum) || body.get(..4)? != MAGIC {
            return None;
        }
        let chunk = u32::from_le_bytes(body.get(4..8)?.try_into().ok()?);
        let size = u64::from_le_bytes(body.get(8..HEADER)?.try_into().ok()?);
        let (words, rest) = body.get(HEADER..)?.as_chunks::<4>();
        if u64::from(chunk) != CHUNK || !rest.is_empty() || words.len() as u64 != size.div_ceil(CHUNK) {
            return None;
        }
        Some(ChunkIndex { size, checksums: words.iter().map(|word| u32::from_le_bytes(*word)).collect() })
    }
}

/// Makes an index while the content goes by.
#[derive(Clone)]
pub struct ChunkIndexer {
    size: u64,
    checksums: Vec<u32>,
    open: crc_fast::Digest,
}

impl ChunkIndexer {
    /// Nothing seen yet.
    pub fn new() -> ChunkIndexer {
        ChunkIndexer { size: 0, checksums: Vec::new(), open: crc_fast::Digest::new(Crc32Iscsi) }
    }

    /// Goes on where [`ChunkIndexer::complete`] and [`ChunkIndexer::open_state`] were taken at `size` bytes. `None` where
    /// they do not belong together.
    pub fn resume(size: u64, checksums: Vec<u32>, open_state: u64) -> Option<ChunkIndexer> {
        let open = crc_fast::Digest::new_with_init_state(Crc32Iscsi, open_state);
        (checksums.len() as u64 == size / CHUNK).then_some(ChunkIndexer { size, checksums, open })
    }

    /// State of the checksum of the chunk that is not complete.
    pub fn open_state(&self) -> u64 {
        self.open.get_state()
    }

    /// Adds content.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = usize::try_from(CHUNK - self.size % CHUNK).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.open.update(now);
            self.size += now.len() as u64;
            if self.size.is_multiple_of(CHUNK) {
                self.checksums.push(self.open.finalize() as u32);
                // Not `reset`, which would go back to the state that it was resumed from.
                self.open = crc_fast::Digest::new(Crc32Iscsi);
            }
            bytes = later;
        }
    }

    /// Checksums of the chunks that are complete.
    pub fn complete(&self) -> &[u32] {
        &self.checksums
    }

    /// The index of everything added.
    pub fn finish(mut self) -> ChunkIndex {
        if !self.size.is_multiple_of(CHUNK) {
            self.checksums.push(self.open.finalize() as u32);
        }
        ChunkIndex { size: self.size, checksums: self.checksums }
    }
}

impl Default for ChunkIndexer {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(length: usize) -> Vec<u8> {
        (0..length).map(|i| (i * 7 + i / 251) as u8).collect()
    }

    #[test]
    fn an_index_decodes_to_itself_and_no_flipped_bit_does() {
        for length in [0, 1, 1024 * 1024, 1024 * 1024 + 1, 3 * 1024 * 1024 - 1] {
            let mut indexer = ChunkIndexer::new();
            content(length).chunks(70_001).for_each(|piece| indexer.update(piece));
            let index = indexer.finish();
            let stored = index.encode();
            assert_eq!(stored.len(), ChunkIndex::encoded_size(length as u64));
            assert_eq!(ChunkIndex::decode(&stored), Some(index));
            for at in 0..stored.len() {
                let mut flipped = stored.clone();
                flipped[at] ^= 0x10;
                assert_eq!(ChunkIndex::decode(&flipped), None, "a flip at {at} went unnoticed");
            }
        }
        assert_eq!(ChunkIndex::decode(b""), None);
    }

    #[test]
    fn indexing_goes_on_where_it_stopped() {
        let all = content(3 * 1024 * 1024 + 99);
        let mut whole = ChunkIndexer::new();
        whole.update(&all);
        let whole = whole.finish();
        for cut in [0, 1, 500, 1024 * 1024, 1024 * 1024 + 500, 3 * 1024 * 1024 + 99] {
            let mut first = ChunkIndexer::new();
            first.update(&all[..cut]);
            let saved = (first.complete().to_vec(), first.open_state());
            let mut second = ChunkIndexer::resume(cut as u64, saved.0, saved.1).unwrap();
            second.update(&all[cut..]);
            assert_eq!(second.finish(), whole, "resumed at {cut}");
        }
        assert!(ChunkIndexer::resume(CHUNK, Vec::new(), 0).is_none());
    }

    #[test]
    fn crc32c_is_castagnoli() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }
}
