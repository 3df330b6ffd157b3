//! What was asked in the last seconds: enough to say whether it goes well *now*.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::StatusCode;

use crate::metrics::Class;

/// How far back.
pub(crate) const WINDOW: Duration = Duration::from_secs(10);
/// Manifests and tags are small: longer than this is slow.
pub(crate) const SLOW: Duration = Duration::from_secs(1);
/// One slot a second, and some more than the window.
const SLOTS: usize = 16;

/// Requests of the last seconds.
pub(crate) struct Recent {
    begun: Instant,
    slots: [Slot; SLOTS],
}

#[derive(Default)]
struct Slot {
    /// Which second since `begun` it is for.
    second: AtomicU64,
    requests: AtomicU64,
    failed: AtomicU64,
    small: AtomicU64,
    slow: AtomicU64,
}

/// How many there were in the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Requests to the distribution API.
    pub(crate) requests: u64,
    /// Those answered with a 5xx.
    pub(crate) failed: u64,
    /// Reads of manifests and tags.
    pub(crate) small: u64,
    /// Those that took longer than [`SLOW`].
    pub(crate) slow: u64,
}

impl Default for Recent {
    fn default() -> Recent {
        Recent { begun: Instant::now(), slots: Default::default() }
    }
}

impl Recent {
    /// A request ended at `now`. Two threads at the turn of a second may lose a count: it says how things are about.
    pub(crate) fn ended(&self, now: Instant, class: Class, status: StatusCode, elapsed: Duration) {
        let second = now.saturating_duration_since(self.begun).as_secs();
        let slot = &self.slots[second as usize % SLOTS];
        if slot.second.swap(second, Ordering::Relaxed) != second {
            for count in [&slot.requests, &slot.failed, &slot.small, &slot.slow] {
                count.store(0, Ordering::Relaxed);
            }
        }
        slot.requests.fetch_add(1, Ordering::Relaxed);
        if status.is_server_error() {
            slot.failed.fetch_add(1, Ordering::Relaxed);
        }
        if matches!(class, Class::ManifestRead | Class::TagRead) {
            slot.small.fetch_add(1, Ordering::Relaxed);
            if elapsed > SLOW {
                slot.slow.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// What ended in the window before `now`.
    pub(crate) fn counts(&self, now: Instant) -> Counts {
        let second = now.saturating_duration_since(self.begun).as_secs();
        let mut counts = Counts::default();
        for slot in &self.slots {
            let age = second.saturating_sub(slot.second.load(Ordering::Relaxed));
            if age < WINDOW.as_secs() {
                counts.requests += slot.requests.load(Ordering::Relaxed);
                counts.failed += slot.failed.load(Ordering::Relaxed);
                counts.small += slot.small.load(Ordering::Relaxed);
                counts.slow += slot.slow.load(Ordering::Relaxed);
            }
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_than_the_window_does_not_count() {
        let recent = Recent::default();
        let at = |seconds| recent.begun + Duration::from_secs(seconds);
        let (bad, good, slow) = (StatusCode::BAD_GATEWAY, StatusCode::OK, SLOW + Duration::from_millis(1));
        recent.ended(at(1), Class::TagRead, bad, slow);
        recent.ended(at(3), Class::ManifestRead, good, SLOW);
        recent.ended(at(3), Class::BlobRead, good, slow);
        assert_eq!(recent.counts(at(4)), Counts { requests: 3, failed: 1, small: 2, slow: 1 });
        assert_eq!(recent.counts(at(12)), Counts { requests: 2, failed: 0, small: 1, slow: 0 });
        assert_eq!(recent.counts(at(14)), Counts::default());
        // The same slot, a turn later.
        recent.ended(at(1 + SLOTS as u64), Class::BlobWrite, bad, slow);
        assert_eq!(recent.counts(at(18)), Counts { requests: 1, failed: 1, small: 0, slow: 0 });
    }
}
