//! What a walk knows so far.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde::{Deserialize, Serialize};
use wharfinger_oci::{Digest, RepositoryName};

use super::edges::Edges;
use super::report::Counts;
use crate::graph::Mark;
use crate::segments::Named;
use crate::{Finding, Kind};

/// How far a walk is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Stage {
    /// Repositories are read; it goes on behind this name, or at the beginning.
    Repositories(Option<String>),
    /// Blobs are looked at; it goes on behind this name, or at the beginning.
    Blobs(Option<String>),
    /// All blobs that are listed were looked at.
    Listed,
}

impl Default for Stage {
    fn default() -> Self {
        Stage::Repositories(None)
    }
}

/// All that a walk gathers before it settles what looks wrong.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) stage: Stage,
    pub(super) edges: Edges,
    /// Manifests that were read; sorted once all were.
    pub(super) manifests: Vec<Mark>,
    /// Blobs that are there with their sizes; sorted once all were listed.
    pub(super) seen: Vec<(Mark, u64)>,
    /// Repositories in which something looks wrong.
    pub(super) doubtful: BTreeSet<RepositoryName>,
    /// Blobs that look wrong; the digest, where it is known.
    pub(super) suspects: HashMap<Mark, Option<Digest>>,
    /// Those of them that have other bytes than they should: a look does not tell.
    pub(super) miscomputed: HashSet<Digest>,
    /// Chunk indexes that are not those of their blobs, or cannot be read, and why.
    pub(super) misindexed: BTreeMap<Digest, String>,
    /// Blobs whose chunk index was told to be broken: two streams meet it.
    pub(super) unindexed: HashSet<Digest>,
    pub(super) named: Named,
    /// Uploads of Distribution.
    pub(super) uploads: Vec<(RepositoryName, String)>,
    pub(super) counts: Counts,
    pub(super) notes: BTreeMap<Kind, u64>,
    pub(super) findings: Vec<Finding>,
}
