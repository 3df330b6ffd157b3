//! What links said when the store could be asked last: for pulls of what the disk cache holds, while it cannot.
//!
//! Never for a push, and never for longer than the operator allows: what another instance deleted meanwhile cannot be
//! known.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use quick_cache::sync::Cache;
use wharfinger_oci::{Digest, RepositoryName};
use wharfinger_store::{Key, StoreErrorKind};

use crate::error::{Error, Result};
use crate::layout;
use crate::registry::Registry;

/// Links that are kept in mind.
const LINKS: usize = 100_000;

pub(crate) struct Recall {
    /// With the digest in the link, where that was read, and when.
    links: Cache<Key, (Option<Digest>, Instant)>,
    limit: Duration,
    answers: AtomicU64,
}

/// An answer of the store, or the last one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recalled<T> {
    pub(crate) value: T,
    /// How old it is, where the store could not be asked.
    pub(crate) age: Option<Duration>,
}

impl Recall {
    pub(crate) fn new(limit: Duration) -> Recall {
        Recall { links: Cache::new(LINKS), limit, answers: AtomicU64::new(0) }
    }

    pub(crate) fn forget(&self, key: &Key) {
        self.links.remove(key);
    }

    /// Notes that a link stands.
    fn note(&self, key: Key) {
        self.links.insert(key, (None, Instant::now()));
    }

    /// Manifests that tags pointed to when they were pulled.
    pub(crate) fn pulled_manifests(&self) -> HashSet<Digest> {
        self.links.iter().filter_map(|(_, (digest, _))| digest).collect()
    }

    /// Notes an answer of the store; where there is none, finds the last one.
    fn take(
        &self,
        key: &Key,
        answer: Result<Option<Option<Digest>>>,
    ) -> Result<Recalled<Option<Option<Digest>>>> {
        match answer {
            Ok(Some(digest)) => {
                self.links.insert(key.clone(), (digest, Instant::now()));
                Ok(Recalled { value: Some(digest), age: None })
            }
            Ok(None) => {
                self.forget(key);
                Ok(Recalled { value: None, age: None })
            }
            Err(error) => {
                let age = |at: Instant| Some(at.elapsed()).filter(|age| *age <= self.limit);
                let known = self.links.peek(key).filter(|_| is_outage(&error));
                match known.and_then(|(digest, at)| Some((digest, age(at)?))) {
                    Some((digest, age)) => {
                        self.answers.fetch_add(1, Ordering::Relaxed);
                        Ok(Recalled { value: Some(digest), age: Some(age) })
                    }
                    None => Err(error),
                }
            }
        }
    }
}

fn is_outage(error: &Error) -> bool {
    matches!(error, Error::Store(error) if error.kind == StoreErrorKind::Unavailable)
}

impl Registry {
    /// For pulls: whether a link stands at `key`, or stood there.
    pub(crate) async fn recall_link(&self, key: &Key) -> Result<Recalled<bool>> {
        let found = self.has_link(key).await;
        let Some(recall) = &self.inner.recall else {
            return Ok(Recalled { value: found?, age: None });
        };
        let recalled = recall.take(key, found.map(|found| found.then_some(None)))?;
        Ok(Recalled { value: recalled.value.is_some(), age: recalled.age })
    }

    /// For pulls: the digest in a link, or the one that it held.
    pub(crate) async fn recall_digest(&self, key: &Key) -> Result<Recalled<Option<Digest>>> {
        let found = self.read_link(key).await;
        let Some(recall) = &self.inner.recall else {
            return Ok(Recalled { value: found?, age: None });
        };
        let recalled = recall.take(key, found.map(|digest| digest.map(Some)))?;
        Ok(Recalled { value: recalled.value.flatten(), age: recalled.age })
    }

    /// A tag that the store confirmed is a reference to its manifest, which the client may ask for next.
    pub(crate) fn recall_tagged(&self, name: &RepositoryName, digest: &Digest) {
        if let Some(recall) = &self.inner.recall {
            recall.note(layout::revision_link(name, digest));
        }
    }

    /// A link was deleted here: it is not recalled.
    pub(crate) fn forget_link(&self, key: &Key) {
        if let Some(recall) = &self.inner.recall {
            recall.forget(key);
        }
    }

    /// How often a pull was answered from what links said before, since the start.
    pub fn recalled_answers(&self) -> u64 {
        self.inner.recall.as_ref().map_or(0, |recall| recall.answers.load(Ordering::Relaxed))
    }
}
