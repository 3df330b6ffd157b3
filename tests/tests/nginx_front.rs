//! What ships for nginx in front, run by the real nginx: broken answers stay broken, `restricted/` stays private,
//! writes need a password, and of two instances one takes them all.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use serde_json::json;
use wharfinger_test_support::{
    Api, Builder, Digest, DockerRegistry, Front, HttpError, Image, LogLine, Nginx, Registry, Request,
    Response, bytes, wait_until,
};

const MIB: usize = 1 << 20;
/// Some slices and a bit.
const LENGTH: usize = 12 * MIB + 17;
/// In the middle of a slice, be it of one mebibyte or of five.
const HARMED: usize = 7 * MIB + 100;
/// The line that says how content is cut.
const SLICES: &str = "slice                    1m;";

/// Believes what nginx says of users, and keeps `restricted/` by itself too.
fn guarded(builder: Builder) -> Builder {
    builder.set(
        "access",
        json!({
            "trusted_proxy": { "addresses": ["127.0.0.1"] },
            "policy": [
                { "repositories": ["restricted/*"], "who": ["user:deploy"], "actions": ["pull", "push", "delete"] },
                { "repositories": ["*"], "who": ["user:ci"], "actions": ["push", "delete"] },
                { "repositories": ["*"], "who": ["anonymous"], "actions": ["pull"] },
            ],
        }),
    )
}

fn port(registry: &Registry) -> u16 {
    registry.client().port()
}

fn in_front_of(registry: &Registry) -> Nginx {
    Front::of_one(port(registry)).start()
}

fn get(target: &str) -> Request {
    Request::new("GET", target)
}

fn ranged(target: &str, first: usize, last: usize) -> Request {
    get(target).header("Range", format!("bytes={first}-{last}"))
}

/// A clean answer is a right one, a broken one ends soon, and with `in_order` what came of it is right as far as it
/// goes. Returns whether there was a clean one.
fn right_or_broken(api: &Api, request: &Request, expected: &[u8], in_order: bool) -> bool {
    let started = Instant::now();
    let result = api.try_send(request.clone());
    assert!(started.elapsed() < Duration::from_secs(30), "{request:?}: the client was left waiting");
    match result {
        Ok(answer) if answer.status < 300 => {
            assert!(answer.body == expected, "{request:?}: a clean {} with other bytes", answer.status);
            true
        }
        Ok(answer) => {
            assert!(answer.status >= 400, "{request:?}: {}", answer.status);
            false
        }
        Err(HttpError::Truncated { response, .. }) => {
            let sent = &response.body;
            assert!(sent.len() < expected.len(), "{request:?}: broken off after its end");
            assert!(
                !in_order || *sent == expected[..sent.len()],
                "{request:?}: wrong bytes before the break"
            );
            false
        }
        Err(_) => false,
    }
}

/// `indexed`: the blob has a chunk index, so that wrong bytes are found before they leave; else its hash tells at
/// the end, when they are on their way.
fn a_harmed_blob_is_never_kept(slices: &str, indexed: bool, in_order: bool) {
    let mut registry = Registry::builder().allow_log("").start();
    let nginx = Front::of_one(port(&registry)).edit(SLICES, slices).start();
    let content = bytes(11, LENGTH);
    let digest = registry.api().push_blob("app", &content);
    let (target, path) = (format!("/v2/app/blobs/{digest}"), registry.blob_path(&digest));
    if !indexed {
        // It would be remembered.
        registry.stop();
        fs::remove_dir_all(registry.root().join("wharfinger/v1/chunks")).unwrap();
        registry.start_again();
    }
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&[content[HARMED] ^ 1], HARMED as u64).unwrap();

    let api = nginx.api();
    for round in 0..3 {
        let whole = right_or_broken(&api, &get(&target), &content, in_order);
        assert!(!whole, "round {round}: the whole blob came, though the registry cannot have it");
        let ranges = [(HARMED - 10, HARMED + 10), (5 * MIB, 10 * MIB - 1), (0, 99), (LENGTH - 5, LENGTH - 1)];
        // Without slices nginx cuts a range out of the whole as it comes, before its hash could tell.
        for (first, last) in ranges.into_iter().filter(|_| indexed || slices != "slice 0;") {
            right_or_broken(&api, &ranged(&target, first, last), &content[first..=last], in_order);
        }
    }
    registry.api().push_blob("app", &content);
    let mended = api.get(&target).expect(200);
    assert!(mended.body == content, "other bytes after the mend\n{}", nginx.log());
    let again = api.get(&target).expect(200);
    assert!(again.body == content && again.required("x-cache-status") == "HIT", "{:?}", again.headers);
    let range = api.send(ranged(&target, HARMED - 10, HARMED + 10)).expect(206);
    assert!(range.body == content[HARMED - 10..=HARMED + 10]);
}

