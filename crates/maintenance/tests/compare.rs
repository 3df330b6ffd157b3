//! What a comparison of two sites tells, and what it does not tell.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use wharfinger_maintenance::compare::{Kind, Object, Options, Report, Side, Site, Sites, compare};
use wharfinger_maintenance::{Effort, Unwatched};
use wharfinger_oci::{Algorithm, Digest, RepositoryName, Tag, media_type};
use wharfinger_registry::manifest::Push;
use wharfinger_registry::{Registry, layout};
use wharfinger_store::{
    Area, Delete, Durability, Inventory, Key, Memory, Result, Rows, Store, StoreError, StoreErrorKind,
};

/// A listing that lacks some names or all entity tags, or cannot be had.
struct Listing {
    memory: Memory,
    lost: Vec<Key>,
    bare: bool,
    down: bool,
}

#[async_trait]
impl Inventory for Listing {
    async fn rows(&self, area: Area, after: Option<&str>) -> Result<Rows> {
        if self.down {
            let operation = wharfinger_store::Operation::List;
            return Err(StoreError::new(StoreErrorKind::Unavailable, operation, &Key::new("docker"), "down"));
        }
        // Pages of three rows, so that there are many.
        let mut rows = self.memory.rows(area, after).await?;
        let more = rows.rows.len() > 3;
        rows.rows.truncate(3);
        rows.next = rows.rows.last().filter(|_| more).map(|row| row.name.clone());
        rows.rows.iter_mut().filter(|_| self.bare).for_each(|row| row.etag = None);
        rows.rows.retain(|row| self.lost.iter().all(|lost| lost.as_str() != row.name));
        Ok(rows)
    }
}

/// Two sites with the same content, to be made different.
struct Pair {
    here: Memory,
    there: Memory,
    /// Names that the listing there lacks.
    lost: Vec<Key>,
    /// Whether that listing has no entity tags, as that of a directory.
    bare: bool,
    app: RepositoryName,
    layer: Digest,
    manifest: Digest,
}

fn name(text: &str) -> RepositoryName {
    RepositoryName::parse(text).unwrap()
}

fn tag(text: &str) -> Tag {
    Tag::parse(text).unwrap()
}

async fn push_blob(registry: &Registry, repository: &RepositoryName, content: &[u8]) -> Digest {
    let digest = Digest::sha256(content);
    let mut upload = registry.single_upload(repository, "anonymous", Algorithm::Sha256).unwrap();
    upload.write(Bytes::copy_from_slice(content)).await.unwrap();
    upload.finish(digest).await.unwrap();
    digest
}

/// An image of one layer; returns manifest and layer.
async fn push_image(
    store: &Memory,
    repository: &RepositoryName,
    tags: &[&str],
    seed: u8,
) -> (Digest, Digest) {
    let registry = Registry::new(Arc::new(store.clone()), wharfinger_registry::Options::default());
    let layer = push_blob(&registry, repository, &[seed; 3000]).await;
    let config = push_blob(&registry, repository, b"{}").await;
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{{"mediaType":"a/b","digest":"{config}","size":2}},
            "layers":[{{"mediaType":"a/b","digest":"{layer}","size":3000}}]}}"#,
        media_type::OCI_MANIFEST
    );
    let push = Push {
        digest: None,
        tags: tags.iter().map(|text| tag(text)).collect(),
        content_type: Some(media_type::OCI_MANIFEST),
        bytes: manifest.into(),
    };
    (registry.push_manifest(repository, push).await.unwrap().digest, layer)
}

async fn copy(from: &Memory, to: &Memory) {
    for row in from.rows(Area::Objects, None).await.unwrap().rows {
        let key = Key::new(row.name);
        let bytes = from.get(&key, 1 << 20).await.unwrap();
        to.put(&key, bytes, Durability::Synced).await.unwrap();
    }
}

async fn delete(store: &Memory, key: &Key) {
    assert!(store.delete(key, Delete::default()).await.unwrap(), "{key}");
}

async fn put(store: &Memory, key: &Key, bytes: impl Into<Bytes>) {
    store.put(key, bytes.into(), Durability::Synced).await.unwrap();
}

impl Pair {
    async fn new() -> Pair {
        let (here, there, app) = (Memory::new(), Memory::new(), name("team/app"));
        let (manifest, layer) = push_image(&here, &app, &["v1", "latest"], 1).await;
        push_image(&here, &name("other"), &["v1"], 2).await;
        copy(&here, &there).await;
        Pair { here, there, lost: Vec::new(), bare: false, app, layer, manifest }
    }

