//! A value read from files, read again when they change.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::AccessError;

/// How often the files are looked at, at most.
const RECHECK: Duration = Duration::from_secs(1);

type Load<T> = Box<dyn Fn() -> Result<T, AccessError> + Send + Sync>;

/// The latest good value of some files.
pub(crate) struct Watched<T> {
    paths: Vec<PathBuf>,
    load: Load<T>,
    value: ArcSwap<T>,
    seen: Mutex<Vec<Option<Stamp>>>,
    started: Instant,
    /// Milliseconds after `started`.
    next_check: AtomicU64,
}

/// What changes when a file does, by whatever way it is replaced.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl<T: Send + Sync + 'static> Watched<T> {
    /// Reads the files for the first time.
    pub(crate) fn new(paths: Vec<PathBuf>, load: Load<T>) -> Result<Arc<Watched<T>>, AccessError> {
        // Stamps before contents: a change in between is seen by the next check.
        let seen = stamps(&paths);
        let value = ArcSwap::from_pointee(load()?);
        let next_check = AtomicU64::new(RECHECK.as_millis() as u64);
        Ok(Arc::new(Watched {
            paths,
            load,
            value,
            seen: Mutex::new(seen),
            started: Instant::now(),
            next_check,
        }))
    }

    /// The value, at most [`RECHECK`] behind the files.
    pub(crate) async fn current(self: &Arc<Self>) -> Arc<T> {
        if self.claim_check() {
            let this = Arc::clone(self);
            if tokio::task::spawn_blocking(move || this.check()).await.is_err() {
                tracing::error!("reading changed credential files panicked; the old ones stay in force");
            }
        }
        self.value.load_full()
    }

    /// True for one caller per [`RECHECK`].
    fn claim_check(&self) -> bool {
        let now = self.started.elapsed().as_millis() as u64;
        let due = self.next_check.load(Ordering::Relaxed);
        now >= due
            && self
                .next_check
                .compare_exchange(due, now + RECHECK.as_millis() as u64, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// Blocking. A broken file is reported once, until it changes again.
    fn check(&self) {
        let mut seen = self.seen.lock();
        let now = stamps(&self.paths);
        if *seen == now {
            return;
        }
        *seen = now;
        match (self.load)() {
            Ok(value) => {
                self.value.store(Arc::new(value));
                tracing::info!(files = ?self.paths, "read changed credential files");
            }
            Err(error) => {
                tracing::warn!(%error, "cannot use changed credential files; the old ones stay in force");
            }
        }
    }

    /// Makes the next [`Watched::current`] look at the files.
    #[cfg(test)]
    pub(crate) fn expire(&self) {
        self.next_check.store(0, Ordering::Relaxed);
    }
}

fn stamps(paths: &[PathBuf]) -> Vec<Option<Stamp>> {
    let stamp = |path: &PathBuf| {
        let meta = std::fs::metadata(path).ok()?;
        Some(Stamp {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        })
    };
    paths.iter().map(stamp).collect()
}
