//! Both listings side by side.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::time::SystemTime;

use wharfinger_registry::layout::{Place, place};
use wharfinger_store::{Area, Key, Row, StoreError};

use super::ahead::Ahead;
use super::report::Counts;
use super::{Options, Side, Sites, Unreachable};
use crate::Watch;
use crate::census::Tally;
use crate::segments;

/// Differences that are looked at; more means that these are not two copies of one registry.
const MOST: usize = 200_000;

/// An object in which the listings differ.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) key: Key,
    pub(super) place: Place,
    /// Whether both listings have bytes of the same length and another entity tag: only a hash can tell which is right.
    pub(super) other_bytes: bool,
    /// When the newest of what differs was written.
    pub(super) newest: Option<SystemTime>,
}

/// Segments below one prefix, in which the listings differ.
#[derive(Clone, Debug)]
pub(super) struct Group {
    /// On which side there is a segment that the other lacks or has otherwise, and with how many bytes.
    pub(super) on: [Tally; 2],
    /// When the newest of them was written.
    pub(super) newest: Option<SystemTime>,
}

/// What the listings show.
#[derive(Debug, Default)]
pub(super) struct Merged {
    pub(super) here: Counts,
    pub(super) there: Counts,
    pub(super) candidates: Vec<Candidate>,
    /// By what the names of the segments begin with, from `segments/` on.
    pub(super) groups: BTreeMap<String, Group>,
    /// Differences beyond those that are looked at.
    pub(super) unseen: u64,
}

pub(super) async fn merge(
    sites: &Sites,
    options: &Options<'_>,
    watch: &dyn Watch,
) -> Result<Merged, Unreachable> {
    let mut merged = Merged::default();
    watch.begin("listing objects of both sites", None);
    each_pair(sites, Area::Objects, watch, |here, there| merged.object(here, there, options)).await?;
    watch.begin("listing segments of both sites", None);
    each_pair(sites, Area::Segments, watch, |here, there| merged.segment(here, there)).await?;
    Ok(merged)
}

/// Hands on what the sites have at each name.
async fn each_pair(
    sites: &Sites,
    area: Area,
    watch: &dyn Watch,
    mut take: impl FnMut(Option<&Row>, Option<&Row>),
) -> Result<(), Unreachable> {
    let failed = |side| move |source: StoreError| Unreachable { side, source };
    let [mut ours, mut theirs] = Side::BOTH.map(|side| Ahead::new(sites.of(side).inventory.clone(), area));
    let first = tokio::join!(ours.next(), theirs.next());
    let (mut here, mut there) = (first.0.map_err(failed(Side::Here))?, first.1.map_err(failed(Side::There))?);
    loop {
        let order = match (&here, &there) {
            (None, None) => return Ok(()),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(here), Some(there)) => name(area, here).cmp(name(area, there)),
        };
        let (mut left, mut right) = (None, None);
        if order.is_le() {
            left = std::mem::replace(&mut here, ours.next().await.map_err(failed(Side::Here))?);
        }
        if order.is_ge() {
            right = std::mem::replace(&mut there, theirs.next().await.map_err(failed(Side::There))?);
        }
        watch.advance(1);
        take(left.as_ref(), right.as_ref());
    }
}

/// What is the same at both sites: a prefix of all names may be another.
fn name(area: Area, row: &Row) -> &str {
    match area {
        Area::Segments => below_prefix(&row.name),
        Area::Objects | Area::Others => &row.name,
    }
}

/// A segment's name from `segments/` on.
pub(super) fn below_prefix(name: &str) -> &str {
    name.find("segments/").map_or(name, |at| &name[at..])
}

/// What differs between two rows of one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Differs {
    /// Nothing that a listing shows.
    Nothing,
    /// One is missing, or they differ in length.
    Size,
    /// The entity tag.
    Bytes,
    /// It cannot be told: a listing has no entity tag.
    Untold,
}

fn differs(here: Option<&Row>, there: Option<&Row>) -> Differs {
    let (Some(here), Some(there)) = (here, there) else { return Differs::Size };
    match (&here.etag, &there.etag) {
        _ if here.size != there.size => Differs::Size,
        (Some(here), Some(there)) if here == there => Differs::Nothing,
        (Some(_), Some(_)) => Differs::Bytes,
        _ => Differs::Untold,
    }
}

