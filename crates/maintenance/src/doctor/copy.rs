//! What one store has of an object: links, bytes and segments by name.

use std::time::SystemTime;

use bytes::Bytes;
use wharfinger_oci::manifest::MAX_MANIFEST_SIZE;
use wharfinger_oci::{Algorithm, Digest, Tag};
use wharfinger_registry::blob::chunk_index::ChunkIndex;
use wharfinger_registry::layout;
use wharfinger_store::{Entry, Key, List, Store, StoreErrorKind};

use super::{Answer, Object};
use crate::Pace;
use crate::graph::read;
use crate::graph::{Blob, Content, Form, Link, State};
use crate::prove::hash_and_tell;

/// How to look.
#[derive(Clone, Copy)]
pub(super) struct How<'a> {
    /// Whether to read blobs whole.
    pub(super) deep: bool,
    /// Whether this is to confirm what looked wrong: then all copies are asked for the newest.
    pub(super) confirm: bool,
    pub(super) pace: &'a Pace,
    /// Hears of bytes that were read.
    pub(super) tell: &'a (dyn Fn(u64) + Sync),
}

/// What was found.
#[derive(Clone, Debug)]
pub(super) struct Copy {
    pub(super) answer: Answer,
    /// What goes on behind "the store's copy of it ...".
    pub(super) text: String,
    /// There is nothing of it, and nothing says that there has to be.
    pub(super) absent: bool,
    /// What is wrong is the link to it.
    pub(super) unlinked: bool,
    /// Where a tag points.
    pub(super) target: Option<Digest>,
    pub(super) size: Option<u64>,
    /// The bytes of a manifest, where they are those of its digest.
    pub(super) bytes: Option<Bytes>,
    /// Whether the bytes were read and have the digest.
    pub(super) proved: bool,
    /// When what is there was written.
    pub(super) modified: Option<SystemTime>,
    /// What the chunk index says, where there is one.
    pub(super) index: Option<(Answer, String)>,
}

impl Copy {
    fn of(answer: Answer, text: impl Into<String>) -> Copy {
        Copy {
            answer,
            text: text.into(),
            absent: false,
            unlinked: false,
            target: None,
            size: None,
            bytes: None,
            proved: false,
            modified: None,
            index: None,
        }
    }

    fn wrong(text: impl Into<String>) -> Copy {
        Copy::of(Answer::Wrong, text)
    }

    fn unknown(text: impl Into<String>) -> Copy {
        Copy::of(Answer::Unknown, text)
    }

    fn absent(text: impl Into<String>) -> Copy {
        Copy { absent: true, ..Copy::unknown(text) }
    }
}

/// Looks at an object. Reads alone.
pub(super) async fn look(store: &dyn Store, object: &Object, how: How<'_>) -> Copy {
    use wharfinger_oci::Reference;
    match &object.reference {
        Reference::Tag(tag) => look_at_tag(store, object, tag).await,
        Reference::Digest(digest) if object.is_blob() => look_at_blob(store, object, digest, how).await,
        Reference::Digest(digest) => look_at_manifest(store, object, digest, how).await,
    }
}

async fn look_at_tag(store: &dyn Store, object: &Object, tag: &Tag) -> Copy {
    let key = layout::tag_current(&object.repository, tag);
    match read::link(store, &key).await {
        Link::To(digest) => {
            let modified = store.head(&key).await.ok().and_then(|meta| meta.modified);
            let text = format!("points to {digest}");
            Copy { target: Some(digest), modified, ..Copy::of(Answer::Right, text) }
        }
        Link::Missing if is_listed(store, &key).await => {
            Copy::wrong("is lost: a listing shows the link, and by name it is not there")
        }
        Link::Missing => Copy::absent("there is no such tag"),
        Link::Broken(length) => Copy::wrong(broken(length)),
        Link::Unknown(error) => Copy::unknown(error),
    }
}

fn broken(length: usize) -> String {
    match length {
        0 => "is empty".to_owned(),
        length => format!("holds no digest: it has {length} bytes"),
    }
}

