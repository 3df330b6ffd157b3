//! Large objects: by a listing (DLO) and by a list (SLO).
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

#[path = "support/common.rs"]
mod common;

use common::{Cluster, md5};
use serde_json::{Value, json};
use wharfinger_fake_swift::{Options, Pipeline};
use wharfinger_test_support::{HttpError, Response};

fn dlo(swift: &Cluster, name: &str, prefix: &str) -> Response {
    let manifest = format!("c/{prefix}");
    swift.send(&swift.request("PUT", name).header("X-Object-Manifest", manifest).body(*b"")).expect(201)
}

fn entry(name: &str, content: &[u8]) -> Value {
    json!({ "path": format!("/c/{name}"), "etag": md5(content), "size_bytes": content.len() })
}

fn slo(swift: &Cluster, name: &str, entries: &[Value]) -> Response {
    let body = serde_json::to_vec(entries).unwrap();
    swift.send(&swift.request("PUT", &format!("{name}?multipart-manifest=put")).body(body))
}

/// Puts `s/1` "hello " and `s/2` "world", and an SLO `big` of both.
fn hello() -> Cluster {
    let swift = Cluster::start();
    swift.put("s/1", b"hello ");
    swift.put("s/2", b"world");
    slo(&swift, "big", &[entry("s/1", b"hello "), entry("s/2", b"world")]).expect(201);
    swift
}

/// The bytes that came before the answer broke off.
#[track_caller]
fn broken(result: Result<Response, HttpError>) -> Vec<u8> {
    match result {
        Err(HttpError::Truncated { response, .. }) => response.body,
        other => panic!("not broken off: {other:?}"),
    }
}

#[test]
fn a_dlo_is_what_the_listing_shows() {
    let swift = Cluster::start();
    swift.put("s/1", b"hello ");
    swift.put("s/2", b"wide ");
    swift.put("s/3", b"world");
    dlo(&swift, "big", "s/");
    let whole = swift.get("big").expect(200);
    assert_eq!(whole.body, b"hello wide world");
    let hashes = [&b"hello "[..], b"wide ", b"world"].map(md5).concat();
    assert_eq!(whole.required("etag"), format!("\"{}\"", md5(hashes.as_bytes())));
    assert_eq!(whole.required("x-object-manifest"), "c/s/");
    let part = swift.send(&swift.request("GET", "big").header("Range", "bytes=4-11")).expect(206);
    assert_eq!((part.body.as_slice(), part.required("content-range")), (&b"o wide w"[..], "bytes 4-11/16"));
    swift.send(&swift.request("GET", "big").header("Range", "bytes=16-")).expect(416);
    let raw = swift.get("big?multipart-manifest=get").expect(200);
    assert!(raw.body.is_empty());
    // A row that is not shown is a segment that is silently not there.
    swift.fake.hide_row("c", "s/2");
    let less = swift.get("big").expect(200);
    assert_eq!(less.body, b"hello world");
    swift.fake.heal_listings();
    // A row without its object breaks the answer off: with a 500 while no head was sent, with a 409 when it is the first.
    swift.fake.remove("c", "s/3");
    swift.get("big").expect(500);
    swift.put("s/2", &[7; 5000]);
    assert_eq!(broken(swift.try_send(&swift.request("GET", "big"))).len(), 5006);
    swift.fake.remove("c", "s/1");
    swift.get("big").expect(409);
    assert_eq!(swift.send(&swift.request("HEAD", "big")).expect(200).required("content-length"), "5011");
}

#[test]
fn a_dlo_of_more_than_one_page_has_no_length() {
    let swift = Cluster::with(Options { page_limit: 2, ..Options::default() });
    for name in ["s/1", "s/2", "s/3"] {
        swift.put(name, b"xx");
    }
    dlo(&swift, "big", "s/");
    let whole = swift.get("big").expect(200);
    assert_eq!((whole.header("content-length"), whole.body.as_slice()), (None, &b"xxxxxx"[..]));
    // A range within the first page is honoured, one beyond it is not.
    let range = |value: &str| swift.send(&swift.request("GET", "big").header("Range", value));
    assert_eq!(range("bytes=1-2").expect(206).body.len(), 2);
    assert_eq!(range("bytes=1-").expect(200).body.len(), 6);
}

#[test]
fn a_post_turns_a_dlo_into_nothing() {
    let swift = Cluster::start();
    swift.put("s/1", b"hello");
    dlo(&swift, "big", "s/");
    swift.send(&swift.request("POST", "big").header("X-Object-Meta-A", "b")).expect(202);
    assert!(swift.get("big").expect(200).body.is_empty());
}

