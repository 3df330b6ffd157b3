//! The table the other way: what a name says.

use wharfinger_oci::{Algorithm, Digest, RepositoryName, Tag};

use super::{BLOBS, OURS, REPOSITORIES};
use crate::upload::SessionId;

/// What lies at a name of the layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Bytes of a blob.
    Blob(Digest),
    /// Link that makes a blob readable in a repository.
    LayerLink(RepositoryName, Digest),
    /// Link that makes a manifest readable in a repository.
    RevisionLink(RepositoryName, Digest),
    /// Link to the signature of a schema1 manifest; written up to Distribution 2.4, read by nobody.
    SignatureLink(RepositoryName),
    /// Link from a tag to the manifest that it points to.
    TagCurrent(RepositoryName, Tag),
    /// Link from a tag to a manifest that it pointed to once.
    TagIndex(RepositoryName, Tag, Digest),
    /// A part of an upload of Distribution: its id, and `data`, `startedat` or a state of its hash.
    ForeignUpload(RepositoryName, String, String),
    /// Chunk index of a blob.
    ChunkIndex(Digest),
    /// Record of an upload session of ours.
    Session(SessionId),
    /// Descriptor of a referrer.
    Referrer(RepositoryName, Digest),
    /// What an operator did.
    Audit,
    /// Record of a running server.
    Instance(uuid::Uuid),
    /// Anything else that is ours.
    Ours,
}

/// What the object with this key is; `None` where the layout has no such name.
pub fn place(key: &str) -> Option<Place> {
    if let Some(rest) = below(key, BLOBS) {
        return sharded(rest.strip_suffix("/data")?).map(Place::Blob);
    }
    if let Some(rest) = below(key, REPOSITORIES) {
        return in_repository(rest);
    }
    if !key.starts_with("wharfinger/") {
        return None;
    }
    Some(below(key, OURS).and_then(ours).unwrap_or(Place::Ours))
}

fn below<'a>(key: &'a str, prefix: &str) -> Option<&'a str> {
    key.strip_prefix(prefix)?.strip_prefix('/')
}

/// `<alg>/<first 2 hex>/<hex>`.
fn sharded(rest: &str) -> Option<Digest> {
    let (algorithm, rest) = rest.split_once('/')?;
    let (shard, hex) = rest.split_once('/')?;
    let digest = digest_of(algorithm, hex)?;
    hex.starts_with(shard).then_some(digest).filter(|_| shard.len() == 2)
}

fn digest_of(algorithm: &str, hex: &str) -> Option<Digest> {
    Digest::from_hex(Algorithm::parse(algorithm)?, hex).ok()
}

/// `<alg>/<hex>/link`.
fn linked(rest: &str) -> Option<Digest> {
    let (algorithm, hex) = rest.strip_suffix("/link")?.split_once('/')?;
    digest_of(algorithm, hex)
}

fn in_repository(rest: &str) -> Option<Place> {
    // Components of a repository's name never begin with an underscore.
    let (name, rest) = rest.split_once("/_")?;
    let name = RepositoryName::parse(name).ok()?;
    if let Some(rest) = rest.strip_prefix("layers/") {
        return linked(rest).map(|digest| Place::LayerLink(name, digest));
    }
    if let Some(rest) = rest.strip_prefix("manifests/revisions/") {
        if let Some((revision, signature)) = rest.split_once("/signatures/") {
            let (algorithm, hex) = revision.split_once('/')?;
            digest_of(algorithm, hex)?;
            return linked(signature).map(|_| Place::SignatureLink(name));
        }
        return linked(rest).map(|digest| Place::RevisionLink(name, digest));
    }
    if let Some(rest) = rest.strip_prefix("manifests/tags/") {
        let (tag, rest) = rest.split_once('/')?;
        let tag = Tag::parse(tag).ok()?;
        if rest == super::TAG_CURRENT {
            return Some(Place::TagCurrent(name, tag));
        }
        return linked(rest.strip_prefix("index/")?).map(|digest| Place::TagIndex(name, tag, digest));
    }
    let (upload, part) = rest.strip_prefix("uploads/")?.split_once('/')?;
    Some(Place::ForeignUpload(name, upload.to_owned(), part.to_owned()))
}

fn ours(rest: &str) -> Option<Place> {
    if let Some(rest) = rest.strip_prefix("chunks/") {
        return sharded(rest).map(Place::ChunkIndex);
    }
    if let Some(rest) = rest.strip_prefix("uploads/") {
        return SessionId::parse(rest.strip_suffix("/session")?).map(Place::Session);
    }
    if let Some(rest) = rest.strip_prefix("audit/") {
        return rest.contains('/').then_some(Place::Audit);
    }
    if let Some(rest) = rest.strip_prefix("instances/") {
        return uuid::Uuid::parse_str(rest).ok().map(Place::Instance);
    }
    let (name, rest) = rest.strip_prefix("repositories/")?.split_once("/_referrers/")?;
    let name = RepositoryName::parse(name).ok()?;
    let mut parts = rest.rsplitn(3, '/');
    let (hex, algorithm) = (parts.next()?, parts.next()?);
    digest_of(algorithm, hex).map(|digest| Place::Referrer(name, digest))
}

#[cfg(test)]
mod tests {
    use super::super::*;
    use super::*;

    #[test]
    fn every_name_of_the_table_says_what_it_is() {
        let name = RepositoryName::parse("library/ubuntu").unwrap();
        let tag = Tag::parse("v1.0").unwrap();
        let session = SessionId::random();
        let id = uuid::Uuid::new_v4();
        for digest in [Digest::sha256(b"x"), Digest::of(Algorithm::Sha512, b"x")] {
            let (n, t) = (|| name.clone(), || tag.clone());
            for (key, expected) in [
                (blob_data(&digest), Place::Blob(digest)),
                (layer_link(&name, &digest), Place::LayerLink(n(), digest)),
                (revision_link(&name, &digest), Place::RevisionLink(n(), digest)),
                (tag_current(&name, &tag), Place::TagCurrent(n(), t())),
                (tag_index_link(&name, &tag, &digest), Place::TagIndex(n(), t(), digest)),
                (chunk_index(&digest), Place::ChunkIndex(digest)),
                (upload_session(&session), Place::Session(session)),
                (upload_data(&session), Place::Ours),
                (audit_entry("2026-11-29", "210614.123456", &id), Place::Audit),
                (instance(&id), Place::Instance(id)),
                (referrer(&name, &Digest::sha256(b"s"), &digest), Place::Referrer(n(), digest)),
                (
                    foreign_uploads(&name).join("1-2/hashstates/sha256/0"),
                    Place::ForeignUpload(n(), "1-2".into(), "hashstates/sha256/0".into()),
                ),
            ] {
                assert_eq!(place(key.as_str()), Some(expected), "{key}");
            }
        }
    }

    #[test]
    fn other_names_are_not_taken_for_ours() {
        let hex = Digest::sha256(b"x").hex();
        for other in [
            "docker/registry/v2/blobs/sha256/zz/data".to_owned(),
            format!("docker/registry/v2/blobs/sha256/00/{hex}/data"),
            format!("docker/registry/v2/blobs/md5/{}/{hex}/data", &hex[..2]),
            format!("docker/registry/v2/repositories/UPPER/_layers/sha256/{hex}/link"),
            format!("docker/registry/v2/repositories/a/_layers/sha256/{hex}/other"),
            "docker/registry/v2/repositories/a/_manifests/tags/v1/other".to_owned(),
            "scheduler-state.json".to_owned(),
            "wharfinger".to_owned(),
        ] {
            assert_eq!(place(&other), None, "{other}");
        }
    }
}
