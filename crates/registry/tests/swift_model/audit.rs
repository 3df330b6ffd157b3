//! Looks into the cluster behind everybody's back: is what was acknowledged really stored, and what is left over?

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use wharfinger_fake_swift::FakeSwift;
use wharfinger_oci::Digest;
use wharfinger_registry::layout;
use wharfinger_store::Key;

use crate::known::{Known, State};
use crate::pool::{Document, Pool};
use crate::world::{CONTAINER, PREFIX};

/// How a blob's bytes are stored.
#[derive(Clone, Debug)]
enum Stored {
    /// Whole, with that ETag.
    Plain(String),
    /// As these segments.
    Large(Vec<Segment>),
}

#[derive(Clone, Debug)]
struct Segment {
    name: String,
    size: u64,
    etag: String,
}

/// What was seen so far.
pub(crate) struct Audit {
    /// Whether bytes may change on the disk.
    rot: bool,
    /// Contents that were compared byte for byte, with what they were stored as.
    compared: HashSet<(Digest, String)>,
    /// Sessions whose segments were those of a blob.
    owners: HashSet<String>,
    /// Contents whose stored bytes are wrong or gone since they were tampered with.
    pub(crate) rotten: BTreeSet<usize>,
}

/// What is left at the end, by why it may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Leftovers {
    /// Segments of blobs that another push of the same digest replaced: garbage collection takes them.
    pub(crate) replaced: usize,
    /// Segments that a request wrote whose session was purged meanwhile.
    pub(crate) purged: usize,
}

fn object(key: &Key) -> String {
    format!("{PREFIX}/files/{key}")
}

/// The session in a segment's name.
fn session_of(segment: &str) -> &str {
    let place = format!("{PREFIX}/segments/{}/", layout::uploads());
    segment.strip_prefix(&place).and_then(|rest| rest.split('/').next()).unwrap_or(segment)
}

impl Audit {
    pub(crate) fn new(rot: bool) -> Audit {
        Audit { rot, compared: HashSet::new(), owners: HashSet::new(), rotten: BTreeSet::new() }
    }

    /// Compares everything that was acknowledged, and everything that was deleted, with what is stored.
    pub(crate) fn everything(
        &mut self,
        fake: &FakeSwift,
        known: &Known,
        pool: &Pool,
        documents: &[Arc<Document>],
    ) -> Result<(), String> {
        for ((repository, content), state) in &known.links {
            let digest = pool.contents[*content].digest;
            let link = layout::layer_link(&pool.repositories[*repository], &digest);
            Audit::link(fake, &link, *state, &digest)?;
        }
        let wanted: BTreeSet<usize> =
            known.links.iter().filter(|(_, state)| **state == State::Present).map(|((_, c), _)| *c).collect();
        for content in wanted {
            self.content(fake, pool, content)?;
        }
        for ((repository, document), state) in &known.manifests {
            let document = &documents[*document];
            let link = layout::revision_link(&pool.repositories[*repository], &document.digest);
            Audit::link(fake, &link, *state, &document.digest)?;
            let bytes = fake.peek(CONTAINER, &object(&layout::blob_data(&document.digest)));
            if *state == State::Present && bytes.is_none_or(|stored| stored.content != document.bytes) {
                return Err(format!("the bytes of manifest {} are not stored", document.digest));
            }
        }
        for ((repository, tag), points) in &known.tags {
            let key = layout::tag_current(&pool.repositories[*repository], &pool.tags[*tag]);
            let stored = fake.peek(CONTAINER, &object(&key)).map(|link| link.content);
            let allowed = points.iter().any(|document| {
                let digest = document.map(|document| documents[document].digest.to_string());
                digest.as_deref().map(str::as_bytes) == stored.as_deref()
            });
            if !allowed {
                return Err(format!("{key} holds {stored:?}, but may point to {points:?} only"));
            }
        }
        Ok(())
    }

