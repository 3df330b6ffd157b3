//! Links are answered from memory for a moment, and nobody can tell: not after a tag was moved or anything deleted by
//! another instance.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

#[path = "common/swift.rs"]
mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::join_all;
use wharfinger_fake_swift::{FakeSwift, Options as Cluster};
use wharfinger_oci::{Algorithm, Digest, Reference, RepositoryName, Tag};
use wharfinger_registry::manifest::Push;
use wharfinger_registry::{Error, Lease, Options, Registry};

const LIFE: Duration = Duration::from_millis(150);

fn instance(swift: &FakeSwift, settled: Duration) -> Registry {
    let lease = Lease { life: LIFE, settled };
    let options = Options { lease, require_blobs: false, ..Options::default() };
    Registry::new(Arc::new(common::store(swift, 4)), options)
}

fn name() -> RepositoryName {
    RepositoryName::parse("team/app").unwrap()
}

fn tag() -> Reference {
    Reference::parse("latest").unwrap()
}

/// Pushes image `number` as `latest`.
async fn push(registry: &Registry, number: usize) -> Digest {
    let config = format!("{{\"number\":{number}}}");
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": Digest::sha256(config.as_bytes()).to_string(),
            "size": config.len(),
        },
        "layers": [],
    });
    let bytes = Bytes::from(manifest.to_string());
    let tags = vec![Tag::parse("latest").unwrap()];
    let push = Push { digest: None, tags, content_type: None, bytes };
    registry.push_manifest(&name(), push).await.unwrap().digest
}

async fn pull(registry: &Registry, reference: &Reference) -> Result<Digest, Error> {
    Ok(registry.pull_manifest(&name(), reference).await?.manifest.digest)
}

#[tokio::test]
async fn a_tag_moved_by_another_instance_is_never_stale_after_the_answer() {
    let swift = FakeSwift::start(Cluster::default());
    let [here, there] = [instance(&swift, Duration::ZERO), instance(&swift, Duration::ZERO)];
    push(&here, 0).await;
    for number in 1..8 {
        pull(&there, &tag()).await.unwrap();
        let asking = tokio::spawn({
            let there = there.clone();
            // Somebody asks all the time, so the link is always remembered.
            async move {
                loop {
                    pull(&there, &tag()).await.unwrap();
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        });
        let pushed = push(&here, number).await;
        assert_eq!(pull(&there, &tag()).await.unwrap(), pushed, "a stale tag");
        assert_eq!(pull(&here, &tag()).await.unwrap(), pushed, "a stale tag where it was pushed");
        asking.abort();
    }
}

#[tokio::test]
async fn what_another_instance_deleted_is_gone_after_the_answer() {
    let swift = FakeSwift::start(Cluster::default());
    let [here, there] = [instance(&swift, Duration::ZERO), instance(&swift, Duration::ZERO)];
    let digest = Reference::Digest(push(&here, 1).await);
    pull(&there, &tag()).await.unwrap();
    here.delete_manifest(&name(), &tag()).await.unwrap();
    assert!(matches!(pull(&there, &tag()).await, Err(Error::ManifestUnknown(..))), "a deleted tag");
    pull(&there, &digest).await.unwrap();
    here.delete_manifest(&name(), &digest).await.unwrap();
    assert!(matches!(pull(&there, &digest).await, Err(Error::ManifestUnknown(..))), "a deleted manifest");
    let content = b"some layer";
    let blob = Digest::sha256(content);
    let mut writer = here.single_upload(&name(), "me", Algorithm::Sha256).unwrap();
    writer.write(Bytes::from_static(content)).await.unwrap();
    writer.finish(blob).await.unwrap();
    assert_eq!(common::pull(&there, &name(), &blob).await, content);
    here.delete_blob(&name(), &blob).await.unwrap();
    assert!(matches!(there.blob(&name(), &blob).await, Err(Error::BlobUnknown(..))), "a deleted blob");
}

#[tokio::test]
async fn a_settled_tag_is_read_once_for_all_who_ask_in_a_moment() {
    let swift = FakeSwift::start(Cluster::default());
    let registry = instance(&swift, Duration::ZERO);
    let pushed = push(&registry, 1).await;
    pull(&registry, &tag()).await.unwrap();
    tokio::time::sleep(LIFE).await;
    let (before, begun) = (swift.request_count(), Instant::now());
    let reference = tag();
    let pulls = join_all((0..500).map(|_| pull(&registry, &reference))).await;
    assert!(pulls.into_iter().all(|pulled| pulled.unwrap() == pushed));
    let moments = 1 + begun.elapsed().as_millis() / LIFE.as_millis();
    assert!(u128::from(swift.request_count() - before) <= moments, "asked more than once");
}

#[tokio::test]
async fn a_cold_tag_that_is_not_there_is_asked_for_twice_at_most() {
    let swift = FakeSwift::start(Cluster::default());
    let registry = instance(&swift, Duration::from_secs(60));
    push(&registry, 1).await;
    let missing = Reference::parse("missing").unwrap();
    let before = swift.request_count();
    let pulls = join_all((0..500).map(|_| pull(&registry, &missing))).await;
    assert!(pulls.into_iter().all(|pulled| matches!(pulled, Err(Error::ManifestUnknown(..)))));
    // Once for who came first, once for all who came after that had begun; a look at all copies follows each.
    assert!(swift.request_count() - before <= 4, "{} requests", swift.request_count() - before);
}

#[tokio::test]
async fn a_young_link_is_read_by_name_each_time_and_replaced_without_a_wait() {
    let swift = FakeSwift::start(Cluster::default());
    let registry = instance(&swift, Duration::from_secs(60));
    let begun = Instant::now();
    push(&registry, 1).await;
    assert!(begun.elapsed() < LIFE, "a new tag waits for nobody");
    for _ in 0..3 {
        let before = swift.request_count();
        pull(&registry, &tag()).await.unwrap();
        assert!(swift.request_count() > before, "a link of the last minute came from memory");
    }
}
