//! Distribution's configuration files and environment are taken as they are; what is not understood is said.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use wharfinger_test_support::{Builder, Image, Registry, free_port, pause, wharfinger_binary};

/// Debian's file of docker-registry 2.8, with ours for the address and the directory.
fn debian(builder: &Builder) -> String {
    format!(
        "version: 0.1
log:
  fields:
    service: registry
  formatter: json
storage:
  cache:
    blobdescriptor: inmemory
  filesystem:
    rootdirectory: {}
  delete:
    enabled: true
http:
  addr: 127.0.0.1:{}
  headers:
    X-Content-Type-Options: [nosniff]
health:
  storagedriver:
    enabled: true
    interval: 10s
    threshold: 3
",
        builder.data().display(),
        builder.port()
    )
}

fn wharfinger(arguments: &[&str], directory: &Path) -> Output {
    let mut command = Command::new(wharfinger_binary());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("REGISTRY_")) {
        command.env_remove(name);
    }
    command.args(arguments).current_dir(directory).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn debians_file_is_taken_as_it_is() {
    let builder = Registry::builder();
    let file = debian(&builder);
    let registry = builder.config_file(&file).start();
    let (api, image) = (registry.api(), Image::small(1));
    api.push_image("dropin", "v1", &image);
    let answer = api.get("/v2/").expect(200);
    assert_eq!(answer.required("x-content-type-options"), "nosniff");
    assert!(registry.blob_path(&image.digest).exists());
    let lines = registry.log();
    let request =
        lines.iter().find(|line| !line.field("http.request.id").is_empty()).expect("a line of a request");
    assert_eq!(request.field("service"), "registry", "log.fields are in every line");
}

#[test]
fn the_environment_wins_over_the_file() {
    let builder = Registry::builder();
    let elsewhere = builder.directory().join("elsewhere");
    let registry = builder
        .env("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY", &elsewhere.display().to_string())
        .env("REGISTRY_STORAGE_DELETE_ENABLED", "false")
        .env("REGISTRY_HTTP_HEADERS", "{X-From: [environment]}")
        .env("REGISTRY_CATALOG_MAXENTRIES", "1")
        .start();
    let api = registry.api();
    for name in ["one", "two"] {
        api.push_image(name, "v1", &Image::small(2));
    }
    assert!(elsewhere.join("docker/registry/v2/repositories/one").exists());
    api.delete("/v2/one/manifests/v1").expect_error(405, "UNSUPPORTED");
    assert_eq!(api.get("/v2/").required("x-from"), "environment");
    assert_eq!(api.get("/v2/_catalog").json()["repositories"].as_array().unwrap().len(), 1);
}

#[test]
fn the_path_of_the_file_may_come_from_the_environment() {
    let builder = Registry::builder();
    let file = builder.directory().join("by-environment.yml");
    std::fs::write(&file, debian(&builder)).unwrap();
    let output = Command::new(wharfinger_binary())
        .args(["config", "check"])
        .env("REGISTRY_CONFIGURATION_PATH", &file)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output));
}

#[test]
fn what_would_be_unsafe_to_ignore_stops_the_start() {
    let endpoints = serde_json::json!([{ "name": "scanner", "url": "http://127.0.0.1:1/" }]);
    let (status, output) =
        Registry::builder().set("notifications.endpoints", endpoints.clone()).start_in_vain();
    assert!(!status.success());
    assert!(output.contains("notifications.endpoints") && output.contains("config.yml"), "{output}");
    // The operator may know better.
    let registry = Registry::builder()
        .set("notifications.endpoints", endpoints)
        .arg("--ignore-unsupported")
        .arg("notifications.endpoints")
        .allow_log("notifications")
        .start();
    registry.api().get("/v2/").expect(200);
}

#[test]
fn what_is_harmless_to_ignore_is_a_warning() {
    let registry = Registry::builder()
        .set("storage.cache.blobdescriptor", "redis")
        .set("redis.addr", "127.0.0.1:1")
        .allow_log("redis")
        .start();
    registry.api().push_image("redis", "v1", &Image::small(3));
    assert!(registry.log().iter().any(|line| line.text.contains("redis")), "nothing is said about redis");
}

#[test]
fn a_driver_that_we_do_not_have_stops_the_start() {
    let (status, output) = Registry::builder()
        .unset("storage.filesystem")
        .set("storage.s3", serde_json::json!({ "bucket": "images", "region": "eu-north-1" }))
        .start_in_vain();
    assert!(!status.success());
    assert!(output.contains("storage.s3"), "{output}");
}

#[test]
fn a_mistake_is_told_with_its_line() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.yml");
    for (content, expected) in [
        ("version: 0.1\nstorage:\n  filesystem:\n  delete:\n    enabled: perhaps\n", "5"),
        ("version: 0.1\nhttp:\n  addr: nowhere\nstorage: filesystem\n", "3"),
        ("version: 0.2\nstorage: filesystem\n", "version"),
        ("version: 0.1\nstorage:\n  filesystem: {}\n   broken\n", "4"),
    ] {
        std::fs::write(&file, content).unwrap();
        let output = wharfinger(&["config", "check", "config.yml"], directory.path());
        assert!(!output.status.success(), "{content}");
        let text = text(&output);
        assert!(text.contains("config.yml") && text.contains(expected), "{content}\n{text}");
    }
}

