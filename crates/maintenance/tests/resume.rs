//! A walk that is stopped goes on where it was, and says in the end what a walk without a stop says.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use wharfinger_maintenance::fsck::checkpoint::Checkpoint;
use wharfinger_maintenance::fsck::{Options as Walk, Report, Site, check};
use wharfinger_maintenance::{Severity, Unwatched};
use wharfinger_oci::{Algorithm, Digest, RepositoryName, Tag, media_type};
use wharfinger_registry::manifest::Push;
use wharfinger_registry::{Options, Registry, layout};
use wharfinger_store::{
    Area, Delete, Durability, Inventory, Memory, Operation, Result, Rows, Store, StoreError,
};

/// Rows of a page.
const PAGE: usize = 400;
/// So many that their links are more than one batch.
const REPOSITORIES: usize = 1_500;

/// A listing in small pages, that ends with an error after so many.
struct Pages {
    store: Arc<Memory>,
    asked: AtomicUsize,
    left: usize,
}

impl Pages {
    fn new(store: &Arc<Memory>, left: usize) -> Pages {
        Pages { store: store.clone(), asked: AtomicUsize::new(0), left }
    }
}

#[async_trait]
impl Inventory for Pages {
    async fn rows(&self, area: Area, after: Option<&str>) -> Result<Rows> {
        if self.asked.fetch_add(1, Ordering::SeqCst) >= self.left {
            let key = layout::repositories();
            return Err(StoreError::io(Operation::List, &key, std::io::Error::other("stopped")));
        }
        let mut all = self.store.rows(area, after).await?;
        if all.rows.len() > PAGE {
            all.rows.truncate(PAGE);
            all.next = all.rows.last().map(|row| row.name.clone());
        }
        Ok(all)
    }
}

async fn push_blob(registry: &Registry, name: &RepositoryName, content: &[u8]) -> Digest {
    let digest = Digest::sha256(content);
    let mut upload = registry.single_upload(name, "me", Algorithm::Sha256).unwrap();
    upload.write(Bytes::copy_from_slice(content)).await.unwrap();
    upload.finish(digest).await.unwrap();
    digest
}

/// An image; answers its layer.
async fn push(registry: &Registry, name: &str) -> Digest {
    let repository = RepositoryName::parse(name).unwrap();
    let layer = push_blob(registry, &repository, format!("layer of {name}").as_bytes()).await;
    let config = push_blob(registry, &repository, b"{}").await;
    let length = format!("layer of {name}").len();
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{{"mediaType":"a/b","digest":"{config}","size":2}},"layers":[{{"mediaType":"a/b","digest":"{layer}","size":{length}}}]}}"#,
        media_type::OCI_MANIFEST,
    );
    let push = Push {
        digest: None,
        tags: vec![Tag::parse("v1").unwrap()],
        content_type: Some(media_type::OCI_MANIFEST),
        bytes: manifest.into(),
    };
    registry.push_manifest(&repository, push).await.unwrap();
    layer
}

/// Many small images, four of which are damaged.
async fn site() -> Arc<Memory> {
    let store = Arc::new(Memory::new());
    let registry = Registry::new(store.clone(), Options::default());
    let mut layers = Vec::new();
    for number in 0..REPOSITORIES {
        layers.push(push(&registry, &format!("team/app{number}")).await);
    }
    for lost in [0, 700] {
        store.delete(&layout::blob_data(&layers[lost]), Delete::default()).await.unwrap();
    }
    for rotten in [3, 1_499] {
        let length = store.head(&layout::blob_data(&layers[rotten])).await.unwrap().size as usize;
        let other = vec![b'x'; length];
        store.put(&layout::blob_data(&layers[rotten]), other.into(), Durability::Synced).await.unwrap();
    }
    store
}

async fn walk(store: &Arc<Memory>, pages: &Pages, deep: bool, at: Option<&Path>) -> Result<Report> {
    let registry = Registry::new(store.clone(), Options::default());
    let site = Site { registry: &registry, inventory: pages };
    let checkpoint = at.map(|path| Checkpoint::new(path, "here", Duration::ZERO));
    check(site, &Walk { deep, checkpoint, ..Walk::default() }, &Unwatched).await
}

fn told(report: &Report) -> Vec<String> {
    report.of(Severity::Damage).map(ToString::to_string).collect()
}

#[tokio::test(start_paused = true)]
async fn a_walk_that_is_stopped_again_and_again_tells_what_one_without_a_stop_tells() {
    let store = site().await;
    for deep in [false, true] {
        let whole = walk(&store, &Pages::new(&store, usize::MAX), deep, None).await.unwrap();
        assert_eq!(told(&whole).len(), if deep { 4 } else { 2 }, "{whole:#?}");
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("walk");
        let mut stops = 0;
        let resumed = loop {
            // One more than a batch of repositories has.
            match walk(&store, &Pages::new(&store, 14), deep, Some(&path)).await {
                Ok(report) => break report,
                Err(error) => assert!(stops < 9, "it comes no further: {error}"),
            }
            stops += 1;
        };
        assert!(stops > 1, "it was stopped {stops} times");
        assert_eq!(told(&resumed), told(&whole));
        let counts = |report: &Report| serde_json::to_value(report.counts).unwrap();
        assert_eq!(counts(&resumed), counts(&whole));
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_looked_at_before_the_stop_is_not_listed_again() {
    let store = site().await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("walk");
    let whole = Pages::new(&store, usize::MAX);
    walk(&store, &whole, false, None).await.unwrap();
    let all = whole.asked.load(Ordering::SeqCst);
    let first = Pages::new(&store, 20);
    walk(&store, &first, false, Some(&path)).await.unwrap_err();
    let second = Pages::new(&store, usize::MAX);
    walk(&store, &second, false, Some(&path)).await.unwrap();
    let rest = second.asked.load(Ordering::SeqCst);
    assert!(rest <= all - 12, "{rest} of {all} pages after 20 were seen");
}
