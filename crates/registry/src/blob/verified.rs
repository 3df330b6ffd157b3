//! Bytes of a blob on their way out, none of them released before it was checked.
//!
//! The invariant `never-wrong-bytes`: a chunk is read and compared with its checksum before any byte of it is
//! handed on; the last piece of an answer is handed on only if the file was not written to meanwhile. What fails
//! ends the answer as an error, which aborts the connection.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;
use wharfinger_oci::{Digest, Hasher};
use wharfinger_store::{LocalFile, StoreError};

use super::chunk_index::{CHUNK, ChunkIndex, ChunkIndexer, crc32c};
use super::remote::RemoteBody;
use crate::damaged::Damage;
use crate::disk::{Copy, Next, Tail};
use crate::registry::Registry;

/// Read at a time while a chunk is checked. Stays in a core's first cache: 128 KiB at a time cost three times as much.
const SCRATCH: usize = 32 * 1024;
/// Handed on at a time where bytes are copied and the budget allows.
const COPIED: u64 = 64 * 1024;
/// Handed on at a time where it does not: nobody waits for the slow readers that hold it.
const COPIED_SMALL: u64 = 8 * 1024;
/// The last piece of an answer, copied and held back until the file is known to be unchanged.
const TAIL: u64 = 16 * 1024;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH]);
}

/// How the receiver wants its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// As pieces of mapped files, to be sent by the kernel.
    Mapped,
    /// In memory.
    Copied,
}

/// A piece of the answer.
#[derive(Debug)]
pub enum Frame {
    /// In memory.
    Copied(Bytes),
    /// Mapped from this file: send it from the file, do not touch it.
    Mapped(Arc<LocalFile>, Bytes),
}

/// Why an answer broke off.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The bytes in the store are not those of the digest.
    #[error("blob {digest} is damaged in the store at byte {at}: push it again to mend it")]
    Damaged {
        /// The blob.
        digest: Digest,
        /// Where the damaged chunk begins.
        at: u64,
    },
    /// Somebody wrote to the file while it was being sent.
    #[error("blob {0} was overwritten in place while it was being sent")]
    Changed(Digest),
    /// The store failed, or what it keeps is not whole.
    #[error("reading blob {digest} failed: {source}")]
    Store {
        /// The blob.
        digest: Digest,
        /// The storage call.
        source: Box<StoreError>,
    },
    /// Reading failed.
    #[error("reading blob {digest} failed: {source}")]
    Io {
        /// The blob.
        digest: Digest,
        /// The operating system's error.
        source: io::Error,
    },
}

/// What proves the bytes.
enum Proof {
    /// Checksums of an earlier proof by digest.
    Index(Arc<ChunkIndex>),
    /// The digest itself, over the whole blob from its first byte.
    Digest(Box<Hashing>),
}

struct Hashing {
    hasher: Hasher,
    indexer: ChunkIndexer,
}

enum Source {
    Memory(Bytes),
    File {
        file: Arc<LocalFile>,
        proof: Option<Proof>,
        kind: FrameKind,
        /// A copy in the disk cache: where it fails, the store goes on.
        copy: bool,
    },
    /// A copy that is being filled, and its file as far as it goes.
    Tail {
        tail: Box<Tail>,
        file: Option<Arc<LocalFile>>,
        kind: FrameKind,
    },
    /// The store is being opened for what the disk cache does not have.
    Opening(Pin<Box<dyn Future<Output = Result<RemoteBody, BodyError>> + Send>>),
    Remote(RemoteBody),
}

/// What the blocking pool gives back.
enum Step {
    Checked(Proof, io::Result<bool>),
    Read(io::Result<Bytes>),
}

/// A part of a blob, checked as it is read. Poll it for frames.
pub struct VerifiedBody {
    registry: Registry,
    digest: Digest,
    source: Source,
    position: u64,
    end: u64,
    /// Where the source began to be read.
    begun: u64,
    /// A copy that was left before its end: what was handed on of it may still be on its way.
    left: Option<Arc<LocalFile>>,
    /// Bytes before this offset were checked.
    checked: u64,
    pending: Option<JoinHandle<Step>>,
}

