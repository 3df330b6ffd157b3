//! What the cluster holds: objects with their tombstones, and, apart from them, the rows that listings show.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::auth::Tokens;
use crate::clock::{Clocks, Timestamp};
use crate::faults::Delay;
use crate::later::Later;

/// Everything behind the one lock.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) clocks: Clocks,
    pub(crate) tokens: Tokens,
    pub(crate) account: BTreeMap<String, String>,
    pub(crate) containers: BTreeMap<String, Container>,
    pub(crate) later: Later,
    /// The number of the request that began last.
    pub(crate) requests: u64,
}

/// A container: metadata, objects, rows.
#[derive(Debug, Default)]
pub(crate) struct Container {
    pub(crate) created: Timestamp,
    /// Headers that HEAD gives back, names in lower case.
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) objects: BTreeMap<String, Slot>,
    pub(crate) rows: BTreeMap<String, Row>,
    /// The newest row of each name that listings have to learn of when they are healed.
    pub(crate) lost: BTreeMap<String, Row>,
}

/// The place of one name: what is there, what was deleted, and what a stale replica still has.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slot {
    pub(crate) object: Option<Object>,
    /// When the name was deleted last; zero: never.
    pub(crate) tombstone: Timestamp,
    /// What was there before the last change, for stale reads.
    pub(crate) before: Option<Object>,
    /// When (true time) the last change was.
    pub(crate) changed: Timestamp,
    /// At which request the last change was.
    pub(crate) changed_at: u64,
}

impl Slot {
    /// The newest time that a later write has to beat: of the data, or of the tombstone.
    pub(crate) fn timestamp(&self) -> Timestamp {
        let data = self.object.as_ref().map(|object| object.timestamp).unwrap_or_default();
        data.max(self.tombstone)
    }

    /// The object, unless its time is over.
    pub(crate) fn live(&self, now: Timestamp) -> Option<&Object> {
        self.object.as_ref().filter(|object| !object.expired(now))
    }
}

/// An object as it is stored.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    /// The start of the PUT.
    pub(crate) timestamp: Timestamp,
    /// The start of the last POST, or that of the PUT.
    pub(crate) changed: Timestamp,
    /// The MD5 that was computed when it was written.
    pub(crate) etag: String,
    pub(crate) content: Bytes,
    pub(crate) content_type: String,
    /// Headers that GET gives back, names in lower case: user metadata, `x-object-manifest`, `content-encoding`, ...
    pub(crate) headers: BTreeMap<String, String>,
    /// When it expires, in seconds.
    pub(crate) delete_at: Option<u64>,
    /// Set on the manifest of an SLO.
    pub(crate) slo: Option<Slo>,
    /// The content no longer is what the ETag says: found out by whoever reads it to its end.
    pub(crate) damaged: bool,
}

impl Object {
    /// Whether its time is over.
    pub(crate) fn expired(&self, now: Timestamp) -> bool {
        self.delete_at.is_some_and(|at| now.seconds() >= at)
    }

    /// The size as the object server knows it.
    pub(crate) fn size(&self) -> u64 {
        self.content.len() as u64
    }

    /// The row that the object server reports to the container.
    pub(crate) fn row(&self) -> Row {
        Row {
            timestamp: self.timestamp,
            modified: self.changed,
            deleted: false,
            bytes: self.slo.as_ref().map_or(self.size(), |slo| slo.size),
            stored: self.size(),
            hash: self.etag.clone(),
            slo_etag: self.slo.as_ref().map(|slo| slo.etag.clone()),
            content_type: self.content_type.clone(),
        }
    }
}

/// What the manifest of an SLO says about the whole.
#[derive(Clone, Debug)]
pub(crate) struct Slo {
    pub(crate) etag: String,
    pub(crate) size: u64,
}

/// A row of a container's listing.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) timestamp: Timestamp,
    pub(crate) modified: Timestamp,
    pub(crate) deleted: bool,
    /// The size that listings show.
    pub(crate) bytes: u64,
    /// The size that the container's statistics count.
    pub(crate) stored: u64,
    pub(crate) hash: String,
    pub(crate) slo_etag: Option<String>,
    pub(crate) content_type: String,
}

impl Row {
    /// The row of a deleted name.
    pub(crate) fn deleted(timestamp: Timestamp) -> Row {
        Row {
            timestamp,
            modified: timestamp,
            deleted: true,
            bytes: 0,
            stored: 0,
            hash: String::new(),
            slo_etag: None,
            content_type: String::new(),
        }
    }

