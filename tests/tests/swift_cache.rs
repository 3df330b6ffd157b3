//! The disk cache before real Swift: pulls of what is cached go on while Swift is away, everything else is refused at
//! once, and an operator sees what the cache is worth.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use wharfinger_test_support::{
    Api, Blob, Builder, Image, Pipeline, Registry, Request, Response, Server, Style, SwiftCluster, pause,
    wait_until, wharfinger_binary,
};

const MIB: usize = 1 << 20;
/// What "at once" means on a busy machine.
const AT_ONCE: Duration = Duration::from_millis(1_000);

/// A registry with a cache of its own.
fn builder(swift: &SwiftCluster, container: &str) -> Builder {
    let builder = Registry::builder().swift(swift, container);
    let directory = builder.directory().join("cache");
    with_admin(builder)
        .set("cache.directory", directory.to_str().unwrap())
        .set("cache.size", "256MiB")
        .set("storage.delete.enabled", true)
        .set("health.storagedriver.interval", "1s")
}

fn with_admin(builder: Builder) -> Builder {
    let socket = builder.directory().join("admin.sock");
    builder.set("admin.socket", socket.to_str().unwrap())
}

/// A registry that lives through outages.
fn patient(swift: &SwiftCluster, container: &str) -> Builder {
    ["a storage call failed", "the request failed", "the store fails its probe", "the store does not answer"]
        .into_iter()
        .fold(builder(swift, container), Builder::allow_log)
}

/// An image with a layer that is held in segments and one that is small.
fn image(seed: u64) -> Image {
    let layers = vec![Blob::seeded(seed, 12 * MIB + 7), Blob::seeded(seed + 1, 3_000)];
    Image::of(Style::Oci, "amd64", layers)
}

