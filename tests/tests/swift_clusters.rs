//! The real Swift under the other tests: it starts, it can be disturbed, and its log tells what reached it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;
use wharfinger_test_support::{
    Client, DockerRegistry, Image, Needs, Pipeline, Probe, Process, ProxyRequest, RedisServer, Request,
    Server, Style, SwiftCluster, bytes, facts, pause, prove_facts, wait_until,
};

#[test]
fn each_pipeline_starts_stores_an_object_and_says_what_it_offers() {
    for (pipeline, offered) in [(Pipeline::Full, true), (Pipeline::Wikimedia, false)] {
        let swift = SwiftCluster::shared(pipeline);
        let container = swift.fresh_container();
        let body = bytes(1, 300_000);
        swift.put(&container, "a/b%20c", &body);
        assert_eq!(swift.get(&container, "a/b%20c").expect(200).body, body);
        assert_eq!(swift.list(&container), ["a/b c"]);
        assert_eq!(swift.object_files(&container, "a/b c").len(), 1);
        let info = Client::plain(swift.port()).send(&Request::new("GET", "/info"));
        let info = info.unwrap().expect(200).json();
        for name in ["slo", "bulk_delete"] {
            assert_eq!(info.get(name).is_some(), offered, "{name} in {info}");
        }
        assert_eq!(info["tempurl"]["methods"].as_array().unwrap().len(), if offered { 5 } else { 2 });
        swift.delete(&container, "a/b%20c").expect(204);
        assert!(swift.list(&container).is_empty());
        assert!(swift.object_files(&container, "a/b c").is_empty());
    }
}

#[test]
fn the_access_log_tells_what_clients_asked_for_and_nothing_of_ours() {
    let swift = SwiftCluster::start();
    let container = swift.fresh_container();
    let mark = swift.mark();
    swift.put(&container, "ours", b"not counted");
    assert!(swift.since(mark).is_empty());
    let client = Client::plain(swift.port());
    let target = format!("/v1/{}/{container}/theirs%2520x?multipart-manifest=get", swift.account());
    let request =
        Request::new("PUT", &target).header("X-Auth-Token", swift.token()).body(b"counted".as_slice());
    let answer = client.send(&request).unwrap().expect(201);
    let log = swift.since(mark);
    assert_eq!(log.len(), 1, "{log:?}");
    assert_eq!((log[0].method.as_str(), log[0].status, log[0].received), ("PUT", 201, 7));
    assert_eq!(log[0].path, target);
    assert_eq!(log[0].transaction, answer.required("x-trans-id"));
    assert!(log[0].is_write() && log[0].source.is_none());
    assert!(swift.since(swift.mark()).is_empty());
}

#[test]
fn with_three_replicas_one_object_server_may_be_down() {
    let swift = SwiftCluster::builder().replicas(3).start();
    let container = swift.fresh_container();
    let body = bytes(2, 100_000);
    swift.put(&container, "object", &body);
    assert_eq!(swift.object_files(&container, "object").len(), 3);
    for number in 0..3 {
        swift.stop_server(Server::Object(number));
        assert_eq!(swift.get(&container, "object").expect(200).body, body, "without server {number}");
        swift.put(&container, &format!("without-{number}"), &body);
        swift.start_server(Server::Object(number));
    }
}

#[test]
fn damage_on_the_disk_is_what_a_reader_gets() {
    let swift = SwiftCluster::shared(Pipeline::Full);
    let container = swift.fresh_container();
    let body = bytes(3, 200_000);
    for name in ["corrupt", "truncated", "removed"] {
        swift.put(&container, name, &body);
    }
    swift.corrupt(&container, "corrupt");
    swift.truncate(&container, "truncated", 100_000);
    swift.remove_file(&container, "removed");
    let wrong = swift.get(&container, "corrupt").expect(200).body;
    assert!(wrong.len() == body.len() && wrong != body);
    // Once read to its end, Swift knows.
    assert_eq!(swift.get(&container, "corrupt").status, 404);
    assert_eq!(swift.get(&container, "truncated").status, 404);
    assert_eq!(swift.get(&container, "removed").status, 404);
    assert_eq!(swift.list(&container), ["corrupt", "removed", "truncated"]);
}

