//! Who needs which blob, in sixteen bytes each: a site may have millions.
//!
//! Marks may collide once in a few hundred thousand sites of ten million blobs; what is found by them is read again by
//! its whole name before anything is said.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use wharfinger_oci::{Digest, RepositoryName};

use crate::graph::{Mark, mark};

/// A blob that a repository needs, or has a link to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "(Mark, u32, u32)", into = "(Mark, u32, u32)")]
struct Edge {
    blob: Mark,
    repository: u32,
    size: u32,
}

impl From<(Mark, u32, u32)> for Edge {
    fn from((blob, repository, size): (Mark, u32, u32)) -> Self {
        Edge { blob, repository, size }
    }
}

impl From<Edge> for (Mark, u32, u32) {
    fn from(edge: Edge) -> Self {
        (edge.blob, edge.repository, edge.size)
    }
}

/// No manifest tells the size.
const UNTOLD: u32 = u32::MAX;

/// All of them.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Edges {
    names: Vec<RepositoryName>,
    edges: Vec<Edge>,
}

impl Edges {
    /// A repository, before what it needs.
    pub(super) fn begin(&mut self, name: RepositoryName) {
        self.names.push(name);
    }

    /// The repository that was begun last needs a blob of that many bytes.
    pub(super) fn add(&mut self, blob: &Digest, size: Option<u64>) {
        let repository = u32::try_from(self.names.len().saturating_sub(1)).unwrap_or(u32::MAX);
        self.edges.push(Edge { blob: mark(blob), repository, size: size.map_or(UNTOLD, fold) });
    }

    /// To be called when all are there, before anything is asked.
    pub(super) fn sort(&mut self) {
        self.edges.sort_unstable();
        self.edges.dedup();
        self.edges.shrink_to_fit();
    }

    fn of(&self, blob: Mark) -> &[Edge] {
        let start = self.edges.partition_point(|edge| edge.blob < blob);
        let length = self.edges[start..].partition_point(|edge| edge.blob == blob);
        &self.edges[start..start + length]
    }

    /// Whether a repository needs the blob or has a link to it.
    pub(super) fn has(&self, blob: Mark) -> bool {
        !self.of(blob).is_empty()
    }

    /// Whether a manifest tells another size of it.
    pub(super) fn disagree(&self, blob: Mark, size: u64) -> bool {
        self.of(blob).iter().any(|edge| edge.size != UNTOLD && edge.size != fold(size))
    }

    /// The repositories that need it.
    pub(super) fn users(&self, blob: Mark) -> impl Iterator<Item = &RepositoryName> {
        self.of(blob).iter().filter_map(|edge| self.names.get(edge.repository as usize))
    }

    /// The repositories that need any of these.
    pub(super) fn users_of(&self, blobs: impl Iterator<Item = Mark>) -> BTreeSet<RepositoryName> {
        blobs.flat_map(|blob| self.users(blob)).cloned().collect()
    }

    /// Needed blobs that are not among these marks, which are sorted.
    pub(super) fn missing_from(&self, seen: &[Mark]) -> Vec<Mark> {
        let mut missing: Vec<Mark> = Vec::new();
        let mut seen = seen.iter().peekable();
        for edge in &self.edges {
            while seen.peek().is_some_and(|mark| **mark < edge.blob) {
                seen.next();
            }
            if seen.peek().is_none_or(|mark| **mark != edge.blob) && missing.last() != Some(&edge.blob) {
                missing.push(edge.blob);
            }
        }
        missing
    }
}

/// Sizes below 4 GiB as they are, larger ones nearly so: two that differ are told apart.
fn fold(size: u64) -> u32 {
    let folded = (size ^ (size >> 32).rotate_left(7)) as u32;
    folded.min(UNTOLD - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_knows_who_needs_it_and_of_what_size() {
        let (a, b, c) = (Digest::sha256(b"a"), Digest::sha256(b"b"), Digest::sha256(b"c"));
        let name = |text: &str| RepositoryName::parse(text).unwrap();
        let mut edges = Edges::default();
        edges.begin(name("one"));
        edges.add(&a, Some(5));
        edges.add(&b, None);
        edges.begin(name("two"));
        edges.add(&a, Some(5));
        edges.add(&a, Some(5));
        edges.sort();
        assert_eq!(edges.users(mark(&a)).collect::<Vec<_>>(), [&name("one"), &name("two")]);
        assert!(edges.has(mark(&b)) && !edges.has(mark(&c)));
        assert!(edges.disagree(mark(&a), 6) && !edges.disagree(mark(&a), 5) && !edges.disagree(mark(&b), 9));
        let mut seen = vec![mark(&b), mark(&c)];
        seen.sort_unstable();
        assert_eq!(edges.missing_from(&seen), [mark(&a)]);
        assert_eq!(edges.users_of([mark(&a), mark(&b)].into_iter()).len(), 2);
    }

    #[test]
    fn sizes_that_differ_are_told_apart_also_beyond_four_gibibytes() {
        for (one, other) in [(1, 2), (1 << 32, 2 << 32), ((1 << 32) + 5, 5), (u64::from(u32::MAX), 0)] {
            assert_ne!(fold(one), fold(other), "{one} and {other}");
        }
    }
}
