//! What a store holds, what in it is damaged, and what will be different. Reads alone.

use std::collections::HashSet;

use serde::Serialize;
use wharfinger_oci::Digest;
use wharfinger_registry::layout;
use wharfinger_store::{Area, Inventory, Result, Store};

use crate::census::{Census, Foreign, Tally, each_row};
use crate::graph::{self, Content, Form, Graph, Link, State};
use crate::prove::Pace;
use crate::segments::{self, Named, Orphans};
use crate::{Effort, Finding, Severity, Watch, parallel};

/// How to look.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Whether to read all blobs and compute their digests.
    pub deep: bool,
    /// How hard to work.
    pub effort: Effort,
}

/// Objects by kind.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Holdings {
    /// Manifests and indexes.
    pub manifests: Tally,
    /// Blobs that are one object or file.
    pub plain: Tally,
    /// Blobs that are static large objects, with the bytes of their segments.
    pub r#static: Tally,
    /// Blobs that are dynamic large objects, with the bytes of their segments.
    pub dynamic: Tally,
    /// Segments, of all large objects and uploads.
    pub segments: Tally,
    /// Links.
    pub links: Tally,
    /// Objects of uploads of Distribution that are in progress.
    pub uploads: Tally,
    /// What is ours alone.
    pub ours: Tally,
}

/// An upload of Distribution that is in progress, or was left.
#[derive(Clone, Debug, Serialize)]
pub struct Upload {
    /// The repository that it is for.
    pub repository: String,
    /// Its id.
    pub id: String,
    /// When it began, as `startedat` tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started: Option<String>,
    /// Bytes that are there.
    pub bytes: u64,
}

/// What was found.
#[derive(Debug, Default, Serialize)]
pub struct Survey {
    /// Objects by kind.
    pub holdings: Holdings,
    /// Repositories.
    pub repositories: usize,
    /// Tags.
    pub tags: usize,
    /// Manifests that a repository has.
    pub manifests: usize,
    /// Blobs, each once.
    pub blobs: usize,
    /// Blobs that no manifest names.
    pub unreferenced: Tally,
    /// Blobs whose digest was computed.
    pub hashed: Tally,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// What could not be looked at, and why.
    pub unknown: Vec<String>,
    /// Uploads of Distribution.
    pub uploads: Vec<Upload>,
    /// Upload sessions of ours.
    pub sessions: usize,
    /// Segments that no object names.
    pub orphans: Vec<Orphans>,
    /// Names that are neither Distribution's nor ours.
    pub foreign: Foreign,
    /// Schema1 manifests.
    pub schema1: usize,
    /// Links to content under another algorithm than SHA-256.
    pub other_algorithms: u64,
    /// Tags without a link, left by a delete.
    pub empty_tags: usize,
    /// Containers other than this one that hold segments of its dynamic large objects, as their headers say.
    pub other_containers: Vec<String>,
}

/// Looks at everything.
///
/// # Errors
/// Not even a listing could be had. What else cannot be read is in [`Survey::unknown`].
pub async fn survey(
    store: &dyn Store,
    inventory: &dyn Inventory,
    container: Option<&str>,
    options: Options,
    watch: &dyn Watch,
) -> Result<Survey> {
    let Options { deep, effort } = options;
    let (mut graph, census) = Graph::settled(store, inventory, effort, watch).await?;
    let mut survey = Survey::default();
    if deep {
        survey.hashed = hash_blobs(&mut graph, store, effort, watch).await;
    }
    survey.findings = graph.judge(&census);
    // These are told with what could not be looked at.
    survey.findings.retain(|finding| finding.kind.severity() != Severity::Unknown);
    survey.unknown = graph.unknown();
    survey.count(&census, &graph, container);
    survey.look_at_uploads(store, &census).await;
    survey.look_at_segments(store, inventory, &graph, &census, watch).await?;
    watch.begin("listing other names", None);
    each_row(inventory, Area::Others, watch, |row| survey.foreign.add(row)).await?;
    Ok(survey)
}

/// Computes the digest of every blob that seems whole.
async fn hash_blobs(graph: &mut Graph, store: &dyn Store, effort: Effort, watch: &dyn Watch) -> Tally {
    let whole = graph.blobs.iter().filter(|(_, blob)| matches!(blob.state, State::Whole { .. }));
    let whole: Vec<Digest> = whole.map(|(digest, _)| *digest).collect();
    watch.begin("hashing blobs", Some(whole.len() as u64));
    let pace = Pace::new(effort.rate);
    let pace = &pace;
    let states = parallel::each(whole, effort.parallel, watch, |digest| {
        Box::pin(async move { (digest, hash_blob(store, &digest, pace).await) })
    });
    let mut hashed = Tally::default();
    for (digest, state) in states.await {
        if let Some(blob) = graph.blobs.get_mut(&digest) {
            hashed.add(blob.size);
            blob.state = state;
        }
    }
    hashed
}

