//! Reads every blob once per period and compares it with its digest: before a pull does, and while there are copies.
//!
//! A pass goes through the blobs in the order of their digests, each when its share of the period has come, no faster than
//! is allowed, and goes on past what cannot be read. What is found damaged is read again after a while before it counts.

mod read;
mod record;

use std::collections::{HashSet, VecDeque};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep};
use uuid::Uuid;
use wharfinger_oci::Digest;
use wharfinger_registry::Registry;
use wharfinger_registry::layout::{self, Place};
use wharfinger_store::{Durability, List, Result};

use crate::Pace;
pub use record::{Ended, Tally};
use record::{Pass, Record, Stored};

/// Between two writes of the record by who works.
const BEAT: Duration = Duration::from_secs(5);
/// Who has not written the record for so long, while there was something to do, works no more.
const SILENT: Duration = Duration::from_secs(15);
/// Before the first look: a server that starts has other things to do.
const FIRST: Duration = Duration::from_secs(60);
/// The longest time without a look at the record.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// After a failure of the store; twice as long after each further one, up to [`LONGEST`].
const BACK_OFF: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(300);
/// Names that are listed at a time.
const PAGE: usize = 256;
/// The longest record.
const LARGEST: usize = 256 * 1024;

/// How to scrub.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Every blob is read once in this time.
    pub period: Duration,
    /// Bytes a second that are read at most.
    pub rate: u64,
    /// Whether anything may be written: what is missing beside a blob, and how far the scrub is. Without it the scrub is
    /// this process's own business and begins anew with it.
    pub writes: bool,
}

/// What became of one blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is what its digest says.
    Good,
    /// It is, and what proves its parts was missing beside it, or wrong, and is there now.
    Derived,
    /// It is not, also when it was read again.
    Damaged,
    /// It could not be read.
    Unreadable,
    /// It was deleted meanwhile.
    Gone,
}

/// How far the scrub is, whichever instance works.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// When the pass that is under way began; none between two.
    pub started: Option<SystemTime>,
    /// How much of it is done, from 0 to 1.
    pub done: f64,
    /// What it found so far.
    pub tally: Tally,
    /// The last pass that came to its end.
    pub last: Option<Ended>,
    /// For how long the blob that waits longest was not proved.
    pub oldest_unverified: Duration,
    /// Whether another instance works.
    pub elsewhere: bool,
}

/// Where the scrub runs.
pub trait Host: Send + Sync + 'static {
    /// Whether the store works, as far as is known: while it does not, nothing is read.
    fn store_works(&self) -> bool;

    /// Is told of each blob that was read here, and its bytes.
    fn verified(&self, outcome: Outcome, bytes: u64);

    /// Is told of each blob that was found damaged, and is withheld. Must be quick.
    fn damaged(&self, _digest: Digest) {}

    /// Is told how far the scrub is.
    fn progressed(&self, progress: Progress);

    /// The time.
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// Scrubs for ever.
pub async fn run(registry: Registry, options: Options, host: Arc<dyn Host>) {
    sleep(FIRST.min(options.period / 10)).await;
    let mut scrub = Scrub::new(registry, options, host);
    let mut failures = 0;
    loop {
        let wait = if scrub.host.store_works() { scrub.step().await } else { Ok(BACK_OFF) };
        match wait {
            Ok(wait) => {
                failures = 0;
                sleep(wait.min(LOOK_AGAIN)).await;
            }
            Err(error) => {
                tracing::debug!(%error, "the scrub waits for the store");
                sleep((BACK_OFF * 2_u32.saturating_pow(failures)).min(LONGEST)).await;
                failures = (failures + 1).min(8);
            }
        }
    }
}

struct Scrub {
    registry: Registry,
    options: Options,
    host: Arc<dyn Host>,
    pace: Arc<Pace>,
    me: Uuid,
    /// As it was written or seen last.
    record: Record,
    /// When it was written by us.
    written: Instant,
    /// Since when another's record has not changed although there is something to do.
    silent: Option<Instant>,
    /// What is damaged by the record, and was looked at here.
    known: HashSet<Digest>,
    /// The blobs behind a position, in order.
    candidates: VecDeque<Digest>,
    behind: Option<Digest>,
}

