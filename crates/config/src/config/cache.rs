//! The disk cache, as the configuration describes it.

use std::path::PathBuf;
use std::time::Duration;

/// Copies of what is pulled, on a disk of this machine.
#[derive(Clone, Debug, PartialEq)]
pub struct DiskCache {
    /// A directory of its own.
    pub directory: PathBuf,
    /// Bytes that the copies may take together.
    pub size: u64,
    /// For how long pulls go on without the store.
    pub stale_limit: Duration,
}
