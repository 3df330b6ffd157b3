//! What the order of starts does: the facts of Swift that corrupt registries.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

#[path = "support/common.rs"]
mod common;

use std::time::Duration;

use common::Cluster;
use wharfinger_fake_swift::{Delay, Fault, Kind, Options, Rule};
use wharfinger_test_support::{Client, HttpError, Response};

#[track_caller]
fn lost(result: &Result<Response, HttpError>) {
    assert!(matches!(result, Err(HttpError::Io(_))), "an answer: {result:?}");
}

#[test]
fn a_slow_put_that_a_delete_overtakes_is_201_and_gone() {
    let swift = Cluster::start();
    for deleted in [404, 204] {
        let mut slow = swift.begin_put("a", 5);
        swift.send(&swift.request("DELETE", "a")).expect(deleted);
        slow.write_bytes(b"hello").unwrap();
        slow.read("PUT").unwrap().expect(201);
        swift.get("a").expect(404);
        assert!(swift.list("").is_empty());
        swift.put("a", b"there");
    }
}

#[test]
fn of_two_overlapping_puts_the_later_start_wins_and_both_are_201() {
    let swift = Cluster::start();
    let mut first = swift.begin_put("a", 5);
    swift.put("a", b"later");
    first.write_bytes(b"first").unwrap();
    first.read("PUT").unwrap().expect(201);
    assert_eq!(swift.get("a").expect(200).body, b"later");
}

#[test]
fn two_overlapping_puts_that_want_no_object_there_may_both_win() {
    let swift = Cluster::start();
    let mut connections = Vec::new();
    for _ in 0..2 {
        let before = swift.fake.requests().len();
        let mut connection = swift.client.connect().unwrap();
        let head = swift.request("PUT", "a").header("If-None-Match", "*").header("Content-Length", "5");
        connection.write_head(&head.header("Expect", "100-continue")).unwrap();
        assert_eq!(connection.read_some(25).unwrap(), b"HTTP/1.1 100 Continue\r\n\r\n");
        assert_eq!(swift.fake.requests().len(), before + 1);
        connections.push(connection);
    }
    for connection in &mut connections {
        connection.write_bytes(b"hello").unwrap();
        connection.read("PUT").unwrap().expect(201);
    }
}

#[test]
fn a_front_end_whose_clock_is_behind_gets_202_and_stores_nothing() {
    let swift = Cluster::with(Options { front_ends_ms: vec![0, -300_000], ..Options::default() });
    let behind = Client::plain(swift.fake.port_of(1));
    swift.put("a", b"first");
    behind.send(&swift.request("PUT", "a").body(*b"other")).unwrap().expect(202);
    assert_eq!(swift.get("a").expect(200).body, b"first");
    behind.send(&swift.request("DELETE", "a")).unwrap().expect(409);
    swift.send(&swift.request("DELETE", "a")).expect(204);
    // A tombstone counts as well.
    behind.send(&swift.request("PUT", "a").body(*b"other")).unwrap().expect(202);
    swift.get("a").expect(404);
    swift.fake.set_skew(1, 0);
    behind.send(&swift.request("PUT", "a").body(*b"other")).unwrap().expect(201);
}

#[test]
fn a_clients_own_timestamp_is_ignored() {
    let swift = Cluster::start();
    swift.put("a", b"first");
    swift.send(&swift.request("PUT", "a").header("X-Timestamp", "17.0").body(*b"other")).expect(201);
    assert_eq!(swift.get("a").expect(200).body, b"other");
}

#[test]
fn a_put_can_be_held_between_its_start_and_its_effect() {
    let swift = Cluster::start();
    swift.fake.inject(Rule::new(Fault::Slow(Duration::from_secs(1))).on(&[Kind::Put]).next(1));
    let mut slow = swift.begin_put("a", 5);
    slow.write_bytes(b"hello").unwrap();
    swift.send(&swift.request("DELETE", "a")).expect(404);
    slow.read("PUT").unwrap().expect(201);
    swift.get("a").expect(404);
}

#[test]
fn a_delete_can_land_after_its_answer_was_lost() {
    let swift = Cluster::start();
    for (restamp, left) in [(false, 200), (true, 404)] {
        swift.put("a", b"first");
        let fault = Fault::Late { delay: Delay::Requests(2), restamp };
        swift.fake.inject(Rule::new(fault).on(&[Kind::Delete]).next(1));
        lost(&swift.try_send(&swift.request("DELETE", "a")));
        swift.get("a").expect(200);
        // Whether the object of a later PUT is safe depends on what held the DELETE up.
        swift.put("a", b"second");
        assert_eq!(swift.fake.pending(), 1);
        swift.get("a").expect(left);
        assert_eq!(swift.fake.pending(), 0);
    }
}

#[test]
fn a_put_can_land_after_its_answer_was_lost() {
    let swift = Cluster::start();
    let fault = Fault::Late { delay: Delay::Time(Duration::from_secs(60)), restamp: false };
    swift.fake.inject_once(fault);
    lost(&swift.try_send(&swift.request("PUT", "a").body(*b"hello")));
    swift.get("a").expect(404);
    swift.fake.advance(Duration::from_secs(61));
    swift.get("a").expect(200);
    swift.fake.inject_once(fault);
    lost(&swift.try_send(&swift.request("PUT", "b").body(*b"hello")));
    swift.fake.settle();
    assert_eq!(swift.fake.objects("c"), ["a", "b"]);
}

#[test]
fn a_delete_can_be_carried_out_once_more() {
    let swift = Cluster::start();
    swift.put("a", b"first");
    swift.fake.inject_once(Fault::Replay(Delay::Requests(1)));
    swift.send(&swift.request("DELETE", "a")).expect(204);
    swift.put("a", b"second");
    swift.get("a").expect(404);
    assert!(swift.list("").is_empty());
}
