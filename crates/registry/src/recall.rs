//! What links said: for a tenth of a second to every pull, and for longer to pulls of what the disk cache holds while
//! the store cannot be asked. Never for a push.
//!
//! A link that has stood for a while may be answered from memory for [`Lease::life`] after it was read by name. Whoever
//! replaces or removes a link therefore waits that long before it says so: nobody who asks after that is told what was
//! there before, and no instance need know of the others.

mod gone;

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use quick_cache::sync::Cache;
use wharfinger_oci::{Digest, RepositoryName};
use wharfinger_shared::{Kind, Patience, Shared};
use wharfinger_store::{Key, Operation, StoreErrorKind};

use crate::error::{Error, Result, optional};
use crate::layout;
use crate::registry::Registry;
use crate::turns::{Last, Turns, waited_in_vain};
use gone::Gone;

/// Links that are kept in mind.
const LINKS: usize = 100_000;
/// How often within the limit other instances are told what a link says.
const TELL_AGAIN: u32 = 4;

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
    /// When other instances were told.
    told: Option<Instant>,
}

pub(crate) struct Recall {
    links: Cache<Key, Noted>,
    turns: Turns<Key, Option<Said>>,
    /// Blobs that were looked at: their sizes, and since when they are known.
    looks: Cache<Digest, (u64, Instant)>,
    /// Links that were seen to be gone.
    gone: Gone,
    lease: Lease,
    /// How long links are believed while the store cannot be asked.
    limit: Duration,
    /// Where other instances, and this one after a restart, find what links said last.
    shared: Option<Shared>,
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
    pub(crate) fn new(lease: Lease, limit: Duration, shared: Option<Shared>) -> Recall {
        // What is used only while the store is down need not be told where that is never done.
        let shared = shared.filter(|_| !limit.is_zero());
        let (links, looks) = (Cache::new(LINKS), Cache::new(LINKS));
        let (turns, gone) = (Turns::default(), Gone::new(limit));
        Recall { links, turns, looks, gone, lease, limit, shared, answers: AtomicU64::new(0) }
    }

    /// Forgets what a link said, here and for others.
    pub(crate) fn forget(&self, key: &Key) {
        // In this order: a read that ends just now looks for the one after it has written the other.
        self.gone.note(key);
        self.links.remove(key);
        if let Some(shared) = &self.shared {
            shared.forget(Kind::Link, key.as_str());
        }
    }

    /// Keeps in mind what a link said; tells other instances now and then.
    fn keep(&self, key: &Key, said: Said, asked: Instant, settled: bool) {
        if self.gone.is_outdated(key, asked) {
            return;
        }
        let mut told = self.links.peek(key).filter(|noted| noted.said == said).and_then(|noted| noted.told);
        if let Some(shared) = &self.shared
            && told.is_none_or(|told| told.elapsed() >= self.limit / TELL_AGAIN)
        {
            shared.keep(Kind::Link, key.as_str(), &Told::now(said).encode(), self.limit);
            told = Some(Instant::now());
        }
        self.links.insert(key.clone(), Noted { said, asked, settled, told });
        if self.gone.is_outdated(key, asked) {
            self.links.remove(key);
        }
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
                self.keep(key, said, asked, settled);
                Some(said)
            }
            None => {
                self.forget(key);
                None
            }
        }
    }

    /// The last answer of a store that cannot be asked, here or elsewhere.
    async fn last_answer(&self, key: &Key, error: Error) -> Result<Recalled<Option<Said>>> {
        if self.limit.is_zero() || !is_outage(&error) {
            return Err(error);
        }
        let mut known = self.links.peek(key).map(|noted| (noted.said, noted.asked.elapsed()));
        if known.is_none_or(|(_, age)| age >= self.limit)
            && let Some(shared) = self.shared.as_ref().filter(|_| !self.gone.has(key))
        {
            let told = shared.get(Kind::Link, key.as_str(), Patience::of_a_request()).await;
            known = told.and_then(|told| Told::decode(&told)).map(|told| (told.said, told.age()));
        }
        match known {
            Some((said, age)) if age < self.limit => {
                self.answers.fetch_add(1, Ordering::Relaxed);
                Ok(Recalled { value: Some(said), age: Some(age) })
            }
            _ => Err(error),
        }
    }
}

/// What other instances are told of a link.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    said: Said,
    /// Milliseconds since 1970, by the clock of who read it.
    at: u64,
}

impl Told {
    fn now(said: Said) -> Told {
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Told { said, at: u64::try_from(at.as_millis()).unwrap_or(u64::MAX) }
    }

    fn encode(&self) -> Bytes {
        match self.said {
            Some(digest) => format!("{} {digest}", self.at).into(),
            None => format!("{} -", self.at).into(),
        }
    }

    fn decode(text: &[u8]) -> Option<Told> {
        let (at, said) = std::str::from_utf8(text).ok()?.split_once(' ')?;
        let said = if said == "-" { None } else { Some(Digest::parse(said).ok()?) };
        Some(Told { said, at: at.parse().ok()? })
    }

    /// How old it is; a clock that is behind makes it new.
    fn age(&self) -> Duration {
        let at = UNIX_EPOCH + Duration::from_millis(self.at);
        at.elapsed().unwrap_or_default()
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
        let mut turn = recall.turns.take(key).await;
        if let Some(said) = turn.answer_since(arrived) {
            return Ok(Recalled::current(said));
        }
        if let Some(said) = recall.leased(key) {
            return Ok(Recalled::current(Some(said)));
        }
        if turn.failed_lately() {
            drop(turn);
            return match waited_in_vain(arrived, Operation::Head, key) {
                Ok(()) => self.ask_and_note(recall, key, question).await,
                Err(error) => recall.last_answer(key, error.into()).await,
            };
        }
        let asked = Instant::now();
        let answer = self.ask_and_note(recall, key, question).await;
        *turn = match &answer {
            Ok(Recalled { value, age: None }) => Last::Answered { asked, answer: *value },
            _ => Last::Failed { at: Instant::now() },
        };
        answer
    }

    async fn ask_and_note(
        &self,
        recall: &Recall,
        key: &Key,
        question: Question,
    ) -> Result<Recalled<Option<Said>>> {
        let asked = Instant::now();
        match self.ask_link(key, question).await {
            Ok(found) => Ok(Recalled::current(recall.note(key, asked, found))),
            Err(error) => recall.last_answer(key, error).await,
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
                recall.keep(&key, None, Instant::now(), false);
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
