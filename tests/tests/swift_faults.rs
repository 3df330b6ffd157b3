//! Real Swift that fails: servers that stop or hang, segments that rot, tokens that end, permissions that lack, clocks
//! that differ. What clients see is a 503 that asks them to come again, a broken connection, or the right bytes.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

#[path = "swift_faults/damage.rs"]
mod damage;
#[path = "swift_faults/modes.rs"]
mod modes;
#[path = "swift_faults/outages.rs"]
mod outages;
#[path = "swift_faults/replicas.rs"]
mod replicas;
#[path = "swift_faults/sessions.rs"]
mod sessions;

use std::sync::LazyLock;

use wharfinger_test_support::{Builder, LogLine, Registry, SwiftCluster};

/// Bytes of a segment in these tests.
const SEGMENT: usize = 5 << 20;

/// The cluster whose servers are disturbed, by one test at a time.
#[expect(
    clippy::disallowed_types,
    reason = "a test that fails leaves its cluster in an unknown state: poisoned"
)]
fn disturbed() -> std::sync::MutexGuard<'static, SwiftCluster> {
    use std::sync::Mutex;
    static CLUSTER: LazyLock<Mutex<SwiftCluster>> = LazyLock::new(|| Mutex::new(SwiftCluster::start()));
    CLUSTER.lock().expect("a cluster that an earlier test left in order")
}

/// A registry on a container, with small segments and a probe each second.
fn builder(swift: &SwiftCluster, container: &str) -> Builder {
    Registry::builder()
        .swift(swift, container)
        .set("storage.swift.segmentsize", SEGMENT)
        .set("health.storagedriver.interval", "1s")
}

/// The warnings and errors among the lines of a log.
fn alarms(log: &[LogLine]) -> Vec<&LogLine> {
    log.iter().filter(|line| line.is_alarming()).collect()
}
