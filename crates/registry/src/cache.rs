//! What is remembered in memory under its digest: content that was proved by it. It never grants access: what a
//! repository has is said by its links, which are another matter ([`crate::recall`]).

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use bytes::Bytes;
use quick_cache::Weighter;
use quick_cache::sync::{Cache, DefaultLifecycle};
use wharfinger_oci::Digest;

use crate::blob::chunk_index::ChunkIndex;
use crate::manifest::StoredManifest;

/// Bytes held per cache.
const CAPACITY: u64 = 16 * 1024 * 1024;
/// What an entry costs beside its content.
const OVERHEAD: u64 = 200;

#[derive(Clone)]
pub(crate) struct ByContent;

impl Weighter<Digest, Bytes> for ByContent {
    fn weight(&self, _: &Digest, bytes: &Bytes) -> u64 {
        bytes.len() as u64 + OVERHEAD
    }
}

impl Weighter<Digest, Arc<StoredManifest>> for ByContent {
    fn weight(&self, _: &Digest, manifest: &Arc<StoredManifest>) -> u64 {
        manifest.bytes.len() as u64 + OVERHEAD
    }
}

impl Weighter<Digest, Arc<ChunkIndex>> for ByContent {
    fn weight(&self, _: &Digest, index: &Arc<ChunkIndex>) -> u64 {
        index.memory() + OVERHEAD
    }
}

fn cache<V: Clone>() -> Cache<Digest, V, ByContent, ByDigest>
where
    ByContent: Weighter<Digest, V>,
{
    Cache::with(1_000, CAPACITY, ByContent, ByDigest, DefaultLifecycle::default())
}

/// Digests are random already: eight of their bytes are hash enough.
#[derive(Clone)]
pub(crate) struct ByDigest;

#[derive(Default)]
pub(crate) struct EightBytes(u64);

impl BuildHasher for ByDigest {
    type Hasher = EightBytes;

    fn build_hasher(&self) -> EightBytes {
        EightBytes::default()
    }
}

impl Hasher for EightBytes {
    fn write(&mut self, bytes: &[u8]) {
        self.0 ^= bytes.first_chunk().map_or(0, |first| u64::from_le_bytes(*first));
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

pub(crate) struct Caches {
    /// Manifests, by digest.
    pub(crate) manifests: Cache<Digest, Arc<StoredManifest>, ByContent, ByDigest>,
    /// Blobs without a chunk index, being small.
    pub(crate) small_blobs: Cache<Digest, Bytes, ByContent, ByDigest>,
    /// Chunk indexes.
    pub(crate) indexes: Cache<Digest, Arc<ChunkIndex>, ByContent, ByDigest>,
}

impl Caches {
    pub(crate) fn new() -> Caches {
        Caches { manifests: cache(), small_blobs: cache(), indexes: cache() }
    }

    /// Hits and misses of content (not of indexes).
    pub(crate) fn lookups(&self) -> (u64, u64) {
        let hits = self.manifests.hits() + self.small_blobs.hits();
        (hits, self.manifests.misses() + self.small_blobs.misses())
    }

    /// Whether content of that digest is here. Does not count as a use.
    pub(crate) fn has(&self, digest: &Digest) -> bool {
        self.manifests.peek(digest).is_some() || self.small_blobs.peek(digest).is_some()
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        self.manifests.clear();
        self.small_blobs.clear();
        self.indexes.clear();
    }

    /// Forgets what was read under `digest`, because it was written again.
    pub(crate) fn forget(&self, digest: &Digest) {
        self.manifests.remove(digest);
        self.small_blobs.remove(digest);
        self.indexes.remove(digest);
    }
}
