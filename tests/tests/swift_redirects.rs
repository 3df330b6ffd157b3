//! Pulls that are answered by a temporary URL of real Swift: only of proved blobs, to listed clients, with a signature
//! that Swift takes until it ends and that nobody logs.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;
use wharfinger_test_support::{
    Api, Blob, Builder, Client, Digest, DockerRegistry, HttpError, Image, Layout, Pipeline, ProxyRequest,
    Registry, Request, Response, Style, SwiftCluster, bytes, free_port, pause, run_tool, system_tool,
    wait_until,
};

const MIB: usize = 1 << 20;
const PIPELINES: [Pipeline; 2] = [Pipeline::Full, Pipeline::Wikimedia];
/// The test's own address.
const NEAR: &str = "127.0.0.0/8";

/// A registry that redirects pulls from `open/*` by everybody here, and from `far/*` by nobody here.
fn builder(swift: &SwiftCluster, container: &str) -> Builder {
    let rules = json!([
        { "repositories": ["open/*"], "networks": [NEAR] },
        { "repositories": ["far/*"], "networks": ["10.0.0.0/8"] },
    ]);
    Registry::builder()
        .swift(swift, container)
        .set("storage.redirect.disable", false)
        .set("storage.redirect.rules", rules)
        .set("storage.redirect.min_size", "5MiB")
        .set("storage.swift.segmentsize", 5 * MIB)
        .set("log.level", "debug")
}

/// Started, and sure of its key: a request beside the change of a key can make Swift's proxy remember the old one.
fn start(builder: Builder) -> Registry {
    let registry = builder.start();
    let ready = || registry.log().iter().any(|line| line.text.contains("clients can be redirected to Swift"));
    wait_until("a key that Swift takes", Duration::from_secs(90), ready);
    registry
}

fn with_metrics(builder: Builder) -> (Builder, Api) {
    let port = free_port();
    let builder = builder
        .set("http.debug.addr", format!("127.0.0.1:{port}"))
        .set("http.debug.prometheus.enabled", true);
    (builder, Api::new(Client::plain(port)))
}

fn count(metrics: &Api, result: &str) -> u64 {
    let text = metrics.get("/metrics").expect(200).text();
    let name = format!("wharfinger_redirects_total{{result=\"{result}\"}} ");
    let value = text.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok());
    value.unwrap_or_else(|| panic!("no {name} in {text}"))
}

fn target(repository: &str, digest: &Digest) -> String {
    format!("/v2/{repository}/blobs/{digest}")
}

/// The URL of a redirect, after a look at the rest of it.
#[track_caller]
fn assert_redirect(answer: &Response, digest: &Digest, swift: &SwiftCluster) -> String {
    assert_eq!(answer.status, 307, "{answer:?}");
    assert_eq!(answer.required("docker-content-digest"), digest.to_string());
    assert_eq!((answer.header("etag"), answer.body.len()), (None, 0));
    let url = answer.required("location");
    let inside = url.strip_prefix(&swift.url()).unwrap_or_else(|| panic!("{url} is not in Swift")).to_owned();
    let (_, expires) = url.split_once("temp_url_expires=").unwrap();
    let left =
        expires.parse::<u64>().unwrap() - SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let cached = answer.required("cache-control");
    let seconds =
        cached.strip_prefix("private, max-age=").and_then(|rest| rest.strip_suffix(", no-transform"));
    let seconds: u64 = seconds.unwrap_or_else(|| panic!("{cached}")).parse().unwrap();
    assert!(seconds <= left / 2 + 1 && seconds > left / 4, "cached for {seconds} s, good for {left} s");
    inside
}

/// Asks Swift, without any credentials but what the URL has.
fn fetch(swift: &SwiftCluster, url: &str, range: Option<(usize, usize)>) -> Response {
    let mut request = Request::new("GET", url);
    if let Some((first, last)) = range {
        request = request.header("Range", format!("bytes={first}-{last}"));
    }
    Client::plain(swift.port()).send(&request).unwrap()
}

