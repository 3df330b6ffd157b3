//! What lies between a registry and Swift: the proxy, tokens, credentials, permissions, and clocks.

use std::thread;
use std::time::Duration;

use wharfinger_test_support::{
    Api, Blob, Builder, Digest, Image, Pipeline, Registry, Request, Rng, Server, SwiftCluster, bytes, pause,
    wait_until,
};

use super::{SEGMENT, alarms, builder, disturbed, finish_from_offset, patch_slowly};

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn a_proxy_restarted_in_the_middle_of_a_push_costs_no_more_than_a_retry() {
    let swift = disturbed();
    let container = swift.fresh_container();
    let mut registry = builder(&swift, &container).start();
    for expected in [
        "a storage call failed",
        "the request failed",
        "the store fails its probe",
        "an upload that broke off could not be kept",
    ] {
        registry.allow_log(expected);
    }
    let api = registry.api();
    let mut rng = Rng::from_environment("a_proxy_restarted_in_the_middle_of_a_push");
    for round in 0..3u64 {
        let content = bytes(round, 5 * SEGMENT + 1000);
        let session = api.start_upload("restarted");
        let at = rng.below(10) as usize;
        let answer = patch_slowly(&api, &session, &content, SEGMENT / 2, |number| {
            if number == at {
                swift.stop_server(Server::Proxy);
                swift.start_server(Server::Proxy);
            }
        });
        let answer = answer.expect("an answer, whatever happens to Swift");
        println!("restarted after piece {at}: {}", answer.status);
        let session = if answer.status == 202 { answer.location() } else { session };
        if answer.status != 202 {
            assert_eq!(answer.status, 503, "{answer:?}");
            answer.required("retry-after");
        }
        let digest = finish_from_offset(&api, &session, &content);
        assert!(api.pull_blob("restarted", &digest) == content);
    }
    // The whole push of an image, as clients do it: each request again until it is accepted.
    let image = Image::small(3);
    let restart = thread::scope(|scope| {
        let restart = scope.spawn(|| {
            swift.stop_server(Server::Proxy);
            pause(Duration::from_millis(500));
            swift.start_server(Server::Proxy);
        });
        push_stubbornly(&api, &image);
        restart.join()
    });
    restart.unwrap();
    assert_eq!(api.pull("restarted", "v1").digest, image.digest);
}

fn push_stubbornly(api: &Api, image: &Image) {
    let again = |what: &str, mut done: Box<dyn FnMut() -> u16 + '_>| {
        wait_until(what, PATIENCE, || {
            let status = done();
            assert!(matches!(status, 201 | 503), "{what}: {status}");
            status == 201
        });
    };
    for blob in image.blobs() {
        let target = format!("/v2/restarted/blobs/uploads/?digest={}", blob.digest);
        again("a blob", Box::new(move || api.send(Request::new("POST", &target).body(blob.bytes())).status));
    }
    let put = || api.put_manifest("restarted", "v1", image.media_type, &image.manifest).status;
    again("the manifest", Box::new(put));
}

#[test]
fn tokens_that_end_are_no_matter_of_clients() {
    let swift = disturbed();
    let container = swift.fresh_container();
    // No line at all may warn: the token is ours to renew.
    let registry = builder(&swift, &container).start();
    let api = registry.api();
    wait_until("the first probe", PATIENCE, || api.get("/health/store").status == 200);
    let mark = swift.mark();
    let content = bytes(9, 4 * SEGMENT + 77);
    let session = api.start_upload("expired");
    swift.expire_tokens();
    let answer = patch_slowly(&api, &session, &content, SEGMENT / 2, |_| swift.expire_tokens());
    let answer = answer.unwrap().expect(202);
    swift.expire_tokens();
    let digest = Digest::sha256(&content);
    api.finish(&answer.location(), &digest.to_string(), b"").expect(201);
    let image = Image::small(4);
    swift.expire_tokens();
    api.push_image("expired", "v1", &image);
    for _ in 0..3 {
        swift.expire_tokens();
        assert_eq!(api.pull("expired", "v1").digest, image.digest);
        swift.expire_tokens();
        assert!(api.pull_blob("expired", &digest) == content);
    }
    let refused = swift.since(mark).iter().filter(|request| request.status == 401).count();
    assert!(refused >= 10, "the tokens did not end: {refused} requests were refused");
}

