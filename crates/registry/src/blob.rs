//! Blobs: bytes by digest, readable in the repositories that link them.

pub mod chunk_index;
pub mod verified;

use std::sync::Arc;

use bytes::Bytes;
use wharfinger_oci::{Algorithm, Digest, Hasher, RepositoryName};
use wharfinger_store::{Durability, LocalFile, ObjectData};

use crate::error::{Error, Result, optional};
use crate::layout;
use crate::registry::Registry;
use chunk_index::{ChunkIndex, ChunkIndexer, SMALL};
use verified::{BodyError, FrameKind, VerifiedBody, read_pieces};

/// How many repositories are tried when a mount does not say where the blob is.
const MOUNT_CANDIDATES: usize = 10_000;

/// A blob that may be read.
#[derive(Clone, Debug)]
pub struct Blob {
    /// Its digest.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    /// Proved and in memory.
    Memory(Bytes),
    Indexed(Arc<LocalFile>, Arc<ChunkIndex>),
    Unindexed(Arc<LocalFile>),
}

impl Registry {
    /// The size of a blob in bytes, if it can be pulled from the repository. Looks at the store each time, and
    /// does not offer a blob whose copy is known to be damaged or fails a cheap check: then a push mends it.
    pub async fn stat_blob(&self, name: &RepositoryName, digest: &Digest) -> Result<u64> {
        let unknown = || Error::BlobUnknown(name.clone(), *digest);
        let target = self.linked(name, digest).await?.ok_or_else(unknown)?;
        self.stat_data(&target).await?.ok_or_else(unknown)
    }

    /// Opens a blob for reading.
    pub async fn blob(&self, name: &RepositoryName, digest: &Digest) -> Result<Blob> {
        let unknown = || Error::BlobUnknown(name.clone(), *digest);
        let target = self.linked(name, digest).await?.ok_or_else(unknown)?;
        self.open_data(&target).await?.ok_or_else(unknown)
    }

    /// Begins to read a range of a blob. Its first bytes have been checked when this returns.
    pub async fn read_blob(
        &self,
        blob: Blob,
        range: std::ops::Range<u64>,
        kind: FrameKind,
    ) -> Result<VerifiedBody, BodyError> {
        let digest = blob.digest;
        let mut body = match blob.content {
            Content::Memory(bytes) => {
                let (start, end) = (range.start as usize, range.end as usize);
                return Ok(VerifiedBody::memory(self, digest, bytes.slice(start..end)));
            }
            Content::Indexed(file, index) => VerifiedBody::indexed(self, digest, file, index, range, kind),
            Content::Unindexed(file) if range == (0..blob.size) => {
                VerifiedBody::hashed(self, digest, file, kind)
            }
            Content::Unindexed(file) => {
                let index = self.index_whole(digest, file.clone()).await?;
                VerifiedBody::indexed(self, digest, file, index, range, kind)
            }
        };
        body.prepare().await?;
        Ok(body)
    }

    /// Takes a blob out of a repository. The bytes stay.
    pub async fn delete_blob(&self, name: &RepositoryName, digest: &Digest) -> Result<()> {
        if self.delete_link(&layout::layer_link(name, digest)).await? {
            Ok(())
        } else {
            Err(Error::BlobUnknown(name.clone(), *digest))
        }
    }

