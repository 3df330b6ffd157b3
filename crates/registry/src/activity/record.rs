//! What is known of one repository, and how it is written down.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use wharfinger_oci::{Digest, Tag};

/// Images of a repository that are kept in mind; what was used least lately is forgotten first.
const MOST: usize = 1_000;

/// A push or a pull.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// By which user; none where nobody logged in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// From where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
}

impl Event {
    /// Something that happens now, to the second.
    pub fn now(user: Option<&str>, address: Option<IpAddr>) -> Event {
        let now = OffsetDateTime::now_utc();
        let at = now.replace_nanosecond(0).unwrap_or(now);
        Event { at, user: user.map(str::to_owned), address: address.map(|address| address.to_canonical()) }
    }

    /// Who did it, for people: `ci from 10.0.0.3`, `10.0.0.3`, `nobody known`.
    pub fn who(&self) -> String {
        match (&self.user, self.address) {
            (Some(user), Some(address)) => format!("{user} from {address}"),
            (Some(user), None) => user.clone(),
            (None, Some(address)) => address.to_string(),
            (None, None) => "nobody known".to_owned(),
        }
    }
}

/// When and by whom, for people: `2026-11-30T12:03:00Z by ci from 10.0.0.3`.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.at.format(&time::format_description::well_known::Rfc3339).map_err(|_| fmt::Error)?;
        write!(f, "{at} by {}", self.who())
    }
}

/// The last push and the last pull of something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Happened {
    /// The last push.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pushed: Option<Event>,
    /// The last pull.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pulled: Option<Event>,
}

impl Happened {
    pub(super) fn merge(&mut self, other: &Happened) {
        for (mine, theirs) in [(&mut self.pushed, &other.pushed), (&mut self.pulled, &other.pulled)] {
            let newer = theirs.as_ref().filter(|theirs| mine.as_ref().is_none_or(|mine| mine.at < theirs.at));
            if let Some(newer) = newer {
                *mine = Some(newer.clone());
            }
        }
    }

    fn last(&self) -> Option<OffsetDateTime> {
        [&self.pushed, &self.pulled].into_iter().flatten().map(|event| event.at).max()
    }
}

/// What happened in a repository: by manifest, and by the tag that it was pushed to or pulled by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Activity(BTreeMap<Digest, BTreeMap<Option<Tag>, Happened>>);

/// A line of it, as it is written.
#[derive(Serialize, Deserialize)]
struct Line {
    digest: Digest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tag: Option<String>,
    #[serde(flatten)]
    happened: Happened,
}

#[derive(Serialize, Deserialize)]
struct Record {
    version: u32,
    images: Vec<Line>,
}

impl Activity {
    /// The last push to a tag, and the last pull by it, of whatever it pointed to.
    pub fn of_tag(&self, tag: &Tag) -> Happened {
        let of = |(each, happened): (&Option<Tag>, &Happened)| {
            (each.as_ref() == Some(tag)).then(|| happened.clone())
        };
        sum(self.0.values().flatten().filter_map(of))
    }

    /// The last push and pull of a manifest, by whatever tag.
    pub fn of_digest(&self, digest: &Digest) -> Happened {
        sum(self.0.get(digest).into_iter().flat_map(BTreeMap::values).cloned())
    }

    /// The tags that a manifest was pushed to or pulled by.
    pub(crate) fn tags_of(&self, digest: &Digest) -> impl Iterator<Item = &Tag> {
        self.0.get(digest).into_iter().flat_map(BTreeMap::keys).flatten()
    }

    pub(super) fn add(&mut self, digest: Digest, tag: Option<Tag>, happened: &Happened) {
        self.0.entry(digest).or_default().entry(tag).or_default().merge(happened);
    }

    pub(super) fn merge(&mut self, other: &Activity) {
        for (digest, tags) in &other.0 {
            tags.iter().for_each(|(tag, happened)| self.add(*digest, tag.clone(), happened));
        }
    }

    pub(super) fn each(&self) -> impl Iterator<Item = (&Digest, &Option<Tag>, &Happened)> {
        self.0
            .iter()
            .flat_map(|(digest, tags)| tags.iter().map(move |(tag, happened)| (digest, tag, happened)))
    }

