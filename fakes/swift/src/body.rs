//! The body of an answer: pieces, and how it ends - cleanly, cut off, or never.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

/// The longest frame, so that a reader who goes away is noticed.
const FRAME: usize = 64 * 1024;

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// As HTTP wants it.
    Clean,
    /// The connection is closed in the middle.
    Cut,
    /// Nothing comes any more, and the connection stays open.
    Hang,
}

/// A part of a body, sent after a pause.
#[derive(Clone, Debug)]
struct Piece {
    pause: Duration,
    bytes: Bytes,
}

/// A body that hyper sends.
#[derive(Debug)]
pub(crate) struct ReplyBody {
    pieces: VecDeque<Piece>,
    end: End,
    /// What `Content-Length` says; `None` sends the body chunked.
    length: Option<u64>,
    sleep: Option<Pin<Box<Sleep>>>,
    flushed: bool,
}

impl ReplyBody {
    /// No bytes at all.
    pub(crate) fn empty() -> ReplyBody {
        ReplyBody::whole(Bytes::new())
    }

    /// These bytes and their length.
    pub(crate) fn whole(bytes: Bytes) -> ReplyBody {
        let length = Some(bytes.len() as u64);
        let mut body = ReplyBody::announced(length);
        body.push(Duration::ZERO, bytes);
        body
    }

    /// A body that announces `length`, to be filled with [`ReplyBody::push`].
    pub(crate) fn announced(length: Option<u64>) -> ReplyBody {
        ReplyBody { pieces: VecDeque::new(), end: End::Clean, length, sleep: None, flushed: false }
    }

    /// Adds bytes that are sent after a pause.
    pub(crate) fn push(&mut self, pause: Duration, mut bytes: Bytes) {
        let mut pause = pause;
        while !bytes.is_empty() {
            let frame = bytes.split_to(bytes.len().min(FRAME));
            self.pieces.push_back(Piece { pause, bytes: frame });
            pause = Duration::ZERO;
        }
    }

    /// Sets how the body ends.
    pub(crate) fn set_end(&mut self, end: End) {
        self.end = end;
    }

    /// How many bytes are out when a sender that collects at least `buffered` bytes loses the rest.
    pub(crate) fn flushed(&self, buffered: u64) -> u64 {
        let (mut flushed, mut pending) = (0, 0);
        for piece in &self.pieces {
            pending += piece.bytes.len() as u64;
            if pending >= buffered {
                flushed += std::mem::take(&mut pending);
            }
        }
        flushed
    }

    /// How the body ends.
    pub(crate) fn end(&self) -> End {
        self.end
    }

    /// What the head announces.
    pub(crate) fn announced_length(&self) -> Option<u64> {
        self.length
    }

    /// How many bytes there are to send.
    pub(crate) fn available(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.bytes.len() as u64).sum()
    }

    /// Keeps the first `keep` bytes and ends as `end` says, without changing what the head announces.
    pub(crate) fn cut(&mut self, keep: u64, end: End) {
        let mut left = keep;
        let mut kept = VecDeque::new();
        for mut piece in self.pieces.drain(..) {
            let length = (piece.bytes.len() as u64).min(left);
            left -= length;
            piece.bytes.truncate(usize::try_from(length).expect("a frame"));
            if !piece.bytes.is_empty() {
                kept.push_back(piece);
            }
        }
        self.pieces = kept;
        self.end = end;
    }

    /// Flips all bits of the byte at `position`.
    pub(crate) fn flip(&mut self, position: u64) {
        let mut left = position;
        for piece in &mut self.pieces {
            let length = piece.bytes.len() as u64;
            if left < length {
                let mut bytes = piece.bytes.to_vec();
                bytes[usize::try_from(left).expect("a frame")] ^= 0xff;
                piece.bytes = bytes.into();
                return;
            }
            left -= length;
        }
    }

    /// All bytes, in memory, and whether the body ends cleanly.
    pub(crate) fn collect(self) -> (Bytes, bool) {
        let mut all = Vec::new();
        for piece in &self.pieces {
            all.extend_from_slice(&piece.bytes);
        }
        (all.into(), self.end == End::Clean)
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let body = self.get_mut();
        if let Some(sleep) = &mut body.sleep {
            ready!(sleep.as_mut().poll(context));
            body.sleep = None;
        }
        if let Some(piece) = body.pieces.front_mut() {
            if !piece.pause.is_zero() {
                let mut sleep = Box::pin(tokio::time::sleep(piece.pause));
                piece.pause = Duration::ZERO;
                if sleep.as_mut().poll(context).is_pending() {
                    body.sleep = Some(sleep);
                    return Poll::Pending;
                }
            }
            let piece = body.pieces.pop_front().expect("the piece that was looked at");
            return Poll::Ready(Some(Ok(Frame::data(piece.bytes))));
        }
        match body.end {
            End::Clean => Poll::Ready(None),
            End::Hang => Poll::Pending,
            // Whoever drives the connection flushes what it has while the body is pending.
            End::Cut if !body.flushed => {
                body.flushed = true;
                let mut sleep = Box::pin(tokio::time::sleep(Duration::from_millis(1)));
                let _ = sleep.as_mut().poll(context);
                body.sleep = Some(sleep);
                Poll::Pending
            }
            End::Cut => Poll::Ready(Some(Err(io::Error::other("cut off on purpose")))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty() && self.end == End::Clean
    }

    fn size_hint(&self) -> SizeHint {
        match (self.length, self.end) {
            (Some(length), End::Clean) if length == self.available() => SizeHint::with_exact(length),
            _ => SizeHint::default(),
        }
    }
}