#[test]
fn an_slo_is_read_checked_and_deleted() {
    let swift = hello();
    let whole = swift.get("big").expect(200);
    assert_eq!(whole.body, b"hello world");
    let etag = md5(format!("{}{}", md5(b"hello "), md5(b"world")).as_bytes());
    assert_eq!(whole.required("etag"), format!("\"{etag}\""));
    assert_eq!(whole.required("x-static-large-object"), "True");
    let part = swift.send(&swift.request("GET", "big").header("Range", "bytes=4-7")).expect(206);
    assert_eq!((part.body.as_slice(), part.required("content-range")), (&b"o wo"[..], "bytes 4-7/11"));
    swift.send(&swift.request("GET", "big").header("If-Match", etag)).expect(200);
    swift.send(&swift.request("GET", "big").header("If-Match", "\"other\"")).expect(412);
    let listed = swift.send(&swift.request("GET", "?format=json&prefix=big")).expect(200).json();
    assert_eq!(listed[0]["bytes"], 11);
    let manifest = swift.get("big?multipart-manifest=get").expect(200).json();
    assert_eq!((manifest[1]["name"].as_str(), manifest[1]["bytes"].as_u64()), (Some("/c/s/2"), Some(5)));
    let raw = swift.get("big?multipart-manifest=get&format=raw").expect(200).json();
    assert_eq!(raw[0]["path"], "/c/s/1");
    assert_eq!(raw[0]["size_bytes"], 6);
    // POST keeps it what it is.
    swift.send(&swift.request("POST", "big").header("X-Object-Meta-A", "b")).expect(202);
    assert_eq!(swift.get("big").expect(200).body, b"hello world");
    let delete =
        swift.request("DELETE", "big?multipart-manifest=delete").header("Accept", "application/json");
    let report = swift.send(&delete).expect(200).json();
    assert_eq!(
        (report["Number Deleted"].as_u64(), report["Response Status"].as_str()),
        (Some(3), Some("200 OK"))
    );
    assert!(swift.fake.objects("c").is_empty());
}

#[test]
fn an_slo_with_a_wrong_segment_is_refused() {
    let swift = hello();
    let wrong = [
        (json!({ "path": "/c/s/9" }), "404 Not Found"),
        (json!({ "path": "/c/s/1", "size_bytes": 5 }), "Size Mismatch"),
        (json!({ "path": "/c/s/1", "etag": md5(b"other") }), "Etag Mismatch"),
    ];
    for (segment, problem) in wrong {
        let text = slo(&swift, "new", &[segment, entry("s/2", b"world")]).expect(400).text();
        assert!(text.contains(problem), "{text}");
    }
    for (body, problem) in [
        ("{", "valid JSON"),
        ("{}", "must be a list"),
        ("[{\"path\": \"x\"}]", "does not refer to an object"),
        ("[{\"path\": \"/c/s/1\", \"hash\": \"x\"}]", "extraneous keys"),
        ("[{\"path\": \"/c/new\"}]", "must not include itself"),
    ] {
        let text =
            swift.send(&swift.request("PUT", "new?multipart-manifest=put").body(body)).expect(400).text();
        assert!(text.contains(problem), "{text}");
    }
    swift.get("new").expect(404);
}

#[test]
fn a_heartbeat_answers_202_and_tells_the_truth_in_the_body() {
    let swift = hello();
    let put = |entries: &[Value]| {
        let request = swift.request("PUT", "new?multipart-manifest=put&heartbeat=on");
        let body = serde_json::to_vec(entries).unwrap();
        swift.send(&request.header("Accept", "application/json").body(body)).expect(202)
    };
    let good = put(&[entry("s/1", b"hello "), entry("s/2", b"world")]);
    assert!(good.body.starts_with(b" \r\n\r\n{"));
    assert_eq!(good.json()["Response Status"], "201 Created");
    assert_eq!(good.json()["Errors"], json!([]));
    let bad = put(&[entry("s/1", b"other")]).json();
    assert_eq!(bad["Response Status"], "400 Bad Request");
    assert_eq!(bad["Errors"][0], json!(["/c/s/1", "Size Mismatch"]));
    assert_eq!(bad["Errors"][1], json!(["/c/s/1", "Etag Mismatch"]));
}

#[test]
fn an_slo_with_a_segment_gone_or_changed_is_409_or_breaks_off() {
    let swift = hello();
    swift.put("s/1", &[7; 5000]);
    slo(&swift, "big", &[entry("s/1", &[7; 5000]), entry("s/2", b"world")]).expect(201);
    swift.put("s/2", b"WORLD");
    assert_eq!(broken(swift.try_send(&swift.request("GET", "big"))), [7; 5000]);
    swift.send(&swift.request("DELETE", "s/2")).expect(204);
    assert_eq!(broken(swift.try_send(&swift.request("GET", "big"))), [7; 5000]);
    let last = |range: &str| swift.send(&swift.request("GET", "big").header("Range", range));
    last("bytes=5000-").expect(409);
    last("bytes=4999-").expect(500);
    swift.send(&swift.request("DELETE", "s/1")).expect(204);
    swift.get("big").expect(409);
}

