//! The disk cache owns nothing: whatever happens to it, a client gets what was pushed, and the store is asked once.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

#[path = "common/swift.rs"]
mod common;

use std::fs;
use std::future::poll_fn;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use wharfinger_fake_swift::{Delay, FakeSwift, Fault, Kind, Options as Cluster, Pipeline, Rule};
use wharfinger_oci::{Algorithm, Digest, Reference, RepositoryName, Tag};
use wharfinger_registry::manifest::Push;
use wharfinger_registry::{
    DiskCache, DiskError, DiskOptions, Event, Frame, FrameKind, Options, Registry, VerifiedBody,
};
use wharfinger_store::Swift;

const MIB: usize = 1024 * 1024;
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

struct Fixture {
    swift: FakeSwift,
    directory: tempfile::TempDir,
    size: u64,
    registry: Registry,
    name: RepositoryName,
}

fn store(swift: &FakeSwift) -> Swift {
    common::store(swift, 4)
}

impl Fixture {
    async fn new() -> Fixture {
        Fixture::sized(256 * MIB as u64).await
    }

    async fn sized(size: u64) -> Fixture {
        let swift = FakeSwift::start(Cluster { pipeline: Pipeline::Full, ..Cluster::default() });
        let directory = tempfile::tempdir().unwrap();
        let options = DiskOptions { directory: directory.path().join("cache"), size };
        let cache = DiskCache::open(options).await.unwrap();
        let registry = Registry::with_caches(Arc::new(store(&swift)), Options::default(), Some(cache), None);
        Fixture { swift, directory, size, registry, name: RepositoryName::parse("team/app").unwrap() }
    }

    fn options(&self) -> DiskOptions {
        DiskOptions { directory: self.directory.path().join("cache"), size: self.size }
    }

    fn cache(&self) -> &DiskCache {
        self.registry.disk_cache().unwrap()
    }

    /// Pushes by way of another instance, which has no cache.
    async fn push(&self, content: &[u8]) -> Digest {
        let digest = Digest::sha256(content);
        let other = Registry::new(Arc::new(store(&self.swift)), Options::default());
        let mut writer = other.single_upload(&self.name, "anonymous", Algorithm::Sha256).unwrap();
        for piece in content.chunks(100_000) {
            writer.write(Bytes::copy_from_slice(piece)).await.unwrap();
        }
        writer.finish(digest).await.unwrap();
        digest
    }

    async fn body(&self, digest: &Digest, range: Range<u64>) -> Result<VerifiedBody, String> {
        body(&self.registry, &self.name, digest, range, FrameKind::Mapped).await
    }

    async fn read(&self, digest: &Digest, range: Range<u64>) -> Result<Vec<u8>, String> {
        rest(self.body(digest, range).await?).await
    }

    async fn assert_whole(&self, digest: &Digest, content: &[u8]) {
        let read = self.read(digest, 0..content.len() as u64).await;
        assert!(read.as_deref() == Ok(content), "{:?}", read.map(|bytes| bytes.len()));
    }

