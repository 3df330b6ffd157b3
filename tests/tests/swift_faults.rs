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

use wharfinger_test_support::{
    Api, Builder, Digest, HttpError, LogLine, Registry, Request, Response, SwiftCluster,
};

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

/// A PATCH whose body is written piece by piece, with something happening after each.
fn patch_slowly(
    api: &Api,
    session: &str,
    content: &[u8],
    piece: usize,
    mut after: impl FnMut(usize),
) -> Result<Response, HttpError> {
    let mut connection = api.client().connect()?;
    let head = Request { chunked: true, body: Some(Vec::new()), ..Request::new("PATCH", session) };
    connection.write_head(&head)?;
    for (number, part) in content.chunks(piece).enumerate() {
        let mut chunk = format!("{:x}\r\n", part.len()).into_bytes();
        chunk.extend_from_slice(part);
        chunk.extend_from_slice(b"\r\n");
        if connection.write_bytes(&chunk).is_err() {
            // The server has answered and closed: the answer is what counts.
            return connection.read("PATCH");
        }
        after(number);
    }
    connection.write_bytes(b"0\r\n\r\n")?;
    connection.read("PATCH")
}

/// Goes on with an upload where the server says that it stands, and closes it.
fn finish_from_offset(api: &Api, session: &str, content: &[u8]) -> Digest {
    let digest = Digest::sha256(content);
    let status = api.get(session).expect(204);
    let last: usize = status.required("range").strip_prefix("0-").unwrap().parse().unwrap();
    let offset = if last == 0 { 0 } else { last + 1 };
    assert!(offset <= content.len());
    api.finish(&status.location(), &digest.to_string(), &content[offset..]).expect(201);
    digest
}