fn cache(registry: &Registry, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(wharfinger_binary());
    command.arg("cache").args(arguments).arg("--socket").arg(registry.directory().join("admin.sock"));
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

fn status(registry: &Registry) -> Value {
    let (code, text) = cache(registry, &["status", "--output", "json"]);
    assert_eq!(code, Some(0), "{text}");
    serde_json::from_str(&text).unwrap()
}

/// Pulls an image so that all of it is cached: manifest, config and both layers.
fn pull_into_cache(registry: &Registry, repository: &str, tag: &str) {
    let before = status(registry)["copies"].as_u64().unwrap();
    registry.api().pull(repository, tag);
    wait_until("copies of the image", Duration::from_secs(20), || {
        status(registry)["copies"].as_u64().unwrap() >= before + 4
    });
}

fn timed(api: &Api, request: Request) -> (Response, Duration) {
    let started = Instant::now();
    let answer = api.try_send(request).unwrap();
    (answer, started.elapsed())
}

/// Refused with a 503 that asks to come again, at once.
#[track_caller]
fn assert_refused(api: &Api, request: Request) {
    let what = format!("{} {}", request.method, request.target);
    let (answer, took) = timed(api, request);
    assert_eq!(answer.status, 503, "{what}: {answer:?}");
    assert!(answer.required("retry-after").parse::<u32>().is_ok(), "{what}");
    assert!(took < AT_ONCE, "{what} took {took:?}");
}

/// Pulled although the store is away, which the answer says.
#[track_caller]
fn assert_pulled_without_store(api: &Api, target: &str) -> Response {
    let (answer, took) = timed(api, Request::new("GET", target));
    assert_eq!(answer.status, 200, "{target}: {answer:?}");
    assert!(answer.required("age").parse::<u64>().is_ok(), "{target}");
    assert!(answer.required("cache-status").starts_with("wharfinger; hit; ttl=-"), "{target}");
    assert!(took < AT_ONCE, "{target} took {took:?}");
    answer
}

fn wait_until_refused_at_once(api: &Api) {
    wait_until("calls to be refused at once", Duration::from_secs(40), || {
        let (answer, took) = timed(api, Request::new("GET", "/v2/cold/manifests/v1"));
        answer.status == 503 && took < AT_ONCE / 4
    });
}

#[test]
fn pulls_of_what_is_cached_go_on_while_swift_is_away_and_the_rest_is_refused_at_once() {
    let swift = SwiftCluster::start();
    let container = swift.fresh_container();
    let registry = patient(&swift, &container).start();
    let (api, hot, cold) = (registry.api(), image(1), image(50));
    // By way of another instance, so that this one has nothing of it in memory.
    let other = Registry::builder().swift(&swift, &container).start();
    for (repository, tag, image) in [("hot", "v1", &hot), ("hot", "gone", &hot), ("cold", "v1", &cold)] {
        other.api().push_image(repository, tag, image);
    }
    drop(other);
    pull_into_cache(&registry, "hot", "v1");
    api.pull("hot", "gone");
    api.send(Request::new("DELETE", "/v2/hot/manifests/gone")).expect(202);
    for hangs in [false, true] {
        if hangs {
            swift.hang(Server::Proxy);
        } else {
            swift.stop_server(Server::Proxy);
        }
        wait_until_refused_at_once(&api);
        let pulled = assert_pulled_without_store(&api, "/v2/hot/manifests/v1");
        assert_eq!(pulled.body, hot.manifest);
        assert_eq!(pulled.required("cache-control"), "no-cache");
        let pulled = assert_pulled_without_store(&api, &format!("/v2/hot/manifests/{}", hot.digest));
        assert_eq!(pulled.required("cache-control"), "no-cache", "a cache in front would keep it");
        for blob in hot.blobs() {
            let target = format!("/v2/hot/blobs/{}", blob.digest);
            assert!(assert_pulled_without_store(&api, &target).body == blob.bytes());
        }
        let large = format!("/v2/hot/blobs/{}", hot.layers[0].digest);
        let part = api.with_header("Range", "bytes=5000000-5000099").get(&large).expect(206);
        assert!(part.body == hot.layers[0].bytes()[5_000_000..5_000_100]);
        for target in [
            "/v2/cold/manifests/v1".to_owned(),
            // The link of another repository says nothing of this one.
            format!("/v2/cold/blobs/{}", hot.layers[0].digest),
            // Deleted here: not recalled.
            "/v2/hot/manifests/gone".to_owned(),
        ] {
            assert_refused(&api, Request::new("GET", &target));
        }
        assert_refused(&api, Request::new("HEAD", &large));
        assert_refused(&api, Request::new("POST", "/v2/hot/blobs/uploads/").body(""));
        api.get("/health/ready").expect(200);
        let seen = status(&registry);
        assert_eq!((&seen["recent_images"], &seen["recent_images_whole"]), (&1.into(), &1.into()), "{seen}");
        assert!(seen["answered_without_store"].as_u64().unwrap() >= 5, "{seen}");
        if hangs {
            swift.resume(Server::Proxy);
        } else {
            swift.start_server(Server::Proxy);
        }
        wait_until("pulls that the store confirms", Duration::from_secs(15), || {
            let answer = api.get("/v2/hot/manifests/v1");
            answer.status == 200 && answer.header("age").is_none()
        });
        api.get("/v2/hot/manifests/gone").expect(404);
    }
    let moved = image(90);
    wait_until("pushes", Duration::from_secs(15), || {
        api.send(Request::new("POST", "/v2/hot/blobs/uploads/").body("")).status == 202
    });
    api.push_image("hot", "v1", &moved);
    assert_eq!(api.pull("hot", "v1").digest, moved.digest);
}

#[test]
fn a_tag_that_was_not_confirmed_for_too_long_is_not_served() {
    let swift = SwiftCluster::start();
    let container = swift.fresh_container();
    let registry = patient(&swift, &container).set("cache.stale_tag_limit", "4s").start();
    let (api, image) = (registry.api(), image(3));
    api.push_image("app", "v1", &image);
    pull_into_cache(&registry, "app", "v1");
    let confirmed = Instant::now();
    api.get("/v2/app/manifests/v1").expect(200);
    swift.stop_server(Server::Proxy);
    wait_until("an answer without the store", Duration::from_secs(10), || {
        let answer = api.get("/v2/app/manifests/v1");
        assert!(answer.status == 200 || confirmed.elapsed() > Duration::from_secs(4), "{answer:?}");
        answer.header("age").is_some() || answer.status == 503
    });
    pause(Duration::from_secs(5).saturating_sub(confirmed.elapsed()));
    api.get("/v2/app/manifests/v1").expect_error(503, "UNAVAILABLE");
    swift.start_server(Server::Proxy);
    wait_until("the store", Duration::from_secs(15), || api.get("/v2/app/manifests/v1").status == 200);
}

fn copies(directory: &PathBuf) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.flat_map(|path| if path.is_dir() { copies(&path) } else { vec![path] });
    files.filter(|file| file.ends_with("data")).collect()
}