impl VerifiedBody {
    /// Bytes that were proved already.
    pub(super) fn memory(registry: &Registry, digest: Digest, bytes: Bytes) -> VerifiedBody {
        let end = bytes.len() as u64;
        VerifiedBody::new(registry, digest, Source::Memory(bytes), 0..end)
    }

    /// A range of a file that has a chunk index.
    pub(super) fn indexed(
        registry: &Registry,
        digest: Digest,
        file: Arc<LocalFile>,
        index: Arc<ChunkIndex>,
        range: std::ops::Range<u64>,
        kind: FrameKind,
    ) -> VerifiedBody {
        let source = Source::File { file, proof: Some(Proof::Index(index)), kind, copy: false };
        let checked = range.start / CHUNK * CHUNK;
        VerifiedBody { checked, ..VerifiedBody::new(registry, digest, source, range) }
    }

    /// A range of a copy in the disk cache.
    pub(super) fn copy(
        registry: &Registry,
        digest: Digest,
        copy: Copy,
        range: std::ops::Range<u64>,
        kind: FrameKind,
    ) -> VerifiedBody {
        let mut body = VerifiedBody::new(registry, digest, Source::Memory(Bytes::new()), range);
        body.go_on_with(copy, kind);
        body
    }

    /// A range of a blob that is being filled into the disk cache.
    pub(super) fn tail(
        registry: &Registry,
        digest: Digest,
        tail: Tail,
        range: std::ops::Range<u64>,
        kind: FrameKind,
    ) -> VerifiedBody {
        let source = Source::Tail { tail: Box::new(tail), file: None, kind };
        VerifiedBody::new(registry, digest, source, range)
    }

    /// A whole file without an index: hashed while it is sent, and indexed for the next time.
    pub(super) fn hashed(
        registry: &Registry,
        digest: Digest,
        file: Arc<LocalFile>,
        kind: FrameKind,
    ) -> VerifiedBody {
        let hashing = Hashing { hasher: Hasher::new(digest.algorithm()), indexer: ChunkIndexer::new() };
        let range = 0..file.size();
        let proof = Some(Proof::Digest(Box::new(hashing)));
        let source = Source::File { file, proof, kind, copy: false };
        VerifiedBody::new(registry, digest, source, range)
    }

    /// A range of a blob in a store elsewhere.
    pub(super) fn remote(
        registry: &Registry,
        digest: Digest,
        body: RemoteBody,
        range: std::ops::Range<u64>,
    ) -> VerifiedBody {
        VerifiedBody::new(registry, digest, Source::Remote(body), range)
    }

    fn new(registry: &Registry, digest: Digest, source: Source, range: std::ops::Range<u64>) -> VerifiedBody {
        let registry = registry.clone();
        VerifiedBody {
            registry,
            digest,
            source,
            position: range.start,
            begun: range.start,
            left: None,
            end: range.end,
            checked: 0,
            pending: None,
        }
    }

    /// Bytes that are still to come.
    pub fn remaining(&self) -> u64 {
        self.end - self.position
    }

    /// Checks the first bytes, so that an answer can still become an error.
    pub async fn prepare(&mut self) -> Result<(), BodyError> {
        std::future::poll_fn(|context| self.poll_checked(context)).await
    }

