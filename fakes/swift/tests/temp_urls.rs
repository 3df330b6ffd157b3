//! TempURL: signatures instead of tokens.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

#[path = "support/common.rs"]
mod common;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::Cluster;
use hmac::{Hmac, KeyInit, Mac};
use wharfinger_fake_swift::Options;
use wharfinger_test_support::{Request, Response};

const KEY: &str = "mykey";

fn sign<M: Mac + KeyInit>(text: &str) -> String {
    let mut mac = <M as KeyInit>::new_from_slice(KEY.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

fn soon() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 600
}

fn send(swift: &Cluster, method: &str, path: &str, signature: &str, expires: u64) -> Response {
    let target = format!("{path}?temp_url_sig={signature}&temp_url_expires={expires}");
    let request = Request::new(method, &target);
    swift.send(&if method == "PUT" { request.body(*b"other") } else { request })
}

#[test]
fn a_signature_opens_what_it_signs_until_it_expires() {
    let swift = Cluster::start();
    let put = swift.request("PUT", "d/a").header("X-Object-Meta-Color", "red");
    swift.send(&put.body(*b"hello")).expect(201);
    let path = "/v1/AUTH_test/c/d/a";
    let expires = soon();
    let signature = sign::<Hmac<sha2::Sha256>>(&format!("GET\n{expires}\n{path}"));
    send(&swift, "GET", path, &signature, expires).expect(401);
    swift.send(&swift.request("POST", "").header("X-Container-Meta-Temp-URL-Key-2", KEY)).expect(204);
    let read = send(&swift, "GET", path, &signature, expires).expect(200);
    assert_eq!(read.body, b"hello");
    assert!(read.required("content-disposition").starts_with("attachment; filename=\"a\""));
    assert_eq!(read.header("x-object-meta-color"), None);
    send(&swift, "HEAD", path, &signature, expires).expect(200);
    send(&swift, "PUT", path, &signature, expires).expect(401);
    send(&swift, "GET", "/v1/AUTH_test/c/d/b", &signature, expires).expect(401);
    send(&swift, "GET", path, &signature, expires + 1).expect(401);
    for signature in [
        sign::<Hmac<sha1::Sha1>>(&format!("GET\n{expires}\n{path}")),
        sign::<Hmac<sha2::Sha512>>(&format!("GET\n{expires}\n{path}")),
    ] {
        send(&swift, "GET", path, &signature, expires).expect(200);
    }
    let signature = sign::<Hmac<sha2::Sha256>>(&format!("PUT\n{expires}\n{path}"));
    send(&swift, "PUT", path, &signature, expires).expect(201);
    swift.fake.advance(Duration::from_secs(601));
    send(&swift, "PUT", path, &signature, expires).expect(401);
}

#[test]
fn a_digest_that_is_not_allowed_is_refused() {
    let temp_url_digests = vec!["sha256".to_owned()];
    let swift = Cluster::with(Options { temp_url_digests, ..Options::default() });
    swift.put("a", b"hello");
    swift.send(&swift.on_account("POST", "").header("X-Account-Meta-Temp-URL-Key", KEY)).expect(204);
    let expires = soon();
    let text = format!("GET\n{expires}\n/v1/AUTH_test/c/a");
    let path = "/v1/AUTH_test/c/a";
    send(&swift, "GET", path, &sign::<Hmac<sha1::Sha1>>(&text), expires).expect(401);
    send(&swift, "GET", path, &sign::<Hmac<sha2::Sha256>>(&text), expires).expect(200);
}