/// Whether a listing shows a link that is not there by name.
async fn is_listed(store: &dyn Store, link: &Key) -> bool {
    let Some((parent, name)) = link.as_str().rsplit_once('/') else { return false };
    let options = List { shallow: true, after: None, limit: 10 };
    let page = store.list(&Key::new(parent), options).await;
    page.is_ok_and(|page| page.entries.contains(&Entry::Object(name.to_owned())))
}

/// What is wrong with the link that a repository must have to something.
async fn link_fault(store: &dyn Store, what: &str, key: &Key, digest: &Digest) -> Result<Digest, Copy> {
    let wrong = |text: String| Copy { unlinked: true, ..Copy::wrong(text) };
    match read::link(store, key).await {
        Link::To(target) if target == *digest || digest.algorithm() != Algorithm::Sha256 => Ok(target),
        Link::To(target) => Err(wrong(format!("has a {what} link to another digest, {target}"))),
        Link::Broken(length) => Err(wrong(format!("has a {what} link that {}", broken(length)))),
        Link::Missing => {
            let text = format!("is not linked in the repository: it has no {what} link");
            Err(Copy { absent: true, ..wrong(text) })
        }
        Link::Unknown(error) => Err(Copy::unknown(error)),
    }
}

async fn look_at_manifest(store: &dyn Store, object: &Object, digest: &Digest, how: How<'_>) -> Copy {
    let key = layout::revision_link(&object.repository, digest);
    let mut linked = link_fault(store, "revision", &key, digest).await;
    if let Err(fault) = &mut linked
        && fault.absent
    {
        if !object.required && !is_listed(store, &key).await {
            return Copy::absent("there is no such manifest in the repository");
        }
        fault.absent = false;
    }
    let unlinked = matches!(&linked, Err(fault) if fault.answer == Answer::Wrong);
    let data = layout::blob_data(digest);
    let read = match how.confirm {
        true => store.get_newest(&data, MAX_MANIFEST_SIZE).await.map(|(bytes, _)| bytes),
        false => store.get(&data, MAX_MANIFEST_SIZE).await,
    };
    let (content, bytes) = read::content(digest, read);
    let size = bytes.as_ref().map(|bytes| bytes.len() as u64);
    let mut copy = match content {
        Content::Manifest(_) | Content::Schema1(_) => {
            Copy { proved: true, ..Copy::of(Answer::Right, "digest proved") }
        }
        Content::Missing if unlinked && !object.must_be_here => {
            return Copy::of(Answer::Nothing, "not here, where the configuration lets an index name it");
        }
        Content::Missing => Copy::wrong("is not there"),
        Content::Damaged(reason) => Copy::wrong(format!("has other bytes: {reason}")),
        Content::Unreadable(reason) => {
            Copy::wrong(format!("is no manifest that any registry serves: {reason}"))
        }
        Content::Unknown(error) => Copy::unknown(error),
    };
    if let (Answer::Right, Err(fault)) = (copy.answer, linked) {
        copy = fault;
    }
    if copy.answer == Answer::Wrong {
        copy.modified = store.head(&data).await.ok().and_then(|meta| meta.modified);
    }
    Copy { size, bytes, ..copy }
}

async fn look_at_blob(store: &dyn Store, object: &Object, digest: &Digest, how: How<'_>) -> Copy {
    let key = layout::layer_link(&object.repository, digest);
    let linked = link_fault(store, "layer", &key, digest).await;
    let target = linked.as_ref().map_or(*digest, |target| *target);
    let blob = read::blob(store, &target).await;
    let mut copy = by_look(&blob, object.size);
    if copy.answer == Answer::Right && how.deep {
        copy = by_hash(store, &target, copy, how).await;
    } else if copy.answer == Answer::Right {
        copy.index = look_at_index(store, &target, blob.size, None).await;
    }
    if let (Answer::Right, Err(fault)) = (copy.answer, linked) {
        let index = copy.index.take();
        copy = Copy { absent: false, index, proved: copy.proved, size: copy.size, ..fault };
    }
    if copy.answer == Answer::Wrong {
        let data = layout::blob_data(&target);
        copy.modified = store.head(&data).await.ok().and_then(|meta| meta.modified);
    }
    copy
}

