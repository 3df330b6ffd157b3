//! Redis owns nothing: lost, stale, hung, slow or wrong, it changes only how often the store is asked.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

#[path = "common/swift.rs"]
mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use wharfinger_fake_swift::{FakeSwift, Fault, Moment, Options as Cluster, Rule};
use wharfinger_oci::{Algorithm, Digest, Reference, RepositoryName, Tag};
use wharfinger_registry::manifest::Push;
use wharfinger_registry::{DiskCache, DiskOptions, Error, Lease, Options, Registry};
use wharfinger_shared::Shared;
use wharfinger_test_support::RedisServer;

/// What a request may wait for Redis in all, and what a busy machine adds.
const MOST: Duration = Duration::from_millis(100 + 150);

fn shared(address: &str) -> Shared {
    let options = wharfinger_shared::Options {
        addresses: vec![address.to_owned()],
        user: None,
        password: None,
        database: 0,
        tls: None,
        connect: Duration::from_millis(200),
        answer: Duration::from_millis(50),
    };
    Shared::new(&options).unwrap()
}

/// Waits until Redis is used, or bypassed.
async fn until_used(registry: &Registry, used: bool) {
    let begun = Instant::now();
    while registry.shared().unwrap().status().bypassed.is_none() != used {
        assert!(begun.elapsed() < Duration::from_secs(20), "Redis used: never {used}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn instance(swift: &FakeSwift, address: &str) -> Registry {
    let lease = Lease { life: Duration::from_millis(40), settled: Duration::ZERO };
    // With next to no buffer everything is staged, so that records of uploads are small.
    let options = Options { lease, require_blobs: false, buffer_bytes: 1, ..Options::default() };
    let store = Arc::new(common::store(swift, 4));
    let registry = Registry::with_caches(store, options, None, Some(shared(address)));
    until_used(&registry, true).await;
    registry
}

fn name(text: &str) -> RepositoryName {
    RepositoryName::parse(text).unwrap()
}

fn latest() -> Reference {
    Reference::parse("latest").unwrap()
}

fn manifest(number: usize) -> Bytes {
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
        "annotations": { "number": number.to_string() },
    });
    manifest.to_string().into()
}

async fn push(registry: &Registry, repository: &str, number: usize) -> Digest {
    let tags = vec![Tag::parse("latest").unwrap()];
    let push = Push { digest: None, tags, content_type: None, bytes: manifest(number) };
    registry.push_manifest(&name(repository), push).await.unwrap().digest
}

async fn pull(registry: &Registry, repository: &str, reference: &Reference) -> Result<Bytes, Error> {
    Ok(registry.pull_manifest(&name(repository), reference).await?.manifest.bytes.clone())
}

/// How often the bytes under a digest were read from Swift.
fn reads(swift: &FakeSwift, digest: &Digest) -> usize {
    let path = wharfinger_registry::layout::blob_data(digest).to_string();
    let requests = swift.requests();
    requests.iter().filter(|request| request.method == "GET" && request.path.ends_with(&path)).count()
}

fn count(registry: &Registry, of: &str) -> u64 {
    let counts = registry.shared().unwrap().status().counts.named();
    counts.iter().find(|(name, _)| *name == of).unwrap().1
}

/// What is sent later has arrived.
async fn settled() {
    tokio::time::sleep(Duration::from_millis(60)).await;
}

