//! Blobs: bytes by digest, readable in the repositories that link them.

pub mod chunk_index;
mod find;
mod redirect;
pub(crate) mod remote;
mod stat;
pub mod verified;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use wharfinger_oci::{Algorithm, Digest, Hasher, RepositoryName};
use wharfinger_store::{Durability, Key, LocalFile, ObjectData, Remote, StoreError, StoreErrorKind};

use crate::damaged::Damage;
use crate::disk::{Copy, Filling, Tail, Wanted};
use crate::error::{Error, Result, optional};
use crate::flights::Flight;
use crate::layout;
use crate::recall::Recalled;
use crate::registry::{Mode, Registry};
use chunk_index::{ChunkIndex, ChunkIndexer};
pub use redirect::Kept;
use remote::{RemoteBody, read_whole};
use verified::{BodyError, FrameKind, VerifiedBody, read_pieces};

/// How many repositories are tried when a mount does not say where the blob is.
const MOUNT_CANDIDATES: usize = 10_000;

/// Blobs of at most this many bytes are proved also when somebody only asks whether they are there, and remembered.
pub(crate) const HASHED_ON_LOOK: u64 = 64 * 1024;

/// A reader that begins this far behind what a fetch into the disk cache has brought waits for it rather than that the
/// store is asked twice.
const NEAR: u64 = 8 * 1024 * 1024;

/// A blob that may be read.
#[derive(Clone, Debug)]
pub struct Blob {
    /// Its digest.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// How long ago the store was asked last whether the repository has it, where it could not be asked now.
    pub age: Option<Duration>,
    content: Content,
    /// Those who come before it is read share it.
    flight: Option<Arc<Flight<Blob>>>,
}

#[derive(Clone, Debug)]
enum Content {
    /// Proved and in memory.
    Memory(Bytes),
    Indexed(Readable, Arc<ChunkIndex>),
    Unindexed(Readable),
    /// In the disk cache.
    Cached(Copy),
}

/// Where the bytes are that were not read yet.
#[derive(Clone, Debug)]
enum Readable {
    File(Arc<LocalFile>),
    Remote(Arc<dyn Remote>),
}

impl Readable {
    /// When they were written, where the store says so in a way that can be compared.
    fn modified(&self) -> Option<SystemTime> {
        match self {
            Readable::File(_) => None,
            Readable::Remote(object) => object.modified(),
        }
    }
}

impl Blob {
    fn new(digest: Digest, size: u64, content: Content) -> Blob {
        Blob { digest, size, age: None, content, flight: None }
    }

    /// Its bytes, where they are proved and in memory.
    pub(crate) fn in_memory(&self) -> Option<Bytes> {
        match &self.content {
            Content::Memory(bytes) => Some(bytes.clone()),
            _ => None,
        }
    }
}

impl Registry {
    /// Opens a blob for reading. While the store cannot be asked, what the disk cache holds is opened by what the
    /// repository's link said last.
    pub async fn blob(&self, name: &RepositoryName, digest: &Digest) -> Result<Blob> {
        let unknown = || Error::BlobUnknown(name.clone(), *digest);
        let link = self.recall_linked(name, digest).await?;
        let target = link.value.ok_or_else(unknown)?;
        let lost = || Error::BlobLost(name.clone(), *digest);
        let blob = self.find_data(&target).await?.ok_or_else(lost)?;
        Ok(Blob { age: link.age, ..blob })
    }

    /// Begins to read a range of a blob. Its first bytes have been checked when this returns.
    pub async fn read_blob(
        &self,
        blob: Blob,
        range: std::ops::Range<u64>,
        kind: FrameKind,
    ) -> Result<VerifiedBody, BodyError> {
        let digest = blob.digest;
        let (mut content, _flight) = (blob.content, blob.flight);
        match self.fill_content(&content, digest, blob.size) {
            Filling::UnderWay(fill) if range.start <= fill.good() + NEAR => {
                if let Some(tail) = Tail::new(fill, &range) {
                    let mut body = VerifiedBody::tail(self, digest, tail, range, kind);
                    body.prepare().await?;
                    return Ok(body);
                }
            }
            Filling::Done => {
                content = self.open_cached(&digest).await.map_or(content, |cached| cached.content);
            }
            Filling::UnderWay(_) | Filling::Unwanted => {}
        }
        let mut body = match content {
            Content::Memory(bytes) => {
                let (start, end) = (range.start as usize, range.end as usize);
                return Ok(VerifiedBody::memory(self, digest, bytes.slice(start..end)));
            }
            Content::Cached(copy) => VerifiedBody::copy(self, digest, copy, range, kind),
            Content::Indexed(bytes, index) => self.indexed(digest, bytes, index, range, kind),
            Content::Unindexed(Readable::File(file)) if range == (0..blob.size) => {
                VerifiedBody::hashed(self, digest, file, kind)
            }
            Content::Unindexed(Readable::Remote(object)) if range == (0..blob.size) => {
                VerifiedBody::remote(self, digest, RemoteBody::hashed(self, digest, object, blob.size), range)
            }
            Content::Unindexed(bytes) => {
                let index = self.index_whole(digest, blob.size, &bytes).await?;
                self.indexed(digest, bytes, index, range, kind)
            }
        };
        body.prepare().await?;
        Ok(body)
    }