#[test]
fn servers_stop_hang_and_come_back() {
    let swift = SwiftCluster::builder().proxy_option("node_timeout", "1").start();
    let container = swift.fresh_container();
    swift.put(&container, "object", b"bytes");
    let comes_back = |what: &str| {
        wait_until(what, Duration::from_secs(20), || swift.get(&container, "object").status == 200);
    };
    swift.stop_server(Server::Object(0));
    assert_eq!(swift.get(&container, "object").status, 503);
    swift.start_server(Server::Object(0));
    comes_back("the object server to be back");
    swift.hang(Server::Object(0));
    assert_eq!(swift.get(&container, "object").status, 503);
    swift.resume(Server::Object(0));
    comes_back("the object server to go on");
    swift.stop_server(Server::Proxy);
    let refused = Client::plain(swift.port()).connect();
    assert!(refused.is_err());
    swift.start_server(Server::Proxy);
    comes_back("the proxy to be back");
}

#[test]
fn an_expired_token_is_refused() {
    let swift = SwiftCluster::start();
    let token = swift.token();
    let client = Client::plain(swift.port());
    let target = format!("/v1/{}", swift.account());
    let ask = || client.send(&Request::new("GET", &target).header("X-Auth-Token", &token)).unwrap().status;
    assert_eq!(ask(), 204);
    swift.expire_tokens();
    assert_eq!(ask(), 401);
    swift.fresh_container();
    let (user, key) = swift.reader();
    let token = swift.authenticate(user, key);
    let answer = client.send(&Request::new("GET", &target).header("X-Auth-Token", token)).unwrap();
    assert_eq!(answer.status, 403);
}

#[test]
fn docker_registry_pushes_and_pulls_through_swift_and_redis() {
    let swift = SwiftCluster::shared(Pipeline::Wikimedia);
    let container = swift.fresh_container();
    let mut redis = RedisServer::start();
    let registry = DockerRegistry::builder().swift(swift, &container).redis(&redis.address()).start();
    let image = Image::layered(Style::Docker, 7, 2, 100_000);
    let mark = swift.mark();
    registry.api().push_image("some/thing", "latest", &image);
    assert!(swift.since(mark).iter().any(ProxyRequest::is_write));
    registry.api().pull("some/thing", "latest");
    assert!(redis.keys() > 0);
    assert!(swift.list(&container).iter().any(|name| name.ends_with("/_manifests/tags/latest/current/link")));
    redis.flush();
    assert_eq!(redis.keys(), 0);
    redis.hang();
    redis.resume();
    redis.stop();
    redis.start_again();
    drop(registry);
    let redirecting =
        DockerRegistry::builder().swift(swift, &container).set("storage.redirect.disable", false).start();
    let blob = format!("/v2/some/thing/blobs/{}", image.layers[0].digest);
    let location = redirecting.api().get(&blob).expect(307).required("location").to_owned();
    assert!(location.starts_with(&swift.url()), "{location}");
    drop(redirecting);
    let printed = DockerRegistry::garbage_collect_swift(swift, &container, &[]);
    assert!(printed.contains("0 blobs and 0 manifests eligible for deletion"), "{printed}");
}

