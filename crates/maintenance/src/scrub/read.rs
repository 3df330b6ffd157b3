//! One blob: read, compared with its digest, and what follows from that.

use std::time::{Duration, SystemTime};

use tokio::time::sleep;
use wharfinger_oci::Digest;
use wharfinger_registry::{Registry, layout};
use wharfinger_store::{ObjectData, StoreError, StoreErrorKind};

use super::Outcome;
use crate::Pace;
use crate::prove::{Unproved, complete, whole};

/// Before what seems damaged, or could not be read, is read again.
const AGAIN: Duration = Duration::from_secs(5);
/// How often it is read in all.
const TIMES: usize = 2;

/// What reading a blob once told.
enum Read {
    Good {
        size: u64,
        derived: bool,
    },
    /// Its bytes are wrong, short or missing in the copy of that age.
    Wrong {
        size: u64,
        reason: String,
        modified: Option<SystemTime>,
    },
    Unknown(String),
    Gone,
}

/// Reads a blob, again where that is needed, and makes known what is found. With its bytes.
pub(super) async fn read(registry: &Registry, digest: &Digest, pace: &Pace, writes: bool) -> (Outcome, u64) {
    let mut found = once(registry, digest, pace, writes).await;
    for _ in 1..TIMES {
        if matches!(found, Read::Wrong { .. } | Read::Unknown(_)) {
            sleep(AGAIN).await;
            found = match (found, once(registry, digest, pace, writes).await) {
                // Swift sets aside what it read and found wrong itself, and we delete no bytes.
                (Read::Wrong { size, modified, reason }, Read::Gone) => {
                    registry.mark_wrong(digest, modified, &format!("{reason}; it cannot be read any more"));
                    return (Outcome::Damaged, size);
                }
                (_, found) => found,
            }
        }
    }
    match found {
        Read::Good { size, derived } => {
            registry.mark_whole(digest);
            (if derived { Outcome::Derived } else { Outcome::Good }, size)
        }
        Read::Wrong { size, reason, modified } => match newest(registry, digest, modified).await {
            Ok(Some(modified)) => {
                registry.mark_wrong(digest, modified, &reason);
                (Outcome::Damaged, size)
            }
            Ok(None) => (Outcome::Gone, 0),
            Err(error) => unreadable(digest, &error),
        },
        Read::Unknown(error) => unreadable(digest, &error),
        Read::Gone => (Outcome::Gone, 0),
    }
}

fn unreadable(digest: &Digest, error: &str) -> (Outcome, u64) {
    tracing::info!(%digest, error, "a blob could not be read; the scrub goes on");
    (Outcome::Unreadable, 0)
}

async fn once(registry: &Registry, digest: &Digest, pace: &Pace, writes: bool) -> Read {
    let key = layout::blob_data(digest);
    let object = match registry.store().open(&key).await {
        Ok(object) => object,
        Err(error) => return failed(&error, 0, None),
    };
    let modified = match &object.data {
        ObjectData::Remote(remote) => remote.modified(),
        ObjectData::Bytes(_) | ObjectData::File(_) => None,
    };
    let size = object.size;
    let index = match whole(&key, &object, digest, pace).await {
        Ok(index) => index,
        Err(Unproved::Wrong(reason)) => return Read::Wrong { size, reason, modified },
        Err(Unproved::Failed(error)) => return failed(&error, size, modified),
    };
    if !writes {
        return Read::Good { size, derived: false };
    }
    match complete(registry, digest, index, &object).await {
        Ok(derived) => Read::Good { size, derived },
        Err(error) => {
            tracing::debug!(%digest, %error, "what proves the parts of a blob could not be written");
            Read::Good { size, derived: false }
        }
    }
}

fn failed(error: &StoreError, size: u64, modified: Option<SystemTime>) -> Read {
    match error.kind {
        StoreErrorKind::NotFound => Read::Gone,
        StoreErrorKind::Invalid => Read::Wrong { size, reason: error.source.to_string(), modified },
        StoreErrorKind::Full | StoreErrorKind::Denied | StoreErrorKind::Unavailable => {
            Read::Unknown(error.to_string())
        }
    }
}

/// Whether what was read is what was written last, and when that was. None where it was deleted meanwhile.
async fn newest(
    registry: &Registry,
    digest: &Digest,
    read: Option<SystemTime>,
) -> Result<Option<Option<SystemTime>>, String> {
    let found = match registry.store().head(&layout::blob_data(digest)).await {
        Ok(found) => found,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    match (read, found.modified) {
        (Some(read), Some(newest)) if read != newest => {
            Err("another copy of it was written since, and is not read yet".to_owned())
        }
        _ => Ok(Some(found.modified)),
    }
}
