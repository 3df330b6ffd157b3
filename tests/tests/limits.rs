//! What clients may make the server hold: large bodies share one budget, streams have small buffers.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use std::time::{Duration, Instant};

use wharfinger_test_support::{Authority, Connection, Http2, Image, Registry, Request, bytes, wait_until};

const MIB: usize = 1 << 20;
const OCI: &str = "application/vnd.oci.image.manifest.v1+json";

/// Anonymous memory of the server, in bytes.
fn memory(registry: &mut Registry) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", registry.process().id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).expect("RssAnon");
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

/// Says that a manifest of 4 MiB comes, and sends the half of it.
fn half_a_manifest(registry: &Registry) -> Connection {
    let mut connection = registry.client().connect().unwrap();
    let request = Request::new("PUT", "/v2/limits/manifests/large")
        .header("Content-Type", OCI)
        .header("Content-Length", (4 * MIB).to_string());
    connection.write_head(&request).unwrap();
    // The server does not read what it has no room for: then the socket's buffers are full.
    connection.socket().set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    let _ = connection.write_bytes(&vec![b' '; 2 * MIB]);
    connection
}

#[test]
fn large_manifests_share_one_budget_and_small_ones_need_none() {
    let mut registry =
        Registry::builder().set("http.limits.buffer_bytes", "8MiB").allow_log("request failed").start();
    let before = memory(&mut registry);
    let held: Vec<Connection> = (0..16).map(|_| half_a_manifest(&registry)).collect();
    registry.api().push_image("limits", "small", &Image::small(1));
    let large = || {
        let body = vec![b' '; 4 * MIB];
        registry.api().put_manifest("limits", "large", OCI, &body)
    };
    let start = Instant::now();
    let answer = large().expect_error(503, "UNAVAILABLE");
    answer.required("retry-after");
    assert!(answer.text().contains("http.limits.buffer_bytes"), "{}", answer.text());
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    // Whoever gives up makes room.
    drop(held);
    large().expect_error(400, "MANIFEST_INVALID");
    let held: Vec<Connection> = (0..16).map(|_| half_a_manifest(&registry)).collect();
    let grown = memory(&mut registry).saturating_sub(before);
    assert!(grown < 20 * MIB, "sixteen halves of 4 MiB took {} KiB", grown / 1024);
    drop(held);
}

#[test]
fn streams_that_nobody_reads_hold_little() {
    let mut registry = Registry::builder()
        .tls(&Authority::new())
        .set("http.limits.buffer_bytes", "1MiB")
        .set("http.draintimeout", "1s")
        .allow_log("drain")
        .allow_log("cut")
        .start();
    let digest = registry.api().push_blob("limits", &bytes(1, 20 * MIB));
    let before = memory(&mut registry);
    let targets = vec![format!("/v2/limits/blobs/{digest}"); 90];
    let unread: Vec<Http2> =
        (0..4).map(|_| Http2::connect_and_stop_reading(registry.client(), 1 << 30, &targets)).collect();
    let grown = memory(&mut registry).saturating_sub(before);
    assert!(grown < 24 * MIB, "360 streams took {} KiB", grown / 1024);
    drop(unread);
}

#[test]
fn http_2_announces_how_much_it_takes() {
    let registry = Registry::builder().tls(&Authority::new()).start();
    let mut connection = Http2::connect(registry.client());
    // The first answer comes after the server's settings.
    assert_eq!(connection.get("/v2/", &[]).status, 200);
    assert_eq!(connection.limits(), (100, 512 * 1024));
}

#[test]
fn a_client_that_takes_nothing_over_http_2_is_let_go() {
    let registry =
        Registry::builder().tls(&Authority::new()).set("http.limits.body_progress_timeout", "1s").start();
    let digest = registry.api().push_blob("limits", &bytes(2, 20 * MIB));
    // Its window is full, so that the server has nothing to write, and no write that could take too long.
    let unread =
        Http2::connect_and_stop_reading(registry.client(), 1 << 16, &[format!("/v2/limits/blobs/{digest}")]);
    wait_until("the pull to be given up", Duration::from_secs(20), || {
        registry.log().iter().any(|line| line.text.contains("did not take the whole answer"))
    });
    drop(unread);
}
