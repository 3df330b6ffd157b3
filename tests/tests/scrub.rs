//! The scrub reads everything again: it finds what changed on the disk before a pull does, goes on after a crash where it
//! was, and writes nothing where nothing may be written.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use wharfinger_test_support::{
    Api, Builder, Client, Digest, HttpError, Image, Registry, Request, Style, bytes, free_port, wait_until,
    wharfinger_binary,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// A registry that reads everything in that time, and where its metrics are.
fn scrubbing(builder: Builder, period: &str) -> (Registry, Api) {
    let port = free_port();
    let builder = builder.set("scrub.period", period).set("http.debug.prometheus.enabled", true);
    (builder.set("http.debug.addr", format!("127.0.0.1:{port}")).start(), Api::new(Client::plain(port)))
}

/// The sum of a metric over the series that contain this.
fn metric(api: &Api, name: &str, label: &str) -> f64 {
    let text = api.get("/metrics").expect(200).text();
    let values = text.lines().filter_map(|line| line.strip_prefix(name).filter(|_| line.contains(label)));
    values.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

fn flip(path: &Path, at: u64) {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}

fn status(registry: &Registry) -> Value {
    let mut command = Command::new(wharfinger_binary());
    command.args(["status", "--output", "json", "--socket"]);
    let output = command.arg(registry.root().join("wharfinger/admin.sock")).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn what_another_site_has_is_mended_without_anybody() {
    let other = Registry::start();
    let peers = json!([{
        "name": "codfw",
        "storage": { "filesystem": { "rootdirectory": other.root().to_string_lossy() } },
    }]);
    let builder = Registry::builder().allow_log("damaged in the store").set("replication.peers", peers);
    let (registry, metrics) = scrubbing(builder, "2s");
    let image = Image::layered(Style::Oci, 7, 1, 3 << 20);
    for api in [registry.api(), other.api()] {
        api.push_image("team/app", "v1", &image);
    }
    flip(&registry.blob_path(&image.layers[0].digest), 1000);
    wait_until("the repair", PATIENCE, || {
        registry.log().iter().any(|line| line.text.contains("a damaged blob was mended from an intact copy"))
    });
    assert_eq!(registry.api().pull("team/app", "v1").digest, image.digest);
    wait_until("nothing to be withheld", PATIENCE, || {
        metric(&metrics, "wharfinger_damaged_blobs ", "") == 0.0
    });
}

#[test]
fn a_byte_that_changed_on_the_disk_is_found_told_and_mended_by_a_push() {
    let builder = Registry::builder().allow_log("damaged in the store");
    let (mut registry, metrics) = scrubbing(builder, "2s");
    let api = registry.api();
    let contents: Vec<Vec<u8>> = (1..=4).map(|seed| bytes(seed, 3 << 20)).collect();
    let digests: Vec<Digest> = contents.iter().map(|content| api.push_blob("team/app", content)).collect();
    wait_until("a pass", PATIENCE, || metric(&metrics, "wharfinger_scrub_blobs_total", "good") >= 4.0);
    assert_eq!(metric(&metrics, "wharfinger_damaged_blobs", ""), 0.0);
    flip(&registry.blob_path(&digests[2]), 1000);
    wait_until("the damage", PATIENCE, || metric(&metrics, "wharfinger_damaged_blobs ", "") == 1.0);
    assert!(metric(&metrics, "wharfinger_scrub_blobs_total", "damaged") >= 1.0);
    let told = registry.log().into_iter().find(|line| line.text.contains("a blob is damaged in the store"));
    assert!(told.unwrap().text.contains(&digests[2].to_string()), "which blob?");
    let target = format!("/v2/team/app/blobs/{}", digests[2]);
    api.head(&target).expect(404);
    match api.try_send(Request::new("GET", &target)) {
        Ok(answer) => assert!(answer.status >= 400, "a clean {}", answer.status),
        Err(HttpError::Truncated { response, .. }) => assert!(response.body.is_empty(), "wrong bytes"),
        Err(_) => {}
    }
    for whole in [0, 1, 3] {
        assert!(api.pull_blob("team/app", &digests[whole]) == contents[whole], "another blob was hurt");
    }
    let answer = status(&registry);
    assert_eq!((&answer["damaged_blobs"], &answer["scrub"]["elsewhere"]), (&1.into(), &false.into()));
    assert!(answer["scrub"]["last_pass"]["blobs"].as_u64().unwrap() >= 4, "{answer:#}");
    registry.stop();
    registry.reconfigure("scrub.period", "60s");
    registry.start_again();
    wait_until("a restart to find it again", PATIENCE, || {
        metric(&metrics, "wharfinger_damaged_blobs ", "") == 1.0
    });
    api.head(&target).expect(404);
    registry.stop();
    registry.reconfigure("scrub.period", "2s");
    registry.start_again();
    api.push_blob("team/app", &contents[2]);
    assert!(api.pull_blob("team/app", &digests[2]) == contents[2], "not mended by a push");
    assert_eq!(metric(&metrics, "wharfinger_damaged_blobs ", ""), 0.0);
    let passes = metric(&metrics, "wharfinger_scrub_blobs_total", "good");
    wait_until("another pass", PATIENCE, || {
        metric(&metrics, "wharfinger_scrub_blobs_total", "good") >= passes + 8.0
    });
    assert_eq!(metric(&metrics, "wharfinger_damaged_blobs ", ""), 0.0, "found again what was mended");
    assert!(metric(&metrics, "wharfinger_scrub_oldest_unverified_seconds", "") < 60.0);
}

/// What the record in the store says.
fn record(registry: &Registry) -> Value {
    let text = fs::read(registry.root().join("wharfinger/v1/scrub")).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

#[test]
fn a_pass_goes_on_after_kill_9_where_it_was() {
    const BLOBS: u64 = 16;
    let builder = Registry::builder().set("scrub.rate", "1MiB").set("scrub.enabled", false);
    let (mut registry, metrics) = scrubbing(builder, "1s");
    for seed in 1..=BLOBS {
        registry.api().push_blob("team/app", &bytes(seed, 1 << 20));
    }
    registry.stop();
    registry.reconfigure("scrub.enabled", true);
    registry.start_again();
    let done = |registry: &Registry| record(registry)["pass"]["blobs"].as_u64().unwrap_or(0);
    wait_until("a part of the pass", PATIENCE, || done(&registry) >= 4);
    registry.kill();
    let before = record(&registry);
    let read = done(&registry);
    assert!(read < BLOBS && before["last"].is_null(), "no longer in the middle: {before:#}");
    registry.start_again();
    wait_until("the end of the pass", PATIENCE, || !record(&registry)["last"].is_null());
    let read_now = metric(&metrics, "wharfinger_scrub_blobs_total", "");
    let after = record(&registry);
    assert_eq!(after["last"]["started"], before["pass"]["started"], "a pass of its own: {after:#}");
    assert_eq!(after["last"]["blobs"], BLOBS, "{after:#}");
    assert!(read_now <= (BLOBS - read) as f64 + 2.0, "{read_now} read, {read} of {BLOBS} were done before");
}

/// Every file below a directory, with its bytes.
fn tree(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(root).unwrap().map(|entry| entry.unwrap()) {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            files.extend(tree(&path));
        } else if entry.file_type().unwrap().is_file() {
            files.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    files
}

#[test]
fn a_scrub_of_a_store_that_is_read_only_finds_damage_and_writes_nothing() {
    let mut registry = Registry::builder().set("scrub.enabled", false).start();
    let digests: Vec<Digest> =
        (1..=4).map(|seed| registry.api().push_blob("team/app", &bytes(seed, 1 << 20))).collect();
    registry.stop();
    fs::remove_dir_all(registry.root().join("wharfinger/v1/chunks")).unwrap();
    flip(&registry.blob_path(&digests[1]), 70_000);
    let before = tree(registry.root());
    let builder = Registry::builder().root(registry.root()).set("storage.maintenance.readonly.enabled", true);
    let builder = builder.allow_log("damaged in the store");
    let (observing, metrics) = scrubbing(builder, "2s");
    wait_until("the damage", PATIENCE, || metric(&metrics, "wharfinger_damaged_blobs ", "") == 1.0);
    wait_until("the rest", PATIENCE, || metric(&metrics, "wharfinger_scrub_blobs_total", "good") >= 6.0);
    assert_eq!(metric(&metrics, "wharfinger_scrub_blobs_total", "derived"), 0.0);
    drop(observing);
    assert!(tree(registry.root()) == before, "something was written");
}
