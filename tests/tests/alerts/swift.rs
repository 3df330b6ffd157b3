//! Faults of Swift: objects that rot or cannot be read, a proxy that is slow or away, and clients that do not read what
//! comes from it.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use wharfinger_test_support::{
    Blob, Builder, Connection, Image, Registry, Request, Server, SwiftCluster, pause,
};

use super::watch::Watch;
use super::{FIVE_MINUTES, SOON, Traffic, calm, watched};

const MANIFEST: &str = "/v2/team/app/manifests/v1";
const MIB: usize = 1 << 20;

fn allowing(builder: Builder, lines: &[&str]) -> Builder {
    lines.iter().fold(builder, |builder, line| builder.allow_log(line))
}

/// A byte of a blob in Swift is another; somebody pulls it.
pub(crate) fn damaged_blob() {
    let swift = calm();
    let container = swift.fresh_container();
    let (builder, port) = watched(Registry::builder().swift(swift, &container));
    let expected = ["a blob is damaged in the store", "the answer was broken off", "the request failed"];
    let registry = allowing(builder, &expected).allow_log("a storage call failed").start();
    let (api, content) = (registry.api(), Blob::seeded(7, 3 * MIB).bytes());
    api.push_image("team/app", "v1", &Image::small(1));
    let digest = api.push_blob("team/app", &content);
    let _traffic = Traffic::start(1, &api, MANIFEST);
    let mut watch = Watch::begin(&["WharfingerDamagedBlobs"], port, registry.directory());
    watch.break_it(|| {
        let hex = digest.hex();
        swift.corrupt(&container, &format!("files/docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]));
        drop(api.try_send(Request::new("GET", &format!("/v2/team/app/blobs/{digest}"))));
    });
    watch.expect_alert(SOON);
    watch.mend_it(
        || {
            api.push_blob("team/app", &content);
        },
        SOON,
    );
    watch.judge();
}

/// The file of one object cannot be read, as on a disk with a bad sector: the object server answers 500.
pub(crate) fn failing_requests() {
    let swift = calm();
    let container = swift.fresh_container();
    let (builder, port) = watched(Registry::builder().swift(swift, &container));
    let registry = allowing(builder, &["a storage call failed", "the request failed"]).start();
    registry.api().push_image("team/app", "v1", &Image::small(1));
    // Each failure is tried five times.
    let _traffic = Traffic::start(8, &registry.api(), MANIFEST);
    let link = "files/docker/registry/v2/repositories/team/app/_manifests/tags/v1/current/link";
    let file = swift.object_file(&container, link, 0);
    let aside = swift.home().join("unreadable");
    let mut watch = Watch::begin(&["WharfingerRequestsFailing"], port, registry.directory());
    watch.break_it(|| {
        fs::rename(&file, &aside).unwrap();
        fs::create_dir(&file).unwrap();
    });
    watch.expect_alert(SOON + 16);
    let put_back = || {
        fs::remove_dir(&file).unwrap();
        fs::rename(&aside, &file).unwrap();
    };
    watch.mend_it(put_back, FIVE_MINUTES);
    watch.judge();
}

/// Clients ask for a large blob and do not read it, until no memory for bodies is left.
pub(crate) fn memory() {
    let swift = calm();
    let (builder, port) = watched(Registry::builder().swift(swift, &swift.fresh_container()));
    let registry = builder.set("http.limits.buffer_bytes", "8MiB").start();
    let (api, content) = (registry.api(), Blob::seeded(9, 12 * MIB).bytes());
    api.push_image("team/app", "v1", &Image::small(1));
    let target = format!("/v2/team/app/blobs/{}", api.push_blob("team/app", &content));
    let _traffic = Traffic::start(1, &api, MANIFEST);
    let mut watch = Watch::begin(&["WharfingerMemoryForBodiesHeld"], port, registry.directory());
    let mut held: Vec<Connection> = Vec::new();
    watch.break_it(|| {
        for _ in 0..10 {
            let mut connection = api.client().connect().unwrap();
            connection.write(&Request::new("GET", &target)).unwrap();
            held.push(connection);
        }
    });
    watch.expect_alert(SOON + 16);
    watch.mend_it(|| held.clear(), SOON);
    watch.judge();
}

/// Swift's proxy stands still for more than a second again and again.
pub(crate) fn slow() {
    let swift = &SwiftCluster::start();
    let (builder, port) = watched(Registry::builder().swift(swift, &swift.fresh_container()));
    let registry = builder.start();
    registry.api().push_image("team/app", "v1", &Image::small(1));
    let _traffic = Traffic::start(4, &registry.api(), MANIFEST);
    let mut watch = Watch::begin(&["WharfingerRequestsSlow"], port, registry.directory());
    let mended = AtomicBool::new(false);
    thread::scope(|scope| {
        watch.break_it(|| {
            scope.spawn(|| {
                while !mended.load(Ordering::Relaxed) {
                    swift.hang(Server::Proxy);
                    pause(Duration::from_millis(1_300));
                    swift.resume(Server::Proxy);
                    pause(Duration::from_millis(250));
                }
            });
        });
        watch.expect_alert(SOON + 8);
        watch.mend_it(|| mended.store(true, Ordering::Relaxed), FIVE_MINUTES);
    });
    watch.judge();
}

/// A registry that lives through an outage.
fn patient(swift: &SwiftCluster) -> (Builder, u16) {
    let (builder, port) = watched(Registry::builder().swift(swift, &swift.fresh_container()));
    let expected = [
        "a storage call failed",
        "the request failed",
        "the store fails its probe",
        "the store does not answer",
    ];
    (allowing(builder, &expected), port)
}

/// Swift's proxy ends. Two registries in the same outage: one has a disk cache and goes on answering, which is told when
/// it lasts.
pub(crate) fn away() {
    let swift = &SwiftCluster::start();
    let (builder, port) = patient(swift);
    let plain = builder.start();
    let (builder, cached_port) = patient(swift);
    let directory = builder.directory().join("cache");
    let builder = builder.set("cache.directory", directory.to_str().unwrap()).set("cache.size", "64MiB");
    let cached = builder.start();
    let registries = [&plain, &cached];
    for registry in registries {
        registry.api().push_image("team/app", "v1", &Image::small(1));
    }
    let _traffic = registries.map(|registry| Traffic::start(1, &registry.api(), MANIFEST));
    let alerts = ["WharfingerStoreFailing", "WharfingerPullsWithoutStore"];
    let (mut one, mut other) = thread::scope(|scope| {
        let directory = cached.directory();
        let other = scope.spawn(move || Watch::begin(&alerts, cached_port, directory));
        (Watch::begin(&alerts[..1], port, plain.directory()), other.join().unwrap())
    });
    one.break_it(|| swift.stop_server(Server::Proxy));
    other.break_it(|| {});
    // A call is tried for some seconds before it counts as failed.
    one.expect_alert(SOON + 24);
    other.expect_alert(SOON + 24);
    one.is_mended();
    other.mend_it(|| swift.start_server(Server::Proxy), FIVE_MINUTES);
    one.expect_end(SOON);
    one.judge();
    other.judge();
}