    fn newer_than(&self, other: &Row) -> bool {
        (self.timestamp, self.modified) > (other.timestamp, other.modified)
    }
}

/// What happens to the row of a change.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum RowFate {
    /// It shows at once.
    #[default]
    Shown,
    /// It shows later.
    Late(Delay),
    /// It shows when listings are healed.
    Lost,
}

/// How a write of an object ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// It stands.
    Stored,
    /// Something newer stands, and the writer is not told: its answer is as if it stood.
    Shadowed,
}

impl State {
    /// The container of that name.
    pub(crate) fn container(&self, name: &str) -> Option<&Container> {
        self.containers.get(name)
    }

    /// What there is of a name, expired or not.
    pub(crate) fn slot(&self, container: &str, object: &str) -> Option<&Slot> {
        self.containers.get(container)?.objects.get(object)
    }

    /// The newest time known of a name.
    pub(crate) fn newest(&self, container: &str, object: &str) -> Timestamp {
        self.slot(container, object).map(Slot::timestamp).unwrap_or_default()
    }

    /// The object, unless its time is over at `now`.
    pub(crate) fn live(&self, container: &str, object: &str, now: Timestamp) -> Option<&Object> {
        self.slot(container, object)?.live(now)
    }

    /// Lands a written object. As in an object server, what was written earlier than what stands goes unseen.
    pub(crate) fn land(&mut self, container: &str, name: &str, object: Object, fate: RowFate) -> Written {
        let (now, number) = (self.clocks.true_time(), self.requests);
        let row = object.row();
        let Some(place) = self.containers.get_mut(container) else { return Written::Shadowed };
        let slot = place.objects.entry(name.to_owned()).or_default();
        let written = if object.timestamp > slot.timestamp() {
            slot.before = slot.object.replace(object);
            (slot.changed, slot.changed_at) = (now, number);
            Written::Stored
        } else {
            Written::Shadowed
        };
        self.report(container, name, row, fate);
        written
    }

    /// Deletes a name as of `timestamp`: its object goes when it is older, and the tombstone stays.
    pub(crate) fn bury(&mut self, container: &str, name: &str, timestamp: Timestamp, fate: RowFate) {
        let (now, number) = (self.clocks.true_time(), self.requests);
        let Some(place) = self.containers.get_mut(container) else { return };
        let slot = place.objects.entry(name.to_owned()).or_default();
        if timestamp <= slot.timestamp() {
            return;
        }
        if slot.object.is_some() {
            slot.before = slot.object.take();
            (slot.changed, slot.changed_at) = (now, number);
        }
        slot.tombstone = timestamp;
        self.report(container, name, Row::deleted(timestamp), fate);
    }

    /// Reports a row to its container, at once or later.
    pub(crate) fn report(&mut self, container: &str, name: &str, row: Row, fate: RowFate) {
        match fate {
            RowFate::Shown => self.merge(container, name, row),
            RowFate::Late(delay) => {
                let due = delay.due(self.clocks.true_time(), self.requests);
                self.later.row(due, container, name, row);
            }
            RowFate::Lost => {
                let Some(place) = self.containers.get_mut(container) else { return };
                let lost = place.lost.entry(name.to_owned()).or_insert_with(|| row.clone());
                if row.newer_than(lost) {
                    *lost = row;
                }
            }
        }
    }

    /// Takes a row into the listing, unless a newer one is there.
    pub(crate) fn merge(&mut self, container: &str, name: &str, row: Row) {
        let Some(place) = self.containers.get_mut(container) else { return };
        match place.rows.get(name) {
            Some(there) if !row.newer_than(there) => {}
            _ => {
                place.rows.insert(name.to_owned(), row);
            }
        }
    }

    /// Finds a damaged object out: it is set aside, and the name is absent without a tombstone. Its row stays.
    pub(crate) fn quarantine(&mut self, container: &str, name: &str) {
        if let Some(slot) = self.containers.get_mut(container).and_then(|place| place.objects.get_mut(name)) {
            slot.object = None;
            slot.before = None;
        }
    }
}

impl Container {
    /// The rows that listings show.
    pub(crate) fn shown(&self) -> impl Iterator<Item = (&String, &Row)> {
        self.rows.iter().filter(|(_, row)| !row.deleted)
    }

    /// How many rows are shown, and how many bytes they count: for an SLO, those of its manifest.
    pub(crate) fn statistics(&self) -> (u64, u64) {
        self.shown().fold((0, 0), |(count, bytes), (_, row)| (count + 1, bytes + row.stored))
    }
}
