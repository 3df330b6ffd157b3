//! Single reads by name, and what they mean.

use std::sync::Arc;

use bytes::Bytes;
use wharfinger_oci::manifest::MAX_MANIFEST_SIZE;
use wharfinger_oci::{Digest, Manifest, ManifestError};
use wharfinger_registry::blob::chunk_index::ChunkIndex;
use wharfinger_registry::layout;
use wharfinger_store::{Key, Piece, Store, StoreError, StoreErrorKind, Structure};

use super::{Blob, Content, Form, Link, Node, State};
use crate::prove::{Pace, Unproved, whole};

/// A link is a digest as text; anything much longer is none.
const MAX_LINK: usize = 256;

pub(crate) async fn link(store: &dyn Store, key: &Key) -> Link {
    match store.get_newest(key, MAX_LINK).await {
        Ok((bytes, _)) => {
            let text = std::str::from_utf8(&bytes).ok();
            match text.and_then(|text| Digest::parse(text.trim()).ok()) {
                Some(digest) => Link::To(digest),
                None => Link::Broken(bytes.len()),
            }
        }
        Err(error) if error.is_not_found() => Link::Missing,
        Err(error) if error.kind == StoreErrorKind::Invalid => Link::Broken(MAX_LINK),
        Err(error) => Link::Unknown(error.to_string()),
    }
}

pub(crate) async fn manifest(store: &dyn Store, digest: &Digest) -> Content {
    content(digest, store.get(&layout::blob_data(digest), MAX_MANIFEST_SIZE).await).0
}

/// What the bytes of a manifest are, as a read of them ended; with the bytes where they are those of the digest.
pub(crate) fn content(digest: &Digest, read: Result<Bytes, StoreError>) -> (Content, Option<Bytes>) {
    let bytes = match read {
        Ok(bytes) => bytes,
        Err(error) if error.is_not_found() => return (Content::Missing, None),
        Err(error) if error.kind == StoreErrorKind::Invalid => {
            return (Content::Damaged(reason(&error)), None);
        }
        Err(error) => return (Content::Unknown(error.to_string()), None),
    };
    let found = Digest::of(digest.algorithm(), &bytes);
    if found != *digest {
        return (Content::Damaged(format!("its {} bytes have the digest {found}", bytes.len())), None);
    }
    let content = match Manifest::parse_stored(&bytes) {
        Ok(manifest) => Content::Manifest(Arc::new(node(&manifest, bytes.len() as u64))),
        Err(ManifestError::Schema1) => Content::Schema1(schema1_layers(&bytes)),
        Err(error) => Content::Unreadable(error.to_string()),
    };
    (content, Some(bytes))
}

fn node(manifest: &Manifest, size: u64) -> Node {
    Node {
        kind: manifest.kind,
        size,
        blobs: manifest.required_blobs().map(|child| (child.digest, child.size)).collect(),
        manifests: manifest.manifests.iter().map(|child| child.digest).collect(),
        subject: manifest.subject.as_ref().map(|subject| subject.digest),
    }
}

pub(crate) fn schema1_layers(bytes: &[u8]) -> Vec<Digest> {
    let manifest: serde_json::Value = serde_json::from_slice(bytes).unwrap_or_default();
    let layers = manifest["fsLayers"].as_array().into_iter().flatten();
    layers.filter_map(|layer| Digest::parse(layer["blobSum"].as_str()?).ok()).collect()
}

pub(crate) async fn blob(store: &dyn Store, digest: &Digest) -> Blob {
    let key = layout::blob_data(digest);
    let of = |state| Blob { form: None, size: 0, state };
    let form = match store.inspect(&key).await {
        Ok(structure) => form(structure),
        Err(error) if error.is_not_found() => return of(State::Missing),
        Err(error) => return of(State::Unknown(error.to_string())),
    };
    let empty_header = matches!(&form, Form::Dynamic { .. });
    let (size, state) = match store.check(&key).await {
        Ok(meta) if meta.size == 0 && empty_header => {
            (0, State::Damaged("it is a dynamic large object without segments".to_owned()))
        }
        Ok(meta) => (meta.size, State::Whole { hashed: false }),
        Err(error) if error.is_not_found() => return of(State::Missing),
        Err(error) if error.kind == StoreErrorKind::Invalid => (0, State::Damaged(reason(&error))),
        Err(error) => (0, State::Unknown(error.to_string())),
    };
    Blob { form: Some(form), size, state }
}

/// Reads a blob whole; its chunk index where it is what its digest says.
pub(crate) async fn proved(store: &dyn Store, digest: &Digest, pace: &Pace) -> Result<ChunkIndex, State> {
    let key = layout::blob_data(digest);
    let hashed = match store.open(&key).await {
        Ok(object) => whole(&key, &object, digest, pace).await,
        Err(error) => Err(Unproved::Failed(error)),
    };
    hashed.map_err(|unproved| match unproved {
        Unproved::Wrong(reason) => State::Damaged(reason),
        Unproved::Failed(error) if error.is_not_found() => State::Missing,
        Unproved::Failed(error) if error.kind == StoreErrorKind::Invalid => {
            State::Damaged(error.source.to_string())
        }
        Unproved::Failed(error) => State::Unknown(error.to_string()),
    })
}

pub(crate) fn form(structure: Structure) -> Form {
    match structure {
        Structure::Plain => Form::Plain,
        Structure::Static { segments } => {
            let prefix = |piece: &Piece| piece.name.rsplit_once('/').map(|(prefix, _)| prefix.to_owned());
            let mut prefixes: Vec<String> = segments.iter().filter_map(prefix).collect();
            prefixes.dedup();
            Form::Static(prefixes)
        }
        Structure::Dynamic { container, prefix, recorded } => {
            let sum = |pieces: Vec<Piece>| {
                (pieces.len() as u64, pieces.iter().map(|piece| piece.size).sum::<u64>())
            };
            Form::Dynamic { container, prefix, recorded: recorded.map(sum) }
        }
    }
}

/// What the store says without the name of the call.
fn reason(error: &StoreError) -> String {
    error.source.to_string()
}
