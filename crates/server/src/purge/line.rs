//! The changes that one cache has still to be told of, and the task that tells them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep, sleep_until};

use super::change::Change;
use super::target::{Connection, Kind, Target, TargetError};
use crate::metrics::{Metrics, PurgeResult};
use crate::throttle::Throttle;

/// Most changes that wait for one cache; the oldest give way.
const CAPACITY: usize = 1000;
/// A cache that was fetching what was removed may keep it after it was told: it is told once more.
const AGAIN_AFTER: Duration = Duration::from_secs(10);
/// Between two tries, the first time and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// Between two lines in the log about one cache.
const QUIET: Duration = Duration::from_secs(60);

struct Waiting {
    change: Arc<Change>,
    /// Dropped once the cache was told, or could not be.
    told: Option<oneshot::Sender<()>>,
}

#[derive(Default)]
struct Queue {
    changes: VecDeque<Waiting>,
    again: VecDeque<(Instant, Arc<Change>)>,
    /// Whether one is being told.
    busy: bool,
}

/// The changes for one cache.
pub(super) struct Line {
    target: Target,
    timeout: Duration,
    queue: Mutex<Queue>,
    wake: Notify,
    failing: AtomicBool,
    closing: AtomicBool,
    metrics: Arc<Metrics>,
    warnings: Throttle<()>,
}

impl Line {
    pub(super) fn new(target: Target, timeout: Duration, metrics: Arc<Metrics>) -> Line {
        Line {
            target,
            timeout,
            queue: Mutex::default(),
            wake: Notify::new(),
            failing: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            metrics,
            warnings: Throttle::new(QUIET),
        }
    }

    /// Adds a change that nobody waits for.
    pub(super) fn add(&self, change: &Arc<Change>) {
        self.push(Waiting { change: change.clone(), told: None });
    }

    /// Adds a change; the result is ready when the cache was told or could not be. `None` where it failed before.
    pub(super) fn add_awaited(&self, change: &Arc<Change>) -> Option<oneshot::Receiver<()>> {
        if self.failing.load(Ordering::Relaxed) {
            self.add(change);
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        self.push(Waiting { change: change.clone(), told: Some(sender) });
        Some(receiver)
    }

    fn push(&self, waiting: Waiting) {
        let dropped = {
            let mut queue = self.queue.lock();
            queue.changes.push_back(waiting);
            if queue.changes.len() > CAPACITY { queue.changes.pop_front() } else { None }
        };
        self.metrics.purges().waiting(1);
        if dropped.is_some() {
            self.ended(PurgeResult::Dropped);
        }
        self.wake.notify_one();
    }

    /// From now on nothing is tried twice, and nothing waits for its time.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
        self.wake.notify_one();
    }

    /// Whether nothing is left to tell.
    pub(super) fn is_idle(&self) -> bool {
        let queue = self.queue.lock();
        queue.changes.is_empty() && queue.again.is_empty() && !queue.busy
    }

    /// How things stand with it.
    pub(super) fn told(&self) -> Value {
        let failing = self.failing.load(Ordering::Relaxed);
        let (waiting, busy) = {
            let queue = self.queue.lock();
            (queue.changes.len(), queue.busy)
        };
        json!({ "cache": self.target.to_string(), "failing": failing, "waiting": waiting + usize::from(busy) })
    }

    /// Tells the cache, change by change, for ever.
    pub(super) async fn work(self: Arc<Line>) {
        let mut connection = Connection::default();
        loop {
            let (waiting, first) = self.next().await;
            let told = self.tell(&mut connection, waiting).await;
            let mut queue = self.queue.lock();
            queue.busy = false;
            if let Some(change) = told.filter(|change| first && change.removes())
                && queue.again.len() < CAPACITY
            {
                queue.again.push_back((Instant::now() + AGAIN_AFTER, change));
            }
        }
    }

    /// The next change, and whether it is its first time.
    async fn next(&self) -> (Waiting, bool) {
        loop {
            let due = {
                let mut queue = self.queue.lock();
                let closing = self.closing.load(Ordering::Relaxed);
                let due = queue.again.front().map(|(at, _)| *at);
                if due.is_some_and(|due| closing || due <= Instant::now())
                    && let Some((_, change)) = queue.again.pop_front()
                {
                    queue.busy = true;
                    self.metrics.purges().waiting(1);
                    return (Waiting { change, told: None }, false);
                }
                if let Some(waiting) = queue.changes.pop_front() {
                    queue.busy = true;
                    return (waiting, true);
                }
                due
            };
            match due {
                None => self.wake.notified().await,
                Some(due) => tokio::select! {
                    () = sleep_until(due) => {}
                    () = self.wake.notified() => {}
                },
            }
        }
    }

    /// Tells the cache until it has understood; returns what it was told.
    async fn tell(&self, connection: &mut Connection, mut waiting: Waiting) -> Option<Arc<Change>> {
        let mut pause = PAUSE.0;
        loop {
            match self.attempt(connection, &waiting.change).await {
                Ok(()) => break,
                Err(error) => self.failed(&error),
            }
            drop(waiting.told.take());
            if self.closing.load(Ordering::Relaxed) {
                self.ended(PurgeResult::Dropped);
                return None;
            }
            tokio::select! {
                () = sleep(pause) => pause = (pause * 2).min(PAUSE.1),
                // Somebody closes, or adds what waits behind this one.
                () = self.closed() => {}
            }
        }
        self.ended(PurgeResult::Ok);
        if self.failing.swap(false, Ordering::Relaxed) {
            tracing::info!(cache = %self.target, "the cache in front is purged again");
        }
        Some(waiting.change)
    }

    async fn closed(&self) {
        while !self.closing.load(Ordering::Relaxed) {
            self.wake.notified().await;
        }
    }

    async fn attempt(&self, connection: &mut Connection, change: &Change) -> Result<(), TargetError> {
        let by_key = self.target.kind == Kind::Varnish;
        for stale in change.stale().iter().filter(|stale| !(by_key && stale.respelt)) {
            connection.purge(&self.target, stale, self.timeout).await?;
        }
        Ok(())
    }

    fn failed(&self, error: &TargetError) {
        self.failing.store(true, Ordering::Relaxed);
        let refused = matches!(error, TargetError::Refused(_));
        let result = if refused { PurgeResult::Refused } else { PurgeResult::Failed };
        self.metrics.purges().count(self.target.kind, result);
        if let Some(held_back) = self.warnings.admit(()) {
            let waiting = self.queue.lock().changes.len() + 1;
            tracing::warn!(
                cache = %self.target, %error, waiting, held_back,
                "a cache in front could not be purged; trying again",
            );
        }
    }

    fn ended(&self, result: PurgeResult) {
        self.metrics.purges().count(self.target.kind, result);
        self.metrics.purges().waiting(-1);
    }
}
