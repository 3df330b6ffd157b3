//! Of several that want the same from the store, one asks.

use std::convert::Infallible;
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quick_cache::sync::Cache;
use tokio::sync::{Mutex, OwnedMutexGuard};
use wharfinger_store::{Key, Operation, StoreError, StoreErrorKind};

/// Keys that may be asked for by several at a time.
const KEYS: usize = 10_000;
/// For how long it is remembered that asking failed: who waited for it asks alone, and does not wait in turn.
const FAILED: Duration = Duration::from_secs(1);
/// Who has waited so long for somebody else's asking, which then failed, does not wait as long again for its own.
const LONG: Duration = Duration::from_secs(1);

/// The answer for who waited since then until another's asking failed, where it waited for long.
pub(crate) fn waited_in_vain(arrived: Instant, operation: Operation, key: &Key) -> Result<(), StoreError> {
    if arrived.elapsed() < LONG {
        return Ok(());
    }
    let reason = "another request for the same failed after a long wait";
    Err(StoreError::new(StoreErrorKind::Unavailable, operation, key, reason))
}

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
