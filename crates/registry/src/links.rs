//! Layer links that this process wrote a moment ago: a manifest that follows its blobs need not look for them.

use std::time::{Duration, Instant};

use quick_cache::sync::Cache;
use wharfinger_store::Key;

/// How long a link that was written is taken to be there.
const LIFE: Duration = Duration::from_secs(60);
/// Links remembered.
const MOST: usize = 10_000;

pub(crate) struct RecentLinks(Cache<Key, Instant>);

impl Default for RecentLinks {
    fn default() -> Self {
        RecentLinks(Cache::new(MOST))
    }
}

impl RecentLinks {
    /// Remembers a link that was written.
    pub(crate) fn note(&self, link: Key) {
        self.0.insert(link, Instant::now());
    }

    /// Forgets a link that is deleted.
    pub(crate) fn forget(&self, link: &Key) {
        self.0.remove(link);
    }

    /// Whether this process wrote the link a moment ago.
    pub(crate) fn has(&self, link: &Key) -> bool {
        self.0.get(link).is_some_and(|at| at.elapsed() < LIFE)
    }
}
