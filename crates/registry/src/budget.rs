//! The byte budget: what requests and answers may hold in memory together.
//!
//! Pieces of answers are given back as fast as their readers take them. What uploads hold is given back when their
//! clients go on, which may be never: so that nobody waits for them, they never have all of the budget.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::blob::chunk_index::CHUNK;

/// The budget; one permit a byte.
pub(crate) struct Budget {
    all: Arc<Semaphore>,
    /// What uploads may hold of it.
    held: Arc<Semaphore>,
    most: u32,
}

/// A share that a client's upload holds.
#[derive(Debug)]
pub(crate) struct Held {
    of_all: OwnedSemaphorePermit,
    of_held: OwnedSemaphorePermit,
}

impl Held {
    /// How many bytes it is for.
    pub(crate) fn bytes(&self) -> usize {
        self.of_held.num_permits()
    }

    /// Adds another share to it.
    pub(crate) fn merge(&mut self, more: Held) {
        self.of_all.merge(more.of_all);
        self.of_held.merge(more.of_held);
    }
}

impl Budget {
    /// A budget of so many bytes. Uploads may hold half of it, and never so much that no chunk fits beside them.
    pub(crate) fn new(bytes: usize) -> Budget {
        let most = u32::try_from(bytes.min(Semaphore::MAX_PERMITS)).unwrap_or(u32::MAX);
        let beside = (most / 2).max(CHUNK as u32);
        let held = most.saturating_sub(beside);
        let semaphore = |permits: u32| Arc::new(Semaphore::new(permits as usize));
        Budget { all: semaphore(most), held: semaphore(held), most }
    }

    /// Waits for a share, in turn; what is larger than the whole budget takes all of it.
    pub(crate) async fn share(&self, bytes: u64) -> OwnedSemaphorePermit {
        let wanted = u32::try_from(bytes).unwrap_or(u32::MAX).min(self.most);
        match self.all.clone().acquire_many_owned(wanted).await {
            Ok(share) => share,
            Err(_) => unreachable!("the budget is never closed"),
        }
    }

    /// How many bytes are shared out, and of how many.
    pub(crate) fn held(&self) -> (u64, u64) {
        let free = u32::try_from(self.all.available_permits()).unwrap_or(u32::MAX);
        (u64::from(self.most.saturating_sub(free)), u64::from(self.most))
    }

    /// A share, if there is one at once.
    pub(crate) fn try_share(&self, bytes: u64) -> Option<OwnedSemaphorePermit> {
        self.all.clone().try_acquire_many_owned(u32::try_from(bytes).ok()?).ok()
    }

    /// A share for an upload, if there is one at once.
    pub(crate) fn try_hold(&self, bytes: u64) -> Option<Held> {
        let of_held = self.held.clone().try_acquire_many_owned(u32::try_from(bytes).ok()?).ok()?;
        Some(Held { of_all: self.try_share(bytes)?, of_held })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_chunk_fits_beside_all_that_uploads_hold() {
        for (bytes, held) in [(8 * CHUNK, 4 * CHUNK), (3 * CHUNK / 2, CHUNK / 2), (CHUNK, 0), (1, 0)] {
            let budget = Budget::new(bytes as usize);
            let mut shares: Vec<Held> = std::iter::from_fn(|| budget.try_hold(CHUNK / 4)).collect();
            assert_eq!(shares.iter().map(Held::bytes).sum::<usize>() as u64, held, "of {bytes}");
            let chunk = budget.share(CHUNK).await;
            assert_eq!(chunk.num_permits() as u64, CHUNK.min(bytes));
            drop(chunk);
            if let Some(last) = shares.pop() {
                let whole = last.bytes();
                drop(last);
                let (mut half, more) =
                    (budget.try_hold(whole as u64 / 2).unwrap(), budget.try_hold(whole as u64 / 2).unwrap());
                half.merge(more);
                assert_eq!(half.bytes(), whole);
            }
        }
    }
}
