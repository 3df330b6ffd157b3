//! Segments of large objects: who wrote them, and which of them no object names.
//!
//! Distribution 2.8 names a segment `segments/<3 hex>/<hex>/<16 digits>`, where the hex digits are those of the path of
//! the upload, 32 random bytes, and the SHA-1 of nothing. So a segment tells which upload of which repository made it.

use std::collections::HashSet;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use wharfinger_oci::{Digest, RepositoryName};
use wharfinger_registry::SessionId;
use wharfinger_registry::layout::{self, Place, place};
use wharfinger_store::{Area, Inventory, Result, Row, Store};

use crate::Watch;
use crate::census::{Census, Foreign, Tally, each_row};
use crate::graph::{self, Form};

/// What the SHA-1 of nothing is; Distribution appends it.
const SHA1_OF_NOTHING: &str = "da39a3ee5e6b4b0d3255bfef95601890afd80709";
/// Random bytes before it.
const RANDOM: usize = 32;

/// Who wrote a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// An upload of Distribution.
    Distribution {
        /// The repository.
        repository: String,
        /// The upload's id.
        upload: String,
    },
    /// An upload session of ours.
    Session(SessionId),
    /// Nobody who names segments in a way that is known.
    Other,
}

/// Reads who wrote the segments whose names begin with `prefix` (up to the number).
pub fn origin(prefix: &str) -> Origin {
    let below = match prefix.rfind("segments/") {
        Some(at) => &prefix[at + "segments/".len()..],
        None => return Origin::Other,
    };
    let session = |text: &str| SessionId::parse(text.strip_suffix("/data")?);
    let ours = below.strip_prefix(layout::OURS).and_then(|rest| rest.strip_prefix("/uploads/"));
    if let Some(id) = ours.and_then(session) {
        return Origin::Session(id);
    }
    from_hex(below).unwrap_or(Origin::Other)
}

fn from_hex(below: &str) -> Option<Origin> {
    let (first, rest) = below.split_once('/')?;
    let digits = format!("{first}{rest}");
    let bytes = hex::decode(digits.strip_suffix(SHA1_OF_NOTHING)?).ok()?;
    let path = bytes.get(..bytes.len().checked_sub(RANDOM)?)?;
    match place(std::str::from_utf8(path).ok()?.strip_prefix('/')?)? {
        Place::ForeignUpload(name, upload, part) if part == "data" => {
            Some(Origin::Distribution { repository: name.as_str().to_owned(), upload })
        }
        _ => None,
    }
}

/// The segments below one prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// What their names begin with, without the slash before the number.
    pub prefix: String,
    /// How many the listing shows.
    pub tally: Tally,
    /// The highest number.
    pub last: u64,
    /// When the newest was written.
    pub newest: Option<SystemTime>,
}

/// Lists all segments and hands them on by prefix. Answers the names among them that are no segments.
///
/// # Errors
/// The listing failed.
pub async fn groups(
    inventory: &dyn Inventory,
    watch: &dyn Watch,
    mut take: impl FnMut(Group),
) -> Result<Foreign> {
    watch.begin("listing segments", None);
    let (mut open, mut foreign): (Option<Group>, Foreign) = (None, Foreign::default());
    each_row(inventory, Area::Segments, watch, |row: Row| {
        let Some((prefix, number)) = split(&row.name) else { return foreign.add(row) };
        // Names are sorted, so a prefix ends where another begins.
        if open.as_ref().is_none_or(|group| group.prefix != prefix) {
            let group = Group { prefix: prefix.to_owned(), tally: Tally::default(), last: 0, newest: None };
            if let Some(full) = open.replace(group) {
                take(full);
            }
        }
        if let Some(group) = &mut open {
            group.tally.add(row.size);
            group.last = group.last.max(number);
            group.newest = group.newest.max(row.modified);
        }
    })
    .await?;
    if let Some(last) = open {
        take(last);
    }
    Ok(foreign)
}

/// `<prefix>/<16 digits>`.
pub(crate) fn split(name: &str) -> Option<(&str, u64)> {
    let (prefix, digits) = name.rsplit_once('/')?;
    let plain = digits.len() == 16 && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten().map(|number| (prefix, number))
}

/// A prefix in 16 bytes: names of segments are long, and there are many.
pub(crate) type Mark = [u8; 16];

pub(crate) fn mark(prefix: &str) -> Mark {
    let mut mark = Mark::default();
    mark.copy_from_slice(&Digest::sha256(prefix.as_bytes()).as_bytes()[..16]);
    mark
}

/// Segments that no object names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Orphans {
    /// The repository that their upload was for, where their name tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// The upload or session that wrote them, where their name tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upload: Option<String>,
    /// What their names begin with.
    pub prefix: String,
    /// How many there are.
    pub segments: u64,
    /// Their bytes together.
    pub bytes: u64,
    /// When the newest was written, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub newest: Option<String>,
}

impl Orphans {
    fn of(group: Group) -> Orphans {
        let (repository, upload) = match origin(&group.prefix) {
            Origin::Distribution { repository, upload } => (Some(repository), Some(upload)),
            Origin::Session(session) => (None, Some(session.to_string())),
            Origin::Other => (None, None),
        };
        let rfc3339 = |at: SystemTime| {
            let format = time::format_description::well_known::Rfc3339;
            time::OffsetDateTime::from(at).replace_nanosecond(0).ok()?.format(&format).ok()
        };
        Orphans {
            repository,
            upload,
            prefix: group.prefix,
            segments: group.tally.objects,
            bytes: group.tally.bytes,
            newest: group.newest.and_then(rfc3339),
        }
    }
}

