//! The scrub on a hostile Swift.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use wharfinger_fake_swift::{FakeSwift, Options as Cluster, Pipeline};
use wharfinger_maintenance::scrub::{self, Host, Outcome, Progress};
use wharfinger_oci::{Algorithm, Digest, RepositoryName};
use wharfinger_registry::{Mode, Options, Registry, layout};
use wharfinger_store::Swift;
use wharfinger_store::swift::{LargeObjects, SwiftOptions};
use wharfinger_swift::{Auth, Client, Container, Put, Secret};

const CONTAINER: &str = "registry";
const MIB: usize = 1 << 20;

fn client(fake: &FakeSwift) -> Client {
    let user = Cluster::default().users[0].clone();
    let auth = Auth::V1 { url: fake.auth_url(), user: user.name, key: Secret::new(&user.key) };
    Client::new(wharfinger_swift::Options::new(auth)).unwrap()
}

async fn registry(fake: &FakeSwift, mode: Mode) -> Registry {
    let options = SwiftOptions {
        container: CONTAINER.to_owned(),
        prefix: String::new(),
        segment_size: 1024 * 1024,
        large: LargeObjects::Auto,
        writable: mode != Mode::Observe,
        signing: None,
    };
    let store = Swift::new(client(fake), options).unwrap();
    store.prepare().await.unwrap();
    Registry::new(Arc::new(store), Options { mode, ..Options::default() })
}

#[derive(Default)]
struct Here(Mutex<Vec<Outcome>>);

impl Host for Here {
    fn store_works(&self) -> bool {
        true
    }

    fn verified(&self, outcome: Outcome, _bytes: u64) {
        self.0.lock().push(outcome);
    }

    fn progressed(&self, _progress: Progress) {}
}

fn start(registry: &Registry, writes: bool) -> (Arc<Here>, JoinHandle<()>) {
    let here = Arc::new(Here::default());
    let options = scrub::Options { period: Duration::from_secs(1), rate: u64::MAX, writes };
    (here.clone(), tokio::spawn(scrub::run(registry.clone(), options, here)))
}

async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{what}: never");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn name() -> RepositoryName {
    RepositoryName::parse("team/app").unwrap()
}

async fn push(registry: &Registry, content: &[u8]) -> Digest {
    let digest = Digest::sha256(content);
    let mut upload = registry.single_upload(&name(), "me", Algorithm::Sha256).unwrap();
    upload.write(Bytes::copy_from_slice(content)).await.unwrap();
    upload.finish(digest).await.unwrap();
    digest
}

/// A blob as Distribution 2.8 leaves it: a dynamic large object of segments of a mebibyte, with nothing of ours beside.
async fn legacy(container: &Container, mebibytes: usize) -> Digest {
    let content: Vec<u8> = (0..mebibytes * MIB).map(|at| (at % 251) as u8).collect();
    let digest = Digest::sha256(&content);
    let prefix = format!("segments/{}/{}", &digest.hex()[..3], &digest.hex()[3..]);
    for (number, segment) in content.chunks(MIB).enumerate() {
        let segment = Bytes::copy_from_slice(segment);
        container.put(&format!("{prefix}/{:016}", number + 1), segment, &Put::default()).await.unwrap();
    }
    let header = format!("files/{}", layout::blob_data(&digest));
    container.put_dlo(&header, CONTAINER, &prefix, &Put::default()).await.unwrap();
    digest
}

fn has(fake: &FakeSwift, name: &str) -> bool {
    fake.objects(CONTAINER).iter().any(|object| object == name)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_of_distribution_gets_its_index_and_the_list_of_its_segments() {
    let fake = FakeSwift::start(Cluster { pipeline: Pipeline::NoSloNoBulk, ..Cluster::default() });
    let registry = registry(&fake, Mode::Adopted).await;
    let digest = legacy(&client(&fake).container(CONTAINER).unwrap(), 6).await;
    let (here, _task) = start(&registry, true);
    let index = format!("files/{}", layout::chunk_index(&digest));
    let list = format!("files/wharfinger/v1/segments/{}", layout::blob_data(&digest));
    until("index and list", || has(&fake, &index) && has(&fake, &list)).await;
    until("a second pass", || here.0.lock().len() >= 2).await;
    assert_eq!(here.0.lock()[..2], [Outcome::Derived, Outcome::Good]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_swift_sets_aside_when_it_is_read_is_damage_until_it_is_pushed_again() {
    let fake = FakeSwift::start(Cluster::default());
    let registry = registry(&fake, Mode::Adopted).await;
    let (digest, other) = (push(&registry, &[1; 100_000]).await, push(&registry, &[2; 100_000]).await);
    fake.corrupt(CONTAINER, &format!("files/{}", layout::blob_data(&digest)), 5);
    let (here, _task) = start(&registry, true);
    until("the damage", || registry.damaged_count() == 1).await;
    assert!(here.0.lock().contains(&Outcome::Damaged));
    let mark = format!("files/{}", layout::damaged(&digest));
    until("a mark for other instances", || has(&fake, &mark)).await;
    assert!(registry.stat_blob(&name(), &digest).await.is_err(), "it is offered");
    assert_eq!(registry.stat_blob(&name(), &other).await.unwrap(), 100_000);
    push(&registry, &[1; 100_000]).await;
    assert_eq!(registry.stat_blob(&name(), &digest).await.unwrap(), 100_000);
    here.0.lock().clear();
    until("another pass", || here.0.lock().len() >= 4).await;
    assert!(here.0.lock().iter().all(|outcome| *outcome == Outcome::Good));
    assert_eq!(registry.damaged_count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_only_observes_finds_damage_and_writes_nothing() {
    let fake = FakeSwift::start(Cluster { pipeline: Pipeline::NoSloNoBulk, ..Cluster::default() });
    let writing = registry(&fake, Mode::Adopted).await;
    let container = client(&fake).container(CONTAINER).unwrap();
    let (whole, broken) = (legacy(&container, 5).await, legacy(&container, 6).await);
    let prefix = format!("segments/{}/{}", &broken.hex()[..3], &broken.hex()[3..]);
    fake.remove(CONTAINER, &format!("{prefix}/{:016}", 3));
    drop(writing);
    let observing = registry(&fake, Mode::Observe).await;
    let before = fake.requests().len();
    let (here, _task) = start(&observing, false);
    until("two passes", || here.0.lock().len() >= 4).await;
    let found = here.0.lock()[..4].to_vec();
    let count = |outcome| found.iter().filter(|found| **found == outcome).count();
    assert_eq!((count(Outcome::Good), count(Outcome::Damaged)), (2, 2), "{found:?}");
    assert_eq!(observing.damaged_count(), 1);
    let written = fake
        .requests()
        .split_off(before)
        .into_iter()
        .filter(|request| !matches!(request.method.as_str(), "GET" | "HEAD" | "OPTIONS"));
    assert_eq!(written.map(|request| request.path).collect::<Vec<_>>(), Vec::<String>::new());
    assert!(observing.store().head(&layout::chunk_index(&whole)).await.is_err());
}
