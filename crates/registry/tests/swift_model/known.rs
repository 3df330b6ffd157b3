//! What clients were told, and so may rely on.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use wharfinger_oci::Digest;
use wharfinger_registry::Error;

use crate::action::{Action, Means, Report};
use crate::pool::{Document, Pool};

/// Whether something is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum State {
    /// Never acknowledged and never tried, or deleted.
    #[default]
    Absent,
    /// Acknowledged.
    Present,
    /// The last that was tried did not end well.
    Maybe,
}

impl State {
    /// Something was tried, and nobody knows how it ended.
    fn unsure(&mut self, wanted: State) {
        if *self != wanted {
            *self = State::Maybe;
        }
    }
}

/// Everything that was acknowledged. Repositories, contents, documents and tags by their number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// Blobs of repositories.
    pub(crate) links: BTreeMap<(usize, usize), State>,
    /// Manifests of repositories.
    pub(crate) manifests: BTreeMap<(usize, usize), State>,
    /// What a tag may point to.
    pub(crate) tags: BTreeMap<(usize, usize), BTreeSet<Option<usize>>>,
}

/// What a report is judged by, beside what is known.
pub(crate) struct Scene<'a> {
    pub(crate) pool: &'a Pool,
    pub(crate) documents: &'a [Arc<Document>],
    /// Whether requests may fail.
    pub(crate) faults: bool,
    /// Whether bytes may change.
    pub(crate) rot: bool,
    /// Whether another action ran at the same time.
    pub(crate) shared: bool,
    /// Whether the session may be gone: purged, or closed without the client knowing.
    pub(crate) gone: bool,
    /// Links that the instance takes to be there because it wrote them itself.
    pub(crate) linked: &'a HashSet<(usize, usize)>,
}

impl Known {
    pub(crate) fn link(&self, repository: usize, content: usize) -> State {
        self.links.get(&(repository, content)).copied().unwrap_or_default()
    }

    pub(crate) fn manifest(&self, repository: usize, document: usize) -> State {
        self.manifests.get(&(repository, document)).copied().unwrap_or_default()
    }

    pub(crate) fn tag(&self, repository: usize, tag: usize) -> BTreeSet<Option<usize>> {
        self.tags.get(&(repository, tag)).cloned().unwrap_or_else(|| BTreeSet::from([None]))
    }

    fn tag_mut(&mut self, repository: usize, tag: usize) -> &mut BTreeSet<Option<usize>> {
        self.tags.entry((repository, tag)).or_insert_with(|| BTreeSet::from([None]))
    }

    /// Takes in what came of an action; nothing where it was interrupted.
    pub(crate) fn learn(&mut self, action: &Action, report: Option<&Report>) {
        use State::{Absent, Present};
        let unknown = |report: Option<&Report>| {
            matches!(
                report,
                Some(Report::Failed(
                    Error::BlobUnknown(..)
                        | Error::BlobLost(..)
                        | Error::ManifestUnknown(..)
                        | Error::ManifestLost(..)
                ))
            )
        };
        match action {
            Action::Push { repository, content, .. } | Action::Mount { to: repository, content, .. } => {
                let link = self.links.entry((*repository, *content)).or_default();
                match report {
                    Some(Report::Done | Report::Found(true)) => *link = Present,
                    Some(Report::Found(false)) => {}
                    _ => link.unsure(Present),
                }
            }
            Action::Close { upload, wrong: false, .. } => {
                let link = self.links.entry((upload.repository, upload.content)).or_default();
                match report {
                    Some(Report::Done) => *link = Present,
                    Some(Report::Offset(_) | Report::Failed(Error::UploadUnknown | Error::UploadBusy)) => {}
                    _ => link.unsure(Present),
                }
            }
            Action::PushManifest { repository, document, tags } => {
                let manifest = self.manifests.entry((*repository, *document)).or_default();
                match report {
                    Some(Report::Done) => *manifest = Present,
                    Some(Report::Failed(Error::ManifestBlobUnknown { .. })) => return,
                    _ => manifest.unsure(Present),
                }
                for tag in tags {
                    let points = self.tag_mut(*repository, *tag);
                    if matches!(report, Some(Report::Done)) {
                        points.clear();
                    }
                    points.insert(Some(*document));
                }
            }
            Action::DeleteBlob { repository, content } => {
                let link = self.links.entry((*repository, *content)).or_default();
                match report {
                    Some(Report::Done) => *link = Absent,
                    report if unknown(report) => *link = Absent,
                    _ => link.unsure(Absent),
                }
            }
            Action::DeleteManifest { repository, document } => {
                let manifest = self.manifests.entry((*repository, *document)).or_default();
                match report {
                    Some(Report::Done) => *manifest = Absent,
                    report if unknown(report) => *manifest = Absent,
                    _ => manifest.unsure(Absent),
                }
                // Its tags are found by a listing, which may lack some.
                let tags = self.tags.iter_mut().filter(|((of, _), _)| of == repository);
                for (_, points) in tags.filter(|(_, points)| points.contains(&Some(*document))) {
                    points.insert(None);
                }
            }
            Action::DeleteTag { repository, tag } => {
                let gone = matches!(report, Some(Report::Done)) || unknown(report);
                let points = self.tag_mut(*repository, *tag);
                if gone {
                    points.clear();
                }
                points.insert(None);
            }
            _ => {}
        }
    }

