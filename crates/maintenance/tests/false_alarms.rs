//! A registry at work on a Swift whose listings lag, whose replicas lag and which fails now and then: a walk finds no damage,
//! because there is none.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use wharfinger_fake_swift::{Delay, FakeSwift, Fault, Kind, Moment, Options as Cluster, Rule};
use wharfinger_maintenance::fsck::{Options as Walk, Site, check};
use wharfinger_maintenance::{Severity, Unwatched};
use wharfinger_oci::{Algorithm, Digest, Reference, RepositoryName, Tag, media_type};
use wharfinger_registry::manifest::Push;
use wharfinger_registry::{Error, Options, Registry};
use wharfinger_store::Swift;
use wharfinger_store::swift::{LargeObjects, SwiftOptions};
use wharfinger_swift::{Auth, Client, Secret};

const WORKERS: u64 = 4;
/// Tags of a repository.
const TAGS: u64 = 4;

fn store(fake: &FakeSwift) -> Swift {
    let user = Cluster::default().users[0].clone();
    let auth = Auth::V1 { url: fake.auth_url(), user: user.name, key: Secret::new(&user.key) };
    let options = SwiftOptions {
        container: "registry".to_owned(),
        prefix: String::new(),
        segment_size: 1024 * 1024,
        large: LargeObjects::Auto,
        writable: true,
        signing: None,
    };
    Swift::new(Client::new(wharfinger_swift::Options::new(auth)).unwrap(), options).unwrap()
}

/// Numbers that a seed decides.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// As a client does: again, until it is done. What it wanted to delete may be gone by then.
async fn insist<T, F: Future<Output = Result<T, Error>>>(work: impl Fn() -> F) {
    for _ in 0..50 {
        match work().await {
            Ok(_) | Err(Error::ManifestUnknown(..) | Error::NameUnknown(_)) => return,
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
    panic!("a request failed fifty times");
}

async fn push_blob(registry: &Registry, name: &RepositoryName, content: &[u8]) -> Result<Digest, Error> {
    let digest = Digest::sha256(content);
    let mut upload = registry.single_upload(name, "me", Algorithm::Sha256)?;
    upload.write(Bytes::copy_from_slice(content)).await?;
    upload.finish(digest).await?;
    Ok(digest)
}

/// An image of two blobs; layers are shared by all repositories.
async fn push(registry: &Registry, name: &RepositoryName, tag: &Tag, seed: u64) -> Result<Digest, Error> {
    let layer = push_blob(registry, name, format!("layer {}", seed % 40).repeat(200).as_bytes()).await?;
    let config = push_blob(registry, name, format!("{{\"seed\":{seed}}}").as_bytes()).await?;
    let size = |digest: &Digest, content: usize| format!(r#""digest":"{digest}","size":{content}"#);
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{{"mediaType":"a/b",{}}},"layers":[{{"mediaType":"a/b",{}}}]}}"#,
        media_type::OCI_MANIFEST,
        size(&config, format!("{{\"seed\":{seed}}}").len()),
        size(&layer, format!("layer {}", seed % 40).repeat(200).len()),
    );
    let push = Push {
        digest: None,
        tags: vec![tag.clone()],
        content_type: Some(media_type::OCI_MANIFEST),
        bytes: manifest.into(),
    };
    Ok(registry.push_manifest(name, push).await?.digest)
}

/// Pushes, moves and deletes in repositories of its own.
async fn work(registry: Registry, worker: u64, left: Arc<AtomicU64>, done: Arc<AtomicBool>) {
    let mut dice = Dice(worker + 7);
    while left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
        let name = RepositoryName::parse(&format!("team-{worker}/app-{}", dice.below(5))).unwrap();
        let (tag, seed) = (Tag::parse(&format!("v{}", dice.below(TAGS))).unwrap(), dice.below(300));
        let registry = &registry;
        match dice.below(10) {
            0..=6 => insist(|| push(registry, &name, &tag, seed)).await,
            7 | 8 => {
                let tagged = Reference::Tag(tag.clone());
                insist(|| registry.delete_manifest(&name, &tagged)).await;
            }
            _ => {
                let found = registry.manifest(&name, &Reference::Tag(tag.clone())).await;
                // Which tags lead to a manifest a listing tells, which lags: they go first, by name.
                for number in 0..TAGS {
                    let tag = Reference::Tag(Tag::parse(&format!("v{number}")).unwrap());
                    insist(|| registry.delete_manifest(&name, &tag)).await;
                }
                if let Ok(found) = found {
                    let digest = Reference::Digest(found.digest);
                    insist(|| registry.delete_manifest(&name, &digest)).await;
                }
            }
        }
    }
    done.store(true, Ordering::SeqCst);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listings_and_replicas_that_lag_raise_no_false_alarm() {
    let steps = std::env::var("WHARFINGER_STEPS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000);
    let fake = FakeSwift::start(Cluster::default());
    let writing = store(&fake);
    writing.prepare().await.unwrap();
    let writes = [Kind::Put, Kind::Delete];
    fake.inject(Rule::new(Fault::RowLate(Delay::Time(Duration::from_secs(3)))).on(&writes).chance(0.5));
    fake.inject(Rule::new(Fault::RowLost).on(&writes).chance(0.02));
    fake.inject(Rule::new(Fault::Stale { within: Delay::Time(Duration::from_millis(300)) }).chance(0.3));
    let refuse = Fault::Refuse { status: 503, retry_after: None, moment: Moment::BeforeBody };
    fake.inject(Rule::new(refuse).chance(0.005));
    let registry = Registry::new(Arc::new(writing), Options::default());
    let (left, done) = (Arc::new(AtomicU64::new(steps)), Arc::new(AtomicBool::new(false)));
    let workers: Vec<_> = (0..WORKERS)
        .map(|worker| tokio::spawn(work(registry.clone(), worker, left.clone(), done.clone())))
        .collect();
    let reading = store(&fake);
    let looking = Registry::new(Arc::new(reading.clone()), Options::default());
    let site = Site { registry: &looking, inventory: &reading };
    let mut walks = 0;
    loop {
        let over = done.load(Ordering::SeqCst);
        let options = Walk { deep: walks % 2 == 1, ..Walk::default() };
        let report = check(site, &options, &Unwatched).await.unwrap();
        let damage: Vec<_> = report.of(Severity::Damage).collect();
        assert!(damage.is_empty(), "walk {walks}: {damage:#?}");
        walks += 1;
        if over && walks >= 3 {
            break;
        }
    }
    for worker in workers {
        worker.await.unwrap();
    }
    assert_eq!(left.load(Ordering::SeqCst), 0);
    println!("{steps} steps, {walks} walks: no false alarm");
}
