//! Whether Distribution 2.8 could go on with a store. Reads alone; of Redis it deletes what is not true, if asked to.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use serde::Serialize;
use wharfinger_oci::manifest::MAX_MANIFEST_SIZE;
use wharfinger_oci::{Algorithm, Digest, RepositoryName};
use wharfinger_registry::Registry;
use wharfinger_store::{Area, Inventory, Result};

use crate::census::{Census, Tally};
use crate::graph::{Content, Form, Graph, Link, State, View};
use crate::segments::{self, Mark, mark};
use crate::{Effort, Finding, Watch};

/// Waits before a listing that does not show all segments is asked once more: listings lag.
const LIST_AGAIN: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];

/// Something that Distribution cannot serve although it is whole.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Obstacle {
    /// The digest.
    pub what: String,
    /// In which repository; none for the bytes of a blob.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// Why it cannot.
    pub reason: String,
}

impl std::fmt::Display for Obstacle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.what)?;
        if let Some(repository) = &self.repository {
            write!(f, " in {repository}")?;
        }
        write!(f, ": {}", self.reason)
    }
}

/// An upload session of ours, which ends when Distribution takes over.
#[derive(Clone, Debug, Serialize)]
pub struct Session {
    /// Its id.
    pub id: String,
    /// The repository that it is for, where its record tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// Bytes that are there.
    pub bytes: u64,
}

/// What was found.
#[derive(Debug, Default, Serialize)]
pub struct Back {
    /// Tags that lead to a manifest that Distribution reads.
    pub tags: usize,
    /// Manifests that it reads.
    pub manifests: usize,
    /// Blobs that it reads, by how they are put together: plain.
    pub plain: Tally,
    /// Static large objects.
    pub r#static: Tally,
    /// Dynamic large objects whose listing shows exactly their segments.
    pub dynamic: Tally,
    /// What is damaged, for whichever registry.
    pub findings: Vec<Finding>,
    /// What it cannot serve although it is whole.
    pub obstacles: Vec<Obstacle>,
    /// What could not be looked at, and why.
    pub unknown: Vec<String>,
    /// Uploads of ours in progress.
    pub sessions: Vec<Session>,
}

impl Back {
    /// Whether nothing is in the way.
    pub fn is_clear(&self) -> bool {
        self.findings.is_empty() && self.obstacles.is_empty() && self.unknown.is_empty()
    }
}

/// Looks at everything that Distribution would serve. `registry` has to read from the store alone.
///
/// # Errors
/// Not even a listing could be had.
pub async fn check(
    registry: &Registry,
    inventory: &dyn Inventory,
    container: Option<&str>,
    effort: Effort,
    watch: &dyn Watch,
) -> Result<Back> {
    let (graph, census) = Graph::settled(registry.store(), inventory, effort, watch).await?;
    let mut back = Back { findings: graph.judge(&census), unknown: graph.unknown(), ..Back::default() };
    back.look_at_manifests(&graph, &census);
    back.look_at_blobs(&graph, inventory, container, watch).await?;
    for id in &census.sessions {
        let summary = registry.session_summary(*id).await.ok().flatten();
        let bytes = summary.as_ref().map_or(0, |summary| summary.length);
        let repository = summary.map(|summary| summary.repository);
        back.sessions.push(Session { id: id.to_string(), repository, bytes });
    }
    back.sessions.sort_by(|a, b| (&a.repository, &a.id).cmp(&(&b.repository, &b.id)));
    back.obstacles.sort();
    Ok(back)
}

impl Back {
    fn look_at_manifests(&mut self, graph: &Graph, census: &Census) {
        let mut readable = BTreeSet::new();
        for (name, view) in &graph.views {
            let Some(listed) = census.repositories.get(name) else { continue };
            for digest in graph.needed(view, listed) {
                if self.look_at_manifest(graph, name, view, &digest) {
                    readable.insert(digest);
                }
            }
            let targets = view.tags.keys().filter_map(|tag| view.target(tag));
            self.tags += targets.filter(|target| readable.contains(target)).count();
        }
        self.manifests = readable.len();
    }