    fn sites(&self, down: bool) -> Sites {
        let site =
            |memory: &Memory, listing| Site { store: Arc::new(memory.clone()), inventory: Arc::new(listing) };
        let here = Listing { memory: self.here.clone(), lost: Vec::new(), bare: false, down: false };
        let lost = self.lost.clone();
        let there = Listing { memory: self.there.clone(), lost, bare: self.bare, down };
        Sites { here: site(&self.here, here), there: site(&self.there, there) }
    }

    /// Compares with no time to settle: everything counts.
    async fn compare(&self) -> Report {
        self.compare_within(Duration::ZERO).await
    }

    async fn compare_within(&self, settle: Duration) -> Report {
        let options = Options { settle, effort: Effort { parallel: 4, rate: None }, ..Options::default() };
        compare(&self.sites(false), &options, &Unwatched).await.unwrap()
    }
}

/// The differences as kind and object, and the images that they hit.
fn told(report: &Report) -> Vec<(Kind, Object, Vec<&str>)> {
    assert!(report.unknown.is_empty() && report.unseen == 0, "{report:?}");
    let mut told = Vec::new();
    for one in &report.differences {
        told.push((one.kind, one.object, one.images.iter().map(String::as_str).collect()));
    }
    told
}

/// The images that cannot be pulled at a site.
fn broken(report: &Report, side: Side) -> Vec<&str> {
    let images = report.images.iter().filter(|image| image.cannot_be_pulled.contains(&side));
    images.map(|image| image.image.as_str()).collect()
}

#[tokio::test(start_paused = true)]
async fn copies_are_the_same_whatever_each_site_derived_for_itself() {
    let pair = Pair::new().await;
    // Chunk indexes, catalog, marks and sessions of one site alone; uploads of Distribution at the other.
    put(&pair.here, &Key::new("wharfinger/v1/catalog/complete"), "").await;
    put(&pair.here, &layout::damaged(&pair.layer), "1").await;
    put(&pair.there, &layout::chunk_index(&Digest::sha256(b"x")), "index").await;
    put(&pair.there, &layout::foreign_uploads(&pair.app).join("1-2/startedat"), "now").await;
    put(&pair.there, &Key::new("somebody/elses"), "x").await;
    let report = pair.compare().await;
    assert!(report.is_same() && report.in_flight.is_empty() && report.images.is_empty(), "{report:?}");
    assert_eq!((report.here.tags, report.there.tags), (3, 3));
    assert_eq!((report.there.uploads.objects, report.there.foreign.objects), (1, 1));
    assert_eq!(report.here.blobs, report.there.blobs);
}

