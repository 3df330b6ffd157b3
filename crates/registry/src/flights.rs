//! One look in the store for all who ask for the same content at the same time.
//!
//! For pulls alone: who joins a look that has begun before may not take it as evidence that something is not there, nor, in
//! a push, that it is.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::OnceCell;
use wharfinger_oci::Digest;

type Running<T> = Arc<Mutex<HashMap<Digest, Weak<Flight<T>>>>>;

/// The looks that are under way.
pub(crate) struct Flights<T> {
    running: Running<T>,
}

/// A look. What it found is shared with all who come while anybody holds it.
pub(crate) struct Flight<T> {
    digest: Digest,
    /// Nothing where it failed or found nothing.
    found: OnceCell<Option<T>>,
    running: Running<T>,
}

impl<T> Default for Flights<T> {
    fn default() -> Self {
        Flights { running: Arc::default() }
    }
}

impl<T> Flights<T> {
    /// The look that is under way, or a new one.
    pub(crate) fn join(&self, digest: Digest) -> Arc<Flight<T>> {
        let mut running = self.running.lock();
        if let Some(flight) = running.get(&digest).and_then(Weak::upgrade) {
            return flight;
        }
        let flight = Arc::new(Flight { digest, found: OnceCell::new(), running: self.running.clone() });
        running.insert(digest, Arc::downgrade(&flight));
        flight
    }

    /// The look that is under way.
    pub(crate) fn current(&self, digest: &Digest) -> Option<Arc<Flight<T>>> {
        self.running.lock().get(digest).and_then(Weak::upgrade)
    }
}

impl<T: Clone> Flight<T> {
    /// What `look` finds, which only the first runs; where its request goes away, the next does. None where somebody
    /// else's look failed or found nothing: then each looks alone, and hears the store's own answer.
    pub(crate) async fn share<E>(
        &self,
        look: impl Future<Output = Result<Option<T>, E>>,
    ) -> Option<Result<Option<T>, E>> {
        let mut mine = None;
        let looked = self.found.get_or_init(|| async {
            let (found, failure) = match look.await {
                Ok(found) => (found, None),
                Err(error) => (None, Some(error)),
            };
            mine = Some(failure);
            found
        });
        let found = looked.await.clone();
        match (mine, found) {
            (Some(Some(error)), _) => Some(Err(error)),
            (Some(None), found) => Some(Ok(found)),
            (None, Some(found)) => Some(Ok(Some(found))),
            (None, None) => None,
        }
    }
}

impl<T> Drop for Flight<T> {
    fn drop(&mut self) {
        let mut running = self.running.lock();
        // Another may have begun since nobody held this one.
        if running.get(&self.digest).is_some_and(|flight| flight.strong_count() == 0) {
            running.remove(&self.digest);
        }
    }
}

impl<T> fmt::Debug for Flight<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flight").field("digest", &self.digest).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn digest() -> Digest {
        Digest::of(wharfinger_oci::Algorithm::Sha256, b"x")
    }

    async fn late(found: Result<Option<u8>, u8>) -> Result<Option<u8>, u8> {
        tokio::time::sleep(Duration::from_millis(20)).await;
        found
    }

    #[tokio::test]
    async fn one_looks_for_all_and_nothing_is_left() {
        let flights = Flights::default();
        let (first, second) = (flights.join(digest()), flights.join(digest()));
        let looks = tokio::join!(first.share(late(Ok(Some(1)))), second.share(late(Ok(Some(2)))));
        assert_eq!(looks, (Some(Ok(Some(1))), Some(Ok(Some(1)))));
        drop(first);
        assert_eq!(flights.join(digest()).share(late(Ok(Some(3)))).await, Some(Ok(Some(1))));
        drop(second);
        assert!(flights.running.lock().is_empty());
        assert_eq!(flights.join(digest()).share(late(Ok(Some(3)))).await, Some(Ok(Some(3))));
    }

    #[tokio::test]
    async fn a_failure_or_an_absence_is_nobody_elses() {
        for (found, told) in [(Err(7), Some(Err(7))), (Ok(None), Some(Ok(None)))] {
            let flights = Flights::default();
            let (first, second) = (flights.join(digest()), flights.join(digest()));
            let looks = tokio::join!(first.share(late(found)), second.share(late(Ok(Some(2)))));
            assert_eq!(looks, (told, None));
        }
    }

    #[tokio::test]
    async fn a_look_that_is_left_is_begun_again_by_the_next() {
        let flights = Flights::default();
        let (first, second) = (flights.join(digest()), flights.join(digest()));
        let left = tokio::time::timeout(Duration::from_millis(5), first.share(late(Ok(Some(1)))));
        let looks = tokio::join!(left, second.share(late(Ok(Some(2)))));
        assert!(looks.0.is_err());
        assert_eq!(looks.1, Some(Ok(Some(2))));
    }
}
