//! Tells the caches in front what they must let go of, after it changed in the store and before the answer.
//!
//! Nothing depends on it: what may change is answered with `no-cache`. Each cache has a [`Line`] of changes that are to
//! be told, and one task that tells them in order.

mod change;
mod line;
mod target;

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use serde_json::Value;
use tokio::task::JoinHandle;
use wharfinger_oci::RepositoryName;

use crate::metrics::Metrics;
use change::Change;
pub(crate) use change::key;
use line::Line;
pub(crate) use target::SURROGATE_KEY;
pub use target::{Kind, Target};

/// Which caches are told, and how long an answer waits for that.
#[derive(Clone, Debug, Default)]
pub struct PurgeOptions {
    /// Longest time that an answer waits for the caches, and that one of them may take for one request.
    pub timeout: Duration,
    /// The caches.
    pub caches: Vec<Target>,
}

/// The caches in front.
pub struct Purger {
    prefix: String,
    timeout: Duration,
    lines: Vec<Arc<Line>>,
    keyed: bool,
}

impl Purger {
    /// `prefix` stands before `/v2/` in every path.
    pub(crate) fn new(options: &PurgeOptions, prefix: &str, metrics: &Arc<Metrics>) -> Purger {
        let line = |target: &Target| Arc::new(Line::new(target.clone(), options.timeout, metrics.clone()));
        Purger {
            prefix: prefix.to_owned(),
            timeout: options.timeout,
            lines: options.caches.iter().map(line).collect(),
            keyed: options.caches.iter().any(|target| target.kind == Kind::Varnish),
        }
    }

    /// Whether a cache goes by the keys in `Surrogate-Key`.
    pub(crate) fn goes_by_keys(&self) -> bool {
        self.keyed
    }

    /// Starts the tasks that tell the caches.
    pub fn start(&self) -> Vec<JoinHandle<()>> {
        self.lines.iter().map(|line| tokio::spawn(line.clone().work())).collect()
    }

    /// Whether there is no cache to tell.
    pub(crate) fn is_idle(&self) -> bool {
        self.lines.is_empty()
    }

    /// How things stand with each cache.
    pub(crate) fn told(&self) -> Value {
        self.lines.iter().map(|line| line.told()).collect()
    }

    /// What the request is about to change in a repository.
    pub(crate) fn due(&self, name: &RepositoryName) -> Due<'_> {
        let change = (!self.lines.is_empty()).then(|| Change::new(&self.prefix, name));
        Due { purger: self, change }
    }

    /// Tells what waits once more, and what cannot be told now not at all; for the end of the process.
    pub async fn finish(&self) {
        self.lines.iter().for_each(|line| line.close());
        let idle = async {
            while !self.lines.iter().all(|line| line.is_idle()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let _ = tokio::time::timeout(self.timeout, idle).await;
    }
}

/// A change that caches are told of when the request is through with it, also if it fails half-way or its client goes
/// away: it may have taken effect.
pub(crate) struct Due<'a> {
    purger: &'a Purger,
    change: Option<Change>,
}

impl Due<'_> {
    /// Adds to what changes; `add` is not called where there are no caches.
    pub(crate) fn add(&mut self, add: impl FnOnce(&mut Change)) {
        if let Some(change) = &mut self.change {
            add(change);
        }
    }

    /// Tells the caches, and waits for them, but no longer than the limit. A cache that failed last is told later and
    /// not waited for.
    pub(crate) async fn settle(mut self) {
        let Some(change) = self.change.take() else { return };
        let change = Arc::new(change);
        let told: Vec<_> = self.purger.lines.iter().filter_map(|line| line.add_awaited(&change)).collect();
        let _ = tokio::time::timeout(self.purger.timeout, join_all(told)).await;
    }
}

impl Drop for Due<'_> {
    fn drop(&mut self) {
        let Some(change) = self.change.take() else { return };
        let change = Arc::new(change);
        self.purger.lines.iter().for_each(|line| line.add(&change));
    }
}