/// Segments as a listing shows them.
#[derive(Debug, Default)]
pub struct Scan {
    /// All of them.
    pub all: Tally,
    /// Those that no object names.
    pub orphans: Vec<Orphans>,
    /// Names that are no segments.
    pub foreign: Foreign,
}

/// Prefixes that objects name, and sessions whose segments are named by their record.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Named {
    marks: HashSet<Mark>,
    pub(crate) sessions: HashSet<SessionId>,
}

impl Named {
    /// An object names this prefix.
    pub(crate) fn prefix(&mut self, prefix: &str) {
        self.marks.insert(mark(prefix));
    }

    /// A session that is there, or may be.
    pub(crate) fn session(&mut self, id: SessionId) {
        self.sessions.insert(id);
    }

    fn has(&self, prefix: &str) -> bool {
        let session = || matches!(origin(prefix), Origin::Session(id) if self.sessions.contains(&id));
        self.marks.contains(&mark(prefix)) || session()
    }
}

/// Notes which segments an object names.
pub(crate) fn name(form: &Form, named: &mut Named) {
    match form {
        Form::Plain => {}
        Form::Static(prefixes) => prefixes.iter().for_each(|prefix| named.prefix(prefix)),
        Form::Dynamic { prefix, .. } => named.prefix(prefix),
    }
}

/// What uploads in progress name: Distribution's by the header of `data`, ours by the id of the session.
pub(crate) async fn name_uploads(store: &dyn Store, census: &Census, named: &mut Named) {
    for (repository, listed) in &census.repositories {
        for id in &listed.uploads {
            name_upload(store, repository, id, named).await;
        }
    }
    named.sessions.extend(&census.sessions);
}

/// What an upload of Distribution names.
pub(crate) async fn name_upload(store: &dyn Store, repository: &RepositoryName, id: &str, named: &mut Named) {
    let data = layout::foreign_uploads(repository).join(id).join("data");
    if let Ok(structure) = store.inspect(&data).await {
        name(&graph::form(structure), named);
    }
}

/// What uploads name that orphans seem to be of: a listing may lack their records, which are there by name.
pub(crate) async fn name_origins(store: &dyn Store, orphans: &[Orphans], named: &mut Named) {
    for orphan in orphans {
        match origin(&orphan.prefix) {
            Origin::Session(id) => {
                let record = store.head(&layout::upload_session(&id)).await;
                if !record.is_err_and(|error| error.is_not_found()) {
                    named.session(id);
                }
            }
            Origin::Distribution { repository, upload } => {
                if let Ok(name) = RepositoryName::parse(&repository) {
                    name_upload(store, &name, &upload, named).await;
                }
            }
            Origin::Other => {}
        }
    }
}

/// Lists all segments and tells which prefixes nothing names.
pub(crate) async fn scan(inventory: &dyn Inventory, named: &Named, watch: &dyn Watch) -> Result<Scan> {
    let mut scan = Scan::default();
    let (mut all, mut orphans) = (Tally::default(), Vec::new());
    scan.foreign = groups(inventory, watch, |group| {
        all.objects += group.tally.objects;
        all.bytes += group.tally.bytes;
        if !named.has(&group.prefix) {
            orphans.push(Orphans::of(group));
        }
    })
    .await?;
    orphans.sort();
    (scan.all, scan.orphans) = (all, orphans);
    Ok(scan)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of a segment of Distribution 2.8 for library/ubuntu.
    const PREFIX: &str = "segments/2f6/46f636b65722f72656769737472792f76322f7265706f7369746f726965732f6c6962726172792f7562756e74752f5f75706c6f6164732f30623364336630612d386132652d346430652d396635652d3361316637633262396431302f64617461000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1fda39a3ee5e6b4b0d3255bfef95601890afd80709";

    #[test]
    fn a_segment_of_distribution_tells_repository_and_upload() {
        let expected = Origin::Distribution {
            repository: "library/ubuntu".into(),
            upload: "0b3d3f0a-8a2e-4d0e-9f5e-3a1f7c2b9d10".into(),
        };
        assert_eq!(origin(PREFIX), expected);
        assert_eq!(origin(&format!("site/{PREFIX}")), expected);
        let mut cut = PREFIX.to_owned();
        cut.pop();
        assert_eq!(origin(&cut), Origin::Other);
    }

    #[test]
    fn a_segment_of_ours_tells_its_session() {
        let id = "0b3d3f0a-8a2e-4d0e-9f5e-3a1f7c2b9d10";
        let expected = SessionId::parse(id).map(Origin::Session).unwrap();
        assert_eq!(origin(&format!("segments/wharfinger/v1/uploads/{id}/data")), expected);
        for other in ["segments/x", "other", "segments/wharfinger/v1/uploads/x/data"] {
            assert_eq!(origin(other), Origin::Other, "{other}");
        }
    }

    #[test]
    fn only_sixteen_digits_are_the_number_of_a_segment() {
        assert_eq!(split("a/b/0000000000000012"), Some(("a/b", 12)));
        for other in ["0000000000000012", "a/12", "a/000000000000001x"] {
            assert_eq!(split(other), None, "{other}");
        }
    }
}