fn newest(here: Option<&Row>, there: Option<&Row>) -> Option<SystemTime> {
    [here, there].into_iter().flatten().filter_map(|row| row.modified).max()
}

impl Merged {
    fn object(&mut self, here: Option<&Row>, there: Option<&Row>, options: &Options<'_>) {
        let Some(key) = here.or(there).map(|row| row.name.as_str()) else { return };
        let place = place(key);
        if let Some(row) = here {
            self.here.object(place.as_ref(), row.size);
        }
        if let Some(row) = there {
            self.there.object(place.as_ref(), row.size);
        }
        let Some(place) = place.filter(|place| is_compared(place, options)) else { return };
        let what = differs(here, there);
        let wanted = match what {
            Differs::Nothing => false,
            // Of all links only a tag's says something that its name does not.
            Differs::Untold => matches!(place, Place::TagCurrent(..)),
            Differs::Size | Differs::Bytes => true,
        };
        if wanted && self.has_room() {
            let newest = newest(here, there);
            let key = Key::new(key.to_owned());
            self.candidates.push(Candidate { key, place, other_bytes: what == Differs::Bytes, newest });
        }
    }

    fn segment(&mut self, here: Option<&Row>, there: Option<&Row>) {
        let what = differs(here, there);
        let Some(row) = here.or(there) else { return };
        if let Some(row) = here {
            self.here.segments.add(row.size);
        }
        if let Some(row) = there {
            self.there.segments.add(row.size);
        }
        if matches!(what, Differs::Nothing | Differs::Untold) {
            return;
        }
        let Some((prefix, _)) = segments::split(below_prefix(&row.name)) else { return };
        if !self.groups.contains_key(prefix) && !self.has_room() {
            return;
        }
        let group = self.groups.entry(prefix.to_owned());
        let group = group.or_insert_with(|| Group { on: [Tally::default(); 2], newest: None });
        for (tally, row) in group.on.iter_mut().zip([here, there]) {
            if let Some(row) = row {
                tally.add(row.size);
            }
        }
        group.newest = group.newest.max(newest(here, there));
    }

    fn has_room(&mut self) -> bool {
        let room = self.candidates.len() + self.groups.len() < MOST;
        self.unseen += u64::from(!room);
        room
    }
}

/// Whether it has to be the same at both sites.
fn is_compared(place: &Place, options: &Options<'_>) -> bool {
    match place {
        Place::Blob(_) => true,
        Place::LayerLink(name, _)
        | Place::RevisionLink(name, _)
        | Place::TagCurrent(name, _)
        | Place::TagIndex(name, _, _) => options.wants(name.as_str()),
        Place::SignatureLink(_)
        | Place::ForeignUpload(..)
        | Place::ChunkIndex(_)
        | Place::Session(_)
        | Place::Referrer(..)
        | Place::Audit
        | Place::Instance(_)
        | Place::Ours => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(size: u64, etag: Option<&str>) -> Row {
        Row { name: "n".into(), size, modified: None, etag: etag.map(str::to_owned) }
    }

    #[test]
    fn rows_differ_in_length_or_entity_tag() {
        let of = |here: Row, there: Row| differs(Some(&here), Some(&there));
        assert_eq!(of(row(1, Some("a")), row(1, Some("a"))), Differs::Nothing);
        assert_eq!(of(row(1, Some("a")), row(1, Some("b"))), Differs::Bytes);
        assert_eq!(of(row(1, Some("a")), row(2, Some("a"))), Differs::Size);
        assert_eq!(of(row(1, None), row(1, Some("a"))), Differs::Untold);
        assert_eq!(differs(Some(&row(1, None)), None), Differs::Size);
    }

    #[test]
    fn the_prefix_of_a_site_is_no_part_of_a_segments_name() {
        assert_eq!(below_prefix("site/segments/2f6/46"), "segments/2f6/46");
        assert_eq!(below_prefix("segments/2f6/46"), "segments/2f6/46");
    }
}