    async fn wait_for_copy(&self, digest: &Digest) {
        let begun = Instant::now();
        while !self.cache().has(digest) {
            assert!(begun.elapsed() < Duration::from_secs(20), "no copy is made");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn copy(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        self.options().directory.join("v1/copies/sha256").join(&hex[..2]).join(hex).join("data")
    }

    /// Flips a byte of the only blob in the store, in its fifth segment.
    fn damage(&self) {
        let segment = |name: &String| name.contains("/data/") && name.ends_with("05");
        let objects = self.swift.objects(common::CONTAINER);
        let object = objects.iter().find(|name| segment(name)).unwrap_or_else(|| panic!("{objects:#?}"));
        self.swift.corrupt(common::CONTAINER, object, 1000);
    }

    /// HEADs of blobs.
    fn looks(&self) -> usize {
        let requests = self.swift.requests();
        requests.iter().filter(|request| request.method == "HEAD" && request.path.ends_with("/data")).count()
    }

    /// GETs of a blob's bytes, however it is stored.
    fn fetches(&self) -> usize {
        let is_fetch = |path: &str| path.ends_with("/data") || path.contains("/segments/");
        let requests = self.swift.requests();
        requests.iter().filter(|request| request.method == "GET" && is_fetch(&request.path)).count()
    }
}

async fn body(
    registry: &Registry,
    name: &RepositoryName,
    digest: &Digest,
    range: Range<u64>,
    kind: FrameKind,
) -> Result<VerifiedBody, String> {
    let blob = registry.blob(name, digest).await.map_err(|error| error.to_string())?;
    registry.read_blob(blob, range, kind).await.map_err(|error| error.to_string())
}

/// What comes, if it ends cleanly.
async fn rest(mut body: VerifiedBody) -> Result<Vec<u8>, String> {
    let expected = body.remaining();
    let mut all = Vec::new();
    while let Some(frame) = poll_fn(|context| body.poll_frame(context)).await {
        match frame.map_err(|error| error.to_string())? {
            Frame::Copied(bytes) | Frame::Mapped(_, bytes) => all.extend_from_slice(&bytes),
        }
    }
    if all.len() as u64 == expected { Ok(all) } else { Err("short".to_owned()) }
}

fn content(seed: u64, length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64 ^ seed.wrapping_mul(0x2545_f491_4f6c_dd1d);
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

fn flip(path: &PathBuf, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_readers_of_a_cold_blob_cost_one_fetch_and_later_ones_none() {
    let fixture = Fixture::new().await;
    let content = content(1, 20 * MIB + 77);
    let digest = fixture.push(&content).await;
    let before = fixture.fetches();
    let readers = (0..40).map(|_| fixture.read(&digest, 0..content.len() as u64));
    for read in futures::future::join_all(readers).await {
        assert!(read.as_deref() == Ok(&content[..]), "{:?}", read.map(|bytes| bytes.len()));
    }
    fixture.wait_for_copy(&digest).await;
    let once = fixture.fetches() - before;
    fixture.assert_whole(&digest, &content).await;
    for range in [0..1, 5_000_000..5_000_001, 1_048_575..3_145_729, 20 * MIB..20 * MIB + 77] {
        let read = fixture.read(&digest, range.start as u64..range.end as u64).await;
        assert!(read.as_deref() == Ok(&content[range]));
    }
    assert_eq!(fixture.fetches() - before, once, "a copy is there, and the store was asked");
    // One request for the bytes of each part that the blob consists of.
    assert!(once <= 22, "{once} fetches");
    assert_eq!(fixture.cache().status().fills, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_herd_makes_the_store_be_asked_once() {
    let fixture = Fixture::new().await;
    for (seed, length) in [(20, 1_000), (21, 300_000), (22, 9 * MIB)] {
        let content = content(seed, length);
        let digest = fixture.push(&content).await;
        let (looks, fetches) = (fixture.looks(), fixture.fetches());
        let readers = (0..60).map(|_| fixture.read(&digest, 0..length as u64));
        for read in futures::future::join_all(readers).await {
            assert!(read.as_deref() == Ok(&content[..]), "{:?}", read.map(|bytes| bytes.len()));
        }
        assert_eq!(fixture.looks() - looks, 1, "looks at a blob of {length} bytes");
        if length < MIB {
            assert_eq!(fixture.fetches() - fetches, 1, "fetches of a blob of {length} bytes");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_herd_on_several_images_reads_each_layer_once() {
    let fixture = Fixture::new().await;
    let mut layers = Vec::new();
    for seed in 30..42 {
        let content = content(seed, 5 * MIB);
        layers.push((fixture.push(&content).await, content));
    }
    let before = fixture.fetches();
    fixture.assert_whole(&layers[0].0, &layers[0].1).await;
    let (once, before) = (fixture.fetches() - before, fixture.fetches());
    let readers = (0..60).map(|number| {
        let (digest, content) = &layers[1 + number % 11];
        fixture.assert_whole(digest, content)
    });
    futures::future::join_all(readers).await;
    assert_eq!(fixture.fetches() - before, 11 * once);
}

fn json_descriptor(digest: &Digest) -> String {
    format!(r#"{{"mediaType":"a/b","digest":"{digest}","size":2}}"#)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_herd_reads_a_manifest_once() {
    let fixture = Fixture::new().await;
    let config = fixture.push(b"{}").await;
    // Large enough that the reads of it overlap, small enough to be kept in memory.
    let (descriptor, note) = (json_descriptor(&config), "x".repeat(MIB / 4));
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{descriptor},"layers":[],"annotations":{{"n":"{note}"}}}}"#
    );
    let tag = Tag::parse("v1").unwrap();
    let push = Push {
        digest: None,
        tags: vec![tag.clone()],
        content_type: Some(MANIFEST),
        bytes: manifest.clone().into_bytes().into(),
    };
    let other = Registry::new(Arc::new(store(&fixture.swift)), Options::default());
    other.push_manifest(&fixture.name, push).await.unwrap();
    let (fetches, reference) = (fixture.fetches(), Reference::Tag(tag));
    let pulls = (0..60).map(|_| fixture.registry.pull_manifest(&fixture.name, &reference));
    for pulled in futures::future::join_all(pulls).await {
        assert_eq!(pulled.unwrap().manifest.bytes, manifest.as_bytes());
    }
    assert_eq!(fixture.fetches() - fetches, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn small_blobs_are_kept_too() {
    let fixture = Fixture::new().await;
    let content = content(2, 300_000);
    let digest = fixture.push(&content).await;
    fixture.assert_whole(&digest, &content).await;
    fixture.wait_for_copy(&digest).await;
    let before = fixture.fetches();
    fixture.assert_whole(&digest, &content).await;
    assert_eq!(fixture.fetches(), before);
    flip(&fixture.copy(&digest), 100);
    fixture.assert_whole(&digest, &content).await;
    assert_eq!((fixture.fetches(), fixture.cache().status().damaged), (before + 1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_stops_or_goes_away_holds_up_nobody() {
    let fixture = Fixture::new().await;
    let content = content(3, 30 * MIB);
    let digest = fixture.push(&content).await;
    let slow = fixture.body(&digest, 0..content.len() as u64).await.unwrap();
    drop(fixture.body(&digest, 0..content.len() as u64).await.unwrap());
    fixture.assert_whole(&digest, &content).await;
    fixture.wait_for_copy(&digest).await;
    assert!(rest(slow).await.as_deref() == Ok(&content[..]));
    assert_eq!(fixture.cache().status().fills, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_byte_is_never_handed_on_and_the_store_goes_on() {
    let fixture = Fixture::new().await;
    let content = content(4, 12 * MIB + 5);
    let digest = fixture.push(&content).await;
    for at in [0, 6 * MIB + 3, 12 * MIB + 4] {
        fixture.assert_whole(&digest, &content).await;
        fixture.wait_for_copy(&digest).await;
        flip(&fixture.copy(&digest), at);
        let before = fixture.fetches();
        fixture.assert_whole(&digest, &content).await;
        assert!(fixture.fetches() > before, "the wrong copy was not noticed");
    }
    assert_eq!(fixture.cache().status().damaged, 3);
    assert_eq!(fixture.registry.damaged_count(), 0, "what stands in the store is well");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_cut_or_gone_is_fetched_again() {
    let fixture = Fixture::new().await;
    let content = content(5, 12 * MIB + 5);
    let digest = fixture.push(&content).await;
    for length in [0, 5 * MIB, 12 * MIB + 4] {
        fixture.assert_whole(&digest, &content).await;
        fixture.wait_for_copy(&digest).await;
        // Before it is opened, and while it is read.
        let open = fixture.body(&digest, 0..content.len() as u64).await.unwrap();
        let file = fs::OpenOptions::new().write(true).open(fixture.copy(&digest)).unwrap();
        file.set_len(length as u64).unwrap();
        fixture.assert_whole(&digest, &content).await;
        let read = rest_unmapped(open).await;
        assert!(read.is_none_or(|bytes| bytes == content));
        fixture.wait_for_copy(&digest).await;
        fs::remove_file(fixture.copy(&digest)).unwrap();
    }
    fixture.assert_whole(&digest, &content).await;
}

/// As `rest`, where mapped pieces may lie behind the end of a file that was cut: they are sent by the kernel, which
/// breaks off, and are not touched here.
async fn rest_unmapped(mut body: VerifiedBody) -> Option<Vec<u8>> {
    let mut all = Vec::new();
    while let Some(frame) = poll_fn(|context| body.poll_frame(context)).await {
        match frame.ok()? {
            Frame::Copied(bytes) => all.extend_from_slice(&bytes),
            Frame::Mapped(..) => return None,
        }
    }
    Some(all)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_directory_may_be_removed_under_a_running_server() {
    let fixture = Fixture::new().await;
    let content = content(6, 9 * MIB);
    let digest = fixture.push(&content).await;
    fixture.assert_whole(&digest, &content).await;
    fixture.wait_for_copy(&digest).await;
    fs::remove_dir_all(fixture.options().directory).unwrap();
    fixture.assert_whole(&digest, &content).await;
    fixture.wait_for_copy(&digest).await;
    let before = fixture.fetches();
    fixture.assert_whole(&digest, &content).await;
    assert_eq!(fixture.fetches(), before, "it keeps copies again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_cannot_be_written_is_passed_by() {
    let fixture = Fixture::new().await;
    let content = content(7, 9 * MIB);
    let digest = fixture.push(&content).await;
    // As with a full disk, every new file fails.
    fs::write(fixture.options().directory.join("v1/filling"), b"").unwrap();
    fixture.assert_whole(&digest, &content).await;
    fixture.assert_whole(&digest, &content).await;
    let status = fixture.cache().status();
    assert!(status.refused >= 1 && status.copies == 0, "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_is_refused_and_copies_outlive_the_first() {
    let fixture = Fixture::new().await;
    let content = content(8, 9 * MIB);
    let digest = fixture.push(&content).await;
    fixture.assert_whole(&digest, &content).await;
    fixture.wait_for_copy(&digest).await;
    let second = DiskCache::open(fixture.options()).await;
    assert!(matches!(second, Err(DiskError::InUse(_))), "{second:?}");
    let Fixture { swift, directory, size, registry, name } = fixture;
    drop(registry);
    let options = DiskOptions { directory: directory.path().join("cache"), size };
    let cache = DiskCache::open(options).await.unwrap();
    assert!(cache.has(&digest));
    let registry = Registry::with_caches(Arc::new(store(&swift)), Options::default(), Some(cache), None);
    let fixture = Fixture { swift, directory, size, registry, name };
    let before = fixture.fetches();
    fixture.assert_whole(&digest, &content).await;
    assert_eq!(fixture.fetches(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_big_scan_does_not_empty_the_cache() {
    let fixture = Fixture::sized(24 * MIB as u64).await;
    let hot = content(9, 3 * MIB);
    let digest = fixture.push(&hot).await;
    for _ in 0..4 {
        fixture.assert_whole(&digest, &hot).await;
        fixture.wait_for_copy(&digest).await;
    }
    for seed in 100..130 {
        let once = content(seed, 2 * MIB);
        let scanned = fixture.push(&once).await;
        fixture.assert_whole(&scanned, &once).await;
    }
    let begun = Instant::now();
    while fixture.cache().status().bytes < 12 * MIB as u64 {
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", fixture.cache().status());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(fixture.cache().has(&digest), "what is used was driven out by what is not");
    assert!(fixture.copy(&digest).exists());
    let status = fixture.cache().status();
    assert!(status.bytes <= 24 * MIB as u64, "{status:?}");
    // The last copies may still be made, and others go for them.
    let files = walk_some(&fixture.options().directory);
    let kept: u64 = files.iter().filter_map(|file| file.metadata().ok()).map(|found| found.len()).sum();
    assert!(kept <= 25 * MIB as u64, "{kept} bytes lie in the directory");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_wrong_in_the_store_becomes_a_copy() {
    let fixture = Fixture::new().await;
    let content = content(10, 9 * MIB);
    let digest = fixture.push(&content).await;
    fixture.damage();
    for _ in 0..3 {
        assert!(fixture.read(&digest, 0..content.len() as u64).await.is_err());
    }
    assert!(!fixture.cache().has(&digest));
    assert_eq!(fixture.registry.damaged_count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_served_when_the_copy_in_the_store_is_damaged() {
    let fixture = Fixture::new().await;
    let content = content(11, 9 * MIB);
    let digest = fixture.push(&content).await;
    fixture.assert_whole(&digest, &content).await;
    fixture.wait_for_copy(&digest).await;
    fixture.damage();
    fixture.assert_whole(&digest, &content).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_whose_body_breaks_ends_as_the_bytes_that_were_pushed() {
    let fixture = Fixture::new().await;
    let content = content(12, 20 * MIB);
    let digest = fixture.push(&content).await;
    fixture.swift.inject(Rule::new(Fault::ShortBody { at: None }).on(&[Kind::Get]).chance(0.3));
    fixture.swift.inject(Rule::new(Fault::RowLate(Delay::Requests(3))).chance(0.1));
    let mut clean = 0;
    for _ in 0..10 {
        if let Ok(read) = fixture.read(&digest, 0..content.len() as u64).await {
            assert!(read == content);
            clean += 1;
        }
    }
    assert!(clean > 0, "no read ended");
}

/// Clean answers that are compared.
const ANSWERS: usize = 10_000;
/// How often each thing is done to the cache meanwhile, at least.
const TIMES: usize = 40;

/// What somebody, or a disk, does to the directory.
#[expect(clippy::disallowed_methods, reason = "on a thread of its own")]
fn spoil(directory: &PathBuf, what: usize, draw: usize) {
    let copies: Vec<PathBuf> =
        walk_some(directory).into_iter().filter(|file| file.ends_with("data")).collect();
    let copy = copies.get(draw % copies.len().max(1));
    match what {
        // A byte flipped in place.
        0 => {
            let Some(Ok(file)) = copy.map(|copy| fs::OpenOptions::new().write(true).open(copy)) else {
                return;
            };
            let length = file.metadata().map_or(0, |found| found.len());
            let _ = file.write_at(&[draw as u8], draw as u64 % length.max(1));
        }
        1 => {
            let Some(Ok(file)) = copy.map(|copy| fs::OpenOptions::new().write(true).open(copy)) else {
                return;
            };
            let length = file.metadata().map_or(0, |found| found.len());
            let _ = file.set_len(draw as u64 % length.max(1));
        }
        2 => drop(copy.map(fs::remove_file)),
        3 => drop(fs::remove_dir_all(directory)),
        // No file can be made, as on a full disk.
        _ => {
            let place = directory.join("v1/filling");
            let _ = fs::remove_dir_all(&place);
            let _ = fs::write(&place, b"");
            std::thread::sleep(Duration::from_millis(20));
            let _ = fs::remove_file(&place);
        }
    }
}

/// The files below a directory that changes meanwhile.
fn walk_some(directory: &PathBuf) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { walk_some(&path) } else { vec![path] }).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_ten_thousand_answers_none_is_wrong_whatever_is_done_to_the_cache() {
    let fixture = Fixture::new().await;
    let mut blobs = Vec::new();
    for (seed, length) in
        [70_000, 80_000, 90_000, 100_000, 120_000, 200_000, 5 * MIB, 9 * MIB + 1].into_iter().enumerate()
    {
        let content = content(200 + seed as u64, length);
        blobs.push((fixture.push(&content).await, Arc::new(content)));
    }
    let (answers, spoilt) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let done = |answers: &AtomicUsize, spoilt: &AtomicUsize| {
        answers.load(Ordering::Relaxed) >= ANSWERS && spoilt.load(Ordering::Relaxed) >= 5 * TIMES
    };
    #[expect(clippy::disallowed_methods, reason = "on a thread of its own")]
    let spoiler = std::thread::spawn({
        let (answers, spoilt, directory) = (answers.clone(), spoilt.clone(), fixture.options().directory);
        move || {
            let mut round = 0;
            while !done(&answers, &spoilt) {
                spoil(&directory, round % 5, round.wrapping_mul(0x9e37_79b9) >> 7);
                round = spoilt.fetch_add(1, Ordering::Relaxed) + 1;
                std::thread::sleep(Duration::from_millis(8));
            }
        }
    });
    let readers = (0..8).map(|reader| {
        let (registry, name, blobs) = (fixture.registry.clone(), fixture.name.clone(), blobs.clone());
        let (answers, spoilt) = (answers.clone(), spoilt.clone());
        tokio::spawn(async move {
            let mut broken = 0;
            for number in reader.. {
                if done(&answers, &spoilt) {
                    break;
                }
                // Mostly the small ones.
                let which = if number % 16 == 0 { 6 + number / 16 % 2 } else { number % 6 };
                let (digest, content) = &blobs[which];
                let range = if number % 3 == 0 { 1_000..60_000 } else { 0..content.len() };
                let asked = range.start as u64..range.end as u64;
                let read = match body(&registry, &name, digest, asked, FrameKind::Copied).await {
                    Ok(body) => rest(body).await,
                    Err(error) => Err(error),
                };
                match read {
                    Ok(bytes) => {
                        assert!(bytes == content[range], "wrong bytes of {digest}");
                        answers.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(_) => broken += 1,
                }
            }
            broken
        })
    });
    let broken: usize =
        futures::future::join_all(readers).await.into_iter().map(|broken| broken.expect("right bytes")).sum();
    spoiler.join().unwrap();
    // Who was reading a file while it was written to is cut off, and comes again.
    assert!(broken < ANSWERS / 10, "{broken} answers were cut off although the store was well");
    assert_eq!(fixture.registry.damaged_count(), 0);
    let status = fixture.cache().status();
    assert!(status.damaged > 0 && status.refused > 0 && status.fills > 20, "{status:?}");
}

#[tokio::test]
async fn what_is_pulled_most_is_known_after_a_restart_and_forgotten_with_the_directory() {
    let fixture = Fixture::new().await;
    let directory = fixture.directory.path().join("cache");
    let open = async || {
        DiskCache::open(DiskOptions { directory: directory.clone(), size: fixture.size }).await.unwrap()
    };
    let cache = fixture.registry.disk_cache().unwrap();
    let tag = |text: &str| Reference::parse(text).unwrap();
    for (reference, times) in [("rare", 1), ("often", 3)] {
        let digest = Digest::sha256(reference.as_bytes());
        (0..times).for_each(|_| {
            let who = Some(|| Event::now(None, None));
            fixture.registry.note_pull(&fixture.name, &tag(reference), &digest, true, who);
        });
    }
    cache.keep_pulls().await;
    let expected = [(fixture.name.clone(), tag("often")), (fixture.name.clone(), tag("rare"))];
    assert_eq!(cache.most_pulled(9), expected);
    assert_eq!(cache.most_pulled(1), expected[..1]);
    drop(fixture.registry);
    assert_eq!(open().await.most_pulled(9), expected);
    let file = directory.join("v1/pulls");
    let whole = fs::read(&file).unwrap();
    for torn in [&whole[..whole.len() / 2], b"", &[0xff; 40]] {
        fs::write(&file, torn).unwrap();
        assert_eq!(open().await.most_pulled(9), []);
    }
    fs::write(&file, whole).unwrap();
    fs::remove_dir_all(&directory).unwrap();
    assert_eq!(open().await.most_pulled(9), []);
}
