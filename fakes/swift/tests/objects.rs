//! Accounts, containers and plain objects.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

#[path = "support/common.rs"]
mod common;

use std::time::Duration;

use common::{Cluster, log_in, md5};
use wharfinger_fake_swift::{Options, Pipeline};
use wharfinger_test_support::Request;

#[test]
fn a_token_is_needed_and_ends() {
    let swift = Cluster::start();
    log_in(&swift.client, "test:tester", "wrong").expect(401);
    let answer = log_in(&swift.client, "test:tester", "testing").expect(200);
    assert_eq!(answer.required("x-storage-url"), swift.fake.url());
    assert_eq!(answer.required("x-auth-token"), swift.token, "a token that lives is given again");
    swift.fake.expire_tokens();
    let refused = swift.get("a").expect(401);
    assert!(refused.required("www-authenticate").contains("AUTH_test"));
    assert!(refused.required("x-trans-id").starts_with("tx"));
    let other = log_in(&swift.client, "test:tester", "testing").required("x-auth-token").to_owned();
    assert_ne!(other, swift.token);
    swift.fake.advance(Duration::from_secs(90_000));
    swift.send(&swift.request("HEAD", "").header("X-Auth-Token", other)).expect(401);
}

#[test]
fn a_reader_may_not_write() {
    let swift = Cluster::start();
    let token = log_in(&swift.client, "test:reader", "reading").required("x-auth-token").to_owned();
    let mut put = swift.request("PUT", "a").body(*b"x");
    put.headers = vec![("X-Auth-Token".into(), token.clone())];
    swift.send(&put).expect(403);
    let mut head = swift.request("HEAD", "");
    head.headers = vec![("X-Auth-Token".into(), token)];
    swift.send(&head).expect(204);
}

#[test]
fn info_follows_the_pipeline() {
    let info = |pipeline| {
        let swift = Cluster::with(Options { pipeline, ..Options::default() });
        swift.send(&Request::new("GET", "/info")).expect(200).json()
    };
    let full = info(Pipeline::Full);
    assert_eq!(full["slo"]["max_manifest_segments"], 1000);
    assert_eq!(full["bulk_delete"]["max_deletes_per_request"], 10_000);
    let less = info(Pipeline::NoSloNoBulk);
    assert!(less["slo"].is_null() && less["bulk_delete"].is_null());
    assert_eq!(less["tempurl"]["allowed_digests"][1], "sha256");
}

#[test]
fn an_object_comes_back_with_its_metadata() {
    let swift = Cluster::start();
    let put = swift.request("PUT", "dir/a%20b").header("X-Object-Meta-Color", "red").body(*b"hello");
    let stored = swift.send(&put.header("Content-Type", "text/x")).expect(201);
    assert_eq!(stored.required("etag"), md5(b"hello"));
    let read = swift.get("dir/a%20b").expect(200);
    assert_eq!(read.body, b"hello");
    assert_eq!(read.required("etag"), md5(b"hello"));
    assert_eq!(read.required("x-object-meta-color"), "red");
    assert_eq!(read.required("content-type"), "text/x");
    let head = swift.send(&swift.request("HEAD", "dir/a%20b")).expect(200);
    assert_eq!(head.required("content-length"), "5");
    assert_eq!(swift.fake.objects("c"), ["dir/a b"]);
    swift.send(&swift.request("POST", "dir/a%20b").header("X-Object-Meta-Size", "5")).expect(202);
    let head = swift.send(&swift.request("HEAD", "dir/a%20b")).expect(200);
    assert_eq!((head.header("x-object-meta-color"), head.required("x-object-meta-size")), (None, "5"));
    swift.send(&swift.request("DELETE", "dir/a%20b")).expect(204);
    swift.send(&swift.request("DELETE", "dir/a%20b")).expect(404);
    swift.get("dir/a%20b").expect(404);
}

