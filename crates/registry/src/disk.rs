//! Verified copies of blobs and manifests on a disk of this machine, in front of a store elsewhere.
//!
//! The cache owns nothing: every copy is proved by its digest while it is filled and checked again whenever it is
//! read, so that the directory may be damaged, emptied or full at any moment. Who may read a copy is not its business:
//! the link in the repository is.

mod fill;
mod pulls;
mod tail;
mod tend;
mod whole;

use std::fmt;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use quick_cache::unsync::Cache;
use quick_cache::{DefaultHashBuilder, Lifecycle, OptionsBuilder, Weighter};
use wharfinger_oci::{Algorithm, Digest};
use wharfinger_store::{
    Delete, Durability, Filesystem, Key, List, LocalFile, ObjectData, Staged, Store, StoreError,
};

use crate::blob::HASHED_ON_LOOK;
use crate::blob::chunk_index::{ChunkIndex, ChunkIndexer};
pub(crate) use fill::{Fill, Filling, Fills, Progress, Wanted};
use pulls::Pulls;
pub(crate) use tail::{Next, Tail};
pub use tend::{Servable, Verified, Warmed};

/// Layout of the directory: another version begins with an empty one.
const VERSION: &str = "v1";
/// A blob may take this share of the cache.
const LARGEST_SHARE: u64 = 4;
/// What a copy takes beside its bytes.
const OVERHEAD: u64 = 4096;
/// Entries that the cache makes room for at first.
const ENTRIES: usize = 10_000;

/// Where and how large.
#[derive(Clone, Debug)]
pub struct DiskOptions {
    /// A directory of its own; made where it is missing.
    pub directory: PathBuf,
    /// Bytes that the copies may take together.
    pub size: u64,
}

/// Why the directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// Another process has it.
    #[error("the cache directory {0} is in use by another process: give each server its own")]
    InUse(PathBuf),
    /// The operating system refused.
    #[error("the cache directory {directory} cannot be used: {source}")]
    Io {
        /// The directory.
        directory: PathBuf,
        /// Its reason.
        source: io::Error,
    },
}

/// What the cache holds and did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskStatus {
    /// Copies.
    pub copies: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes that they may take.
    pub capacity: u64,
    /// Reads that found a copy, since the start.
    pub hits: u64,
    /// Reads that found none.
    pub misses: u64,
    /// Copies that were fetched from the store.
    pub fills: u64,
    /// Copies that failed a check and were dropped.
    pub damaged: u64,
    /// Copies that could not be kept, e.g. with the disk full.
    pub refused: u64,
}

/// The cache. Cheap to clone.
#[derive(Clone)]
pub struct DiskCache {
    inner: Arc<Inner>,
}

struct Inner {
    options: DiskOptions,
    place: Mutex<Place>,
    entries: Mutex<Entries>,
    fills: Fills,
    counts: Counts,
    pulls: Pulls,
}

#[derive(Default)]
struct Counts {
    hits: AtomicU64,
    misses: AtomicU64,
    fills: AtomicU64,
    damaged: AtomicU64,
    refused: AtomicU64,
}

/// The directory as it was opened, locked against other processes.
struct Place {
    store: Filesystem,
    _lock: File,
}

/// Digests and lengths of the copies.
type Entries = Cache<Digest, u64, ByLength, DefaultHashBuilder, Evicted>;

#[derive(Clone)]
struct ByLength;

impl Weighter<Digest, u64> for ByLength {
    fn weight(&self, _: &Digest, length: &u64) -> u64 {
        length + OVERHEAD
    }
}

/// Collects what has to go.
#[derive(Clone)]
struct Evicted;

impl Lifecycle<Digest, u64> for Evicted {
    type RequestState = Vec<Digest>;

    fn on_evict(&self, evicted: &mut Vec<Digest>, digest: Digest, _: u64) {
        evicted.push(digest);
    }
}

/// A copy of a large blob, opened.
#[derive(Clone, Debug)]
pub(crate) struct Copy {
    pub(crate) file: Arc<LocalFile>,
    pub(crate) index: Arc<ChunkIndex>,
}

impl fmt::Debug for DiskCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskCache").field("options", &self.inner.options).finish_non_exhaustive()
    }
}

fn data(digest: &Digest) -> Key {
    place_of(digest).join("data")
}

/// Where a copy lies below [`cached_copies`], for those who look for one from outside. It proves nothing: whoever reads it
/// computes its digest.
pub fn cached_copy(digest: &Digest) -> Key {
    data(digest)
}

/// Where the copies of a cache directory lie.
pub fn cached_copies(directory: &Path) -> PathBuf {
    directory.join(VERSION)
}

fn chunks(digest: &Digest) -> Key {
    place_of(digest).join("chunks")
}

fn place_of(digest: &Digest) -> Key {
    let hex = digest.hex();
    copies().join(digest.algorithm().as_str()).join(&hex[..2]).join(&hex)
}

fn copies() -> Key {
    Key::new("copies")
}