    /// What two knowledges have in common, where either may be true.
    pub(crate) fn or(mut self, other: &Known) -> Known {
        let merge = |mine: &mut BTreeMap<(usize, usize), State>, theirs: &BTreeMap<(usize, usize), State>| {
            for (key, state) in theirs {
                let mine = mine.entry(*key).or_default();
                if mine != state {
                    *mine = State::Maybe;
                }
            }
        };
        merge(&mut self.links, &other.links);
        merge(&mut self.manifests, &other.manifests);
        for ((repository, tag), points) in &other.tags {
            self.tag_mut(*repository, *tag).extend(points);
        }
        self
    }

    /// Whether the report is one that the promises allow.
    pub(crate) fn check(&self, action: &Action, report: &Report, scene: &Scene<'_>) -> Result<(), String> {
        match report {
            Report::Wrong(what) => Err(format!("wrong bytes: {what}")),
            Report::Failed(error) => self.check_error(action, error, scene),
            Report::Broken(error) => {
                let allowed = match Means::of_body(error) {
                    Means::Again => scene.faults,
                    Means::Damage => scene.rot,
                    Means::Nothing | Means::Itself => false,
                };
                if allowed { Ok(()) } else { Err(format!("an answer broke off: {error}")) }
            }
            _ => self.check_success(action, report, scene),
        }
    }

    fn check_success(&self, action: &Action, report: &Report, scene: &Scene<'_>) -> Result<(), String> {
        let deleted = |state: State| match state {
            State::Absent if !scene.shared => Err("what was deleted is there".to_owned()),
            _ => Ok(()),
        };
        match (action, report) {
            (Action::Stat { repository, content }, Report::Size(size)) => {
                let expected = scene.pool.contents[*content].bytes.len() as u64;
                if *size != expected {
                    return Err(format!("{size} bytes are told of a blob of {expected}"));
                }
                deleted(self.link(*repository, *content))
            }
            (Action::Pull { repository, content, .. }, _) => deleted(self.link(*repository, *content)),
            (Action::PullManifest { repository, document }, _) => {
                deleted(self.manifest(*repository, *document))
            }
            (Action::Mount { from, content, .. }, Report::Found(found)) => {
                let state = self.link(*from, *content);
                if !found && state == State::Present && !scene.rot && !scene.shared {
                    return Err("an acknowledged blob is not found for a mount".to_owned());
                }
                if *found { deleted(state) } else { Ok(()) }
            }
            (Action::PullTag { repository, tag }, Report::Manifest(digest)) => {
                let found = scene.documents.iter().position(|document| document.digest == *digest);
                let possible = self.tag(*repository, *tag);
                if possible.contains(&found) {
                    return Ok(());
                }
                Err(format!("the tag points to document {found:?}, it can be one of {possible:?} only"))
            }
            (Action::PushManifest { repository, document, .. }, Report::Done) => {
                self.check_children(*repository, &scene.documents[*document], scene)
            }
            (Action::Close { wrong: true, .. }, Report::Done) => {
                Err("an upload was closed under another digest than its own".to_owned())
            }
            (Action::Tags { last, limit, .. }, Report::Names(names, _)) => {
                let last = last.map(|tag| scene.pool.tags[tag].as_str()).unwrap_or_default();
                let ordered = names.iter().zip(names.iter().skip(1)).all(|(a, b)| a < b);
                if ordered && names.len() <= *limit && names.iter().all(|name| name.as_str() > last) {
                    return Ok(());
                }
                Err(format!("a page of tags in disorder: {names:?}"))
            }
            _ => Ok(()),
        }
    }

