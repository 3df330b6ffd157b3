//! How far a request's body has come: shared by the body, which hyper pulls, and by whoever waits for the answer.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures::task::AtomicWaker;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

/// Largest piece of a body in memory that is handed to the connection at a time, so that progress is seen.
const PIECE: usize = 64 * 1024;

const HELD: u8 = 0;
const OPEN: u8 = 1;
const ABORTED: u8 = 2;

const NOT_ASKED: u64 = u64::MAX;

/// Shared state of a body.
#[derive(Debug)]
pub(crate) struct Pace {
    origin: Instant,
    gate: AtomicU8,
    /// Whether the server asked for the body (`100 Continue`).
    wanted: AtomicBool,
    waker: AtomicWaker,
    /// Milliseconds since `origin` at which the connection first asked for the body.
    asked: AtomicU64,
    /// Milliseconds since `origin` at which the body first moved.
    began: AtomicU64,
    /// Milliseconds since `origin` at which the body last moved.
    moved: AtomicU64,
    /// Milliseconds since `origin` at which the body was complete.
    done: AtomicU64,
    changed: Notify,
}

impl Pace {
    fn new(held: bool) -> Arc<Pace> {
        Arc::new(Pace {
            origin: Instant::now(),
            gate: AtomicU8::new(if held { HELD } else { OPEN }),
            wanted: AtomicBool::new(!held),
            waker: AtomicWaker::new(),
            asked: AtomicU64::new(NOT_ASKED),
            began: AtomicU64::new(NOT_ASKED),
            moved: AtomicU64::new(NOT_ASKED),
            done: AtomicU64::new(NOT_ASKED),
            changed: Notify::new(),
        })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(NOT_ASKED - 1)
    }

    fn instant(&self, at: &AtomicU64) -> Option<Instant> {
        match at.load(Ordering::Acquire) {
            NOT_ASKED => None,
            millis => Some(self.origin + Duration::from_millis(millis)),
        }
    }

    /// Lets the body go.
    pub(crate) fn open(&self) {
        if self.gate.compare_exchange(HELD, OPEN, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            self.waker.wake();
            self.changed.notify_one();
        }
    }

    /// The server asked for the body.
    pub(crate) fn want(&self) {
        self.wanted.store(true, Ordering::Release);
        self.open();
    }

    /// Whether the server asked for the body, or was not asked whether it wants it. Else it was let go for want of an
    /// answer, and that it moves may mean no more than that there is room on the way.
    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Acquire)
    }

    /// Ends a body that is not complete with an error, so that its connection is closed.
    pub(crate) fn abort(&self) {
        if self.done().is_none() {
            self.gate.store(ABORTED, Ordering::Release);
            self.waker.wake();
        }
    }

    /// Whether the body may go.
    pub(crate) fn is_open(&self) -> bool {
        self.gate.load(Ordering::Acquire) == OPEN
    }

    /// When the connection first asked for the body: the head of the request is on its way.
    pub(crate) fn asked(&self) -> Option<Instant> {
        self.instant(&self.asked)
    }

    /// When the body last moved.
    pub(crate) fn moved(&self) -> Option<Instant> {
        self.instant(&self.moved)
    }

    /// When the body was complete.
    pub(crate) fn done(&self) -> Option<Instant> {
        self.instant(&self.done)
    }

    /// For how long the body moved, so far.
    pub(crate) fn sending(&self) -> Duration {
        match (self.instant(&self.began), self.done().or_else(|| self.moved())) {
            (Some(began), Some(end)) => end.saturating_duration_since(began),
            _ => Duration::ZERO,
        }
    }

    /// Waits until the body was asked for or let go.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    fn poll_gate(&self, cx: &Context<'_>) -> Poll<Result<(), Aborted>> {
        if self.asked.load(Ordering::Relaxed) == NOT_ASKED {
            self.asked.store(self.now(), Ordering::Release);
            self.changed.notify_one();
        }
        self.waker.register(cx.waker());
        match self.gate.load(Ordering::Acquire) {
            HELD => Poll::Pending,
            OPEN => Poll::Ready(Ok(())),
            _ => Poll::Ready(Err(Aborted)),
        }
    }

    fn handed(&self) {
        let now = self.now();
        let _ = self.began.compare_exchange(NOT_ASKED, now, Ordering::AcqRel, Ordering::Relaxed);
        self.moved.store(now, Ordering::Release);
    }

    fn complete(&self) {
        if self.done().is_none() {
            self.done.store(self.now(), Ordering::Release);
            self.changed.notify_one();
        }
    }
}

