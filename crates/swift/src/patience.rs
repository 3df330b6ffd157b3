//! A time-out on progress that costs one timer for a whole body.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// Watches a series of waits, none of which may last longer than `limit`.
#[derive(Debug)]
pub(crate) struct Patience {
    limit: Duration,
    since: Option<Instant>,
    timer: Pin<Box<Sleep>>,
}

/// It lasted too long.
#[derive(Debug)]
pub(crate) struct Elapsed;

impl Patience {
    pub(crate) fn new(limit: Duration) -> Patience {
        Patience { limit, since: None, timer: Box::pin(tokio::time::sleep(limit)) }
    }

    /// The limit.
    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    /// From here on, waits may last this long.
    pub(crate) fn set_limit(&mut self, limit: Duration) {
        if limit < self.limit {
            self.timer.as_mut().reset(Instant::now() + limit);
        }
        self.limit = limit;
    }

    /// Passes on what is ready; fails where nothing has been ready for the limit.
    pub(crate) fn watch<T>(&mut self, cx: &mut Context<'_>, poll: Poll<T>) -> Poll<Result<T, Elapsed>> {
        if let Poll::Ready(value) = poll {
            self.since = None;
            return Poll::Ready(Ok(value));
        }
        let since = *self.since.get_or_insert_with(Instant::now);
        loop {
            if self.timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            // The timer was set for an earlier wait: it is moved only when it goes off.
            let until = since + self.limit;
            if until <= Instant::now() {
                return Poll::Ready(Err(Elapsed));
            }
            self.timer.as_mut().reset(until);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waits_are_limited_one_by_one_and_not_together() {
        let limit = Duration::from_secs(10);
        let mut patience = Patience::new(limit);
        for _ in 0..5 {
            let mut wait = Box::pin(tokio::time::sleep(Duration::from_secs(9)));
            std::future::poll_fn(|cx| {
                let poll = wait.as_mut().poll(cx);
                patience.watch(cx, poll)
            })
            .await
            .expect("each is short enough");
        }
        let begun = Instant::now();
        std::future::poll_fn(|cx| patience.watch(cx, Poll::<()>::Pending)).await.expect_err("too long");
        assert!(begun.elapsed() >= limit && begun.elapsed() < limit * 2);
    }
}
