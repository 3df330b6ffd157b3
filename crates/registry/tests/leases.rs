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

/// Pushes a blob to that repository.
async fn push_blob(registry: &Registry, repository: &RepositoryName, content: &'static [u8]) -> Digest {
    let digest = Digest::sha256(content);
    let mut writer = registry.single_upload(repository, "me", Algorithm::Sha256).unwrap();
    writer.write(Bytes::from_static(content)).await.unwrap();
    writer.finish(digest).await.unwrap();
    digest
}

#[tokio::test]
async fn a_young_blob_is_looked_at_twice_at_most_for_all_who_ask_at_once_and_so_is_its_absence() {
    let swift = FakeSwift::start(Cluster::default());
    let registry = instance(&swift, Duration::from_secs(60));
    let pushed = push_blob(&registry, &name(), b"some layer").await;
    for digest in [pushed, Digest::sha256(b"nothing")] {
        let (before, name) = (swift.request_count(), name());
        let alone = registry.stat_blob(&name, &digest).await.is_ok();
        let once = swift.request_count() - before;
        assert!(once > 0, "a link of the last minute came from memory");
        let before = swift.request_count();
        let looks = join_all((0..500).map(|_| registry.stat_blob(&name, &digest))).await;
        assert!(looks.iter().all(|look| look.is_ok() == alone && alone == (digest == pushed)));
        // Once for who came first, once for all who came after that had begun.
        let asked = swift.request_count() - before;
        assert!(asked <= 2 * once, "{asked} requests, {once} for one look");
    }
}

#[tokio::test]
async fn a_settled_blob_is_looked_at_once_in_a_moment() {
    let swift = FakeSwift::start(Cluster::default());
    let registry = instance(&swift, Duration::ZERO);
    let (name, digest) = (name(), push_blob(&registry, &name(), b"some layer").await);
    let before = swift.request_count();
    assert_eq!(registry.stat_blob(&name, &digest).await.unwrap(), 10);
    let once = swift.request_count() - before;
    tokio::time::sleep(LIFE).await;
    let (before, begun, mut looks) = (swift.request_count(), Instant::now(), 0_u32);
    while begun.elapsed() < 3 * LIFE {
        registry.stat_blob(&name, &digest).await.unwrap();
        looks += 1;
        tokio::task::yield_now().await;
    }
    let moments = 1 + begun.elapsed().as_millis() / LIFE.as_millis();
    let asked = u128::from(swift.request_count() - before);
    assert!(asked <= moments * u128::from(once) && looks > 1_000, "{asked} requests for {looks} looks");
}

/// CVE-2026-35172: what was deleted in one repository was offered there again by way of another.
#[tokio::test]
async fn a_blob_deleted_in_one_repository_is_gone_there_while_many_ask_for_it_in_both() {
    let swift = FakeSwift::start(Cluster::default());
    let [here, there] = [instance(&swift, Duration::ZERO), instance(&swift, Duration::ZERO)];
    let other = RepositoryName::parse("other").unwrap();
    let digest = push_blob(&here, &name(), b"some layer").await;
    for _ in 0..5 {
        push_blob(&here, &name(), b"some layer").await;
        push_blob(&here, &other, b"some layer").await;
        let asking: Vec<_> = [name(), other.clone(), name(), other.clone()]
            .into_iter()
            .map(|repository| {
                let there = there.clone();
                tokio::spawn(async move {
                    loop {
                        let _ = there.stat_blob(&repository, &digest).await;
                        tokio::task::yield_now().await;
                    }
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(20)).await;
        here.delete_blob(&name(), &digest).await.unwrap();
        for registry in [&here, &there] {
            let gone = registry.stat_blob(&name(), &digest).await;
            assert!(matches!(gone, Err(Error::BlobUnknown(..))), "offered after it was deleted: {gone:?}");
            assert_eq!(registry.stat_blob(&other, &digest).await.unwrap(), 10);
        }
        asking.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

#[tokio::test]
async fn a_push_asks_for_its_blobs_by_name_also_where_clients_were_just_told_of_them() {
    let swift = FakeSwift::start(Cluster::default());
    let lease = Lease { life: Duration::from_secs(60), settled: Duration::ZERO };
    let options = Options { lease, ..Options::default() };
    let registry = Registry::new(Arc::new(common::store(&swift, 4)), options);
    let digest = push_blob(&instance(&swift, Duration::ZERO), &name(), b"{}").await;
    assert_eq!(registry.stat_blob(&name(), &digest).await.unwrap(), 2);
    let link = wharfinger_registry::layout::layer_link(&name(), &digest).to_string();
    swift.remove(common::CONTAINER, &format!("files/{link}"));
    assert_eq!(registry.stat_blob(&name(), &digest).await.unwrap(), 2, "no lease to be wary of");
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": digest.to_string(),
            "size": 2,
        },
        "layers": [],
    });
    let tags = vec![Tag::parse("latest").unwrap()];
    let push = Push { digest: None, tags, content_type: None, bytes: manifest.to_string().into() };
    let pushed = registry.push_manifest(&name(), push).await.map(|pushed| pushed.digest);
    assert!(matches!(pushed, Err(Error::ManifestBlobUnknown { .. })), "believed a lease: {pushed:?}");
}
