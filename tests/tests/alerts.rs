//! The alerts that are shipped: each fires when its fault is really there, ends when it is mended, and no other fires;
//! the page that it names ends in a command that says the same.
//!
//! The faults happen side by side, each to a registry of its own. Those that disturb Swift's servers have clusters of
//! their own.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

#[path = "alerts/instance.rs"]
mod instance;
#[path = "alerts/redis_and_cache.rs"]
mod redis_and_cache;
#[path = "alerts/rules.rs"]
mod rules;
#[path = "alerts/shipped.rs"]
mod shipped;
#[path = "alerts/swift.rs"]
mod swift;
#[path = "alerts/watch.rs"]
mod watch;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::Mutex;
use wharfinger_test_support::{Api, Builder, Request, SwiftCluster, free_port, pause};

/// Scrapes that see a fault of which the registry hears at once: half a minute of the rules' time, and as much again.
const SOON: usize = 8;
/// As long as the longest rate looks back, and a little more.
const FIVE_MINUTES: usize = 5 * 60 / watch::STEP + 4;

/// The cluster whose servers nobody disturbs. One object that cannot be read is no reason for its proxy to shun the
/// object server, which is the only one.
fn calm() -> &'static SwiftCluster {
    static CLUSTER: LazyLock<SwiftCluster> = LazyLock::new(|| {
        let cluster = SwiftCluster::builder().proxy_option("error_suppression_limit", "1000000").start();
        // The first container makes the account; many first ones at once stand in each other's way.
        cluster.fresh_container();
        cluster
    });
    &CLUSTER
}

/// A registry with metrics, an admin socket, and a probe as often as four scrapes; and where its metrics are.
fn watched(builder: Builder) -> (Builder, u16) {
    let port = free_port();
    let socket = builder.directory().join("admin.sock");
    let builder = builder
        .set("http.debug.addr", format!("127.0.0.1:{port}"))
        .set("http.debug.prometheus.enabled", true)
        .set("health.storagedriver.interval", "1s")
        .set("admin.socket", socket.to_str().unwrap());
    (builder, port)
}

/// Clients that ask for something again and again, whatever they hear; they end when dropped.
struct Traffic {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Traffic {
    fn start(clients: usize, api: &Api, target: &str) -> Traffic {
        let stop = Arc::new(AtomicBool::new(false));
        let client = |_| {
            let (stop, api, target) = (Arc::clone(&stop), api.clone(), target.to_owned());
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let _ = api.try_send(Request::new("GET", &target));
                    pause(Duration::from_millis(200));
                }
            })
        };
        Traffic { threads: (0..clients).map(client).collect(), stop }
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

/// A fault's name and what lets it happen.
type Fault = (&'static str, fn());

/// Every fault.
const FAULTS: &[Fault] = &[
    ("down", instance::down),
    ("not ready", instance::not_ready),
    ("certificate", instance::certificate),
    ("uploads", instance::uploads),
    ("sweep of uploads", instance::sweep),
    ("scrub", instance::scrub),
    ("cache in front", redis_and_cache::cache_in_front),
    ("redis", redis_and_cache::redis),
    ("disk cache", redis_and_cache::disk_cache_refuses),
    ("copies", redis_and_cache::disk_cache_damaged),
    ("damaged blob", swift::damaged_blob),
    ("failing requests", swift::failing_requests),
    ("memory", swift::memory),
    ("slow Swift", swift::slow),
    ("no Swift", swift::away),
];

#[test]
fn each_fault_raises_its_alert_and_no_other_until_it_is_mended() {
    let failed = Mutex::new(Vec::new());
    let only = std::env::var("WHARFINGER_FAULT").ok();
    thread::scope(|scope| {
        for (name, fault) in
            FAULTS.iter().filter(|(name, _)| only.as_deref().is_none_or(|only| only == *name))
        {
            let failed = &failed;
            scope.spawn(move || {
                if thread::Builder::new().name((*name).to_owned()).spawn(*fault).unwrap().join().is_err() {
                    failed.lock().push(*name);
                }
            });
        }
    });
    assert!(failed.lock().is_empty(), "the faults that went otherwise: {:?}", failed.lock());
}

#[test]
fn every_alert_has_a_fault() {
    let text = ["alerts/instance.rs", "alerts/redis_and_cache.rs", "alerts/swift.rs", "alerts/shipped.rs"];
    let directory = rules::root().join("tests/tests");
    let text: String =
        text.iter().map(|file| std::fs::read_to_string(directory.join(file)).unwrap()).collect();
    let told: BTreeSet<String> = rules::all().into_iter().map(|rule| rule.name).collect();
    let left: Vec<&String> = told.iter().filter(|name| !text.contains(&format!("\"{name}\""))).collect();
    assert!(left.is_empty() && told.len() > 10, "no test injects the fault of {left:?}");
}
