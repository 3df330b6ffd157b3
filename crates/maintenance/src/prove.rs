//! Reading whole blobs to compute their digest, no faster than is allowed.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};
use wharfinger_oci::{Algorithm, Digest, Hasher};
use wharfinger_registry::blob::chunk_index::{ChunkIndex, ChunkIndexer};
use wharfinger_registry::{Registry, layout};
use wharfinger_store::{
    Key, LocalFile, Object, ObjectData, Operation, StoreError, StoreErrorKind, Structure,
};

/// Bytes of a file that are read at a time.
const BLOCK: usize = 1024 * 1024;

/// How many bytes a second are read, by all together.
#[derive(Debug)]
pub struct Pace {
    rate: Option<u64>,
    next: Mutex<Instant>,
}

impl Pace {
    /// `rate` in bytes a second; `None` for as fast as it goes.
    pub fn new(rate: Option<u64>) -> Pace {
        Pace { rate: rate.filter(|rate| *rate > 0), next: Mutex::new(Instant::now()) }
    }

    /// Waits until these bytes may be read.
    pub async fn spend(&self, bytes: u64) {
        let Some(rate) = self.rate else { return };
        let start = {
            let mut next = self.next.lock();
            let start = (*next).max(Instant::now());
            *next = start + Duration::from_secs_f64(bytes as f64 / rate as f64);
            start
        };
        sleep_until(start).await;
    }
}

/// Reads an object whole; answers its digest and the checksums of its chunks.
///
/// # Errors
/// It could not be read; [`StoreErrorKind::Invalid`] where it is not whole.
pub async fn hash(
    key: &Key,
    object: &Object,
    algorithm: Algorithm,
    pace: &Pace,
) -> Result<(Digest, ChunkIndex), StoreError> {
    hash_and_tell(key, object, algorithm, pace, &|_| {}).await
}

/// As [`hash`]; `tell` hears of the bytes as they are read.
pub(crate) async fn hash_and_tell(
    key: &Key,
    object: &Object,
    algorithm: Algorithm,
    pace: &Pace,
    tell: &(dyn Fn(u64) + Sync),
) -> Result<(Digest, ChunkIndex), StoreError> {
    let (mut hasher, mut indexer) = (Hasher::new(algorithm), ChunkIndexer::new());
    match &object.data {
        ObjectData::Bytes(bytes) => {
            hasher.update(bytes);
            indexer.update(bytes);
            pace.spend(bytes.len() as u64).await;
        }
        ObjectData::File(file) => return hash_file(key, file, hasher, indexer, pace, tell).await,
        ObjectData::Remote(remote) => {
            let mut reader = remote.read(0..object.size).await?;
            while let Some(piece) = reader.next().await? {
                hasher.update(&piece);
                indexer.update(&piece);
                tell(piece.len() as u64);
                pace.spend(piece.len() as u64).await;
            }
        }
    }
    Ok((hasher.finish(), indexer.finish()))
}

async fn hash_file(
    key: &Key,
    file: &Arc<LocalFile>,
    mut hasher: Hasher,
    mut indexer: ChunkIndexer,
    pace: &Pace,
    tell: &(dyn Fn(u64) + Sync),
) -> Result<(Digest, ChunkIndex), StoreError> {
    let (mut at, mut buffer) = (0, Vec::new());
    while at < file.size() {
        let length = usize::try_from(file.size() - at).unwrap_or(BLOCK).min(BLOCK);
        let file = file.clone();
        let block = move || {
            buffer.resize(length, 0);
            file.read_exact_at(&mut buffer, at)?;
            hasher.update(&buffer);
            indexer.update(&buffer);
            Ok((hasher, indexer, buffer))
        };
        let read: std::io::Result<_> = match tokio::task::spawn_blocking(block).await {
            Ok(read) => read,
            Err(panic) => {
                return Err(StoreError::new(StoreErrorKind::Unavailable, Operation::Read, key, panic));
            }
        };
        (hasher, indexer, buffer) = read.map_err(|error| StoreError::io(Operation::Read, key, error))?;
        at += length as u64;
        tell(length as u64);
        pace.spend(length as u64).await;
    }
    Ok((hasher.finish(), indexer.finish()))
}

/// Why a blob is not proved.
pub(crate) enum Unproved {
    /// It was read, and its digest is another one: the reason says which.
    Wrong(String),
    /// It could not be read whole.
    Failed(StoreError),
}

/// Reads a blob whole and compares it with its digest.
pub(crate) async fn whole(
    key: &Key,
    object: &Object,
    digest: &Digest,
    pace: &Pace,
) -> Result<ChunkIndex, Unproved> {
    let (found, index) = hash(key, object, digest.algorithm(), pace).await.map_err(Unproved::Failed)?;
    if found == *digest {
        return Ok(index);
    }
    Err(Unproved::Wrong(format!("its {} bytes have the digest {found}", index.size())))
}

/// Whether a dynamic large object lacks the exact list of its segments.
pub(crate) async fn is_unlisted(registry: &Registry, digest: &Digest) -> Result<bool, StoreError> {
    let structure = registry.store().inspect(&layout::blob_data(digest)).await?;
    Ok(matches!(structure, Structure::Dynamic { recorded: None, .. }))
}

/// Writes what proves the parts of a blob that was proved as a whole, where it is missing or wrong. Says whether it was.
pub(crate) async fn complete(
    registry: &Registry,
    digest: &Digest,
    index: ChunkIndex,
    object: &Object,
) -> wharfinger_registry::Result<bool> {
    let indexed = registry.needs_no_index(object.size) || registry.is_indexed_as(digest, &index).await?;
    if indexed && !is_unlisted(registry, digest).await? {
        return Ok(false);
    }
    registry.keep_proof(digest, index, &object.data).await?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn bytes_are_spread_over_time() {
        let (pace, start) = (Pace::new(Some(1000)), Instant::now());
        for _ in 0..5 {
            pace.spend(500).await;
        }
        assert_eq!(start.elapsed().as_secs(), 2, "2000 bytes before the last 500");
        let free = Pace::new(None);
        free.spend(u64::MAX).await;
        assert_eq!(start.elapsed().as_secs(), 2);
    }
}
