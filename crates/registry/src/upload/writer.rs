//! Writing to an upload: hash, chunk checksums and bytes in one pass.

use bytes::{Bytes, BytesMut};
use wharfinger_oci::{Digest, Hasher, RepositoryName};
use wharfinger_store::{Delete, Durability, ObjectData, Staged, StoreErrorKind};

use super::Writing;
use super::session::{Session, SessionId};
use crate::blob::chunk_index::{CHUNK, ChunkIndexer, SMALL};
use crate::blob::verified::read_pieces;
use crate::error::{Error, Result};
use crate::layout;
use crate::registry::Registry;

/// Bytes between two points from which an upload can go on after a crash.
const CHECKPOINT_EVERY: u64 = 64 * 1024 * 1024;

/// An open upload. Dropping it keeps what came so far: a client that broke off can go on.
pub struct UploadWriter {
    open: Option<Open>,
}

/// What closing an upload gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closing {
    /// Digest of the blob.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
}

struct Open {
    registry: Registry,
    name: RepositoryName,
    id: SessionId,
    session: Session,
    hasher: Hasher,
    indexer: ChunkIndexer,
    bytes: Kept,
    length: u64,
    /// Whether the store has a record of this session.
    recorded: bool,
    _writing: Writing,
}

/// Where the bytes are.
enum Kept {
    /// Few enough to hold until the digest is known.
    Memory(BytesMut),
    Staged(Box<dyn Staged>),
}

impl UploadWriter {
    pub(super) fn fresh(
        registry: Registry,
        name: RepositoryName,
        id: SessionId,
        session: Session,
        writing: Writing,
        recorded: bool,
    ) -> UploadWriter {
        let hasher = Hasher::new(session.algorithm());
        let open = Open {
            registry,
            name,
            id,
            session,
            hasher,
            indexer: ChunkIndexer::new(),
            bytes: Kept::Memory(BytesMut::new()),
            length: 0,
            recorded,
            _writing: writing,
        };
        UploadWriter { open: Some(open) }
    }

    /// Goes on at the checkpoint of a session.
    pub(super) async fn resume(
        registry: Registry,
        name: RepositoryName,
        id: SessionId,
        session: Session,
        writing: Writing,
    ) -> Result<UploadWriter> {
        if session.checkpoint.length == 0 {
            return Ok(UploadWriter::fresh(registry, name, id, session, writing, true));
        }
        let staged = registry.store().stage(&layout::upload_data(&id), Some(&session.checkpoint)).await;
        let mut staged = match staged {
            Ok(staged) => staged,
            // A crash between the publishing of the blob and the removal of the record: nothing to go on with.
            Err(error) if matches!(error.kind, StoreErrorKind::NotFound | StoreErrorKind::Invalid) => {
                registry.discard_upload(id).await?;
                return Err(Error::UploadUnknown);
            }
            Err(error) => return Err(error.into()),
        };
        let length = session.checkpoint.length;
        let (hasher, indexer) = read_again(&session, &mut *staged).await?;
        let bytes = Kept::Staged(staged);
        let open = Open {
            registry,
            name,
            id,
            session,
            hasher,
            indexer,
            bytes,
            length,
            recorded: true,
            _writing: writing,
        };
        Ok(UploadWriter { open: Some(open) })
    }

    /// The session.
    pub fn id(&self) -> SessionId {
        self.open().id
    }

    /// Bytes so far.
    pub fn length(&self) -> u64 {
        self.open().length
    }

    #[expect(clippy::expect_used, reason = "taken only by pause, finish and drop, which consume the writer")]
    fn open(&self) -> &Open {
        self.open.as_ref().expect("an open upload")
    }

    #[expect(clippy::expect_used, reason = "taken only by pause, finish and drop, which consume the writer")]
    fn open_mut(&mut self) -> &mut Open {
        self.open.as_mut().expect("an open upload")
    }

    /// Adds bytes at the end.
    pub async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.open_mut().write(bytes).await
    }

    /// Makes what came so far durable, together with the state of the hash, and lets go of the session.
    pub async fn pause(mut self) -> Result<u64> {
        match self.open.take() {
            Some(mut open) => {
                open.checkpoint().await?;
                Ok(open.length)
            }
            None => Ok(0),
        }
    }

    /// Closes the upload as blob `digest`: bytes first, then the link that makes them readable.
    ///
    /// # Errors
    /// [`Error::DigestMismatch`]: the upload is dropped, nothing became visible.
    pub async fn finish(mut self, digest: Digest) -> Result<Closing> {
        match self.open.take() {
            Some(open) => open.finish(digest).await,
            None => Err(Error::UploadUnknown),
        }
    }

    /// Drops the upload with all its bytes.
    pub async fn abandon(mut self) -> Result<()> {
        match self.open.take() {
            Some(open) => open.discard().await,
            None => Ok(()),
        }
    }
}

impl Drop for UploadWriter {
    fn drop(&mut self) {
        let Some(mut open) = self.open.take() else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if !open.recorded {
            // The client never learnt of this session, so nobody can go on with it.
            if matches!(open.bytes, Kept::Staged(_)) {
                runtime.spawn(open.discard());
            }
        } else if open.length > open.session.checkpoint.length {
            runtime.spawn(async move {
                if let Err(error) = open.checkpoint().await {
                    tracing::warn!(session = %open.id, %error, "an upload that broke off could not be kept");
                }
            });
        }
    }
}