fn digest_of(name: &str) -> Option<Digest> {
    let mut parts = name.split('/');
    let (algorithm, _, hex, file) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let algorithm = Algorithm::parse(algorithm)?;
    (file == "data").then(|| Digest::from_hex(algorithm, hex).ok()).flatten()
}

impl Place {
    fn open(directory: &Path) -> Result<Place, DiskError> {
        let failed = |source| DiskError::Io { directory: directory.to_owned(), source };
        let root = directory.join(VERSION);
        std::fs::create_dir_all(&root).map_err(failed)?;
        let lock = File::create(root.join("lock")).map_err(failed)?;
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) => return Err(DiskError::InUse(directory.to_owned())),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
            Ok(()) => {}
        }
        // What a process before this one did not finish.
        for left in ["filling", "wharfinger"] {
            let _ = std::fs::remove_dir_all(root.join(left));
        }
        let store = Filesystem::open_forgetful(&root).map_err(failed)?;
        Ok(Place { store, _lock: lock })
    }
}

impl DiskCache {
    /// Opens a directory, for this process alone, and looks through what it holds.
    ///
    /// # Errors
    /// Where another process has it, or it cannot be written.
    pub async fn open(options: DiskOptions) -> Result<DiskCache, DiskError> {
        let place = Place::open(&options.directory)?;
        let entries = OptionsBuilder::new()
            .estimated_items_capacity(ENTRIES)
            .weight_capacity(options.size)
            .build()
            .map_err(|error| DiskError::Io {
                directory: options.directory.clone(),
                source: io::Error::other(error.to_string()),
            })?;
        let entries = Cache::with_options(entries, ByLength, DefaultHashBuilder::default(), Evicted);
        let (place, entries) = (Mutex::new(place), Mutex::new(entries));
        let (fills, counts, pulls) = (Fills::default(), Counts::default(), Pulls::default());
        let cache = DiskCache { inner: Arc::new(Inner { options, place, entries, fills, counts, pulls }) };
        cache.take_stock().await.map_err(|error| DiskError::Io {
            directory: cache.inner.options.directory.clone(),
            source: io::Error::other(error),
        })?;
        cache.recall_pulls().await;
        Ok(cache)
    }

    async fn take_stock(&self) -> Result<(), StoreError> {
        let store = self.store();
        let all = List { shallow: false, after: None, limit: usize::MAX };
        for entry in store.list(&copies(), all).await?.entries {
            let Some(digest) = digest_of(entry.name()) else { continue };
            if let Ok(found) = store.head(&data(&digest)).await {
                self.enter(digest, found.size).await;
            }
        }
        Ok(())
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        &self.inner.options.directory
    }

    fn store(&self) -> Filesystem {
        self.inner.place.lock().store.clone()
    }

    /// Fills that are under way.
    pub(crate) fn fills(&self) -> &Fills {
        &self.inner.fills
    }

    /// Whether a blob of that size is kept at all.
    pub(crate) fn wants(&self, size: u64) -> bool {
        size <= self.inner.options.size / LARGEST_SHARE
    }

    /// Whether there is a copy. Does not count as a use.
    pub fn has(&self, digest: &Digest) -> bool {
        self.size_of(digest).is_some()
    }

    /// The length of the copy, if there is one. Does not count as a use.
    pub(crate) fn size_of(&self, digest: &Digest) -> Option<u64> {
        self.inner.entries.lock().peek(digest).copied()
    }

    /// Opens the copy of a blob that has a chunk index.
    pub(crate) async fn open_copy(&self, digest: &Digest) -> Option<Copy> {
        let size = self.look_up(digest)?;
        let store = self.store();
        /// An index of a blob of 4 TiB.
        const LARGEST: usize = 16 * 1024 * 1024;
        let index =
            store.get(&chunks(digest), LARGEST).await.ok().and_then(|bytes| ChunkIndex::decode(&bytes));
        let file = match store.open(&data(digest)).await.map(|object| object.data) {
            Ok(ObjectData::File(file)) => Some(file),
            _ => None,
        };
        match (index, file) {
            (Some(index), Some(file)) if index.size() == size && file.size() == size => {
                Some(Copy { file, index: Arc::new(index) })
            }
            (_, None) => {
                self.lost(digest).await;
                None
            }
            _ => {
                self.drop_damaged(digest).await;
                None
            }
        }
    }

    /// Bytes of a copy that has no chunk index, proved by their digest.
    pub(crate) async fn read_copy(&self, digest: &Digest, limit: usize) -> Option<Bytes> {
        self.look_up(digest)?;
        match self.store().get(&data(digest), limit).await {
            Ok(bytes) if Digest::of(digest.algorithm(), &bytes) == *digest => Some(bytes),
            Err(error) if error.is_not_found() => {
                self.lost(digest).await;
                None
            }
            _ => {
                self.drop_damaged(digest).await;
                None
            }
        }
    }

    fn look_up(&self, digest: &Digest) -> Option<u64> {
        let found = self.inner.entries.lock().get(digest).copied();
        let count = if found.is_some() { &self.inner.counts.hits } else { &self.inner.counts.misses };
        count.fetch_add(1, Ordering::Relaxed);
        found
    }

