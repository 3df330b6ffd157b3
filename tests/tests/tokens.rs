//! Bearer tokens of an outside issuer: from the challenge to the pull, and everything that is no such token.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use std::time::Duration;

use serde_json::{Value, json};
use wharfinger_test_support::{
    Api, Image, Registry, Request, Response, SERVICE, TokenIssuer, TokenKey, TokenRequest, epoch_seconds,
    token_claims, wait_until, write_keys,
};

const SOON: Duration = Duration::from_secs(15);

/// What the issuer grants: alice works in `team/`, bob reads there, everybody reads `public/`.
fn rules(user: Option<&str>, repository: &str, action: &str) -> bool {
    match (user, action) {
        (Some("alice"), "pull" | "push") => repository.starts_with("team/") || repository == "public/app",
        (Some("bob"), "pull") => repository.starts_with("team/"),
        (_, "pull") => repository.starts_with("public/"),
        _ => false,
    }
}

fn start() -> (TokenIssuer, Registry) {
    let issuer = TokenIssuer::start(rules);
    let registry = issuer.trusted_by(Registry::builder()).start();
    (issuer, registry)
}

/// A parameter of `WWW-Authenticate: Bearer`.
fn parameter(answer: &Response, name: &str) -> Option<String> {
    let challenge = answer.required("www-authenticate").strip_prefix("Bearer ").expect("a bearer challenge");
    let (_, rest) = challenge.split_once(&format!("{name}=\""))?;
    Some(rest.split('"').next().unwrap().to_owned())
}

/// Does as clients do: asks where the challenge says, for what it says, as `user`.
fn log_in(registry: &Registry, issuer: &TokenIssuer, challenge: &Response, user: Option<&str>) -> Api {
    assert_eq!(parameter(challenge, "realm").unwrap(), issuer.realm());
    let service = parameter(challenge, "service").unwrap().replace(' ', "%20");
    let scopes = parameter(challenge, "scope").unwrap_or_default();
    let scopes: String = scopes.split(' ').map(|scope| format!("&scope={scope}")).collect();
    let anonymous = Api::new(wharfinger_test_support::Client::plain(issuer.port()));
    let api = user.map_or(anonymous.clone(), |user| anonymous.with_basic(user, user));
    let answer = api.get(&format!("/token?service={service}{scopes}")).expect(200).json();
    registry.api().with_token(answer["token"].as_str().unwrap())
}

/// The registry, called with a token that grants these scopes to `subject`.
fn holder(registry: &Registry, issuer: &TokenIssuer, subject: &str, scopes: &[&str]) -> Api {
    registry.api().with_token(&issuer.key().token(&token_claims(subject, scopes)))
}

#[test]
fn the_challenge_leads_to_a_token_and_the_token_to_push_and_pull() {
    let (issuer, registry) = start();
    let base = registry.api().get("/v2/").expect_error(401, "UNAUTHORIZED");
    assert_eq!(parameter(&base, "scope"), None, "/v2/ needs no scope");
    log_in(&registry, &issuer, &base, Some("alice")).get("/v2/").expect(200);

    let upload = Request::new("POST", "/v2/team/app/blobs/uploads/").body("");
    let challenge = registry.api().send(upload.clone()).expect_error(401, "UNAUTHORIZED");
    assert_eq!(parameter(&challenge, "scope").unwrap(), "repository:team/app:pull,push");
    assert_eq!(parameter(&challenge, "error"), None, "nothing was wrong with no token");
    let (alice, image) = (log_in(&registry, &issuer, &challenge, Some("alice")), Image::small(1));
    alice.push_image("team/app", "v1", &image);

    let challenge = registry.api().get("/v2/team/app/manifests/v1").expect(401);
    assert_eq!(parameter(&challenge, "scope").unwrap(), "repository:team/app:pull");
    let bob = log_in(&registry, &issuer, &challenge, Some("bob"));
    assert_eq!(bob.pull("team/app", "v1").manifest, image.manifest);
    let wider = bob.send(upload).expect(401);
    assert_eq!(parameter(&wider, "error").unwrap(), "insufficient_scope");
    assert_eq!(parameter(&wider, "scope").unwrap(), "repository:team/app:pull,push");
    // The issuer does not give bob more; he stays out, cleanly.
    let again = log_in(&registry, &issuer, &wider, Some("bob"));
    again.send(Request::new("POST", "/v2/team/app/blobs/uploads/").body("")).expect(401);

    let asked = TokenRequest {
        user: Some("bob".to_owned()),
        service: SERVICE.to_owned(),
        scopes: vec!["repository:team/app:pull,push".to_owned()],
    };
    assert_eq!(issuer.requests().last(), Some(&asked));
    let pushed = registry
        .log()
        .into_iter()
        .find(|line| line.field("http.request.method") == "PUT" && line.field("vars.reference") == "v1");
    assert_eq!(pushed.expect("a line of the push").field("auth.user.name"), "alice");
}

