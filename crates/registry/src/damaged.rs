//! Blobs whose copy in the store is known to be damaged: whoever asks whether they are there is told no, so that the
//! next push mends them.
//!
//! Remembered in memory, and as a mark in the store for the other instances. A mark is believed only as long as it can
//! be read by name; a listing finds those of others.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use wharfinger_oci::{Algorithm, Digest};
use wharfinger_store::{Delete, Durability, List};

use crate::error::{Result, optional};
use crate::layout;
use crate::registry::{Mode, Registry};

/// Past this many the store has other problems than a list.
const MOST: usize = 100_000;
/// A listing may lag behind a mark that was just written by this much.
const LISTING_LAG: Duration = Duration::from_secs(300);

#[derive(Default)]
pub(crate) struct Damaged {
    known: Mutex<HashMap<Digest, Mark>>,
}

struct Mark {
    at: Instant,
    /// Whether the store has it: then its absence there says that another instance mended the blob.
    stored: bool,
}

impl Registry {
    /// Remembers that a blob failed a check.
    pub(crate) fn mark_damaged(&self, digest: &Digest) {
        let mark = Mark { at: Instant::now(), stored: false };
        {
            let mut known = self.inner.damaged.known.lock();
            if known.len() >= MOST || known.contains_key(digest) {
                return;
            }
            known.insert(*digest, mark);
        }
        tracing::error!(%digest, "a blob is damaged in the store; it is withheld until it is pushed again");
        if self.inner.options.mode == Mode::Observe {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (registry, digest) = (self.clone(), *digest);
            runtime.spawn(async move { registry.store_mark(digest).await });
        }
    }

    async fn store_mark(&self, digest: Digest) {
        let key = layout::damaged(&digest);
        match self.store().put(&key, bytes::Bytes::new(), Durability::Synced).await {
            Ok(()) => {
                if let Some(mark) = self.inner.damaged.known.lock().get_mut(&digest) {
                    mark.stored = true;
                    return;
                }
                // Mended while the mark was being written.
                let _ = self.store().delete(&key, Delete::default()).await;
            }
            Err(error) => tracing::warn!(%digest, %error, "the mark of a damaged blob could not be written"),
        }
    }

    /// Forgets the mark of a blob that was written again.
    pub(crate) async fn mark_mended(&self, digest: &Digest) -> Result<()> {
        let known = self.inner.damaged.known.lock().remove(digest);
        if known.is_some_and(|mark| mark.stored) {
            self.store().delete(&layout::damaged(digest), Delete { prune_parents: 0 }).await?;
        }
        Ok(())
    }

    /// Whether a blob is known to be damaged, and was not mended by another instance since.
    pub(crate) async fn is_damaged(&self, digest: &Digest) -> Result<bool> {
        match self.inner.damaged.known.lock().get(digest) {
            None => return Ok(false),
            Some(mark) if !mark.stored => return Ok(true),
            Some(_) => {}
        }
        let marked = optional(self.store().head(&layout::damaged(digest)).await)?.is_some();
        if !marked {
            self.inner.damaged.known.lock().remove(digest);
            self.inner.caches.forget(digest);
        }
        Ok(marked)
    }

    /// Looks for the marks of other instances. Says how many blobs are known to be damaged.
    pub async fn refresh_damaged(&self) -> Result<usize> {
        let (mut listed, mut after) = (Vec::new(), None);
        loop {
            let options = List { shallow: false, after, limit: 10_000 };
            let page = self.store().list(&layout::all_damaged(), options).await?;
            listed.extend(page.entries.iter().filter_map(|entry| parse(entry.name())));
            after = page.entries.last().map(|entry| entry.name().to_owned());
            if !page.more || after.is_none() {
                break;
            }
        }
        let mut known = self.inner.damaged.known.lock();
        known.retain(|digest, mark| {
            !mark.stored || mark.at.elapsed() < LISTING_LAG || listed.contains(digest)
        });
        for digest in listed.into_iter().take(MOST) {
            known.entry(digest).or_insert(Mark { at: Instant::now(), stored: true }).stored = true;
        }
        Ok(known.len())
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
