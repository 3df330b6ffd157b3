//! The stream of repositories: links and manifests, some repositories at a time.

use std::collections::{BTreeSet, HashSet};

use wharfinger_oci::{Algorithm, Digest};
use wharfinger_store::Result;

use super::Walk;
use super::state::Stage;
use crate::Unwatched;
use crate::census::{Batches, Census, Listed};
use crate::graph::{Content, Graph, Link, View, mark};

impl Walk<'_> {
    pub(super) async fn look_at_repositories(&mut self) -> Result<()> {
        let Stage::Repositories(position) = &self.state.stage else { return Ok(()) };
        let mut batches = Batches::behind(self.site.inventory, position.clone());
        let total = if self.watch.wants_totals() {
            self.watch.begin("counting links", None);
            Some(batches.count().await?)
        } else {
            None
        };
        self.watch.begin("reading repositories, links", total);
        let options = self.options;
        while let Some(batch) = batches.next(|row| options.is_new(row.modified)).await? {
            self.judge(batch.census).await;
            self.watch.advance(batch.rows);
            if let Some(position) = batches.position() {
                self.keep(Stage::Repositories(Some(position))).await;
            }
        }
        self.state.edges.sort();
        self.state.manifests.sort_unstable();
        self.keep(Stage::Blobs(None)).await;
        Ok(())
    }

    /// Reads some repositories, notes what they need, and in which something looks wrong.
    async fn judge(&mut self, mut batch: Census) {
        batch.repositories.retain(|name, _| self.options.wants(name));
        let mut graph = Graph::of_blobs(HashSet::new());
        graph.fill(self.site.registry.store(), &batch, self.options.effort, &Unwatched).await;
        let nothing = Listed::default();
        for (name, view) in &graph.views {
            let listed = batch.repositories.get(name).unwrap_or(&nothing);
            if !(listed.tags.is_empty() && listed.revisions.is_empty() && listed.layers.is_empty()) {
                self.state.counts.repositories += 1;
            }
            self.state.counts.tags += listed.tags.values().filter(|current| **current).count() as u64;
            self.state.counts.links += (view.tags.len() + view.revisions.len() + view.layers.len()) as u64;
            self.state.uploads.extend(listed.uploads.iter().map(|id| (name.clone(), id.clone())));
            self.state.edges.begin(name.clone());
            self.note_needs(&graph, view, listed);
        }
        for (digest, content) in &graph.manifests {
            if matches!(content, Content::Manifest(_) | Content::Schema1(_)) {
                self.state.manifests.push(mark(digest));
            }
        }
        let judged = graph.judge(&batch).into_iter();
        let names = judged.filter_map(|finding| finding.repository).filter_map(|name| name.parse().ok());
        self.state.doubtful.extend(names);
    }

    fn note_needs(&mut self, graph: &Graph, view: &View, listed: &Listed) {
        let mut needed = BTreeSet::new();
        for manifest in graph.needed(view, listed) {
            self.state.counts.manifests += 1;
            for (digest, size) in graph.blobs_of(&manifest) {
                let target = match view.layers.get(&digest) {
                    Some(Link::To(target)) => *target,
                    _ => digest,
                };
                needed.insert((target, size));
            }
        }
        for (digest, size) in &needed {
            self.state.edges.add(digest, *size);
        }
        // What a link leads to under another algorithm was not read.
        let linked = listed.layers.iter().filter(|digest| digest.algorithm() == Algorithm::Sha256);
        let is_needed =
            |digest: &Digest| needed.range((*digest, None)..).next().is_some_and(|(d, _)| d == digest);
        for digest in linked.filter(|digest| !is_needed(digest)) {
            self.state.edges.add(digest, None);
        }
    }
}