#[test]
fn a_token_opens_what_it_names_and_nothing_beside_it() {
    let (issuer, registry) = start();
    let image = Image::small(2);
    for name in ["team/app", "team/app/sub", "team/ap", "other"] {
        let scope = format!("repository:{name}:pull,push");
        holder(&registry, &issuer, "owner", &[&scope]).push_image(name, "v1", &image);
    }
    let api = holder(&registry, &issuer, "reader", &["repository:team/app:pull"]);
    api.pull("team/app", "v1");
    for name in ["team/app/sub", "team/ap", "other"] {
        for rest in
            ["manifests/v1".to_owned(), "tags/list".to_owned(), format!("blobs/{}", image.config.digest)]
        {
            let answer = api.get(&format!("/v2/{name}/{rest}")).expect_error(401, "UNAUTHORIZED");
            assert_eq!(parameter(&answer, "error").unwrap(), "insufficient_scope");
        }
    }
    api.delete("/v2/team/app/manifests/v1").expect(401);
    holder(&registry, &issuer, "owner", &["repository:team/app:delete"])
        .delete("/v2/team/app/manifests/v1")
        .expect(202);
}

#[test]
fn the_catalog_is_a_scope_of_its_own() {
    let (issuer, registry) = start();
    holder(&registry, &issuer, "owner", &["repository:a:pull,push"]).push_image("a", "v1", &Image::small(3));
    let challenge = registry.api().get("/v2/_catalog").expect(401);
    assert_eq!(parameter(&challenge, "scope").unwrap(), "registry:catalog:*");
    holder(&registry, &issuer, "owner", &["repository:a:pull,push"]).get("/v2/_catalog").expect(401);
    assert_eq!(holder(&registry, &issuer, "admin", &["registry:catalog:*"]).catalog(), ["a"]);
}

#[test]
fn what_is_public_is_pulled_with_a_token_for_nobody() {
    let (issuer, registry) = start();
    let image = Image::small(4);
    holder(&registry, &issuer, "owner", &["repository:public/app:pull,push"]).push_image(
        "public/app",
        "v1",
        &image,
    );
    let challenge = registry.api().get("/v2/public/app/manifests/v1").expect(401);
    let nobody = log_in(&registry, &issuer, &challenge, None);
    assert_eq!(nobody.pull("public/app", "v1").manifest, image.manifest);
    let asked = issuer.requests();
    assert_eq!(asked.last().unwrap().user, None);
    // A token goes with every answer: no shared cache may keep it.
    let answer = nobody.get(&format!("/v2/public/app/manifests/{}", image.digest)).expect(200);
    assert!(!answer.required("cache-control").contains("public"), "{:?}", answer.headers);
}