    fn indexed(
        &self,
        digest: Digest,
        bytes: Readable,
        index: Arc<ChunkIndex>,
        range: std::ops::Range<u64>,
        kind: FrameKind,
    ) -> VerifiedBody {
        match bytes {
            Readable::File(file) => VerifiedBody::indexed(self, digest, file, index, range, kind),
            Readable::Remote(object) => {
                let body = RemoteBody::indexed(self, digest, object, index, range.clone());
                VerifiedBody::remote(self, digest, body, range)
            }
        }
    }

    /// Takes a blob out of a repository. The bytes stay.
    pub async fn delete_blob(&self, name: &RepositoryName, digest: &Digest) -> Result<()> {
        let link = layout::layer_link(name, digest);
        self.inner.linked.forget(&link);
        let existed = self.delete_link(&link).await?;
        self.outlast_leases().await;
        if existed { Ok(()) } else { Err(Error::BlobUnknown(name.clone(), *digest)) }
    }

    /// Links a blob of another repository into this one. Looks in `from`, or where that is not given in all
    /// repositories that `may_read` allows, unless the store is remote. Says whether it was found.
    pub async fn mount(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        from: Option<&RepositoryName>,
        may_read: &(dyn Fn(&RepositoryName) -> bool + Sync),
    ) -> Result<bool> {
        let found = match from {
            Some(from) => may_read(from) && self.linked(from, digest).await?.is_some_and(|d| d == *digest),
            None => self.find_linked(digest, may_read).await?,
        };
        if !found || self.stat_data(digest).await?.is_none() {
            return Ok(false);
        }
        self.link_blob(name, digest).await?;
        Ok(true)
    }

    async fn find_linked(
        &self,
        digest: &Digest,
        may_read: &(dyn Fn(&RepositoryName) -> bool + Sync),
    ) -> Result<bool> {
        if self.inner.shape.remote {
            // One request for each repository would cost more than the upload.
            return Ok(false);
        }
        let names = self.repository_names().await?;
        let candidates = names.iter().filter(|name| may_read(name)).take(MOUNT_CANDIDATES);
        let links: Vec<_> = candidates.map(|name| layout::layer_link(name, digest)).collect();
        Ok(self.store().exist(&links).await?.contains(&true))
    }

    /// Makes a blob readable in a repository.
    pub(crate) async fn link_blob(&self, name: &RepositoryName, digest: &Digest) -> Result<()> {
        let link = layout::layer_link(name, digest);
        self.put_link(&link, digest).await?;
        self.inner.linked.note(link);
        self.inner.catalog.note(name);
        Ok(())
    }

    /// The digest of the bytes that a repository serves under `digest`. Distribution stores content pushed under
    /// another algorithm by its SHA-256 and links that.
    async fn linked(&self, name: &RepositoryName, digest: &Digest) -> Result<Option<Digest>> {
        let link = layout::layer_link(name, digest);
        if digest.algorithm() == Algorithm::Sha256 {
            Ok(self.has_link(&link).await?.then_some(*digest))
        } else {
            self.read_link(&link).await
        }
    }