/// What a registry cannot do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fails {
    Reads,
    Writes,
    Both,
}

/// A registry that cannot use Swift: it serves, refuses with 503, and says why in one line that has all of `texts`.
fn unusable(builder: Builder, fails: Fails, texts: &[&str]) -> Registry {
    let mut registry = builder.start();
    for allowed in
        ["a storage call failed", "the request failed", "the store fails its probe", "cannot be used yet"]
    {
        registry.allow_log(allowed);
    }
    let api = registry.api();
    let one = Digest::sha256(b"one");
    let refused = |request: Request| {
        let answer = api.send(request);
        assert_eq!(answer.status, 503, "{answer:?}");
        answer.required("retry-after");
    };
    if fails != Fails::Writes {
        refused(Request::new("GET", "/v2/some/manifests/v1"));
        refused(Request::new("HEAD", &format!("/v2/some/blobs/{one}")));
        refused(Request::new("GET", "/v2/some/tags/list"));
        refused(Request::new("GET", "/v2/_catalog"));
    }
    if fails != Fails::Reads {
        refused(Request::new("POST", "/v2/some/blobs/uploads/").body(""));
    }
    api.get("/health/ready").expect(200);
    api.get("/v2/").expect(200);
    let complaint = "Swift cannot be used yet; trying again";
    let told =
        || registry.log().into_iter().filter(|line| line.field("msg") == complaint).collect::<Vec<_>>();
    wait_until("a line that says why", PATIENCE, || !told().is_empty());
    wait_until("the probe to fail", PATIENCE, || api.get("/health/store").json()["status"] == "failing");
    let lines = told();
    assert_eq!(lines.len(), 1, "{lines:?}");
    for text in texts {
        assert!(lines[0].text.contains(text), "{text:?} is not in {}", lines[0].text);
    }
    for line in registry.log() {
        assert!(!line.text.contains("the wrong key"), "a secret in {}", line.text);
    }
    registry
}

#[test]
fn wrong_settings_are_one_line_that_names_the_user_the_container_and_the_keys() {
    let swift = SwiftCluster::shared(Pipeline::Full);
    let container = swift.fresh_container();
    let user = swift.user();
    let start = || builder(swift, &container);
    let keys = "storage.swift.username, storage.swift.password";
    let wrong_key = start().set("storage.swift.password", "the wrong key");
    unusable(wrong_key, Fails::Both, &[user, &container, keys, "the credentials are wrong"]);
    let wrong_user = start().set("storage.swift.username", "test:nobody");
    unusable(wrong_user, Fails::Both, &["test:nobody", &container, keys, "the credentials are wrong"]);
    // Somebody whom Swift knows, and who may do nothing here.
    let (reader, key) = swift.reader();
    let as_reader = || start().set("storage.swift.username", reader).set("storage.swift.password", key);
    let keys = "storage.swift.username, storage.swift.container";
    unusable(as_reader(), Fails::Both, &[reader, &container, &swift.account(), keys, "403"]);
    let other = as_reader().set("storage.swift.container", "not-there");
    unusable(other, Fails::Both, &[reader, "not-there", &swift.account(), keys, "403"]);
    // A container that is not there and must not be made.
    let absent = start().set("storage.swift.container", "not-there").set("storage.mode", "observe");
    let absent = absent.unset("storage.delete");
    unusable(absent, Fails::Reads, &["not-there", "storage.swift.container", "404"]);
    // Nobody, and nothing that knows of tokens, at the URL.
    let closed = wharfinger_test_support::quiet_port();
    let nobody = start().set("storage.swift.authurl", format!("http://127.0.0.1:{closed}/auth/v1.0"));
    unusable(nobody, Fails::Both, &[&closed.to_string(), user, &container, "storage.swift.authurl"]);
    let elsewhere = start().set("storage.swift.authurl", format!("{}/healthcheck", swift.url()));
    let elsewhere = elsewhere.set("storage.swift.authversion", 1);
    unusable(elsewhere, Fails::Both, &["/healthcheck", user, &container, "storage.swift.authurl"]);
    // A name that no container has is a mistake that no time mends.
    let (status, output) = start().set("storage.swift.container", "a/b").start_in_vain();
    assert!(!status.success() && output.contains("storage.swift.container"), "{output}");
}

