//! Two stores that should hold the same: what is in one of them and not in the other, and whom that hits.
//!
//! The listings of both sites, merged as they come, give candidates; a read of both sites by name decides, after a
//! back-off. What was written lately is on its way and not damage. Reads alone.
//!
//! Form is not compared but content: a blob may be one object here and segments there. What a site derived for itself
//! (chunk indexes, catalog, marks) and uploads in progress are counted and not compared.

mod ahead;
mod images;
mod look;
mod merge;
mod owners;
mod report;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use wharfinger_store::{Inventory, Store, StoreError};

pub use report::{Counts, Difference, Image, Kind, Object, Report, Seen, Unknown};

use crate::{Effort, Watch};

/// One of the two sites.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// The site whose configuration is used.
    Here,
    /// The other one.
    There,
}

impl Side {
    /// Both.
    pub const BOTH: [Side; 2] = [Side::Here, Side::There];

    /// The other one.
    #[must_use]
    pub fn other(self) -> Side {
        match self {
            Side::Here => Side::There,
            Side::There => Side::Here,
        }
    }

    /// The word in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Side::Here => "here",
            Side::There => "there",
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A site's store, to be read from alone.
#[derive(Clone)]
pub struct Site {
    /// By name.
    pub store: Arc<dyn Store>,
    /// As a whole.
    pub inventory: Arc<dyn Inventory>,
}

/// Both sites.
#[derive(Clone)]
pub struct Sites {
    /// The site whose configuration is used.
    pub here: Site,
    /// The other one.
    pub there: Site,
}

impl Sites {
    pub(crate) fn of(&self, side: Side) -> &Site {
        match side {
            Side::Here => &self.here,
            Side::There => &self.there,
        }
    }

    pub(crate) fn store(&self, side: Side) -> &dyn Store {
        &*self.of(side).store
    }
}

/// A site could not be listed.
#[derive(Debug, thiserror::Error)]
#[error("the store {side} cannot be listed")]
pub struct Unreachable {
    /// Which site.
    pub side: Side,
    /// Why.
    pub source: StoreError,
}

/// How to compare.
pub struct Options<'a> {
    /// What was written within this time is on its way.
    pub settle: Duration,
    /// Waits before what differs is looked at by name once more.
    pub back_off: Vec<Duration>,
    /// Which repositories are of interest; none: all.
    pub repositories: Option<&'a (dyn Fn(&str) -> bool + Sync)>,
    /// How hard to work.
    pub effort: Effort,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Options {
            settle: Duration::from_secs(600),
            back_off: vec![Duration::from_secs(2)],
            repositories: None,
            effort: Effort::default(),
        }
    }
}

impl Options<'_> {
    fn wants(&self, repository: &str) -> bool {
        self.repositories.is_none_or(|wants| wants(repository))
    }

    fn is_young(&self, modified: Option<SystemTime>) -> bool {
        // What a clock ahead of this one wrote is young too.
        !self.settle.is_zero()
            && modified
                .is_some_and(|at| SystemTime::now().duration_since(at).map_or(true, |age| age < self.settle))
    }
}

/// Compares two sites.
///
/// # Errors
/// One of them could not be listed. What else cannot be read is in [`Report::unknown`].
pub async fn compare(sites: &Sites, options: &Options<'_>, watch: &dyn Watch) -> Result<Report, Unreachable> {
    let mut merged = merge::merge(sites, options, watch).await?;
    let mut report = Report::new(merged.here, merged.there, merged.unseen);
    let candidates = std::mem::take(&mut merged.candidates);
    let groups = std::mem::take(&mut merged.groups);
    let owned = owners::owners(sites, groups, options.effort, watch).await;
    report.leftovers(&owned.leftovers);
    report.unknown.extend(owned.unknown);
    let candidates = look::with_owners(candidates, owned.blobs);
    let confirmed = look::confirm(sites, candidates, options, watch).await;
    report.unknown.extend(confirmed.unknown);
    images::judge(sites, confirmed.different, options, watch, &mut report).await?;
    Ok(report)
}
