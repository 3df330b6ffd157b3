//! Redis beside real Swift: pulls and pushes go on whatever becomes of it, readiness does not depend on it, and an
//! operator sees how it does.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wharfinger_oci::Digest;
use wharfinger_test_support::{
    Authority, Builder, ClientCertificate, Image, Purpose, RedisServer, Registry, SwiftCluster, pause,
    wait_until, wharfinger_binary,
};

/// What a request may wait for Redis in all, with what Swift and a busy machine take.
const SOON: Duration = Duration::from_millis(1_000);

fn builder(swift: &SwiftCluster, container: &str, redis: &RedisServer) -> Builder {
    let builder = Registry::builder().swift(swift, container).redis(&redis.address());
    let socket = builder.directory().join("admin.sock");
    let builder = builder.set("admin.socket", socket.to_str().unwrap()).set("storage.delete.enabled", true);
    builder.allow_log("redis.writetimeout").allow_log("Redis does not answer")
}

fn run(registry: &Registry, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(wharfinger_binary());
    command.args(arguments).arg("--socket").arg(registry.directory().join("admin.sock"));
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

fn redis_of(registry: &Registry) -> Value {
    let (code, text) = run(registry, &["cache", "status", "--output", "json"]);
    let redis = serde_json::from_str::<Value>(&text).unwrap()["redis"].clone();
    assert_eq!(code, Some(i32::from(redis["state"] == "bypassed")), "{text}");
    redis
}

fn until(registry: &Registry, state: &str) {
    wait_until("the state of Redis", Duration::from_secs(20), || redis_of(registry)["state"] == state);
}

#[test]
fn whatever_becomes_of_redis_images_are_pushed_and_pulled_and_the_instance_stays_ready() {
    let (swift, mut redis) =
        (SwiftCluster::shared(wharfinger_test_support::Pipeline::Full), RedisServer::start());
    let container = swift.fresh_container();
    let registry = builder(swift, &container, &redis).start();
    until(&registry, "used");
    let api = registry.api();
    let mut number = 0;
    let mut look = |state: &str| {
        number += 1;
        let (tag, image) = (format!("v{number}"), Image::small(number));
        api.push_image("team/app", &tag, &image);
        let begun = Instant::now();
        assert_eq!(api.pull("team/app", &tag).manifest, image.manifest, "{state}");
        assert!(begun.elapsed() < SOON, "{state}: a pull took {:?}", begun.elapsed());
        assert_eq!(api.get("/health/ready").status, 200, "{state}");
    };
    look("healthy");
    redis.hang();
    look("hung");
    until(&registry, "bypassed");
    let (code, text) = run(&registry, &["status"]);
    assert_eq!(code, Some(0), "Redis is no reason to page anybody: {text}");
    let line = text.lines().find(|line| line.starts_with("redis ")).unwrap_or(&text);
    let (since, passed) =
        line.split_once("bypassed since ").and_then(|(_, told)| told.split_once(", ")).unwrap();
    assert!(since.len() >= "12:03Z".len() && since.ends_with('Z'), "{line}");
    let passed: u64 = passed.strip_suffix(" lookups went by").unwrap().parse().unwrap();
    assert!(passed > 0, "{line}");
    look("still hung");
    redis.resume();
    until(&registry, "used");
    redis.stop();
    look("refused");
    until(&registry, "bypassed");
    redis.start_again();
    until(&registry, "used");
    look("back");
    pause(Duration::from_millis(100));
    let lines = registry.log();
    let said = lines.iter().filter(|line| line.text.contains("Redis does not answer")).count();
    assert_eq!(said, 1, "two outages within a minute are told of once");
    assert!(redis_of(&registry)["longest_wait_ms"].as_f64().unwrap() < 250.0, "{}", redis_of(&registry));
}

const PASSWORD: &str = "open sesame";

/// A Redis that speaks TLS alone, and who may speak to it.
struct Guarded {
    authority: Authority,
    redis: RedisServer,
    client: ClientCertificate,
}

impl Guarded {
    fn start() -> Guarded {
        let authority = Authority::new();
        let redis = RedisServer::start_tls(&authority, PASSWORD);
        let client = authority.issue_client("registry", Purpose::Client);
        Guarded { authority, redis, client }
    }

    /// A registry that believes certificates by `roots`.
    fn registry(&self, (swift, container): (&SwiftCluster, &str), roots: &str, password: &str) -> Registry {
        let builder = Registry::builder().swift(swift, container);
        let directory = builder.directory().to_owned();
        let (certificate, key) = (&self.client.certificate, &self.client.key);
        for (name, text) in [("roots.pem", roots), ("redis.crt", certificate), ("redis.key", key)] {
            fs::write(directory.join(name), text).unwrap();
        }
        let path = |name: &str| directory.join(name).display().to_string();
        let builder = builder
            // Of several, the first that answers.
            .set("redis.addrs", json!(["127.0.0.1:1", self.redis.address()]))
            .set("redis.password", password)
            .set("redis.dialtimeout", "1s")
            .set("redis.tls.rootcas", json!([path("roots.pem")]))
            .set("redis.tls.certificate", path("redis.crt"))
            .set("redis.tls.key", path("redis.key"))
            .set("admin.socket", path("admin.sock"));
        builder.allow_log("Redis does not answer").start()
    }

    /// The first line of the answer to an inline command.
    fn ask(&self, command: &str) -> String {
        let socket = TcpStream::connect(self.redis.address()).unwrap();
        let mut stream = self.authority.connect(Some(&self.client), socket).unwrap();
        write!(stream, "AUTH \"{PASSWORD}\"\r\n{command}\r\n").unwrap();
        let mut lines = BufReader::new(stream).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "+OK");
        lines.next().unwrap().unwrap()
    }
}

