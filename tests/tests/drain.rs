//! SIGTERM: what is in flight ends, what is new goes elsewhere, and it ends in time.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use std::time::{Duration, Instant};

use rustix::process::Signal;
use wharfinger_test_support::{Authority, Digest, Registry, Request, bytes, pause, wait_until};

#[test]
fn an_idle_server_ends_at_once() {
    let mut registry = Registry::start();
    let connection = registry.client().connect().unwrap();
    let start = Instant::now();
    assert!(registry.stop().success());
    assert!(start.elapsed() < Duration::from_secs(3), "an idle connection held it for {:?}", start.elapsed());
    drop(connection);
}

#[test]
fn clients_that_have_not_said_anything_do_not_hold_it_up() {
    for builder in
        [Registry::builder().tls(&Authority::new()), Registry::builder().set("http.h2c.enabled", true)]
    {
        let mut registry = builder.start();
        let silent = std::net::TcpStream::connect(("127.0.0.1", registry.client().port())).unwrap();
        // Accepted after the silent one.
        registry.api().get("/v2/").expect(200);
        let start = Instant::now();
        assert!(registry.stop().success());
        assert!(
            start.elapsed() < Duration::from_secs(3),
            "a silent client held it for {:?}",
            start.elapsed()
        );
        drop(silent);
    }
}

#[test]
fn a_pull_in_flight_ends_and_new_ones_are_refused() {
    let mut registry = Registry::start();
    let api = registry.api();
    let content = bytes(1, 30 << 20);
    let digest = api.push_blob("drain", &content);
    let mut slow = registry.client().connect().unwrap();
    slow.write(&Request::new("GET", &format!("/v2/drain/blobs/{digest}"))).unwrap();
    let head = slow.read_head().unwrap();
    assert_eq!(head.status, 200);
    let mut received = slow.read_some(1 << 20).unwrap();
    registry.process().signal(Signal::TERM);
    let client = registry.client().clone();
    wait_until("new connections to be refused", Duration::from_secs(5), || {
        client.send(&Request::new("GET", "/v2/")).is_err()
    });
    assert!(registry.process().is_running(), "it did not wait for the pull");
    received.extend(slow.read_some(content.len()).unwrap());
    assert!(received == content, "the pull was cut at {} of {} bytes", received.len(), content.len());
    drop(slow);
    assert!(registry.process().wait(Duration::from_secs(5)).expect("an end").success());
}

#[test]
fn a_push_in_flight_ends() {
    let mut registry = Registry::start();
    let api = registry.api();
    let content = bytes(2, 4 << 20);
    let digest = Digest::sha256(&content);
    let session = api.start_upload("drain");
    let mut slow = registry.client().connect().unwrap();
    let separator = if session.contains('?') { '&' } else { '?' };
    let request = Request::new("PUT", &format!("{session}{separator}digest={digest}"))
        .header("Content-Length", content.len().to_string());
    slow.write_head(&request).unwrap();
    slow.write_bytes(&content[..1 << 20]).unwrap();
    pause(Duration::from_millis(100));
    registry.process().signal(Signal::TERM);
    pause(Duration::from_millis(300));
    slow.write_bytes(&content[1 << 20..]).unwrap();
    assert_eq!(slow.read("PUT").unwrap().expect(201).required("docker-content-digest"), digest.to_string());
    drop(slow);
    assert!(registry.process().wait(Duration::from_secs(5)).expect("an end").success());
    registry.start_again();
    assert!(api.pull_blob("drain", &digest) == content);
}

#[test]
fn a_client_that_never_ends_is_cut_at_the_limit() {
    let mut registry = Registry::builder().set("http.draintimeout", "1s").allow_log("drain").start();
    let api = registry.api();
    let digest = api.push_blob("stuck", &bytes(3, 30 << 20));
    let mut stuck = registry.client().connect().unwrap();
    stuck.write(&Request::new("GET", &format!("/v2/stuck/blobs/{digest}"))).unwrap();
    assert_eq!(stuck.read_head().unwrap().status, 200);
    let start = Instant::now();
    registry.stop();
    let time = start.elapsed();
    assert!(time >= Duration::from_millis(900) && time < Duration::from_secs(6), "it ended after {time:?}");
}