#[test]
fn a_put_is_checked() {
    let swift = Cluster::start();
    let put = |name: &str| swift.request("PUT", name).body(*b"x");
    swift.send(&put("a").header("ETag", md5(b"y"))).expect(422);
    swift.get("a").expect(404);
    swift.send(&put("a").header("ETag", md5(b"x"))).expect(201);
    swift.send(&put("a").header("If-None-Match", "*")).expect(412);
    swift.send(&put("b").header("If-None-Match", "*")).expect(201);
    swift.send(&put("b").header("If-None-Match", md5(b"x"))).expect(400);
    swift.send(&swift.request("PUT", "c")).expect(411);
    swift.send(&put(&"n".repeat(1025))).expect(400);
    swift.send(&put("d").header("X-Delete-At", "17")).expect(400);
    swift.send(&put("d").header("X-Delete-After", "soon")).expect(400);
    swift.send(&put("d").header("X-Object-Meta-A", "v".repeat(257))).expect(400);
    swift.send(&put("d").header("X-Object-Manifest", "nowhere")).expect(400);
    swift.send(&swift.on_account("PUT", "/absent/a").body(*b"x")).expect(404);
    swift.send(&put("%ff")).expect(412);
}

#[test]
fn a_body_that_ends_early_leaves_nothing() {
    let swift = Cluster::start();
    let mut connection = swift.begin_put("a", 100);
    connection.write_bytes(&[7; 90]).unwrap();
    connection.socket().shutdown(std::net::Shutdown::Both).unwrap();
    let mut chunked = swift.client.connect().unwrap();
    chunked.write_head(&swift.request("PUT", "b").header("Transfer-Encoding", "chunked")).unwrap();
    chunked.write_bytes(b"5\r\nhello\r\n").unwrap();
    chunked.socket().shutdown(std::net::Shutdown::Both).unwrap();
    swift.send(&swift.request("PUT", "c").body(*b"hello").chunked()).expect(201);
    swift.get("a").expect(404);
    swift.get("b").expect(404);
    swift.get("c").expect(200);
}