#[tokio::test(start_paused = true)]
async fn a_blob_that_is_missing_at_one_site_is_told_with_the_images_that_need_it() {
    for side in Side::BOTH {
        let pair = Pair::new().await;
        let (store, kind) = match side {
            Side::Here => (&pair.here, Kind::MissingHere),
            Side::There => (&pair.there, Kind::MissingThere),
        };
        delete(store, &layout::blob_data(&pair.layer)).await;
        let report = pair.compare().await;
        assert_eq!(told(&report), [(kind, Object::Blob, vec!["team/app:latest", "team/app:v1"])]);
        assert_eq!(broken(&report, side), ["team/app:latest", "team/app:v1"]);
        assert!(broken(&report, side.other()).is_empty());
        let difference = &report.differences[0];
        assert_eq!(difference.digest.as_deref(), Some(pair.layer.to_string().as_str()));
        assert_eq!(
            (difference.here.is_none(), difference.there.is_none()),
            (side == Side::Here, side == Side::There)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_listing_lacks_or_shows_wrongly_is_no_difference_if_a_read_by_name_finds_it() {
    let mut pair = Pair::new().await;
    pair.lost = vec![
        layout::blob_data(&pair.layer),
        layout::tag_current(&pair.app, &tag("v1")),
        layout::revision_link(&pair.app, &pair.manifest),
        layout::layer_link(&pair.app, &pair.layer),
    ];
    let report = pair.compare().await;
    assert!(report.is_same(), "{report:?}");
    assert_eq!(report.there.tags, 2, "the listing lacks it");
}

#[tokio::test(start_paused = true)]
async fn what_was_written_lately_is_in_flight() {
    let pair = Pair::new().await;
    push_image(&pair.here, &pair.app, &["v2"], 3).await;
    let report = pair.compare_within(Duration::from_secs(600)).await;
    assert!(report.is_same(), "{report:?}");
    // Layer and manifest, their links, the tag and its history.
    assert_eq!(report.in_flight.len(), 6, "{report:?}");
    assert_eq!(report.images.len(), 1);
    assert!(report.images[0].in_flight && report.images[0].image == "team/app:v2");
    let late = pair.compare().await;
    assert_eq!((late.differences.len(), late.in_flight.len()), (6, 0));
    assert_eq!(broken(&late, Side::There), ["team/app:v2"]);
    copy(&pair.here, &pair.there).await;
    assert!(pair.compare().await.is_same());
}

#[tokio::test(start_paused = true)]
async fn a_tag_that_leads_elsewhere_is_told_with_both_digests() {
    let pair = Pair::new().await;
    let (second, _) = push_image(&pair.here, &pair.app, &["v2"], 3).await;
    copy(&pair.here, &pair.there).await;
    put(&pair.there, &layout::tag_current(&pair.app, &tag("v1")), second.to_string()).await;
    let report = pair.compare().await;
    assert_eq!(told(&report), [(Kind::Differs, Object::Tag, vec!["team/app:v1"])]);
    let difference = &report.differences[0];
    let digest = |seen: &Option<wharfinger_maintenance::compare::Seen>| seen.clone().unwrap().digest.unwrap();
    assert_eq!(digest(&difference.here), pair.manifest.to_string());
    assert_eq!(digest(&difference.there), second.to_string());
    assert!(report.images[0].cannot_be_pulled.is_empty(), "both sites serve an image");
}

#[tokio::test(start_paused = true)]
async fn where_a_listing_has_no_entity_tags_what_a_tag_holds_is_read() {
    let mut pair = Pair::new().await;
    pair.bare = true;
    assert!(pair.compare().await.is_same());
    put(&pair.there, &layout::tag_current(&pair.app, &tag("v1")), Digest::sha256(b"x").to_string()).await;
    assert_eq!(told(&pair.compare().await), [(Kind::Differs, Object::Tag, vec!["team/app:v1"])]);
}

#[tokio::test(start_paused = true)]
async fn of_two_blobs_of_one_length_the_digest_says_which_is_wrong() {
    let pair = Pair::new().await;
    put(&pair.there, &layout::blob_data(&pair.layer), vec![9; 3000]).await;
    let report = pair.compare().await;
    assert_eq!(told(&report), [(Kind::DamagedThere, Object::Blob, vec!["team/app:latest", "team/app:v1"])]);
    let damage = report.differences[0].there.clone().unwrap().damage.unwrap();
    assert!(damage.contains("have the digest sha256:"), "{damage}");
}

#[tokio::test(start_paused = true)]
async fn of_two_blobs_of_different_length_the_manifests_say_which_is_wrong() {
    let pair = Pair::new().await;
    put(&pair.here, &layout::blob_data(&pair.layer), vec![1; 2000]).await;
    let report = pair.compare().await;
    assert_eq!(told(&report), [(Kind::DamagedHere, Object::Blob, vec!["team/app:latest", "team/app:v1"])]);
    let damage = report.differences[0].here.clone().unwrap().damage.unwrap();
    assert_eq!(damage, "it has 2000 bytes, the manifests that name it say 3000");
}

#[tokio::test(start_paused = true)]
async fn a_link_that_is_broken_or_leads_elsewhere_is_damage_of_its_site() {
    let pair = Pair::new().await;
    put(&pair.there, &layout::layer_link(&pair.app, &pair.layer), "").await;
    put(&pair.here, &layout::revision_link(&pair.app, &pair.manifest), pair.layer.to_string()).await;
    let report = pair.compare().await;
    let images = vec!["team/app:latest", "team/app:v1"];
    assert_eq!(
        told(&report),
        [
            (Kind::DamagedThere, Object::LayerLink, images.clone()),
            (Kind::DamagedHere, Object::Revision, images)
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn only_what_hits_the_repositories_of_interest_is_told() {
    let pair = Pair::new().await;
    delete(&pair.there, &layout::blob_data(&pair.layer)).await;
    delete(&pair.there, &layout::tag_current(&name("other"), &tag("v1"))).await;
    let only = |wanted: &'static str| move |name: &str| name == wanted;
    for (wanted, expected) in
        [("team/app", vec![Object::Blob]), ("other", vec![Object::Tag]), ("none", vec![])]
    {
        let wants = only(wanted);
        let options = Options { settle: Duration::ZERO, repositories: Some(&wants), ..Options::default() };
        let report = compare(&pair.sites(false), &options, &Unwatched).await.unwrap();
        let objects: Vec<Object> = report.differences.iter().map(|one| one.object).collect();
        assert_eq!(objects, expected, "{wanted}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_site_that_cannot_be_listed_is_named() {
    let pair = Pair::new().await;
    let failed = compare(&pair.sites(true), &Options::default(), &Unwatched).await.unwrap_err();
    assert_eq!(failed.side, Side::There);
}