/// What comes next.
enum Next {
    Begin,
    Read(Digest),
    End,
    Wait(Duration),
}

impl Scrub {
    fn new(registry: Registry, options: Options, host: Arc<dyn Host>) -> Scrub {
        let me = Uuid::new_v4();
        Scrub {
            registry,
            options,
            host,
            pace: Arc::new(Pace::new(Some(options.rate))),
            me,
            record: Record::new(me),
            written: Instant::now(),
            silent: None,
            known: HashSet::new(),
            candidates: VecDeque::new(),
            behind: None,
        }
    }

    /// Reads what is due, if that is ours to do. Says when to look again.
    async fn step(&mut self) -> Result<Duration> {
        let before = (self.record.worker, self.record.written);
        match self.stored().await? {
            Stored::Nothing => {}
            Stored::Record(record) => self.record = *record,
            // Somebody who knows more than we do.
            Stored::Later => return Ok(LOOK_AGAIN),
        }
        self.look_at_damaged().await;
        self.tell();
        let next = self.next().await?;
        if let Next::Wait(wait) = next {
            self.silent = None;
            return Ok(wait);
        }
        if self.record.worker != self.me {
            if before != (self.record.worker, self.record.written) {
                self.silent = None;
            }
            let since = *self.silent.get_or_insert_with(Instant::now);
            // Several that wait for the same do not take over at the same moment.
            let patience = SILENT + Duration::from_millis(10) * u32::from(self.me.as_bytes()[0]);
            if since.elapsed() < patience {
                return Ok(BEAT);
            }
        }
        self.silent = None;
        self.record.worker = self.me;
        self.write().await;
        self.work().await
    }

    /// Looks at what is damaged by the record and not known here: it was found before this process began, or by another
    /// instance.
    async fn look_at_damaged(&mut self) {
        self.known.retain(|digest| self.record.damaged.contains(digest));
        for digest in self.record.damaged.clone() {
            if !self.registry.is_withheld(&digest) && self.known.insert(digest) {
                let (outcome, bytes) =
                    read::read(&self.registry, &digest, &self.pace, self.options.writes).await;
                self.host.verified(outcome, bytes);
                self.record.note(digest, outcome);
            }
        }
    }

    /// Reads one after another, as long as one is due and nobody else works.
    async fn work(&mut self) -> Result<Duration> {
        loop {
            if !self.host.store_works() {
                return Ok(BACK_OFF);
            }
            match self.next().await? {
                Next::Wait(wait) => {
                    self.beat().await?;
                    return Ok(wait);
                }
                Next::Begin => self.record.pass = Some(Pass::new(self.host.now())),
                Next::End => self.end(),
                Next::Read(digest) => {
                    let Some((outcome, bytes)) = self.read(digest).await? else { return Ok(BEAT) };
                    if outcome == Outcome::Unreadable && !self.host.store_works() {
                        continue;
                    }
                    self.count(digest, outcome, bytes);
                }
            }
            if self.written.elapsed() >= BEAT && !self.beat().await? {
                return Ok(BEAT);
            }
        }
    }

    async fn next(&mut self) -> Result<Next> {
        let (now, period) = (self.host.now(), self.options.period);
        let wait = |at: Option<SystemTime>| at.and_then(|at| at.duration_since(now).ok());
        let Some(pass) = self.record.pass.clone() else {
            let wait = wait(self.record.next_pass(period)).filter(|wait| !wait.is_zero());
            return Ok(wait.map_or(Next::Begin, Next::Wait));
        };
        let Some(digest) = self.candidate(pass.position).await? else { return Ok(Next::End) };
        let wait = wait(Some(pass.due(&digest, period))).filter(|wait| !wait.is_zero());
        Ok(wait.map_or(Next::Read(digest), Next::Wait))
    }