#[test]
fn a_body_waits_for_100_continue_and_is_not_asked_for_in_vain() {
    let swift = Cluster::start();
    let head = |name: &str| {
        let head = swift.request("PUT", name).header("Content-Length", "5");
        head.header("Expect", "100-continue").header("If-None-Match", "*")
    };
    let mut connection = swift.client.connect().unwrap();
    connection.write_head(&head("a")).unwrap();
    let interim = connection.read_some(25).unwrap();
    assert_eq!(interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    connection.write_bytes(b"hello").unwrap();
    connection.read("PUT").unwrap().expect(201);
    let mut connection = swift.client.connect().unwrap();
    connection.write_head(&head("a")).unwrap();
    assert_eq!(connection.read_some(12).unwrap(), b"HTTP/1.1 412", "no 100 came before it");
}

#[test]
fn ranges_and_conditions_are_honoured() {
    let swift = Cluster::start();
    swift.put("a", b"0123456789");
    let get = |name: &str, value: &str| swift.send(&swift.request("GET", "a").header(name, value));
    let part = get("Range", "bytes=2-4").expect(206);
    assert_eq!((part.body.as_slice(), part.required("content-range")), (&b"234"[..], "bytes 2-4/10"));
    assert_eq!(get("Range", "bytes=-3").expect(206).body, b"789");
    let beyond = get("Range", "bytes=10-").expect(416);
    assert_eq!(beyond.required("content-range"), "bytes */10");
    let etag = md5(b"0123456789");
    get("If-Match", &etag).expect(200);
    get("If-Match", &format!("\"{etag}\"")).expect(200);
    get("If-Match", "\"other\"").expect(412);
    get("If-None-Match", &etag).expect(304);
    get("If-None-Match", "\"other\"").expect(200);
}

#[test]
fn an_object_expires_on_time_and_leaves_listings_later() {
    let swift = Cluster::start();
    swift.send(&swift.request("PUT", "a").header("X-Delete-After", "60").body(*b"x")).expect(201);
    let at = swift.fake.peek("c", "a").unwrap().delete_at.unwrap();
    let head = swift.send(&swift.request("HEAD", "a")).expect(200);
    assert_eq!(head.required("x-delete-at"), at.to_string());
    swift.fake.advance(Duration::from_secs(61));
    swift.get("a").expect(404);
    assert_eq!(swift.list(""), ["a"]);
    swift.fake.run_expirer();
    assert!(swift.list("").is_empty());
}

#[test]
fn a_delete_may_depend_on_the_time_of_expiry() {
    let swift = Cluster::start();
    let delete = |at: &str| swift.send(&swift.request("DELETE", "a").header("X-If-Delete-At", at));
    delete("5").expect(404);
    // Times end at 9999999999: later ones are cut down in `X-Delete-At`, and refused in `X-If-Delete-At`.
    swift.send(&swift.request("PUT", "a").header("X-Delete-At", "33000000000").body(*b"x")).expect(201);
    delete("9999999998").expect(412);
    delete("0").expect(412);
    delete("soon").expect(400);
    delete("33000000000").expect(400);
    delete("9999999999").expect(204);
    swift.put("a", b"y");
    delete("9999999999").expect(412);
    // Whatever `If-Match` says, a DELETE does not look at it.
    swift.send(&swift.request("DELETE", "a").header("If-Match", "\"other\"")).expect(204);
}

#[test]
fn a_copy_takes_content_and_metadata_along() {
    let swift = Cluster::start();
    swift.send(&swift.request("PUT", "a").header("X-Object-Meta-Color", "red").body(*b"x")).expect(201);
    let copied = swift.send(&swift.request("COPY", "a").header("Destination", "/c/b%20b")).expect(201);
    assert_eq!(copied.required("x-copied-from"), "c/a");
    swift.send(&swift.request("PUT", "d").header("X-Copy-From", "/c/b%20b").body(*b"")).expect(201);
    let read = swift.get("d").expect(200);
    assert_eq!((read.body.as_slice(), read.required("x-object-meta-color")), (&b"x"[..], "red"));
    swift.send(&swift.request("PUT", "d").header("X-Copy-From", "/c/absent").body(*b"")).expect(404);
    swift.send(&swift.request("COPY", "a")).expect(412);
}

#[test]
fn containers_count_keep_metadata_and_go_when_empty() {
    let swift = Cluster::start();
    swift.send(&swift.request("PUT", "").header("X-Container-Meta-Temp-Url-Key", "k")).expect(202);
    swift.put("a", b"12345");
    let head = swift.send(&swift.request("HEAD", "")).expect(204);
    assert_eq!(head.required("x-container-object-count"), "1");
    assert_eq!(head.required("x-container-bytes-used"), "5");
    assert_eq!(head.required("x-container-meta-temp-url-key"), "k");
    swift.send(&swift.request("POST", "").header("X-Container-Meta-Temp-Url-Key", "")).expect(204);
    let head = swift.send(&swift.request("HEAD", "")).expect(204);
    assert_eq!(head.header("x-container-meta-temp-url-key"), None);
    swift.send(&swift.request("DELETE", "")).expect(409);
    swift.send(&swift.request("DELETE", "a")).expect(204);
    swift.send(&swift.request("DELETE", "")).expect(204);
    swift.send(&swift.request("HEAD", "")).expect(404);
    swift.send(&swift.on_account("POST", "").header("X-Account-Meta-Temp-Url-Key", "k")).expect(204);
    let head = swift.send(&swift.on_account("HEAD", "")).expect(204);
    assert_eq!(head.required("x-account-meta-temp-url-key"), "k");
    swift.send(&swift.on_account("HEAD", "x")).expect(403);
}

#[test]
fn requests_are_remembered_with_their_answers() {
    let swift = Cluster::start();
    swift.put("a", b"x");
    let asked = swift.fake.requests();
    let last = asked.last().unwrap();
    assert_eq!(
        (last.method.as_str(), last.path.as_str(), last.status),
        ("PUT", "/v1/AUTH_test/c/a", Some(201))
    );
    let refused = swift.try_send(&Request::new("GET", "/nothing")).unwrap();
    assert_eq!(refused.status, 412);
}
