//! Upload sessions: they survive their process, belong to one repository and identity, and are purged by age.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use wharfinger_oci::{Algorithm, Digest, RepositoryName};
use wharfinger_registry::{Error, Options, Purged, Registry, SessionId, layout};
use wharfinger_store::Filesystem;

const ME: &str = "user:me";

fn open(path: &Path) -> Registry {
    Registry::new(Arc::new(Filesystem::open(path).unwrap()), Options::default())
}

fn name(text: &str) -> RepositoryName {
    RepositoryName::parse(text).unwrap()
}

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i % 251) as u8 ^ (i / 65_536) as u8).collect()
}

async fn add(registry: &Registry, id: SessionId, bytes: &[u8]) {
    let mut writer = registry.open_upload(&name("a"), ME, id).await.unwrap();
    writer.write(Bytes::copy_from_slice(bytes)).await.unwrap();
    writer.pause().await.unwrap();
}

#[tokio::test]
async fn another_process_goes_on_with_the_saved_hash() {
    let directory = tempfile::tempdir().unwrap();
    let all = content(5_000_000);
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        let id = open(directory.path()).start_upload(&name("a"), ME, Algorithm::Sha256).await.unwrap().id;
        let mut from = 0;
        for to in [10, 60_000, 70_000, 1_048_576, 3_000_001, 5_000_000] {
            add(&open(directory.path()), id, &all[from..to]).await;
            from = to;
            let status = open(directory.path()).upload_status(&name("a"), ME, id).await.unwrap();
            assert_eq!(status.length, to as u64);
        }
        let registry = open(directory.path());
        let digest = Digest::of(algorithm, &all);
        let closing = registry.open_upload(&name("a"), ME, id).await.unwrap().finish(digest).await.unwrap();
        assert_eq!((closing.digest, closing.size), (digest, 5_000_000));
        assert_eq!(registry.stat_blob(&name("a"), &digest).await.unwrap(), 5_000_000);
        assert!(matches!(registry.upload_status(&name("a"), ME, id).await, Err(Error::UploadUnknown)));
    }
    assert_eq!(std::fs::read_dir(directory.path().join("wharfinger/v1/uploads")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_saved_hash_that_does_not_decode_costs_only_time() {
    let directory = tempfile::tempdir().unwrap();
    let all = content(2_500_000);
    let registry = open(directory.path());
    let id = registry.start_upload(&name("a"), ME, Algorithm::Sha256).await.unwrap().id;
    add(&registry, id, &all[..2_000_000]).await;
    let record = directory.path().join(layout::upload_session(&id).as_str());
    let mut session: serde_json::Value = serde_json::from_slice(&std::fs::read(&record).unwrap()).unwrap();
    session["midstate"] = "beef".into();
    std::fs::write(&record, session.to_string()).unwrap();
    add(&registry, id, &all[2_000_000..]).await;
    let digest = Digest::sha256(&all);
    registry.open_upload(&name("a"), ME, id).await.unwrap().finish(digest).await.unwrap();
}

#[tokio::test]
async fn bytes_behind_the_checkpoint_are_dropped() {
    let directory = tempfile::tempdir().unwrap();
    let all = content(300_000);
    let registry = open(directory.path());
    let id = registry.start_upload(&name("a"), ME, Algorithm::Sha256).await.unwrap().id;
    add(&registry, id, &all[..200_000]).await;
    let data = directory.path().join(layout::upload_data(&id).as_str());
    let mut torn = std::fs::read(&data).unwrap();
    torn.extend_from_slice(b"not acknowledged");
    std::fs::write(&data, torn).unwrap();
    let registry = open(directory.path());
    assert_eq!(registry.upload_status(&name("a"), ME, id).await.unwrap().length, 200_000);
    add(&registry, id, &all[200_000..]).await;
    registry.open_upload(&name("a"), ME, id).await.unwrap().finish(Digest::sha256(&all)).await.unwrap();
}

#[tokio::test]
async fn a_session_whose_bytes_are_gone_is_unknown() {
    let directory = tempfile::tempdir().unwrap();
    let registry = open(directory.path());
    for cut in [None, Some(5)] {
        let id = registry.start_upload(&name("a"), ME, Algorithm::Sha256).await.unwrap().id;
        add(&registry, id, &content(100_000)).await;
        let data = directory.path().join(layout::upload_data(&id).as_str());
        match cut {
            None => std::fs::remove_file(&data).unwrap(),
            Some(length) => {
                std::fs::File::options().write(true).open(&data).unwrap().set_len(length).unwrap();
            }
        }
        assert!(matches!(registry.open_upload(&name("a"), ME, id).await, Err(Error::UploadUnknown)));
        assert!(matches!(registry.upload_status(&name("a"), ME, id).await, Err(Error::UploadUnknown)));
    }
}

#[tokio::test]
async fn a_session_is_nothing_to_others() {
    let directory = tempfile::tempdir().unwrap();
    let registry = open(directory.path());
    let id = registry.start_upload(&name("a"), ME, Algorithm::Sha256).await.unwrap().id;
    for (repository, identity) in [("b", ME), ("a", "user:you"), ("a", "anonymous")] {
        let repository = name(repository);
        assert!(matches!(registry.upload_status(&repository, identity, id).await, Err(Error::UploadUnknown)));
        assert!(matches!(registry.open_upload(&repository, identity, id).await, Err(Error::UploadUnknown)));
        assert!(matches!(registry.cancel_upload(&repository, identity, id).await, Err(Error::UploadUnknown)));
    }
    assert!(registry.upload_status(&name("a"), ME, id).await.is_ok());
}

#[tokio::test]
async fn two_requests_do_not_write_to_one_session() {
    let directory = tempfile::tempdir().unwrap();
    let registry = open(directory.path());
    let id = registry.start_upload(&name("a"), ME, Algorithm::Sha256).await.unwrap().id;
    let first = registry.open_upload(&name("a"), ME, id).await.unwrap();
    assert!(matches!(registry.open_upload(&name("a"), ME, id).await, Err(Error::UploadBusy)));
    drop(first);
    assert!(registry.open_upload(&name("a"), ME, id).await.is_ok());
}

#[tokio::test]
async fn a_dropped_writer_keeps_what_came() {
    let directory = tempfile::tempdir().unwrap();
    let registry = open(directory.path());
    let id = registry.start_upload(&name("a"), ME, Algorithm::Sha256).await.unwrap().id;
    let mut writer = registry.open_upload(&name("a"), ME, id).await.unwrap();
    writer.write(Bytes::from(content(100_000))).await.unwrap();
    drop(writer);
    for _ in 0..500 {
        if registry.uploads_in_flight() == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(registry.upload_status(&name("a"), ME, id).await.unwrap().length, 100_000);
}

#[tokio::test]
async fn a_wrong_digest_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let registry = open(directory.path());
    for length in [10, 1_000_000] {
        let id = registry.start_upload(&name("a"), ME, Algorithm::Sha256).await.unwrap().id;
        add(&registry, id, &content(length)).await;
        let wrong = Digest::sha256(b"something else");
        let closed = registry.open_upload(&name("a"), ME, id).await.unwrap().finish(wrong).await;
        assert!(matches!(closed, Err(Error::DigestMismatch { .. })));
        assert!(matches!(registry.stat_blob(&name("a"), &wrong).await, Err(Error::BlobUnknown(..))));
        assert!(matches!(registry.upload_status(&name("a"), ME, id).await, Err(Error::UploadUnknown)));
    }
    assert!(!directory.path().join("docker").exists());
}

#[tokio::test]
async fn abandoned_uploads_are_purged_by_age_ours_and_distributions() {
    let directory = tempfile::tempdir().unwrap();
    let registry = open(directory.path());
    let id = registry.start_upload(&name("a"), ME, Algorithm::Sha256).await.unwrap().id;
    add(&registry, id, &content(100_000)).await;
    // A repository is one that has layers or manifests.
    let mut blob = registry.single_upload(&name("a/b"), ME, Algorithm::Sha256).unwrap();
    blob.write(Bytes::from_static(b"x")).await.unwrap();
    blob.finish(Digest::sha256(b"x")).await.unwrap();
    let foreign =
        directory.path().join("docker/registry/v2/repositories/a/b/_uploads/0b3d3f0a/hashstates/sha256");
    std::fs::create_dir_all(&foreign).unwrap();
    let foreign = foreign.parent().unwrap().parent().unwrap();
    std::fs::write(foreign.join("hashstates/sha256/0"), b"state").unwrap();
    std::fs::write(foreign.join("data"), b"bytes").unwrap();
    std::fs::write(foreign.join("startedat"), b"2018-02-06T02:39:01Z").unwrap();

    let week = Duration::from_secs(7 * 24 * 3600);
    let would = registry.purge_uploads(week, true).await.unwrap();
    assert_eq!(would, Purged { uploads: 1, kept: 1 });
    assert!(foreign.join("data").exists(), "a dry run removed something");
    assert_eq!(registry.purge_uploads(week, false).await.unwrap(), would);
    assert!(!foreign.exists());
    assert_eq!(registry.upload_status(&name("a"), ME, id).await.unwrap().length, 100_000);

    let busy = registry.open_upload(&name("a"), ME, id).await.unwrap();
    assert_eq!(registry.purge_uploads(Duration::ZERO, false).await.unwrap(), Purged { uploads: 0, kept: 1 });
    drop(busy);
    assert_eq!(registry.purge_uploads(Duration::ZERO, false).await.unwrap(), Purged { uploads: 1, kept: 0 });
    assert!(matches!(registry.upload_status(&name("a"), ME, id).await, Err(Error::UploadUnknown)));
    assert!(registry.stat_blob(&name("a/b"), &Digest::sha256(b"x")).await.is_ok());
}