    fn link(fake: &FakeSwift, key: &Key, state: State, digest: &Digest) -> Result<(), String> {
        let stored = fake.peek(CONTAINER, &object(key)).map(|link| link.content);
        match (state, stored) {
            (State::Present, None) => Err(format!("{key} was acknowledged and is not stored")),
            (State::Absent, Some(_)) => Err(format!("{key} was deleted and is stored")),
            (_, Some(stored)) if stored != digest.to_string() => Err(format!("{key} holds {stored:?}")),
            _ => Ok(()),
        }
    }

    /// Remembers whose segments a content consists of now.
    pub(crate) fn see(&mut self, fake: &FakeSwift, digest: &Digest) {
        if let Ok(Stored::Large(segments)) = stored(fake, digest) {
            self.owners.extend(segments.iter().map(|segment| session_of(&segment.name).to_owned()));
        }
    }

    /// The sessions that have segments.
    pub(crate) fn staged(&self, fake: &FakeSwift) -> HashSet<String> {
        let place = format!("{PREFIX}/segments/");
        let segments = fake.objects(CONTAINER).into_iter().filter(|name| name.starts_with(&place));
        segments.map(|name| session_of(&name).to_owned()).collect()
    }

    /// Compares the stored bytes of a content.
    fn content(&mut self, fake: &FakeSwift, pool: &Pool, content: usize) -> Result<(), String> {
        match self.compare(fake, pool, content) {
            Ok(()) => {
                self.rotten.remove(&content);
                Ok(())
            }
            Err(_) if self.rotten.contains(&content) => Ok(()),
            Err(problem) => Err(format!("content {content}, acknowledged: {problem}")),
        }
    }

    fn compare(&mut self, fake: &FakeSwift, pool: &Pool, content: usize) -> Result<(), String> {
        let expected = &pool.contents[content];
        let stored = stored(fake, &expected.digest)?;
        let fingerprint = match &stored {
            Stored::Plain(etag) => etag.clone(),
            Stored::Large(segments) => {
                segments.iter().map(|segment| format!("{} {} ", segment.name, segment.etag)).collect()
            }
        };
        let known = !self.rot && self.compared.contains(&(expected.digest, fingerprint.clone()));
        let mut at = 0;
        let segments = match stored {
            Stored::Plain(etag) => {
                let name = object(&layout::blob_data(&expected.digest));
                vec![Segment { name, size: expected.bytes.len() as u64, etag }]
            }
            Stored::Large(segments) => segments,
        };
        for segment in segments {
            let found = fake.peek(CONTAINER, &segment.name).ok_or(format!("{} is gone", segment.name))?;
            let end = at + found.content.len();
            if found.etag != segment.etag || found.content.len() as u64 != segment.size {
                return Err(format!("{} is not the one that was written", segment.name));
            }
            if !known && expected.bytes.get(at..end) != Some(&found.content[..]) {
                return Err(format!("{} holds other bytes", segment.name));
            }
            at = end;
        }
        if at != expected.bytes.len() {
            return Err(format!("{at} bytes are stored of {}", expected.bytes.len()));
        }
        self.compared.insert((expected.digest, fingerprint));
        Ok(())
    }

    /// Flips a byte of a content on the disk. Says whether there was one.
    pub(crate) fn corrupt(&mut self, fake: &FakeSwift, pool: &Pool, content: usize, draw: u64) -> bool {
        let Ok(stored) = stored(fake, &pool.contents[content].digest) else { return false };
        let name = match stored {
            Stored::Plain(_) => object(&layout::blob_data(&pool.contents[content].digest)),
            Stored::Large(segments) => segments[draw as usize % segments.len()].name.clone(),
        };
        let length = fake.peek(CONTAINER, &name).map_or(0, |found| found.content.len());
        if length == 0 {
            return false;
        }
        fake.corrupt(CONTAINER, &name, (draw >> 8) as usize % length);
        self.rotten.insert(content);
        true
    }

