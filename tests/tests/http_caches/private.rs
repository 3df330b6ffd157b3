//! Repositories that not everybody may read.

use serde_json::{Value, json};
use wharfinger_test_support::{Api, HttpCache, Image, Registry, Request, Response};

use super::fleet::Fleet;
use super::{blob, keep, manifest, pull};

fn policy() -> Value {
    json!([
        { "repositories": ["restricted/*"], "who": ["user:alice"], "actions": ["pull", "push"] },
        { "repositories": ["*"], "who": ["user:alice"], "actions": ["push"] },
        { "repositories": ["*"], "who": ["anonymous"], "actions": ["pull"] },
    ])
}

fn targets(name: &str, image: &Image) -> [String; 5] {
    [
        manifest(name, "v1"),
        manifest(name, image.digest),
        blob(name, &image.layers[0].digest),
        format!("/v2/{name}/tags/list"),
        format!("/v2/{name}/referrers/{}", image.digest),
    ]
}

/// Alice pulls something private, again and again; nobody else gets it, before, between or after.
fn only_alice_gets_it(front: &HttpCache, alice: &Api, image: &Image) {
    let nobody = front.api();
    for target in targets("restricted/app", image) {
        let what = format!("{}: {target}", front.name());
        let refused = |answer: Response| {
            assert!([401, 403].contains(&answer.status), "{what} for anybody: {}", answer.status);
        };
        refused(nobody.get(&target));
        for _ in 0..2 {
            let answer = alice.get(&target).expect(200);
            refused(nobody.get(&target));
            refused(nobody.head(&target));
            refused(nobody.send(Request::new("GET", &target).header("Range", "bytes=0-9")));
            refused(front.api().with_basic("alice", "guessed").get(&target));
            assert!(answer.required("cache-control").starts_with("private, "), "{what}");
            assert!(!front.is_hit(&answer), "{what}: it was kept");
        }
    }
}

#[test]
fn private_content_needs_its_password_whoever_pulled_it_before() {
    let builder = Registry::builder();
    let file = builder.directory().join("htpasswd");
    std::fs::write(&file, format!("alice:{}\n", bcrypt::hash("alice", 4).unwrap())).unwrap();
    let builder =
        builder.set("auth.htpasswd", json!({ "realm": "test", "path": file })).set("access.policy", policy());
    let fleet = Fleet::start(builder);
    let image = Image::small(1);
    for name in ["restricted/app", "open/app"] {
        fleet.registry.api().with_basic("alice", "alice").push_image(name, "v1", &image);
    }
    for front in &fleet.fronts {
        let alice = front.api().with_basic("alice", "alice");
        only_alice_gets_it(front, &alice, &image);
        let digests = [image.digest, image.layers[0].digest];
        for (target, digest) in targets("open/app", &image)[1..3].iter().zip(digests) {
            // What was answered to a password is not kept either, though everybody may read it.
            alice.get(target).expect(200);
            assert!(!pull(front, target, &digest), "{}: {target}", front.name());
            keep(front, target, &digest);
        }
    }
}

/// No cache knows that this header is a credential.
#[test]
fn private_content_stays_private_where_a_proxy_names_the_user() {
    let proxy = json!({ "addresses": ["127.0.0.1"], "user_header": "X-Remote-User" });
    let builder = Registry::builder().set("access.trusted_proxy", proxy).set("access.policy", policy());
    let fleet = Fleet::start(builder);
    let image = Image::small(1);
    let named = |api: Api| api.with_header("X-Remote-User", "alice");
    named(fleet.registry.api()).push_image("restricted/app", "v1", &image);
    for front in &fleet.fronts {
        only_alice_gets_it(front, &named(front.api()), &image);
    }
}
