//! Every route for every role: who gets through, who is asked for credentials, who is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use serde_json::json;
use wharfinger_test_support::{Api, Builder, Digest, Image, Registry, Request};

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";

/// Users of the htpasswd file; each has its name as password.
const USERS: [&str; 4] = ["alice", "bob", "carol", "dave"];

/// Repositories by the rules that they fall under.
const REPOSITORIES: [&str; 3] = ["restricted/app", "team/app", "open/app"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Pull,
    Push,
    Delete,
}

/// What the table of the configuration below means, written once more by hand.
fn may(role: &str, repository: &str, action: Action) -> bool {
    match (repository, action) {
        ("restricted/app", Action::Pull) => ["alice", "carol"].contains(&role),
        ("restricted/app", Action::Push) => role == "alice",
        ("restricted/app", Action::Delete) => false,
        ("team/app", Action::Pull) => true,
        ("team/app", Action::Push) => ["bob", "carol"].contains(&role),
        ("team/app", Action::Delete) => role == "carol",
        ("open/app", Action::Pull | Action::Push) => true,
        ("open/app", Action::Delete) => USERS.contains(&role),
        _ => false,
    }
}

fn builder() -> Builder {
    let builder = Registry::builder();
    let lines = USERS.map(|user| format!("{user}:{}\n", bcrypt::hash(user, 4).unwrap()));
    let file = builder.directory().join("htpasswd");
    std::fs::write(&file, lines.concat()).unwrap();
    builder
        .set("auth.htpasswd", json!({ "realm": "test", "path": file }))
        .set("access.catalog", json!(["user:carol"]))
        .set(
            "access.policy",
            json!([
                { "repositories": ["restricted/*"], "who": ["user:alice", "user:carol"], "actions": ["pull"] },
                { "repositories": ["restricted/*"], "who": ["user:alice"], "actions": ["push"] },
                { "repositories": ["restricted/*"], "who": ["user:nobody"], "actions": ["delete"] },
                { "repositories": ["team/*"], "who": ["user:bob", "user:carol"], "actions": ["push"] },
                { "repositories": ["team/*"], "who": ["user:carol"], "actions": ["delete"] },
                { "repositories": ["*"], "who": ["anonymous"], "actions": ["pull", "push"] },
                { "repositories": ["*"], "who": ["authenticated"], "actions": ["delete"] },
            ]),
        )
}

/// The registry as a role sees it.
fn role(registry: &Registry, name: &str) -> Api {
    match name {
        "anonymous" => registry.api(),
        user => registry.api().with_basic(user, user),
    }
}

/// One request to each route that names a repository, with what it needs.
fn requests(role: &str, repository: &str, image: &Image, session: &str) -> Vec<(Action, Request)> {
    use Action::{Delete, Pull, Push};
    let base = format!("/v2/{repository}");
    let (layer, gone) = (image.layers[0].digest, Digest::sha256(b"gone"));
    let request = |method: &str, rest: &str| Request::new(method, &format!("{base}/{rest}"));
    let mut list = Vec::new();
    for method in ["GET", "HEAD"] {
        list.push((Pull, request(method, "manifests/v1")));
        list.push((Pull, request(method, &format!("manifests/{}", image.digest))));
        list.push((Pull, request(method, &format!("blobs/{layer}"))));
        list.push((Pull, request(method, "tags/list")));
        list.push((Pull, request(method, &format!("referrers/{}", image.digest))));
        list.push((Push, request(method, &format!("blobs/uploads/{session}"))));
    }
    list.push((
        Push,
        request("PUT", &format!("manifests/by-{role}"))
            .header("Content-Type", OCI)
            .body(image.manifest.clone()),
    ));
    list.push((Push, request("POST", "blobs/uploads/").body("")));
    list.push((Push, request("POST", &format!("blobs/uploads/?digest={}", Digest::sha256(b"x"))).body("x")));
    list.push((Push, request("POST", &format!("blobs/uploads/?mount={layer}&from={repository}")).body("")));
    list.push((Push, request("PATCH", &format!("blobs/uploads/{session}")).body("x")));
    list.push((
        Push,
        request("PUT", &format!("blobs/uploads/{session}?digest={}", Digest::sha256(b"x"))).body("x"),
    ));
    list.push((Push, request("DELETE", &format!("blobs/uploads/{session}"))));
    list.push((Delete, request("DELETE", "manifests/no-such-tag")));
    list.push((Delete, request("DELETE", &format!("manifests/{gone}"))));
    list.push((Delete, request("DELETE", &format!("blobs/{gone}"))));
    list
}

