//! What links said: for a tenth of a second to every pull, and for longer to pulls of what the disk cache holds while
//! the store cannot be asked. Never for a push.
//!
//! A link that has stood for a while may be answered from memory for [`Lease::life`] after it was read by name. Whoever
//! replaces or removes a link therefore waits that long before it says so: nobody who asks after that is told what was
//! there before, and no instance need know of the others.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use quick_cache::sync::Cache;
use tokio::sync::Mutex;
use wharfinger_oci::{Digest, RepositoryName};
use wharfinger_store::{Key, StoreErrorKind};

use crate::error::{Error, Result, optional};
use crate::layout;
use crate::registry::Registry;

/// Links that are kept in mind.
const LINKS: usize = 100_000;
/// Links that may be asked for by several at a time.
const TURNS: usize = 10_000;
/// For how long it is remembered that a link could not be read: who waited for it asks alone.
const FAILED: Duration = Duration::from_secs(1);

/// For how long what a link said is answered again, on a store that is asked over the network.
#[derive(Clone, Copy, Debug)]
pub struct Lease {
    /// From the beginning of the read by name. Zero: every pull reads every link.
    pub life: Duration,
    /// How long a link must have stood, by the store's clock: much longer than a write may take, so that of two first
    /// writers none can replace what somebody remembers.
    pub settled: Duration,
}

impl Default for Lease {
    fn default() -> Self {
        Lease { life: Duration::from_millis(100), settled: Duration::from_secs(60) }
    }
}

/// What a link says: that it stands, and the digest in it where that was read.
type Said = Option<Digest>;

#[derive(Clone, Copy, Debug)]
struct Noted {
    said: Said,
    /// When the store was asked.
    asked: Instant,
    /// Whether the link has stood long enough to be answered from here.
    settled: bool,
}

/// How the last read of a link went that others wait for.
#[derive(Clone, Copy, Debug)]
enum Turn {
    Nobody,
    Answered { asked: Instant, said: Option<Said> },
    Failed { at: Instant },
}

pub(crate) struct Recall {
    links: Cache<Key, Noted>,
    turns: Cache<Key, Arc<Mutex<Turn>>>,
    /// Blobs that were looked at: their sizes, and since when they are known.
    looks: Cache<Digest, (u64, Instant)>,
    lease: Lease,
    /// How long links are believed while the store cannot be asked.
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

impl<T> Recalled<T> {
    fn current(value: T) -> Recalled<T> {
        Recalled { value, age: None }
    }
}

/// What is asked of a link.
#[derive(Clone, Copy, Debug)]
enum Question {
    Stands,
    Holds,
}

impl Recall {
    pub(crate) fn new(lease: Lease, limit: Duration) -> Recall {
        let (links, turns, looks) = (Cache::new(LINKS), Cache::new(TURNS), Cache::new(LINKS));
        Recall { links, turns, looks, lease, limit, answers: AtomicU64::new(0) }
    }

    pub(crate) fn forget(&self, key: &Key) {
        self.links.remove(key);
    }

    /// Manifests that tags pointed to when they were pulled.
    pub(crate) fn pulled_manifests(&self) -> HashSet<Digest> {
        self.links.iter().filter_map(|(_, noted)| noted.said).collect()
    }

    /// What a link said a moment ago.
    fn leased(&self, key: &Key) -> Option<Said> {
        let noted = self.links.get(key)?;
        (noted.settled && noted.asked.elapsed() < self.lease.life).then_some(noted.said)
    }

    /// The size of a blob that was looked at a moment ago.
    fn leased_look(&self, digest: &Digest) -> Option<u64> {
        let (size, asked) = self.looks.get(digest)?;
        (asked.elapsed() < self.lease.life).then_some(size)
    }

    fn turn(&self, key: &Key) -> Arc<Mutex<Turn>> {
        let new = || Ok::<_, std::convert::Infallible>(Arc::new(Mutex::new(Turn::Nobody)));
        let Ok(turn) = self.turns.get_or_insert_with(key, new);
        turn
    }

    /// Whether a link of that age is one that nobody replaces unseen.
    fn is_settled(&self, modified: Option<SystemTime>) -> bool {
        let age = modified.map(|at| at.elapsed().unwrap_or_default());
        !self.lease.life.is_zero() && age.is_some_and(|age| age >= self.lease.settled)
    }

    /// Notes an answer of the store.
    fn note(&self, key: &Key, asked: Instant, found: Option<(Said, Option<SystemTime>)>) -> Option<Said> {
        match found {
            Some((said, modified)) => {
                let settled = self.is_settled(modified);
                self.links.insert(key.clone(), Noted { said, asked, settled });
                Some(said)
            }
            None => {
                self.forget(key);
                None
            }
        }
    }

    /// The last answer of a store that cannot be asked.
    fn last_answer(&self, key: &Key, error: Error) -> Result<Recalled<Option<Said>>> {
        let known = self.links.peek(key).filter(|_| is_outage(&error));
        match known.map(|noted| (noted.said, noted.asked.elapsed())) {
            Some((said, age)) if age < self.limit => {
                self.answers.fetch_add(1, Ordering::Relaxed);
                Ok(Recalled { value: Some(said), age: Some(age) })
            }
            _ => Err(error),
        }
    }
}

fn is_outage(error: &Error) -> bool {
    matches!(error, Error::Store(error) if error.kind == StoreErrorKind::Unavailable)
}

impl Registry {
    /// For pulls: whether a link stands at `key`, or stood there.
    pub(crate) async fn recall_link(&self, key: &Key) -> Result<Recalled<bool>> {
        let recalled = self.recall(key, Question::Stands).await?;
        Ok(Recalled { value: recalled.value.is_some(), age: recalled.age })
    }