#[test]
fn redis_is_spoken_to_by_tls_with_a_certificate_and_a_password() {
    let swift = SwiftCluster::shared(wharfinger_test_support::Pipeline::Full);
    let (guarded, container) = (Guarded::start(), swift.fresh_container());
    let site = (swift, container.as_str());
    let registry = guarded.registry(site, guarded.authority.pem(), PASSWORD);
    until(&registry, "used");
    registry.api().push_image("team/app", "v1", &Image::small(1));
    registry.api().pull("team/app", "v1");
    let stranger = Authority::new();
    for (roots, password) in [(stranger.pem(), PASSWORD), (guarded.authority.pem(), "wrong")] {
        let registry = guarded.registry(site, roots, password);
        wait_until("a line on Redis", Duration::from_secs(10), || {
            registry.log().iter().any(|line| line.text.contains("Redis does not answer"))
        });
        assert_eq!(redis_of(&registry)["state"], "bypassed");
        registry.api().pull("team/app", "v1");
        assert!(!registry.log().iter().any(|line| line.text.contains("sesame")), "a password is logged");
    }
}

#[test]
fn what_distribution_left_in_a_redis_behind_tls_is_held_against_swift() {
    let swift = SwiftCluster::shared(wharfinger_test_support::Pipeline::Full);
    let (guarded, container) = (Guarded::start(), swift.fresh_container());
    let registry = guarded.registry((swift, &container), guarded.authority.pem(), PASSWORD);
    let image = Image::small(1);
    registry.api().push_image("team/app", "v1", &image);
    let (there, gone) = (&image.layers[0], Digest::sha256(b"gone"));
    let (known, size) = (there.digest, there.size);
    guarded.ask(&format!("HSET blobs::{known} digest {known} size {size}"));
    guarded.ask(&format!("HSET blobs::{gone} digest {gone} size 4"));
    guarded.ask(&format!("SADD repository::team/app::blobs {known} {gone}"));
    let mut lies = json!([
        { "key": format!("blobs::{gone}"), "reason": "tells of a blob that is not there" },
        {
            "key": format!("repository::team/app::blobs {gone}"),
            "reason": "tells of a blob that the repository does not have",
        },
    ]);
    for (arguments, code) in [(&[][..], 1), (&["--flush-redis"][..], 0), (&[][..], 0)] {
        let mut command = Command::new(wharfinger_binary());
        command.arg("adopt").arg(registry.directory().join("config.yml"));
        let output =
            command.args(["--back", "--check", "--output", "json"]).args(arguments).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{errors}"));
        assert_eq!((output.status.code(), &report["redis"]["lies"]), (Some(code), &lies), "{report:#}");
        if !arguments.is_empty() {
            lies = json!([]);
        }
    }
    assert_eq!(guarded.ask(&format!("EXISTS blobs::{known}")), ":1", "what is so was deleted");
    assert_eq!(guarded.ask("SCARD repository::team/app::blobs"), ":1");
}

#[test]
fn a_flush_reaches_all_instances() {
    let (swift, redis) =
        (SwiftCluster::shared(wharfinger_test_support::Pipeline::Full), RedisServer::start());
    let container = swift.fresh_container();
    let instances = [(); 2].map(|()| builder(swift, &container, &redis).start());
    instances.iter().for_each(|registry| until(registry, "used"));
    instances[0].api().push_image("team/app", "v1", &Image::small(1));
    instances.iter().for_each(|registry| drop(registry.api().pull("team/app", "v1")));
    wait_until("both to listen", Duration::from_secs(10), || {
        let (code, text) = run(&instances[0], &["cache", "flush", "--all-instances"]);
        assert_eq!(code, Some(0), "{text}");
        text.contains("told 2 instances")
    });
    wait_until("the other to have done it", Duration::from_secs(10), || {
        instances[1].log().iter().any(|line| line.text.contains("as announced by an instance"))
    });
    assert_eq!(redis.keys(), 0, "names are left in Redis");
}
