//! How many requests go at a time: fewer for a while after Swift has asked for it (429, 498).

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

/// Refusals that come within this time of one another are one: they answer requests that were on their way together.
const TOGETHER: Duration = Duration::from_millis(500);
/// Time without a refusal after which twice as many requests go again.
const RECOVERY: Duration = Duration::from_secs(5);

/// Leave to make requests. Each takes one share of what the options allow, or as many more as the rate was halved.
#[derive(Debug)]
pub(crate) struct Permits {
    shares: Semaphore,
    all: u32,
    each: AtomicU32,
    changed: Mutex<Option<Instant>>,
}

impl Permits {
    pub(crate) fn new(connections: usize) -> Permits {
        let all = u32::try_from(connections.clamp(1, Semaphore::MAX_PERMITS)).unwrap_or(u32::MAX);
        let (each, changed) = (AtomicU32::new(1), Mutex::default());
        Permits { shares: Semaphore::new(all as usize), all, each, changed }
    }

    /// Waits for leave, in turn. None where it does not come in time.
    pub(crate) async fn acquire(&self, limit: Duration) -> Option<SemaphorePermit<'_>> {
        let shares = self.shares.acquire_many(self.each.load(Ordering::Relaxed));
        tokio::time::timeout(limit, shares).await.ok()?.ok()
    }

    /// Swift has refused a request because there were too many: half as many go from now on.
    pub(crate) fn slow_down(&self) {
        let mut changed = self.changed.lock();
        if changed.is_none_or(|changed| changed.elapsed() >= TOGETHER) {
            let each = self.each.load(Ordering::Relaxed).saturating_mul(2).min(self.all);
            self.each.store(each, Ordering::Relaxed);
            tracing::debug!(at_a_time = self.all / each, "Swift asks for fewer requests");
        }
        *changed = Some(Instant::now());
    }

    /// A request has succeeded.
    pub(crate) fn speed_up(&self) {
        if self.each.load(Ordering::Relaxed) == 1 {
            return;
        }
        let mut changed = self.changed.lock();
        if changed.is_none_or(|changed| changed.elapsed() >= RECOVERY) {
            let each = (self.each.load(Ordering::Relaxed) / 2).max(1);
            self.each.store(each, Ordering::Relaxed);
            *changed = Some(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn at_a_time(permits: &Permits) -> usize {
        let mut held = Vec::new();
        while let Some(permit) = permits.acquire(Duration::from_millis(1)).await {
            held.push(permit);
        }
        held.len()
    }

    #[tokio::test(start_paused = true)]
    async fn refusals_halve_the_requests_and_time_without_them_doubles_them() {
        let permits = Permits::new(8);
        assert_eq!(at_a_time(&permits).await, 8);
        // Those that come together count once.
        for _ in 0..5 {
            permits.slow_down();
        }
        assert_eq!(at_a_time(&permits).await, 4);
        for expected in [2, 1, 1] {
            tokio::time::advance(TOGETHER).await;
            permits.slow_down();
            assert_eq!(at_a_time(&permits).await, expected);
        }
        permits.speed_up();
        assert_eq!(at_a_time(&permits).await, 1, "too early");
        for expected in [2, 4, 8, 8] {
            tokio::time::advance(RECOVERY).await;
            permits.speed_up();
            assert_eq!(at_a_time(&permits).await, expected);
        }
    }
}
