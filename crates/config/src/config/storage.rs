//! Where content lies, and what may be done to it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::redirect::Redirect;
use crate::config::swift::Swift;
use crate::value::choice;

/// The store and its rules.
#[derive(Clone, Debug, PartialEq)]
pub struct Storage {
    /// What holds everything.
    pub driver: Driver,
    /// What may be done to it.
    pub mode: StorageMode,
    /// Refuse every push and delete: asked for, or because the mode is [`StorageMode::Observe`].
    pub read_only: bool,
    /// Sweeping of forgotten uploads; off unless the mode is [`StorageMode::Adopted`].
    pub upload_purging: UploadPurging,
    /// Deletion through the API; off unless the mode is [`StorageMode::Adopted`].
    pub delete: Delete,
    /// Redirects of clients to the store itself; of no effect on a directory.
    pub redirect: Redirect,
    /// The cache of blob descriptors.
    pub cache: Cache,
}

impl Storage {
    /// The directory that holds everything, where one does.
    pub fn directory(&self) -> Option<&Path> {
        match &self.driver {
            Driver::Filesystem(filesystem) => Some(&filesystem.root),
            Driver::Swift(_) => None,
        }
    }

    /// The redirects that are asked for.
    pub fn redirects(&self) -> Option<&Redirect> {
        let asked = !self.redirect.disabled && !self.redirect.rules.is_empty();
        (asked && self.directory().is_none()).then_some(&self.redirect)
    }
}

/// What holds everything.
#[derive(Clone, Debug, PartialEq)]
pub enum Driver {
    /// A plain directory.
    Filesystem(Filesystem),
    /// A container of OpenStack Swift.
    Swift(Box<Swift>),
}

choice! {
    /// What may be done to the store, so that a living container can be taken over in steps.
    StorageMode {
        /// Nothing is written to it.
        Observe = "observe",
        /// Only what Distribution 2.8 finds is written, and nothing is deleted.
        Trial = "trial",
        /// Everything.
        Adopted = "adopted",
    }
}

/// A plain directory as store.
#[derive(Clone, Debug, PartialEq)]
pub struct Filesystem {
    /// The directory; `docker/registry/v2` lies below it.
    pub root: PathBuf,
}

/// Sweeping of uploads that nobody goes on with.
#[derive(Clone, Debug, PartialEq)]
pub struct UploadPurging {
    /// Whether it runs.
    pub enabled: bool,
    /// Age after which an upload is forgotten.
    pub age: Duration,
    /// Time between two sweeps.
    pub interval: Duration,
    /// Only log what would be removed.
    pub dry_run: bool,
}

/// Deletion through the API.
#[derive(Clone, Debug, PartialEq)]
pub struct Delete {
    /// Whether tags, manifests and blobs may be deleted.
    pub enabled: bool,
    /// What deleting a manifest by digest does to its tags.
    pub by_digest: DeleteByDigest,
}

choice! {
    /// What deleting a manifest by digest does when tags point to it.
    DeleteByDigest {
        /// The tags go with it (distribution-spec, "Deleting Manifests").
        UntagAll = "untag-all",
        /// It is refused until the tags are gone.
        RefuseIfTagged = "refuse-if-tagged",
    }
}

/// The cache of blob descriptors; an in-memory one is always there.
#[derive(Clone, Debug, PartialEq)]
pub struct Cache {
    /// What the file asks for.
    pub kind: CacheKind,
}

choice! {
    /// Kind of descriptor cache.
    CacheKind {
        /// In this process.
        InMemory = "inmemory",
        /// Beside it in Redis, for all instances.
        Redis = "redis",
    }
}
