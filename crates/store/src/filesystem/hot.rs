//! Which names were looked up a moment ago, so that the kernel surely has their path in memory still.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::Key;

/// Names remembered; a newer one takes an older one's place.
const SLOTS: usize = 4096;
/// How long a name stays hot, in milliseconds.
const FOR: u64 = 1_000;

/// A small table of names and times. A wrong answer costs a wait, not a mistake.
#[derive(Debug)]
pub(super) struct Hot {
    seed: u64,
    started: Instant,
    /// The upper 40 bits of a name's hash and the lower 24 of the time in milliseconds.
    slots: Box<[AtomicU64]>,
}

impl Default for Hot {
    fn default() -> Self {
        let slots = (0..SLOTS).map(|_| AtomicU64::new(0)).collect();
        Hot { seed: RandomState::new().hash_one(0), started: Instant::now(), slots }
    }
}

impl Hot {
    /// Whether the name was touched within the last moment.
    pub(super) fn is_hot(&self, key: &Key) -> bool {
        let (slot, tag, now) = self.place(key);
        let entry = slot.load(Ordering::Relaxed);
        entry >> 24 == tag >> 24 && (now.wrapping_sub(entry) & 0xff_ffff) < FOR
    }

    /// Remembers the name.
    pub(super) fn touch(&self, key: &Key) {
        let (slot, tag, now) = self.place(key);
        slot.store(tag & !0xff_ffff | now & 0xff_ffff, Ordering::Relaxed);
    }

    fn place(&self, key: &Key) -> (&AtomicU64, u64, u64) {
        let hash = self.hash(key.as_str().as_bytes());
        let now = self.started.elapsed().as_millis() as u64 + FOR;
        (&self.slots[hash as usize % SLOTS], hash, now)
    }

    /// Quick, and good enough for a table of hints: eight bytes at a time, multiplied and folded.
    fn hash(&self, bytes: &[u8]) -> u64 {
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        let fold = |hash: u64, word: [u8; 8]| {
            let product = u128::from(hash ^ u64::from_le_bytes(word)) * u128::from(ODD);
            (product as u64) ^ (product >> 64) as u64
        };
        let (words, rest) = bytes.as_chunks();
        let hash = words.iter().fold(self.seed ^ bytes.len() as u64, |hash, word| fold(hash, *word));
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        fold(hash, last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_hot_after_a_touch_only() {
        let hot = Hot::default();
        let (a, b) = (Key::new("a"), Key::new("b"));
        assert!(!hot.is_hot(&a));
        hot.touch(&a);
        assert!(hot.is_hot(&a));
        assert!(!hot.is_hot(&b));
    }
}
