//! What operators see: logs, the access log, metrics, health, and levels changed while it runs.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use std::process::Command;
use std::time::Duration;

use wharfinger_test_support::{
    Api, Client, Digest, Image, Registry, Request, bytes, free_port, pause, wait_until, wharfinger_binary,
};

/// A registry with its second listener, and a client of that.
fn with_debug() -> (Registry, Api) {
    let port = free_port();
    let registry = Registry::builder()
        .set("http.debug.addr", format!("127.0.0.1:{port}"))
        .set("http.debug.prometheus.enabled", true)
        .start();
    (registry, Api::new(Client::plain(port)))
}

/// The value of a metric with these labels, in any order; the sum where several match.
fn metric(api: &Api, name: &str, labels: &[&str]) -> f64 {
    let text = api.get("/metrics").expect(200).text();
    let matching = text.lines().filter(|line| {
        let series = line.split([' ', '{']).next().unwrap_or_default();
        series == name && labels.iter().all(|label| line.contains(label))
    });
    matching.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

#[test]
fn a_line_tells_what_was_done_and_for_whom() {
    let registry = Registry::start();
    let (api, image) = (registry.api(), Image::small(1));
    api.push_image("logs/app", "v1", &image);
    api.pull("logs/app", "v1");
    api.get(&format!("/v2/logs/app/blobs/{}", Digest::sha256(b"missing"))).expect(404);
    let line = |what: &str, wanted: &dyn Fn(&wharfinger_test_support::LogLine) -> bool| {
        let mut found = None;
        wait_until(what, Duration::from_secs(5), || {
            found = registry.log().into_iter().find(|line| wanted(line));
            found.is_some()
        });
        found.unwrap()
    };
    let blob = format!("/v2/logs/app/blobs/{}", image.layers[0].digest);
    let pulled = line("the pull of a blob", &|line| {
        line.field("http.request.method") == "GET" && line.field("http.request.uri") == blob
    });
    assert_eq!(pulled.field("vars.name"), "logs/app");
    assert_eq!(pulled.field("vars.digest"), image.layers[0].digest.to_string());
    assert_eq!(pulled.field("http.response.status"), "200");
    assert_eq!(pulled.field("http.response.written"), image.layers[0].size.to_string());
    assert!(
        !pulled.field("http.request.id").is_empty() && !pulled.field("http.response.duration").is_empty()
    );
    let tagged = line("the pull of a tag", &|line| {
        line.field("http.request.uri") == "/v2/logs/app/manifests/v1"
            && line.field("http.request.method") == "GET"
    });
    assert_eq!(tagged.field("vars.reference"), "v1");
    let refused = line("the refusal", &|line| {
        line.field("http.response.status") == "404" && line.field("http.request.method") == "GET"
    });
    assert_eq!(refused.field("err.code"), "BLOB_UNKNOWN");
    assert!(!refused.is_alarming(), "a client's question is no alarm");
}

#[test]
fn every_request_has_an_id_of_its_own() {
    let registry = Registry::start();
    for _ in 0..20 {
        registry.api().get("/v2/").expect(200);
    }
    let ids: Vec<String> =
        registry.log().iter().map(|line| line.field("http.request.id")).filter(|id| !id.is_empty()).collect();
    let mut unique = ids.clone();
    unique.sort();
    unique.dedup();
    assert!(ids.len() >= 20 && ids.len() == unique.len(), "{} ids, {} different", ids.len(), unique.len());
}

#[test]
fn the_access_log_is_apaches() {
    let registry = Registry::builder().set("log.accesslog.disabled", false).start();
    let digest = registry.api().push_blob("access", b"content");
    let target = format!("/v2/access/blobs/{digest}");
    let request =
        Request::new("GET", &target).header("User-Agent", "curl/8.0").header("Referer", "http://a/");
    registry.api().send(request).expect(200);
    let tail = format!("\"GET {target} HTTP/1.1\" 200 7 \"http://a/\" \"curl/8.0\"");
    wait_until("the line of the access log", Duration::from_secs(5), || {
        registry
            .log()
            .iter()
            .any(|line| line.text.starts_with("127.0.0.1 - - [") && line.text.ends_with(&tail))
    });
}

#[test]
fn a_client_cannot_forge_a_line() {
    let registry = Registry::builder().set("log.accesslog.disabled", false).start();
    let agent = r#"x" 200 1 "-" "forged"#;
    registry.api().with_header("User-Agent", agent).get("/v2/").expect(200);
    let line = || registry.log().into_iter().map(|line| line.text).find(|text| text.contains("forged"));
    wait_until("the line of the access log", Duration::from_secs(5), || line().is_some());
    let line = line().unwrap();
    assert!(!line.contains(r#""x" 200"#), "a quote of the client ends a field: {line}");
}

#[test]
fn a_pull_that_broke_off_is_no_success() {
    let (registry, debug) = with_debug();
    let digest = registry.api().push_blob("broken", &bytes(2, 40 << 20));
    let mut connection = registry.client().connect().unwrap();
    let target = format!("/v2/broken/blobs/{digest}");
    connection.write(&Request::new("GET", &target)).unwrap();
    assert_eq!(connection.read_head().unwrap().status, 200);
    drop(connection);
    wait_until("the break to be logged", Duration::from_secs(10), || {
        registry.log().iter().any(|line| {
            let mine = line.field("http.request.uri") == target && line.field("http.request.method") == "GET";
            mine && !line.text.contains("response completed")
        })
    });
    let class = "class=\"blob_read\"";
    wait_until("the break to be counted", Duration::from_secs(5), || {
        metric(&debug, "wharfinger_aborted_bodies_total", &[class]) >= 1.0
    });
}

#[test]
fn metrics_have_distributions_names() {
    let (registry, debug) = with_debug();
    let (api, image) = (registry.api(), Image::small(3));
    api.push_image("metrics", "v1", &image);
    api.pull("metrics", "v1");
    api.get("/v2/metrics/manifests/none").expect(404);
    let answered = |labels: &[&str]| metric(&debug, "registry_http_requests_total", labels);
    wait_until("requests to be counted", Duration::from_secs(5), || {
        answered(&["handler=\"blob\"", "code=\"200\"", "method=\"get\""]) >= 3.0
            && answered(&["handler=\"manifest\"", "code=\"404\""]) >= 1.0
    });
    let text = debug.get("/metrics").expect(200).text();
    for name in [
        "registry_http_request_duration_seconds_bucket",
        "registry_http_request_size_bytes_sum",
        "registry_http_response_size_bytes_count",
        "registry_http_in_flight_requests",
        "registry_storage_action_seconds_bucket",
        "registry_storage_cache_total",
        "wharfinger_request_seconds_bucket",
        "wharfinger_bytes_total",
        "wharfinger_storage_calls_total",
        "wharfinger_uploads_in_flight",
        "wharfinger_damaged_blobs",
    ] {
        assert!(text.contains(name), "{name} is missing in:\n{text}");
    }
    let size: u64 = image.blobs().map(|blob| blob.size).sum();
    assert!(metric(&debug, "wharfinger_bytes_total", &["class=\"blob_read\""]) >= size as f64);
    assert!(metric(&debug, "wharfinger_storage_calls_total", &["result=\"ok\""]) > 0.0);
}

#[test]
fn health_has_three_answers() {
    let (registry, debug) = with_debug();
    let api = registry.api();
    api.get("/health/live").expect(200);
    api.get("/health/ready").expect(200);
    wait_until("the first probe", Duration::from_secs(15), || api.get("/health/store").status == 200);
    assert_eq!(debug.get("/debug/health").expect(200).json(), serde_json::json!({}));
    // Distribution's switch takes an instance out by hand.
    debug.send(Request::new("POST", "/debug/health/down").body("")).expect(200);
    api.get("/health/ready").expect(503);
    api.get("/health/live").expect(200);
    debug.get("/debug/health").expect(503);
    debug.send(Request::new("POST", "/debug/health/up").body("")).expect(200);
    api.get("/health/ready").expect(200);
}

#[test]
fn the_log_level_changes_while_it_runs_and_falls_back() {
    let mut registry = Registry::builder();
    let socket = registry.directory().join("admin.sock");
    registry = registry.set("admin.socket", socket.display().to_string()).set("log.level", "error");
    let registry = registry.start();
    let api = registry.api();
    let lines = || registry.log().iter().filter(|line| line.field("http.request.uri") == "/v2/").count();
    api.get("/v2/").expect(200);
    pause(Duration::from_millis(200));
    assert_eq!(lines(), 0, "requests are logged at level error");
    let output = Command::new(wharfinger_binary())
        .args(["log-level", "debug", "--for", "2s", "--socket"])
        .arg(&socket)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    wait_until("requests to be logged", Duration::from_secs(2), || {
        api.get("/v2/").expect(200);
        lines() > 0
    });
    pause(Duration::from_millis(2500));
    let before = lines();
    api.get("/v2/").expect(200);
    pause(Duration::from_millis(200));
    assert_eq!(lines(), before, "the level did not fall back");
}

#[test]
fn one_repository_is_followed_and_the_others_are_not() {
    let mut registry = Registry::builder();
    let socket = registry.directory().join("admin.sock");
    registry = registry.set("admin.socket", socket.display().to_string()).set("log.level", "error");
    let registry = registry.start();
    let api = registry.api();
    let output = Command::new(wharfinger_binary())
        .args(["log-level", "debug", "--for", "1m", "--repository", "team/app", "--socket"])
        .arg(&socket)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines =
        |key: &str, part: &str| registry.log().iter().filter(|line| line.field(key).contains(part)).count();
    api.get("/v2/other/app/tags/list");
    api.get("/v2/team/app/tags/list");
    wait_until("the request to be logged", Duration::from_secs(2), || lines("vars.name", "team/app") == 1);
    assert!(lines("key", "repositories/team/app") > 0, "its storage calls are not logged");
    assert_eq!(lines("vars.name", "other/app") + lines("key", "repositories/other/app"), 0);
}

#[test]
fn a_repeated_failure_is_one_line_and_not_hundreds() {
    let registry = Registry::builder().allow_log("").start();
    let api = registry.api();
    let content = bytes(4, 100_000);
    let digest = api.push_blob("repeated", &content);
    std::fs::write(registry.blob_path(&digest), vec![0; 100_000]).unwrap();
    for _ in 0..200 {
        let _ = api.try_send(Request::new("GET", &format!("/v2/repeated/blobs/{digest}")));
    }
    pause(Duration::from_millis(200));
    let alarms = registry.log().iter().filter(|line| line.is_alarming()).count();
    assert!(alarms <= 20, "{alarms} alarming lines for one fault");
}

#[test]
fn text_logs_have_the_same_fields() {
    let registry = Registry::builder().set("log.formatter", "text").start();
    registry.api().push_blob("text", b"content");
    wait_until("a line with the repository", Duration::from_secs(5), || {
        registry.log().iter().any(|line| line.text.contains("vars.name") && line.text.contains("text"))
    });
}