    /// Forgets what was used least lately, where it is too much.
    pub(super) fn trim(&mut self) {
        let mut ages: Vec<_> = self.each().map(|(_, _, happened)| happened.last()).collect();
        if ages.len() <= MOST {
            return;
        }
        ages.sort_unstable_by(|a, b| b.cmp(a));
        let oldest = ages[MOST - 1];
        let mut left = MOST;
        for tags in self.0.values_mut() {
            tags.retain(|_, happened| {
                let stays = happened.last() >= oldest && left > 0;
                left -= usize::from(stays);
                stays
            });
        }
        self.0.retain(|_, tags| !tags.is_empty());
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let line = |(digest, tag, happened): (&Digest, &Option<Tag>, &Happened)| Line {
            digest: *digest,
            tag: tag.as_ref().map(ToString::to_string),
            happened: happened.clone(),
        };
        let record = Record { version: 1, images: self.each().map(line).collect() };
        serde_json::to_vec(&record).unwrap_or_default()
    }

    /// None where it tells nothing, or was written by a newer version in another form.
    pub(super) fn decode(bytes: &[u8]) -> Option<Activity> {
        let record: Record = serde_json::from_slice(bytes).ok()?;
        if record.version != 1 {
            return None;
        }
        let mut activity = Activity::default();
        for line in record.images {
            let tag = line.tag.map(|tag| Tag::parse(&tag)).transpose().ok()?;
            activity.add(line.digest, tag, &line.happened);
        }
        Some(activity)
    }
}

fn sum(parts: impl Iterator<Item = Happened>) -> Happened {
    parts.fold(Happened::default(), |mut all, part| {
        all.merge(&part);
        all
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pushed(at: i64) -> Happened {
        let at = OffsetDateTime::from_unix_timestamp(at).unwrap();
        let address = "10.0.0.3".parse().ok();
        Happened { pushed: Some(Event { at, user: Some("ci".into()), address }), pulled: None }
    }

    #[test]
    fn what_is_written_is_read_and_what_is_torn_is_none() {
        let mut activity = Activity::default();
        activity.add(Digest::sha256(b"x"), Tag::parse("v1").ok(), &pushed(1_790_000_000));
        activity.add(Digest::sha256(b"x"), None, &pushed(1_790_000_001));
        let text = activity.encode();
        assert_eq!(Activity::decode(&text).unwrap(), activity);
        assert!(Activity::decode(&text[..text.len() - 1]).is_none());
        let newer = String::from_utf8(text).unwrap().replace("\"version\":1", "\"version\":2");
        assert!(Activity::decode(newer.as_bytes()).is_none());
    }

    #[test]
    fn of_two_the_newer_is_told() {
        let tag = Tag::parse("v1").unwrap();
        let mut activity = Activity::default();
        activity.add(Digest::sha256(b"new"), Some(tag.clone()), &pushed(20));
        activity.add(Digest::sha256(b"old"), Some(tag.clone()), &pushed(10));
        assert_eq!(activity.of_tag(&tag), pushed(20));
        assert_eq!(activity.of_digest(&Digest::sha256(b"old")), pushed(10));
        activity.add(Digest::sha256(b"new"), Some(tag.clone()), &pushed(5));
        assert_eq!(activity.of_tag(&tag), pushed(20));
        assert_eq!(
            activity.of_tag(&tag).pushed.unwrap().to_string(),
            "1970-01-01T00:00:20Z by ci from 10.0.0.3"
        );
    }

    #[test]
    fn what_was_used_least_lately_is_forgotten() {
        let mut activity = Activity::default();
        for at in 0..MOST as i64 + 50 {
            activity.add(Digest::sha256(&at.to_le_bytes()), None, &pushed(at));
        }
        activity.trim();
        assert_eq!(activity.each().count(), MOST);
        assert_eq!(activity.of_digest(&Digest::sha256(&49i64.to_le_bytes())), Happened::default());
        assert!(activity.of_digest(&Digest::sha256(&50i64.to_le_bytes())).pushed.is_some());
    }
}
