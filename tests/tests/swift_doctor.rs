//! `wharfinger doctor` on real Swift, with Redis, a disk cache and Varnish around it, and on a container that only
//! Distribution 2.8 writes.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use wharfinger_test_support::{
    Blob, CacheProgram, CacheRules, Digest, DockerRegistry, HttpCache, Image, Pipeline, ProxyRequest,
    RedisServer, Registry, Request, Style, SwiftCluster, Tree, wait_until, wharfinger_binary,
};

const MIB: usize = 1 << 20;

/// What a command answered.
struct Answer {
    code: i32,
    text: String,
}

fn wharfinger(registry: &Registry, arguments: &[&str], environment: &[(&str, &str)]) -> Answer {
    let mut command = Command::new(wharfinger_binary());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("REGISTRY_")) {
        command.env_remove(name);
    }
    let config = registry.directory().join("config.yml");
    command.envs(environment.iter().copied()).args(arguments).arg("--config").arg(config);
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    Answer { code: output.status.code().unwrap_or(-1), text: String::from_utf8(text).unwrap() }
}

fn doctor(registry: &Registry, arguments: &[&str]) -> Answer {
    wharfinger(registry, &[&["doctor"], arguments].concat(), &[])
}

impl Answer {
    #[track_caller]
    fn expect(self, code: i32, told: &[&str]) -> Answer {
        assert_eq!(self.code, code, "{}", self.text);
        for told in told {
            assert!(self.text.contains(told), "{told} is not in\n{}", self.text);
        }
        let liars = usize::from(code == 1);
        assert_eq!(self.text.matches("<-- first liar").count(), liars, "{}", self.text);
        self
    }

    /// The commands that are told to mend it.
    fn mends(&self) -> Vec<&str> {
        self.text.lines().filter_map(|line| line.strip_prefix("mend       ")).collect()
    }
}