    /// What is left after all sessions were purged. `open` are sessions that were purged under an open request,
    /// `shared` those that were closed while another push of the same content was.
    pub(crate) fn leftovers(
        &self,
        fake: &FakeSwift,
        open: &HashSet<String>,
        shared: &HashSet<String>,
    ) -> Result<Leftovers, String> {
        let all = fake.objects(CONTAINER);
        let uploads = object(&layout::uploads());
        if let Some(left) = all.iter().find(|name| name.starts_with(&uploads)) {
            return Err(format!("{left} is left after the purge"));
        }
        let mut loose: BTreeMap<&str, &str> = all
            .iter()
            .filter(|name| name.starts_with(&format!("{PREFIX}/segments/")))
            .map(|name| (name.as_str(), session_of(name)))
            .collect();
        let blobs = object(&layout::blobs());
        for name in all.iter().filter(|name| name.starts_with(&blobs)) {
            for segment in segments_of(fake, name)?.unwrap_or_default() {
                loose.remove(segment.name.as_str());
            }
        }
        let mut left = Leftovers::default();
        for (name, session) in loose {
            if self.owners.contains(session) || shared.contains(session) {
                left.replaced += 1;
            } else if open.contains(session) {
                left.purged += 1;
            } else {
                return Err(format!("{name} belongs to no blob and no session"));
            }
        }
        Ok(left)
    }
}

fn stored(fake: &FakeSwift, digest: &Digest) -> Result<Stored, String> {
    let name = object(&layout::blob_data(digest));
    if let Some(segments) = segments_of(fake, &name)? {
        return Ok(Stored::Large(segments));
    }
    let found = fake.peek(CONTAINER, &name).ok_or(format!("{name} is not stored"))?;
    Ok(Stored::Plain(found.etag))
}

/// The segments of an object, if it has any.
fn segments_of(fake: &FakeSwift, name: &str) -> Result<Option<Vec<Segment>>, String> {
    let Some(found) = fake.peek(CONTAINER, name) else { return Ok(None) };
    let field = |entry: &serde_json::Value, field: &str| entry[field].as_str().unwrap().to_owned();
    if found.is_slo {
        let entries: Vec<serde_json::Value> = serde_json::from_slice(&found.content).unwrap();
        let of = |entry: &serde_json::Value| Segment {
            name: field(entry, "name").trim_start_matches(&format!("/{CONTAINER}/")).to_owned(),
            size: entry["bytes"].as_u64().unwrap(),
            etag: field(entry, "hash"),
        };
        return Ok(Some(entries.iter().map(of).collect()));
    }
    let Some(header) = found.headers.get("x-object-manifest") else { return Ok(None) };
    let prefix = header.trim_start_matches(&format!("{CONTAINER}/"));
    let key = name.trim_start_matches(&format!("{PREFIX}/files/"));
    let list = fake.peek(CONTAINER, &format!("{PREFIX}/files/wharfinger/v1/segments/{key}"));
    let list = list.map(|list| serde_json::from_slice::<serde_json::Value>(&list.content).unwrap());
    if let Some(list) = list.filter(|list| list["prefix"] == prefix) {
        let entries = list["list"].as_array().unwrap();
        let of = |entry: &serde_json::Value| Segment {
            name: field(entry, "name"),
            size: entry["size"].as_u64().unwrap(),
            etag: field(entry, "etag"),
        };
        return Ok(Some(entries.iter().map(of).collect()));
    }
    // Two pushes at once left the list of the other one: the names tell.
    let names = fake.objects(CONTAINER).into_iter().filter(|name| name.starts_with(&format!("{prefix}/")));
    let of = |name: String| {
        let found = fake.peek(CONTAINER, &name)?;
        Some(Segment { name, size: found.content.len() as u64, etag: found.etag })
    };
    Ok(Some(names.filter_map(of).collect()))
}
