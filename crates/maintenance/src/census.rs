//! What a listing of a whole store shows, by kind.
//!
//! About a hundred bytes of memory for each link and blob.

mod batches;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde::{Deserialize, Serialize};
use wharfinger_oci::{Algorithm, Digest, RepositoryName, Tag};
use wharfinger_registry::SessionId;
use wharfinger_registry::layout::{self, Place, place};
use wharfinger_store::{Area, Inventory, Key, Result, Row};

pub use batches::{Batch, Batches};

use crate::{Unwatched, Watch};

/// Names that are given as examples.
const EXAMPLES: usize = 10;

/// How many, and how many bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Objects.
    pub objects: u64,
    /// Their bytes together.
    pub bytes: u64,
}

impl Tally {
    /// Counts one more.
    pub fn add(&mut self, bytes: u64) {
        self.objects += 1;
        self.bytes += bytes;
    }
}

/// Names that are not of the layout.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Foreign {
    /// All of them.
    #[serde(flatten)]
    pub tally: Tally,
    /// The first ten.
    pub examples: Vec<String>,
}

impl Foreign {
    pub(crate) fn add(&mut self, row: Row) {
        self.tally.add(row.size);
        if self.examples.len() < EXAMPLES {
            self.examples.push(row.name);
        }
    }
}

/// What a listing shows below one repository.
#[derive(Clone, Debug, Default)]
pub struct Listed {
    /// Tags, and whether each has a link to a manifest.
    pub tags: BTreeMap<Tag, bool>,
    /// Manifests that have a revision link.
    pub revisions: BTreeSet<Digest>,
    /// Blobs that have a layer link.
    pub layers: BTreeSet<Digest>,
    /// Links that are longer or shorter than a digest.
    pub odd: Vec<Key>,
    /// Uploads of Distribution.
    pub uploads: BTreeSet<String>,
}

/// Everything that a listing shows.
#[derive(Debug, Default)]
pub struct Census {
    /// By name.
    pub repositories: BTreeMap<RepositoryName, Listed>,
    /// Blobs and manifests, with the bytes that the listing tells.
    pub blobs: HashMap<Digest, u64>,
    /// Blobs that have a chunk index.
    pub indexed: HashSet<Digest>,
    /// Upload sessions of ours.
    pub sessions: HashSet<SessionId>,
    /// Links of all kinds.
    pub links: Tally,
    /// Objects of uploads of Distribution.
    pub uploads: Tally,
    /// Objects that are ours alone.
    pub ours: Tally,
    /// Names that are not of the layout.
    pub foreign: Foreign,
    /// Links to content of another algorithm than SHA-256.
    pub other_algorithms: u64,
}

impl Census {
    /// Lists every object.
    ///
    /// # Errors
    /// The listing failed.
    pub async fn take(inventory: &dyn Inventory, watch: &dyn Watch) -> Result<Census> {
        let mut census = Census::default();
        watch.begin("listing objects", None);
        each_row(inventory, Area::Objects, watch, |row| census.count(row)).await?;
        Ok(census)
    }

    /// Lists these repositories, and nothing else.
    ///
    /// # Errors
    /// The listing failed.
    pub async fn of(
        inventory: &dyn Inventory,
        names: &BTreeSet<RepositoryName>,
        watch: &dyn Watch,
    ) -> Result<Census> {
        let mut census = Census::default();
        watch.begin("listing repositories", Some(names.len() as u64));
        for name in names {
            // What a repository holds begins with an underscore, names below it do not: it lies in one piece.
            let below = format!("{}/_", layout::repository(name.as_str()));
            rows_below(inventory, &below, &Unwatched, |row| census.count(row)).await?;
            watch.advance(1);
        }
        Ok(census)
    }