#[test]
fn a_permission_that_lacks_is_one_line_and_is_used_once_it_is_given() {
    let swift = SwiftCluster::shared(Pipeline::Full);
    let container = swift.fresh_container();
    let (reader, key) = swift.reader();
    let acl = |name: &str, value: &str| {
        let request = Request::new("POST", &format!("/{container}")).header(name, value);
        swift.send(request).expect(204);
    };
    acl("X-Container-Read", reader);
    let as_reader =
        builder(swift, &container).set("storage.swift.username", reader).set("storage.swift.password", key);
    let keys = "storage.swift.username, storage.swift.container";
    let registry = unusable(as_reader, Fails::Writes, &[reader, &container, &swift.account(), keys, "403"]);
    wait_until("the permission to be used", PATIENCE, || {
        // Given again each time: a request that is on its way may put the old one back into the proxy's cache, where it
        // stays for a minute.
        acl("X-Container-Write", reader);
        registry.api().get("/health/store").status == 200
    });
    let image = Image::small(6);
    registry.api().push_image("permitted", "v1", &image);
    registry.api().pull("permitted", "v1");
}

#[test]
fn a_registry_starts_without_swift_and_works_once_swift_is_there() {
    let swift = disturbed();
    let container = swift.fresh_container();
    swift.stop_server(Server::Proxy);
    let user = swift.user();
    let registry =
        unusable(builder(&swift, &container), Fails::Both, &[user, &container, "storage.swift.authurl"]);
    swift.start_server(Server::Proxy);
    wait_until("the registry to work", Duration::from_secs(5), || {
        registry.api().get("/health/store").status == 200
            && registry.api().send(Request::new("POST", "/v2/late/blobs/uploads/").body("")).status == 202
    });
    let image = Image::small(5);
    registry.api().push_image("late", "v1", &image);
    registry.api().pull("late", "v1");
    let before = registry.log().len();
    registry.api().pull("late", "v1");
    assert!(alarms(&registry.log()[before..]).is_empty());
}

/// Debian's libfaketime, which moves the clock of one process.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

#[test]
fn instances_whose_clocks_differ_lose_no_tag() {
    let swift = SwiftCluster::shared(Pipeline::Full);
    let container = swift.fresh_container();
    let moved = |by: &str| {
        builder(swift, &container)
            .env("LD_PRELOAD", FAKETIME)
            .env("FAKETIME", by)
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .start()
    };
    let (behind, ahead) = (moved("-150s"), moved("+150s"));
    let time = |registry: &Registry| registry.log()[0].field("time");
    let (early, late) = (time(&behind), time(&ahead));
    assert!(early[..16] < late[..16], "the clocks do not differ: {early}, {late}");
    let images: Vec<Image> = (20..26).map(Image::small).collect();
    let instances = [&behind, &ahead];
    for (round, image) in images.iter().enumerate() {
        let (writer, reader) = (instances[round % 2].api(), instances[(round + 1) % 2].api());
        // A tag that moves, and one that stays.
        writer.push_image("clocks", "moving", image);
        writer.push_image("clocks", &format!("round-{round}"), image);
        for api in [&reader, &writer] {
            assert_eq!(api.pull("clocks", "moving").digest, image.digest, "round {round}: a stale tag");
        }
        let expected: Vec<String> =
            ["moving".to_owned()].into_iter().chain((0..=round).map(|n| format!("round-{n}"))).collect();
        assert_eq!(reader.tags("clocks"), expected, "round {round}");
    }
    for (round, image) in images.iter().enumerate() {
        for api in instances.map(Registry::api) {
            assert_eq!(api.pull("clocks", &format!("round-{round}")).digest, image.digest);
        }
    }
    // An upload that one began goes on at the other, and is not taken for an old one.
    let content = Blob::seeded(30, 3 * SEGMENT).bytes();
    let session = ahead.api().start_upload("clocks");
    let answer = ahead.api().patch(&session, 0, &content[..SEGMENT * 2]).expect(202);
    let digest = finish_from_offset(&behind.api(), &answer.location(), &content);
    assert!(ahead.api().pull_blob("clocks", &digest) == content);
}