    /// The blob behind a position, as a listing shows it.
    async fn candidate(&mut self, position: Option<Digest>) -> Result<Option<Digest>> {
        if self.behind == position
            && let Some(digest) = self.candidates.front()
        {
            return Ok(Some(*digest));
        }
        let blobs = layout::blobs();
        let below =
            |digest: &Digest| layout::blob_data(digest).as_str()[blobs.as_str().len() + 1..].to_owned();
        let mut after = position.as_ref().map(below);
        self.candidates.clear();
        self.behind = position;
        loop {
            let options = List { shallow: false, after, limit: PAGE };
            let page = self.registry.store().list(&blobs, options).await?;
            let digests = page.entries.iter().filter_map(|entry| {
                match layout::place(blobs.join(entry.name()).as_str()) {
                    Some(Place::Blob(digest)) => Some(digest),
                    _ => None,
                }
            });
            self.candidates.extend(digests);
            after = page.entries.last().map(|entry| entry.name().to_owned());
            if !self.candidates.is_empty() || !page.more || after.is_none() {
                return Ok(self.candidates.front().copied());
            }
        }
    }

    /// What becomes of a blob. None where another instance turned out to work.
    async fn read(&mut self, digest: Digest) -> Result<Option<(Outcome, u64)>> {
        let (registry, pace, writes) = (self.registry.clone(), self.pace.clone(), self.options.writes);
        let mut reading = pin!(async move { read::read(&registry, &digest, &pace, writes).await });
        loop {
            let left = BEAT.saturating_sub(self.written.elapsed());
            tokio::select! {
                found = &mut reading => return Ok(Some(found)),
                () = sleep(left) => if !self.beat().await? { return Ok(None) },
            }
        }
    }

    fn count(&mut self, digest: Digest, outcome: Outcome, bytes: u64) {
        self.host.verified(outcome, bytes);
        if outcome == Outcome::Damaged {
            self.host.damaged(digest);
        }
        self.candidates.pop_front();
        self.behind = Some(digest);
        self.record.note(digest, outcome);
        let Some(pass) = &mut self.record.pass else { return };
        pass.position = Some(digest);
        match outcome {
            Outcome::Gone => {}
            Outcome::Unreadable => pass.tally.unreadable += 1,
            Outcome::Good | Outcome::Derived | Outcome::Damaged => {
                pass.tally.blobs += 1;
                pass.tally.bytes += bytes;
                pass.tally.damaged += u64::from(outcome == Outcome::Damaged);
            }
        }
        self.tell();
    }

    fn end(&mut self) {
        let Some(pass) = self.record.pass.take() else { return };
        let ended = pass.ended(self.host.now(), self.options.period);
        let Tally { blobs, bytes, damaged, unreadable } = ended.tally;
        tracing::info!(
            blobs,
            bytes,
            damaged,
            unreadable,
            "all blobs were read and compared with their digests"
        );
        self.record.last = Some(ended);
        self.tell();
    }

    fn tell(&self) {
        let pass = self.record.pass.as_ref();
        self.host.progressed(Progress {
            started: pass.map(|pass| pass.started),
            done: pass.and_then(|pass| pass.position.as_ref()).map_or(0.0, record::fraction),
            tally: pass.map_or_else(Tally::default, |pass| pass.tally),
            last: self.record.last.clone(),
            oldest_unverified: self.record.oldest_unverified(self.host.now()),
            elsewhere: self.record.worker != self.me,
        });
    }

    async fn stored(&self) -> Result<Stored> {
        if !self.options.writes {
            return Ok(Stored::Nothing);
        }
        match self.registry.store().get_newest(&layout::scrub(), LARGEST).await {
            Ok((bytes, _)) => Ok(Record::decode(&bytes)),
            Err(error) if error.is_not_found() => Ok(Stored::Nothing),
            Err(error) => Err(error),
        }
    }

    /// Writes the record, if it is still ours. Says whether it is.
    async fn beat(&mut self) -> Result<bool> {
        match self.stored().await? {
            Stored::Record(theirs) if theirs.worker != self.me => {
                self.record = *theirs;
                return Ok(false);
            }
            Stored::Later => return Ok(false),
            Stored::Record(_) | Stored::Nothing => {}
        }
        self.write().await;
        Ok(true)
    }

    /// Writes the record. Where it cannot be written, a restart reads some blobs again.
    async fn write(&mut self) {
        self.record.written += 1;
        self.written = Instant::now();
        if self.options.writes {
            let bytes = self.record.encode().into();
            if let Err(error) = self.registry.store().put(&layout::scrub(), bytes, Durability::Lazy).await {
                tracing::debug!(%error, "how far the scrub is could not be written");
            }
        }
    }
}

#[cfg(test)]
mod tests;