    pub(crate) fn count(&mut self, row: Row) {
        match place(&row.name) {
            None => self.foreign.add(row),
            Some(Place::Blob(digest)) => drop(self.blobs.insert(digest, row.size)),
            Some(Place::ForeignUpload(name, upload, _)) => {
                self.uploads.add(row.size);
                self.repositories.entry(name).or_default().uploads.insert(upload);
            }
            Some(Place::ChunkIndex(digest)) => {
                self.ours.add(row.size);
                self.indexed.insert(digest);
            }
            Some(Place::Session(session)) => {
                self.ours.add(row.size);
                self.sessions.insert(session);
            }
            Some(Place::Referrer(..) | Place::Audit | Place::Instance(_) | Place::Ours) => {
                self.ours.add(row.size);
            }
            Some(Place::SignatureLink(_)) => self.links.add(row.size),
            Some(Place::LayerLink(name, digest)) => {
                self.link(&name, &row, &digest).layers.insert(digest);
            }
            Some(Place::RevisionLink(name, digest)) => {
                self.link(&name, &row, &digest).revisions.insert(digest);
            }
            Some(Place::TagIndex(name, tag, digest)) => {
                self.link(&name, &row, &digest).tags.entry(tag).or_default();
            }
            Some(Place::TagCurrent(name, tag)) => {
                self.links.add(row.size);
                self.repositories.entry(name).or_default().tags.insert(tag, true);
            }
        }
    }

    fn link(&mut self, name: &RepositoryName, row: &Row, digest: &Digest) -> &mut Listed {
        self.links.add(row.size);
        if digest.algorithm() != Algorithm::Sha256 {
            self.other_algorithms += 1;
        }
        let listed = self.repositories.entry(name.clone()).or_default();
        if !is_length_of_link(row.size) {
            listed.odd.push(Key::new(row.name.clone()));
        }
        listed
    }

    /// Repositories that have something in them; an upload alone makes none.
    pub fn names(&self) -> impl Iterator<Item = &RepositoryName> {
        let holds = |listed: &Listed| {
            !(listed.tags.is_empty() && listed.revisions.is_empty() && listed.layers.is_empty())
        };
        self.repositories.iter().filter(move |(_, listed)| holds(listed)).map(|(name, _)| name)
    }

    /// Tags that have a link to a manifest.
    pub fn tags(&self) -> usize {
        self.repositories.values().flat_map(|listed| listed.tags.values()).filter(|current| **current).count()
    }
}

/// A digest as text: the algorithm, a colon, two digits a byte.
fn is_length_of_link(size: u64) -> bool {
    let length = |algorithm: Algorithm| (algorithm.as_str().len() + 1 + 2 * algorithm.size()) as u64;
    [Algorithm::Sha256, Algorithm::Sha512].into_iter().any(|algorithm| size == length(algorithm))
}

/// Hands on the rows whose names begin with `prefix`.
///
/// # Errors
/// The listing failed.
pub(crate) async fn rows_below(
    inventory: &dyn Inventory,
    prefix: &str,
    watch: &dyn Watch,
    mut take: impl FnMut(Row),
) -> Result<()> {
    let mut after = Some(prefix.to_owned());
    while let Some(start) = after {
        let page = inventory.rows(Area::Objects, Some(&start)).await?;
        let full = page.rows.len();
        let mut below = 0;
        for row in page.rows.into_iter().take_while(|row| row.name.starts_with(prefix)) {
            below += 1;
            take(row);
        }
        watch.advance(below as u64);
        after = page.next.filter(|_| below == full);
    }
    Ok(())
}

/// Hands on every row of an area.
///
/// # Errors
/// The listing failed.
pub async fn each_row(
    inventory: &dyn Inventory,
    area: Area,
    watch: &dyn Watch,
    mut take: impl FnMut(Row),
) -> Result<()> {
    let mut after = None;
    loop {
        let page = inventory.rows(area, after.as_deref()).await?;
        watch.advance(page.rows.len() as u64);
        page.rows.into_iter().for_each(&mut take);
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(()),
        }
    }
}