    /// Nothing that a manifest names may be surely absent, unless the instance linked it itself a moment ago.
    fn check_children(
        &self,
        repository: usize,
        document: &Document,
        scene: &Scene<'_>,
    ) -> Result<(), String> {
        if scene.shared {
            return Ok(());
        }
        let missing = |content: &&usize| {
            self.link(repository, **content) == State::Absent
                && !scene.linked.contains(&(repository, **content))
        };
        if let Some(content) = document.blobs.iter().find(missing) {
            return Err(format!("a manifest was taken without its blob {content}"));
        }
        let absent = |child: &&usize| self.manifest(repository, **child) == State::Absent;
        match document.manifests.iter().find(absent) {
            Some(child) => Err(format!("an index was taken without its manifest {child}")),
            None => Ok(()),
        }
    }

    fn check_error(&self, action: &Action, error: &Error, scene: &Scene<'_>) -> Result<(), String> {
        let allowed = match Means::of(error) {
            Means::Again => scene.faults,
            // The parts of a session that was swept are missing.
            Means::Damage => scene.rot || scene.gone,
            Means::Nothing => false,
            Means::Itself => self.expects(action, error, scene),
        };
        if allowed { Ok(()) } else { Err(format!("an error without a reason: {error:?}")) }
    }

    fn expects(&self, action: &Action, error: &Error, scene: &Scene<'_>) -> bool {
        use Action::{Close, DeleteBlob, DeleteManifest, DeleteTag, Pull, PullManifest, PullTag, Stat};
        match (action, error) {
            // An attempt whose answer was lost has deleted it.
            (DeleteBlob { .. }, Error::BlobUnknown(..)) => true,
            (DeleteManifest { .. } | DeleteTag { .. }, Error::ManifestUnknown(..)) => true,
            (
                Pull { repository, content, .. } | Stat { repository, content },
                Error::BlobUnknown(..) | Error::BlobLost(..),
            ) => scene.rot || self.link(*repository, *content) != State::Present,
            (PullManifest { repository, document }, Error::ManifestUnknown(..) | Error::ManifestLost(..)) => {
                self.manifest(*repository, *document) != State::Present
            }
            (PullTag { repository, tag }, Error::ManifestUnknown(..) | Error::ManifestLost(..)) => {
                self.tag(*repository, *tag).contains(&None)
            }
            (Action::PushManifest { repository, .. }, Error::ManifestBlobUnknown { missing, .. }) => {
                scene.shared
                    || scene.rot
                    || missing.iter().all(|child| !self.surely(*repository, child, scene))
            }
            (Action::Tags { repository, .. }, Error::NameUnknown(_)) => {
                let has = |((of, _), state): (&(usize, usize), &State)| {
                    of == repository && *state == State::Present
                };
                scene.faults || !self.links.iter().chain(&self.manifests).any(has)
            }
            (Close { wrong, .. }, Error::DigestMismatch { .. }) => *wrong,
            (Action::Patch { .. } | Close { .. } | Action::Cancel { .. }, Error::UploadUnknown) => scene.gone,
            (Action::Status { .. }, Error::UploadUnknown) => scene.gone,
            (_, Error::NotReadBack(_) | Error::SizeMismatch { .. }) => scene.shared,
            _ => false,
        }
    }

    /// Whether a content or document of that digest is surely in the repository.
    fn surely(&self, repository: usize, digest: &Digest, scene: &Scene<'_>) -> bool {
        let content = scene.pool.contents.iter().position(|content| content.digest == *digest);
        let document = scene.documents.iter().position(|document| document.digest == *digest);
        content.is_some_and(|content| self.link(repository, content) == State::Present)
            || document.is_some_and(|document| self.manifest(repository, document) == State::Present)
    }
}