/// A blob in one object, and one in three segments.
fn push(api: &Api, repository: &str, seed: u64) -> [(Digest, Vec<u8>); 2] {
    let (plain, large) = (bytes(seed, 6 * MIB), bytes(seed + 1, 12 * MIB + 7));
    [(api.push_blob(repository, &plain), plain), (api.push_chunked(repository, &large, 5 * MIB), large)]
}

#[test]
fn listed_clients_are_sent_to_swift_and_get_the_right_bytes_there() {
    for pipeline in PIPELINES {
        let swift = SwiftCluster::shared(pipeline);
        let container = swift.fresh_container();
        let (builder, metrics) = with_metrics(builder(swift, &container));
        let registry = start(builder);
        let api = registry.api();
        let mut signatures = Vec::new();
        for (digest, content) in push(&api, "open/app", 1) {
            let target = target("open/app", &digest);
            let url = assert_redirect(&api.get(&target), &digest, swift);
            let whole = fetch(swift, &url, None).expect(200);
            assert!(whole.body == content && Digest::sha256(&whole.body) == digest, "{pipeline:?}");
            let (first, last) = (content.len() / 3, content.len() - 2);
            let part = api.with_header("Range", &format!("bytes={first}-{last}")).get(&target);
            let url_of_part = assert_redirect(&part, &digest, swift);
            let part = fetch(swift, &url_of_part, Some((first, last))).expect(206);
            assert!(part.body == content[first..=last], "{pipeline:?}");

            let head = api.head(&target).expect(200);
            assert_eq!(head.required("content-length"), content.len().to_string());
            let etag = head.required("etag").to_owned();
            api.with_header("If-None-Match", &etag).get(&target).expect(304);
            let beyond = format!("bytes={}-", content.len());
            api.with_header("Range", &beyond).get(&target).expect_error(416, "RANGE_INVALID");

            let (path, query) = url.split_once('?').unwrap();
            let (signature, expires) = query.split_once('&').unwrap();
            let other = format!("{path}?{}0&{expires}", &signature[..signature.len() - 1]);
            let refused = [other, url.replace("temp_url_expires=1", "temp_url_expires=2"), path.to_owned()];
            for wrong in refused.iter().filter(|wrong| **wrong != url) {
                fetch(swift, wrong, None).expect(401);
            }
            signatures.push(signature.strip_prefix("temp_url_sig=").unwrap().to_owned());
        }
        assert_eq!(count(&metrics, "sent"), 4);
        let log = registry.log();
        assert!(
            log.iter().any(|line| line.level() == "debug"),
            "the log is not as loud as it was asked to be"
        );
        for line in &log {
            let told = signatures.iter().any(|signature| line.text.contains(signature));
            assert!(!told, "a signature was logged: {}", line.text);
        }
    }
}

#[test]
fn who_and_what_is_not_listed_is_served_from_here() {
    let swift = SwiftCluster::shared(Pipeline::Full);
    let (builder, metrics) = with_metrics(builder(swift, &swift.fresh_container()));
    let registry = start(builder.set("storage.redirect.proxies", json!([NEAR])));
    let api = registry.api();
    // The proxy's own address counts where it names no other.
    let near = api.with_header("X-Forwarded-For", "127.0.0.7");
    for (repository, result) in [("far/app", "network"), ("closed/app", "repository")] {
        let [_, (digest, content)] = push(&near, repository, 20);
        assert!(near.get(&target(repository, &digest)).expect(200).body == content, "{repository}");
        assert_eq!(count(&metrics, result), 1);
        let there =
            api.with_header("X-Forwarded-For", "198.51.100.1, 10.9.8.7").get(&target(repository, &digest));
        assert_eq!(there.status, if repository == "far/app" { 307 } else { 200 });
    }
    let [_, (digest, _)] = push(&near, "open/app", 20);
    near.get(&target("open/app", &digest)).expect(307);
    api.with_header("X-Forwarded-For", "10.9.8.7").get(&target("open/app", &digest)).expect(200);
    let small = near.push_blob("open/app", &bytes(3, 4 * MIB + 1));
    near.get(&target("open/app", &small)).expect(200);
    assert_eq!(count(&metrics, "small"), 1);
}

