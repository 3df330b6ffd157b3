//! Every name that is written, as one table.
//!
//! | name | content |
//! |---|---|
//! | `docker/registry/v2/blobs/<alg>/<first 2 hex>/<hex>/data` | bytes of a layer, config or manifest |
//! | `docker/registry/v2/repositories/<name>/_layers/<alg>/<hex>/link` | digest of the blob |
//! | `docker/registry/v2/repositories/<name>/_manifests/revisions/<alg>/<hex>/link` | digest of the manifest |
//! | `docker/registry/v2/repositories/<name>/_manifests/tags/<tag>/current/link` | digest the tag points to |
//! | `docker/registry/v2/repositories/<name>/_manifests/tags/<tag>/index/<alg>/<hex>/link` | one per digest the tag has had |
//! | `docker/registry/v2/repositories/<name>/_uploads/<uuid>/...` | uploads of Distribution; read only to purge them |
//! | `wharfinger/v1/chunks/<alg>/<first 2 hex>/<hex>` | chunk index of a blob ([`crate::blob::chunk_index`]) |
//! | `wharfinger/v1/uploads/<uuid>/session` | record of an upload session ([`crate::upload`]) |
//! | `wharfinger/v1/uploads/<uuid>/data` | its bytes so far |
//! | `wharfinger/v1/repositories/<name>/_referrers/<alg>/<subject hex>/<alg>/<hex>` | descriptor of a referrer |
//! | `wharfinger/v1/catalog/names/<name, with ! for />` | nothing: this repository exists (remote stores) |
//! | `wharfinger/v1/catalog/complete` | nothing: there is such a name for every repository |
//! | `wharfinger/v1/damaged/<alg>/<hex>` | how old the copy is that failed a check, in ns since 1970 |
//! | `wharfinger/v1/scrub` | how far the scrub is |
//! | `wharfinger/v1/audit/<day>/<time>-<uuid>` | what an operator did, JSON |
//! | `wharfinger/v1/activity/<name, with ! for />/<uuid>` | who pushed and pulled what last, as one process saw it, JSON |
//! | `wharfinger/v1/instances/<uuid>` | how a running server was doing a moment ago, JSON |
//! | `wharfinger/v1/probe/<uuid>` | what the health probe writes, reads and deletes |
//!
//! The first part is Distribution's own layout, byte for byte; the second is ours and lies beside it. A link is a
//! digest as text, without a newline.

mod place;

use wharfinger_oci::{Digest, RepositoryName, Tag};
use wharfinger_store::Key;

use crate::upload::SessionId;
pub use place::{Place, place};

const REPOSITORIES: &str = "docker/registry/v2/repositories";
const BLOBS: &str = "docker/registry/v2/blobs";
/// Prefix of everything that is ours.
pub const OURS: &str = "wharfinger/v1";

/// Bytes of a blob.
pub fn blob_data(digest: &Digest) -> Key {
    Key::new(sharded(BLOBS, digest) + "/data")
}

/// Prefix of all blobs.
pub fn blobs() -> Key {
    Key::new(BLOBS)
}

/// Chunk index of a blob.
pub fn chunk_index(digest: &Digest) -> Key {
    Key::new(sharded("wharfinger/v1/chunks", digest))
}

/// Prefix of all repositories.
pub fn repositories() -> Key {
    Key::new(REPOSITORIES)
}

/// Prefix of one repository (and of the repositories whose names go on with `/`).
pub fn repository(name: &str) -> Key {
    Key::new(format!("{REPOSITORIES}/{name}"))
}

/// Prefix of a repository's layer links.
pub fn layers(name: &RepositoryName) -> Key {
    Key::new(format!("{REPOSITORIES}/{name}/_layers"))
}

/// Link that makes a blob readable in a repository.
pub fn layer_link(name: &RepositoryName, digest: &Digest) -> Key {
    link(name, "_layers", digest)
}

/// Prefix of a repository's manifests.
pub fn manifests(name: &RepositoryName) -> Key {
    Key::new(format!("{REPOSITORIES}/{name}/_manifests"))
}

/// Link that makes a manifest readable in a repository.
pub fn revision_link(name: &RepositoryName, digest: &Digest) -> Key {
    link(name, "_manifests/revisions", digest)
}

/// Prefix of a repository's tags.
pub fn tags(name: &RepositoryName) -> Key {
    Key::new(format!("{REPOSITORIES}/{name}/_manifests/tags"))
}

/// Name of [`tag_current`] below its tag.
pub const TAG_CURRENT: &str = "current/link";

/// Link from a tag to the manifest it points to now.
pub fn tag_current(name: &RepositoryName, tag: &Tag) -> Key {
    let mut text = String::with_capacity(REPOSITORIES.len() + name.as_str().len() + tag.as_str().len() + 40);
    for part in [REPOSITORIES, "/", name.as_str(), "/_manifests/tags/", tag.as_str(), "/", TAG_CURRENT] {
        text.push_str(part);
    }
    Key::new(text)
}

/// Prefix of the links from a tag to every manifest it has pointed to.
pub fn tag_index(name: &RepositoryName, tag: &Tag) -> Key {
    Key::new(format!("{REPOSITORIES}/{name}/_manifests/tags/{tag}/index"))
}

/// One link below [`tag_index`].
pub fn tag_index_link(name: &RepositoryName, tag: &Tag, digest: &Digest) -> Key {
    let algorithm = digest.algorithm().as_str();
    tag_index(name, tag).join(&format!("{algorithm}/{}/link", digest.hex()))
}