#[test]
fn a_mount_asks_for_both_repositories_and_reads_only_what_the_token_grants() {
    let (issuer, registry) = start();
    let source = holder(&registry, &issuer, "owner", &["repository:team/source:pull,push"]);
    let blob = source.push_blob("team/source", b"a layer to mount");
    let mount =
        Request::new("POST", &format!("/v2/team/target/blobs/uploads/?mount={blob}&from=team/source"))
            .body("");
    let found = Request::new("HEAD", &format!("/v2/team/target/blobs/{blob}"));
    let challenge = registry.api().send(mount.clone()).expect(401);
    let scopes = parameter(&challenge, "scope").unwrap();
    assert_eq!(scopes, "repository:team/target:pull,push repository:team/source:pull");

    // Without the source's scope the client is to upload: whether the blob exists is not told.
    let target = "repository:team/target:pull,push";
    for other in
        [&[target][..], &[target, "repository:team/other:pull"], &[target, "repository:team/source:push"]]
    {
        let api = holder(&registry, &issuer, "alice", other);
        api.send(mount.clone()).expect(202);
        api.send(found.clone()).expect(404);
    }
    holder(&registry, &issuer, "alice", &["repository:team/source:pull"]).send(mount.clone()).expect(401);
    // bob may read both and write neither.
    log_in(&registry, &issuer, &challenge, Some("bob")).send(mount.clone()).expect(401);

    let alice = log_in(&registry, &issuer, &challenge, Some("alice"));
    assert_eq!(issuer.requests().last().unwrap().scopes, scopes.split(' ').collect::<Vec<_>>());
    alice.send(mount).expect(201);
    alice.send(found).expect(200);
}

#[test]
fn a_session_belongs_to_the_subject_of_the_token_that_began_it() {
    let (issuer, registry) = start();
    let scopes = ["repository:team/app:pull,push"];
    let alice = holder(&registry, &issuer, "alice", &scopes);
    let session = alice.start_upload("team/app");
    let bob = holder(&registry, &issuer, "bob", &scopes);
    bob.patch(&session, 0, b"x").expect_error(404, "BLOB_UPLOAD_UNKNOWN");
    // Another token of the same subject goes on: tokens are short-lived, uploads are not.
    let mut claims = token_claims("alice", &scopes);
    claims["jti"] = json!("another");
    registry.api().with_token(&issuer.key().token(&claims)).patch(&session, 0, b"x").expect(202);
}

/// The token is refused everywhere, with the reason, and a new one is asked for.
#[track_caller]
fn assert_refused(registry: &Registry, token: &str, reason: &str) {
    let api = registry.api().with_token(token);
    for target in ["/v2/", "/v2/team/app/manifests/v1", "/v2/team/app/tags/list", "/v2/_catalog"] {
        let answer = api.get(target).expect_error(401, "UNAUTHORIZED");
        assert_eq!(parameter(&answer, "error").unwrap(), "invalid_token", "{target}");
        assert!(answer.text().contains(reason), "{target}: no {reason:?} in {}", answer.text());
    }
    api.send(Request::new("POST", "/v2/team/app/blobs/uploads/").body("")).expect(401);
}

#[test]
fn claims_that_are_not_for_here_and_now_are_refused() {
    let (issuer, registry) = start();
    let scopes = ["repository:team/app:pull,push"];
    holder(&registry, &issuer, "owner", &scopes).push_image("team/app", "v1", &Image::small(5));
    let now = epoch_seconds();
    for (claim, value, reason) in [
        ("exp", json!(now - 120), "expired"),
        ("nbf", json!(now + 600), "not valid yet"),
        ("aud", json!("another registry"), "not for service"),
        ("aud", json!(["another", "and another"]), "not for service"),
        ("iss", json!("another issuer"), "not by issuer"),
        ("exp", Value::Null, "token"),
        ("aud", Value::Null, "token"),
    ] {
        let mut claims = token_claims("owner", &scopes);
        claims[claim] = value;
        assert_refused(&registry, &issuer.key().token(&claims), reason);
    }
}

#[test]
fn a_token_that_was_good_ends_at_its_time() {
    let (issuer, registry) = start();
    let mut claims = token_claims("owner", &["repository:a:pull,push"]);
    // A minute of skew between the clocks is allowed.
    claims["exp"] = json!(epoch_seconds() - 56);
    let api = registry.api().with_token(&issuer.key().token(&claims));
    api.get("/v2/").expect(200);
    wait_until("the token to end", SOON, || api.get("/v2/").status == 401);
}

