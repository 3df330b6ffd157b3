//! What a comparison tells.

use std::time::SystemTime;

use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use wharfinger_registry::layout::Place;

use super::Side;
use crate::census::Tally;

/// Objects by kind, as a listing shows them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Blobs and manifests; a dynamic large object has no bytes of its own.
    pub blobs: Tally,
    /// Links of tags, revisions and layers.
    pub links: Tally,
    /// Tags among them.
    pub tags: u64,
    /// Segments of large objects.
    pub segments: Tally,
    /// Objects of uploads in progress, of Distribution and of ours. Not compared.
    pub uploads: Tally,
    /// What is derived from the rest: chunk indexes, catalog, referrers, marks. Not compared.
    pub derived: Tally,
    /// Names that are not of the layout. Not compared.
    pub foreign: Tally,
}

impl Counts {
    pub(super) fn object(&mut self, place: Option<&Place>, size: u64) {
        if matches!(place, Some(Place::TagCurrent(..))) {
            self.tags += 1;
        }
        let tally = match place {
            None => &mut self.foreign,
            Some(Place::Blob(_)) => &mut self.blobs,
            Some(Place::ForeignUpload(..) | Place::Session(_)) => &mut self.uploads,
            Some(
                Place::ChunkIndex(_) | Place::Referrer(..) | Place::Audit | Place::Instance(_) | Place::Ours,
            ) => &mut self.derived,
            Some(
                Place::LayerLink(..)
                | Place::RevisionLink(..)
                | Place::SignatureLink(_)
                | Place::TagCurrent(..)
                | Place::TagIndex(..),
            ) => &mut self.links,
        };
        tally.add(size);
    }
}

/// How two sites differ in one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// It is here and not there.
    MissingThere,
    /// It is there and not here.
    MissingHere,
    /// There it is not whole, or not what its digest says.
    DamagedThere,
    /// Here it is not whole, or not what its digest says.
    DamagedHere,
    /// It is at both sites, and not the same.
    Differs,
}

impl Kind {
    /// The word in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::MissingThere => "missing there",
            Kind::MissingHere => "missing here",
            Kind::DamagedThere => "damaged there",
            Kind::DamagedHere => "damaged here",
            Kind::Differs => "differs",
        }
    }

    /// The site that cannot serve it; none where both serve something.
    pub fn side(self) -> Option<Side> {
        match self {
            Kind::MissingThere | Kind::DamagedThere => Some(Side::There),
            Kind::MissingHere | Kind::DamagedHere => Some(Side::Here),
            Kind::Differs => None,
        }
    }

    pub(super) fn damaged(side: Side) -> Kind {
        match side {
            Side::Here => Kind::DamagedHere,
            Side::There => Kind::DamagedThere,
        }
    }
}

/// What kind of object it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Object {
    /// Where a tag points.
    Tag,
    /// That a repository has a manifest.
    Revision,
    /// That a repository has a layer or config.
    LayerLink,
    /// Bytes of a layer, config or manifest.
    Blob,
    /// That a tag pointed somewhere once.
    TagHistory,
}

impl Object {
    /// The word in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Object::Tag => "tag",
            Object::Revision => "revision link",
            Object::LayerLink => "layer link",
            Object::Blob => "blob",
            Object::TagHistory => "old link of tag",
        }
    }
}

/// An object at one site.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Seen {
    /// Its bytes, of a blob that is whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// The digest that a link holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// When it was written, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modified: Option<String>,
    /// What is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub damage: Option<String>,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Difference {
    /// How.
    pub kind: Kind,
    /// In what.
    pub object: Object,
    /// In which repository; none for the bytes of a blob, which all repositories share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// Of a tag, its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// The digest that it is about; none for a tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Its key in the store.
    pub key: String,
    /// As it is here; none where it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub here: Option<Seen>,
    /// As it is there; none where it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub there: Option<Seen>,
    /// The images that need it, `repository:tag`.
    pub images: Vec<String>,
}

/// An image that differs between the sites.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Image {
    /// `repository:tag`.
    pub image: String,
    /// The sites where it cannot be pulled; none where the sites serve different ones.
    pub cannot_be_pulled: Vec<Side>,
    /// Whether everything that differs was written lately.
    pub in_flight: bool,
    /// The keys of the objects that differ.
    pub because: Vec<String>,
}

/// What could not be looked at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Unknown {
    /// At which site.
    pub side: Side,
    /// What was tried, and why it failed.
    pub error: String,
}

/// What a comparison found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What the listing here shows.
    pub here: Counts,
    /// What the listing there shows.
    pub there: Counts,
    /// Images that differ, or cannot be pulled at one of the sites.
    pub images: Vec<Image>,
    /// What differs, by name.
    pub differences: Vec<Difference>,
    /// What differs and was written lately.
    pub in_flight: Vec<Difference>,
    /// Segments that no blob names and no upload in progress has, and that are here alone.
    pub leftovers_here: Tally,
    /// Segments that no blob names and no upload in progress has, and that are there alone.
    pub leftovers_there: Tally,
    /// Differences in the listings beyond those that were looked at by name.
    pub unseen: u64,
    /// What could not be looked at.
    pub unknown: Vec<Unknown>,
}

impl Report {
    pub(super) fn new(here: Counts, there: Counts, unseen: u64) -> Report {
        Report { here, there, unseen, ..Report::default() }
    }

    pub(super) fn leftovers(&mut self, found: &[Tally; 2]) {
        [self.leftovers_here, self.leftovers_there] = *found;
    }

    /// Whether there is nothing that differs and had time to arrive.
    pub fn is_same(&self) -> bool {
        self.differences.is_empty() && self.unseen == 0
    }
}

pub(super) fn rfc3339(at: SystemTime) -> Option<String> {
    OffsetDateTime::from(at).replace_nanosecond(0).ok()?.format(&Rfc3339).ok()
}
