//! What is derivable of content that another registry wrote: chunk indexes and the referrers index.

use time::OffsetDateTime;
use wharfinger_oci::{Digest, Manifest, RepositoryName};
use wharfinger_store::{Key, ObjectData, StoreError, StoreErrorKind};

use crate::blob::chunk_index::ChunkIndex;
use crate::error::{Result, optional};
use crate::layout;
use crate::registry::Registry;
use crate::upload::SessionId;

/// Names looked up in one call.
const LOOKED_UP: usize = 1000;

/// An upload session as its record tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionSummary {
    /// The repository that it is for.
    pub repository: String,
    /// When it began.
    pub started_at: OffsetDateTime,
    /// Bytes that are there.
    pub length: u64,
}

impl Registry {
    /// The size that a blob's chunk index tells, if there is a good index.
    pub async fn indexed_size(&self, digest: &Digest) -> Result<Option<u64>> {
        Ok(self.index(digest).await?.map(|index| index.size()))
    }

    /// Whether a blob's chunk index lies in the store and is this one. Remembers nothing: who asks for every blob should not
    /// push out what pulls need.
    pub async fn is_indexed_as(&self, digest: &Digest, index: &ChunkIndex) -> Result<bool> {
        let expected = index.encode();
        let found = self.store().get(&layout::chunk_index(digest), expected.len()).await;
        match found {
            Err(error) if error.kind == StoreErrorKind::Invalid => Ok(false),
            found => Ok(optional(found)?.is_some_and(|found| found == expected)),
        }
    }

    /// Blobs of at most this many bytes have no chunk index: they are hashed on each read.
    pub fn needs_no_index(&self, size: u64) -> bool {
        size <= self.small()
    }

    /// Keeps the proof of a blob whose digest was computed over `object`: the exact list of its segments, and its chunk
    /// index where it needs one.
    pub async fn keep_proof(&self, digest: &Digest, index: ChunkIndex, object: &ObjectData) -> Result<()> {
        if let ObjectData::Remote(remote) = object {
            remote.remember().await?;
        }
        if !self.needs_no_index(index.size()) {
            self.put_index(digest, index).await?;
        }
        Ok(())
    }

    /// Enters a manifest of `size` bytes that refers to another one into the referrers index. Says whether that was
    /// needed.
    pub async fn enter_referrer(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        size: u64,
        manifest: &Manifest,
    ) -> Result<bool> {
        let Some(subject) = &manifest.subject else { return Ok(false) };
        let key: Key = layout::referrer(name, &subject.digest, digest);
        let known: Result<_, StoreError> = self.store().head(&key).await;
        if optional(known)?.is_some() {
            return Ok(false);
        }
        self.put_referrer(name, &subject.digest, digest, size, manifest).await?;
        Ok(true)
    }

    /// Makes sure that the catalog has these repositories: others may have been made by another registry since it was
    /// complete. Says how many it lacked.
    pub async fn enter_in_catalog(&self, names: &[RepositoryName]) -> Result<usize> {
        if !self.has_catalog_index() {
            return Ok(0);
        }
        let keys: Vec<Key> = names.iter().map(|name| self.catalog_key(name)).collect();
        let mut entered = 0;
        for (some, names) in keys.chunks(LOOKED_UP).zip(names.chunks(LOOKED_UP)) {
            let known = self.store().exist(some).await?;
            for (name, _) in names.iter().zip(known).filter(|(_, known)| !known) {
                self.note_repository(name).await?;
                entered += 1;
            }
        }
        Ok(entered)
    }

    /// What the record of an upload session tells; `None` where there is none that can be read.
    pub async fn session_summary(&self, id: SessionId) -> Result<Option<SessionSummary>> {
        let session = self.read_session(id).await?;
        Ok(session.map(|session| SessionSummary {
            length: session.length(),
            repository: session.repository,
            started_at: session.started_at,
        }))
    }
}