#[test]
fn the_cache_is_warmed_verified_and_flushed_by_commands() {
    let swift = SwiftCluster::shared(Pipeline::Wikimedia);
    let registry =
        builder(swift, &swift.fresh_container()).allow_log("a copy in the disk cache was damaged").start();
    let (api, image) = (registry.api(), image(5));
    api.push_image("app", "v1", &image);
    assert_eq!(status(&registry)["copies"], 0, "what is pushed is not yet worth its room");

    let (code, text) = cache(&registry, &["warm", "--image", "app:v1"]);
    assert_eq!((code, text.as_str()), (Some(0), "app:v1: 4 objects, 4 fetched now (12.0 MiB)\n"));
    let (code, text) = cache(&registry, &["warm", "--image", &format!("app@{}", image.digest)]);
    assert_eq!((code, text.contains("4 objects, 0 fetched now")), (Some(0), true), "{text}");
    let (code, text) = cache(&registry, &["warm", "--image", "app:v2"]);
    assert_eq!((code, text.contains("manifest v2 is not in repository app")), (Some(2), true), "{text}");

    let (code, text) = cache(&registry, &["verify"]);
    assert_eq!(
        (code, text.contains("4 copies of 12.0 MiB are what they were filled with")),
        (Some(0), true),
        "{text}"
    );
    let directory = registry.directory().join("cache");
    let large = copies(&directory).into_iter().max_by_key(|file| file.metadata().unwrap().len()).unwrap();
    let mut bytes = fs::read(&large).unwrap();
    bytes[7 * MIB] ^= 1;
    fs::write(&large, bytes).unwrap();
    let (code, text) = cache(&registry, &["verify"]);
    assert_eq!((code, text.contains("1 were damaged and are dropped")), (Some(1), true), "{text}");
    assert_eq!(status(&registry)["copies"], 3);
    assert!(api.pull_blob("app", &image.layers[0].digest) == image.layers[0].bytes());
    wait_until("the copy again", Duration::from_secs(20), || status(&registry)["copies"] == 4);

    let digest = image.layers[1].digest.to_string();
    let (code, text) = cache(&registry, &["flush", "--digest", &digest]);
    assert_eq!((code, text.as_str()), (Some(0), "dropped 1 copies\n"));
    let (code, text) = cache(&registry, &["flush"]);
    assert_eq!((code, text.as_str()), (Some(0), "dropped 3 copies\n"));
    assert_eq!(copies(&directory), Vec::<PathBuf>::new());
    // Each change is on record, and the verification that dropped nothing is not.
    let mut audit = Command::new(wharfinger_binary());
    audit.args(["audit", "--output", "json", "--config"]).arg(registry.directory().join("config.yml"));
    let trail: Value = serde_json::from_slice(&audit.output().unwrap().stdout).unwrap();
    let results = trail["entries"].as_array().unwrap().iter().map(|entry| entry["result"].as_str().unwrap());
    let expected = ["dropped 3 copies", "dropped 1 copies", "dropped 1 damaged copies, 3 are good"];
    assert_eq!(results.collect::<Vec<_>>(), expected);
    assert_eq!(trail["entries"][1]["what"], digest);
    let (code, text) = cache(&registry, &["status"]);
    assert_eq!(
        (code, text.contains("without the store       0 of 1 images pulled lately (0 %)")),
        (Some(0), true),
        "{text}"
    );
}

#[test]
fn what_is_pulled_most_is_warmed_also_after_a_restart() {
    let swift = SwiftCluster::shared(Pipeline::Wikimedia);
    let mut registry = builder(swift, &swift.fresh_container()).start();
    let api = registry.api();
    let images: Vec<(&str, Image)> =
        [("often", 1), ("seldom", 2), ("gone", 3)].map(|(tag, seed)| (tag, Image::small(seed))).into();
    let (code, text) = cache(&registry, &["warm", "--top", "9"]);
    assert_eq!((code, text.as_str()), (Some(0), "nothing was pulled by way of this server yet\n"));
    for (tag, image) in &images {
        api.push_image("app", tag, image);
    }
    api.pull("app", "seldom");
    for _ in 0..2 {
        api.pull("app", "gone");
    }
    // As docker does: the tag's digest, and then what has it.
    for _ in 0..3 {
        let head = api.head("/v2/app/manifests/often").expect(200);
        api.get(&format!("/v2/app/manifests/{}", head.required("docker-content-digest"))).expect(200);
    }
    registry.stop();
    registry.start_again();
    cache(&registry, &["flush"]);
    let (code, text) = cache(&registry, &["warm", "--top", "1"]);
    assert_eq!((code, text.contains("app:often: 4 objects, 4 fetched now")), (Some(0), true), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    registry.api().delete(&format!("/v2/app/manifests/{}", images[2].1.digest)).expect(202);
    let (code, text) = cache(&registry, &["warm", "--top", "9", "--image", "app:often"]);
    let told: Vec<&str> = text.lines().collect();
    assert_eq!((code, told.len()), (Some(1), 3), "{text}");
    assert!(text.contains("app:gone: manifest gone is not in repository app"), "{text}");
    assert!(text.contains("app:seldom: 4 objects, 4 fetched now"), "{text}");
    let (code, text) = cache(&registry, &["warm", "--top", "9"]);
    assert_eq!((code, text.lines().count()), (Some(0), 2), "what is gone was not forgotten: {text}");
}

#[test]
fn two_servers_do_not_share_a_cache_directory() {
    let swift = SwiftCluster::shared(Pipeline::Wikimedia);
    let first = builder(swift, &swift.fresh_container()).start();
    let directory = first.directory().join("cache");
    let second = Registry::builder().swift(swift, &swift.fresh_container());
    let (status, output) = second.set("cache.directory", directory.to_str().unwrap()).start_in_vain();
    assert!(!status.success());
    assert!(output.contains("is in use by another process: give each server its own"), "{output}");
    assert!(output.contains("cache.directory"), "{output}");
}

#[test]
fn a_server_on_a_directory_has_no_second_one() {
    let registry = with_admin(Registry::builder()).start();
    let (code, text) = cache(&registry, &["status"]);
    assert_eq!(
        (code, text.contains("this server has no disk cache (cache.directory)")),
        (Some(2), true),
        "{text}"
    );
}
