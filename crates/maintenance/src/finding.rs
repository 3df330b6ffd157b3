//! What is wrong, and whom it hits.

use std::fmt;

use serde::{Deserialize, Serialize};
use wharfinger_oci::Digest;

/// Images named in one line.
const NAMED: usize = 10;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A link is empty or holds no digest.
    LinkBroken,
    /// A listing shows a link that is not there by name, and nothing that is there leads to it: it was deleted a moment
    /// ago, or it is lost.
    LinkLost,
    /// A tag or an index names a manifest that is not in the repository.
    ManifestUnlinked,
    /// The bytes of a manifest are not there.
    ManifestMissing,
    /// The bytes of a manifest are not those of its digest, or cannot be read whole.
    ManifestDamaged,
    /// What a revision link names is no manifest that any registry serves.
    ManifestUnreadable,
    /// A manifest names a blob that is not in its repository.
    BlobUnlinked,
    /// A manifest names a blob whose bytes are not there.
    BlobMissing,
    /// The bytes of a blob are not whole, or not those of its digest.
    BlobDamaged,
    /// The chunk index of a blob is not that of its bytes: they are taken for damaged.
    IndexWrong,
    /// The store has it and cannot read it, while it reads others.
    Unreadable,
    /// The exact list of the segments of a dynamic large object is not on record: a listing decides what it is.
    BlobUnlisted,
    /// A layer link leads to a blob that is not there; no manifest needs it.
    LinkDangling,
    /// A chunk index cannot be read as one: it is taken as absent.
    IndexBroken,
    /// A chunk index belongs to no blob.
    IndexStale,
    /// A referrer is listed that is not there, or is not listed as it is.
    ReferrerStale,
    /// The record of an upload session cannot be read: the client begins again.
    SessionBroken,
    /// An audit record cannot be read.
    AuditBroken,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Something cannot be pulled, or not rightly.
    Damage,
    /// It could not be told.
    Unknown,
    /// Nothing is hurt by it now.
    Note,
}

impl Kind {
    /// The word in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::LinkBroken => "link-broken",
            Kind::LinkLost => "link-lost",
            Kind::ManifestUnlinked => "manifest-unlinked",
            Kind::ManifestMissing => "manifest-missing",
            Kind::ManifestDamaged => "manifest-damaged",
            Kind::ManifestUnreadable => "manifest-unreadable",
            Kind::BlobUnlinked => "blob-unlinked",
            Kind::BlobMissing => "blob-missing",
            Kind::BlobDamaged => "blob-damaged",
            Kind::IndexWrong => "index-wrong",
            Kind::Unreadable => "unreadable",
            Kind::BlobUnlisted => "blob-unlisted",
            Kind::LinkDangling => "link-dangling",
            Kind::IndexBroken => "index-broken",
            Kind::IndexStale => "index-stale",
            Kind::ReferrerStale => "referrer-stale",
            Kind::SessionBroken => "session-broken",
            Kind::AuditBroken => "audit-broken",
        }
    }

    /// How bad it is.
    pub fn severity(self) -> Severity {
        match self {
            Kind::Unreadable => Severity::Unknown,
            Kind::BlobUnlisted
            | Kind::LinkLost
            | Kind::LinkDangling
            | Kind::IndexBroken
            | Kind::IndexStale
            | Kind::ReferrerStale
            | Kind::SessionBroken
            | Kind::AuditBroken => Severity::Note,
            _ => Severity::Damage,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    /// What.
    pub kind: Kind,
    /// In which repository; none for the bytes of a blob, which all repositories share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// The digest, or for a link its key.
    pub what: String,
    /// Why it is taken for wrong.
    pub reason: String,
    /// Images that cannot be pulled for it: `repository:tag`, or `repository@digest` where no tag leads there; none where
    /// nothing refers to it.
    pub images: Vec<String>,
    /// Where a copy lies that was found intact.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copy: Option<String>,
}

impl Finding {
    /// A finding that hits these images.
    pub(crate) fn new(kind: Kind, what: impl fmt::Display, reason: impl fmt::Display) -> Finding {
        let (what, reason) = (what.to_string(), reason.to_string());
        Finding { kind, repository: None, what, reason, images: Vec::new(), copy: None }
    }

    pub(crate) fn within(mut self, repository: impl fmt::Display) -> Finding {
        self.repository = Some(repository.to_string());
        self
    }

    pub(crate) fn hitting(mut self, images: impl IntoIterator<Item = String>) -> Finding {
        self.images.extend(images);
        self
    }

    /// The digest whose bytes it is about; none where it is about a link or a record.
    pub fn digest(&self) -> Option<Digest> {
        Digest::parse(&self.what).ok()
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.what)?;
        if let Some(repository) = &self.repository {
            write!(f, " in {repository}")?;
        }
        write!(f, ": {}", self.reason)?;
        if self.images.is_empty() {
            return f.write_str("; no image needs it");
        }
        write!(f, "; hits {}", named(&self.images))
    }
}

/// The first ten, and how many more there are.
pub fn named(images: &[String]) -> String {
    match images.len().saturating_sub(NAMED) {
        0 => images.join(", "),
        more => format!("{} and {more} more", images[..NAMED].join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_ten_images_and_counts_the_rest() {
        let finding =
            Finding::new(Kind::BlobMissing, "sha256:aa", "gone").hitting((0..12).map(|n| format!("a:{n}")));
        assert_eq!(finding.images.len(), 12);
        let text = finding.to_string();
        assert!(
            text.starts_with("blob-missing sha256:aa: gone; hits a:0, a:1") && text.ends_with("and 2 more")
        );
    }
}
