//! Bytes of a blob that come from a store elsewhere: fetched a chunk at a time, each checked before it is handed on.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use wharfinger_oci::{Digest, Hasher};
use wharfinger_store::{Remote, RemoteReader, StoreError, StoreErrorKind};

use super::chunk_index::{CHUNK, ChunkIndex, ChunkIndexer};
use super::verified::BodyError;
use crate::damaged::Damage;
use crate::registry::Registry;

/// What proves the bytes.
enum Proof {
    /// Checksums of an earlier proof by digest.
    Index(Arc<ChunkIndex>),
    /// The digest itself, over the whole blob from its first byte.
    Digest(Box<(Hasher, ChunkIndexer)>),
}

impl Proof {
    /// Takes the chunk that comes next. Says whether it is good, as far as can be told.
    fn takes(&mut self, pieces: &VecDeque<Bytes>, start: u64, last: bool, digest: &Digest) -> bool {
        match self {
            Proof::Index(index) => {
                let mut state = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
                pieces.iter().for_each(|piece| state.update(piece));
                index.checksum(start / CHUNK) == Some(state.finalize() as u32)
            }
            Proof::Digest(both) => {
                let (hasher, indexer) = &mut **both;
                for piece in pieces {
                    hasher.update(piece);
                    indexer.update(piece);
                }
                !last || hasher.clone().finish() == *digest
            }
        }
    }
}

/// What one fetch works on and gives back.
struct Reading {
    registry: Registry,
    digest: Digest,
    object: Arc<dyn Remote>,
    size: u64,
    proof: Proof,
    reader: Option<Box<dyn RemoteReader>>,
    /// The chunk that comes next begins here.
    at: u64,
    /// Where fetching ends: the end of a chunk, or of the blob.
    end: u64,
    /// What came with the last piece and belongs to the next chunk.
    rest: Bytes,
}

/// A checked chunk.
struct Checked {
    start: u64,
    pieces: VecDeque<Bytes>,
}

/// A checked chunk, with its share of the byte budget until the last of its pieces is handed on.
struct Chunk {
    start: u64,
    pieces: VecDeque<Bytes>,
    _share: OwnedSemaphorePermit,
}

type Fetched = (Box<Reading>, Result<Chunk, BodyError>);

/// A range of a blob, chunk by chunk.
pub(super) struct RemoteBody {
    idle: Option<Box<Reading>>,
    fetching: Option<Pin<Box<dyn Future<Output = Fetched> + Send>>>,
    ready: Option<Chunk>,
}

impl RemoteBody {
    /// A range of a blob that has a chunk index.
    pub(super) fn indexed(
        registry: &Registry,
        digest: Digest,
        object: Arc<dyn Remote>,
        index: Arc<ChunkIndex>,
        range: std::ops::Range<u64>,
    ) -> RemoteBody {
        let size = index.size();
        let end = range.end.next_multiple_of(CHUNK).min(size);
        let proof = Proof::Index(index);
        RemoteBody::new(registry, digest, object, size, proof, range.start / CHUNK * CHUNK, end)
    }

    /// A whole blob without an index: hashed while it is sent, and indexed for the next time.
    pub(super) fn hashed(
        registry: &Registry,
        digest: Digest,
        object: Arc<dyn Remote>,
        size: u64,
    ) -> RemoteBody {
        let proof = Proof::Digest(Box::new((Hasher::new(digest.algorithm()), ChunkIndexer::new())));
        RemoteBody::new(registry, digest, object, size, proof, 0, size)
    }

    fn new(
        registry: &Registry,
        digest: Digest,
        object: Arc<dyn Remote>,
        size: u64,
        proof: Proof,
        at: u64,
        end: u64,
    ) -> RemoteBody {
        let (registry, rest) = (registry.clone(), Bytes::new());
        let reading = Reading { registry, digest, object, size, proof, reader: None, at, end, rest };
        RemoteBody { idle: Some(Box::new(reading)), fetching: None, ready: None }
    }

    /// Makes sure that the byte at `position` was checked.
    pub(super) fn poll_checked(
        &mut self,
        context: &mut Context<'_>,
        position: u64,
    ) -> Poll<Result<(), BodyError>> {
        while self.ready.is_none() {
            if let Some(reading) = self.idle.take() {
                self.fetching = Some(Box::pin(fetch(reading)));
            }
            let Some(fetching) = &mut self.fetching else {
                unreachable!("neither idle nor fetching");
            };
            let (reading, result) = ready!(fetching.as_mut().poll(context));
            self.fetching = None;
            self.idle = Some(reading);
            let mut chunk = result?;
            chunk.skip_to(position);
            if !chunk.pieces.is_empty() {
                self.ready = Some(chunk);
            }
        }
        Poll::Ready(Ok(()))
    }