#[test]
fn every_route_obeys_the_table_for_every_role() {
    let registry = builder().start();
    let image = Image::small(1);
    for (repository, owner) in REPOSITORIES.into_iter().zip(["alice", "carol", "dave"]) {
        role(&registry, owner).push_image(repository, "v1", &image);
    }
    let unknown = "0b3d3f0a-8a2e-4d0e-9f5e-3a1f7c2b9d10";
    for name in USERS.into_iter().chain(["anonymous"]) {
        let api = role(&registry, name);
        for repository in REPOSITORIES {
            for (action, request) in requests(name, repository, &image, unknown) {
                let what = format!("{name}: {} {}", request.method, request.target);
                let head = request.method == "HEAD";
                let answer = api.send(request);
                let allowed = may(name, repository, action);
                match (allowed, name) {
                    (true, _) => {
                        assert!(![401, 403, 405].contains(&answer.status), "{what}: {}", answer.status);
                    }
                    (false, "anonymous") => {
                        assert_eq!(answer.status, 401, "{what}");
                        answer.required("www-authenticate");
                    }
                    (false, _) => {
                        assert!([401, 403].contains(&answer.status), "{what}: {}", answer.status);
                    }
                }
                if !allowed && !head {
                    assert!(["DENIED", "UNAUTHORIZED"].contains(&answer.error_code().as_str()), "{what}");
                }
            }
        }
    }
    for repository in REPOSITORIES {
        let pushers =
            USERS.into_iter().chain(["anonymous"]).filter(|name| may(name, repository, Action::Push));
        let mut expected: Vec<String> =
            pushers.map(|name| format!("by-{name}")).chain(["v1".to_owned()]).collect();
        expected.sort();
        assert_eq!(
            role(&registry, "carol").tags(repository),
            expected,
            "{repository}: a refused push left a tag"
        );
    }
}

#[test]
fn wrong_credentials_are_refused_even_where_everybody_may() {
    let registry = builder().start();
    let image = Image::small(2);
    role(&registry, "dave").push_image("open/app", "v1", &image);
    for (user, password) in
        [("alice", "wrong"), ("nobody", "nobody"), ("alice", ""), ("", "alice"), ("alice\u{0}", "alice")]
    {
        let api = registry.api().with_basic(user, password);
        if user.is_empty() && password.is_empty() {
            continue;
        }
        for (_, request) in requests("nobody", "open/app", &image, "0b3d3f0a-8a2e-4d0e-9f5e-3a1f7c2b9d10") {
            let what = format!("{user:?}: {} {}", request.method, request.target);
            let answer = api.send(request);
            assert_eq!(answer.status, 401, "{what}");
            answer.required("www-authenticate");
        }
    }
    for header in ["Basic", "Basic !!!", "Bearer", "Bearer x.y.z", "Digest abc", "Basic YWxpY2U="] {
        let api = registry.api().with_header("Authorization", header);
        let status = api.get("/v2/open/app/tags/list").status;
        assert!([400, 401].contains(&status), "{header:?}: {status}");
    }
}

#[test]
fn the_catalog_is_for_whom_it_names() {
    let registry = builder().start();
    role(&registry, "alice").push_image("restricted/app", "v1", &Image::small(3));
    assert_eq!(role(&registry, "carol").catalog(), ["restricted/app"]);
    for name in ["anonymous", "alice", "bob", "dave"] {
        let answer = role(&registry, name).get("/v2/_catalog");
        assert!([401, 403].contains(&answer.status), "{name}: {}", answer.status);
        assert!(!answer.text().contains("restricted"));
    }
}