/// Judges a blob by its object and segments, and by the length that the manifest says.
fn by_look(blob: &Blob, expected: Option<u64>) -> Copy {
    let size = Some(blob.size);
    let form = blob.form.as_ref().map_or("", form);
    match &blob.state {
        State::Missing => Copy::wrong("is not there"),
        State::Damaged(reason) => Copy::wrong(format!("is not whole: {reason}")),
        State::Unknown(error) => Copy::unknown(error.as_str()),
        State::Whole { .. } => match expected {
            Some(expected) if expected != blob.size => {
                let (how, has) = (if blob.size < expected { "short" } else { "too long" }, blob.size);
                Copy {
                    size,
                    ..Copy::wrong(format!("is {how}: it has {has} bytes, the manifest says {expected}"))
                }
            }
            _ => Copy { size, ..Copy::of(Answer::Right, format!("whole{form}")) },
        },
    }
}

fn form(form: &Form) -> &'static str {
    match form {
        Form::Plain => "",
        Form::Static(_) => ", static large object",
        Form::Dynamic { recorded: Some(_), .. } => ", dynamic large object",
        Form::Dynamic { recorded: None, .. } => ", dynamic large object without a list of its segments",
    }
}

async fn by_hash(store: &dyn Store, digest: &Digest, seen: Copy, how: How<'_>) -> Copy {
    let key = layout::blob_data(digest);
    let hashed = match store.open(&key).await {
        Ok(object) => hash_and_tell(&key, &object, digest.algorithm(), how.pace, how.tell).await,
        Err(error) => Err(error),
    };
    match hashed {
        Ok((found, computed)) if found == *digest => {
            let index = look_at_index(store, digest, computed.size(), Some(&computed)).await;
            let text = format!("{}, digest proved", seen.text);
            Copy { text, proved: true, index, ..seen }
        }
        Ok((found, index)) => {
            let text = format!("has other bytes: its {} bytes have the digest {found}", index.size());
            Copy { size: seen.size, ..Copy::wrong(text) }
        }
        Err(error) if error.is_not_found() => Copy::wrong("is not there"),
        Err(error) if error.kind == StoreErrorKind::Invalid => {
            Copy { size: seen.size, ..Copy::wrong(format!("is not whole: {}", error.source)) }
        }
        Err(error) => Copy::unknown(error.to_string()),
    }
}

/// Holds the chunk index against the blob; none where there is none, or none that is read.
async fn look_at_index(
    store: &dyn Store,
    digest: &Digest,
    size: u64,
    computed: Option<&ChunkIndex>,
) -> Option<(Answer, String)> {
    let limit = ChunkIndex::encoded_size(size).max(ChunkIndex::encoded_size(0)) + 1;
    match store.get_newest(&layout::chunk_index(digest), limit).await {
        Ok((bytes, _)) => {
            let index = ChunkIndex::decode(&bytes)?;
            if index.size() != size {
                let text = format!("is for {} bytes, the blob has {size}", index.size());
                return Some((Answer::Wrong, text));
            }
            match computed {
                Some(computed) if *computed != index => Some((
                    Answer::Wrong,
                    "has other checksums than the bytes, whose digest is right".to_owned(),
                )),
                Some(_) => Some((Answer::Right, "every checksum is right".to_owned())),
                None => Some((Answer::Right, "for as many bytes".to_owned())),
            }
        }
        Err(error) if error.is_not_found() => None,
        Err(error) if error.kind == StoreErrorKind::Invalid => {
            Some((Answer::Wrong, format!("is for another blob: {}", error.source)))
        }
        Err(error) => Some((Answer::Unknown, error.to_string())),
    }
}
