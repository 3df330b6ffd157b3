//! Blobs that a client may read from the store itself: only what is proved, and only whole.

use std::time::Duration;

use wharfinger_store::{NoUrl, Signed, SignedUrl, StoreErrorKind};

use super::chunk_index::CHUNK;
use super::verified::{BodyError, FrameKind};
use super::{Blob, Content, Readable};
use crate::damaged::Damage;
use crate::layout;
use crate::registry::Registry;

/// Why a blob is sent from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It was read whole, to be hashed: its bytes are here.
    Small,
    /// The disk cache has it.
    Cached,
    /// Its content was not proved yet; sending it proves it.
    Unverified,
    /// It is known to be damaged, or was found to be now.
    Damaged,
    /// The store would answer what a listing shows, which is not known to be the whole.
    Incomplete,
    /// The store makes no such URLs.
    Unsigned,
    /// The store cannot be asked.
    Unavailable,
}

impl From<NoUrl> for Kept {
    fn from(none: NoUrl) -> Kept {
        if none == NoUrl::Incomplete { Kept::Incomplete } else { Kept::Unsigned }
    }
}

impl Registry {
    /// A URL by which a client reads the blob from the store itself for `life` from now on, where its content was proved
    /// and nothing of it is missing now. As a read that begins at `at` would before its first bytes, it checks the chunk
    /// there.
    pub async fn redirect_blob(&self, blob: &Blob, at: u64, life: Duration) -> Result<SignedUrl, Kept> {
        let digest = blob.digest;
        let (object, index) = match &blob.content {
            _ if blob.age.is_some() => return Err(Kept::Unavailable),
            Content::Memory(_) => return Err(Kept::Small),
            Content::Cached(_) => return Err(Kept::Cached),
            Content::Unindexed(Readable::Remote(_)) => return Err(Kept::Unverified),
            Content::Indexed(Readable::Remote(object), index) => (object, index),
            Content::Indexed(Readable::File(_), _) | Content::Unindexed(Readable::File(_)) => {
                return Err(Kept::Unsigned);
            }
        };
        let damage = self.damage(&digest);
        let (url, meta) = match self.store().signed_url(&layout::blob_data(&digest), life).await {
            Ok(Signed::Url(url, meta)) => (url, meta),
            Ok(Signed::Not(none)) => return Err(none.into()),
            Err(error) if error.kind == StoreErrorKind::Invalid => {
                self.mark_damaged(&digest, Damage::Look, &error.source.to_string());
                return Err(Kept::Damaged);
            }
            Err(_) => return Err(Kept::Unavailable),
        };
        if meta.size != blob.size || damage.is_some_and(|damage| !damage.is_mended_by(meta.modified)) {
            return Err(Kept::Damaged);
        }
        let start = at.min(blob.size.saturating_sub(1)) / CHUNK * CHUNK;
        let chunk = start..(start + CHUNK).min(blob.size);
        let bytes = Readable::Remote(object.clone());
        let mut body = self.indexed(digest, bytes, index.clone(), chunk, FrameKind::Copied);
        match body.prepare().await {
            Ok(()) => Ok(url),
            Err(BodyError::Store { source, .. }) if source.kind != StoreErrorKind::Invalid => {
                Err(Kept::Unavailable)
            }
            Err(_) => Err(Kept::Damaged),
        }
    }
}