#[test]
fn a_broken_body_is_neither_kept_nor_ended_cleanly_in_slices() {
    a_harmed_blob_is_never_kept(SLICES, true, true);
    // Where there is no index a range waits until the whole blob was hashed.
    a_harmed_blob_is_never_kept(SLICES, false, true);
}

#[test]
fn a_broken_body_is_neither_kept_nor_ended_cleanly_as_a_whole() {
    a_harmed_blob_is_never_kept("slice 0;", true, true);
    a_harmed_blob_is_never_kept("slice 0;", false, false);
}

/// nginx goes on with the next slice where one breaks off, so the bytes after the break stand in the wrong place:
/// that is why ours are chunks. They are too few all the same, and nothing is kept.
#[test]
fn a_broken_body_is_neither_kept_nor_ended_cleanly_in_slices_of_five_chunks() {
    a_harmed_blob_is_never_kept("slice 5m;", true, false);
    a_harmed_blob_is_never_kept("slice 5m;", false, true);
}

#[test]
fn content_by_digest_is_cached_and_nothing_else() {
    let registry = Registry::start();
    let (nginx, api) = (in_front_of(&registry), registry.api());
    let front = nginx.api();
    let content = bytes(12, LENGTH);
    let digest = Digest::sha256(&content);
    let target = format!("/v2/app/blobs/{digest}");
    front.get(&target).expect_error(404, "BLOB_UNKNOWN");
    api.push_blob("app", &content);

    let head = front.head(&target).expect(200);
    assert_eq!(head.required("content-length"), LENGTH.to_string());
    assert!(nginx.cached().is_empty(), "a HEAD or a 404 was kept");
    let across = front.send(ranged(&target, 5 * MIB - 3, 5 * MIB + 2)).expect(206);
    assert!(across.body == content[5 * MIB - 3..=5 * MIB + 2]);
    assert_eq!(across.required("content-range"), format!("bytes {}-{}/{LENGTH}", 5 * MIB - 3, 5 * MIB + 2));
    assert_eq!(nginx.cached().len(), 2, "two slices were asked for");
    for expected in ["MISS", "HIT"] {
        let answer = front.get(&target).expect(200);
        assert!(
            answer.body == content && answer.required("x-cache-status") == expected,
            "{:?}",
            answer.headers
        );
        assert!(answer.required("cache-control").starts_with("public, "), "{:?}", answer.headers);
    }
    let last = front.send(get(&target).header("Range", "bytes=-7")).expect(206);
    assert!(last.body == content[LENGTH - 7..]);
    let known = front.send(get(&target).header("If-None-Match", format!("\"{digest}\""))).expect(304);
    assert_eq!(known.required("etag"), format!("\"{digest}\""));

    let (one, two) = (Image::small(1), Image::small(2));
    for image in [&one, &two] {
        api.push_image("app", "moving", image);
        let pulled = front.get("/v2/app/manifests/moving").expect(200);
        assert_eq!(
            pulled.required("docker-content-digest"),
            image.digest.to_string(),
            "an old tag was answered"
        );
        assert_eq!((pulled.header("x-cache-status"), pulled.required("cache-control")), (None, "no-cache"));
    }
    let manifest = format!("/v2/app/manifests/{}", one.digest);
    front.get(&manifest).expect(200);
    assert_eq!(front.get(&manifest).expect(200).required("x-cache-status"), "HIT");
    front.pull("app", "moving");
}

#[test]
fn nothing_under_restricted_is_public_whatever_the_registry_thinks() {
    for registry in [Registry::start(), guarded(Registry::builder()).start()] {
        let nginx = in_front_of(&registry);
        let (nobody, deploy, image) = (nginx.api(), nginx.restricted(), Image::small(3));
        deploy.push_image("restricted/app", "v1", &image);
        let blob = deploy.push_blob("restricted/app", &bytes(13, 6 * MIB));
        let targets = [
            "/v2/restricted/app/manifests/v1".to_owned(),
            format!("/v2/restricted/app/manifests/{}", image.digest),
            format!("/v2/restricted/app/blobs/{blob}"),
            "/v2/restricted/app/tags/list".to_owned(),
            format!("/v2/restricted/app/referrers/{}", image.digest),
            format!("/v2/restricted/app/blobs/{}", Digest::sha256(b"missing")),
        ];
        let private = |answer: &Response, target: &str| {
            let values: Vec<&str> = answer
                .headers
                .iter()
                .filter(|(name, _)| name == "cache-control")
                .map(|(_, v)| v.as_str())
                .collect();
            assert_eq!(values, ["private, no-store"], "{target}");
            assert_eq!(answer.header("x-cache-status"), None, "{target}");
        };
        for target in &targets {
            for api in [&nobody, &nginx.writer()] {
                let refused = api.get(target).expect(401);
                assert!(refused.required("www-authenticate").contains("restricted"), "{refused:?}");
                private(&refused, target);
                assert_eq!(api.head(target).status, 401);
            }
            for request in [get(target), Request::new("HEAD", target), ranged(target, 0, 9)] {
                private(&deploy.send(request), target);
            }
        }
        assert!(deploy.get(&targets[2]).expect(200).body.len() == 6 * MIB);
        // Other spellings of the same path.
        for path in ["%72estricted/app", "restricted%2fapp", "./restricted/app", "app/../restricted/app"] {
            let answer = nobody.get(&format!("/v2/{path}/blobs/{blob}"));
            assert!(answer.status >= 400, "{path}: {}", answer.status);
        }
        assert!(nginx.cached().is_empty(), "something of restricted/ lies in the cache");
    }
}

