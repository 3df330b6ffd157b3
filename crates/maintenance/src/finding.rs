//! What is wrong, and whom it hits.

use std::fmt;

use serde::Serialize;

/// Images named with one finding.
const NAMED: usize = 10;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A link is empty or holds no digest.
    LinkBroken,
    /// A listing shows a link that cannot be read.
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
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
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
    /// Images that cannot be pulled for it: `repository:tag`, or `repository@digest` where no tag leads there. At most
    /// ten; none where nothing refers to it.
    pub images: Vec<String>,
    /// How many images there are.
    pub image_count: usize,
}

impl Finding {
    /// A finding that hits these images.
    pub(crate) fn new(kind: Kind, what: impl fmt::Display, reason: impl fmt::Display) -> Finding {
        let (what, reason) = (what.to_string(), reason.to_string());
        Finding { kind, repository: None, what, reason, images: Vec::new(), image_count: 0 }
    }

    pub(crate) fn within(mut self, repository: impl fmt::Display) -> Finding {
        self.repository = Some(repository.to_string());
        self
    }

    pub(crate) fn hitting(mut self, images: impl IntoIterator<Item = String>) -> Finding {
        for image in images {
            self.image_count += 1;
            if self.images.len() < NAMED {
                self.images.push(image);
            }
        }
        self
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
        write!(f, "; hits {}", self.images.join(", "))?;
        match self.image_count - self.images.len() {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_names_ten_images_and_counts_the_rest() {
        let finding =
            Finding::new(Kind::BlobMissing, "sha256:aa", "gone").hitting((0..12).map(|n| format!("a:{n}")));
        assert_eq!((finding.images.len(), finding.image_count), (10, 12));
        let text = finding.to_string();
        assert!(
            text.starts_with("blob-missing sha256:aa: gone; hits a:0, a:1") && text.ends_with("and 2 more")
        );
    }
}
