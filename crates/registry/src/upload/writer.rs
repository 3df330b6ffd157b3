//! Writing to an upload: hash, chunk checksums and bytes in one pass.

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use wharfinger_oci::{Digest, Hasher, RepositoryName};
use wharfinger_store::{
    Checkpoint, Delete, Direct, Durability, ObjectData, Operation, Staged, StoreError, StoreErrorKind,
};

use super::UploadStatus;
use super::Writing;
use super::session::{Session, SessionId, SessionRef};
use crate::blob::chunk_index::ChunkIndexer;
use crate::blob::remote::read_whole;
use crate::blob::verified::read_pieces;
use crate::budget::Held;
use crate::error::{Error, Result};
use crate::layout;
use crate::registry::{Mode, Registry};

/// Held without a share of the byte budget.
const FREE: usize = 64 * 1024;
/// The least that a buffer of held bytes grows by, once it is as large.
const GROWTH: usize = 512 * 1024;

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
    session: Session,
    hasher: Hasher,
    indexer: ChunkIndexer,
    /// Bytes before those that are held.
    staged: Option<Box<dyn Staged>>,
    /// What the client says that the whole blob is, if it sends all of it in this request.
    announced: Option<(Digest, u64)>,
    /// The blob on its way to its name; then there is no stage.
    direct: Option<Box<dyn Direct>>,
    /// Whether bytes go straight to the stage; then none are held.
    streaming: bool,
    held: BytesMut,
    share: Option<Held>,
    length: u64,
    /// The store has failed to take bytes: it is not asked again to keep what came, the last record holds.
    lost: bool,
    /// How many of the bytes the record has; `None` where there is no record.
    recorded: Option<u64>,
    writing: Writing,
}

impl UploadWriter {
    /// An upload that has no record yet.
    pub(super) fn fresh(
        registry: Registry,
        name: RepositoryName,
        session: Session,
        writing: Writing,
    ) -> UploadWriter {
        UploadWriter { open: Some(Open::new(registry, name, session, writing)) }
    }

    /// Goes on where the record of a session ends.
    pub(super) async fn resume(
        registry: Registry,
        name: RepositoryName,
        session: Session,
        share: Option<Held>,
        writing: Writing,
    ) -> Result<UploadWriter> {
        let mut open = Open::new(registry, name, session, writing);
        let length = open.session.length();
        (open.length, open.recorded, open.share) = (length, Some(length), share);
        if open.session.checkpoint.length > 0 {
            open.open_stage().await?;
        }
        let proofs = open.session.proofs();
        let held = std::mem::take(&mut open.session.held);
        match proofs {
            Some(proofs) => (open.hasher, open.indexer) = proofs,
            None => open.read_again(&held).await?,
        }
        open.held = held.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
        Ok(UploadWriter { open: Some(open) })
    }

    /// The session.
    pub fn id(&self) -> SessionId {
        self.open().writing.id
    }

    /// The session, as of the state that its record has.
    pub fn reference(&self) -> SessionRef {
        self.open().reference(self.length())
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

    /// Says what the blob will be, once this request's body of `length` bytes is added. A store that can withhold an
    /// object until its last byte may then write it straight to its name.
    pub fn announce(&mut self, digest: Digest, length: u64) {
        let open = self.open_mut();
        if open.length == 0 && digest.algorithm() == open.hasher.algorithm() {
            open.announced = Some((digest, length));
        }
    }

    /// Adds bytes at the end.
    pub async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.open_mut().write(bytes).await
    }

