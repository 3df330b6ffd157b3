//! What this process saw and may not have written down yet, within bounds.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use wharfinger_oci::{Digest, Reference, RepositoryName, Tag};

use super::record::{Activity, Event, Happened};

/// Manifests that are kept in mind. More than these within a minute are not noted.
const MOST: usize = 20_000;
/// Between two pulls of one image that are noted.
const APART: Duration = Duration::from_secs(600);

#[derive(Default)]
pub(super) struct Recent {
    repositories: HashMap<RepositoryName, HashMap<Digest, Manifest>>,
    manifests: usize,
}

#[derive(Default)]
struct Manifest {
    /// The tag that it was asked for by last: clients ask for a tag's digest and then pull by that.
    asked: Option<Tag>,
    seen: Vec<Seen>,
}

struct Seen {
    tag: Option<Tag>,
    happened: Happened,
    pulled_at: Option<SystemTime>,
    unwritten: Unwritten,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Unwritten {
    #[default]
    Nothing,
    Pull,
    Push,
}

impl Manifest {
    fn seen(&mut self, tag: Option<&Tag>) -> &mut Seen {
        let at = self.seen.iter().position(|seen| seen.tag.as_ref() == tag);
        let at = at.unwrap_or_else(|| {
            let happened = Happened::default();
            let (tag, unwritten) = (tag.cloned(), Unwritten::Nothing);
            self.seen.push(Seen { tag, happened, pulled_at: None, unwritten });
            self.seen.len() - 1
        });
        &mut self.seen[at]
    }

    fn ask(&mut self, tag: &Tag) {
        if self.asked.as_ref() != Some(tag) {
            self.asked = Some(tag.clone());
        }
    }

    fn is_written(&self) -> bool {
        self.seen.iter().all(|seen| seen.unwritten == Unwritten::Nothing)
    }
}

impl Recent {
    /// None where there is no room.
    fn manifest(&mut self, name: &RepositoryName, digest: &Digest) -> Option<&mut Manifest> {
        let known = self.repositories.get(name).is_some_and(|manifests| manifests.contains_key(digest));
        if !known {
            if self.manifests >= MOST {
                self.forget_written();
            }
            if self.manifests >= MOST {
                return None;
            }
            self.repositories.entry(name.clone()).or_default().insert(*digest, Manifest::default());
            self.manifests += 1;
        }
        self.repositories.get_mut(name)?.get_mut(digest)
    }

    fn forget_written(&mut self) {
        for manifests in self.repositories.values_mut() {
            manifests.retain(|_, manifest| !manifest.is_written());
        }
        self.repositories.retain(|_, manifests| !manifests.is_empty());
        self.manifests = self.repositories.values().map(HashMap::len).sum();
    }

    /// A client asked what a tag points to.
    pub(super) fn asked(&mut self, name: &RepositoryName, digest: &Digest, tag: &Tag) {
        if let Some(manifest) = self.manifest(name, digest) {
            manifest.ask(tag);
        }
    }

    /// A client pulled a manifest. Answers the tag by which it did, or was about to.
    pub(super) fn pulled(
        &mut self,
        name: &RepositoryName,
        reference: &Reference,
        digest: &Digest,
        now: SystemTime,
        who: Option<impl FnOnce() -> Event>,
    ) -> Option<Tag> {
        let manifest = self.manifest(name, digest)?;
        if let Reference::Tag(tag) = reference {
            manifest.ask(tag);
        }
        let tag = manifest.asked.clone();
        let Some(who) = who else { return tag };
        let seen = manifest.seen(tag.as_ref());
        let lately = seen.pulled_at.and_then(|at| now.duration_since(at).ok()).is_some_and(|age| age < APART);
        if !lately {
            seen.pulled_at = Some(now);
            seen.happened.pulled = Some(who());
            seen.unwritten = seen.unwritten.max(Unwritten::Pull);
        }
        tag
    }

    /// A client pushed a manifest.
    pub(super) fn pushed(&mut self, name: &RepositoryName, tags: &[Tag], digest: &Digest, event: &Event) {
        let Some(manifest) = self.manifest(name, digest) else { return };
        let untagged = [None].into_iter().filter(|_| tags.is_empty());
        for tag in tags.iter().map(Some).chain(untagged) {
            let seen = manifest.seen(tag);
            seen.happened.pushed = Some(event.clone());
            seen.unwritten = Unwritten::Push;
        }
    }