#[test]
fn only_the_configured_key_signs_whatever_a_token_brings_along() {
    let (issuer, registry) = start();
    let scopes = ["repository:team/app:pull,push"];
    holder(&registry, &issuer, "owner", &scopes).push_image("team/app", "v1", &Image::small(6));
    let (evil, claims) = (TokenKey::new(), token_claims("owner", &scopes));
    // Whoever serves the attacker's keys is not asked either.
    let elsewhere = TokenIssuer::start(rules);
    let kid = issuer.key().id();
    assert_refused(&registry, &evil.token(&claims), "not among the trusted ones");
    assert_refused(
        &registry,
        &evil.sign(&json!({ "alg": "ES256", "kid": kid }), &claims),
        "signature is wrong",
    );
    assert_refused(&registry, &issuer.key().sign(&json!({ "alg": "ES256" }), &claims), "no kid");
    // CVE-2025-24976: a key in the header vouches for nothing, not even beside a good signature.
    for (name, value) in [
        ("jwk", evil.jwk(&kid)),
        ("jwk", evil.jwk(&evil.id())),
        ("jku", json!(elsewhere.realm())),
        ("x5u", json!(elsewhere.realm())),
        ("x5c", json!([pem_body(&evil.certificate)])),
    ] {
        for (kid, key) in [(kid.clone(), &evil), (evil.id(), &evil), (kid.clone(), issuer.key())] {
            let mut header = json!({ "alg": "ES256", "kid": kid });
            header[name] = value.clone();
            assert_refused(&registry, &key.sign(&header, &claims), "its own key");
        }
    }
    assert_eq!(elsewhere.requests(), [], "the registry fetched a key that a token named");
}

fn pem_body(pem: &str) -> String {
    pem.lines().filter(|line| !line.starts_with('-')).collect()
}

#[test]
fn only_the_listed_algorithms_count() {
    let issuer = TokenIssuer::start(rules);
    let claims = token_claims("owner", &["repository:team/app:pull"]);
    let registry = issuer.trusted_by(Registry::builder()).start();
    for name in ["none", "None", "HS256", "ES512", ""] {
        let token = issuer.key().sign(&json!({ "alg": name, "kid": issuer.key().id() }), &claims);
        assert_refused(&registry, &token, "is not accepted");
        let unsigned = &token[..=token.rfind('.').unwrap()];
        assert_refused(&registry, unsigned, "is not accepted");
    }
    let token = issuer.key().token(&claims);
    registry.api().with_token(&token).get("/v2/").expect(200);
    let strict = issuer
        .trusted_by(Registry::builder())
        .set("auth.token.signingalgorithms", json!(["RS256", "EdDSA"]))
        .start();
    assert_refused(&strict, &token, "accepted are RS256, EdDSA");
    let (status, output) = issuer
        .trusted_by(Registry::builder())
        .set("auth.token.signingalgorithms", json!(["HS256"]))
        .start_in_vain();
    assert!(!status.success() && output.contains("auth.token.signingalgorithms"), "{output}");
}

#[test]
fn a_certificate_bundle_is_as_good_as_a_key_set() {
    let issuer = TokenIssuer::start(rules);
    let builder = issuer.trusted_by(Registry::builder()).unset("auth.token.jwks");
    let file = builder.directory().join("bundle.pem");
    std::fs::write(&file, &issuer.key().certificate).unwrap();
    let registry = builder.set("auth.token.rootcertbundle", file.to_str().unwrap()).start();
    holder(&registry, &issuer, "ci", &["repository:a:pull,push"]).push_image("a", "v1", &Image::small(7));
}

#[test]
fn replaced_keys_count_soon_and_take_the_old_tokens_with_them() {
    let (issuer, registry) = start();
    let claims = token_claims("owner", &["repository:a:pull,push"]);
    let next = TokenKey::new();
    let (old, new) = (
        registry.api().with_token(&issuer.key().token(&claims)),
        registry.api().with_token(&next.token(&claims)),
    );
    old.get("/v2/").expect(200);
    new.get("/v2/").expect(401);
    write_keys(&registry.directory().join("jwks.json"), &[&next]);
    wait_until("the new key to count", SOON, || new.get("/v2/").status == 200);
    old.get("/v2/").expect(401);
}