    /// Keeps bytes that were proved by their digest.
    pub(crate) async fn keep_bytes(&self, digest: &Digest, bytes: Bytes) {
        let size = bytes.len() as u64;
        if !self.wants(size) || self.has(digest) {
            return;
        }
        match self.put(digest, bytes).await {
            Ok(()) => self.enter(*digest, size).await,
            Err(error) => self.refused(digest, &error),
        }
    }

    /// What is read as a file, and not whole into memory, has a chunk index.
    async fn put(&self, digest: &Digest, bytes: Bytes) -> Result<(), StoreError> {
        let store = self.store();
        if bytes.len() as u64 > HASHED_ON_LOOK {
            let mut indexer = ChunkIndexer::new();
            indexer.update(&bytes);
            store.put(&chunks(digest), indexer.finish().encode().into(), Durability::Lazy).await?;
        }
        store.put(&data(digest), bytes, Durability::Lazy).await
    }

    /// Where a blob is filled into.
    pub(crate) async fn stage(&self, digest: &Digest) -> Result<(Key, Box<dyn Staged>), StoreError> {
        let key = Key::new("filling").join(digest.algorithm().as_str()).join(&digest.hex());
        let staged = self.store().stage(&key, None).await?;
        Ok((key, staged))
    }

    /// Removes what was staged and is not to be kept.
    pub(crate) async fn unstage(&self, key: &Key) {
        if let Err(error) = self.store().delete(key, Delete { prune_parents: 1 }).await {
            tracing::debug!(%error, "what was left of a fetch into the disk cache could not be removed");
        }
    }

    /// Keeps what was staged and proved, and opens it.
    pub(crate) async fn keep(
        &self,
        digest: &Digest,
        staged: Box<dyn Staged>,
        index: &Arc<ChunkIndex>,
    ) -> Result<Copy, StoreError> {
        let store = self.store();
        store.put(&chunks(digest), index.encode().into(), Durability::Lazy).await?;
        staged.publish(&data(digest)).await?;
        self.inner.counts.fills.fetch_add(1, Ordering::Relaxed);
        let opened = store.open(&data(digest)).await?;
        self.enter(*digest, index.size()).await;
        match opened.data {
            ObjectData::File(file) => Ok(Copy { file, index: index.clone() }),
            _ => unreachable!("a directory opens files"),
        }
    }

    async fn enter(&self, digest: Digest, size: u64) {
        let mut evicted = Vec::new();
        self.inner.entries.lock().insert_with_lifecycle(digest, size, &mut evicted);
        // What stood under the same digest before is told as evicted, too.
        for evicted in evicted.into_iter().filter(|evicted| *evicted != digest || !self.has(&digest)) {
            self.remove(&evicted).await;
        }
    }

    /// Drops a copy, e.g. one that failed a check. Says whether there was one.
    pub async fn forget(&self, digest: &Digest) -> bool {
        let known = self.inner.entries.lock().remove(digest).is_some();
        self.remove(digest).await;
        known
    }

    /// Drops a copy that is not what was filled in.
    pub(crate) async fn drop_damaged(&self, digest: &Digest) {
        if self.inner.entries.lock().remove(digest).is_some() {
            self.inner.counts.damaged.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(%digest, "a copy in the disk cache was damaged; it is fetched again from the store");
        }
        self.remove(digest).await;
    }

    async fn remove(&self, digest: &Digest) {
        let store = self.store();
        for key in [data(digest), chunks(digest)] {
            if let Err(error) = store.delete(&key, Delete { prune_parents: 1 }).await {
                tracing::debug!(%digest, %error, "a copy in the disk cache could not be removed");
            }
        }
    }

    /// A copy is not there any more: somebody emptied the directory, perhaps all of it.
    async fn lost(&self, digest: &Digest) {
        self.inner.entries.lock().remove(digest);
        self.reopen_where_gone();
    }

    pub(crate) fn refused(&self, digest: &Digest, error: &StoreError) {
        self.inner.counts.refused.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(%digest, %error, "the disk cache could not keep a copy");
        self.reopen_where_gone();
    }

    /// Takes the directory up again after it was removed, with everything in it.
    fn reopen_where_gone(&self) {
        let mut place = self.inner.place.lock();
        if self.inner.options.directory.join(VERSION).join("lock").exists() {
            return;
        }
        if let Ok(opened) = Place::open(&self.inner.options.directory) {
            *place = opened;
            self.inner.entries.lock().clear();
        }
    }

    /// What the cache holds and did.
    pub fn status(&self) -> DiskStatus {
        let (copies, weight) = {
            let entries = self.inner.entries.lock();
            (entries.len() as u64, entries.weight())
        };
        let counts = &self.inner.counts;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        DiskStatus {
            copies,
            bytes: weight.saturating_sub(copies * OVERHEAD),
            capacity: self.inner.options.size,
            hits: read(&counts.hits),
            misses: read(&counts.misses),
            fills: read(&counts.fills),
            damaged: read(&counts.damaged),
            refused: read(&counts.refused),
        }
    }
}