#[test]
fn a_blob_of_distribution_is_redirected_once_it_is_proved_and_only_while_swift_lists_all_of_it() {
    let swift = SwiftCluster::shared(Pipeline::Wikimedia);
    let container = swift.fresh_container();
    let content = bytes(40, 8 * MIB + 5);
    let digest = Digest::sha256(&content);
    let target = target("open/legacy", &digest);
    let object =
        format!("files/docker/registry/v2/blobs/sha256/{}/{}/data", &digest.hex()[..2], digest.hex());
    let old = DockerRegistry::builder().swift(swift, &container).set("storage.swift.chunksize", MIB).start();
    old.api().push_blob("open/legacy", &content);
    drop(old);
    let segments = swift.segments_of(&container, &object);
    assert_eq!(segments.len(), 9);

    let (builder, metrics) = with_metrics(builder(swift, &container));
    let registry = start(builder);
    let api = registry.api();
    assert!(api.get(&target).expect(200).body == content);
    assert_eq!(count(&metrics, "unverified"), 1);
    wait_until("a redirect of what was read whole", Duration::from_secs(20), || {
        api.get(&target).status == 307
    });
    let url = assert_redirect(&api.get(&target), &digest, swift);
    assert!(fetch(swift, &url, None).expect(200).body == content);

    swift.lose_row(&container, &segments[8]);
    let less = fetch(swift, &url, None).expect(200).body.len();
    assert_eq!(less, 8 * MIB, "Swift answers what its listing shows");
    let part = api.with_header("Range", "bytes=0-9").get(&target).expect(206);
    assert_eq!(part.body, content[..10]);
    assert!(api.get(&target).expect(200).body == content);
    assert!(count(&metrics, "incomplete") >= 2);
}

#[test]
fn a_damaged_blob_is_never_redirected() {
    for pipeline in PIPELINES {
        let swift = SwiftCluster::shared(pipeline);
        let container = swift.fresh_container();
        let expected = ["a blob is damaged in the store", "the answer was broken off", "the request failed"];
        let builder = expected.into_iter().fold(builder(swift, &container), Builder::allow_log);
        let (builder, metrics) = with_metrics(builder.allow_log("a storage call failed"));
        let registry = start(builder);
        let api = registry.api();
        let large: Vec<_> =
            [60, 70].map(|seed| push(&api, "open/app", seed)).into_iter().map(|[_, b]| b).collect();
        let object = |digest: &Digest| {
            format!("files/docker/registry/v2/blobs/sha256/{}/{}/data", &digest.hex()[..2], digest.hex())
        };
        // A segment that is gone is found before the redirect; so is a wrong byte in the chunk where the read begins.
        let middle = format!("bytes={}-", 5 * MIB / 2);
        let (gone, _) = &large[0];
        swift.delete(&container, &swift.segments_of(&container, &object(gone))[1]).expect(204);
        let (rotten, content) = &large[1];
        swift.corrupt(&container, &swift.segments_of(&container, &object(rotten))[0]);
        for (digest, range) in [(gone, "bytes=0-"), (rotten, middle.as_str())] {
            for range in [range, "bytes=0-"] {
                let request = Request::new("GET", &target("open/app", digest)).header("Range", range);
                match api.try_send(request) {
                    Ok(answer) => assert!(answer.status >= 400, "{pipeline:?} {range}: {answer:?}"),
                    Err(HttpError::Truncated { response, .. }) => assert_eq!(response.status, 206),
                    Err(error) => panic!("{error}"),
                }
            }
            api.head(&target("open/app", digest)).expect(404);
        }
        assert!(count(&metrics, "damaged") >= 2, "{pipeline:?}");
        assert_eq!(count(&metrics, "sent"), 0, "{pipeline:?}");
        // Pushed again, it is whole.
        api.push_chunked("open/app", content, 5 * MIB);
        let url = assert_redirect(&api.get(&target("open/app", rotten)), rotten, swift);
        assert!(fetch(swift, &url, None).expect(200).body == *content, "{pipeline:?}");
    }
}

