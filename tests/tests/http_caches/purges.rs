//! Caches that are told what was deleted or moved.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use wharfinger_test_support::{
    Api, CacheProgram, CacheRules, Client, HttpCache, Image, LogLine, Registry, free_port, quiet_port,
    wait_until,
};

use super::fleet::Fleet;
use super::{SOON, blob, keep, manifest, pull};

#[test]
fn what_was_deleted_is_gone_from_every_cache_that_is_told() {
    let port = free_port();
    let builder = Registry::builder()
        .set("http.debug.addr", format!("127.0.0.1:{port}"))
        .set("http.debug.prometheus.enabled", true);
    let fleet = Fleet::purged(builder);
    for (seed, front) in (1..).map(|n| n * 10).zip(&fleet.fronts) {
        let (name, image) = (front.name(), Image::small(seed));
        let told = HttpCache::endpoint(front.program, front.rules, 1).is_some();
        let asks_again = (front.program, front.rules) == (CacheProgram::Nginx, CacheRules::Shipped);
        let api = if front.rules == CacheRules::Shipped { front.api() } else { fleet.registry.api() };
        api.push_image(&name, "v1", &image);
        api.push_image(&name, "v2", &image);
        let (by_digest, layer) = (manifest(&name, image.digest), image.layers[0].digest);
        let respelt = by_digest.replace(':', "%3A");
        for (target, digest) in
            [(&by_digest, &image.digest), (&respelt, &image.digest), (&blob(&name, &layer), &layer)]
        {
            keep(front, target, digest);
        }
        let hands_on = front.rules == CacheRules::BuiltIn || front.program == CacheProgram::TrafficServer;
        let answer = front.api().get(&by_digest).expect(200);
        assert_eq!(answer.header("surrogate-key").is_some(), hands_on, "{name}");
        // The shipped files know that this is the same; by built-in rules it is another copy, and nobody knows of it.
        let mirrored = format!("{by_digest}?ns=example.org");
        if front.rules == CacheRules::Shipped {
            assert!(pull(front, &mirrored, &image.digest), "{name}: {mirrored} is another copy");
        }
        let gone = |target: &str| match front.api().get(target) {
            answer if answer.status == 404 => true,
            answer => {
                assert!(!told, "{name}: {target} after its delete: {}", answer.status);
                false
            }
        };
        api.delete(&manifest(&name, "v1")).expect(202);
        assert_eq!(front.api().get(&manifest(&name, "v1")).status, 404, "{name}: a deleted tag");
        assert_eq!(front.api().tags(&name), ["v2"], "{name}");
        api.delete(&by_digest).expect(202);
        assert_eq!(front.api().get(&manifest(&name, "v2")).status, 404, "{name}: its other tag");
        api.delete(&blob(&name, &layer)).expect(202);
        for target in [&by_digest, &respelt, &blob(&name, &layer), &mirrored] {
            if asks_again {
                wait_until("nginx to ask again", SOON, || gone(target));
            } else {
                gone(target);
            }
        }
        fleet.registry.api().push_image(&name, "v1", &image);
        front.api().pull(&name, "v1");
    }
    let metrics = Api::new(Client::plain(port)).get("/metrics").expect(200).text();
    for kind in ["varnish", "traffic-server"] {
        let line = format!("wharfinger_purges_total{{kind=\"{kind}\",result=\"ok\"}} ");
        let count = metrics.lines().find_map(|text| text.strip_prefix(&line)).expect("the metric");
        assert!(count.parse::<u64>().unwrap() > 0, "{line}{count}");
        let failed = format!("wharfinger_purges_total{{kind=\"{kind}\",result=\"failed\"}} 0");
        assert!(metrics.contains(&failed), "{metrics}");
    }
    assert!(metrics.contains("wharfinger_purges_waiting 0\n"), "{metrics}");
}

