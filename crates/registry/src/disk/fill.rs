//! One fetch of a blob into the cache, however many wait for it. It belongs to none of them: a reader that is slow or
//! goes away holds up nobody.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;
use wharfinger_oci::Digest;
use wharfinger_store::{LocalFile, ObjectData, Remote, Staged, StoreError};

use super::whole::Whole;
use super::{Copy, DiskCache};
use crate::blob::chunk_index::ChunkIndex;
use crate::blob::verified::BodyError;
use crate::registry::Registry;

/// Fetches at a time; each holds a few pieces in memory, and one of the connections to the store. Who comes while there are
/// as many reads past the cache, each for himself: a herd on several images should not.
const AT_A_TIME: usize = 32;

/// The fetches that are under way.
#[derive(Default)]
pub(crate) struct Fills {
    running: Mutex<HashMap<Digest, Arc<Fill>>>,
}

/// A fetch.
pub(crate) struct Fill {
    pub(crate) size: u64,
    /// What is fetched.
    pub(crate) object: Arc<dyn Remote>,
    /// What each chunk is checked against when it comes. Without one the whole has to come first before any part of it is
    /// proved.
    pub(crate) index: Option<Arc<ChunkIndex>>,
    progress: watch::Sender<Progress>,
    /// CRC32C of each chunk that came, of the bytes in memory: readers compare what they read from the file.
    checksums: Mutex<Vec<u32>>,
}

/// How far a fetch is.
#[derive(Clone, Debug)]
pub(crate) enum Progress {
    /// The file has to be made yet.
    Starting,
    /// Bytes of the file before this offset were checked; the last of a blob only with the digest of all.
    Filling(Arc<LocalFile>, u64),
    /// There is a copy.
    Kept(Copy),
    /// There will be none: the store failed, or the disk.
    GivenUp,
}

/// What is to be fetched.
pub(crate) struct Wanted {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    pub(crate) object: Arc<dyn Remote>,
    pub(crate) index: Option<Arc<ChunkIndex>>,
}

/// What becomes of a blob that is to be fetched.
pub(crate) enum Filling {
    UnderWay(Arc<Fill>),
    /// There is a copy by now.
    Done,
    /// It is not kept, or not now.
    Unwanted,
}

/// Why there is no copy.
enum Failure {
    /// The store, or what it holds.
    Source(BodyError),
    /// The disk of the cache.
    Disk(StoreError),
}

impl Fills {
    /// The fetch of a blob that is under way.
    pub(crate) fn under_way(&self, digest: &Digest) -> Option<Arc<Fill>> {
        self.running.lock().get(digest).cloned()
    }
}

impl Fill {
    pub(crate) fn watch(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// The checksum of a chunk that has come.
    pub(crate) fn checksum(&self, chunk: u64) -> Option<u32> {
        self.checksums.lock().get(usize::try_from(chunk).ok()?).copied()
    }

    /// Bytes that were checked so far.
    pub(crate) fn good(&self) -> u64 {
        match &*self.progress.borrow() {
            Progress::Starting | Progress::GivenUp => 0,
            Progress::Filling(_, good) => *good,
            Progress::Kept(_) => self.size,
        }
    }
}

impl Registry {
    /// The fetch of a blob into the cache: one that is under way, or a new one.
    pub(crate) fn fill(&self, wanted: Wanted) -> Filling {
        let Some(cache) = self.inner.disk.as_ref().filter(|cache| cache.wants(wanted.size)) else {
            return Filling::Unwanted;
        };
        let mut running = cache.fills().running.lock();
        if let Some(fill) = running.get(&wanted.digest) {
            return Filling::UnderWay(fill.clone());
        }
        // Asked again, now that no fetch can end in between.
        if cache.has(&wanted.digest) {
            return Filling::Done;
        }
        if running.len() >= AT_A_TIME {
            return Filling::Unwanted;
        }
        let (size, object, index) = (wanted.size, wanted.object.clone(), wanted.index.clone());
        let (progress, checksums) = (watch::Sender::new(Progress::Starting), Mutex::default());
        let fill = Arc::new(Fill { size, object, index, progress, checksums });
        running.insert(wanted.digest, fill.clone());
        tokio::spawn(run(self.clone(), cache.clone(), fill.clone(), wanted));
        Filling::UnderWay(fill)
    }
}

/// Ends a fetch for those who wait, also where its task is dropped.
struct Running {
    cache: DiskCache,
    fill: Arc<Fill>,
    digest: Digest,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.cache.fills().running.lock().remove(&self.digest);
        self.fill.progress.send_if_modified(|progress| {
            let open = !matches!(progress, Progress::Kept(_) | Progress::GivenUp);
            if open {
                *progress = Progress::GivenUp;
            }
            open
        });
    }
}

async fn run(registry: Registry, cache: DiskCache, fill: Arc<Fill>, wanted: Wanted) {
    let digest = wanted.digest;
    let running = Running { cache: cache.clone(), fill: fill.clone(), digest };
    let (key, staged) = match cache.stage(&digest).await {
        Ok(staged) => staged,
        Err(error) => return cache.refused(&digest, &error),
    };
    match fetch(&registry, &cache, &fill, wanted, staged).await {
        Ok(copy) => {
            fill.progress.send_replace(Progress::Kept(copy));
        }
        Err(failure) => {
            cache.unstage(&key).await;
            match failure {
                Failure::Disk(error) => cache.refused(&digest, &error),
                Failure::Source(error) => {
                    tracing::debug!(%digest, %error, "a blob could not be fetched into the disk cache");
                }
            }
        }
    }
    drop(running);
}

async fn fetch(
    registry: &Registry,
    cache: &DiskCache,
    fill: &Fill,
    wanted: Wanted,
    mut staged: Box<dyn Staged>,
) -> Result<Copy, Failure> {
    let file = match staged.open().await.map_err(Failure::Disk)?.data {
        ObjectData::File(file) => file,
        _ => unreachable!("a directory opens files"),
    };
    fill.progress.send_replace(Progress::Filling(file.clone(), 0));
    let digest = wanted.digest;
    let mut whole = Whole::new(registry, wanted);
    while let Some(came) = whole.next().await.map_err(Failure::Source)? {
        staged.write(came.bytes).await.map_err(Failure::Disk)?;
        if let Some(checksum) = came.checksum {
            fill.checksums.lock().push(checksum);
            fill.progress.send_replace(Progress::Filling(file.clone(), staged.length()));
        }
    }
    let Some(index) = whole.finish() else { unreachable!("all chunks were taken") };
    cache.keep(&digest, staged, &Arc::new(index)).await.map_err(Failure::Disk)
}