    /// Takes what is to be written: of repositories that were pushed to, or of `all`.
    pub(super) fn take(&mut self, all: bool) -> Vec<(RepositoryName, Activity)> {
        let least = if all { Unwritten::Pull } else { Unwritten::Push };
        let mut taken = Vec::new();
        for (name, manifests) in &mut self.repositories {
            let mut unwritten = manifests.values().flat_map(|manifest| &manifest.seen);
            if !unwritten.any(|seen| seen.unwritten >= least) {
                continue;
            }
            let mut activity = Activity::default();
            for (digest, manifest) in manifests {
                let new = manifest.seen.iter_mut().filter(|seen| seen.unwritten > Unwritten::Nothing);
                for seen in new {
                    seen.unwritten = Unwritten::Nothing;
                    activity.add(*digest, seen.tag.clone(), &seen.happened);
                }
            }
            taken.push((name.clone(), activity));
        }
        taken
    }

    /// What could not be written is to be written again.
    pub(super) fn put_back(&mut self, name: &RepositoryName, activity: &Activity) {
        for (digest, tag, happened) in activity.each() {
            let Some(manifest) = self.manifest(name, digest) else { continue };
            let seen = manifest.seen(tag.as_ref());
            seen.happened.merge(happened);
            seen.unwritten = Unwritten::Push;
        }
    }

    /// Adds what is not written yet.
    pub(super) fn add_to(&self, name: &RepositoryName, activity: &mut Activity) {
        for (digest, manifest) in self.repositories.get(name).into_iter().flatten() {
            for seen in &manifest.seen {
                activity.add(*digest, seen.tag.clone(), &seen.happened);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;

    fn name() -> RepositoryName {
        RepositoryName::parse("team/app").unwrap()
    }

    fn by(user: &str) -> Option<impl FnOnce() -> Event> {
        let user = Some(user.to_owned());
        Some(move || Event { at: OffsetDateTime::UNIX_EPOCH, user, address: None })
    }

    fn after(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn a_pull_by_the_digest_of_a_tag_is_one_of_the_tag() {
        let (mut recent, digest, tag) = (Recent::default(), Digest::sha256(b"x"), Tag::parse("v1").unwrap());
        let by_digest = Reference::Digest(digest);
        assert_eq!(recent.pulled(&name(), &by_digest, &digest, after(0), by("a")), None);
        recent.asked(&name(), &digest, &tag);
        assert_eq!(recent.pulled(&name(), &by_digest, &digest, after(1), by("b")), Some(tag.clone()));
        let (_, activity) = recent.take(true).remove(0);
        assert_eq!(activity.of_tag(&tag).pulled.unwrap().user.as_deref(), Some("b"));
    }

    #[test]
    fn pulls_within_ten_minutes_are_one() {
        let (mut recent, digest) = (Recent::default(), Digest::sha256(b"x"));
        let reference = Reference::Digest(digest);
        for (seconds, user) in [(0, "first"), (599, "second")] {
            recent.pulled(&name(), &reference, &digest, after(seconds), by(user));
        }
        let user = |recent: &mut Recent| {
            recent
                .take(true)
                .pop()
                .map(|(_, activity)| activity.of_digest(&digest).pulled.unwrap().user.unwrap())
        };
        assert_eq!(user(&mut recent).as_deref(), Some("first"));
        assert_eq!(user(&mut recent), None, "nothing new");
        recent.pulled(&name(), &reference, &digest, after(600), by("third"));
        assert_eq!(user(&mut recent).as_deref(), Some("third"));
    }

    #[test]
    fn it_stays_within_bounds_and_what_is_not_written_is_not_forgotten() {
        let mut recent = Recent::default();
        let digest = |number: usize| Digest::sha256(&number.to_le_bytes());
        let event = Event { at: OffsetDateTime::UNIX_EPOCH, user: None, address: None };
        for number in 0..MOST {
            recent.pushed(&name(), &[], &digest(number), &event);
        }
        recent.pushed(&name(), &[], &digest(MOST), &event);
        let (_, activity) = recent.take(true).remove(0);
        assert_eq!(activity.each().count(), MOST, "one more finds no room");
        recent.put_back(&name(), &activity);
        assert_eq!(recent.take(false)[0].1.each().count(), MOST);
        recent.pushed(&name(), &[], &digest(MOST), &event);
        assert_eq!(recent.manifests, 1, "what is written makes room");
    }
}
