//! From what was read to what is wrong.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use wharfinger_oci::{Algorithm, Digest, RepositoryName, Tag};
use wharfinger_registry::layout;
use wharfinger_store::Key;

use super::{Content, Graph, Link, State, View};
use crate::census::{Census, Listed};
use crate::{Finding, Kind};

/// Blobs in which something is wrong, with the images that need them.
type Hit = HashMap<Digest, BTreeSet<String>>;

impl Graph {
    /// What is wrong, in order. `census` is what the listing shows; of a link that it shows and that is not there by
    /// name it has to be newer than the read.
    pub fn judge(&self, census: &Census) -> Vec<Finding> {
        let (mut findings, mut hit) = (Vec::new(), Hit::new());
        let wrong = self.wrong_blobs();
        let nothing = Listed::default();
        for (name, view) in &self.views {
            let listed = census.repositories.get(name).unwrap_or(&nothing);
            let judge = Judge::new(self, name, view, listed);
            let mut links = judge.links();
            let (there, lost): (Vec<Digest>, Vec<Digest>) =
                self.needed(view, listed).into_iter().partition(|digest| !judge.is_lost(digest));
            for digest in &lost {
                let key = layout::revision_link(name, digest);
                links.insert(key.clone(), judge.lost(&key, judge.images(digest)));
            }
            for digest in &there {
                judge.manifest(digest, &mut links, &mut findings);
                judge.note_blobs(digest, |blob| wrong.contains_key(blob), &mut hit);
            }
            judge.layers(&there, &mut links, &mut findings);
            findings.extend(links.into_values());
        }
        for (digest, (kind, reason)) in wrong {
            let images = hit.remove(&digest).unwrap_or_default();
            // A blob that nothing needs and that is not there was deleted after it was listed.
            if kind != Kind::BlobMissing || !images.is_empty() {
                findings.push(Finding::new(kind, digest, reason).hitting(images));
            }
        }
        findings.sort();
        findings
    }

    /// The images that need each of these blobs or manifests.
    pub fn users_of(&self, census: &Census, wanted: &HashSet<Digest>) -> HashMap<Digest, BTreeSet<String>> {
        let (mut hit, nothing) = (Hit::new(), Listed::default());
        for (name, view) in &self.views {
            let listed = census.repositories.get(name).unwrap_or(&nothing);
            let judge = Judge::new(self, name, view, listed);
            for digest in self.needed(view, listed) {
                if wanted.contains(&digest) {
                    hit.entry(digest).or_default().extend(judge.images(&digest));
                }
                judge.note_blobs(&digest, |blob| wanted.contains(blob), &mut hit);
            }
        }
        hit
    }

    /// What could not be read.
    pub fn unknown(&self) -> Vec<String> {
        let link = |link: &Link| match link {
            Link::Unknown(error) => Some(error.clone()),
            _ => None,
        };
        let mut unknown = Vec::new();
        for view in self.views.values() {
            let links = view.tags.values().chain(view.revisions.values());
            let links = links.chain(view.layers.values()).chain(view.odd.values());
            unknown.extend(links.filter_map(link));
        }
        for content in self.manifests.values() {
            if let Content::Unknown(error) = content {
                unknown.push(error.clone());
            }
        }
        for blob in self.blobs.values() {
            if let State::Unknown(error) = &blob.state {
                unknown.push(error.clone());
            }
        }
        unknown.sort();
        unknown
    }

    /// Blobs whose bytes are not there or not right, by what was seen of them and by the sizes that manifests tell.
    fn wrong_blobs(&self) -> BTreeMap<Digest, (Kind, String)> {
        let mut wrong = BTreeMap::new();
        for (digest, blob) in self.blobs.iter().filter(|(digest, _)| !self.manifests.contains_key(digest)) {
            match &blob.state {
                State::Missing => {
                    wrong.insert(*digest, (Kind::BlobMissing, "its bytes are not there".to_owned()));
                }
                State::Damaged(reason) => drop(wrong.insert(*digest, (Kind::BlobDamaged, reason.clone()))),
                State::Unknown(error) => drop(wrong.insert(*digest, (Kind::Unreadable, error.clone()))),
                State::Whole { .. } => {}
            }
        }
        for manifest in self.manifests.keys() {
            for (digest, expected) in self.blobs_of(manifest) {
                let Some(blob) = self.blobs.get(&digest) else { continue };
                // A hash proves more than what a manifest says.
                let looked_at = matches!(blob.state, State::Whole { hashed: false });
                if let Some(expected) = expected.filter(|expected| looked_at && *expected != blob.size) {
                    let reason = format!("it has {} bytes, manifest {manifest} says {expected}", blob.size);
                    wrong.entry(digest).or_insert((Kind::BlobDamaged, reason));
                }
            }
        }
        wrong
    }

