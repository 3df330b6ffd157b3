//! Requests to Swift that take effect after they were given up: what they may make a blob of is not taken from them.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use wharfinger_fake_swift::{Delay, FakeSwift, Fault, Options, Pipeline, Rule};
use wharfinger_oci::{Algorithm, Digest, RepositoryName};
use wharfinger_registry::{Error, Frame, FrameKind, Registry, SessionRef};
use wharfinger_store::Swift;
use wharfinger_store::swift::{LargeObjects, SwiftOptions};
use wharfinger_swift::{Auth, Client, Secret};

const ME: &str = "user:me";

async fn open(fake: &FakeSwift, landing: Duration) -> Registry {
    let user = Options::default().users[0].clone();
    let auth = Auth::V1 { url: fake.auth_url(), user: user.name, key: Secret::new(&user.key) };
    let store = SwiftOptions {
        container: "registry".to_owned(),
        prefix: "site".to_owned(),
        segment_size: 1024 * 1024,
        large: LargeObjects::Auto,
        writable: true,
        signing: None,
    };
    let mut options = wharfinger_swift::Options::new(auth);
    options.retry.attempts = 1;
    let store = Swift::new(Client::new(options).unwrap(), store).unwrap();
    store.prepare().await.unwrap();
    // With next to no buffer everything is staged.
    let options = wharfinger_registry::Options { buffer_bytes: 1, landing, ..Default::default() };
    Registry::new(Arc::new(store), options)
}

fn name() -> RepositoryName {
    RepositoryName::parse("a").unwrap()
}

fn content() -> Bytes {
    (0..3_000_000_u32).map(|i| (i % 251) as u8).collect::<Vec<u8>>().into()
}

/// Uploads all content and closes the session, in vain: the manifest of its segments may still come to be stored.
async fn close_in_vain(fake: &FakeSwift, registry: &Registry) -> SessionRef {
    let session = registry.start_upload(&name(), ME, Algorithm::Sha256).await.unwrap();
    let mut writer = registry.open_upload(&name(), ME, session).await.unwrap();
    writer.write(content()).await.unwrap();
    let session = writer.pause().await.unwrap().session;
    let late = Fault::Late { delay: Delay::Requests(1_000), restamp: true };
    fake.inject(Rule::new(late).named("/files/docker/registry/v2/blobs/"));
    let writer = registry.open_upload(&name(), ME, session).await.unwrap();
    let closed = writer.finish(Digest::sha256(&content())).await;
    assert!(matches!(closed, Err(Error::Store(_))), "acknowledged what is not there: {closed:?}");
    fake.clear_faults();
    session
}

fn segments(fake: &FakeSwift) -> usize {
    fake.objects("registry").iter().filter(|name| name.starts_with("site/segments/")).count()
}

async fn pull(registry: &Registry) -> Vec<u8> {
    let blob = registry.blob(&name(), &Digest::sha256(&content())).await.unwrap();
    let mut body = registry.read_blob(blob, 0..content().len() as u64, FrameKind::Copied).await.unwrap();
    let mut all = Vec::new();
    while let Some(frame) = poll_fn(|context| body.poll_frame(context)).await {
        match frame.unwrap() {
            Frame::Copied(bytes) | Frame::Mapped(_, bytes) => all.extend_from_slice(&bytes),
        }
    }
    all
}

async fn push(registry: &Registry) {
    let mut writer = registry.single_upload(&name(), ME, Algorithm::Sha256).unwrap();
    writer.write(content()).await.unwrap();
    writer.finish(Digest::sha256(&content())).await.unwrap();
}

/// With static large objects and without.
const PIPELINES: [Pipeline; 2] = [Pipeline::Full, Pipeline::NoSloNoBulk];

#[tokio::test]
async fn a_manifest_that_lands_after_its_upload_was_cancelled_breaks_no_blob() {
    for pipeline in PIPELINES {
        let fake = FakeSwift::start(Options { pipeline, ..Options::default() });
        let registry = open(&fake, Duration::from_secs(600)).await;
        let session = close_in_vain(&fake, &registry).await;
        push(&registry).await;
        registry.cancel_upload(&name(), ME, session).await.unwrap();
        let gone = registry.upload_status(&name(), ME, session).await;
        assert!(matches!(gone, Err(Error::UploadUnknown)), "{gone:?}");
        fake.settle();
        assert!(pull(&registry).await == content(), "{pipeline:?}");
        // And with nothing remembered, after everything was purged.
        let registry = open(&fake, Duration::ZERO).await;
        let purged = registry.purge_uploads(Duration::ZERO, false).await.unwrap();
        assert_eq!((purged.uploads, purged.kept), (1, 0), "{pipeline:?}");
        assert!(pull(&registry).await == content(), "{pipeline:?}");
    }
}

#[tokio::test]
async fn what_may_become_a_blob_is_purged_when_it_no_longer_can() {
    for pipeline in PIPELINES {
        let fake = FakeSwift::start(Options { pipeline, ..Options::default() });
        let registry = open(&fake, Duration::from_secs(600)).await;
        let session = close_in_vain(&fake, &registry).await;
        let purged = registry.purge_uploads(Duration::ZERO, false).await.unwrap();
        assert_eq!((purged.uploads, purged.kept, segments(&fake)), (0, 1, 3), "{pipeline:?}");
        // Nobody has ended it: its client goes on.
        assert!(registry.upload_status(&name(), ME, session).await.is_ok());
        registry.cancel_upload(&name(), ME, session).await.unwrap();
        let later = open(&fake, Duration::ZERO).await;
        // A week has not passed, but it was ended.
        let week = Duration::from_secs(7 * 86_400);
        let purged = later.purge_uploads(week, false).await.unwrap();
        assert_eq!((purged.uploads, purged.kept, segments(&fake)), (1, 0, 0), "{pipeline:?}");
    }
}
