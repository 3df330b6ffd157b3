//! How long something may stand still. One timer for a whole connection or body: setting one for every frame
//! wakes another thread each time.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// Runs out when something was waited for without a break for too long.
pub(crate) struct Patience {
    limit: Duration,
    /// Since when it is being waited, if it is.
    since: Option<Instant>,
    /// May fire early; then it is set again.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Patience {
    pub(crate) fn new(limit: Duration) -> Patience {
        Patience { limit, since: None, timer: None }
    }

    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    /// Something moved.
    pub(crate) fn renew(&mut self) {
        self.since = None;
    }

    /// To be polled while waiting: ready when that has taken too long.
    pub(crate) fn poll_exhausted(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let limit = self.limit;
        let since = *self.since.get_or_insert_with(Instant::now);
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(since + limit)));
        loop {
            ready!(timer.as_mut().poll(context));
            if since.elapsed() >= limit {
                return Poll::Ready(());
            }
            timer.as_mut().reset(since + limit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    async fn wait(patience: &mut Patience, seconds: u64) -> bool {
        let exhausted = poll_fn(|context| patience.poll_exhausted(context));
        tokio::time::timeout(Duration::from_secs(seconds), exhausted).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn it_runs_out_only_where_nothing_moves() {
        let mut patience = Patience::new(Duration::from_secs(60));
        for _ in 0..5 {
            assert!(!wait(&mut patience, 50).await);
            patience.renew();
        }
        // A pause in which nobody waits does not count.
        tokio::time::advance(Duration::from_secs(500)).await;
        assert!(!wait(&mut patience, 59).await);
        assert!(wait(&mut patience, 2).await);
    }
}