    /// Links a blob of another repository into this one. Looks in `from`, or where that is not given in all
    /// repositories that `may_read` allows. Says whether it was found.
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
        let names = self.repository_names().await?;
        let candidates = names.iter().filter(|name| may_read(name)).take(MOUNT_CANDIDATES);
        let links: Vec<_> = candidates.map(|name| layout::layer_link(name, digest)).collect();
        Ok(self.store().exist(&links).await?.contains(&true))
    }

    /// Makes a blob readable in a repository.
    pub(crate) async fn link_blob(&self, name: &RepositoryName, digest: &Digest) -> Result<()> {
        self.put_link(&layout::layer_link(name, digest), digest).await?;
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

    /// The size of a blob's bytes, `None` where they are missing, damaged, or not of the size they must be.
    pub(crate) async fn stat_data(&self, digest: &Digest) -> Result<Option<u64>> {
        if self.is_damaged(digest) {
            return Ok(None);
        }
        let Some(meta) = optional(self.store().head(&layout::blob_data(digest)).await)? else {
            return Ok(None);
        };
        let expected = if meta.size <= SMALL {
            match self.inner.caches.small_blobs.get(digest) {
                Some(bytes) if bytes.len() as u64 == meta.size => meta.size,
                // A wrong small blob would be found by the next pull; finding it here lets the push mend it.
                _ => match self.open_data(digest).await {
                    Ok(blob) => return Ok(blob.map(|blob| blob.size)),
                    Err(Error::Damaged { .. }) => return Ok(None),
                    Err(error) => return Err(error),
                },
            }
        } else {
            self.index(digest).await?.map_or(meta.size, |index| index.size())
        };
        if expected == meta.size {
            return Ok(Some(meta.size));
        }
        self.mark_damaged(digest);
        Ok(None)
    }

    async fn open_data(&self, digest: &Digest) -> Result<Option<Blob>> {
        if let Some(bytes) = self.inner.caches.small_blobs.get(digest) {
            let size = bytes.len() as u64;
            return Ok(Some(Blob { digest: *digest, size, content: Content::Memory(bytes) }));
        }
        let key = layout::blob_data(digest);
        let Some(object) = optional(self.store().open(&key).await)? else { return Ok(None) };
        let size = object.size;
        let content = match object.data {
            ObjectData::Bytes(bytes) => Content::Memory(self.prove(digest, bytes)?),
            ObjectData::File(_) if size <= SMALL => {
                let bytes = self.store().get(&key, SMALL as usize).await?;
                let bytes = self.prove(digest, bytes)?;
                self.inner.caches.small_blobs.insert(*digest, bytes.clone());
                Content::Memory(bytes)
            }
            ObjectData::File(file) => match self.index(digest).await? {
                Some(index) if index.size() == size => Content::Indexed(file, index),
                Some(_) => {
                    self.mark_damaged(digest);
                    return Err(Error::Damaged { digest: *digest });
                }
                None => Content::Unindexed(file),
            },
        };
        Ok(Some(Blob { digest: *digest, size, content }))
    }

    /// Bytes whose digest was compared.
    pub(crate) fn prove(&self, digest: &Digest, bytes: Bytes) -> Result<Bytes> {
        if Digest::of(digest.algorithm(), &bytes) == *digest {
            return Ok(bytes);
        }
        self.mark_damaged(digest);
        Err(Error::Damaged { digest: *digest })
    }

    /// The chunk index, if there is a good one.
    async fn index(&self, digest: &Digest) -> Result<Option<Arc<ChunkIndex>>> {
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

    /// Hashes a whole blob that has no index yet, and indexes it.
    async fn index_whole(&self, digest: Digest, file: Arc<LocalFile>) -> Result<Arc<ChunkIndex>, BodyError> {
        let io = |source| BodyError::Io { digest, source };
        let _permit = self.inner.hashing.acquire().await.map_err(|e| io(std::io::Error::other(e)))?;
        let hash = move || {
            let (mut hasher, mut indexer) = (Hasher::new(digest.algorithm()), ChunkIndexer::new());
            read_pieces(&file, 0, file.size(), |piece| {
                hasher.update(piece);
                indexer.update(piece);
            })?;
            Ok((hasher.finish(), indexer.finish()))
        };
        let hashed = tokio::task::spawn_blocking(hash).await.map_err(|e| io(std::io::Error::other(e)))?;
        let (found, index) = hashed.map_err(io)?;
        if found != digest {
            self.mark_damaged(&digest);
            return Err(BodyError::Damaged { digest, at: 0 });
        }
        self.keep_index_later(digest, index.clone());
        Ok(Arc::new(index))
    }

    /// Writes an index without making a reader wait for it; it can always be made again.
    pub(crate) fn keep_index_later(&self, digest: Digest, index: ChunkIndex) {
        let registry = self.clone();
        tokio::spawn(async move {
            if let Err(error) = registry.put_index(&digest, index).await {
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
