//! Links that were seen to be gone: what anybody knew of them before is not recalled, by whatever clock it was written
//! down, until the store shows the link again.

use std::time::{Duration, Instant};

use quick_cache::sync::Cache;
use wharfinger_store::Key;

/// Links of which this is kept in mind. Whoever asks for names that never were pushes out the oldest.
const LINKS: usize = 50_000;

pub(super) struct Gone {
    links: Cache<Key, Instant>,
    /// Nothing that is older is recalled anyway.
    life: Duration,
}

impl Gone {
    pub(super) fn new(life: Duration) -> Gone {
        Gone { links: Cache::new(LINKS), life }
    }

    /// A link was removed, replaced or found absent.
    pub(super) fn note(&self, key: &Key) {
        if !self.life.is_zero() {
            self.links.insert(key.clone(), Instant::now());
        }
    }

    /// Whether it was, and was not seen to stand since.
    pub(super) fn has(&self, key: &Key) -> bool {
        self.links.get(key).is_some_and(|at| at.elapsed() < self.life)
    }

    /// A link stood when it was asked for. Says whether it is gone since then.
    pub(super) fn is_outdated(&self, key: &Key, asked: Instant) -> bool {
        match self.links.get(key) {
            Some(at) if asked <= at => true,
            Some(_) => {
                self.links.remove_if(key, |at| *at < asked);
                false
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_read_before_a_link_was_removed_does_not_bring_it_back() {
        let (gone, key) = (Gone::new(Duration::from_secs(60)), Key::new("a/link"));
        let before = Instant::now();
        assert!(!gone.is_outdated(&key, before));
        tokio::time::sleep(Duration::from_millis(2)).await;
        gone.note(&key);
        assert!(gone.has(&key) && gone.is_outdated(&key, before) && gone.has(&key));
        tokio::time::sleep(Duration::from_millis(2)).await;
        assert!(!gone.is_outdated(&key, Instant::now()));
        assert!(!gone.has(&key));
    }
}