#[test]
fn the_policy_table_knows_subjects_of_tokens() {
    let issuer = TokenIssuer::start(rules);
    let registry = issuer
        .trusted_by(Registry::builder())
        .set(
            "access.policy",
            json!([
                { "repositories": ["team/*"], "who": ["token:ci"], "actions": ["pull", "push"] },
                { "repositories": ["*"], "who": ["anonymous"], "actions": ["pull"] },
            ]),
        )
        .start();
    let image = Image::small(8);
    holder(&registry, &issuer, "ci", &[]).push_image("team/app", "v1", &image);
    let other = holder(&registry, &issuer, "other", &[]);
    other.get("/v2/team/app/manifests/v1").expect(401);
    registry.api().get("/v2/team/app/manifests/v1").expect(401);
    // What a token's own claim grants needs no row.
    let granted = holder(&registry, &issuer, "other", &["repository:team/app:pull"]);
    granted.pull("team/app", "v1");
    registry.api().get("/v2/open/tags/list").expect(404);
    // A bad token is not served as nobody.
    registry
        .api()
        .with_token(&TokenKey::new().token(&token_claims("ci", &[])))
        .get("/v2/open/tags/list")
        .expect(401);
}

#[cfg(feature = "full")]
mod clients {
    //! Real clients find their way to the issuer by themselves.

    use std::process::Command;

    use wharfinger_test_support::{Layout, Style, Tool, go_tool, run_tool, system_tool, try_tool};

    use super::*;

    /// A client with a home of its own.
    fn client(tool: &Tool, home: &std::path::Path, arguments: &[&str]) -> Command {
        let mut command = tool.command();
        command.env("HOME", home).env("DOCKER_CONFIG", home).current_dir(home).args(arguments);
        command
    }

    #[test]
    fn skopeo_logs_in_through_the_issuer() {
        let (issuer, registry) = start();
        let work = tempfile::tempdir().unwrap();
        let mut layout = Layout::create(&work.path().join("layout"));
        let image = Image::layered(Style::Oci, 10, 3, 50_000);
        layout.add_image(&image, "v1");
        let from = format!("oci:{}:v1", layout.root().display());
        let to = format!("docker://{}/team/app:v1", registry.address());
        let skopeo = |arguments: &[&str]| {
            client(&system_tool("skopeo"), work.path(), &[&["--insecure-policy"][..], arguments].concat())
        };
        let push = ["copy", "-q", "--dest-tls-verify=false"];
        let (pushed, output) =
            try_tool(&mut skopeo(&[&push[..], &["--dest-creds=bob:bob", &from, &to]].concat()));
        assert!(!pushed, "bob may only read: {output}");
        run_tool(&mut skopeo(&[&push[..], &["--dest-creds=alice:alice", &from, &to]].concat()));
        let pulled = format!("oci:{}:v1", work.path().join("pulled").display());
        let pull = ["copy", "-q", "--src-tls-verify=false", "--src-creds=bob:bob", &to, &pulled];
        run_tool(&mut skopeo(&pull));
        assert!(work.path().join("pulled/blobs/sha256").join(image.digest.hex()).exists());
        let users: Vec<_> = issuer.requests().into_iter().filter_map(|request| request.user).collect();
        assert!(users.contains(&"alice".to_owned()) && users.contains(&"bob".to_owned()), "{users:?}");
    }

    #[test]
    fn crane_logs_in_through_the_issuer_and_copies_across_repositories() {
        let (issuer, registry) = start();
        let work = tempfile::tempdir().unwrap();
        let image = Image::layered(Style::Oci, 11, 3, 50_000);
        let owner = holder(&registry, &issuer, "owner", &["repository:team/source:pull,push"]);
        owner.push_image("team/source", "v1", &image);
        let crane = |arguments: &[&str]| run_tool(&mut client(&go_tool("crane"), work.path(), arguments));
        let address = registry.address();
        crane(&["auth", "login", &address, "--username", "alice", "--password", "alice"]);
        let (source, target) = (format!("{address}/team/source:v1"), format!("{address}/team/target:v1"));
        crane(&["copy", "--insecure", &source, &target]);
        let reader = holder(&registry, &issuer, "reader", &["repository:team/target:pull"]);
        assert_eq!(reader.pull("team/target", "v1").manifest, image.manifest);
        let both = |request: &TokenRequest| {
            ["team/source", "team/target"].iter().all(|name| request.scopes.iter().any(|s| s.contains(name)))
        };
        assert!(issuer.requests().iter().any(both), "no token for both: {:?}", issuer.requests());
    }
}
