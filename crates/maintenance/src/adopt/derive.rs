//! Adoption: what is derivable of Distribution's content is written beside it. Re-points nothing, deletes nothing.
//!
//! Idempotent, and so resumable: what is there already is not done again.

use serde::Serialize;
use wharfinger_oci::manifest::MAX_MANIFEST_SIZE;
use wharfinger_oci::{Digest, Manifest, RepositoryName};
use wharfinger_registry::{Registry, layout};
use wharfinger_store::{Inventory, StoreErrorKind};

use crate::census::{Census, Tally};
use crate::prove::{Pace, Unproved, is_unlisted, whole};
use crate::{Effort, Finding, Kind, Watch, parallel};

/// What was derived.
#[derive(Debug, Default, Serialize)]
pub struct Derived {
    /// Blobs that were hashed and proved, with their bytes.
    pub proved: Tally,
    /// Of these, those that got a chunk index.
    pub indexed: u64,
    /// Of these, dynamic large objects that got the exact list of their segments.
    pub segment_lists: u64,
    /// Blobs that need nothing: proved earlier, or small and hashed on each read.
    pub as_they_are: Tally,
    /// Manifests that were entered into the referrers index.
    pub referrers: u64,
    /// Manifests that were in it already.
    pub known_referrers: u64,
    /// Repositories that the catalog lacked.
    pub catalogued: usize,
    /// What could not be proved because it is damaged.
    pub findings: Vec<Finding>,
    /// What could not be proved because it could not be read.
    pub unknown: Vec<String>,
}

/// What became of one blob.
enum Outcome {
    Proved { size: u64, indexed: bool, listed: bool },
    AsItIs(u64),
    Gone,
    Wrong(Finding),
    Unknown(String),
}

/// Derives everything that is not there yet.
///
/// # Errors
/// Not even a listing could be had.
pub async fn derive(
    registry: &Registry,
    inventory: &dyn Inventory,
    effort: Effort,
    watch: &dyn Watch,
) -> wharfinger_store::Result<Derived> {
    let census = Census::take(inventory, watch).await?;
    let mut derived = Derived::default();
    let manifests: Vec<(RepositoryName, Digest)> = census
        .repositories
        .iter()
        .flat_map(|(name, listed)| listed.revisions.iter().map(|digest| (name.clone(), *digest)))
        .collect();
    let are_manifests: std::collections::HashSet<Digest> =
        manifests.iter().map(|(_, digest)| *digest).collect();
    watch.begin("entering referrers", Some(manifests.len() as u64));
    let entered = parallel::each(manifests, effort.parallel, watch, |(name, digest)| {
        Box::pin(async move { enter_referrer(registry, &name, &digest).await })
    });
    for outcome in entered.await {
        match outcome {
            Ok(Some(true)) => derived.referrers += 1,
            Ok(Some(false)) => derived.known_referrers += 1,
            Ok(None) => {}
            Err(error) => derived.unknown.push(error),
        }
    }
    let names: Vec<RepositoryName> = census.names().cloned().collect();
    match registry.enter_in_catalog(&names).await {
        Ok(entered) => derived.catalogued = entered,
        Err(error) => derived.unknown.push(error.to_string()),
    }
    // A dynamic large object has no bytes of its own: also a manifest may be one.
    let blobs = census.blobs.iter().filter(|(digest, size)| **size == 0 || !are_manifests.contains(digest));
    let blobs: Vec<Digest> = blobs.map(|(digest, _)| *digest).collect();
    watch.begin("hashing blobs", Some(blobs.len() as u64));
    let pace = Pace::new(effort.rate);
    let pace = &pace;
    let outcomes = parallel::each(blobs, effort.parallel, watch, |digest| {
        Box::pin(async move { prove(registry, &digest, pace).await })
    });
    for outcome in outcomes.await {
        derived.count(outcome);
    }
    derived.findings.sort();
    derived.unknown.sort();
    Ok(derived)
}

impl Derived {
    fn count(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Proved { size, indexed, listed } => {
                self.proved.add(size);
                self.indexed += u64::from(indexed);
                self.segment_lists += u64::from(listed);
            }
            Outcome::AsItIs(size) => self.as_they_are.add(size),
            Outcome::Gone => {}
            Outcome::Wrong(finding) => self.findings.push(finding),
            Outcome::Unknown(error) => self.unknown.push(error),
        }
    }
}

/// Whether the manifest had to be entered; `None` where it refers to nothing or cannot be read as a manifest.
async fn enter_referrer(
    registry: &Registry,
    name: &RepositoryName,
    digest: &Digest,
) -> Result<Option<bool>, String> {
    let bytes = match registry.store().get(&layout::blob_data(digest), MAX_MANIFEST_SIZE).await {
        Ok(bytes) => bytes,
        Err(error) if error.is_not_found() || error.kind == StoreErrorKind::Invalid => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let Ok(manifest) = Manifest::parse_stored(&bytes) else { return Ok(None) };
    if manifest.subject.is_none() || Digest::of(digest.algorithm(), &bytes) != *digest {
        return Ok(None);
    }
    let size = bytes.len() as u64;
    registry.enter_referrer(name, digest, size, &manifest).await.map(Some).map_err(|error| error.to_string())
}

async fn prove(registry: &Registry, digest: &Digest, pace: &Pace) -> Outcome {
    match try_to_prove(registry, digest, pace).await {
        Ok(outcome) => outcome,
        Err(wharfinger_registry::Error::Store(error)) if error.is_not_found() => Outcome::Gone,
        Err(wharfinger_registry::Error::Store(error)) if error.kind == StoreErrorKind::Invalid => {
            Outcome::Wrong(Finding::new(Kind::BlobDamaged, digest, &error.source))
        }
        Err(error) => Outcome::Unknown(error.to_string()),
    }
}

async fn try_to_prove(
    registry: &Registry,
    digest: &Digest,
    pace: &Pace,
) -> wharfinger_registry::Result<Outcome> {
    let (unlisted, key) = (is_unlisted(registry, digest).await?, layout::blob_data(digest));
    let object = registry.store().open(&key).await?;
    let unindexed =
        !registry.needs_no_index(object.size) && registry.indexed_size(digest).await? != Some(object.size);
    if !unlisted && !unindexed {
        return Ok(Outcome::AsItIs(object.size));
    }
    match whole(&key, &object, digest, pace).await {
        Ok(index) => registry.keep_proof(digest, index, &object.data).await?,
        Err(Unproved::Wrong(reason)) => {
            return Ok(Outcome::Wrong(Finding::new(Kind::BlobDamaged, digest, reason)));
        }
        Err(Unproved::Failed(error)) => return Err(error.into()),
    }
    Ok(Outcome::Proved { size: object.size, indexed: unindexed, listed: unlisted })
}