    /// The next frame. `None` after the last; after an error there are no more.
    pub fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        if self.position >= self.end {
            return Poll::Ready(None);
        }
        if let Source::Memory(bytes) = &mut self.source {
            self.position = self.end;
            return Poll::Ready(Some(Ok(Frame::Copied(std::mem::take(bytes)))));
        }
        let frame = ready!(self.poll_checked_frame(context));
        if frame.is_err() {
            self.position = self.end;
        }
        Poll::Ready(Some(frame))
    }

    fn poll_checked_frame(&mut self, context: &mut Context<'_>) -> Poll<Result<Frame, BodyError>> {
        loop {
            ready!(self.poll_checked(context))?;
            let frame = match &mut self.source {
                Source::Remote(body) => {
                    let bytes = ready!(body.poll_next(context, self.position, self.end))?;
                    self.position += bytes.len() as u64;
                    if self.position == self.end && self.left.as_ref().is_some_and(|f| !f.is_unchanged()) {
                        return Poll::Ready(Err(BodyError::Changed(self.digest)));
                    }
                    Ok(Frame::Copied(bytes))
                }
                Source::Tail { .. } => ready!(self.poll_tail(context)),
                _ => ready!(self.poll_file(context)),
            };
            match frame {
                Err(BodyError::Io { .. }) if self.is_cached() => self.go_on_from_the_store()?,
                frame => return Poll::Ready(frame),
            }
        }
    }

    /// Bytes of a copy that is being filled.
    fn poll_tail(&mut self, context: &mut Context<'_>) -> Poll<Result<Frame, BodyError>> {
        let Source::Tail { tail, .. } = &self.source else { unreachable!("only a tail is followed") };
        let end = self.checked.min(self.end).min(tail.chunk_end(self.position));
        let bytes = ready!(self.poll_read(context, end - self.position))?;
        let Source::Tail { tail, .. } = &mut self.source else { unreachable!("reading changes no source") };
        if !tail.takes(self.position, &bytes) {
            return Poll::Ready(Err(BodyError::Changed(self.digest)));
        }
        self.position += bytes.len() as u64;
        Poll::Ready(Ok(Frame::Copied(bytes)))
    }

    /// Bytes of a file that were checked.
    fn poll_file(&mut self, context: &mut Context<'_>) -> Poll<Result<Frame, BodyError>> {
        let Source::File { file, kind, .. } = &self.source else { unreachable!("only files are read") };
        let available = self.checked.min(self.end) - self.position;
        let last = self.position + available == self.end;
        if *kind == FrameKind::Mapped && (!last || available > TAIL) {
            let length = if last { available - TAIL } else { available };
            if let Some(bytes) = usize::try_from(length).ok().and_then(|n| file.mapped(self.position, n)) {
                self.position += length;
                return Poll::Ready(Ok(Frame::Mapped(file.clone(), bytes)));
            }
        }
        let file = file.clone();
        let bytes = ready!(self.poll_read(context, available))?;
        if self.position + bytes.len() as u64 == self.end && !file.is_unchanged() {
            if self.is_cached() {
                self.drop_copy();
            }
            return Poll::Ready(Err(BodyError::Changed(self.digest)));
        }
        self.position += bytes.len() as u64;
        Poll::Ready(Ok(Frame::Copied(bytes)))
    }

    /// Reads bytes that were checked before, at most `available`.
    fn poll_read(&mut self, context: &mut Context<'_>, available: u64) -> Poll<Result<Bytes, BodyError>> {
        let (Source::File { file, .. } | Source::Tail { file: Some(file), .. }) = &self.source else {
            unreachable!("only files are read")
        };
        if self.pending.is_none() {
            let mut piece = Piece::within(available, &self.registry);
            let buffer = &mut piece.buffer;
            if file.read_at_nowait(buffer, self.position).is_ok_and(|read| read == buffer.len()) {
                return Poll::Ready(Ok(Bytes::from_owner(piece)));
            }
            let (file, at) = (file.clone(), self.position);
            self.pending = Some(tokio::task::spawn_blocking(move || {
                Step::Read(file.read_exact_at(&mut piece.buffer, at).map(|()| Bytes::from_owner(piece)))
            }));
        }
        match ready!(self.poll_pending(context))? {
            Step::Read(result) => Poll::Ready(result.map_err(|source| self.io(source))),
            Step::Checked(..) => unreachable!("a check was not waited for"),
        }
    }

    /// Makes sure that the byte at the position was checked.
    fn poll_checked(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        while self.position < self.end && self.checked <= self.position {
            let at = self.checked;
            let (file, proof) = match &mut self.source {
                Source::Memory(_) => return Poll::Ready(Ok(())),
                Source::Remote(body) => return body.poll_checked(context, self.position),
                Source::Opening(opening) => {
                    self.source = Source::Remote(ready!(opening.as_mut().poll(context))?);
                    continue;
                }
                Source::Tail { tail, file, kind } => {
                    match ready!(tail.poll_next(context, self.position)) {
                        Next::Bytes(growing, good) => (*file, self.checked) = (Some(growing), good),
                        Next::Copy(copy) => {
                            let kind = *kind;
                            self.go_on_with(copy, kind);
                        }
                        Next::Lost => self.go_on_from_the_store()?,
                    }
                    continue;
                }
                Source::File { file, proof, .. } => (file, proof),
            };
            let size = file.size();
            if self.pending.is_none() {
                if let Some(Proof::Index(index)) = proof
                    && let Some(good) = check_nowait(file, index, at)
                {
                    self.conclude(at, size, Ok(good))?;
                    continue;
                }
                let Some(mut proof) = proof.take() else {
                    return Poll::Ready(Err(self.io(io::Error::other("the check of a chunk was lost"))));
                };
                let (file, digest) = (file.clone(), self.digest);
                self.pending = Some(tokio::task::spawn_blocking(move || {
                    let result = proof.check(&file, at, &digest);
                    Step::Checked(proof, result)
                }));
            }
            match ready!(self.poll_pending(context))? {
                Step::Checked(done, result) => {
                    if let Source::File { proof, .. } = &mut self.source {
                        *proof = Some(done);
                    }
                    self.conclude(at, size, result)?;
                }
                Step::Read(_) => unreachable!("a read was not waited for"),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn conclude(&mut self, at: u64, size: u64, result: io::Result<bool>) -> Result<(), BodyError> {
        match result {
            Ok(true) => {}
            Ok(false) | Err(_) if self.is_cached() => return self.go_on_from_the_store(),
            Err(source) if source.kind() != io::ErrorKind::UnexpectedEof => return Err(self.io(source)),
            Ok(false) | Err(_) => {
                self.registry.mark_damaged(&self.digest, Damage::Read(None), "");
                return Err(BodyError::Damaged { digest: self.digest, at });
            }
        }
        self.checked = (at + CHUNK).min(size);
        if self.checked == size
            && let Source::File { proof: Some(Proof::Digest(hashing)), .. } = &mut self.source
        {
            let index = std::mem::take(&mut hashing.indexer).finish();
            self.registry.keep_index_later(self.digest, index, None);
        }
        Ok(())
    }

    /// Whether the store can still be asked for what was not read yet.
    fn is_cached(&self) -> bool {
        matches!(self.source, Source::File { copy: true, .. } | Source::Tail { .. })
    }

    fn go_on_with(&mut self, copy: Copy, kind: FrameKind) {
        let proof = Some(Proof::Index(copy.index));
        self.source = Source::File { file: copy.file, proof, kind, copy: true };
        self.begun = self.position;
        self.checked = self.position / CHUNK * CHUNK;
    }

    /// Leaves the disk cache, and drops a copy that failed. What was handed on was checked before, which proves nothing
    /// if somebody wrote to the file in between, or reads it only now: then the answer ends here.
    fn go_on_from_the_store(&mut self) -> Result<(), BodyError> {
        self.pending = None;
        let (registry, digest, rest) = (self.registry.clone(), self.digest, self.position..self.end);
        let failed = match &self.source {
            Source::File { file, .. } if self.position > self.begun && !file.is_unchanged() => {
                self.drop_copy();
                return Err(BodyError::Changed(digest));
            }
            Source::File { file, .. } => {
                self.left = Some(file.clone());
                true
            }
            // Within a chunk nothing tells whether its first bytes were right.
            _ if !self.position.is_multiple_of(CHUNK) => return Err(BodyError::Changed(digest)),
            _ => false,
        };
        self.checked = self.position;
        self.source = Source::Opening(Box::pin(async move {
            if failed && let Some(cache) = &registry.inner.disk {
                cache.drop_damaged(&digest).await;
            }
            registry.open_rest(digest, rest).await
        }));
        Ok(())
    }

    /// Drops the copy that is being read, without waiting for it.
    fn drop_copy(&self) {
        if let Some(cache) = self.registry.inner.disk.clone() {
            let digest = self.digest;
            tokio::spawn(async move { cache.drop_damaged(&digest).await });
        }
    }

    fn poll_pending(&mut self, context: &mut Context<'_>) -> Poll<Result<Step, BodyError>> {
        let Some(handle) = &mut self.pending else { unreachable!("polled without a pending step") };
        let step = ready!(Pin::new(handle).poll(context));
        self.pending = None;
        Poll::Ready(step.map_err(|error| self.io(io::Error::other(error))))
    }

    fn io(&self, source: io::Error) -> BodyError {
        BodyError::Io { digest: self.digest, source }
    }
}

/// A copied piece, with its share of the budget until it is sent.
struct Piece {
    buffer: Vec<u8>,
    _share: Option<OwnedSemaphorePermit>,
}

impl Piece {
    fn within(available: u64, registry: &Registry) -> Piece {
        let wanted = available.min(COPIED);
        let share = registry.try_share_of_budget(wanted);
        let length = if share.is_some() { wanted } else { available.min(COPIED_SMALL) };
        Piece { buffer: vec![0; length as usize], _share: share }
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Proof {
    /// Reads the chunk at `at` and says whether it is good. The last chunk of a hashed blob is good if the digest
    /// of all of them is.
    fn check(&mut self, file: &LocalFile, at: u64, digest: &Digest) -> io::Result<bool> {
        let length = CHUNK.min(file.size() - at);
        match self {
            Proof::Index(index) => {
                let mut state = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
                read_pieces(file, at, length, |piece| state.update(piece))?;
                Ok(index.checksum(at / CHUNK) == Some(state.finalize() as u32))
            }
            Proof::Digest(hashing) => {
                read_pieces(file, at, length, |piece| {
                    hashing.hasher.update(piece);
                    hashing.indexer.update(piece);
                })?;
                Ok(at + length < file.size() || hashing.hasher.clone().finish() == *digest)
            }
        }
    }
}

/// Reads a file from the blocking pool, in pieces.
pub(crate) fn read_pieces(
    file: &LocalFile,
    at: u64,
    length: u64,
    mut each: impl FnMut(&[u8]),
) -> io::Result<()> {
    BUFFER.with_borrow_mut(|buffer| {
        let mut done = 0;
        while done < length {
            let size = usize::try_from(length - done).unwrap_or(SCRATCH).min(SCRATCH);
            let piece = &mut buffer[..size];
            file.read_exact_at(piece, at + done)?;
            each(piece);
            done += piece.len() as u64;
        }
        Ok(())
    })
}

/// Checks a chunk with what the kernel has in memory. `None` where it would have to wait for a disk.
fn check_nowait(file: &LocalFile, index: &ChunkIndex, at: u64) -> Option<bool> {
    let length = CHUNK.min(file.size() - at);
    BUFFER.with_borrow_mut(|buffer| {
        let mut state = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
        let mut done = 0;
        while done < length {
            let size = usize::try_from(length - done).unwrap_or(SCRATCH).min(SCRATCH);
            let piece = &mut buffer[..size];
            if file.read_at_nowait(piece, at + done).ok()? != piece.len() {
                return None;
            }
            if piece.len() as u64 == length {
                return Some(index.checksum(at / CHUNK) == Some(crc32c(piece)));
            }
            state.update(piece);
            done += piece.len() as u64;
        }
        Some(index.checksum(at / CHUNK) == Some(state.finalize() as u32))
    })
}
