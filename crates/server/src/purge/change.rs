//! What changed, as the paths and the keys that caches know it by.

use wharfinger_oci::{Digest, Reference, RepositoryName, Route, Tag};

/// Keys of answers, as `Surrogate-Key` has them, separated by blanks.
///
/// | key | on |
/// |---|---|
/// | `repository:<name>` | everything of a repository |
/// | `tag:<name>:<tag>` | a manifest by tag |
/// | `<digest>` | manifests and blobs, also by tag |
/// | `lists:<name>` | tag lists and referrers |
pub(crate) mod key {
    use wharfinger_oci::{RepositoryName, Tag};

    pub(crate) fn repository(name: &RepositoryName) -> String {
        format!("repository:{name}")
    }

    pub(crate) fn tag(name: &RepositoryName, tag: &Tag) -> String {
        format!("tag:{name}:{tag}")
    }

    pub(crate) fn lists(name: &RepositoryName) -> String {
        format!("lists:{name}")
    }
}

/// One thing to let go of.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stale {
    pub(crate) path: String,
    pub(crate) key: String,
    /// Whether it is the one before in another spelling, which a key finds by itself.
    pub(crate) respelt: bool,
}

/// What one request changed.
#[derive(Debug)]
pub(crate) struct Change {
    prefix: String,
    name: RepositoryName,
    stale: Vec<Stale>,
    removes: bool,
}

impl Change {
    /// The lists of a repository change with everything in it.
    pub(crate) fn new(prefix: &str, name: &RepositoryName) -> Change {
        let mut change =
            Change { prefix: prefix.to_owned(), name: name.clone(), stale: Vec::new(), removes: false };
        change.push(&Route::Tags(name.clone()), key::lists(name));
        change
    }

    /// A tag that moves or goes.
    pub(crate) fn tag(&mut self, tag: &Tag) {
        let route = Route::Manifest(self.name.clone(), Reference::Tag(tag.clone()));
        self.push(&route, key::tag(&self.name, tag));
    }

    /// A manifest whose referrers change.
    pub(crate) fn subject(&mut self, digest: &Digest) {
        self.push(&Route::Referrers(self.name.clone(), *digest), key::lists(&self.name));
    }

    /// A manifest that goes: the one thing beside blobs that a cache need not ask for again.
    pub(crate) fn manifest(&mut self, digest: &Digest) {
        self.removes = true;
        let route = Route::Manifest(self.name.clone(), Reference::Digest(*digest));
        self.push_digest(&route, digest);
    }

    /// A blob that goes.
    pub(crate) fn blob(&mut self, digest: &Digest) {
        self.removes = true;
        self.push_digest(&Route::Blob(self.name.clone(), *digest), digest);
    }

    /// Everything to let go of.
    pub(crate) fn stale(&self) -> &[Stale] {
        &self.stale
    }

    /// Whether something goes that caches may keep without asking.
    pub(crate) fn removes(&self) -> bool {
        self.removes
    }

    fn push(&mut self, route: &Route, key: String) {
        self.stale.push(Stale { path: format!("{}{route}", self.prefix), key, respelt: false });
    }

    /// A digest's colon may be written in two ways, which are two things to a cache that goes by paths.
    fn push_digest(&mut self, route: &Route, digest: &Digest) {
        self.push(route, digest.to_string());
        let path = format!("{}{}", self.prefix, route.to_string().replace(':', "%3A"));
        self.stale.push(Stale { path, key: digest.to_string(), respelt: true });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_names_paths_with_the_prefix_and_keys_without() {
        let name = RepositoryName::parse("team/app").unwrap();
        let digest = Digest::sha256(b"");
        let mut change = Change::new("/registry", &name);
        change.tag(&Tag::parse("v1.0").unwrap());
        assert!(!change.removes());
        change.manifest(&digest);
        change.blob(&digest);
        change.subject(&digest);
        assert!(change.removes());
        let found: Vec<_> = change.stale().iter().map(|stale| (&*stale.path, &*stale.key)).collect();
        let digest = digest.to_string();
        let path = |kind: &str, digest: &str| format!("/registry/v2/team/app/{kind}/{digest}");
        let respelt = digest.replace(':', "%3A");
        let expected = [
            ("/registry/v2/team/app/tags/list", "lists:team/app"),
            ("/registry/v2/team/app/manifests/v1.0", "tag:team/app:v1.0"),
            (&path("manifests", &digest), &digest),
            (&path("manifests", &respelt), &digest),
            (&path("blobs", &digest), &digest),
            (&path("blobs", &respelt), &digest),
            (&path("referrers", &digest), "lists:team/app"),
        ];
        assert_eq!(found, expected);
    }
}
