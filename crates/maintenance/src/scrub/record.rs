//! How far the scrub is: a record in the store, by which a restart goes on and by which instances do not do the same work.
//!
//! Only one instance works at a time, by agreement: it writes the record anew every few seconds, and whoever sees that it
//! did not for a while takes over. No clocks are compared for that. Two that take over at the same moment read the same
//! blobs until one sees the other's record, which harms nobody.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use wharfinger_oci::{Algorithm, Digest};

use super::Outcome;

const VERSION: u32 = 1;

/// The record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    version: u32,
    /// Who writes it.
    pub(super) worker: Uuid,
    /// How often it was written.
    pub(super) written: u64,
    /// The pass that is under way; none between two.
    pub(super) pass: Option<Pass>,
    /// The last pass that came to its end.
    pub(super) last: Option<Ended>,
    /// Blobs that were found damaged and not found whole since: who starts anew looks at these first.
    #[serde(default)]
    pub(super) damaged: BTreeSet<Digest>,
}

/// Damaged blobs that are kept in mind; past these the store has other problems than a list.
const DAMAGED: usize = 1_000;

/// What lies at the record's name.
#[derive(Debug, PartialEq)]
pub(super) enum Stored {
    /// Nothing that can be read.
    Nothing,
    Record(Box<Record>),
    /// A record of a later version, which is left alone.
    Later,
}

/// A pass over all blobs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Pass {
    #[serde(with = "moment")]
    pub(super) started: SystemTime,
    /// The blob that was looked at last, in order of digests.
    pub(super) position: Option<Digest>,
    #[serde(flatten)]
    pub(super) tally: Tally,
}

/// A pass that came to its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// When it began.
    #[serde(with = "moment")]
    pub started: SystemTime,
    /// When it ended.
    #[serde(with = "moment")]
    pub ended: SystemTime,
    /// Over how many seconds its blobs were spread.
    pub period_seconds: u64,
    /// What it found.
    #[serde(flatten)]
    pub tally: Tally,
}

/// What a pass found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Blobs that were read.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Of these, damaged ones.
    pub damaged: u64,
    /// Blobs that could not be read.
    pub unreadable: u64,
}

impl Record {
    pub(super) fn new(worker: Uuid) -> Record {
        Record { version: VERSION, worker, written: 0, pass: None, last: None, damaged: BTreeSet::new() }
    }

    /// What the bytes say.
    pub(super) fn decode(bytes: &[u8]) -> Stored {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        match serde_json::from_slice::<Versioned>(bytes) {
            Ok(of) if of.version > VERSION => Stored::Later,
            _ => serde_json::from_slice(bytes)
                .map_or(Stored::Nothing, |record| Stored::Record(Box::new(record))),
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        // A record has neither maps nor floats: it can always be written.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Takes what became of a blob.
    pub(super) fn note(&mut self, digest: Digest, outcome: Outcome) {
        match outcome {
            Outcome::Damaged if self.damaged.len() < DAMAGED => drop(self.damaged.insert(digest)),
            Outcome::Good | Outcome::Derived | Outcome::Gone => drop(self.damaged.remove(&digest)),
            Outcome::Damaged | Outcome::Unreadable => {}
        }
    }

    /// When the next pass begins, where none is under way.
    pub(super) fn next_pass(&self, period: Duration) -> Option<SystemTime> {
        self.last.as_ref().map(|last| last.started + period)
    }

    /// For how long the blob that waits longest has not been proved: since the time that the last pass came to what this
    /// one has still to look at, at the earliest. Until the first pass is through, since that began.
    pub(super) fn oldest_unverified(&self, now: SystemTime) -> Duration {
        let since = |time: SystemTime| now.duration_since(time).unwrap_or_default();
        let done = self.pass.as_ref().map_or(0.0, |pass| pass.position.as_ref().map_or(0.0, fraction));
        match (&self.last, &self.pass) {
            (Some(last), _) => since(last.started + Duration::from_secs(last.period_seconds).mul_f64(done)),
            (None, Some(pass)) => since(pass.started),
            (None, None) => Duration::ZERO,
        }
    }
}

impl Pass {
    pub(super) fn new(started: SystemTime) -> Pass {
        Pass { started, position: None, tally: Tally::default() }
    }

    /// When a blob is looked at, at the earliest.
    pub(super) fn due(&self, digest: &Digest, period: Duration) -> SystemTime {
        self.started + period.mul_f64(fraction(digest))
    }

    pub(super) fn ended(self, now: SystemTime, period: Duration) -> Ended {
        Ended { started: self.started, ended: now, period_seconds: period.as_secs(), tally: self.tally }
    }
}

/// Where in the order of all digests one stands, from 0 to 1: digests are spread evenly. Those of other algorithms come
/// behind all of SHA-256, and are few.
pub(super) fn fraction(digest: &Digest) -> f64 {
    if digest.algorithm() != Algorithm::Sha256 {
        return 1.0;
    }
    /// Of the first eight digits.
    const VALUES: f64 = 4_294_967_296.0;
    let hex = digest.hex();
    u32::from_str_radix(&hex[..8], 16).map_or(1.0, |first| f64::from(first) / VALUES)
}

/// Moments as text (RFC 3339).
mod moment {
    use std::time::SystemTime;

    use serde::{Deserializer, Serializer};
    use time::OffsetDateTime;
    use time::serde::rfc3339;

    pub(super) fn serialize<S: Serializer>(moment: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
        rfc3339::serialize(&OffsetDateTime::from(*moment), serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SystemTime, D::Error> {
        rfc3339::deserialize(deserializer).map(SystemTime::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(first: &str) -> Digest {
        Digest::from_hex(Algorithm::Sha256, &format!("{first:0<64}")).unwrap()
    }

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn a_record_is_read_as_it_was_written_and_a_later_one_is_left_alone() {
        let mut record = Record::new(Uuid::new_v4());
        let mut pass = Pass::new(SystemTime::now());
        pass.position = Some(digest("8"));
        record.last = Some(pass.clone().ended(SystemTime::now(), DAY));
        record.pass = Some(pass);
        record.note(digest("8"), Outcome::Damaged);
        assert_eq!(Record::decode(&record.encode()), Stored::Record(Box::new(record.clone())));
        record.version = VERSION + 1;
        assert_eq!(Record::decode(&record.encode()), Stored::Later);
        assert_eq!(Record::decode(b"{}"), Stored::Nothing);
    }

    #[test]
    fn blobs_are_due_by_their_digest() {
        let pass = Pass::new(SystemTime::UNIX_EPOCH);
        let after = |first| pass.due(&digest(first), 10 * DAY).duration_since(pass.started).unwrap();
        assert_eq!(after("0"), Duration::ZERO);
        assert_eq!(after("8").as_secs() / 3600, 5 * 24);
        assert!(after("ffffffff") <= 10 * DAY);
    }

    #[test]
    fn what_waits_longest_is_what_this_pass_has_not_come_to() {
        let mut record = Record::new(Uuid::nil());
        let now = SystemTime::UNIX_EPOCH + 100 * DAY;
        assert_eq!(record.oldest_unverified(now), Duration::ZERO);
        record.pass = Some(Pass::new(now - 3 * DAY));
        assert_eq!(record.oldest_unverified(now), 3 * DAY);
        record.last = Some(Pass::new(now - 12 * DAY).ended(now - 3 * DAY, 10 * DAY));
        assert_eq!(record.oldest_unverified(now), 12 * DAY, "what the last pass came to first");
        record.pass.as_mut().unwrap().position = Some(digest("8"));
        assert_eq!(record.oldest_unverified(now).as_secs() / 3600, 7 * 24);
    }
}
