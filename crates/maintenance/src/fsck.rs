//! Everything that a registry holds, looked at: what is damaged, whom that hurts, and what is left over.
//!
//! Three streams, none of which is held in memory as a whole: the repositories with their links and manifests, the
//! blobs, and what is ours beside them. What looks wrong in a stream is only a suspicion: [`settle`] reads the
//! repositories that it hits once more, by name and after a while, and what it says then is a finding.

mod blobs;
pub mod checkpoint;
mod edges;
mod ours;
pub mod proven;
mod report;
mod repositories;
mod settle;
mod state;

use std::collections::BTreeSet;
use std::time::SystemTime;

use wharfinger_oci::{Digest, RepositoryName};
use wharfinger_registry::Registry;
use wharfinger_registry::layout;
use wharfinger_store::{Inventory, Result};

use crate::census::Census;
use crate::graph::{self, Mark};
use crate::prove::Pace;
use crate::segments;
use crate::{Effort, Finding, Kind, Watch};
use checkpoint::Checkpoint;
use proven::Proven;
pub use report::{Counts, Image, Report};
use state::{Stage, State};

/// Notes of one kind that are told one by one; the rest are counted.
const NOTES: usize = 1_000;

/// What is looked at.
#[derive(Clone, Copy)]
pub struct Site<'a> {
    /// Repositories over the store. Only reads it.
    pub registry: &'a Registry,
    /// The same store, to be listed.
    pub inventory: &'a dyn Inventory,
}

/// Which repositories are looked at.
pub type Filter = Box<dyn Fn(&RepositoryName) -> bool + Send + Sync>;

/// How to look.
#[derive(Default)]
pub struct Options {
    /// Whether to read all blobs and compute their digests.
    pub deep: bool,
    /// Only what was written since, and what it needs.
    pub since: Option<SystemTime>,
    /// Only these repositories, and what they need.
    pub repositories: Option<Filter>,
    /// Only these blobs and manifests; all where there are none.
    pub only: BTreeSet<Digest>,
    /// Blobs whose digest was computed by a run that was stopped, and that of this run.
    pub proven: Option<Proven>,
    /// Where it is kept how far the walk is, so that the next one goes on there when this one is stopped.
    pub checkpoint: Option<Checkpoint>,
    /// How hard to work.
    pub effort: Effort,
}

impl Options {
    /// Whether it is about everything that is there: only then it can be told what nothing needs.
    fn is_whole(&self) -> bool {
        self.since.is_none() && self.repositories.is_none() && self.only.is_empty()
    }

    fn wants(&self, name: &RepositoryName) -> bool {
        self.repositories.as_ref().is_none_or(|filter| filter(name))
    }

    fn is_new(&self, modified: Option<SystemTime>) -> bool {
        // What does not say when it was written may be new.
        self.since.is_none_or(|since| modified.is_none_or(|modified| modified >= since))
    }
}

/// Looks at everything, and only reads.
///
/// # Errors
/// Not even a listing could be had. What else cannot be read is a finding of its own ([`Kind::Unreadable`]).
pub async fn check(site: Site<'_>, options: &Options, watch: &dyn Watch) -> Result<Report> {
    let started = SystemTime::now();
    let mut walk = Walk::new(site, options, watch);
    if let Some(checkpoint) = &options.checkpoint {
        walk.state = checkpoint.take_up().await;
    }
    walk.look_at_repositories().await?;
    walk.look_at_blobs().await?;
    if options.is_whole() {
        walk.look_at_ours().await?;
    }
    walk.settle().await?;
    if options.is_whole() {
        walk.look_at_segments().await?;
    }
    Ok(walk.report(started))
}

/// A walk over a site.
struct Walk<'a> {
    site: Site<'a>,
    options: &'a Options,
    watch: &'a dyn Watch,
    pace: Pace,
    state: State,
    orphans: Vec<segments::Orphans>,
}

impl<'a> Walk<'a> {
    fn new(site: Site<'a>, options: &'a Options, watch: &'a dyn Watch) -> Walk<'a> {
        let pace = Pace::new(options.effort.rate);
        Walk { site, options, watch, pace, state: State::default(), orphans: Vec::new() }
    }

    /// Keeps how far the walk is, where that is asked for and some time has gone by.
    async fn keep(&mut self, stage: Stage) {
        self.state.stage = stage;
        if let Some(checkpoint) = &self.options.checkpoint {
            checkpoint.keep(&mut self.state).await;
        }
    }

    /// Counts a note, and tells the first ones.
    fn note(&mut self, finding: impl FnOnce() -> Finding, kind: Kind) {
        let count = self.state.notes.entry(kind).or_default();
        *count += 1;
        if *count <= NOTES as u64 {
            self.state.findings.push(finding());
        }
    }

    /// The size of a blob that was seen.
    fn size_of(&self, blob: Mark) -> Option<u64> {
        let at = self.state.seen.binary_search_by_key(&blob, |(mark, _)| *mark).ok()?;
        Some(self.state.seen[at].1)
    }

    /// Which segments no object names. Those of blobs and uploads that appeared meanwhile are named by another look.
    async fn look_at_segments(&mut self) -> Result<()> {
        if self.state.findings.iter().any(|finding| finding.kind == Kind::Unreadable) {
            // They may belong to what could not be looked at.
            return Ok(());
        }
        let Site { registry, inventory } = self.site;
        let store = registry.store();
        for (name, id) in &self.state.uploads {
            segments::name_upload(store, name, id, &mut self.state.named).await;
        }
        let mut scan = segments::scan(inventory, &self.state.named, self.watch).await?;
        if !scan.orphans.is_empty() {
            let later = Census::take(inventory, self.watch).await?;
            let unseen = later.blobs.keys().filter(|digest| self.size_of(graph::mark(digest)).is_none());
            for digest in unseen.copied().collect::<Vec<_>>() {
                if let Ok(structure) = store.inspect(&layout::blob_data(&digest)).await {
                    segments::name(&graph::form(structure), &mut self.state.named);
                }
            }
            segments::name_uploads(store, &later, &mut self.state.named).await;
            segments::name_origins(store, &scan.orphans, &mut self.state.named).await;
            scan = segments::scan(inventory, &self.state.named, self.watch).await?;
        }
        self.state.counts.segments = scan.all;
        self.orphans = scan.orphans;
        Ok(())
    }
}
