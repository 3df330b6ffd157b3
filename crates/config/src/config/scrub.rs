//! The scrub, as the configuration describes it.

use std::time::Duration;

/// Reading every blob again, in the background.
#[derive(Clone, Debug, PartialEq)]
pub struct Scrub {
    /// Whether it is done.
    pub enabled: bool,
    /// In which time each blob is read once.
    pub period: Duration,
    /// Bytes a second that are read at most; not 0.
    pub rate: u64,
}
