//! How long something may stand still. One timer for a whole connection or body: setting one for every frame
//! wakes another thread each time.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
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

/// What the answers of one HTTP/2 connection tell of themselves. Nobody polls a body whose client gives no leave to
/// send more, so no timer in the body would run.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    bodies: AtomicUsize,
    frames: AtomicUsize,
}

/// A body that is counted while it lives.
#[derive(Debug)]
pub(crate) struct Counted(Arc<Progress>);

impl Progress {
    /// A body begins.
    pub(crate) fn count(self: &Arc<Progress>) -> Counted {
        self.bodies.fetch_add(1, Ordering::Relaxed);
        Counted(self.clone())
    }

    /// Ends when there were bodies and none of them moved, for at least `limit` and at most twice that.
    pub(crate) async fn stalled(&self, limit: Duration) {
        let mut seen = None;
        loop {
            tokio::time::sleep(limit).await;
            let frames = self.frames.load(Ordering::Relaxed);
            let open = self.bodies.load(Ordering::Relaxed) > 0;
            if open && seen == Some(frames) {
                return;
            }
            // Bodies that began meanwhile have the whole limit before them.
            seen = open.then_some(frames);
        }
    }
}

impl Counted {
    /// A piece was taken.
    pub(crate) fn moved(&self) {
        self.0.frames.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.bodies.fetch_sub(1, Ordering::Relaxed);
        self.moved();
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

    #[tokio::test(start_paused = true)]
    async fn bodies_are_stalled_when_none_of_them_moves() {
        let (progress, limit) = (Arc::new(Progress::default()), Duration::from_secs(60));
        let within = |seconds| tokio::time::timeout(Duration::from_secs(seconds), progress.stalled(limit));
        assert!(within(500).await.is_err(), "without a body nothing stands still");
        let (one, other) = (progress.count(), progress.count());
        let moving = async {
            loop {
                tokio::time::sleep(Duration::from_secs(50)).await;
                one.moved();
            }
        };
        tokio::select! {
            ended = within(500) => assert!(ended.is_err(), "one of them moved"),
            () = moving => {}
        }
        assert!(within(121).await.is_ok());
        drop((one, other));
        assert!(within(500).await.is_err(), "both have ended");
    }
}
