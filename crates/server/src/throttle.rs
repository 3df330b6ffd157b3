//! One line for a failure that repeats.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Lets one message per key through in a period and counts the others.
pub struct Throttle<K> {
    period: Duration,
    last: Mutex<HashMap<K, (Instant, u64)>>,
}

impl<K: Eq + Hash> Throttle<K> {
    /// At most one message per key in `period`.
    pub fn new(period: Duration) -> Throttle<K> {
        Throttle { period, last: Mutex::default() }
    }

    /// Whether to speak now, and how many were held back since the last time.
    pub fn admit(&self, key: K) -> Option<u64> {
        let now = Instant::now();
        let mut last = self.last.lock();
        match last.get_mut(&key) {
            Some((at, held)) if now.duration_since(*at) < self.period => {
                *held += 1;
                None
            }
            Some(entry) => {
                let held = entry.1;
                *entry = (now, 0);
                Some(held)
            }
            None => {
                last.insert(key, (now, 0));
                Some(0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_failures_are_one_line() {
        let throttle = Throttle::new(Duration::from_secs(3600));
        assert_eq!(throttle.admit("a"), Some(0));
        assert_eq!(throttle.admit("a"), None);
        assert_eq!(throttle.admit("b"), Some(0));
        let eager = Throttle::new(Duration::ZERO);
        assert_eq!((eager.admit(1), eager.admit(1)), (Some(0), Some(0)));
    }
}
