//! Bodies of requests: read with a limit on how long they may stand still.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Incoming};
use wharfinger_registry::{Registry, Reserved, UploadWriter};

use crate::patience::Patience;
use crate::respond::Failure;

/// Unread bytes that are taken off a connection so that it can go on, and how long that may take.
const DRAINED: usize = 256 * 1024;
const DRAIN_TIME: Duration = Duration::from_secs(1);

/// Bytes that are hashed and written before others have their turn on this thread: about a tenth of a millisecond.
const TURN: usize = 64 * 1024;

/// Bodies up to this size are held without asking: a connection's read buffer is as large.
const SMALL: usize = 64 * 1024;
/// How long a larger one waits for its share of the budget.
const RESERVE_TIME: Duration = Duration::from_secs(10);

/// A whole body, with its share of the budget.
pub(crate) struct Collected {
    pub(crate) bytes: Bytes,
    _share: Option<Reserved>,
}

/// The body of a request.
pub(crate) struct RequestBody {
    incoming: Incoming,
    patience: Patience,
}

impl RequestBody {
    pub(crate) fn new(incoming: Incoming, patience: Duration) -> RequestBody {
        RequestBody { incoming, patience: Patience::new(patience) }
    }

    /// Whether it is known to be empty.
    pub(crate) fn is_empty(&self) -> bool {
        self.incoming.is_end_stream()
    }

    /// Takes what nobody read, if that is little: a connection with unread bytes on it cannot go on, and a client
    /// that uses it again would see it close. Says whether it can go on.
    pub(crate) async fn drain(&mut self) -> bool {
        let drained = async {
            let mut left = DRAINED;
            while !self.is_empty() {
                match self.next().await {
                    Ok(Some(bytes)) if bytes.len() <= left => left -= bytes.len(),
                    Ok(None) => break,
                    _ => return false,
                }
            }
            true
        };
        tokio::time::timeout(DRAIN_TIME, drained).await.unwrap_or(false)
    }

    /// The next piece; `None` at its end.
    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            let frame = poll_fn(|context| {
                let frame = Pin::new(&mut self.incoming).poll_frame(context);
                if frame.is_pending() && self.patience.poll_exhausted(context).is_ready() {
                    return Poll::Ready(Err(Failure::stalled(self.patience.limit())));
                }
                frame.map(Ok)
            });
            let frame = frame.await?;
            self.patience.renew();
            match frame {
                None => return Ok(None),
                Some(Err(error)) => return Err(Failure::broken_body(&error)),
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Ok(Some(bytes));
                    }
                }
            }
        }
    }

    /// Everything, if it is at most `limit` bytes; `None` if it is more. More than [`SMALL`] bytes count in the
    /// registry's budget, for as long as they are held.
    pub(crate) async fn collect(
        &mut self,
        limit: usize,
        registry: &Registry,
    ) -> Result<Option<Collected>, Failure> {
        let announced = self.incoming.size_hint();
        if announced.lower() > limit as u64 {
            return Ok(None);
        }
        // Without a length it may become anything.
        let most =
            announced.upper().map_or(limit, |most| usize::try_from(most).map_or(limit, |n| n.min(limit)));
        let mut share = None;
        if most > SMALL {
            let reserved = tokio::time::timeout(RESERVE_TIME, registry.reserve(most)).await;
            share = Some(reserved.map_err(|_| Failure::no_memory())?);
        }
        let bytes = self.collect_at_most(limit, announced.exact().unwrap_or(0)).await?;
        Ok(bytes.map(|bytes| Collected { bytes, _share: share }))
    }

    /// `announced` is how much to expect, if it was said.
    async fn collect_at_most(&mut self, limit: usize, announced: u64) -> Result<Option<Bytes>, Failure> {
        let Some(first) = self.next().await? else { return Ok(Some(Bytes::new())) };
        if self.incoming.is_end_stream() && first.len() <= limit {
            return Ok(Some(first));
        }
        let mut all = BytesMut::with_capacity(first.len().max(announced as usize));
        all.extend_from_slice(&first);
        drop(first);
        while let Some(bytes) = self.next().await? {
            if all.len() + bytes.len() > limit {
                return Ok(None);
            }
            all.extend_from_slice(&bytes);
        }
        Ok((all.len() <= limit).then(|| all.freeze()))
    }

    /// Hands everything to an upload. Returns how many bytes that were.
    pub(crate) async fn pour(&mut self, writer: &mut UploadWriter) -> Result<u64, Failure> {
        let (mut poured, mut turn) = (0, 0);
        while let Some(bytes) = self.next().await? {
            poured += bytes.len() as u64;
            turn += bytes.len();
            writer.write(bytes).await?;
            if turn >= TURN {
                turn = 0;
                tokio::task::yield_now().await;
            }
        }
        Ok(poured)
    }
}