#[test]
fn a_url_ends_and_stands_where_clients_know_swift() {
    let swift = SwiftCluster::shared(Pipeline::Full);
    let container = swift.fresh_container();
    let short = start(builder(swift, &container).set("storage.redirect.lifetime", "2s"));
    let [(digest, _), _] = push(&short.api(), "open/app", 80);
    let answer = short.api().get(&target("open/app", &digest)).expect(307);
    let url = answer.location();
    fetch(swift, &url, None).expect(200);
    assert!(
        ["private, max-age=0, no-transform", "private, max-age=1, no-transform"]
            .contains(&answer.required("cache-control"))
    );
    let outside =
        start(builder(swift, &container).set("storage.redirect.base_url", "https://swift.example.org/"));
    let told = outside.api().get(&target("open/app", &digest)).expect(307).required("location").to_owned();
    assert!(told.starts_with("https://swift.example.org/v1/AUTH_test/"), "{told}");
    let inside = &told["https://swift.example.org".len()..];
    fetch(swift, inside, None).expect(200);
    pause(Duration::from_secs(3));
    fetch(swift, &url, None).expect(401);
}

#[test]
fn keys_are_shared_and_changed_without_breaking_urls_in_use() {
    let swift = SwiftCluster::shared(Pipeline::Full);
    let container = swift.fresh_container();
    let key_of = |suffix: &str| {
        let answer = swift.send(Request::new("HEAD", &format!("/{container}"))).expect(204);
        answer.header(&format!("x-container-meta-temp-url-key{suffix}")).map(str::to_owned)
    };
    let first = start(builder(swift, &container));
    let [(digest, _), _] = push(&first.api(), "open/app", 90);
    let target = target("open/app", &digest);
    let old = first.api().get(&target).expect(307).location();
    let own = key_of("").unwrap();
    assert!(own.len() >= 32, "a key that can be guessed");
    let second = start(builder(swift, &container));
    fetch(swift, &second.api().get(&target).expect(307).location(), None).expect(200);
    assert_eq!((key_of("").as_deref(), key_of("-2")), (Some(own.as_str()), None));
    let third = start(builder(swift, &container).set("storage.swift.secretkey", "of the operator"));
    fetch(swift, &third.api().get(&target).expect(307).location(), None).expect(200);
    assert_eq!((key_of("").as_deref(), key_of("-2")), (Some("of the operator"), Some(own.clone())));
    fetch(swift, &old, None).expect(200);
    for registry in [&first, &second, &third] {
        for line in registry.log() {
            assert!(!line.text.contains(&own) && !line.text.contains("of the operator"), "{}", line.text);
        }
    }
}