    /// For each manifest the tags that lead to it.
    fn tags_by_manifest<'a>(&self, view: &'a View) -> HashMap<Digest, BTreeSet<&'a Tag>> {
        let mut tags: HashMap<Digest, BTreeSet<&Tag>> = HashMap::new();
        for tag in view.tags.keys() {
            let mut open: Vec<Digest> = view.target(tag).into_iter().collect();
            while let Some(digest) = open.pop() {
                if tags.entry(digest).or_default().insert(tag)
                    && let Some(Content::Manifest(node)) = self.manifests.get(&digest)
                {
                    open.extend(&node.manifests);
                }
            }
        }
        tags
    }
}

/// One repository.
struct Judge<'a> {
    graph: &'a Graph,
    name: &'a RepositoryName,
    view: &'a View,
    listed: &'a Listed,
    tags: HashMap<Digest, BTreeSet<&'a Tag>>,
    /// Manifests to which something leads that is there by name.
    reached: BTreeSet<Digest>,
}

impl<'a> Judge<'a> {
    fn new(graph: &'a Graph, name: &'a RepositoryName, view: &'a View, listed: &'a Listed) -> Judge<'a> {
        let mut reached: BTreeSet<Digest> = view.tags.keys().filter_map(|tag| view.target(tag)).collect();
        for (digest, link) in &view.revisions {
            if let (Link::To(_), Some(Content::Manifest(node))) = (link, graph.manifests.get(digest)) {
                reached.extend(&node.manifests);
            }
        }
        Judge { graph, name, view, listed, tags: graph.tags_by_manifest(view), reached }
    }
}