#[test]
fn a_mount_reads_only_what_its_caller_may_read() {
    let registry = builder().start();
    let secret = role(&registry, "alice").push_blob("restricted/app", b"secret content");
    let mount = |name: &str, query: &str| {
        let target = format!("/v2/team/app/blobs/uploads/?mount={secret}{query}");
        role(&registry, name).send(Request::new("POST", &target).body(""))
    };
    for query in ["&from=restricted/app", ""] {
        mount("bob", query).expect(202);
        role(&registry, "bob").get(&format!("/v2/team/app/blobs/{secret}")).expect(404);
    }
    mount("carol", "&from=restricted/app").expect(201);
    role(&registry, "bob").pull_blob("team/app", &secret);
}

#[test]
fn a_session_belongs_to_whom_began_it() {
    let registry = builder().start();
    let (bob, carol) = (role(&registry, "bob"), role(&registry, "carol"));
    let session = bob.start_upload("team/app");
    for answer in [carol.get(&session), carol.patch(&session, 0, b"x"), carol.delete(&session)] {
        answer.expect_error(404, "BLOB_UPLOAD_UNKNOWN");
    }
    let digest = Digest::sha256(b"x").to_string();
    carol.finish(&session, &digest, b"x").expect_error(404, "BLOB_UPLOAD_UNKNOWN");
    bob.finish(&session, &digest, b"x").expect(201);
}

#[test]
fn anonymous_clients_can_log_in_without_a_password_where_something_is_open() {
    let registry = builder().start();
    let challenge = registry.api().get("/v2/").expect(401).required("www-authenticate").to_owned();
    assert!(
        challenge.starts_with("Bearer "),
        "clients with and without a password have to get along: {challenge}"
    );
    let realm = challenge.split("realm=\"").nth(1).unwrap().split('"').next().unwrap();
    let path = &realm[realm.find("://").map_or(0, |at| at + 3 + realm[at + 3..].find('/').unwrap())..];
    let token = |api: Api| {
        let scope = "service=test&scope=repository:open/app:pull,push";
        let answer = api.get(&format!("{path}?{scope}")).expect(200).json();
        answer["token"].as_str().unwrap().to_owned()
    };
    let anonymous = registry.api().with_header("Authorization", &format!("Bearer {}", token(registry.api())));
    anonymous.push_image("open/app", "v1", &Image::small(4));
    anonymous.get("/v2/restricted/app/tags/list").expect(401);
    let alice =
        registry.api().with_header("Authorization", &format!("Bearer {}", token(role(&registry, "alice"))));
    alice.push_image("restricted/app", "v1", &Image::small(5));
    alice.delete("/v2/restricted/app/manifests/v1").expect(403);
}

#[test]
fn a_changed_password_counts_at_once_and_the_old_one_not() {
    let registry = builder().start();
    let (old, new) = (registry.api().with_basic("bob", "bob"), registry.api().with_basic("bob", "changed"));
    old.get("/v2/").expect(200);
    new.get("/v2/").expect(401);
    let file = registry.directory().join("htpasswd");
    std::fs::write(&file, format!("bob:{}\n", bcrypt::hash("changed", 4).unwrap())).unwrap();
    let soon = std::time::Duration::from_secs(10);
    wharfinger_test_support::wait_until("the new password to count", soon, || new.get("/v2/").status == 200);
    old.get("/v2/").expect(401);
    role(&registry, "alice").get("/v2/").expect(401);
}

#[test]
fn a_trusted_proxy_names_the_user_and_nobody_else_does() {
    let rules = json!([{ "repositories": ["*"], "who": ["user:alice"], "actions": ["pull", "push"] }]);
    let proxy = |addresses: &str| {
        Registry::builder()
            .set("access.policy", rules.clone())
            .set("access.trusted_proxy", json!({ "addresses": [addresses], "user_header": "X-Remote-User" }))
            .start()
    };
    let trusted = proxy("127.0.0.1");
    let alice = trusted.api().with_header("X-Remote-User", "alice");
    alice.push_image("app", "v1", &Image::small(6));
    let status = trusted.api().with_header("X-Remote-User", "bob").get("/v2/app/tags/list").status;
    assert!([401, 403].contains(&status), "{status}");
    let untrusted = proxy("192.0.2.0/24");
    let status = untrusted.api().with_header("X-Remote-User", "alice").get("/v2/app/tags/list").status;
    assert!([401, 403].contains(&status), "{status}");
}