#[test]
fn keystone_issues_tokens_that_swift_takes() {
    let swift = SwiftCluster::builder().keystone().start();
    let container = swift.fresh_container();
    swift.put(&container, "object", b"of a project");
    assert_eq!(swift.object_files(&container, "object").len(), 1);
    let client = Client::plain(swift.port());
    let target = format!("/v1/{}/{container}/object", swift.account());
    let read = |token: &str| {
        client.send(&Request::new("GET", &target).header("X-Auth-Token", token)).unwrap().status
    };
    let keystone = swift.keystone();
    let credential = keystone.application_credential();
    let by_credential = json!({ "identity": {
        "methods": ["application_credential"],
        "application_credential": { "id": credential.id, "secret": credential.secret },
    } });
    let trust = keystone.trust();
    let by_trust = json!({
        "identity": {
            "methods": ["password"],
            "password": { "user": {
                "name": trust.trustee, "password": trust.password, "domain": { "name": keystone.domain() },
            } },
        },
        "scope": { "OS-TRUST:trust": { "id": trust.id } },
    });
    let tokens = [keystone.token(), keystone.issue(&by_credential), keystone.issue(&by_trust)];
    assert_eq!(tokens.each_ref().map(|token| read(token)), [200, 200, 200]);
    assert_eq!(read("no token"), 401);
    swift.expire_tokens();
    assert_eq!(tokens.each_ref().map(|token| read(token)), [401, 401, 401]);
    assert_eq!(swift.get(&container, "object").status, 200);

    let registry = DockerRegistry::on_swift(&swift, "registry");
    registry.api().push_image("some/thing", "latest", &Image::small(8));
    registry.api().pull("some/thing", "latest");
}

#[test]
fn what_we_believe_of_swift_is_true_with_slo_and_bulk() {
    let swift = SwiftCluster::shared(Pipeline::Full);
    prove_facts(&swift.storage_url(), &swift.token(), &[Needs::Slo, Needs::Bulk]);
}

#[test]
fn what_we_believe_of_swift_is_true_without_slo_and_bulk() {
    let swift = SwiftCluster::shared(Pipeline::Wikimedia);
    prove_facts(&swift.storage_url(), &swift.token(), &[]);
}

#[test]
fn what_we_believe_of_skewed_clocks_is_true() {
    let swift = SwiftCluster::builder().client_timestamps(true).start();
    let (url, token) = (swift.storage_url(), swift.token());
    for fact in facts().into_iter().filter(|fact| fact.needs == Needs::ClientTimestamps) {
        (fact.prove)(&Probe::new(&url, &token));
    }
}

#[test]
fn a_cluster_ends_when_it_is_dropped_and_when_its_process_is_killed() {
    const CHILD: &str = "WHARFINGER_TEST_CLUSTER_OF_CHILD";
    const NAME: &str = "a_cluster_ends_when_it_is_dropped_and_when_its_process_is_killed";
    if let Some(file) = std::env::var_os(CHILD) {
        let swift = SwiftCluster::shared(Pipeline::Full);
        let unfinished = Path::new(&file).with_extension("unfinished");
        std::fs::write(&unfinished, format!("{} {}", swift.port(), swift.home().display())).unwrap();
        std::fs::rename(unfinished, file).unwrap();
        pause(Duration::from_secs(300));
        panic!("nobody killed this process");
    }
    let is_gone = |port: u16, home: &Path| Client::plain(port).connect().is_err() && !home.exists();
    let swift = SwiftCluster::start();
    let (port, home) = (swift.port(), swift.home().to_owned());
    assert!(!is_gone(port, &home));
    drop(swift);
    assert!(is_gone(port, &home));

    let work = tempfile::tempdir().unwrap();
    let file = work.path().join("cluster");
    let mut command = Command::new(std::env::current_exe().unwrap());
    let command = command.args(["--exact", NAME, "--nocapture"]).env(CHILD, &file);
    let mut child = Process::spawn(command, &work.path().join("log"));
    child.wait_ready(Duration::from_secs(60), || file.exists());
    let text = std::fs::read_to_string(&file).unwrap();
    let (port, home) = text.split_once(' ').unwrap();
    let (port, home): (u16, &Path) = (port.parse().unwrap(), Path::new(home));
    assert!(!is_gone(port, home));
    child.signal(Signal::KILL);
    wait_until("the servers to end with the process", Duration::from_secs(20), || is_gone(port, home));
}
