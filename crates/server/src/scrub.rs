//! What the scrub that runs beside the server tells of itself, for metrics and status.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// What became of a blob that was read here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scrubbed {
    /// It is what its digest says.
    Good,
    /// It is, and what proves its parts was made anew.
    Derived,
    /// It is damaged.
    Damaged,
    /// It could not be read.
    Unreadable,
    /// It was deleted meanwhile.
    Gone,
}

impl Scrubbed {
    pub(crate) const NAMES: [&str; 5] = ["good", "derived", "damaged", "unreadable", "gone"];
}

/// What a pass found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Blobs that were read.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Of these, damaged ones.
    pub damaged: u64,
    /// Blobs that could not be read.
    pub unreadable: u64,
}

/// How far the scrub is, whichever instance works.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// When the pass that is under way began; none between two.
    pub started: Option<SystemTime>,
    /// How much of it is done, from 0 to 1.
    pub done: f64,
    /// What it found so far.
    pub found: Found,
    /// When the last pass began and ended, and what it found.
    pub last: Option<(SystemTime, SystemTime, Found)>,
    /// For how long the blob that waits longest was not proved.
    pub oldest_unverified: Duration,
    /// Whether another instance works.
    pub elsewhere: bool,
}

/// The scrub, as requests for metrics and status see it.
#[derive(Debug, Default)]
pub struct Scrubbing {
    standing: Mutex<Option<Standing>>,
    blobs: [AtomicU64; Scrubbed::NAMES.len()],
    bytes: AtomicU64,
}

impl Scrubbing {
    /// Counts a blob that was read here.
    pub fn count(&self, scrubbed: Scrubbed, bytes: u64) {
        self.blobs[scrubbed as usize].fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Takes how far the scrub is.
    pub fn tell(&self, standing: Standing) {
        *self.standing.lock() = Some(standing);
    }

    /// How many blobs came to which end here.
    pub(crate) fn blobs(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.blobs.iter().map(|count| count.load(Ordering::Relaxed));
        Scrubbed::NAMES.into_iter().zip(counts)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// None while nothing is known: it is off, or has not seen the store yet.
    pub(crate) fn oldest_unverified(&self) -> Option<Duration> {
        self.standing.lock().as_ref().map(|standing| standing.oldest_unverified)
    }

    /// For the status; null while nothing is known.
    pub(crate) fn status(&self) -> Value {
        let Some(standing) = self.standing.lock().clone() else { return Value::Null };
        let last = standing.last.map(|(started, ended, found)| {
            let mut last = json!({ "started_at": moment(started), "ended_at": moment(ended) });
            tell(&mut last, &found);
            last
        });
        let mut status = json!({
            "pass_started_at": standing.started.map(moment),
            "done": standing.done,
            "elsewhere": standing.elsewhere,
            "oldest_unverified_seconds": standing.oldest_unverified.as_secs(),
            "last_pass": last,
        });
        tell(&mut status, &standing.found);
        status
    }
}

fn tell(value: &mut Value, found: &Found) {
    value["blobs"] = found.blobs.into();
    value["bytes"] = found.bytes.into();
    value["damaged"] = found.damaged.into();
    value["unreadable"] = found.unreadable.into();
}

fn moment(at: SystemTime) -> Option<String> {
    OffsetDateTime::from(at).format(&Rfc3339).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_tells_of_this_pass_and_the_last() {
        let scrubbing = Scrubbing::default();
        assert_eq!(scrubbing.status(), Value::Null);
        let found = Found { blobs: 7, bytes: 700, damaged: 1, unreadable: 2 };
        let last = Some((SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH, found));
        scrubbing.tell(Standing { done: 0.5, last, ..Standing::default() });
        let status = scrubbing.status();
        assert_eq!(status["last_pass"]["ended_at"], "1970-01-01T00:00:00Z");
        assert_eq!((&status["last_pass"]["damaged"], &status["blobs"]), (&json!(1), &json!(0)));
        scrubbing.count(Scrubbed::Gone, 0);
        assert_eq!(scrubbing.blobs().last(), Some(("gone", 1)));
    }
}