impl Judge<'_> {
    /// The images that need a manifest.
    fn images(&self, manifest: &Digest) -> Vec<String> {
        let name = self.name;
        match self.tags.get(manifest) {
            Some(tags) => tags.iter().map(|tag| format!("{name}:{tag}")).collect(),
            None => vec![format!("{name}@{manifest}")],
        }
    }

    /// Links of tags, and those that the listing shows with an odd length.
    fn links(&self) -> BTreeMap<Key, Finding> {
        let mut links = BTreeMap::new();
        for (key, link) in &self.view.odd {
            match link {
                Link::Broken(length) => drop(links.insert(key.clone(), self.broken(key, *length, []))),
                Link::Unknown(error) => drop(links.insert(key.clone(), self.unreadable(key, error, []))),
                Link::To(_) | Link::Missing => {}
            }
        }
        for (tag, link) in &self.view.tags {
            let key = layout::tag_current(self.name, tag);
            let hit = [format!("{}:{tag}", self.name)];
            match link {
                Link::Broken(length) => drop(links.insert(key.clone(), self.broken(&key, *length, hit))),
                Link::Missing if self.listed.tags.get(tag) == Some(&true) => {
                    links.insert(key.clone(), self.lost(&key, hit));
                }
                Link::Unknown(error) => {
                    links.insert(key.clone(), self.unreadable(&key, error, hit));
                }
                Link::To(_) | Link::Missing => {}
            }
        }
        links
    }

    /// Whether a listing alone shows a manifest: neither its link is there by name, nor a tag or an index that leads to
    /// it. Most likely it was deleted, and so may be everything that it names.
    fn is_lost(&self, manifest: &Digest) -> bool {
        let missing = matches!(self.view.revisions.get(manifest), Some(Link::Missing));
        missing && !self.reached.contains(manifest) && !self.tags.contains_key(manifest)
    }

    fn unreadable(&self, key: &Key, error: &str, images: impl IntoIterator<Item = String>) -> Finding {
        Finding::new(Kind::Unreadable, key, error).within(self.name).hitting(images)
    }

    fn broken(&self, key: &Key, length: usize, images: impl IntoIterator<Item = String>) -> Finding {
        let reason = match length {
            0 => "the link is empty".to_owned(),
            length => format!("the link has {length} bytes and does not hold the digest"),
        };
        Finding::new(Kind::LinkBroken, key, reason).within(self.name).hitting(images)
    }

    fn lost(&self, key: &Key, images: impl IntoIterator<Item = String>) -> Finding {
        let reason = "a listing shows the link, and by name it is not there";
        Finding::new(Kind::LinkLost, key, reason).within(self.name).hitting(images)
    }

    fn manifest(&self, digest: &Digest, links: &mut BTreeMap<Key, Finding>, findings: &mut Vec<Finding>) {
        let find = |kind, reason: &str| {
            Finding::new(kind, digest, reason).within(self.name).hitting(self.images(digest))
        };
        let key = layout::revision_link(self.name, digest);
        match self.view.revisions.get(digest) {
            Some(Link::Missing) => {
                findings.push(find(Kind::ManifestUnlinked, "the repository has no revision link to it"));
            }
            Some(Link::Unknown(error)) => {
                links.insert(key.clone(), self.unreadable(&key, error, self.images(digest)));
            }
            Some(link) => {
                if let Some(length) = broken_length(link, digest) {
                    links.insert(key.clone(), self.broken(&key, length, self.images(digest)));
                }
            }
            None => {}
        }
        match self.graph.manifests.get(digest) {
            Some(Content::Missing) => {
                findings.push(find(Kind::ManifestMissing, "its bytes are not there"));
            }
            Some(Content::Damaged(reason)) => findings.push(find(Kind::ManifestDamaged, reason)),
            Some(Content::Unreadable(reason)) => findings.push(find(Kind::ManifestUnreadable, reason)),
            Some(Content::Unknown(error)) => findings.push(find(Kind::Unreadable, error)),
            _ => {}
        }
    }

    /// Notes which images need the blobs that are asked for.
    fn note_blobs(&self, manifest: &Digest, asked_for: impl Fn(&Digest) -> bool, hit: &mut Hit) {
        for (digest, _) in self.graph.blobs_of(manifest) {
            let target = match self.view.layers.get(&digest) {
                Some(Link::To(target)) => *target,
                _ => digest,
            };
            if asked_for(&target) {
                hit.entry(target).or_default().extend(self.images(manifest));
            }
        }
    }

    /// Blobs that manifests here name and that have no link here, or a broken one.
    fn layers(&self, manifests: &[Digest], links: &mut BTreeMap<Key, Finding>, findings: &mut Vec<Finding>) {
        let mut hit: BTreeMap<Digest, BTreeSet<String>> = BTreeMap::new();
        for manifest in manifests {
            for (digest, _) in self.graph.blobs_of(manifest) {
                let link = self.view.layers.get(&digest);
                let doubtful = |link: &Link| {
                    matches!(link, Link::Missing | Link::Unknown(_)) || broken_length(link, &digest).is_some()
                };
                if link.is_some_and(doubtful) {
                    hit.entry(digest).or_default().extend(self.images(manifest));
                }
            }
        }
        for (digest, images) in hit {
            let link = self.view.layers.get(&digest);
            let key = layout::layer_link(self.name, &digest);
            if let Some(length) = link.and_then(|link| broken_length(link, &digest)) {
                links.insert(key.clone(), self.broken(&key, length, images));
            } else if let Some(Link::Unknown(error)) = link {
                links.insert(key.clone(), self.unreadable(&key, error, images));
            } else {
                let reason = "the repository has no layer link to it";
                let finding = Finding::new(Kind::BlobUnlinked, digest, reason);
                findings.push(finding.within(self.name).hitting(images));
            }
        }
    }
}

/// The length of a link that does not hold what it must. Under another algorithm a link may lead to the SHA-256.
fn broken_length(link: &Link, digest: &Digest) -> Option<usize> {
    match link {
        Link::Broken(length) => Some(*length),
        Link::To(other) if other != digest && digest.algorithm() == Algorithm::Sha256 => {
            Some(other.to_string().len())
        }
        _ => None,
    }
}