/// Prefix of the uploads that Distribution left in a repository.
pub fn foreign_uploads(name: &RepositoryName) -> Key {
    Key::new(format!("{REPOSITORIES}/{name}/_uploads"))
}

/// Prefix of all upload sessions.
pub fn uploads() -> Key {
    Key::new(format!("{OURS}/uploads"))
}

/// Record of an upload session.
pub fn upload_session(session: &SessionId) -> Key {
    Key::new(format!("{OURS}/uploads/{session}/session"))
}

/// Bytes of an upload session.
pub fn upload_data(session: &SessionId) -> Key {
    Key::new(format!("{OURS}/uploads/{session}/data"))
}

/// Prefix of the referrers of a manifest.
pub fn referrers(name: &RepositoryName, subject: &Digest) -> Key {
    let algorithm = subject.algorithm().as_str();
    Key::new(format!("{OURS}/repositories/{name}/_referrers/{algorithm}/{}", subject.hex()))
}

/// Descriptor of one referrer.
pub fn referrer(name: &RepositoryName, subject: &Digest, referrer: &Digest) -> Key {
    referrers(name, subject).join(&format!("{}/{}", referrer.algorithm().as_str(), referrer.hex()))
}

/// Prefix of the marks of damaged blobs.
pub fn all_damaged() -> Key {
    Key::new(format!("{OURS}/damaged"))
}

/// Mark of a damaged blob.
pub fn damaged(digest: &Digest) -> Key {
    all_damaged().join(&format!("{}/{}", digest.algorithm().as_str(), digest.hex()))
}

/// Prefix of the names of repositories.
pub fn catalog_names() -> Key {
    Key::new(format!("{OURS}/catalog/names"))
}

/// A repository's name below [`catalog_names`]: `!` sorts before everything that a name may hold, as `/` does in the
/// order of the catalog.
pub fn catalog_name(name: &str) -> String {
    name.replace('/', "!")
}

/// The repository of a [`catalog_name`].
pub fn catalog_repository(name: &str) -> String {
    name.replace('!', "/")
}

/// Says that the names of all repositories were written.
pub fn catalog_complete() -> Key {
    Key::new(format!("{OURS}/catalog/complete"))
}

/// How far the scrub is.
pub fn scrub() -> Key {
    Key::new(format!("{OURS}/scrub"))
}

/// Prefix of what operators did.
pub fn audit() -> Key {
    Key::new(format!("{OURS}/audit"))
}

/// What an operator did at a day (`2026-11-29`) and time (`210614.123456`), of UTC. Names sort by time.
pub fn audit_entry(day: &str, time: &str, id: &uuid::Uuid) -> Key {
    audit().join(&format!("{day}/{time}-{id}"))
}

/// Prefix of the records of who pushed and pulled in a repository.
pub fn activity(name: &RepositoryName) -> Key {
    Key::new(format!("{OURS}/activity/{}", catalog_name(name.as_str())))
}

/// Such a record, as one process writes it.
pub fn activity_record(name: &RepositoryName, writer: &uuid::Uuid) -> Key {
    activity(name).join(&writer.to_string())
}

/// Prefix of the records of running servers.
pub fn instances() -> Key {
    Key::new(format!("{OURS}/instances"))
}

/// Record of a running server.
pub fn instance(id: &uuid::Uuid) -> Key {
    instances().join(&id.to_string())
}

/// An object of the health probe.
pub fn probe(id: &uuid::Uuid) -> Key {
    Key::new(format!("{OURS}/probe/{id}"))
}

fn sharded(prefix: &str, digest: &Digest) -> String {
    let mut text = String::with_capacity(prefix.len() + 150);
    text.push_str(prefix);
    text.push('/');
    text.push_str(digest.algorithm().as_str());
    text.push('/');
    let shard = text.len();
    digest.push_hex(&mut text);
    let first_two: String = text[shard..shard + 2].to_owned() + "/";
    text.insert_str(shard, &first_two);
    text
}

fn link(name: &RepositoryName, below: &str, digest: &Digest) -> Key {
    let mut text = String::with_capacity(REPOSITORIES.len() + name.as_str().len() + below.len() + 150);
    for part in [REPOSITORIES, "/", name.as_str(), "/", below, "/", digest.algorithm().as_str(), "/"] {
        text.push_str(part);
    }
    digest.push_hex(&mut text);
    text.push_str("/link");
    Key::new(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const D: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn names_are_those_of_distribution() {
        let (name, digest) = (RepositoryName::parse("library/ubuntu").unwrap(), Digest::parse(D).unwrap());
        let hex = digest.hex();
        assert_eq!(blob_data(&digest).as_str(), format!("docker/registry/v2/blobs/sha256/e3/{hex}/data"));
        let repository = "docker/registry/v2/repositories/library/ubuntu";
        assert_eq!(layer_link(&name, &digest).as_str(), format!("{repository}/_layers/sha256/{hex}/link"));
        assert_eq!(
            revision_link(&name, &digest).as_str(),
            format!("{repository}/_manifests/revisions/sha256/{hex}/link")
        );
        let tag = Tag::parse("latest").unwrap();
        assert_eq!(
            tag_current(&name, &tag).as_str(),
            format!("{repository}/_manifests/tags/latest/current/link")
        );
        assert_eq!(
            tag_index_link(&name, &tag, &digest).as_str(),
            format!("{repository}/_manifests/tags/latest/index/sha256/{hex}/link")
        );
    }
}
