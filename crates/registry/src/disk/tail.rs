//! Reading a copy while it is being filled.
//!
//! What is read from the growing file is compared, chunk by chunk, with what was written to it: the last piece of a chunk
//! is handed on only when the chunk, as it was read, is the one that came from the store.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::sync::watch;
use wharfinger_store::LocalFile;

use super::{Copy, Fill, Progress};
use crate::blob::chunk_index::CHUNK;

/// A reader that may not be ahead of the fetch, from the beginning of a chunk to the end of one.
pub(crate) struct Tail {
    fill: Arc<Fill>,
    progress: watch::Receiver<Progress>,
    waiting: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// Whether bytes may be handed on before the fetch has ended.
    early: bool,
    /// Of the chunk that is being read.
    checksum: crc_fast::Digest,
}

/// What a reader can go on with.
pub(crate) enum Next {
    /// Bytes of the growing file up to this offset.
    Bytes(Arc<LocalFile>, u64),
    /// The copy.
    Copy(Copy),
    /// Nothing: the fetch was given up.
    Lost,
}

impl Tail {
    /// A reader of that range; none where it begins or ends within a chunk.
    pub(crate) fn new(fill: Arc<Fill>, range: &std::ops::Range<u64>) -> Option<Tail> {
        let whole = *range == (0..fill.size);
        let ends = range.end == fill.size || range.end.is_multiple_of(CHUNK);
        (range.start.is_multiple_of(CHUNK) && ends).then(|| Tail {
            progress: fill.watch(),
            waiting: None,
            early: whole || fill.index.is_some(),
            checksum: new_checksum(),
            fill,
        })
    }

    /// Waits until the byte at `position`, where a chunk begins, can be read.
    pub(crate) fn poll_next(&mut self, context: &mut Context<'_>, position: u64) -> Poll<Next> {
        loop {
            if let Some(waiting) = &mut self.waiting {
                ready!(waiting.as_mut().poll(context));
                self.waiting = None;
            }
            match &*self.progress.borrow_and_update() {
                Progress::Filling(file, good) if self.early && *good > position => {
                    return Poll::Ready(Next::Bytes(file.clone(), *good));
                }
                Progress::Kept(copy) => return Poll::Ready(Next::Copy(copy.clone())),
                Progress::GivenUp => return Poll::Ready(Next::Lost),
                Progress::Starting | Progress::Filling(..) => {}
            }
            let mut progress = self.progress.clone();
            self.waiting = Some(Box::pin(async move {
                // The sender lives as long as the fetch, whose end is the last change.
                let _ = progress.changed().await;
            }));
        }
    }

    /// Where the chunk that holds the byte at `position` ends.
    pub(crate) fn chunk_end(&self, position: u64) -> u64 {
        ((position / CHUNK + 1) * CHUNK).min(self.fill.size)
    }

    /// Takes bytes that were read at `position`, at most to the end of their chunk. False where they end a chunk that is
    /// not the one that came.
    pub(crate) fn takes(&mut self, position: u64, bytes: &[u8]) -> bool {
        self.checksum.update(bytes);
        if position + (bytes.len() as u64) < self.chunk_end(position) {
            return true;
        }
        let found = std::mem::replace(&mut self.checksum, new_checksum()).finalize() as u32;
        self.fill.checksum(position / CHUNK) == Some(found)
    }
}

fn new_checksum() -> crc_fast::Digest {
    crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi)
}