fn object(digest: &Digest) -> String {
    let hex = digest.hex();
    format!("files/docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2])
}

fn image(seed: u64) -> Image {
    let layers = vec![Blob::seeded(seed, 12 * MIB + 7), Blob::seeded(seed + 1, 3_000)];
    Image::of(Style::Oci, "amd64", layers)
}

fn copies(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.flat_map(|path| if path.is_dir() { copies(&path) } else { vec![path] });
    files.filter(|file| file.ends_with("data")).collect()
}

#[test]
fn each_part_around_swift_is_asked_and_the_one_that_lies_is_named_and_mended() {
    let swift = SwiftCluster::shared(Pipeline::Full);
    let (container, redis) = (swift.fresh_container(), RedisServer::start());
    let builder = Registry::builder().swift(swift, &container).redis(&redis.address()).allow_log("");
    let cache = builder.directory().join("cache");
    let registry = builder
        .set("cache.directory", cache.to_str().unwrap())
        .set("cache.size", "256MiB")
        .set("storage.swift.chunksize", 5 * MIB)
        .start();
    let (api, image) = (registry.api(), image(1));
    // In segments.
    api.push_chunked("app", &image.layers[0].bytes(), 5 * MIB);
    api.push_image("app", "v1", &image);
    wharfinger(&registry, &["cache", "warm", "--image", "app:v1"], &[]).expect(0, &["4 objects"]);
    let varnish = HttpCache::start(
        CacheProgram::Varnish,
        CacheRules::Shipped,
        HttpCache::port(),
        registry.client().port(),
    );
    let edge = format!("http://127.0.0.1:{}", varnish.api().client().port());
    let (layer, second) = (image.layers[0].digest, image.layers[1].digest);
    let by_digest = format!("app@{}", image.digest);
    let look = || doctor(&registry, &["app:v1", "--via", &edge]);
    let asked = format!(
        "asked      Varnish at {edge}, the server, the server's disk cache, the servers' Redis, Distribution's Redis at {}, \
         Swift container {container}; the bytes of config and layers were read",
        redis.address()
    );
    look().expect(0, &[&asked, "verdict    all good: every layer says the same"]);

    // A copy in the disk cache.
    let copy = copies(&cache).into_iter().max_by_key(|file| file.metadata().unwrap().len()).unwrap();
    let mut bytes = fs::read(&copy).unwrap();
    bytes[7 * MIB] ^= 1;
    fs::write(&copy, bytes).unwrap();
    let told =
        format!("verdict    the server's disk cache has {} bytes that have another digest", 12 * MIB + 7);
    let answer = look().expect(1, &[&told]);
    let mends = answer.mends();
    let flush: Vec<&str> = mends[0].split(" --config ").next().unwrap().split(' ').skip(1).collect();
    assert_eq!(flush, ["cache", "flush", "--digest", &layer.to_string()]);
    wharfinger(&registry, &flush, &[]).expect(0, &["dropped 1 copies"]);
    look().expect(0, &["all good"]);

    // What Distribution remembers.
    let key = format!("blobs::{second}");
    assert_eq!(redis.ask(&format!("HSET {key} digest {second} size 7 mediatype a/b")), ":3");
    let answer = look().expect(
        1,
        &[&format!("Distribution's Redis at {} tells of 7 bytes, there are 3000", redis.address())],
    );
    let mends = answer.mends();
    let delete = mends[0].split_once("-n 0 ").unwrap().1;
    assert_eq!(redis.ask(delete), ":1");
    look().expect(0, &["all good"]);

    // Varnish keeps what was deleted.
    let manifest = format!("/v2/app/manifests/{}", image.digest);
    wait_until("a copy in Varnish", Duration::from_secs(10), || {
        varnish.is_hit(&varnish.api().get(&manifest).expect(200))
    });
    let gone = format!(
        "files/docker/registry/v2/repositories/app/_manifests/revisions/sha256/{}/link",
        image.digest.hex()
    );
    let link = swift.get(&container, &gone).expect(200).body;
    swift.delete(&container, &gone).expect(204);
    let answer = doctor(&registry, &[&by_digest, "--via", &edge]);
    let told = format!(
        "verdict    Varnish at {edge} serves it, and there is no such manifest in the repository (HIT"
    );
    let answer = answer.expect(1, &[&told]);
    assert_eq!(answer.mends(), [format!("curl -X PURGE {edge}{manifest}")]);
    varnish.api().send(Request::new("PURGE", &manifest)).expect(200);
    doctor(&registry, &[&by_digest, "--via", &edge])
        .expect(2, &["there is no such manifest in the repository"]);
    swift.put(&container, &gone, &link);
    look().expect(0, &["all good"]);

    // A segment of the layer, which then only the disk cache has.
    api.pull("app", "v1");
    wait_until("the copy again", Duration::from_secs(20), || copies(&cache).len() == 4);
    let segments = swift.segments_of(&container, &object(&layer));
    assert_eq!(segments.len(), 3, "{segments:?}");
    swift.delete(&container, &segments[1]).expect(204);
    let what = format!(
        "verdict    the store's copy of layer 1 of app:v1 ({layer}) is not whole: segment {} is missing",
        segments[1]
    );
    let answer = look().expect(1, &[&what, "intact     ", "the server's disk cache"]);
    assert!(
        answer.mends()[0].starts_with(&format!("wharfinger heal --digest {layer} --config ")),
        "{}",
        answer.text
    );
    api.push_image("app", "v1", &image);
    look().expect(0, &["all good"]);

    // Equal in length, and other bytes.
    let plain = object(&second);
    swift.put(&container, &plain, &wharfinger_test_support::bytes(99, 3_000));
    doctor(&registry, &["app:v1", "--no-deep"]).expect(0, &["were not read"]);
    look().expect(1, &[&format!("the store's copy of layer 2 of app:v1 ({second}) has other bytes")]);
}

#[test]
fn a_container_of_distribution_is_looked_at_without_one_write() {
    let swift = SwiftCluster::shared(Pipeline::Wikimedia);
    let (container, redis) = (swift.fresh_container(), RedisServer::start());
    let old = DockerRegistry::builder()
        .swift(swift, &container)
        .redis(&redis.address())
        .set("storage.swift.chunksize", 2 * MIB)
        .start();
    let cart = Image::of(Style::Docker, "amd64", vec![Blob::layer(1, 5 << 20), Blob::layer(2, 3_000)]);
    old.api().push_image("shop/cart", "v1", &cart);
    old.api().pull("shop/cart", "v1");
    let look = |arguments: &[&str]| {
        let environment = [("REGISTRY_STORAGE_MODE", "observe")];
        wharfinger(&old, &[&["doctor", "shop/cart:v1"], arguments].concat(), &environment)
    };
    let front = format!("http://{}", old.address());
    let before = Tree::of_container(swift, &container, true);
    let mark = swift.mark();
    look(&["--via", &front]).expect(0, &["all good: every layer says the same", "not asked  the server: "]);
    let writes: Vec<_> = swift.since(mark).into_iter().filter(ProxyRequest::is_write).collect();
    assert!(writes.iter().all(|request| request.path.contains("/auth/")), "{writes:?}");
    assert_eq!(before.differences(&Tree::of_container(swift, &container, true)), Vec::<String>::new());

    let report = look(&["--output", "json"]).expect(0, &[]);
    let report: Value = serde_json::from_str(&report.text).unwrap();
    let layer = report.pointer("/images/0/tree/children/0/children/1/said").unwrap().as_array().unwrap();
    let texts: Vec<&str> = layer.iter().map(|said| said["text"].as_str().unwrap()).collect();
    let form = "whole, dynamic large object without a list of its segments, digest proved";
    assert!(texts.contains(&form), "{texts:?}");
    assert!(
        layer.iter().any(|said| said["station"] == "distribution-redis" && said["answer"] == "right"),
        "{layer:?}"
    );

    let digest = cart.layers[0].digest;
    let segments = swift.segments_of(&container, &object(&digest));
    swift.delete(&container, &segments[1]).expect(204);
    let told = format!("segment {} is missing", segments[1]);
    let push =
        "mend       docker push REGISTRY/shop/cart:v1    # by way of a server with storage.mode adopted";
    let mark = swift.mark();
    look(&[]).expect(1, &[&told, push]);
    assert!(!swift.since(mark).iter().any(ProxyRequest::is_write));
    let known = json!(format!("blobs::{digest}"));
    assert_eq!(
        redis.ask(&format!("EXISTS {}", known.as_str().unwrap())),
        ":1",
        "Distribution keeps it, and believes it"
    );
}
