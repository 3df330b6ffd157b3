//! Ten million blobs, made up as they are asked for: what a walk holds in memory.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use wharfinger_maintenance::fsck::{Options, Site, check};
use wharfinger_maintenance::{Severity, Unwatched};
use wharfinger_oci::{Algorithm, Digest, RepositoryName, Tag, media_type};
use wharfinger_registry::layout::{self, Place, place};
use wharfinger_registry::{Options as RegistryOptions, Registry};
use wharfinger_store::{
    Area, Checkpoint, Delete, Durability, Inventory, Key, List, Meta, Object, ObjectData, Operation, Page,
    Result, Row, Rows, Staged, Store, StoreError, StoreErrorKind,
};

/// Layers of one manifest.
const LAYERS: u64 = 10_000;
const PAGE: usize = 10_000;
const SIZE: u64 = 1234;

/// A registry whose content is computed from its names. Blob `n` belongs to repository `n % repositories`, which has one
/// image of all its blobs.
#[derive(Clone)]
struct Synthetic {
    blobs: u64,
    repositories: u64,
    /// By digest: the repository.
    manifests: Arc<HashMap<Digest, u64>>,
    /// Sorted by digest, as the listing is.
    sorted: Arc<Vec<Digest>>,
}

impl Synthetic {
    fn new(blobs: u64) -> Synthetic {
        let repositories = blobs / LAYERS;
        let mut made = Synthetic { blobs, repositories, manifests: Arc::default(), sorted: Arc::default() };
        let manifests: HashMap<Digest, u64> =
            (0..repositories).map(|number| (Digest::sha256(&made.manifest(number)), number)).collect();
        let mut sorted: Vec<Digest> = manifests.keys().copied().collect();
        sorted.sort();
        (made.manifests, made.sorted) = (Arc::new(manifests), Arc::new(sorted));
        made
    }

    /// Digests that grow with their number: a listing needs no sorting.
    fn blob(&self, number: u64) -> Digest {
        let step = u64::MAX / self.blobs;
        let hex = format!("{:016x}{:048x}", number * step, number);
        Digest::from_hex(Algorithm::Sha256, &hex).unwrap()
    }

    fn number(&self, digest: &Digest) -> Option<u64> {
        let number = u64::from_str_radix(&digest.hex()[48..], 16).ok()?;
        (number < self.blobs && self.blob(number) == *digest).then_some(number)
    }

    fn name(number: u64) -> RepositoryName {
        RepositoryName::parse(&format!("team/app-{number:08}")).unwrap()
    }

    fn layers(&self, repository: u64) -> impl Iterator<Item = Digest> + '_ {
        (0..LAYERS).map(move |layer| self.blob(layer * self.repositories + repository))
    }

    fn manifest(&self, repository: u64) -> Vec<u8> {
        let descriptor = |digest: Digest| {
            format!(r#"{{"mediaType":"application/octet-stream","digest":"{digest}","size":{SIZE}}}"#)
        };
        let mut layers = self.layers(repository).map(descriptor);
        let config = layers.next().unwrap();
        let layers: Vec<String> = layers.collect();
        format!(
            r#"{{"schemaVersion":2,"mediaType":"{}","config":{config},"layers":[{}]}}"#,
            media_type::OCI_MANIFEST,
            layers.join(",")
        )
        .into_bytes()
    }

    fn manifest_of(&self, repository: u64) -> Digest {
        *self.manifests.iter().find(|(_, number)| **number == repository).unwrap().0
    }

    fn content(&self, key: &Key) -> Option<Bytes> {
        match place(key.as_str())? {
            Place::LayerLink(_, digest) | Place::RevisionLink(_, digest) | Place::TagIndex(_, _, digest) => {
                Some(digest.to_string().into())
            }
            Place::TagCurrent(name, _) => {
                let number = name.as_str().rsplit('-').next()?.parse().ok()?;
                Some(self.manifest_of(number).to_string().into())
            }
            Place::Blob(digest) => self.manifests.get(&digest).map(|number| self.manifest(*number).into()),
            _ => None,
        }
    }

    fn row(key: &Key, size: u64) -> Row {
        Row { name: key.as_str().to_owned(), size, modified: None, etag: None }
    }

    /// Blobs and manifests behind a digest.
    fn blob_rows(&self, after: Option<Digest>) -> Vec<Row> {
        let step = u64::MAX / self.blobs;
        let first = |digest: &Digest| u64::from_be_bytes(*digest.as_bytes().first_chunk().unwrap());
        let mut number = after.as_ref().map_or(0, |after| first(after) / step);
        let mut manifests =
            self.sorted.iter().filter(|digest| after.is_none_or(|after| **digest > after)).peekable();
        let mut rows = Vec::new();
        while rows.len() < PAGE && (number < self.blobs || manifests.peek().is_some()) {
            let blob = (number < self.blobs).then(|| self.blob(number));
            match (blob, manifests.peek()) {
                (Some(blob), Some(manifest)) if blob > **manifest => {
                    rows.push(Self::row(&layout::blob_data(manifest), 1));
                    manifests.next();
                }
                (Some(blob), _) => {
                    if after.is_none_or(|after| blob > after) {
                        rows.push(Self::row(&layout::blob_data(&blob), SIZE));
                    }
                    number += 1;
                }
                (None, Some(manifest)) => {
                    rows.push(Self::row(&layout::blob_data(manifest), 1));
                    manifests.next();
                }
                (None, None) => break,
            }
        }
        rows
    }

    /// A repository whole.
    fn repository_rows(&self, number: u64) -> Vec<Row> {
        let (name, manifest) = (Self::name(number), self.manifest_of(number));
        let layers = self.layers(number).map(|digest| layout::layer_link(&name, &digest));
        let mut keys: Vec<Key> = layers.collect();
        keys.push(layout::revision_link(&name, &manifest));
        keys.push(layout::tag_current(&name, &Tag::parse("v1").unwrap()));
        keys.sort_by(|one, other| one.as_str().cmp(other.as_str()));
        keys.iter().map(|key| Self::row(key, 71)).collect()
    }
}

