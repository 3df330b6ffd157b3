//! Blobs whose copy in the store is known to be damaged: whoever asks whether they are there is told no, so that the
//! next push mends them.
//!
//! What only a read can find is told to the other instances by a mark in the store, which holds how old the wrong copy
//! is: a copy of another age was pushed since, whoever pushed it. A listing finds the marks; the copy decides.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use wharfinger_oci::{Algorithm, Digest};
use wharfinger_store::{Delete, Durability, List};

use crate::error::{Result, optional};
use crate::layout;
use crate::registry::{Mode, Registry};

/// Past this many the store has other problems than a list.
const MOST: usize = 100_000;
/// Marks on one page of the listing.
const PAGE: usize = 1_000;
/// Digits of a number of nanoseconds.
const MAX_MARK: usize = 40;

#[derive(Default)]
pub(crate) struct Damaged {
    known: Mutex<HashMap<Digest, Damage>>,
}

/// How it was found that a blob is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Damage {
    /// By reading it: the copy of that age is wrong, if the store said how old it is.
    Read(Option<SystemTime>),
    /// By a look at it; the next look tells whether it still is.
    Look,
}

impl Damage {
    /// Whether a copy of that age, which a look found whole, is another one: pushed by way of another instance.
    pub(crate) fn is_mended_by(self, modified: Option<SystemTime>) -> bool {
        match self {
            Damage::Read(Some(wrong)) => modified.is_some_and(|modified| modified != wrong),
            Damage::Read(None) => false,
            Damage::Look => true,
        }
    }

    /// What the mark in the store holds, where it needs one: what a look finds, every instance finds by itself.
    pub(crate) fn mark(self) -> Option<String> {
        match self {
            Damage::Read(Some(age)) => Some(age.duration_since(UNIX_EPOCH).ok()?.as_nanos().to_string()),
            _ => None,
        }
    }

    fn of_mark(mark: &[u8]) -> Option<Damage> {
        let nanoseconds: u64 = std::str::from_utf8(mark).ok()?.parse().ok()?;
        Some(Damage::Read(Some(UNIX_EPOCH + Duration::from_nanos(nanoseconds))))
    }
}

impl Registry {
    /// Withholds a blob. `origin` is where its wrong bytes lie, or what is missing; empty where nobody can say.
    pub(crate) fn mark_damaged(&self, digest: &Digest, damage: Damage, origin: &str) {
        {
            let mut known = self.inner.damaged.known.lock();
            if known.len() >= MOST || known.contains_key(digest) {
                return;
            }
            known.insert(*digest, damage);
        }
        let origin = Some(origin).filter(|origin| !origin.is_empty());
        tracing::error!(%digest, origin, "a blob is damaged in the store; it is withheld until it is pushed again");
        if let Some(mark) = damage.mark()
            && self.inner.options.mode != Mode::Observe
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let (registry, digest) = (self.clone(), *digest);
            runtime.spawn(async move {
                let key = layout::damaged(&digest);
                if let Err(error) = registry.store().put(&key, mark.into(), Durability::Synced).await {
                    tracing::warn!(%digest, %error, "other instances could not be told that a blob is damaged");
                }
            });
        }
    }

    /// Withholds a blob of which somebody else has said why.
    pub(crate) fn mark_damaged_quietly(&self, digest: &Digest, damage: Damage) {
        let mut known = self.inner.damaged.known.lock();
        if known.len() < MOST {
            known.insert(*digest, damage);
        }
    }

    /// Withholds a blob that was read whole, and again, and is not what its digest says. `modified` is when the store says
    /// that the copy was written, `reason` what is wrong with it.
    pub fn mark_wrong(&self, digest: &Digest, modified: Option<SystemTime>, reason: &str) {
        let modified = modified.filter(|_| self.inner.shape.remote);
        self.mark_damaged(digest, Damage::Read(modified), reason);
    }

    /// Whether a blob is known to be damaged.
    pub fn is_withheld(&self, digest: &Digest) -> bool {
        self.damage(digest).is_some()
    }

    /// A blob was read whole and is what its digest says: it is offered, whatever was known of it before.
    pub fn mark_whole(&self, digest: &Digest) {
        if self.damage(digest).is_some() {
            tracing::info!(%digest, "a blob that was withheld is whole again");
            self.mark_mended(digest);
        }
    }

    /// Forgets what was known of a blob that was pushed again.
    pub(crate) fn mark_mended(&self, digest: &Digest) {
        let known = self.inner.damaged.known.lock().remove(digest);
        if known.and_then(Damage::mark).is_some()
            && self.inner.options.mode != Mode::Observe
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let (registry, key) = (self.clone(), layout::damaged(digest));
            runtime.spawn(async move {
                if let Err(error) = registry.store().delete(&key, Delete::default()).await {
                    tracing::debug!(%error, "the mark of a mended blob stays; it is for a copy that is gone");
                }
            });
        }
    }

    /// What is known of a blob's damage.
    pub(crate) fn damage(&self, digest: &Digest) -> Option<Damage> {
        let known = self.inner.damaged.known.lock();
        if known.is_empty() { None } else { known.get(digest).copied() }
    }

    /// Looks for the marks of other instances. Says how many blobs are known to be damaged.
    pub async fn refresh_damaged(&self) -> Result<usize> {
        let mut after = None;
        loop {
            let options = List { shallow: false, after, limit: PAGE };
            let page = self.store().list(&layout::all_damaged(), options).await?;
            for digest in page.entries.iter().filter_map(|entry| parse(entry.name())) {
                if self.damage(&digest).is_none() {
                    self.take_mark(digest).await?;
                }
            }
            after = page.entries.last().map(|entry| entry.name().to_owned());
            if !page.more || after.is_none() {
                return Ok(self.damaged_count());
            }
        }
    }

    /// Believes a mark of another instance, unless another copy was pushed since.
    pub(crate) async fn take_mark(&self, digest: Digest) -> Result<()> {
        let mark = optional(self.store().get_newest(&layout::damaged(&digest), MAX_MARK).await)?;
        let Some(damage) = mark.and_then(|(mark, _)| Damage::of_mark(&mark)) else { return Ok(()) };
        let copy = optional(self.store().head(&layout::blob_data(&digest)).await)?;
        {
            let mut known = self.inner.damaged.known.lock();
            if known.len() < MOST {
                known.insert(digest, damage);
            }
        }
        if copy.is_some_and(|copy| damage.is_mended_by(copy.modified)) {
            self.mark_mended(&digest);
        }
        Ok(())
    }

    /// How many blobs failed a check and were not pushed again since.
    pub fn damaged_count(&self) -> usize {
        self.inner.damaged.known.lock().len()
    }
}

fn parse(name: &str) -> Option<Digest> {
    let (algorithm, hex) = name.split_once('/')?;
    Digest::from_hex(Algorithm::parse(algorithm)?, hex).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_holds_how_old_the_wrong_copy_is() {
        let age = UNIX_EPOCH + Duration::new(1_700_000_000, 123_450_000);
        let damage = Damage::Read(Some(age));
        let mark = damage.mark().unwrap();
        assert_eq!(Damage::of_mark(mark.as_bytes()), Some(damage));
        assert!(!damage.is_mended_by(Some(age)) && damage.is_mended_by(Some(age + Duration::from_secs(1))));
        assert_eq!((Damage::Look.mark(), Damage::Read(None).mark()), (None, None));
        assert_eq!(Damage::of_mark(b"x"), None);
    }
}