    /// The next checked bytes, at most up to `end`.
    pub(super) fn poll_next(
        &mut self,
        context: &mut Context<'_>,
        position: u64,
        end: u64,
    ) -> Poll<Result<Bytes, BodyError>> {
        ready!(self.poll_checked(context, position))?;
        let Some(chunk) = &mut self.ready else { unreachable!("a chunk was checked") };
        let mut piece = chunk.pieces.pop_front().unwrap_or_default();
        if chunk.pieces.is_empty() {
            self.ready = None;
        }
        piece.truncate(usize::try_from(end - position).unwrap_or(usize::MAX));
        Poll::Ready(Ok(piece))
    }
}

impl Chunk {
    /// Drops what lies before `position`: a range may begin within a chunk.
    fn skip_to(&mut self, position: u64) {
        while self.start < position
            && let Some(first) = self.pieces.front_mut()
        {
            let skipped = usize::try_from(position - self.start).unwrap_or(usize::MAX).min(first.len());
            let _ = first.split_to(skipped);
            self.start += skipped as u64;
            if first.is_empty() {
                self.pieces.pop_front();
            }
        }
    }
}

async fn fetch(mut reading: Box<Reading>) -> Fetched {
    let share = reading.registry.share_of_budget(CHUNK).await;
    let checked = reading.chunk().await;
    let chunk = checked.map(|Checked { start, pieces }| Chunk { start, pieces, _share: share });
    (reading, chunk)
}

impl Reading {
    async fn chunk(&mut self) -> Result<Checked, BodyError> {
        let start = self.at;
        let length = CHUNK.min(self.size - start);
        let pieces = self
            .pieces(length)
            .await
            .map_err(|error| read_failed(&self.registry, self.digest, &*self.object, error))?;
        if !self.proof.takes(&pieces, start, start + length == self.size, &self.digest) {
            let origin = match &self.reader {
                Some(reader) => reader.origin(start..start + length).await,
                None => String::new(),
            };
            self.registry.mark_damaged(&self.digest, Damage::Read(self.object.modified()), &origin);
            return Err(BodyError::Damaged { digest: self.digest, at: start });
        }
        self.at = start + length;
        if self.at == self.size
            && let Proof::Digest(both) = &mut self.proof
        {
            let index = std::mem::take(&mut both.1).finish();
            self.registry.keep_index_later(self.digest, index, Some(self.object.clone()));
        }
        Ok(Checked { start, pieces })
    }

    /// The next `length` bytes.
    async fn pieces(&mut self, length: u64) -> Result<VecDeque<Bytes>, StoreError> {
        if self.reader.is_none() {
            self.reader = Some(self.object.read(self.at..self.end).await?);
        }
        let Some(reader) = &mut self.reader else { unreachable!("was opened above") };
        let (mut pieces, mut missing) = (VecDeque::new(), length);
        while missing > 0 {
            let mut piece = std::mem::take(&mut self.rest);
            if piece.is_empty() {
                piece = reader.next().await?.ok_or_else(ended_early)?;
            }
            let taken = usize::try_from(missing).unwrap_or(usize::MAX).min(piece.len());
            self.rest = piece.split_off(taken);
            missing -= taken as u64;
            if !piece.is_empty() {
                pieces.push_back(piece);
            }
        }
        Ok(pieces)
    }
}

/// Why a body broke off; what the store found damaged is noted.
pub(crate) fn read_failed(
    registry: &Registry,
    digest: Digest,
    object: &dyn Remote,
    source: StoreError,
) -> BodyError {
    if source.kind == StoreErrorKind::Invalid {
        registry.mark_damaged(&digest, Damage::Read(object.modified()), &source.source.to_string());
    }
    BodyError::Store { digest, source: Box::new(source) }
}

pub(crate) fn ended_early() -> StoreError {
    let key = crate::layout::blobs();
    StoreError::new(
        StoreErrorKind::Invalid,
        wharfinger_store::Operation::Read,
        &key,
        "the object ended before its length",
    )
}

/// Reads a whole object, in order.
pub(crate) async fn read_whole(
    object: &dyn Remote,
    range: std::ops::Range<u64>,
    mut each: impl FnMut(&[u8]),
) -> Result<(), StoreError> {
    let mut missing = range.end - range.start;
    if missing == 0 {
        return Ok(());
    }
    let mut reader = object.read(range).await?;
    while missing > 0 {
        let piece = reader.next().await?.ok_or_else(ended_early)?;
        let taken = usize::try_from(missing).unwrap_or(usize::MAX).min(piece.len());
        each(&piece[..taken]);
        missing -= taken as u64;
        tokio::task::yield_now().await;
    }
    Ok(())
}
