//! Of several that want the same from the store, one asks.

use std::convert::Infallible;
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quick_cache::sync::Cache;
use tokio::sync::{Mutex, OwnedMutexGuard};

/// Keys that may be asked for by several at a time.
const KEYS: usize = 10_000;
/// For how long it is remembered that asking failed: who waited for it asks alone, and does not wait in turn.
const FAILED: Duration = Duration::from_secs(1);

/// How the last one who asked fared.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Last<T> {
    Nobody,
    Answered { asked: Instant, answer: T },
    Failed { at: Instant },
}

impl<T: Copy> Last<T> {
    /// The answer, if it was asked for no earlier than that.
    pub(crate) fn answer_since(&self, arrived: Instant) -> Option<T> {
        match self {
            Last::Answered { asked, answer } if *asked >= arrived => Some(*answer),
            _ => None,
        }
    }

    /// Whether asking failed a moment ago.
    pub(crate) fn failed_lately(&self) -> bool {
        matches!(self, Last::Failed { at } if at.elapsed() < FAILED)
    }
}

/// Turns at asking, by key.
pub(crate) struct Turns<K, T>(Cache<K, Arc<Mutex<Last<T>>>>);

impl<K: Clone + Eq + Hash, T> Default for Turns<K, T> {
    fn default() -> Self {
        Turns(Cache::new(KEYS))
    }
}

impl<K: Clone + Eq + Hash, T> Turns<K, T> {
    /// Waits for a turn; it ends when the result is dropped.
    pub(crate) async fn take(&self, key: &K) -> OwnedMutexGuard<Last<T>> {
        let new = || Ok::<_, Infallible>(Arc::new(Mutex::new(Last::Nobody)));
        let Ok(turn) = self.0.get_or_insert_with(key, new);
        turn.lock_owned().await
    }
}