#[async_trait]
impl Inventory for Synthetic {
    async fn rows(&self, area: Area, after: Option<&str>) -> Result<Rows> {
        let after = after.unwrap_or_default();
        if area != Area::Objects || after >= "docker/registry/v2/repositories0" {
            return Ok(Rows::default());
        }
        let blobs = layout::blobs();
        if after.is_empty() || after.starts_with(blobs.as_str()) {
            let digest = match place(after) {
                Some(Place::Blob(digest)) => Some(digest),
                _ => None,
            };
            let rows = self.blob_rows(digest);
            if !rows.is_empty() {
                let next = rows.last().map(|row| row.name.clone());
                return Ok(Rows { rows, next });
            }
        }
        let below = format!("{}/team/app-", layout::repositories());
        let number = after.strip_prefix(&below).and_then(|rest| rest.get(..8)?.parse().ok());
        // The page after the last row of one repository is the next one; a prefix without rows is that one itself.
        let number: u64 = match number {
            Some(number) if after.ends_with("/_") => number,
            Some(number) => number + 1,
            None => 0,
        };
        if number >= self.repositories {
            return Ok(Rows::default());
        }
        let rows = self.repository_rows(number);
        let next = rows.last().map(|row| row.name.clone());
        Ok(Rows { rows, next })
    }
}

fn missing(operation: Operation, key: &Key) -> StoreError {
    StoreError::new(StoreErrorKind::NotFound, operation, key, "no such object")
}

fn refused(key: &Key) -> StoreError {
    StoreError::new(StoreErrorKind::Denied, Operation::Put, key, "a walk only reads")
}

#[async_trait]
impl Store for Synthetic {
    fn name(&self) -> &'static str {
        "synthetic"
    }

    async fn get(&self, key: &Key, _limit: usize) -> Result<Bytes> {
        self.content(key).ok_or_else(|| missing(Operation::Get, key))
    }

    async fn open(&self, key: &Key) -> Result<Object> {
        let bytes = self.get(key, usize::MAX).await?;
        Ok(Object { size: bytes.len() as u64, data: ObjectData::Bytes(bytes) })
    }

    async fn head(&self, key: &Key) -> Result<Meta> {
        let size = match place(key.as_str()) {
            Some(Place::Blob(digest)) if self.number(&digest).is_some() => Some(SIZE),
            _ => self.content(key).map(|content| content.len() as u64),
        };
        let size = size.ok_or_else(|| missing(Operation::Head, key))?;
        Ok(Meta { size, modified: None })
    }

    async fn put(&self, key: &Key, _: Bytes, _: Durability) -> Result<()> {
        Err(refused(key))
    }

    async fn delete(&self, key: &Key, _: Delete) -> Result<bool> {
        Err(refused(key))
    }

    async fn list(&self, _: &Key, _: List) -> Result<Page> {
        Ok(Page::default())
    }

    async fn stage(&self, key: &Key, _: Option<&Checkpoint>) -> Result<Box<dyn Staged>> {
        Err(refused(key))
    }

    async fn discard(&self, key: &Key, _: &Checkpoint, _: Option<&Key>) -> Result<()> {
        Err(refused(key))
    }
}

/// The most that this process had in memory, in MiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

async fn walk(blobs: u64) -> u64 {
    let store = Synthetic::new(blobs);
    let registry = Registry::new(Arc::new(store.clone()), RegistryOptions::default());
    let site = Site { registry: &registry, inventory: &store };
    let started = std::time::Instant::now();
    let report = check(site, &Options::default(), &Unwatched).await.unwrap();
    assert_eq!(report.counts.blobs.objects, blobs);
    assert_eq!(report.counts.unreferenced.objects, 0);
    assert_eq!(report.of(Severity::Damage).count(), 0, "{:?}", report.findings.first());
    println!("{blobs} blobs: {} MiB at most, {:.0} s", peak(), started.elapsed().as_secs_f64());
    peak()
}

#[tokio::test]
async fn a_walk_over_many_blobs_needs_little_memory_for_each() {
    assert!(walk(50_000).await < 400);
}

#[tokio::test]
#[ignore = "minutes, and a release build: cargo xtask matrix runs it"]
async fn a_walk_over_ten_million_blobs_stays_below_a_gibibyte() {
    assert!(walk(10_000_000).await < 1024);
}
