//! Putting right what is damaged in the store, with bytes that an intact copy has.
//!
//! What is written here is what a push would write, by the same functions: bytes first, then links.

use bytes::Bytes;
use wharfinger_oci::{Digest, Hasher, RepositoryName, Tag};
use wharfinger_store::{Durability, ObjectData, StoreErrorKind};

use crate::blob::chunk_index::{ChunkIndex, ChunkIndexer};
use crate::blob::{hash_file, hash_remote};
use crate::damaged::Damage;
use crate::error::{Error, Result, optional};
use crate::layout;
use crate::registry::{Mode, Registry};

impl Registry {
    /// Takes the blob for damaged from here on: a push of it replaces what is there. Other instances learn of it by a
    /// mark in the store, where the mode allows that and the copy has an age.
    pub async fn withhold(&self, digest: &Digest) -> Result<()> {
        let copy = optional(self.store().head(&layout::blob_data(digest)).await)?;
        let age = copy.and_then(|copy| copy.modified).filter(|_| self.inner.shape.remote);
        let damage = Damage::Read(age);
        self.mark_damaged_quietly(digest, damage);
        if let Some(mark) = damage.mark().filter(|_| self.inner.options.mode != Mode::Observe) {
            self.store().put(&layout::damaged(digest), mark.into(), Durability::Synced).await?;
        }
        Ok(())
    }

    /// Forgets what is remembered of a blob or manifest, reads it whole, and offers it again if it is what its digest
    /// says. False where it is not, or is not there; then it stays withheld.
    ///
    /// # Errors
    /// It could not be read.
    pub async fn look_again(&self, digest: &Digest) -> Result<bool> {
        self.inner.caches.forget(digest);
        if let Some(cache) = self.disk_cache() {
            cache.forget(digest).await;
        }
        match self.hash_stored(digest).await {
            Ok(Some((found, _))) if found == *digest => {
                self.mark_mended(digest);
                Ok(true)
            }
            Ok(_) => Ok(false),
            Err(Error::Store(error)) if error.kind == StoreErrorKind::Invalid => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn hash_stored(&self, digest: &Digest) -> Result<Option<(Digest, ChunkIndex)>> {
        let key = layout::blob_data(digest);
        let Some(object) = optional(self.store().open(&key).await)? else { return Ok(None) };
        let (mut hasher, mut indexer) = (Hasher::new(digest.algorithm()), ChunkIndexer::new());
        let hashed = match object.data {
            ObjectData::Bytes(bytes) => {
                hasher.update(&bytes);
                indexer.update(&bytes);
                (hasher.finish(), indexer.finish())
            }
            ObjectData::File(file) => hash_file(hasher, indexer, file).await.map_err(|error| {
                wharfinger_store::StoreError::io(wharfinger_store::Operation::Read, &key, error)
            })?,
            ObjectData::Remote(remote) => hash_remote(hasher, indexer, &*remote, object.size).await?,
        };
        Ok(Some(hashed))
    }

    /// Writes the bytes of a manifest under its digest.
    ///
    /// # Errors
    /// [`Error::DigestMismatch`]: they are not its bytes; nothing was written.
    pub async fn restore_manifest(&self, digest: &Digest, bytes: Bytes) -> Result<()> {
        let found = Digest::of(digest.algorithm(), &bytes);
        if found != *digest {
            return Err(Error::DigestMismatch { expected: (*digest).into(), found: found.into() });
        }
        self.put_manifest_bytes(digest, bytes).await
    }

    /// Writes the link that makes a manifest readable in the repository. Its bytes have to be there.
    pub async fn restore_revision(&self, name: &RepositoryName, digest: &Digest) -> Result<()> {
        self.put_link(&layout::revision_link(name, digest), digest).await
    }

    /// Writes the link that makes a blob readable in the repository. Its bytes have to be there.
    pub async fn restore_layer(&self, name: &RepositoryName, digest: &Digest) -> Result<()> {
        self.put_link(&layout::layer_link(name, digest), digest).await
    }

    /// Writes an entry of a tag's history again.
    pub async fn restore_tag_history(&self, name: &RepositoryName, tag: &Tag, digest: &Digest) -> Result<()> {
        self.put_link(&layout::tag_index_link(name, tag, digest), digest).await
    }

    /// Points a tag to a manifest, unless it points to one already that is not the `wrong` one. False where it does.
    pub async fn restore_tag(
        &self,
        name: &RepositoryName,
        tag: &Tag,
        digest: &Digest,
        wrong: Option<&Digest>,
    ) -> Result<bool> {
        let found = self.read_link(&layout::tag_current(name, tag)).await?;
        if found.is_some_and(|found| Some(&found) != wrong) {
            return Ok(false);
        }
        if self.set_tag(name, tag, digest).await? {
            self.outlast_leases().await;
        }
        Ok(true)
    }

    /// Writes the chunk index of a blob that was just read whole and is what its digest says.
    pub async fn replace_index(&self, digest: &Digest, index: ChunkIndex) -> Result<()> {
        self.inner.caches.forget(digest);
        self.put_index(digest, index).await
    }
}