async fn hash_blob(store: &dyn Store, digest: &Digest, pace: &Pace) -> State {
    let proved = graph::read::proved(store, digest, pace).await;
    proved.map_or_else(|state| state, |_| State::Whole { hashed: true })
}

impl Survey {
    fn count(&mut self, census: &Census, graph: &Graph, container: Option<&str>) {
        self.repositories = census.names().count();
        self.tags = census.tags();
        let listed = census.repositories.values();
        self.empty_tags = listed.clone().flat_map(|l| l.tags.values()).filter(|current| !**current).count();
        self.manifests = listed.map(|listed| listed.revisions.len()).sum();
        self.sessions = census.sessions.len();
        self.other_algorithms = census.other_algorithms;
        self.foreign = census.foreign.clone();
        self.holdings.links = census.links;
        self.holdings.uploads = census.uploads;
        self.holdings.ours = census.ours;
        for (digest, content) in &graph.manifests {
            match content {
                Content::Missing | Content::Unknown(_) => continue,
                Content::Schema1(_) => self.schema1 += 1,
                _ => {}
            }
            let size = match content {
                Content::Manifest(node) => node.size,
                _ => census.blobs.get(digest).copied().unwrap_or(0),
            };
            self.holdings.manifests.add(size);
        }
        self.count_blobs(graph, container);
    }

    fn count_blobs(&mut self, graph: &Graph, container: Option<&str>) {
        let named: HashSet<Digest> = graph
            .manifests
            .keys()
            .flat_map(|manifest| graph.blobs_of(manifest))
            .map(|(blob, _)| blob)
            .collect();
        // What is named under another algorithm lies under its SHA-256.
        let links = graph.views.values().flat_map(|view| view.layers.values());
        let aliased: HashSet<Digest> = links.filter_map(Link::target).collect();
        for (digest, blob) in graph.blobs.iter().filter(|(digest, _)| !graph.manifests.contains_key(digest)) {
            let Some(form) = &blob.form else { continue };
            self.blobs += 1;
            match form {
                Form::Plain => self.holdings.plain.add(blob.size),
                Form::Static(_) => self.holdings.r#static.add(blob.size),
                Form::Dynamic { container: other, .. } => {
                    self.holdings.dynamic.add(blob.size);
                    if container.is_some_and(|own| own != other) && !self.other_containers.contains(other) {
                        self.other_containers.push(other.clone());
                    }
                }
            }
            if !named.contains(digest) && !aliased.contains(digest) {
                self.unreferenced.add(blob.size);
            }
        }
    }

    async fn look_at_uploads(&mut self, store: &dyn Store, census: &Census) {
        for (name, listed) in &census.repositories {
            for id in &listed.uploads {
                let place = layout::foreign_uploads(name).join(id);
                let started = store.get(&place.join("startedat"), 64).await.ok();
                let started = started.and_then(|text| String::from_utf8(text.to_vec()).ok());
                // A listing of the segments decides, as it does for Distribution: it is only told.
                let bytes = store.head(&place.join("data")).await.map_or(0, |meta| meta.size);
                let repository = name.as_str().to_owned();
                self.uploads.push(Upload { repository, id: id.clone(), started, bytes });
            }
        }
    }

    async fn look_at_segments(
        &mut self,
        store: &dyn Store,
        inventory: &dyn Inventory,
        graph: &Graph,
        census: &Census,
        watch: &dyn Watch,
    ) -> Result<()> {
        let mut named = Named::default();
        graph
            .blobs
            .values()
            .filter_map(|blob| blob.form.as_ref())
            .for_each(|form| segments::name(form, &mut named));
        segments::name_uploads(store, census, &mut named).await;
        let mut scan = segments::scan(inventory, &named, watch).await?;
        if !self.unknown.is_empty() {
            // They may belong to what could not be looked at.
            scan.orphans.clear();
        }
        if !scan.orphans.is_empty() {
            // Blobs that were published since they were listed, and uploads that have begun since.
            let later = Census::take(inventory, watch).await?;
            for digest in later.blobs.keys().filter(|digest| !census.blobs.contains_key(digest)) {
                if let Ok(structure) = store.inspect(&layout::blob_data(digest)).await {
                    segments::name(&graph::form(structure), &mut named);
                }
            }
            segments::name_uploads(store, &later, &mut named).await;
            segments::name_origins(store, &scan.orphans, &mut named).await;
            scan = segments::scan(inventory, &named, watch).await?;
        }
        self.holdings.segments = scan.all;
        self.orphans = scan.orphans;
        self.foreign.tally.objects += scan.foreign.tally.objects;
        self.foreign.tally.bytes += scan.foreign.tally.bytes;
        self.foreign.examples.extend(scan.foreign.examples);
        Ok(())
    }
}
