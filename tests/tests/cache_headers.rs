//! What answers say to caches, by what they are answers to.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use serde_json::json;
use wharfinger_test_support::{Api, Digest, Image, Registry, Request, Response};

const PUBLIC: &str = "public, max-age=31536000, immutable, no-transform";
const PRIVATE: &str = "private, max-age=31536000, immutable, no-transform";

/// Alice reads and writes everything, everybody reads `open/`; lists are for `catalog`.
fn registry(catalog: &str) -> Registry {
    let builder = Registry::builder();
    let file = builder.directory().join("htpasswd");
    std::fs::write(&file, format!("alice:{}\n", bcrypt::hash("alice", 4).unwrap())).unwrap();
    let registry = builder
        .set("auth.htpasswd", json!({ "realm": "test", "path": file }))
        .set("access.catalog", json!([catalog]))
        .set(
            "access.policy",
            json!([
                { "repositories": ["open/*"], "who": ["anonymous"], "actions": ["pull"] },
                { "repositories": ["*"], "who": ["user:alice"], "actions": ["pull", "push", "delete"] },
            ]),
        )
        .start();
    for name in ["open/app", "restricted/app"] {
        alice(&registry).push_image(name, "v1", &image());
    }
    registry
}

fn alice(registry: &Registry) -> Api {
    registry.api().with_basic("alice", "alice")
}

fn image() -> Image {
    Image::small(1)
}

/// The answer in all its forms says the same of itself; returns its `Cache-Control`.
fn consistent(api: &Api, target: &str) -> String {
    let get = |name: &str, value: &str| api.send(Request::new("GET", target).header(name, value));
    let whole = api.get(target).expect(200);
    let told = |answer: &Response| {
        ["cache-control", "etag", "vary", "docker-content-digest", "content-type"]
            .map(|name| answer.header(name).map(str::to_owned))
    };
    let head = api.head(target).expect(200);
    assert_eq!(told(&head), told(&whole), "HEAD {target}");
    assert_eq!(head.required("content-length"), whole.body.len().to_string());
    if let Some(etag) = whole.header("etag") {
        for method in ["GET", "HEAD"] {
            let known = Request::new(method, target).header("If-None-Match", etag);
            let known = api.send(known).expect(304);
            assert_eq!(told(&known), told(&whole), "{method} {target}, 304");
        }
    }
    if whole.header("accept-ranges").is_some() {
        assert_eq!(told(&get("Range", "bytes=1-2").expect(206)), told(&whole), "{target}, 206");
        no_store(&get("Range", "bytes=99999999-").expect(416), target);
    }
    whole.required("cache-control").to_owned()
}

#[track_caller]
fn no_store(answer: &Response, what: &str) {
    let values: Vec<&str> = answer
        .headers
        .iter()
        .filter(|(name, _)| name == "cache-control")
        .map(|(_, value)| &**value)
        .collect();
    assert_eq!(values, ["no-store"], "{what}: {}", answer.status);
    assert_eq!(answer.header("etag"), None, "{what}");
}

#[test]
fn only_what_everybody_may_read_is_public_and_only_digests_are_kept() {
    let registry = registry("user:alice");
    let (nobody, alice, image) = (registry.api(), alice(&registry), image());
    let kept = [format!("manifests/{}", image.digest), format!("blobs/{}", image.config.digest)];
    let asked = ["manifests/v1".to_owned(), "tags/list".to_owned(), format!("referrers/{}", image.digest)];
    for rest in &kept {
        assert_eq!(consistent(&nobody, &format!("/v2/open/app/{rest}")), PUBLIC);
        assert_eq!(consistent(&alice, &format!("/v2/open/app/{rest}")), PRIVATE);
        assert_eq!(consistent(&alice, &format!("/v2/restricted/app/{rest}")), PRIVATE);
    }
    for rest in &asked {
        assert_eq!(consistent(&nobody, &format!("/v2/open/app/{rest}")), "no-cache");
        assert_eq!(consistent(&alice, &format!("/v2/open/app/{rest}")), "private, no-cache");
        assert_eq!(consistent(&alice, &format!("/v2/restricted/app/{rest}")), "private, no-cache");
    }
    for rest in kept.iter().chain(&asked) {
        let answer = nobody.get(&format!("/v2/open/app/{rest}"));
        assert_eq!(answer.header("surrogate-key"), None, "no cache goes by it");
        let vary = rest.starts_with("manifests/").then_some("Accept");
        assert_eq!(answer.header("vary"), vary, "{rest}");
    }
    assert_eq!(consistent(&alice, "/v2/_catalog"), "private, no-cache");
}

#[test]
fn a_catalog_for_everybody_is_no_secret() {
    let registry = registry("anonymous");
    assert_eq!(consistent(&registry.api(), "/v2/_catalog"), "no-cache");
    assert_eq!(consistent(&alice(&registry), "/v2/_catalog"), "private, no-cache");
}

#[test]
fn errors_and_the_door_are_never_kept() {
    let registry = registry("user:alice");
    let (nobody, alice, gone) = (registry.api(), alice(&registry), Digest::sha256(b"gone"));
    for (api, target, status) in [
        (&alice, "/v2/".to_owned(), 200),
        (&nobody, "/v2/".to_owned(), 401),
        (&nobody, "/v2/restricted/app/manifests/v1".to_owned(), 401),
        (&nobody, "/v2/_catalog".to_owned(), 401),
        (&nobody, "/v2".to_owned(), 301),
        (&nobody, "/v2/open/app/manifests/none".to_owned(), 404),
        (&nobody, format!("/v2/open/app/manifests/{gone}"), 404),
        (&nobody, format!("/v2/open/app/blobs/{gone}"), 404),
        (&alice, "/v2/open/none/tags/list".to_owned(), 404),
        (&nobody, "/v2/open/app/manifests/-tag".to_owned(), 404),
        (&nobody, "/v2/open/app/blobs/sha256:short".to_owned(), 400),
        (&nobody, "/else".to_owned(), 404),
    ] {
        no_store(&api.get(&target).expect(status), &target);
        no_store(&api.head(&target).expect(status), &target);
    }
    for method in ["POST", "PURGE"] {
        no_store(&alice.send(Request::new(method, "/v2/open/app/tags/list").body("")).expect(405), method);
    }
    let session = alice.start_upload("open/app");
    no_store(&alice.get(&session).expect(204), &session);
}