#[test]
fn the_sample_is_a_good_configuration() {
    let directory = tempfile::tempdir().unwrap();
    let sample = wharfinger(&["config", "sample"], directory.path());
    assert!(sample.status.success(), "{}", text(&sample));
    std::fs::write(directory.path().join("sample.yml"), &sample.stdout).unwrap();
    let checked = wharfinger(&["config", "check", "sample.yml"], directory.path());
    assert!(checked.status.success(), "{}", text(&checked));
    let sample = String::from_utf8(sample.stdout).unwrap();
    for key in ["rootdirectory", "by_digest", "draintimeout", "policy"] {
        assert!(sample.contains(key), "the sample does not show {key}");
    }
}

#[test]
fn urls_follow_the_proxy_in_front() {
    let registry = Registry::start();
    let location = |headers: &[(&str, &str)]| {
        let mut api = registry.api();
        for (name, value) in headers {
            api = api.with_header(name, value);
        }
        let post = wharfinger_test_support::Request::new("POST", "/v2/urls/blobs/uploads/").body("");
        api.send(post).expect(202).required("location").to_owned()
    };
    let forwarded = location(&[("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "registry.example.org")]);
    assert!(forwarded.starts_with("https://registry.example.org/v2/urls/"), "{forwarded}");
    let standard = location(&[("Forwarded", "proto=https;host=\"registry.example.org:8443\"")]);
    assert!(standard.starts_with("https://registry.example.org:8443/v2/urls/"), "{standard}");
    let direct = location(&[]);
    assert!(direct.starts_with(&format!("http://{}/v2/urls/", registry.address())), "{direct}");

    let relative = Registry::builder().set("http.relativeurls", true).start();
    let post = wharfinger_test_support::Request::new("POST", "/v2/urls/blobs/uploads/").body("");
    let answer = relative.api().send(post.clone()).expect(202);
    assert!(answer.required("location").starts_with("/v2/urls/"));

    let fixed = Registry::builder().set("http.host", "https://images.example.org").start();
    let answer = fixed.api().send(post).expect(202);
    assert!(answer.required("location").starts_with("https://images.example.org/v2/urls/"));
}

#[test]
fn a_prefix_stands_before_every_path() {
    let registry = Registry::builder().set("http.prefix", "/registry/").start();
    let api = registry.api();
    api.get("/registry/v2/").expect(200);
    api.get("/v2/").expect(404);
    let post = wharfinger_test_support::Request::new("POST", "/registry/v2/prefix/blobs/uploads/").body("");
    let session = api.send(post).expect(202).location();
    assert!(session.starts_with("/registry/v2/prefix/blobs/uploads/"), "{session}");
    let digest = wharfinger_test_support::Digest::sha256(b"x");
    api.finish(&session, &digest.to_string(), b"x").expect(201);
    api.get(&format!("/registry/v2/prefix/blobs/{digest}")).expect(200);
}

#[test]
fn a_dead_redis_that_is_checked_by_tcp_does_not_take_the_instance_down() {
    let builder = Registry::builder();
    // What a site runs Distribution 2.8 with; nothing listens on the port of its Redis.
    let text = format!(
        "version: 0.1
log:
  fields:
    service: docker-registry
  formatter: json
storage:
  cache:
    blobdescriptor: redis
  filesystem:
    rootdirectory: {}
  delete:
    enabled: true
http:
  addr: 127.0.0.1:{}
  secret: shared
  debug:
    addr: 127.0.0.1:{}
    prometheus:
      enabled: true
      path: /metrics
redis:
  addr: 127.0.0.1:1
  password: hidden
  db: 0
  dialtimeout: 100ms
  readtimeout: 100ms
  writetimeout: 300ms
  pool:
    maxidle: 16
    maxactive: 64
    idletimeout: 300s
health:
  storagedriver:
    enabled: true
    interval: 100ms
    threshold: 1
  tcp:
    - addr: 127.0.0.1:1
      timeout: 100ms
      interval: 100ms
      threshold: 1
catalog:
  maxentries: 10000
",
        builder.data().display(),
        builder.port(),
        free_port()
    );
    let registry = builder.config_file(&text).allow_log("redis").start();
    let (api, image) = (registry.api(), Image::small(4));
    api.push_image("app", "v1", &image);
    // Long enough for a check to have failed many times.
    let deadline = Instant::now() + Duration::from_secs(1);
    while Instant::now() < deadline {
        assert_eq!(api.get("/health/ready").status, 200);
        api.get("/v2/app/manifests/v1").expect(200);
        pause(Duration::from_millis(50));
    }
    let told = |name: &str| registry.log().iter().any(|line| line.is_alarming() && line.text.contains(name));
    assert!(told("redis: not used"));
    let lines = registry.log();
    assert!(lines.iter().any(|line| line.text.contains("(health.tcp)")), "nothing is told of the port");
    assert!(!registry.log().iter().any(|line| line.text.contains("hidden")), "a password is logged");
}