    /// Makes what came so far durable, together with the state of the hash, and lets go of the session.
    pub async fn pause(mut self) -> Result<UploadStatus> {
        let Some(mut open) = self.open.take() else { return Err(Error::UploadUnknown) };
        if open.direct.take().is_some() {
            // Nothing of it was kept: the session is where it was before this request.
            let length = open.recorded.unwrap_or(0);
            return Ok(UploadStatus { session: open.reference(length), length });
        }
        open.record().await?;
        let status = UploadStatus { session: open.reference(open.length), length: open.length };
        let Open { registry, mut session, held, share, writing, .. } = open;
        session.held = held.freeze();
        registry.inner.sessions.keep(writing.id, session, share);
        Ok(status)
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

/// Takes bytes of a blob that the store has: they are hashed on their way here, and that is all.
struct Known;

#[async_trait]
impl Direct for Known {
    async fn write(&mut self, _bytes: Bytes) -> Result<(), StoreError> {
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<(), StoreError> {
        Ok(())
    }
}

impl Drop for UploadWriter {
    fn drop(&mut self) {
        let Some(mut open) = self.open.take() else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        match open.recorded {
            // The client never learnt of this session, so nobody can go on with it.
            None if open.staged.is_some() => drop(runtime.spawn(open.discard())),
            Some(recorded) if open.direct.is_none() && !open.lost && open.length > recorded => {
                drop(runtime.spawn(async move {
                    if let Err(error) = open.record().await {
                        tracing::warn!(session = %open.writing.id, %error, "an upload that broke off could not be kept");
                    }
                }));
            }
            _ => {}
        }
    }
}

impl Open {
    fn new(registry: Registry, name: RepositoryName, session: Session, writing: Writing) -> Open {
        let (hasher, indexer) = (Hasher::new(session.algorithm()), ChunkIndexer::new());
        Open {
            registry,
            name,
            session,
            hasher,
            indexer,
            staged: None,
            announced: None,
            direct: None,
            streaming: false,
            held: BytesMut::new(),
            share: None,
            length: 0,
            lost: false,
            recorded: None,
            writing,
        }
    }

    fn reference(&self, length: u64) -> SessionRef {
        SessionRef::new(self.writing.id, self.session.generation, length)
    }

    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        let taken = self.take(bytes).await;
        self.lost |= taken.is_err();
        taken
    }

    async fn take(&mut self, mut bytes: Bytes) -> Result<()> {
        if !self.streaming {
            if self.held.len() + bytes.len() <= self.registry.inner.shape.small && self.grow(bytes.len()) {
                self.add(&bytes);
                self.held.extend_from_slice(&bytes);
                return Ok(());
            }
            self.stream().await?;
        }
        if let Some(direct) = &mut self.direct {
            direct.write(bytes.clone()).await?;
            self.add(&bytes);
            return Ok(());
        }
        let every = self.registry.inner.shape.checkpoint_every;
        while !bytes.is_empty() {
            let room = (self.session.checkpoint.length + every).saturating_sub(self.length);
            let taken = match usize::try_from(room) {
                // Where more was held than goes between two checkpoints, this goes with it.
                Ok(0) | Err(_) => bytes.len(),
                Ok(room) => room.min(bytes.len()),
            };
            let part = bytes.split_to(taken);
            self.add(&part);
            if let Some(staged) = &mut self.staged {
                staged.write(part).await?;
            }
            if self.length - self.session.checkpoint.length >= every {
                self.record().await?;
                self.streaming = true;
            }
        }
        Ok(())
    }

    /// Bytes that are about to be held or staged.
    fn add(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.indexer.update(bytes);
        self.length += bytes.len() as u64;
    }

    /// Makes room for held bytes, if the byte budget allows it.
    fn grow(&mut self, added: usize) -> bool {
        let covered = FREE + self.share.as_ref().map_or(0, Held::bytes);
        let wanted = self.held.len() + added;
        if wanted > covered {
            let step = (wanted - covered).max(GROWTH.min(wanted)) as u64;
            match (self.registry.try_hold(step), &mut self.share) {
                (None, _) => return false,
                (Some(more), Some(share)) => share.merge(more),
                (Some(more), share) => *share = Some(more),
            }
        }
        if self.held.capacity() < wanted {
            self.held.reserve(added.max(GROWTH.min(self.held.len())));
        }
        true
    }

    /// From now on bytes go straight to the stage; those that are held go first.
    async fn stream(&mut self) -> Result<()> {
        if self.begin_direct().await? {
            let held = std::mem::take(&mut self.held).freeze();
            if let Some(direct) = &mut self.direct
                && !held.is_empty()
            {
                direct.write(held).await?;
            }
            (self.share, self.streaming) = (None, true);
            return Ok(());
        }
        if self.recorded.is_none() || (self.registry.inner.shape.remote && !self.session.staging) {
            self.record_staging().await?;
        }
        self.open_stage().await?;
        let held = std::mem::take(&mut self.held).freeze();
        // From here on they are nowhere else: if this fails, there is nothing to record.
        self.streaming = true;
        if let Some(staged) = &mut self.staged
            && !held.is_empty()
        {
            staged.write(held).await?;
        }
        self.share = None;
        Ok(())
    }

    /// Begins to write the blob straight to its name, where that is known and nothing can be deleting it.
    async fn begin_direct(&mut self) -> Result<bool> {
        let Some((digest, length)) = self.announced.take() else { return Ok(false) };
        if self.staged.is_some() || self.registry.inner.options.mode != Mode::Adopted {
            return Ok(false);
        }
        self.direct = if self.is_kept(&digest, length).await? {
            Some(Box::new(Known))
        } else {
            self.registry.store().write(&layout::blob_data(&digest), length).await?
        };
        Ok(self.direct.is_some())
    }

    /// Whether a store elsewhere has the blob whole: its copy stays, since what it consists of would be left behind if
    /// it was replaced.
    async fn is_kept(&self, digest: &Digest, length: u64) -> Result<bool> {
        let registry = &self.registry;
        if !registry.inner.shape.remote || registry.stat_data(digest).await? != Some(length) {
            return Ok(false);
        }
        // Whoever pushes what is there may have been told by another instance that it is damaged.
        registry.take_mark(*digest).await?;
        Ok(registry.damage(digest).is_none())
    }

    async fn open_stage(&mut self) -> Result<()> {
        if self.staged.is_some() {
            return Ok(());
        }
        let checkpoint = Some(&self.session.checkpoint).filter(|checkpoint| checkpoint.length > 0);
        let key = layout::upload_data(&self.writing.id);
        match self.registry.store().stage(&key, checkpoint).await {
            Ok(staged) => {
                self.staged = Some(staged);
                Ok(())
            }
            // A crash between the publishing of the blob and the removal of the record: nothing to go on with.
            Err(error)
                if checkpoint.is_some()
                    && matches!(error.kind, StoreErrorKind::NotFound | StoreErrorKind::Invalid) =>
            {
                self.registry.discard_upload(self.writing.id, &self.session).await?;
                Err(Error::UploadUnknown)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Makes everything so far durable: what was streamed in the stage, what is held in the record.
    async fn record(&mut self) -> Result<()> {
        if self.recorded == Some(self.length) {
            return Ok(());
        }
        if self.streaming
            && let Some(staged) = &mut self.staged
        {
            let checkpoint = staged.checkpoint().await?;
            self.ensure_whole(&checkpoint)?;
            self.session.checkpoint = checkpoint;
            self.streaming = false;
        }
        self.session.set_proofs(&self.hasher, &self.indexer);
        self.put_record().await
    }

    /// Whether everything that was hashed is staged, as it is unless a write has failed.
    fn ensure_whole(&self, checkpoint: &Checkpoint) -> Result<()> {
        if checkpoint.length == self.length {
            return Ok(());
        }
        let key = layout::upload_data(&self.writing.id);
        let reason = "bytes were lost on their way to the store; go on at the last checkpoint";
        Err(StoreError::new(StoreErrorKind::Unavailable, Operation::Checkpoint, &key, reason).into())
    }

    /// Says in the record that something is staged from here on, and changes nothing else: whatever is staged has to be
    /// found by a record.
    async fn record_staging(&mut self) -> Result<()> {
        self.session.staging = true;
        let held = self.recorded.unwrap_or(0).saturating_sub(self.session.checkpoint.length);
        let held = usize::try_from(held).unwrap_or(usize::MAX).min(self.held.len());
        self.put_record_holding(Bytes::copy_from_slice(&self.held[..held])).await
    }

    async fn put_record(&mut self) -> Result<()> {
        self.put_record_holding(self.held.clone().freeze()).await
    }

    async fn put_record_holding(&mut self, held: Bytes) -> Result<()> {
        let recorded = self.session.checkpoint.length + held.len() as u64;
        self.session.next_generation();
        self.session.held = held;
        let record = self.session.encode();
        self.session.held = Bytes::new();
        let key = layout::upload_session(&self.writing.id);
        self.registry.store().put(&key, record.clone(), Durability::Synced).await?;
        self.registry.share_session(self.writing.id, &record);
        self.recorded = Some(recorded);
        Ok(())
    }

    async fn finish(mut self, digest: Digest) -> Result<Closing> {
        let found = if self.hasher.algorithm() == digest.algorithm() {
            self.hasher.clone().finish()
        } else {
            self.hash_with(digest).await?
        };
        if found != digest {
            // Before anything else: what was not finished is no object.
            self.direct = None;
            self.discard().await?;
            return Err(Error::DigestMismatch { expected: digest.into(), found: found.into() });
        }
        let (registry, size) = (self.registry.clone(), self.length);
        let data = layout::blob_data(&digest);
        registry.inner.caches.forget(&digest);
        let mut published = false;
        if let Some(direct) = self.direct.take() {
            registry.put_index(&digest, self.indexer.clone().finish()).await?;
            direct.finish().await?;
        } else if self.staged.is_some() {
            published = self.publish(digest).await?;
        } else {
            self.put_held(digest).await?;
        }
        let written = registry.store().head(&data).await?.size;
        if written != size {
            return Err(Error::SizeMismatch { expected: size, found: written });
        }
        registry.mark_mended(&digest);
        registry.link_blob(&self.name, &digest).await?;
        if let Err(error) = self.put_away(published).await {
            // The blob is there, and the purge finds the rest by its record.
            tracing::warn!(session = %self.writing.id, %error, "a closed upload could not be put away");
        }
        Ok(Closing { digest, size })
    }

    /// Stores a blob that is held whole.
    async fn put_held(&mut self, digest: Digest) -> Result<()> {
        let held = std::mem::take(&mut self.held).freeze();
        let (data, store) = (layout::blob_data(&digest), self.registry.store());
        if self.registry.inner.shape.remote
            && (store.put_new(&data, held.clone(), Durability::Synced).await?
                || self.is_kept(&digest, self.length).await?)
        {
            return Ok(());
        }
        Ok(store.put(&data, held, Durability::Synced).await?)
    }

    /// Removes what a closed upload leaves: its record, and what was staged and did not become the blob.
    async fn put_away(&self, published: bool) -> Result<()> {
        let id = self.writing.id;
        if self.recorded.is_none() {
            return Ok(());
        }
        if !published && (self.session.staging || self.session.checkpoint.length > 0) {
            return self.registry.discard_upload(id, &self.session).await;
        }
        self.registry.store().delete(&layout::upload_session(&id), Delete { prune_parents: 1 }).await?;
        self.registry.unshare_session(id);
        Ok(())
    }

    /// Makes what is staged visible as `digest`, with its chunk index. False where the store has the blob of other bytes
    /// already.
    async fn publish(&mut self, digest: Digest) -> Result<bool> {
        if !self.held.is_empty() {
            self.stream().await?;
        }
        // Dropped where it is not published: the segment that is being written is no object.
        let Some(mut staged) = self.staged.take() else { unreachable!("only staged uploads are published") };
        let registry = self.registry.clone();
        if self.is_kept(&digest, self.length).await? {
            return Ok(false);
        }
        if self.length > registry.small() {
            registry.put_index(&digest, self.indexer.clone().finish()).await?;
        }
        let checkpoint = staged.checkpoint().await?;
        self.ensure_whole(&checkpoint)?;
        if !checkpoint.parts.is_empty() {
            // From here on the parts may belong to the blob, and whoever drops this session has to look.
            self.session.checkpoint = checkpoint;
            self.session.publishing = Some(digest);
            self.session.set_proofs(&self.hasher, &self.indexer);
            self.put_record().await?;
        }
        Ok(staged.publish(&layout::blob_data(&digest)).await?)
    }

    /// Hashes everything again with the algorithm that the client closes with.
    async fn hash_with(&mut self, digest: Digest) -> Result<Digest> {
        let (mut hasher, mut indexer) = (Hasher::new(digest.algorithm()), ChunkIndexer::new());
        let staged = self.length - self.held.len() as u64;
        if let Some(stage) = &mut self.staged {
            let content = stage.open().await?.data;
            (hasher, indexer) = hash_again(hasher, indexer, content, staged).await?;
        }
        hasher.update(&self.held);
        indexer.update(&self.held);
        if indexer.finish() != self.indexer.clone().finish() {
            // Not what the client sent: it is not told that its digest is wrong.
            let key = layout::upload_data(&self.writing.id);
            let reason = "other bytes were read than were written";
            return Err(StoreError::new(StoreErrorKind::Invalid, Operation::Read, &key, reason).into());
        }
        Ok(hasher.finish())
    }

    /// The hash and the checksums of a session whose saved state does not decode: everything is read again.
    async fn read_again(&mut self, held: &Bytes) -> Result<()> {
        let (mut hasher, mut indexer) = (Hasher::new(self.session.algorithm()), ChunkIndexer::new());
        if let Some(stage) = &mut self.staged {
            let content = stage.open().await?.data;
            (hasher, indexer) = hash_again(hasher, indexer, content, self.session.checkpoint.length).await?;
        }
        hasher.update(held);
        indexer.update(held);
        (self.hasher, self.indexer) = (hasher, indexer);
        Ok(())
    }

    async fn discard(self) -> Result<()> {
        let Open { registry, session, staged, writing, .. } = self;
        drop(staged);
        registry.discard_upload(writing.id, &session).await
    }
}

/// Reads the first `length` bytes into a hash and into chunk checksums.
async fn hash_again(
    mut hasher: Hasher,
    mut indexer: ChunkIndexer,
    content: ObjectData,
    length: u64,
) -> Result<(Hasher, ChunkIndexer)> {
    let mut add = |piece: &[u8]| {
        hasher.update(piece);
        indexer.update(piece);
    };
    match content {
        ObjectData::Bytes(bytes) => {
            add(&bytes[..usize::try_from(length).unwrap_or(bytes.len()).min(bytes.len())]);
        }
        ObjectData::Remote(object) => read_whole(&*object, 0..length, add).await?,
        ObjectData::File(file) => {
            let work = move || {
                read_pieces(&file, 0, length, |piece| {
                    hasher.update(piece);
                    indexer.update(piece);
                })?;
                Ok::<_, std::io::Error>((hasher, indexer))
            };
            let done = tokio::task::spawn_blocking(work).await;
            let done = done.unwrap_or_else(|panic| Err(std::io::Error::other(panic)));
            return done.map_err(|error| {
                let key = layout::uploads();
                StoreError::io(Operation::Read, &key, error).into()
            });
        }
    }
    Ok((hasher, indexer))
}