impl Open {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.hasher.update(&bytes);
        self.indexer.update(&bytes);
        self.length += bytes.len() as u64;
        match &mut self.bytes {
            Kept::Memory(buffer) if buffer.len() + bytes.len() <= SMALL as usize => {
                buffer.extend_from_slice(&bytes);
                return Ok(());
            }
            Kept::Memory(_) => self.staged().await?.write(bytes).await?,
            Kept::Staged(staged) => staged.write(bytes).await?,
        }
        if self.recorded && self.length - self.session.checkpoint.length >= CHECKPOINT_EVERY {
            self.checkpoint().await?;
        }
        Ok(())
    }

    /// The stage, after moving there what was held in memory.
    async fn staged(&mut self) -> Result<&mut Box<dyn Staged>> {
        if let Kept::Memory(buffer) = &mut self.bytes {
            let held = std::mem::take(buffer).freeze();
            let mut staged = self.registry.store().stage(&layout::upload_data(&self.id), None).await?;
            if !held.is_empty() {
                staged.write(held).await?;
            }
            self.bytes = Kept::Staged(staged);
        }
        match &mut self.bytes {
            Kept::Staged(staged) => Ok(staged),
            Kept::Memory(_) => unreachable!("was staged above"),
        }
    }

    async fn checkpoint(&mut self) -> Result<()> {
        if self.length > self.session.checkpoint.length {
            self.session.checkpoint = self.staged().await?.checkpoint().await?;
            self.session.midstate = hex::encode(self.hasher.midstate());
            self.session.set_chunk_checksums(self.indexer.complete());
        }
        let record = self.session.encode().into();
        let key = layout::upload_session(&self.id);
        self.registry.store().put(&key, record, Durability::Synced).await?;
        self.recorded = true;
        Ok(())
    }

    async fn finish(mut self, digest: Digest) -> Result<Closing> {
        let found = if self.hasher.algorithm() == digest.algorithm() {
            self.hasher.clone().finish()
        } else {
            self.hash_with(digest).await?
        };
        if found != digest {
            self.discard().await?;
            return Err(Error::DigestMismatch { expected: digest.into(), found: found.into() });
        }
        let (registry, size) = (self.registry.clone(), self.length);
        let data = layout::blob_data(&digest);
        registry.inner.caches.forget(&digest);
        match self.bytes {
            Kept::Memory(buffer) => registry.store().put(&data, buffer.freeze(), Durability::Synced).await?,
            Kept::Staged(staged) => {
                if size > SMALL {
                    registry.put_index(&digest, self.indexer.finish()).await?;
                }
                staged.publish(&data).await?;
            }
        }
        let written = registry.store().head(&data).await?.size;
        if written != size {
            return Err(Error::SizeMismatch { expected: size, found: written });
        }
        registry.mark_mended(&digest);
        registry.link_blob(&self.name, &digest).await?;
        if self.recorded {
            registry.store().delete(&layout::upload_session(&self.id), Delete { prune_parents: 1 }).await?;
        }
        Ok(Closing { digest, size })
    }

    /// Hashes everything again with the algorithm that the client closes with.
    async fn hash_with(&mut self, digest: Digest) -> Result<Digest> {
        let content = match &mut self.bytes {
            Kept::Memory(buffer) => return Ok(Digest::of(digest.algorithm(), buffer)),
            Kept::Staged(staged) => staged.open().await?,
        };
        let mut hasher = Hasher::new(digest.algorithm());
        hash_range(&mut hasher, None, content.data, 0, self.length).await.map(|(hasher, _)| hasher.finish())
    }

    async fn discard(self) -> Result<()> {
        let Open { registry, id, bytes, .. } = self;
        drop(bytes);
        registry.discard_upload(id).await
    }
}

/// The hash and the checksums at a session's checkpoint. The midstate saves reading everything; the chunk that
/// was open at the checkpoint is read again.
async fn read_again(session: &Session, staged: &mut dyn Staged) -> Result<(Hasher, ChunkIndexer)> {
    let length = session.checkpoint.length;
    let saved = session.hasher().zip(session.chunk_checksums());
    let saved = saved.filter(|(_, chunks)| chunks.len() as u64 == length / CHUNK);
    let content = staged.open().await?.data;
    match saved {
        Some((hasher, chunks)) => {
            let start = length / CHUNK * CHUNK;
            let (_, indexer) =
                hash_range(&mut hasher.clone(), Some(ChunkIndexer::resume(chunks)), content, start, length)
                    .await?;
            Ok((hasher, indexer))
        }
        None => {
            let mut hasher = Hasher::new(session.algorithm());
            hash_range(&mut hasher, Some(ChunkIndexer::new()), content, 0, length).await
        }
    }
}

/// Reads `start..end` on the blocking pool into a hash and, where given, into chunk checksums.
async fn hash_range(
    hasher: &mut Hasher,
    indexer: Option<ChunkIndexer>,
    content: ObjectData,
    start: u64,
    end: u64,
) -> Result<(Hasher, ChunkIndexer)> {
    let mut hasher = hasher.clone();
    let mut indexer = indexer.unwrap_or_default();
    let work = move || {
        let mut add = |piece: &[u8]| {
            hasher.update(piece);
            indexer.update(piece);
        };
        match content {
            ObjectData::Bytes(bytes) => add(&bytes[start as usize..end as usize]),
            ObjectData::File(file) => read_pieces(&file, start, end - start, add)?,
        }
        Ok::<_, std::io::Error>((hasher, indexer))
    };
    let done = tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| Err(std::io::Error::other(e)));
    done.map_err(|error| {
        let key = layout::uploads();
        wharfinger_store::StoreError::io(wharfinger_store::Operation::Read, &key, error).into()
    })
}