    /// As [`Registry::linked`], for pulls.
    async fn recall_linked(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<Recalled<Option<Digest>>> {
        let link = layout::layer_link(name, digest);
        if digest.algorithm() != Algorithm::Sha256 {
            return self.recall_digest(&link).await;
        }
        let Recalled { value, age } = self.recall_link(&link).await?;
        Ok(Recalled { value: value.then_some(*digest), age })
    }

    /// The fetch of a blob into the disk cache.
    pub(crate) fn fill_blob(&self, blob: &Blob) -> Filling {
        self.fill_content(&blob.content, blob.digest, blob.size)
    }

    /// The fetch into the disk cache of what has to come from the store.
    fn fill_content(&self, content: &Content, digest: Digest, size: u64) -> Filling {
        let (object, index) = match content {
            Content::Indexed(Readable::Remote(object), index) => (object, Some(index.clone())),
            Content::Unindexed(Readable::Remote(object)) => (object, None),
            _ => return Filling::Unwanted,
        };
        self.fill(Wanted { digest, size, object: object.clone(), index })
    }

    /// Opens the rest of a blob in the store, where the disk cache does not have it.
    async fn open_rest(&self, digest: Digest, rest: std::ops::Range<u64>) -> Result<RemoteBody, BodyError> {
        let failed = |source| BodyError::Store { digest, source: Box::new(source) };
        let object = self.store().open(&layout::blob_data(&digest)).await.map_err(failed)?;
        let ObjectData::Remote(remote) = object.data else {
            return Err(BodyError::Damaged { digest, at: rest.start });
        };
        let index = match self.index(&digest).await {
            Ok(Some(index)) if index.size() == object.size => index,
            _ if rest.end == object.size => {
                return Ok(RemoteBody::hashed(self, digest, remote, object.size));
            }
            // A part that does not reach the end would go out unproved.
            _ => self.index_whole(digest, object.size, &Readable::Remote(remote.clone())).await?,
        };
        Ok(RemoteBody::indexed(self, digest, remote, index, rest))
    }

    async fn open_data(&self, digest: &Digest) -> Result<Option<Blob>> {
        if let Some(bytes) = self.inner.caches.small_blobs.get(digest) {
            let size = bytes.len() as u64;
            return Ok(Some(Blob::new(*digest, size, Content::Memory(bytes))));
        }
        let key = layout::blob_data(digest);
        let Some(object) = optional(self.store().open(&key).await)? else { return Ok(None) };
        let size = object.size;
        let readable = match object.data {
            ObjectData::Bytes(bytes) => {
                let content = Content::Memory(self.prove(digest, bytes, None)?);
                return Ok(Some(Blob::new(*digest, size, content)));
            }
            ObjectData::File(file) => Readable::File(file),
            ObjectData::Remote(object) => Readable::Remote(object),
        };
        let content = if size <= self.small() {
            Content::Memory(self.small_blob(digest, &key, size, &readable).await?)
        } else {
            match self.index(digest).await? {
                Some(index) if index.size() == size => Content::Indexed(readable, index),
                Some(index) => {
                    let found = format!("it has {size} bytes, not {}", index.size());
                    self.mark_damaged(digest, Damage::Read(readable.modified()), &found);
                    return Err(Error::Damaged { digest: *digest });
                }
                None => Content::Unindexed(readable),
            }
        };
        Ok(Some(Blob::new(*digest, size, content)))
    }

    /// Reads and proves a blob that needs no index, and remembers it if it is very small.
    async fn small_blob(&self, digest: &Digest, key: &Key, size: u64, readable: &Readable) -> Result<Bytes> {
        let read = match readable {
            Readable::File(_) => self.store().get(key, self.inner.shape.small).await,
            // What was looked at, not its name: on Swift that may be segments.
            Readable::Remote(object) => {
                let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
                let whole = read_whole(&**object, 0..size, |piece| bytes.extend_from_slice(piece)).await;
                whole.map(|()| bytes.into())
            }
        };
        let bytes = match read {
            Err(error) if error.kind == StoreErrorKind::Invalid => {
                self.mark_damaged(digest, Damage::Read(readable.modified()), &error.source.to_string());
                return Err(Error::Damaged { digest: *digest });
            }
            other => other?,
        };
        let bytes = self.prove(digest, bytes, readable.modified())?;
        if bytes.len() as u64 <= HASHED_ON_LOOK {
            self.inner.caches.small_blobs.insert(*digest, bytes.clone());
        }
        self.keep_copy(digest, &bytes);
        Ok(bytes)
    }

    /// Keeps proved bytes in the disk cache, without making a reader wait for it.
    pub(crate) fn keep_copy(&self, digest: &Digest, bytes: &Bytes) {
        if let Some(cache) = &self.inner.disk {
            let (cache, digest, bytes) = (cache.clone(), *digest, bytes.clone());
            // Who comes before there is a copy shares what was read.
            let flight = self.inner.blob_flights.current(&digest);
            tokio::spawn(async move {
                cache.keep_bytes(&digest, bytes).await;
                drop(flight);
            });
        }
    }

    /// Blobs of at most this many bytes are proved by their digest on each read and have no chunk index.
    pub(crate) fn small(&self) -> u64 {
        self.inner.shape.small as u64
    }

    /// Bytes whose digest was compared. `modified` is when the store says that they were written.
    pub(crate) fn prove(&self, digest: &Digest, bytes: Bytes, modified: Option<SystemTime>) -> Result<Bytes> {
        if Digest::of(digest.algorithm(), &bytes) == *digest {
            return Ok(bytes);
        }
        let damage = if bytes.len() as u64 <= HASHED_ON_LOOK { Damage::Look } else { Damage::Read(modified) };
        self.mark_damaged(digest, damage, "");
        Err(Error::Damaged { digest: *digest })
    }

    /// The chunk index, if there is a good one.
    pub(crate) async fn index(&self, digest: &Digest) -> Result<Option<Arc<ChunkIndex>>> {
        if let Some(index) = self.inner.caches.indexes.get(digest) {
            return Ok(Some(index));
        }
        /// An index of a blob of 4 TiB.
        const LARGEST: usize = 16 * 1024 * 1024;
        let Some(bytes) = optional(self.store().get(&layout::chunk_index(digest), LARGEST).await)? else {
            return Ok(None);
        };
        let index = ChunkIndex::decode(&bytes).map(Arc::new);
        match &index {
            Some(index) => self.inner.caches.indexes.insert(*digest, index.clone()),
            None => tracing::warn!(%digest, "a chunk index is damaged; the blob is hashed and indexed anew"),
        }
        Ok(index)
    }

    /// Hashes a whole blob that has no index yet, and indexes it: once, however many wait for it.
    async fn index_whole(
        &self,
        digest: Digest,
        size: u64,
        bytes: &Readable,
    ) -> Result<Arc<ChunkIndex>, BodyError> {
        let _one = self.inner.hashing.lock(digest).await;
        if let Some(index) = self.inner.caches.indexes.get(&digest) {
            return Ok(index);
        }
        let (hasher, indexer) = (Hasher::new(digest.algorithm()), ChunkIndexer::new());
        let (found, index, object) = match bytes {
            Readable::File(file) => {
                let hashed = hash_file(hasher, indexer, file.clone()).await;
                let (found, index) = hashed.map_err(|source| BodyError::Io { digest, source })?;
                (found, index, None)
            }
            Readable::Remote(object) => {
                let hashed = hash_remote(hasher, indexer, &**object, size).await;
                let (found, index) = hashed.map_err(|source| {
                    if source.kind == StoreErrorKind::Invalid {
                        let damage = Damage::Read(object.modified());
                        self.mark_damaged(&digest, damage, &source.source.to_string());
                    }
                    BodyError::Store { digest, source: Box::new(source) }
                })?;
                (found, index, Some(object.clone()))
            }
        };
        if found != digest {
            self.mark_damaged(&digest, Damage::Read(bytes.modified()), "");
            return Err(BodyError::Damaged { digest, at: 0 });
        }
        let index = Arc::new(index);
        self.inner.caches.indexes.insert(digest, index.clone());
        self.keep_index_later(digest, ChunkIndex::clone(&index), object);
        Ok(index)
    }

    /// Writes an index without making a reader wait for it; it can always be made again. `object` is told that
    /// its content was proved.
    pub(crate) fn keep_index_later(
        &self,
        digest: Digest,
        index: ChunkIndex,
        object: Option<Arc<dyn Remote>>,
    ) {
        if index.size() <= self.small() {
            return;
        }
        if self.inner.options.mode == Mode::Observe {
            self.inner.caches.indexes.insert(digest, Arc::new(index));
            if let Some(object) = object {
                // In memory alone.
                tokio::spawn(async move { object.remember().await });
            }
            return;
        }
        let registry = self.clone();
        tokio::spawn(async move {
            let remembered = match object {
                Some(object) => object.remember().await.map_err(Error::from),
                None => Ok(()),
            };
            let kept = registry.put_index(&digest, index).await;
            if let Err(error) = remembered.and(kept) {
                tracing::warn!(%digest, %error, "the chunk index could not be written; the next read hashes again");
            }
        });
    }

    pub(crate) async fn put_index(&self, digest: &Digest, index: ChunkIndex) -> Result<()> {
        let encoded = index.encode().into();
        self.store().put(&layout::chunk_index(digest), encoded, Durability::Synced).await?;
        self.inner.caches.indexes.insert(*digest, Arc::new(index));
        Ok(())
    }
}

pub(crate) async fn hash_file(
    mut hasher: Hasher,
    mut indexer: ChunkIndexer,
    file: Arc<LocalFile>,
) -> std::io::Result<(Digest, ChunkIndex)> {
    let hash = move || {
        read_pieces(&file, 0, file.size(), |piece| {
            hasher.update(piece);
            indexer.update(piece);
        })?;
        Ok((hasher.finish(), indexer.finish()))
    };
    tokio::task::spawn_blocking(hash).await.unwrap_or_else(|panic| Err(std::io::Error::other(panic)))
}

pub(crate) async fn hash_remote(
    mut hasher: Hasher,
    mut indexer: ChunkIndexer,
    object: &dyn Remote,
    size: u64,
) -> Result<(Digest, ChunkIndex), StoreError> {
    let add = |piece: &[u8]| {
        hasher.update(piece);
        indexer.update(piece);
    };
    read_whole(object, 0..size, add).await?;
    Ok((hasher.finish(), indexer.finish()))
}