#[test]
fn observing_redirects_with_a_key_that_swift_knows_and_writes_nothing() {
    for pipeline in PIPELINES {
        let swift = SwiftCluster::shared(pipeline);
        let container = swift.fresh_container();
        let content = bytes(100, 8 * MIB + 5);
        let old =
            DockerRegistry::builder().swift(swift, &container).set("storage.swift.chunksize", MIB).start();
        let digest = old.api().push_blob("open/legacy", &content);
        drop(old);
        let post = Request::new("POST", &format!("/{container}")).body("");
        swift.send(post.header("X-Container-Meta-Temp-Url-Key", "theirs")).expect(204);
        let mark = swift.mark();
        let observe = |key: Option<&str>| {
            let observer = builder(swift, &container).set("storage.mode", "observe").unset("storage.delete");
            match key {
                Some(key) => observer.set("storage.swift.secretkey", key),
                None => observer.allow_log("storage.redirect.rules: has no effect"),
            }
        };
        let target = target("open/legacy", &digest);
        let knowing = start(observe(Some("theirs")));
        assert!(knowing.api().get(&target).expect(200).body == content);
        let url = assert_redirect(&knowing.api().get(&target), &digest, swift);
        assert!(fetch(swift, &url, None).expect(200).body == content);
        for key in [None, Some("another")] {
            let registry = observe(key).allow_log("no client is redirected to Swift").start();
            for _ in 0..2 {
                assert!(registry.api().get(&target).expect(200).body == content, "{key:?}");
            }
            let said =
                registry.log().iter().filter(|line| line.text.contains("no client is redirected")).count();
            assert_eq!(said, 1, "{key:?}");
        }
        // Other tests write to containers of their own meanwhile.
        let of_others = |request: &ProxyRequest| {
            let path = request.path.strip_prefix("/v1/AUTH_test/").unwrap_or("");
            path.contains("container-") && !path.starts_with(&container)
        };
        let mut writes = swift.since(mark);
        writes.retain(|request| request.agent.starts_with("wharfinger/") && request.is_write());
        writes.retain(|request| !of_others(request));
        assert!(writes.is_empty(), "{writes:#?}");
    }
}

#[test]
fn skopeo_and_curl_follow_and_the_disk_cache_comes_first() {
    let swift = SwiftCluster::shared(Pipeline::Wikimedia);
    let (builder, metrics) = with_metrics(builder(swift, &swift.fresh_container()));
    let mut registry = start(builder);
    let image =
        Image::of(Style::Oci, "amd64", vec![Blob::layer(110, 12 * MIB as u64), Blob::layer(111, 3_000)]);
    registry.api().push_image("open/app", "v1", &image);
    let work = tempfile::tempdir().unwrap();
    let pulled = Layout::create(&work.path().join("pulled"));
    let from = format!("docker://{}/open/app:v1", registry.address());
    let to = format!("oci:{}:v1", pulled.root().display());
    let mut skopeo = system_tool("skopeo").command();
    skopeo.env("HOME", work.path()).args(["--insecure-policy", "copy", "-q", "--src-tls-verify=false"]);
    run_tool(skopeo.args([&from, &to]));
    let layer = &image.layers[0];
    let file = pulled.root().join("blobs/sha256").join(layer.digest.hex());
    assert!(std::fs::read(file).unwrap() == layer.bytes());
    assert_eq!(count(&metrics, "sent"), 1);

    let out = work.path().join("curl");
    let url = format!("http://{}{}", registry.address(), target("open/app", &layer.digest));
    let mut curl = system_tool("curl").command();
    curl.args(["--silent", "--show-error", "--fail", "--location", "--range", "5000000-7000000", "--output"]);
    run_tool(curl.arg(&out).arg(&url));
    assert!(std::fs::read(&out).unwrap() == layer.bytes()[5_000_000..=7_000_000]);
    assert_eq!(count(&metrics, "sent"), 2);

    registry.stop();
    let cache = work.path().join("cache");
    registry.reconfigure("cache.directory", cache.to_str().unwrap());
    registry.start_again();
    let mut warm = std::process::Command::new(wharfinger_test_support::wharfinger_binary());
    let socket = registry.directory().join("admin.sock");
    run_tool(warm.args(["cache", "warm", "--image", "open/app:v1", "--socket"]).arg(socket));
    assert!(registry.api().pull_blob("open/app", &layer.digest) == layer.bytes());
    assert_eq!((count(&metrics, "cached"), count(&metrics, "sent")), (1, 0));
}