#[test]
fn writes_need_a_password_and_reads_do_not() {
    let registry = guarded(Registry::builder()).start();
    let nginx = in_front_of(&registry);
    let (nobody, ci) = (nginx.api(), nginx.writer());
    let image = Image::small(4);
    ci.push_image("app", "v1", &image);
    nobody.pull("app", "v1");
    nobody.get("/v2/").expect(200);

    let liar = nobody.with_header("X-Remote-User", "ci");
    let wrong = nobody.with_basic("ci", "guessed");
    let session = ci.start_upload("app");
    for (method, target) in [
        ("POST", "/v2/app/blobs/uploads/".to_owned()),
        ("PATCH", session.clone()),
        ("PUT", format!("{session}?digest={}", Digest::sha256(b""))),
        ("DELETE", session.clone()),
        ("PUT", "/v2/app/manifests/v2".to_owned()),
        ("PUT", format!("/v2/app/manifests/{}", image.digest)),
        ("DELETE", format!("/v2/app/manifests/{}", image.digest)),
        ("DELETE", format!("/v2/app/blobs/{}", image.config.digest)),
    ] {
        for api in [&nobody, &liar, &wrong] {
            let answer = api.send(Request::new(method, &target).body("x")).expect(401);
            assert!(
                answer.required("www-authenticate").starts_with("Basic realm=\"registry\""),
                "{answer:?}"
            );
            assert_eq!(answer.required("docker-distribution-api-version"), "registry/2.0");
        }
    }
    // Not even by way of a mount does a writer get at restricted/.
    let hidden = nginx.restricted().push_blob("restricted/app", b"hidden");
    let mount = format!("/v2/app/blobs/uploads/?mount={hidden}&from=restricted/app");
    ci.send(Request::new("POST", &mount).body("")).expect(202);
    nobody.get(&format!("/v2/app/blobs/{hidden}")).expect_error(404, "BLOB_UNKNOWN");
    // A reader cannot pass for somebody either, and the URL of an upload names this nginx whatever a client says.
    liar.get("/v2/app/manifests/v1").expect(200);
    let post =
        Request::new("POST", "/v2/app/blobs/uploads/").header("X-Forwarded-Host", "evil.example").body("");
    let location = ci.send(post).expect(202).required("location").to_owned();
    assert!(
        location.starts_with(&format!("https://127.0.0.1:{}/v2/app/", nginx.client().port())),
        "{location}"
    );
    let users: Vec<String> =
        registry.log().iter().filter(|line| line.field("http.request.method") == "PUT").map(user).collect();
    assert!(users.contains(&"ci".to_owned()), "{users:?}");
    assert!(users.iter().all(|user| user == "ci" || user == "deploy"), "{users:?}");
    let reads = registry.log().into_iter().filter(|line| line.field("http.request.method") == "GET");
    assert!(reads.into_iter().all(|line| user(&line).is_empty()), "a reader passed for a user");
}

fn user(line: &LogLine) -> String {
    line.field("auth.user.name")
}

#[test]
fn clients_of_a_network_are_asked_at_the_door() {
    let registry = guarded(Registry::builder()).start();
    let asked = "    127.0.0.0/8  \"registry\";";
    let nginx = Front::of_one(port(&registry)).edit("    # 10.0.0.0/8  \"registry\";", asked).start();
    assert!(nginx.api().get("/v2/").expect(401).required("www-authenticate").starts_with("Basic"));
    for api in [nginx.writer(), nginx.restricted()] {
        api.get("/v2/").expect(200);
    }
    assert_eq!(nginx.api().get("/v2/app/tags/list").status, 404, "only the door asks");
}