#[test]
fn a_corrupt_segment_is_served_once_and_then_set_aside() {
    let swift = hello();
    swift.put("s/1", &[7; 5000]);
    slo(&swift, "big", &[entry("s/1", &[7; 5000]), entry("s/2", b"world")]).expect(201);
    swift.fake.corrupt("c", "s/1", 0);
    // A range does not see the whole, and so not the damage.
    let part = swift.send(&swift.request("GET", "big").header("Range", "bytes=0-1")).expect(206);
    assert_eq!(part.body, [7 ^ 0xff, 7]);
    assert_eq!(broken(swift.try_send(&swift.request("GET", "big"))).len(), 5000);
    swift.get("big").expect(409);
    swift.get("s/1").expect(404);
    assert!(swift.list("").contains(&"s/1".to_owned()), "its row stays");
    // The damage of the last segment is found after its last byte went out: a clean answer of wrong bytes, once.
    swift.put("s/1", &[7; 5000]);
    swift.fake.corrupt("c", "s/2", 4);
    assert!(swift.get("big").expect(200).body.ends_with(b"worl\x9b"));
    assert_eq!(broken(swift.try_send(&swift.request("GET", "big"))).len(), 5000);
    swift.put("s/2", b"world");
    swift.fake.corrupt("c", "s/2", 4);
    assert_eq!(swift.get("s/2").expect(200).body, *b"worl\x9b");
    swift.get("s/2").expect(404);
}

#[test]
fn an_slo_can_hold_ranges_bytes_and_other_slos() {
    let swift = hello();
    let list =
        [json!({ "path": "/c/s/1", "range": "0-3" }), json!({ "data": "IQ==" }), json!({ "path": "/c/big" })];
    slo(&swift, "nested", &list).expect(201);
    assert_eq!(swift.get("nested").expect(200).body, b"hell!hello world");
    let part = swift.send(&swift.request("GET", "nested").header("Range", "bytes=3-12")).expect(206);
    assert_eq!(part.body, b"l!hello wo");
}

#[test]
fn a_copy_of_a_large_object_is_plain_or_its_manifest() {
    let swift = hello();
    dlo(&swift, "dlo", "s/");
    for name in ["big", "dlo"] {
        let copy = swift.request("COPY", name).header("Destination", "c/plain");
        swift.send(&copy).expect(201);
        let plain = swift.get("plain").expect(200);
        assert_eq!(
            (plain.body.as_slice(), plain.header("x-static-large-object")),
            (&b"hello world"[..], None)
        );
        assert_eq!(plain.header("x-object-manifest"), None);
        let copy = swift.request("COPY", &format!("{name}?multipart-manifest=get"));
        swift.send(&copy.header("Destination", "c/manifest")).expect(201);
        assert_eq!(swift.get("manifest").expect(200).body, b"hello world");
        let peek = swift.fake.peek("c", "manifest").unwrap();
        assert!(peek.is_slo || peek.content.is_empty());
    }
}

#[test]
fn without_slo_in_the_pipeline_a_list_is_just_bytes() {
    let swift = Cluster::with(Options { pipeline: Pipeline::NoSloNoBulk, ..Options::default() });
    swift.put("s/1", b"hello ");
    let list = [entry("s/1", b"hello ")];
    slo(&swift, "big", &list).expect(201);
    assert_eq!(swift.get("big").expect(200).body, serde_json::to_vec(&list).unwrap());
    swift.send(&swift.request("DELETE", "big?multipart-manifest=delete")).expect(204);
    assert_eq!(swift.fake.objects("c"), ["s/1"]);
    swift.send(&swift.on_account("POST", "?bulk-delete").body("/c/s/1\n")).expect(204);
    assert_eq!(swift.fake.objects("c"), ["s/1"]);
}

#[test]
fn a_bulk_delete_is_200_and_says_in_the_body_what_happened() {
    let swift = Cluster::with(Options { max_bulk_deletes: 3, ..Options::default() });
    swift.put("a%20b", b"x");
    swift.put("d", b"x");
    let bulk = |lines: &str| {
        let request = swift.on_account("POST", "?bulk-delete").header("Accept", "application/json");
        swift.send(&request.header("Content-Type", "text/plain").body(lines)).expect(200).json()
    };
    let report = bulk("/c/a%20b\n/c/absent\n/c\n");
    assert_eq!(report["Response Status"], "400 Bad Request");
    assert_eq!((&report["Number Deleted"], &report["Number Not Found"]), (&json!(1), &json!(1)));
    assert_eq!(report["Errors"], json!([["/c", "409 Conflict"]]));
    assert_eq!(bulk("1/1\n2/2\n3/3\n4/4\n")["Response Status"], "413 Request Entity Too Large");
    assert_eq!(bulk("")["Response Body"], "Invalid bulk delete.");
    assert_eq!(bulk("/c/d\n/c\n")["Number Deleted"], 2);
}
