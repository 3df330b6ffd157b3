//! The bytes that are pushed and pulled: the same in every run, so that every peer gets the same work.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use wharfinger_oci::{Algorithm, Digest, Hasher};

/// Bytes of a small blob.
pub(crate) const SMALL: usize = 1_000;
/// Bytes of the blob of the memory measures: 20 MB.
pub(crate) const MEDIUM: usize = 20_000_000;
/// Bytes of a big blob: 100 MB.
pub(crate) const LARGE: usize = 100_000_000;
/// Bytes of a chunk of a chunked push: 5 MB.
pub(crate) const CHUNK: usize = 5_000_000;
/// Bytes at the end of a pushed blob that make it unlike any other.
const TAIL: usize = 64;

/// Bytes with their digest.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    /// The bytes.
    pub(crate) bytes: Arc<Vec<u8>>,
    /// Their SHA-256 digest.
    pub(crate) digest: Digest,
}

impl Content {
    /// Content from bytes.
    pub(crate) fn new(bytes: Vec<u8>) -> Content {
        Content { digest: Digest::sha256(&bytes), bytes: Arc::new(bytes) }
    }

    /// `size` bytes that do not compress, the same for the same seed.
    pub(crate) fn random(size: usize, seed: u64) -> Content {
        Content::new(random_bytes(size, seed))
    }
}

/// `size` bytes that do not compress, the same for the same seed (xorshift64*).
pub(crate) fn random_bytes(size: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

/// A source of blobs of one size, each unlike any other, whose digests cost nothing at the moment of the push:
/// they differ in their last bytes, and the hash of what lies before is computed once.
pub(crate) struct Uploads {
    common: Arc<Vec<u8>>,
    hasher: Hasher,
}

/// One blob to push.
pub(crate) struct Upload {
    common: Arc<Vec<u8>>,
    tail: [u8; TAIL],
    /// The SHA-256 digest of the whole.
    pub(crate) digest: Digest,
}

/// Numbers the uploads of this run; starts at the clock so that a second run against a kept store differs.
static NUMBER: AtomicU64 = AtomicU64::new(0);

impl Uploads {
    /// Blobs of `size` bytes.
    pub(crate) fn new(size: usize) -> Uploads {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |d| d.as_micros() as u64);
        let _ = NUMBER.compare_exchange(0, now << 8, Ordering::Relaxed, Ordering::Relaxed);
        let common = random_bytes(size - TAIL, 7);
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(&common);
        Uploads { common: Arc::new(common), hasher }
    }

    /// The next blob.
    pub(crate) fn next(&self) -> Upload {
        let mut tail = [b'.'; TAIL];
        tail[..8].copy_from_slice(&NUMBER.fetch_add(1, Ordering::Relaxed).to_le_bytes());
        let mut hasher = self.hasher.clone();
        hasher.update(&tail);
        Upload { common: Arc::clone(&self.common), tail, digest: hasher.finish() }
    }
}

impl Upload {
    /// Bytes of the blob.
    pub(crate) fn size(&self) -> usize {
        self.common.len() + TAIL
    }

    /// The blob from `start` up to `end`, in at most two parts.
    pub(crate) fn part(&self, start: usize, end: usize) -> [&[u8]; 2] {
        let border = self.common.len();
        let head = &self.common[start.min(border)..end.min(border)];
        let tail = &self.tail[start.max(border) - border..end.max(border) - border];
        [head, tail]
    }

    /// The whole blob in one piece.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        self.part(0, self.size()).concat()
    }
}

/// What the read measures ask for.
#[derive(Clone)]
pub(crate) struct Corpus {
    /// The small blob.
    pub(crate) small: Content,
    /// Config and layers of the manifest: the small blob and some more of its size.
    pub(crate) parts: Vec<Content>,
    /// An OCI image manifest of one config and seven layers, about 1.5 KB.
    pub(crate) manifest: Content,
    /// 20 MB.
    pub(crate) medium: Content,
    /// 100 MB.
    pub(crate) large: Content,
}

/// The manifest's media type.
pub(crate) const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

impl Corpus {
    /// Makes the content.
    pub(crate) fn new() -> Corpus {
        let parts: Vec<Content> = (0..8).map(|seed| Content::random(SMALL, 100 + seed)).collect();
        let descriptor = |content: &Content, media_type: &str| {
            serde_json::json!({
                "mediaType": media_type,
                "digest": content.digest.to_string(),
                "size": content.bytes.len(),
            })
        };
        let layer = "application/vnd.oci.image.layer.v1.tar+gzip";
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": descriptor(&parts[0], "application/vnd.oci.image.config.v1+json"),
            "layers": parts[1..].iter().map(|part| descriptor(part, layer)).collect::<Vec<_>>(),
        });
        Corpus {
            small: parts[1].clone(),
            manifest: Content::new(manifest.to_string().into_bytes()),
            parts,
            medium: Content::random(MEDIUM, 2),
            large: Content::random(LARGE, 3),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_the_same_in_every_run() {
        assert_eq!(Content::random(1001, 5).digest, Content::random(1001, 5).digest);
        assert_ne!(Content::random(1001, 5).digest, Content::random(1001, 6).digest);
        assert_eq!(Content::random(1001, 5).bytes.len(), 1001);
    }

    #[test]
    fn every_upload_is_unlike_the_others_and_its_digest_is_right() {
        let uploads = Uploads::new(SMALL);
        let (first, second) = (uploads.next(), uploads.next());
        assert_ne!(first.digest, second.digest);
        assert_eq!(first.to_bytes().len(), SMALL);
        assert_eq!(Digest::sha256(&first.to_bytes()), first.digest);
    }

    #[test]
    fn the_parts_of_an_upload_make_the_whole() {
        let upload = Uploads::new(SMALL).next();
        let whole = upload.to_bytes();
        for cut in [0, 1, SMALL - TAIL, SMALL - TAIL + 1, SMALL - 1, SMALL] {
            assert_eq!([upload.part(0, cut).concat(), upload.part(cut, SMALL).concat()].concat(), whole);
        }
    }
}