#[test]
fn what_a_cache_fetched_while_it_was_deleted_is_purged_once_more() {
    let (cache, requests) = scripted(vec![true; 100]);
    let registry = Registry::builder().set("purge.endpoints", json!([endpoint(cache)])).start();
    let (api, image) = (registry.api(), Image::small(1));
    api.push_image("app", "v1", &image);
    let target = manifest("app", image.digest);
    api.delete(&target).expect(202);
    let told = |requests: &Receiver<String>, limit: Duration| {
        let deadline = Instant::now() + limit;
        while let Ok(head) = requests.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            if head.contains(&target) {
                return true;
            }
        }
        false
    };
    assert!(told(&requests, Duration::ZERO), "not told before the answer");
    assert!(told(&requests, Duration::from_secs(15)), "not told again");
}

#[test]
fn what_waits_to_be_told_again_is_told_before_the_registry_ends() {
    let (cache, requests) = scripted(vec![true; 100]);
    let mut registry = Registry::builder().set("purge.endpoints", json!([endpoint(cache)])).start();
    let (api, image) = (registry.api(), Image::small(1));
    api.push_image("app", "v1", &image);
    let target = manifest("app", image.digest);
    api.delete(&target).expect(202);
    let begun = Instant::now();
    assert!(registry.stop().success());
    assert!(begun.elapsed() < Duration::from_secs(5), "it was waited for: {:?}", begun.elapsed());
    let told = requests.try_iter().filter(|head| head.contains(&target)).count();
    assert_eq!(told, 2, "once before the answer, once before the end");
}

#[test]
fn a_delete_that_failed_is_told_too_because_it_may_have_taken_effect() {
    let (cache, requests) = scripted(vec![true; 100]);
    let registry = Registry::builder().set("purge.endpoints", json!([endpoint(cache)])).start();
    let target = manifest("app", Image::small(1).digest);
    registry.api().delete(&target).expect(404);
    let told = || requests.try_iter().any(|head| head.contains(&target));
    wait_until("the cache to be told", SOON, told);
}

#[test]
fn a_purge_names_path_key_host_and_password_and_nothing_else_does() {
    let (cache, requests) = scripted(vec![true; 100]);
    let url = format!("http://admin:hunter%32@127.0.0.1:{cache}/front/");
    let endpoint = json!({ "url": url, "kind": "varnish", "host": "registry.example.org" });
    let registry =
        Registry::builder().set("purge.endpoints", json!([endpoint])).set("log.level", "debug").start();
    let (api, image) = (registry.api(), Image::small(1));
    api.push_image("team/app", "v1.0", &image);
    let heads: Vec<String> = requests.try_iter().collect();
    assert_eq!(heads.len(), 2, "a push is told as its tag and the lists: {heads:?}");
    assert!(heads[0].starts_with("PURGE /front/v2/team/app/tags/list HTTP/1.1"), "{}", heads[0]);
    assert!(heads[1].starts_with("PURGE /front/v2/team/app/manifests/v1.0 HTTP/1.1"), "{}", heads[1]);
    for (head, key) in heads.iter().zip(["lists:team/app", "tag:team/app:v1.0"]) {
        let lines: Vec<&str> = head.lines().collect();
        assert!(lines.contains(&"host: registry.example.org"), "{head}");
        assert!(lines.contains(&&*format!("surrogate-key: {key}")), "{head}");
        assert!(lines.contains(&"authorization: Basic YWRtaW46aHVudGVyMg=="), "{head}");
    }
    for (target, key) in [
        (manifest("team/app", "v1.0"), format!("repository:team/app tag:team/app:v1.0 {}", image.digest)),
        (manifest("team/app", image.digest), format!("repository:team/app {}", image.digest)),
        ("/v2/team/app/tags/list".to_owned(), "repository:team/app lists:team/app".to_owned()),
    ] {
        assert_eq!(api.get(&target).expect(200).required("surrogate-key"), key);
        assert_eq!(api.get(&target).header("surrogate-key"), api.head(&target).header("surrogate-key"));
    }
    let log: String = registry.log().iter().map(|line| line.text.clone() + "\n").collect();
    assert!(!log.contains("hunter") && !log.contains("YWRtaW46"), "a password in the log");
}

