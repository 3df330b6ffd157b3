//! The right to hash a whole blob: few at a time, and each blob once however many wait for it.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedMutexGuard, Semaphore, SemaphorePermit};
use wharfinger_oci::Digest;

/// Who hashes what.
pub(crate) struct Hashing {
    blobs: Mutex<HashMap<Digest, Arc<tokio::sync::Mutex<()>>>>,
    places: Semaphore,
}

/// The right to hash one blob.
pub(crate) struct Turn<'a> {
    hashing: &'a Hashing,
    digest: Digest,
    guard: Option<OwnedMutexGuard<()>>,
    _place: Option<SemaphorePermit<'a>>,
}

impl Hashing {
    /// At most `places` blobs at a time.
    pub(crate) fn new(places: usize) -> Hashing {
        Hashing { blobs: Mutex::default(), places: Semaphore::new(places) }
    }

    /// Waits until nobody else hashes the blob, and there is a place. Whoever comes second looks first whether the work
    /// was done meanwhile.
    pub(crate) async fn lock(&self, digest: Digest) -> Turn<'_> {
        let lock = self.blobs.lock().entry(digest).or_default().clone();
        let mut turn = Turn { hashing: self, digest, guard: None, _place: None };
        turn.guard = Some(lock.lock_owned().await);
        turn._place = self.places.acquire().await.ok();
        turn
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.guard = None;
        let mut blobs = self.hashing.blobs.lock();
        // Held by the map alone: nobody waits for it.
        if blobs.get(&self.digest).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            blobs.remove(&self.digest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_blob_is_hashed_by_one_and_nothing_is_left() {
        let hashing = Hashing::new(2);
        let digest = Digest::of(wharfinger_oci::Algorithm::Sha256, b"x");
        let first = hashing.lock(digest).await;
        let waits = tokio::time::timeout(std::time::Duration::from_millis(20), hashing.lock(digest)).await;
        assert!(waits.is_err(), "two hashed the same blob");
        drop(first);
        drop(hashing.lock(digest).await);
        assert!(hashing.blobs.lock().is_empty());
    }
}