    /// Whether Distribution reads a manifest in a repository.
    fn look_at_manifest(
        &mut self,
        graph: &Graph,
        name: &RepositoryName,
        view: &View,
        digest: &Digest,
    ) -> bool {
        let mut refuse = |what: &Digest, reason: String| {
            let repository = Some(name.as_str().to_owned());
            self.obstacles.push(Obstacle { what: what.to_string(), repository, reason });
        };
        let size = match graph.manifests.get(digest) {
            Some(Content::Manifest(node)) => node.size,
            Some(Content::Schema1(_)) => 0,
            // Told of as damaged, or unknown.
            _ => return false,
        };
        let before = (digest.algorithm() == Algorithm::Sha256, size <= MAX_MANIFEST_SIZE as u64);
        if !before.0 {
            refuse(digest, format!("Distribution serves no manifest under {}", digest.algorithm().as_str()));
        }
        if !before.1 {
            refuse(
                digest,
                format!("its {size} bytes are more than Distribution reads of a manifest (4 MiB)"),
            );
        }
        let mut children = true;
        for (blob, _) in graph.blobs_of(digest) {
            // Distribution serves what lies under the SHA-256, whichever algorithm the link is for.
            let target = view.layers.get(&blob).and_then(Link::target).unwrap_or(blob);
            if target.algorithm() != Algorithm::Sha256 {
                refuse(&target, format!("Distribution serves no blob under {}", target.algorithm().as_str()));
                children = false;
            }
        }
        before == (true, true) && children && view.revisions.get(digest).is_some_and(|l| l.target().is_some())
    }

    async fn look_at_blobs(
        &mut self,
        graph: &Graph,
        inventory: &dyn Inventory,
        container: Option<&str>,
        watch: &dyn Watch,
    ) -> Result<()> {
        // Of each dynamic large object what its listing has to show.
        let mut expected: HashMap<Mark, (Digest, String, u64, Option<u64>)> = HashMap::new();
        for (digest, blob) in &graph.blobs {
            if !matches!(blob.state, State::Whole { .. }) {
                continue;
            }
            match &blob.form {
                Some(Form::Plain) => self.plain.add(blob.size),
                Some(Form::Static(_)) => self.r#static.add(blob.size),
                Some(Form::Dynamic { container: other, .. }) if container.is_some_and(|own| own != other) => {
                    let reason = format!("its segments lie in container {other}, which was not listed");
                    self.unknown.push(format!("{digest}: {reason}"));
                }
                Some(Form::Dynamic { prefix, recorded, .. }) => {
                    let count = recorded.map(|(count, _)| count);
                    expected.insert(mark(prefix), (*digest, prefix.clone(), blob.size, count));
                }
                None => {}
            }
        }
        let exact = |shown: Tally, size: u64, count: Option<u64>| {
            shown.bytes == size && count.is_none_or(|count| count == shown.objects)
        };
        let mut dynamic = Tally::default();
        segments::groups(inventory, watch, |group| {
            let found = mark(&group.prefix);
            if let Some((_, _, size, count)) = expected.get(&found)
                && exact(group.tally, *size, *count)
            {
                dynamic.add(*size);
                expected.remove(&found);
            }
        })
        .await?;
        // A listing may lag: those that it did not show exactly are listed again.
        for (digest, prefix, size, count) in expected.into_values() {
            let mut shown = list_one(inventory, &prefix).await?;
            for wait in LIST_AGAIN {
                if exact(shown, size, count) {
                    break;
                }
                tokio::time::sleep(wait).await;
                shown = list_one(inventory, &prefix).await?;
            }
            if exact(shown, size, count) {
                dynamic.add(size);
                continue;
            }
            let has = count.map(|count| format!("{count} segments of ")).unwrap_or_default();
            let (objects, bytes) = (shown.objects, shown.bytes);
            let reason = format!(
                "Distribution reads what the listing shows, {objects} segments of {bytes} bytes; it has {has}{size}"
            );
            self.obstacles.push(Obstacle { what: digest.to_string(), repository: None, reason });
        }
        self.dynamic = dynamic;
        Ok(())
    }
}

/// What a listing shows below one prefix.
async fn list_one(inventory: &dyn Inventory, prefix: &str) -> Result<Tally> {
    let start = format!("{prefix}/");
    let (mut shown, mut after) = (Tally::default(), start.clone());
    loop {
        let page = inventory.rows(Area::Segments, Some(&after)).await?;
        for row in &page.rows {
            if !row.name.starts_with(&start) {
                return Ok(shown);
            }
            shown.add(row.size);
        }
        match page.next {
            Some(next) => after = next,
            None => return Ok(shown),
        }
    }
}