/// A body was given up by us.
#[derive(Debug, thiserror::Error)]
#[error("the body was given up")]
pub(crate) struct Aborted;

/// What an [`ObjectWriter`](crate::ObjectWriter) sends to the connection.
#[derive(Debug)]
pub(crate) enum Piece {
    /// Bytes of the body.
    Data(Bytes),
    /// The body is complete. Without it, the end of the channel breaks the connection.
    End,
}

/// The body of a request.
#[derive(Debug)]
pub(crate) struct RequestBody {
    source: Source,
    pace: Option<Arc<Pace>>,
}

#[derive(Debug)]
enum Source {
    Empty,
    Memory(Bytes),
    Channel { pieces: mpsc::Receiver<Piece>, left: Option<u64>, ended: bool },
}

impl RequestBody {
    /// None.
    pub(crate) fn empty() -> RequestBody {
        RequestBody { source: Source::Empty, pace: None }
    }

    /// From memory; `held` until [`Pace::open`].
    pub(crate) fn memory(bytes: Bytes, held: bool) -> (RequestBody, Option<Arc<Pace>>) {
        if bytes.is_empty() {
            return (RequestBody::empty(), None);
        }
        let pace = Pace::new(held);
        (RequestBody { source: Source::Memory(bytes), pace: Some(Arc::clone(&pace)) }, Some(pace))
    }

    /// From a channel; held until [`Pace::open`]. `length` is the whole body's, if it is known.
    pub(crate) fn channel(pieces: mpsc::Receiver<Piece>, length: Option<u64>) -> (RequestBody, Arc<Pace>) {
        let pace = Pace::new(true);
        let source = Source::Channel { pieces, left: length, ended: false };
        (RequestBody { source, pace: Some(Arc::clone(&pace)) }, pace)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Aborted;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Aborted>>> {
        let this = &mut *self;
        let Some(pace) = &this.pace else { return Poll::Ready(None) };
        ready!(pace.poll_gate(cx))?;
        match &mut this.source {
            Source::Empty => Poll::Ready(None),
            Source::Memory(bytes) => {
                if bytes.is_empty() {
                    return Poll::Ready(None);
                }
                let piece = bytes.split_to(bytes.len().min(PIECE));
                pace.handed();
                if bytes.is_empty() {
                    pace.complete();
                }
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            Source::Channel { pieces, left, ended } => match ready!(pieces.poll_recv(cx)) {
                Some(Piece::Data(piece)) => {
                    if let Some(left) = left {
                        *left = left.saturating_sub(piece.len() as u64);
                        *ended |= *left == 0;
                    }
                    pace.handed();
                    if *ended {
                        pace.complete();
                    }
                    Poll::Ready(Some(Ok(Frame::data(piece))))
                }
                Some(Piece::End) if left.is_none_or(|left| left == 0) => {
                    *ended = true;
                    pace.complete();
                    Poll::Ready(None)
                }
                Some(Piece::End) => Poll::Ready(Some(Err(Aborted))),
                None if *ended => Poll::Ready(None),
                None => Poll::Ready(Some(Err(Aborted))),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Empty => true,
            Source::Memory(bytes) => bytes.is_empty(),
            Source::Channel { ended, .. } => *ended,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Empty => SizeHint::with_exact(0),
            Source::Memory(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Source::Channel { left: Some(left), .. } => SizeHint::with_exact(*left),
            Source::Channel { left: None, .. } => SizeHint::default(),
        }
    }
}