#[test]
fn a_cache_that_does_not_answer_fails_no_request_and_is_told_later() {
    let (silent, _sockets) = silent();
    let absent = quiet_port();
    let metrics = free_port();
    let registry = Registry::builder()
        .set("purge.endpoints", json!([endpoint(silent), endpoint(absent)]))
        .set("http.debug.addr", format!("127.0.0.1:{metrics}"))
        .set("http.debug.prometheus.enabled", true)
        .allow_log("a cache in front could not be purged")
        .start();
    let (api, image) = (registry.api(), Image::small(1));
    for blob in image.blobs() {
        api.push_blob("app", &blob.bytes());
    }
    let push = |tag: &str| {
        let begun = Instant::now();
        api.put_manifest("app", tag, image.media_type, &image.manifest).expect(201);
        begun.elapsed()
    };
    let first = push("v1");
    assert!(first < Duration::from_secs(3), "the limit is a second: {first:?}");
    let warnings = || registry.log().into_iter().filter(LogLine::is_alarming).count();
    wait_until("a line in the log for each cache", SOON, || warnings() == 2);
    let next = push("v2");
    assert!(next < Duration::from_millis(800), "a cache that failed was waited for: {next:?}");
    api.delete(&manifest("app", "v1")).expect(202);
    let value = |name: &str| -> i64 {
        let text = Api::new(Client::plain(metrics)).get("/metrics").expect(200).text();
        text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).expect("a metric")
    };
    assert_eq!(value("wharfinger_purges_waiting "), 6);
    assert!(value("wharfinger_purges_total{kind=\"varnish\",result=\"failed\"} ") >= 2);
    assert_eq!(warnings(), 2, "one line for each cache");

    let (_, requests) = scripted_on(absent, vec![false, true, true, true, true, true, true]);
    wait_until("the cache to be told of everything", Duration::from_secs(30), || {
        value("wharfinger_purges_waiting ") == 3
    });
    let told: Vec<String> = requests.try_iter().collect();
    for tag in ["v1", "v2"] {
        assert!(told.iter().any(|head| head.contains(&manifest("app", tag))), "{told:?}");
    }
    assert!(value("wharfinger_purges_total{kind=\"varnish\",result=\"refused\"} ") == 1);
}

fn endpoint(port: u16) -> serde_json::Value {
    json!({ "url": format!("http://127.0.0.1:{port}"), "kind": "varnish" })
}

/// Accepts connections and never says anything.
fn silent() -> (u16, Receiver<std::net::TcpStream>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, sockets) = channel();
    thread::spawn(move || listener.incoming().flatten().try_for_each(|socket| sender.send(socket)));
    (port, sockets)
}

/// A cache that answers 200 or 405 in turn, and hands out the heads of requests.
fn scripted(answers: Vec<bool>) -> (u16, Receiver<String>) {
    scripted_on(quiet_port(), answers)
}

fn scripted_on(port: u16, answers: Vec<bool>) -> (u16, Receiver<String>) {
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let (sender, heads) = channel();
    thread::spawn(move || {
        let mut answers = answers.into_iter();
        for socket in listener.incoming().flatten() {
            let mut lines = BufReader::new(socket.try_clone().unwrap()).lines();
            loop {
                let head: Vec<String> =
                    lines.by_ref().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
                if head.is_empty() {
                    break;
                }
                let status = if answers.next().unwrap_or(true) { "200 OK" } else { "405 No" };
                let _ = sender.send(head.join("\n"));
                let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
                if (&socket).write_all(answer.as_bytes()).is_err() {
                    break;
                }
            }
        }
    });
    (port, heads)
}