/// Waits until Redis has so many names.
async fn until_kept(redis: &RedisServer, names: u64) {
    let begun = Instant::now();
    while redis.keys() < names {
        assert!(begun.elapsed() < Duration::from_secs(20), "{} names", redis.keys());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Manifests that are pushed one after another.
const ROUNDS: usize = 12;

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_is_read_from_swift_once_for_all_instances() {
    let (swift, redis) = (FakeSwift::start(Cluster::default()), RedisServer::start());
    let (address, without) = (redis.address(), instance_without(&swift));
    let instances = join_all((0..3).map(|_| instance(&swift, &address))).await;
    let (reference, mut asked) = (latest(), 0);
    for number in 0..ROUNDS {
        let digest = push(&without, "a", number).await;
        let before = reads(&swift, &digest);
        let pulls = instances.iter().flat_map(|instance| (0..100).map(|_| pull(instance, "a", &reference)));
        assert!(join_all(pulls).await.into_iter().all(|pulled| pulled.unwrap() == manifest(number)));
        asked += reads(&swift, &digest) - before;
    }
    // On a busy machine an instance may have waited 100 ms in vain now and then.
    assert!((ROUNDS..ROUNDS + ROUNDS / 2).contains(&asked), "{asked} reads of {ROUNDS} manifests");
    let later = instance(&swift, &address).await;
    until_kept(&redis, 1).await;
    assert_eq!(pull(&later, "a", &latest()).await.unwrap(), manifest(ROUNDS - 1));
    assert_eq!(count(&later, "hit"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_name_has_its_repository_or_session_and_a_time_to_live() {
    let (swift, redis) = (FakeSwift::start(Cluster::default()), RedisServer::start());
    let registry = instance(&swift, &redis.address()).await;
    push(&registry, "team/app", 1).await;
    registry.flush_caches(None, false).await.unwrap();
    pull(&registry, "team/app", &latest()).await.unwrap();
    let session = registry.start_upload(&name("team/app"), "me", Algorithm::Sha256).await.unwrap();
    let mut writer = registry.open_upload(&name("team/app"), "me", session).await.unwrap();
    writer.write(Bytes::from(vec![1; 100_000])).await.unwrap();
    writer.pause().await.unwrap();
    settled().await;
    let script = |condition: &str| {
        format!(
            "EVAL \"local n = 0 for _, k in ipairs(redis.call('KEYS', '*')) do if {condition} then n = n + 1 end \
             end return n\" 0"
        )
    };
    assert!(redis.keys() >= 2, "{} names", redis.keys());
    assert_eq!(redis.ask(&script("redis.call('PTTL', k) < 0")), ":0", "kept for ever");
    assert_eq!(redis.ask(&script("not string.find(k, '^wharfinger:v1:')")), ":0", "names of others");
    let theirs =
        format!("not string.find(k, 'team/app@', 1, true) and not string.find(k, '{}', 1, true)", session.id);
    assert_eq!(redis.ask(&script(&theirs)), ":0", "neither repository nor session");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_goes_on_at_another_instance_without_its_record_and_with_redis_flushed() {
    let (swift, redis) = (FakeSwift::start(Cluster::default()), RedisServer::start());
    let instances = [instance(&swift, &redis.address()).await, instance(&swift, &redis.address()).await];
    for flushed in [false, true] {
        let content: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 249) as u8 ^ u8::from(flushed)).collect();
        let mut session = instances[0].start_upload(&name("a"), "me", Algorithm::Sha256).await.unwrap();
        let record = wharfinger_registry::layout::upload_session(&session.id).to_string();
        for (number, piece) in content.chunks(1_000_000).enumerate() {
            let registry = &instances[number % 2];
            let mut writer = registry.open_upload(&name("a"), "me", session).await.unwrap();
            writer.write(Bytes::copy_from_slice(piece)).await.unwrap();
            session = writer.pause().await.unwrap().session;
            settled().await;
            if flushed {
                redis.flush();
            }
        }
        let digest = Digest::sha256(&content);
        instances[1].open_upload(&name("a"), "me", session).await.unwrap().finish(digest).await.unwrap();
        let asked =
            swift.requests().iter().filter(|r| r.method == "GET" && r.path.ends_with(&record)).count();
        assert_eq!(asked > 1, flushed, "the record was read {asked} times");
        assert_eq!(common::pull(&instances[0], &name("a"), &digest).await, content);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_bytes_in_redis_are_never_served() {
    let (swift, redis) = (FakeSwift::start(Cluster::default()), RedisServer::start());
    let registry = instance(&swift, &redis.address()).await;
    let digest = push(&registry, "a", 1).await;
    for wrong in ["", "{}", "other"] {
        settled().await;
        redis.ask(&format!("SET wharfinger:v1:content:a@{digest} \"{wrong}\""));
        let fresh = instance(&swift, &redis.address()).await;
        assert_eq!(pull(&fresh, "a", &latest()).await.unwrap(), manifest(1));
        assert_eq!(count(&fresh, "wrong"), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_hangs_refuses_or_is_slow_is_bypassed_and_used_again() {
    let (swift, mut redis) = (FakeSwift::start(Cluster::default()), RedisServer::start());
    let registry = instance(&swift, &redis.address()).await;
    let mut number = 0;
    let mut look = async || {
        // Nothing of it is in memory.
        number += 1;
        push(&instance_without(&swift), "a", number).await;
        let begun = Instant::now();
        assert_eq!(pull(&registry, "a", &latest()).await.unwrap(), manifest(number));
        begun.elapsed()
    };
    look().await;
    redis.hang();
    let first = look().await;
    assert!(first < MOST, "waited {first:?} for a hung Redis");
    until_used(&registry, false).await;
    let failed = count(&registry, "failed");
    look().await;
    assert_eq!(count(&registry, "failed"), failed, "it was asked again");
    redis.resume();
    until_used(&registry, true).await;
    redis.stop();
    let refused = look().await;
    assert!(refused < MOST, "waited {refused:?} for a Redis that is gone");
    until_used(&registry, false).await;
    redis.start_again();
    until_used(&registry, true).await;
    let status = registry.shared().unwrap().status();
    assert!(status.counts.longest_wait() < MOST, "{status:?}");
}

fn instance_without(swift: &FakeSwift) -> Registry {
    let options = Options { require_blobs: false, ..Options::default() };
    Registry::new(Arc::new(common::store(swift, 4)), options)
}

/// Passes everything on to Redis; its answers so many milliseconds late.
async fn slow_proxy(redis: String, late: Arc<AtomicU64>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = tokio::net::TcpStream::connect(&redis).await.unwrap();
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = server.into_split();
            tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
            let late = late.clone();
            tokio::spawn(async move {
                let mut buffer = vec![0; 64 * 1024];
                while let Ok(read @ 1..) = from_server.read(&mut buffer).await {
                    tokio::time::sleep(Duration::from_millis(late.load(Ordering::Relaxed))).await;
                    if to_client.write_all(&buffer[..read]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_answers_late_is_bypassed_until_it_answers_in_time() {
    let (swift, redis) = (FakeSwift::start(Cluster::default()), RedisServer::start());
    let late = Arc::new(AtomicU64::new(0));
    let registry = instance(&swift, &slow_proxy(redis.address(), late.clone()).await).await;
    push(&registry, "a", 1).await;
    // Longer than connecting may take, and shorter, but longer than an answer.
    for milliseconds in [500, 120] {
        registry.flush_caches(None, false).await.unwrap();
        late.store(milliseconds, Ordering::Relaxed);
        let begun = Instant::now();
        assert_eq!(pull(&registry, "a", &latest()).await.unwrap(), manifest(1));
        assert!(begun.elapsed() < MOST, "waited {:?}", begun.elapsed());
        until_used(&registry, false).await;
        let failed = count(&registry, "failed");
        for _ in 0..120 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let status = registry.shared().unwrap().status();
            assert!(status.bypassed.is_some(), "used although it takes {milliseconds} ms");
        }
        assert_eq!(count(&registry, "failed"), failed);
        late.store(0, Ordering::Relaxed);
        until_used(&registry, true).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_takes_no_writes_is_read_and_bothers_nobody() {
    let (swift, redis) = (FakeSwift::start(Cluster::default()), RedisServer::start());
    let registry = instance(&swift, &redis.address()).await;
    push(&registry, "a", 1).await;
    pull(&registry, "a", &latest()).await.unwrap();
    settled().await;
    // Its master is nowhere; what it has it keeps.
    redis.ask("CONFIG SET replica-serve-stale-data yes");
    redis.ask("REPLICAOF 127.0.0.1 1");
    let fresh = instance(&swift, &redis.address()).await;
    assert_eq!(pull(&fresh, "a", &latest()).await.unwrap(), manifest(1));
    assert_eq!(count(&fresh, "hit"), 1);
    let pushed = push(&fresh, "b", 2).await;
    assert_eq!(pull(&fresh, "b", &Reference::Digest(pushed)).await.unwrap(), manifest(2));
    assert!(count(&fresh, "refused") > 0);
    assert!(fresh.shared().unwrap().status().bypassed.is_none(), "a refusal is no outage");
}

/// CVE-2026-35172: what was deleted in one repository was served there again by way of another.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_in_one_repository_stays_so_when_an_old_redis_comes_back() {
    let (swift, mut redis) = (FakeSwift::start(Cluster::default()), RedisServer::start());
    let registry = instance(&swift, &redis.address()).await;
    let digest = push(&registry, "a", 1).await;
    push(&registry, "b", 1).await;
    for repository in ["a", "b"] {
        pull(&instance(&swift, &redis.address()).await, repository, &latest()).await.unwrap();
    }
    // The two manifests; what was locked for reading them may be among the names.
    settled().await;
    until_kept(&redis, 2).await;
    assert_eq!(redis.ask("SAVE"), "+OK");
    redis.stop();
    registry.delete_manifest(&name("a"), &Reference::Digest(digest)).await.unwrap();
    push(&registry, "b", 2).await;
    redis.start_again();
    until_used(&registry, true).await;
    assert!(redis.keys() >= 2, "the old dump was not loaded");
    for registry in [registry, instance(&swift, &redis.address()).await] {
        for _ in 0..3 {
            pull(&registry, "b", &Reference::Digest(digest)).await.unwrap();
            for reference in [latest(), Reference::Digest(digest)] {
                let pulled = pull(&registry, "a", &reference).await;
                assert!(matches!(pulled, Err(Error::ManifestUnknown(..))), "{reference}: {pulled:?}");
            }
            assert_eq!(pull(&registry, "b", &latest()).await.unwrap(), manifest(2), "a stale tag");
        }
    }
}

/// An instance with copies in that directory, which answers pulls also while the store is down.
async fn instance_with_copies(swift: &FakeSwift, redis: &RedisServer, directory: &Path) -> Registry {
    let disk = DiskOptions { directory: directory.to_owned(), size: 1 << 26 };
    let disk = DiskCache::open(disk).await.unwrap();
    let options = Options { require_blobs: false, ..Options::default() };
    let store = Arc::new(common::store(swift, 1));
    let registry = Registry::with_caches(store, options, Some(disk), Some(shared(&redis.address())));
    until_used(&registry, true).await;
    registry
}

fn take_down(swift: &FakeSwift) {
    swift.inject(Rule::new(Fault::Refuse { status: 503, retry_after: None, moment: Moment::BeforeBody }));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_pulls_go_on_without_the_store_by_what_redis_knows() {
    let (swift, redis) = (FakeSwift::start(Cluster::default()), RedisServer::start());
    let directory = tempfile::tempdir().unwrap();
    let before = instance_with_copies(&swift, &redis, directory.path()).await;
    let digest = push(&before, "a", 1).await;
    push(&instance_without(&swift), "a", 2).await;
    let second = pull(&before, "a", &latest()).await.unwrap();
    pull(&before, "a", &Reference::Digest(digest)).await.unwrap();
    before.delete_manifest(&name("a"), &Reference::Digest(digest)).await.unwrap();
    settled().await;
    drop(before);
    let after = instance_with_copies(&swift, &redis, directory.path()).await;
    take_down(&swift);
    let pulled = after.pull_manifest(&name("a"), &latest()).await.unwrap();
    assert_eq!(pulled.manifest.bytes, second);
    assert!(pulled.age.is_some(), "told as if the store had said so");
    let deleted = pull(&after, "a", &Reference::Digest(digest)).await;
    assert!(matches!(deleted, Err(Error::Store(_))), "what was deleted came back: {deleted:?}");
    let other = pull(&after, "b", &latest()).await;
    assert!(matches!(other, Err(Error::Store(_))), "{other:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_seen_to_be_gone_does_not_come_back_with_an_old_redis() {
    let (swift, mut redis) = (FakeSwift::start(Cluster::default()), RedisServer::start());
    let directories = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let here = instance_with_copies(&swift, &redis, directories[0].path()).await;
    let there = instance_with_copies(&swift, &redis, directories[1].path()).await;
    let by_digest = Reference::Digest(push(&here, "a", 1).await);
    for registry in [&here, &there] {
        pull(registry, "a", &latest()).await.unwrap();
        pull(registry, "a", &by_digest).await.unwrap();
    }
    settled().await;
    assert_eq!(redis.ask("SAVE"), "+OK");
    redis.stop();
    // Deleted by the one, found absent by the other; Redis hears of neither.
    here.delete_manifest(&name("a"), &by_digest).await.unwrap();
    for reference in [latest(), by_digest.clone()] {
        let pulled = pull(&there, "a", &reference).await;
        assert!(matches!(pulled, Err(Error::ManifestUnknown(..))), "{pulled:?}");
    }
    redis.start_again();
    for registry in [&here, &there] {
        until_used(registry, true).await;
    }
    assert!(redis.keys() >= 2, "the old dump was not loaded");
    take_down(&swift);
    for registry in [&here, &there] {
        for reference in [latest(), by_digest.clone()] {
            let pulled = pull(registry, "a", &reference).await;
            assert!(matches!(pulled, Err(Error::Store(_))), "{reference} came back: {pulled:?}");
        }
    }
    swift.clear_faults();
    push(&here, "a", 1).await;
    pull(&there, "a", &latest()).await.unwrap();
    take_down(&swift);
    assert_eq!(pull(&there, "a", &latest()).await.unwrap(), manifest(1), "gone for ever");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flush_is_done_by_all_instances() {
    let (swift, redis) = (FakeSwift::start(Cluster::default()), RedisServer::start());
    let instances = [instance(&swift, &redis.address()).await, instance(&swift, &redis.address()).await];
    for instance in &instances {
        tokio::spawn(instance.clone().follow_announcements());
    }
    let digest = push(&instances[0], "a", 1).await;
    for instance in &instances {
        pull(instance, "a", &latest()).await.unwrap();
    }
    let begun = Instant::now();
    loop {
        let flushed = instances[0].flush_caches(Some(&digest), true).await.unwrap();
        if flushed.instances == Some(2) {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{flushed:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    settled().await;
    let before = reads(&swift, &digest);
    pull(&instances[1], "a", &latest()).await.unwrap();
    assert_eq!(reads(&swift, &digest) - before, 1, "it was still in memory");
    let alone = instance_without(&swift);
    assert!(alone.flush_caches(None, true).await.is_err(), "told nobody, and did not say so");
}

/// How often each fault strikes while answers are checked.
const STRIKES: usize = 20;
const ANSWERS: usize = 10_000;

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_to_redis_no_answer_is_wrong_or_stale() {
    let (swift, mut redis) = (FakeSwift::start(Cluster::default()), RedisServer::start());
    let instances = [instance(&swift, &redis.address()).await, instance(&swift, &redis.address()).await];
    push(&instances[0], "a", 0).await;
    let (acknowledged, answers, over) =
        (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let mut tasks = Vec::new();
    for (which, registry) in instances.iter().cloned().enumerate() {
        let (acknowledged, answers, over) = (acknowledged.clone(), answers.clone(), over.clone());
        tasks.push(tokio::spawn(async move {
            while !over.load(Ordering::Relaxed) || answers.load(Ordering::Relaxed) < ANSWERS {
                let (least, reference) = (acknowledged.load(Ordering::SeqCst), latest());
                let pulls = join_all((0..16).map(|_| pull(&registry, "a", &reference))).await;
                // At most one push is under way: its tag may be seen before its answer.
                let most = acknowledged.load(Ordering::SeqCst) + 1;
                for pulled in pulls {
                    let pulled = pulled.unwrap();
                    let fits = (least..=most).any(|number| pulled == manifest(number));
                    assert!(fits, "instance {which}: neither of {least}..={most}");
                    answers.fetch_add(1, Ordering::Relaxed);
                }
                if registry.flush_caches(None, false).await.is_err() {
                    tokio::task::yield_now().await;
                }
            }
        }));
    }
    tasks.push(tokio::spawn({
        let (registry, acknowledged, over) = (instances[1].clone(), acknowledged.clone(), over.clone());
        async move {
            while !over.load(Ordering::Relaxed) {
                let number = acknowledged.load(Ordering::SeqCst) + 1;
                push(&registry, "a", number).await;
                acknowledged.store(number, Ordering::SeqCst);
            }
        }
    }));
    for strike in 0..STRIKES {
        until_used(&instances[0], true).await;
        if strike % 5 == 0 {
            redis.ask("SAVE");
        }
        redis.flush();
        settled().await;
        redis.ask("REPLICAOF 127.0.0.1 1");
        settled().await;
        redis.ask("REPLICAOF NO ONE");
        redis.hang();
        tokio::time::sleep(Duration::from_millis(120)).await;
        redis.resume();
        until_used(&instances[0], true).await;
        redis.stop();
        settled().await;
        redis.start_again();
    }
    over.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.unwrap();
    }
    assert!(answers.load(Ordering::Relaxed) >= ANSWERS);
    for registry in &instances {
        let waited = registry.shared().unwrap().status().counts.longest_wait();
        assert!(waited < MOST, "waited {waited:?} for one answer");
    }
}
