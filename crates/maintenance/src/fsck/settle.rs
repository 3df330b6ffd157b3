//! From suspicion to finding: what looked wrong is read again by name, after a while, together with all that leads to it.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use wharfinger_oci::{Digest, RepositoryName};
use wharfinger_registry::layout;
use wharfinger_store::Result;

use super::blobs::compare;
use super::{Site, Walk};
use crate::census::Census;
use crate::graph::{self, Graph, LOOK_AGAIN, Link, Mark, State, mark};
use crate::{Finding, Kind, Severity, parallel, segments};

impl Walk<'_> {
    /// Judges everything that looked wrong.
    pub(super) async fn settle(&mut self) -> Result<()> {
        self.state.suspects.extend(self.state.misindexed.keys().map(|digest| (mark(digest), Some(*digest))));
        let mut names = self.state.edges.users_of(self.state.suspects.keys().copied());
        names.append(&mut self.state.doubtful);
        if names.is_empty() && self.state.suspects.is_empty() {
            return Ok(());
        }
        let marks: HashSet<Mark> = self.state.suspects.keys().copied().collect();
        let (graph, census) = self.settled(&names, marks).await?;
        // A blob that no listing shows was not met before, and consists of segments all the same.
        graph
            .blobs
            .values()
            .filter_map(|blob| blob.form.as_ref())
            .for_each(|form| segments::name(form, &mut self.state.named));
        self.state.findings.extend(graph.judge(&census));
        self.look_at_indexes(&graph, &census).await;
        self.look_at_dangling_links(&graph, &census);
        let only = &self.options.only;
        if !only.is_empty() {
            self.state
                .findings
                .retain(|finding| finding.digest().is_some_and(|digest| only.contains(&digest)));
        }
        self.state.counts.unknown =
            self.state.findings.iter().filter(|finding| finding.kind.severity() == Severity::Unknown).count();
        self.state.findings.sort();
        self.state.findings.dedup();
        Ok(())
    }

    /// Some repositories as they are now, with these blobs of theirs.
    pub(super) async fn graph_of(
        &self,
        names: &BTreeSet<RepositoryName>,
        blobs: HashSet<Mark>,
    ) -> Result<(Graph, Census)> {
        let Site { registry, inventory } = self.site;
        let census = Census::of(inventory, names, self.watch).await?;
        let mut graph = Graph::of_blobs(blobs);
        graph.fill(registry.store(), &census, self.options.effort, self.watch).await;
        Ok((graph, census))
    }

    /// As [`Walk::graph_of`], after a while, and what is wrong in it once more after a longer while.
    async fn settled(
        &self,
        names: &BTreeSet<RepositoryName>,
        blobs: HashSet<Mark>,
    ) -> Result<(Graph, Census)> {
        let Site { registry, inventory } = self.site;
        let unneeded: Vec<(Digest, u64)> = self
            .state
            .suspects
            .iter()
            .filter(|(mark, _)| !self.state.edges.has(**mark))
            .filter_map(|(_, digest)| digest.map(|digest| (digest, 0)))
            .collect();
        let mut graph = Graph::of_blobs(blobs);
        let mut census = Census::default();
        for wait in LOOK_AGAIN {
            tokio::time::sleep(wait).await;
            graph.forget_doubtful();
            census = Census::of(inventory, names, self.watch).await?;
            // What nothing needs is found by nothing but its name.
            census.blobs.extend(unneeded.iter().copied());
            graph.fill(registry.store(), &census, self.options.effort, self.watch).await;
            self.read_again(&mut graph).await;
            if !graph.is_doubtful(&census) {
                break;
            }
        }
        if graph.misses_links() {
            let blobs = std::mem::take(&mut census.blobs);
            census = Census::of(inventory, names, self.watch).await?;
            census.blobs = blobs;
        }
        Ok((graph, census))
    }

    /// Computes the digests again that were wrong.
    async fn read_again(&self, graph: &mut Graph) {
        let wrong = self.state.miscomputed.iter().filter(|digest| {
            graph.blobs.get(*digest).is_some_and(|blob| blob.state == State::Whole { hashed: false })
        });
        let wrong: Vec<Digest> = wrong.copied().collect();
        let (site, pace) = (self.site, &self.pace);
        let read = parallel::each(wrong, self.options.effort.parallel, self.watch, |digest| {
            Box::pin(async move { (digest, graph::read::proved(site.registry.store(), &digest, pace).await) })
        });
        for (digest, proved) in read.await {
            if let Some(blob) = graph.blobs.get_mut(&digest) {
                blob.state = proved.map_or_else(|state| state, |_| State::Whole { hashed: true });
            }
        }
    }

    /// Chunk indexes that are those of other bytes, or cannot be read, while the blob itself is right.
    async fn look_at_indexes(&mut self, graph: &Graph, census: &Census) {
        let mut wrong = BTreeMap::new();
        for (digest, reason) in std::mem::take(&mut self.state.misindexed) {
            let store = self.site.registry.store();
            let Ok(right) = graph::read::proved(store, &digest, &self.pace).await else { continue };
            match compare(self.site, &digest, &right).await {
                Some((Kind::IndexWrong, _)) => drop(wrong.insert(digest, (Kind::IndexWrong, reason))),
                Some((Kind::Unreadable, error)) => drop(wrong.insert(digest, (Kind::Unreadable, error))),
                Some((_, reason)) => self.note_broken_index(digest, &reason),
                None => {}
            }
        }
        let mut users = graph.users_of(census, &wrong.keys().copied().collect());
        for (digest, (kind, reason)) in wrong {
            let images = users.remove(&digest).unwrap_or_default();
            self.state.findings.push(Finding::new(kind, digest, reason).hitting(images));
        }
    }

    /// Layer links to blobs that are not there, where no manifest needs them.
    fn look_at_dangling_links(&mut self, graph: &Graph, census: &Census) {
        let mut dangling = Vec::new();
        for (name, listed) in &census.repositories {
            let nothing = graph::View::default();
            let view = graph.views.get(name).unwrap_or(&nothing);
            let unneeded = listed.layers.iter().filter(|digest| !view.layers.contains_key(digest));
            for digest in unneeded {
                let blob = graph.blobs.get(digest);
                if blob.is_some_and(|blob| blob.state == State::Missing) {
                    dangling.push((name.clone(), *digest));
                }
            }
        }
        for (name, digest) in dangling {
            let key = layout::layer_link(&name, &digest);
            let reason = "it leads to a blob that is not there";
            let finding = || Finding::new(Kind::LinkDangling, key, reason).within(&name);
            self.note(finding, Kind::LinkDangling);
        }
    }
}

impl Graph {
    /// Whether anything is wrong or unknown.
    fn is_doubtful(&self, census: &Census) -> bool {
        let links = self.views.values().flat_map(|view| {
            view.tags
                .values()
                .chain(view.revisions.values())
                .chain(view.layers.values())
                .chain(view.odd.values())
        });
        links.into_iter().any(|link| !matches!(link, Link::To(_))) || !self.judge(census).is_empty()
    }
}