    /// For pulls: the digest in a link, or the one that it held.
    pub(crate) async fn recall_digest(&self, key: &Key) -> Result<Recalled<Option<Digest>>> {
        let recalled = self.recall(key, Question::Holds).await?;
        Ok(Recalled { value: recalled.value.flatten(), age: recalled.age })
    }

    /// What a link says. Of several that ask at the same time one reads it.
    async fn recall(&self, key: &Key, question: Question) -> Result<Recalled<Option<Said>>> {
        let Some(recall) = &self.inner.recall else {
            return Ok(Recalled::current(self.ask_link(key, question).await?.map(|(said, _)| said)));
        };
        let arrived = Instant::now();
        if let Some(said) = recall.leased(key) {
            return Ok(Recalled::current(Some(said)));
        }
        let turn = recall.turn(key);
        let mut turn = turn.lock().await;
        match *turn {
            // It was read after this request came.
            Turn::Answered { asked, said } if asked >= arrived => return Ok(Recalled::current(said)),
            Turn::Failed { at } if at.elapsed() < FAILED => drop(turn),
            _ => {
                if let Some(said) = recall.leased(key) {
                    return Ok(Recalled::current(Some(said)));
                }
                let asked = Instant::now();
                let answer = self.ask_link(key, question).await;
                *turn = match &answer {
                    Ok(found) => Turn::Answered { asked, said: found.map(|(said, _)| said) },
                    Err(_) => Turn::Failed { at: Instant::now() },
                };
                drop(turn);
                return match answer {
                    Ok(found) => Ok(Recalled::current(recall.note(key, asked, found))),
                    Err(error) => recall.last_answer(key, error),
                };
            }
        }
        let asked = Instant::now();
        match self.ask_link(key, question).await {
            Ok(found) => Ok(Recalled::current(recall.note(key, asked, found))),
            Err(error) => recall.last_answer(key, error),
        }
    }

    async fn ask_link(&self, key: &Key, question: Question) -> Result<Option<(Said, Option<SystemTime>)>> {
        match question {
            Question::Stands => Ok(optional(self.store().head(key).await)?.map(|meta| (None, meta.modified))),
            Question::Holds => {
                let found = self.read_link_with_age(key).await?;
                Ok(found.map(|(digest, modified)| (Some(digest), modified)))
            }
        }
    }

    /// The size of a blob, by a look at the link of its repository and at its data a moment ago.
    pub(crate) fn leased_stat(&self, link: &Key, digest: &Digest) -> Option<u64> {
        let recall = self.inner.recall.as_ref()?;
        let size = recall.leased_look(digest)?;
        (recall.leased(link).is_some() && self.damage(digest).is_none()).then_some(size)
    }

    /// Notes what a look at a blob found that began at `asked`; what its link said is noted where that was read.
    pub(crate) fn note_look(&self, digest: &Digest, size: u64, asked: Instant) {
        if let Some(recall) = &self.inner.recall {
            recall.looks.insert(*digest, (size, asked));
        }
    }

    /// Whether a link stands, by a look at it now.
    pub(crate) async fn has_link_now(&self, key: &Key) -> Result<bool> {
        let asked = Instant::now();
        let found = self.ask_link(key, Question::Stands).await?;
        Ok(match &self.inner.recall {
            Some(recall) => recall.note(key, asked, found).is_some(),
            None => found.is_some(),
        })
    }

    /// A tag that the store confirmed is a reference to its manifest, which the client may ask for next while the store
    /// is down.
    pub(crate) fn recall_tagged(&self, name: &RepositoryName, digest: &Digest) {
        if let Some(recall) = &self.inner.recall {
            let key = layout::revision_link(name, digest);
            if recall.links.peek(&key).is_none_or(|noted| !noted.settled) {
                recall.links.insert(key, Noted { said: None, asked: Instant::now(), settled: false });
            }
        }
    }

    /// A link was replaced or deleted here: it is not recalled.
    pub(crate) fn forget_link(&self, key: &Key) {
        if let Some(recall) = &self.inner.recall {
            recall.forget(key);
        }
    }

    /// Whether links may be answered from memory, here or by another instance.
    pub(crate) fn leases_links(&self) -> bool {
        self.inner.shape.remote && !self.inner.options.lease.life.is_zero()
    }

    /// Waits until nobody can be told any more what a link said before it was replaced or removed.
    pub(crate) async fn outlast_leases(&self) {
        if self.leases_links() {
            tokio::time::sleep(self.inner.options.lease.life).await;
        }
    }

    /// How often a pull was answered from what links said before, since the start.
    pub fn recalled_answers(&self) -> u64 {
        self.inner.recall.as_ref().map_or(0, |recall| recall.answers.load(Ordering::Relaxed))
    }
}
