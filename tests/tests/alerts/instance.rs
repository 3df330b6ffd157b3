//! Faults of one instance, on a directory.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use wharfinger_test_support::{
    Api, Authority, Builder, Client, Image, Registry, Request, run_tool, wait_until, wharfinger_binary,
};

use super::watch::Watch;
use super::{SOON, Traffic, watched};

/// A registry with an image and somebody who pulls it.
fn pulled(registry: &Registry) -> Traffic {
    registry.api().push_image("team/app", "v1", &Image::small(1));
    Traffic::start(1, &registry.api(), "/v2/team/app/manifests/v1")
}

/// The process is killed.
pub(crate) fn down() {
    let (builder, port) = watched(Registry::builder());
    let mut registry = builder.start();
    let _traffic = pulled(&registry);
    let mut watch = Watch::begin(&["WharfingerDown"], port, registry.directory());
    watch.break_it(|| registry.kill());
    watch.expect_alert(SOON);
    watch.mend_it(|| registry.start_again(), SOON);
    watch.judge();
}

/// Somebody took the instance out and forgot it.
pub(crate) fn not_ready() {
    let (builder, port) = watched(Registry::builder());
    let registry = builder.allow_log("the request failed").start();
    let _traffic = pulled(&registry);
    let by_hand = |word: &str| {
        let target = format!("/debug/health/{word}");
        Api::new(Client::plain(port)).send(Request::new("POST", &target).body("")).expect(200);
    };
    let mut watch = Watch::begin(&["WharfingerNotReady"], port, registry.directory());
    watch.break_it(|| by_hand("down"));
    watch.expect_alert(SOON);
    watch.mend_it(|| by_hand("up"), SOON);
    watch.judge();
}

/// The certificate is one that ends in three days.
pub(crate) fn certificate() {
    let authority = Authority::new();
    let (builder, port) = watched(Registry::builder().tls(&authority));
    let registry = builder.start();
    let _traffic = pulled(&registry);
    let mut watch = Watch::begin(&["WharfingerCertificateEnds"], port, registry.directory());
    let days = Duration::from_secs(3 * 24 * 3600);
    watch.break_it(|| drop(authority.issue_for(registry.directory(), days)));
    // The files are looked at every two seconds, and twice if they do not fit.
    watch.expect_alert(SOON + 24);
    watch.mend_it(|| drop(authority.issue(registry.directory())), SOON);
    watch.judge();
}

/// A registry that sweeps abandoned uploads every second, or only counts them.
fn sweeping(only_counting: bool) -> (Builder, u16) {
    let purging = "storage.maintenance.uploadpurging";
    let (builder, port) = watched(Registry::builder());
    let builder = builder
        .set(&format!("{purging}.enabled"), true)
        .set(&format!("{purging}.age"), "1s")
        .set(&format!("{purging}.interval"), "1s")
        .set(&format!("{purging}.dryrun"), only_counting);
    (builder, port)
}

/// Clients break off their pushes, and the sweep was told only to count.
pub(crate) fn uploads() {
    let (builder, port) = sweeping(true);
    let registry = builder.start();
    let _traffic = pulled(&registry);
    let api = registry.api();
    let mut watch = Watch::begin(&["WharfingerUploadsNotPurged"], port, registry.directory());
    watch.break_it(|| {
        for _ in 0..3 {
            api.patch(&api.start_upload("team/app"), 0, b"and then the client went away").expect(202);
        }
    });
    watch.expect_alert(SOON + 12);
    let mut purge = Command::new(wharfinger_binary());
    purge.args(["uploads", "purge", "--older-than", "0s"]).arg(registry.directory().join("config.yml"));
    watch.mend_it(|| drop(run_tool(&mut purge)), SOON + 4);
    watch.judge();
}

/// The directory of the uploads cannot be read any more.
pub(crate) fn sweep() {
    let (builder, port) = sweeping(false);
    let registry = builder
        .allow_log("purging abandoned uploads failed")
        .allow_log("list of wharfinger/v1/uploads")
        .start();
    let _traffic = pulled(&registry);
    let (place, aside) = (registry.root().join("wharfinger/v1/uploads"), registry.root().join("aside"));
    fs::create_dir_all(&place).unwrap();
    let mut watch = Watch::begin(&["WharfingerUploadsNotPurged"], port, registry.directory());
    watch.break_it(|| {
        fs::rename(&place, &aside).unwrap();
        symlink("uploads", &place).unwrap();
    });
    watch.expect_alert(SOON + 12);
    let mend = || {
        fs::remove_file(&place).unwrap();
        fs::rename(&aside, &place).unwrap();
    };
    watch.mend_it(mend, SOON + 4);
    watch.judge();
}

/// The scrub may read a byte a second since seven weeks, and does not get round.
pub(crate) fn scrub() {
    let (builder, port) = watched(Registry::builder());
    let mut registry = builder.set("scrub.period", "10s").start();
    let traffic = pulled(&registry);
    let record = registry.root().join("wharfinger/v1/scrub");
    wait_until("the scrub to begin", Duration::from_secs(20), || record.exists());
    let mut watch = Watch::begin(&["WharfingerScrubLate"], port, registry.directory());
    drop(traffic);
    watch.break_it(|| {
        registry.stop();
        let mut told: Value = serde_json::from_slice(&fs::read(&record).unwrap()).unwrap();
        let weeks = SystemTime::now() - Duration::from_secs(7 * 7 * 86_400);
        let started = humantime::format_rfc3339(weeks).to_string();
        let nothing = json!({ "started": started, "blobs": 0, "bytes": 0, "damaged": 0, "unreadable": 0 });
        (told["pass"], told["last"]) = (nothing, Value::Null);
        fs::write(&record, told.to_string()).unwrap();
        registry.reconfigure("scrub.rate", 1);
        registry.start_again();
    });
    watch.expect_alert(SOON);
    let mend = || {
        registry.stop();
        registry.reconfigure("scrub.rate", "20MiB");
        registry.start_again();
    };
    watch.mend_it(mend, SOON);
    watch.judge();
}
