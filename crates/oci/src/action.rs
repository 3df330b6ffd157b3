//! What a request asks to be allowed to do.

/// An action on a repository (or on the registry as a whole), as token scopes name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// Read manifests, blobs, tags and referrers.
    Pull,
    /// Write manifests and blobs.
    Push,
    /// Remove tags, manifests and blobs.
    Delete,
    /// List the repositories of the whole registry.
    Catalog,
}

impl Action {
    /// The word that stands in token scopes and in the policy table.
    pub fn as_str(self) -> &'static str {
        match self {
            Action::Pull => "pull",
            Action::Push => "push",
            Action::Delete => "delete",
            Action::Catalog => "*",
        }
    }
}