#[test]
fn a_body_goes_through_while_it_comes() {
    let registry = Registry::start();
    let nginx = in_front_of(&registry);
    let content = bytes(14, 96 * MIB);
    let session = nginx.writer().start_upload("large");
    let (head, rest) = content.split_at(80 * MIB);
    let mut patch = Request::new("PATCH", &session).header("Content-Length", content.len().to_string());
    patch = patch.header("Authorization", "Basic Y2k6d3JpdGVz");
    let mut connection = nginx.client().connect().unwrap();
    connection.write_head(&patch).unwrap();
    connection.write_bytes(head).unwrap();
    let uploads = registry.root().join("wharfinger/v1/uploads");
    let arrived = || {
        let entries = fs::read_dir(&uploads).into_iter().flatten().flatten();
        let lengths = entries.filter_map(|entry| fs::metadata(entry.path().join("data")).ok());
        lengths.map(|data| data.len() as usize).max().unwrap_or(0)
    };
    // All but what is in the buffers of sockets.
    wait_until("the first part of the body at the registry", Duration::from_secs(20), || {
        arrived() > 64 * MIB
    });
    assert!(nginx.spooled().is_empty(), "the body is spooled: {:?}", nginx.spooled());
    connection.write_bytes(rest).unwrap();
    let session = connection.read("PATCH").unwrap().expect(202).location();
    let digest = Digest::sha256(&content);
    nginx.writer().finish(&session, &digest.to_string(), b"").expect(201);
    assert!(nginx.api().pull_blob("large", &digest) == content);
}

#[test]
fn reads_go_to_both_instances_and_writes_to_one() {
    let writer = Registry::start();
    let builder = Registry::builder().root(writer.root());
    let socket = builder.directory().join("admin.sock").display().to_string();
    let reader = builder.set("admin.socket", socket).start();
    let nginx = Front::with_one_writer(port(&writer), port(&reader)).start();
    let image = Image::small(5);
    for tag in ["a", "b", "c", "d"] {
        nginx.writer().push_image("app", tag, &image);
        nginx.api().pull("app", tag);
    }
    let session = nginx.writer().start_upload("app");
    for _ in 0..4 {
        nginx.api().get(&session).expect(204);
    }
    nginx.writer().delete(&session).expect(204);
    let requests = |registry: &Registry| -> Vec<(String, String)> {
        let lines = registry.log();
        let fields = |line: &LogLine| (line.field("http.request.method"), line.field("http.request.uri"));
        lines.iter().map(fields).filter(|(method, _)| !method.is_empty()).collect()
    };
    let read =
        |requests: &[(String, String)]| requests.iter().filter(|(_, uri)| uri.contains("manifests/")).count();
    let (at_writer, at_reader) = (requests(&writer), requests(&reader));
    let strays: Vec<_> = at_reader
        .iter()
        .filter(|(method, uri)| !matches!(method.as_str(), "GET" | "HEAD") || uri.contains("/uploads/"))
        .collect();
    assert!(strays.is_empty(), "the other instance was written to: {strays:?}");
    assert!(
        read(&at_reader) > 0
            && at_writer.iter().any(|(method, uri)| method == "GET" && uri.contains("manifests/"))
    );
}

#[test]
fn an_upload_of_the_other_registry_is_unknown_here_and_begins_anew() {
    let writer = Registry::start();
    let old = DockerRegistry::on(writer.root());
    let nginx = Front::with_one_writer(port(&writer), port(&old)).start();
    let (ci, content) = (nginx.writer(), bytes(15, 300_000));
    let foreign = old.api().start_upload("app");
    old.api().patch(&foreign, 0, &content[..1000]).expect(202);
    let id = foreign.split(['/', '?']).find(|part| part.len() == 36).expect("the id of an upload").to_owned();
    for session in [foreign.clone(), format!("/v2/app/blobs/uploads/{id}")] {
        ci.send(get(&session)).expect_error(404, "BLOB_UPLOAD_UNKNOWN");
        ci.patch(&session, 1000, &content[1000..]).expect_error(404, "BLOB_UPLOAD_UNKNOWN");
        let digest = Digest::sha256(&content).to_string();
        ci.finish(&session, &digest, &content[1000..]).expect_error(404, "BLOB_UPLOAD_UNKNOWN");
        ci.delete(&session).expect_error(404, "BLOB_UPLOAD_UNKNOWN");
    }
    // What a client does then; and both registries read it.
    let digest = ci.push_blob("app", &content);
    assert!(old.api().pull_blob("app", &digest) == content);
    for _ in 0..4 {
        assert!(nginx.api().pull_blob("app", &digest) == content);
    }
}
