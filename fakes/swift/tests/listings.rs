//! Listings.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

#[path = "support/common.rs"]
mod common;

use common::Cluster;
use wharfinger_fake_swift::Options;

#[test]
fn a_listing_has_pages_prefixes_and_directories() {
    let swift = Cluster::start();
    for name in ["a", "b/1", "b/2", "b/x/1", "c", "d/1"] {
        swift.put(name, name.as_bytes());
    }
    assert_eq!(swift.list(""), ["a", "b/1", "b/2", "b/x/1", "c", "d/1"]);
    assert_eq!(swift.list("&limit=2"), ["a", "b/1"]);
    assert_eq!(swift.list("&limit=2&marker=b/1"), ["b/2", "b/x/1"]);
    assert_eq!(swift.list("&marker=b/1&end_marker=c"), ["b/2", "b/x/1"]);
    assert_eq!(swift.list("&prefix=b/"), ["b/1", "b/2", "b/x/1"]);
    assert_eq!(swift.list("&delimiter=/"), ["a", "b/", "c", "d/"]);
    assert_eq!(swift.list("&delimiter=/&prefix=b/"), ["b/1", "b/2", "b/x/"]);
    assert_eq!(swift.list("&delimiter=/&marker=b/"), ["c", "d/"]);
    assert_eq!(swift.list("&delimiter=/&limit=2"), ["a", "b/"]);
    assert_eq!(swift.list("&reverse=true&limit=3"), ["d/1", "c", "b/x/1"]);
    assert_eq!(swift.list("&reverse=true&marker=c&end_marker=b/1"), ["b/x/1", "b/2"]);
    assert_eq!(swift.list("&reverse=true&delimiter=/"), ["d/", "c", "b/", "a"]);
    assert_eq!(swift.list("&path=b"), ["b/1", "b/2"]);
    let text = swift.send(&swift.request("GET", "?prefix=b/&limit=2")).expect(200);
    assert_eq!(text.text(), "b/1\nb/2\n");
    swift.send(&swift.request("GET", "?prefix=none")).expect(204);
    swift.send(&swift.request("GET", "?limit=10001")).expect(412);
    swift.send(&swift.on_account("GET", "/absent?format=json")).expect(404);
    let containers = swift.send(&swift.on_account("GET", "?format=json")).expect(200).json();
    assert_eq!((containers[0]["name"].as_str(), containers[0]["count"].as_u64()), (Some("c"), Some(6)));
}

#[test]
fn an_entry_has_hash_size_type_and_microseconds() {
    let swift = Cluster::start();
    swift.put("a", b"hello");
    let entry = swift.send(&swift.request("GET", "?format=json")).expect(200).json()[0].clone();
    assert_eq!(entry["hash"], common::md5(b"hello"));
    assert_eq!(entry["bytes"], 5);
    assert_eq!(entry["content_type"], "application/octet-stream");
    assert_eq!(entry["last_modified"].as_str().unwrap().len(), "2026-11-24T20:22:52.123450".len());
}

#[test]
fn the_longest_page_can_be_small() {
    let swift = Cluster::with(Options { page_limit: 2, ..Options::default() });
    for name in ["a", "b", "c"] {
        swift.put(name, b"x");
    }
    assert_eq!(swift.list(""), ["a", "b"]);
    assert_eq!(swift.list("&marker=b"), ["c"]);
    swift.send(&swift.request("GET", "?limit=3")).expect(412);
}

#[test]
fn names_are_in_the_order_of_their_bytes() {
    let swift = Cluster::start();
    for name in ["%C3%A9", "z", "Z", "a-b", "a%2Fb", "a", "%F0%9F%90%8B"] {
        swift.put(name, b"x");
    }
    assert_eq!(swift.list(""), ["Z", "a", "a-b", "a/b", "z", "\u{e9}", "\u{1f40b}"]);
}
