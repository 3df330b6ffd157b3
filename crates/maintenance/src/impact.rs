//! Who uses a blob, a manifest, or a segment: the graph backward.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;
use wharfinger_oci::Digest;
use wharfinger_registry::Happened;
use wharfinger_registry::layout::{self, Place, place};
use wharfinger_store::{Area, Key, Result, Structure};

use crate::census::{Batches, Listed};
use crate::fsck::Site;
use crate::graph::{Graph, Link};
use crate::{Effort, Unwatched, Watch, parallel, used};

/// What is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// A blob or manifest.
    Digest(Digest),
    /// A segment of a large object, by its whole name.
    Segment(String),
}

/// What an object is to a repository.
#[derive(Clone, Debug, Serialize)]
pub struct Use {
    /// The repository.
    pub repository: String,
    /// Images that need it.
    pub images: Vec<Image>,
    /// Whether it can be read there by its digest: there is a link to it.
    pub linked: bool,
}

/// An image that needs it.
#[derive(Clone, Debug, Serialize)]
pub struct Image {
    /// `repository:tag`, or `repository@digest` where no tag leads there.
    pub image: String,
    /// Its last push and pull, where they are known.
    #[serde(flatten)]
    pub happened: Happened,
}

/// Who uses it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Impact {
    /// The blob or manifest; none where a segment belongs to no object.
    pub digest: Option<String>,
    /// `manifest`, `blob`, or `unknown` where the store has no such bytes.
    pub kind: &'static str,
    /// Its bytes, where they are there.
    pub size: Option<u64>,
    /// By repository.
    pub uses: Vec<Use>,
    /// What could not be read: the answer may lack something.
    pub unknown: Vec<String>,
}

/// Walks through everything and answers who uses it. Only reads.
///
/// # Errors
/// The listing failed.
pub async fn impact(
    site: Site<'_>,
    question: &Question,
    effort: Effort,
    watch: &dyn Watch,
) -> Result<Impact> {
    let digest = match question {
        Question::Digest(digest) => Some(*digest),
        Question::Segment(name) => owner(site, name, effort, watch).await?,
    };
    let Some(digest) = digest else { return Ok(Impact { kind: "unknown", ..Impact::default() }) };
    let mut found = Impact { digest: Some(digest.to_string()), kind: "unknown", ..Impact::default() };
    if let Ok(meta) = site.registry.store().check(&layout::blob_data(&digest)).await {
        (found.kind, found.size) = ("blob", Some(meta.size));
    }
    watch.begin("reading repositories, links", None);
    let mut batches = Batches::new(site.inventory);
    while let Some(batch) = batches.next(|_| true).await? {
        let mut graph = Graph::of_blobs(HashSet::new());
        graph.fill(site.registry.store(), &batch.census, effort, &Unwatched).await;
        found.unknown.extend(graph.unknown());
        let nothing = Listed::default();
        let by_name = by_repository(graph.users_of(&batch.census, &HashSet::from([digest])).remove(&digest));
        for (name, view) in &graph.views {
            let listed = batch.census.repositories.get(name).unwrap_or(&nothing);
            if matches!(view.revisions.get(&digest), Some(Link::To(_))) {
                found.kind = "manifest";
            }
            let linked = listed.layers.contains(&digest) || listed.revisions.contains(&digest);
            let images = by_name.get(name.as_str()).cloned().unwrap_or_default();
            if linked || !images.is_empty() {
                found.uses.push(Use { repository: name.to_string(), images, linked });
            }
        }
        watch.advance(batch.rows);
    }
    note_use(&mut found, site, effort).await;
    Ok(found)
}

async fn note_use(found: &mut Impact, site: Site<'_>, effort: Effort) {
    let images = found.uses.iter().flat_map(|used| &used.images);
    let names = images.map(|image| image.image.clone()).collect();
    let mut known = used::of_images(site.registry, names, effort.parallel).await;
    for image in found.uses.iter_mut().flat_map(|used| &mut used.images) {
        image.happened = known.remove(&image.image).unwrap_or_default();
    }
}

fn by_repository(images: Option<impl IntoIterator<Item = String>>) -> BTreeMap<String, Vec<Image>> {
    let mut by_name: BTreeMap<String, Vec<Image>> = BTreeMap::new();
    for image in images.into_iter().flatten() {
        let name = image.split_once('@').or_else(|| image.rsplit_once(':')).map_or("", |(name, _)| name);
        let name = name.to_owned();
        by_name.entry(name).or_default().push(Image { image, happened: Happened::default() });
    }
    by_name
}

/// The blob whose object consists of a segment.
async fn owner(site: Site<'_>, segment: &str, effort: Effort, watch: &dyn Watch) -> Result<Option<Digest>> {
    watch.begin("looking at large objects", None);
    let (prefix, store) = (format!("{}/", layout::blobs()), site.registry.store());
    let mut after = Some(prefix.clone());
    while let Some(start) = after {
        let page = site.inventory.rows(Area::Objects, Some(&start)).await?;
        let all = page.rows.len();
        let rows = page.rows.into_iter().take_while(|row| row.name.starts_with(&prefix));
        let digests: Vec<Digest> = rows
            .filter_map(|row| match place(&row.name) {
                Some(Place::Blob(digest)) => Some(digest),
                _ => None,
            })
            .collect();
        after = page.next.filter(|_| digests.len() == all);
        let looked = parallel::each(digests, effort.parallel, watch, |digest| {
            Box::pin(async move {
                let structure = store.inspect(&layout::blob_data(&digest)).await.ok()?;
                consists_of(&structure, segment).then_some(digest)
            })
        });
        if let Some(digest) = looked.await.into_iter().flatten().next() {
            return Ok(Some(digest));
        }
    }
    Ok(None)
}

fn consists_of(structure: &Structure, segment: &str) -> bool {
    match structure {
        Structure::Plain => false,
        Structure::Static { segments } => segments.iter().any(|piece| piece.name == segment),
        Structure::Dynamic { prefix, .. } => {
            segment.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.starts_with('/'))
        }
    }
}

/// The question that a text asks: a digest, the key of a blob's object, or the name of a segment.
pub fn question(text: &str) -> Question {
    if let Ok(digest) = Digest::parse(text) {
        return Question::Digest(digest);
    }
    let key = Key::new(text.trim_start_matches("files/"));
    match place(key.as_str()) {
        Some(Place::Blob(digest) | Place::ChunkIndex(digest)) => Question::Digest(digest),
        _ => Question::Segment(text.to_owned()),
    }
}
