//! What operators change leaves a record in the store, and a line in the log where the store is not written to.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use wharfinger_test_support::{Builder, Image, Registry, bytes, wharfinger_binary};

struct Told {
    code: Option<i32>,
    out: String,
    err: String,
}

/// Runs a command as somebody who came by way of `sudo`.
fn wharfinger(arguments: &[&str]) -> Told {
    let mut command = Command::new(wharfinger_binary());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("REGISTRY_")) {
        command.env_remove(name);
    }
    let output = command.args(arguments).env("SUDO_USER", "ann").output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Told { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

fn config(registry: &Registry) -> String {
    registry.directory().join("config.yml").to_str().unwrap().to_owned()
}

fn trail(registry: &Registry) -> Value {
    let told = wharfinger(&["audit", "--output", "json", "--config", &config(registry)]);
    assert_eq!(told.code, Some(0), "{}", told.err);
    serde_json::from_str(&told.out).unwrap()
}

/// Below `wharfinger/v1/audit`, everything that is a file.
fn files(root: &Path) -> Vec<PathBuf> {
    let days = fs::read_dir(root.join("wharfinger/v1/audit")).into_iter().flatten();
    let mut files: Vec<PathBuf> = days
        .flat_map(|day| fs::read_dir(day.unwrap().path()).unwrap().map(|entry| entry.unwrap().path()))
        .collect();
    files.sort();
    files
}

/// Does one of everything that changes something on a directory; answers actions and results in order.
fn change_everything(registry: &Registry) -> Vec<(&'static str, &'static str)> {
    let config = config(registry);
    let socket = ["--config", config.as_str()];
    let run = |arguments: &[&str]| wharfinger(arguments);
    let told =
        run(&[&["log-level", "debug", "--for", "1s", "--reason", "a look\nat it"], &socket[..]].concat());
    assert_eq!(told.code, Some(0), "{}", told.err);
    assert_eq!(run(&[&["log-level", "loud"], &socket[..]].concat()).code, Some(2));
    let told = run(&[&["cache", "flush", "--reason", "INC-7 – müde"], &socket[..]].concat());
    assert_eq!(told.code, Some(0), "{}", told.err);
    assert_eq!(run(&[&["cache", "flush", "--all-instances"], &socket[..]].concat()).code, Some(2));
    vec![
        ("log-level", "in force for 1 s"),
        ("log-level", "failed: \"loud\" is no log level; levels are error, warn, info, debug"),
        ("cache flush", "dropped 0 copies"),
        ("cache flush", "failed: instances are told by way of Redis, and none is in use (redis.addr)"),
    ]
}

fn builder() -> Builder {
    Registry::builder().set("log.level", "info")
}

#[test]
fn every_change_leaves_a_record_of_who_what_why_and_how_it_ended() {
    let registry = builder().start();
    registry.api().push_image("team/app", "v1", &Image::small(1));
    let config = config(&registry);
    let mut expected = change_everything(&registry);
    // What only looks leaves none.
    for arguments in [
        &["uploads", "purge", &config, "--dry-run"][..],
        &["adopt", &config, "--dry-run"],
        &["adopt", &config, "--back", "--check"],
        &["status", "--config", &config],
    ] {
        let told = wharfinger(arguments);
        assert!(told.code.is_some_and(|code| code < 2), "{arguments:?}: {}", told.err);
    }
    // Neither does what finds nothing to change; then each has something.
    let purge = ["uploads", "purge", &config, "--older-than", "1h", "--reason", "room"];
    for changes in [false, true] {
        if changes {
            let old = registry.root().join("docker/registry/v2/repositories/team/app/_uploads/x");
            fs::create_dir_all(&old).unwrap();
            fs::write(old.join("startedat"), "2020-01-01T00:00:00Z").unwrap();
            registry.api().push_blob("team/app", &bytes(1, 200_000));
            fs::remove_dir_all(registry.root().join("wharfinger/v1/chunks")).unwrap();
        }
        let told = wharfinger(&purge);
        assert_eq!(told.code, Some(0), "{}", told.err);
        assert_eq!(wharfinger(&["adopt", &config]).code, Some(0));
    }
    expected.extend([
        ("uploads purge", "dropped 1, kept 0"),
        (
            "adopt",
            "proved 1 blobs (195.3 KiB), entered 0 referrers and 0 repositories; 0 damaged, 0 not readable",
        ),
    ]);
    let trail = trail(&registry);
    let entries = trail["entries"].as_array().unwrap();
    let told: Vec<(&str, &str)> = entries
        .iter()
        .rev()
        .map(|entry| (entry["action"].as_str().unwrap(), entry["result"].as_str().unwrap()))
        .collect();
    assert_eq!(told, expected);
    assert_eq!(trail["damaged"], json!([]));
    let oldest_first: Vec<&Value> = entries.iter().rev().collect();
    // The socket tells who is at its other end, and that is not who called sudo.
    let by_socket = oldest_first[0]["who"].as_str().unwrap();
    assert!(by_socket.ends_with(" (ann)") && by_socket.len() > 6, "{by_socket}");
    assert_eq!(
        (&oldest_first[0]["why"], &oldest_first[2]["why"]),
        (&json!("a look at it"), &json!("INC-7 – müde"))
    );
    assert_eq!((&oldest_first[0]["what"], &oldest_first[2]["what"]), (&json!("debug"), &json!("every copy")));
    assert_eq!((&oldest_first[4]["who"], &oldest_first[4]["why"]), (&json!("ann"), &json!("room")));
    assert_eq!(oldest_first[5]["what"], registry.root().to_str().unwrap());
    assert_eq!(oldest_first[5].get("why"), None);
    assert_eq!(files(registry.root()).len(), expected.len());
}

#[test]
fn the_trail_is_limited_and_tells_damaged_entries_apart() {
    let registry = builder().start();
    change_everything(&registry);
    let config = config(&registry);
    let limited = wharfinger(&["audit", "--config", &config, "--limit", "2"]);
    assert_eq!((limited.code, limited.out.matches("cache flush: ").count()), (Some(0), 2), "{}", limited.out);
    assert!(!limited.out.contains("log-level"), "{}", limited.out);
    let files = files(registry.root());
    // The oldest is from long ago by its name; another is empty.
    let long_ago = registry.root().join("wharfinger/v1/audit/2020-01-01");
    fs::create_dir(&long_ago).unwrap();
    fs::rename(&files[0], long_ago.join(files[0].file_name().unwrap())).unwrap();
    fs::write(&files[1], "").unwrap();
    let told = wharfinger(&["audit", "--config", &config]);
    assert_eq!(told.code, Some(1), "{}", told.err);
    assert_eq!(told.out.matches(" on ").count(), 3, "{}", told.out);
    let name = files[1].strip_prefix(registry.root()).unwrap().to_str().unwrap();
    assert_eq!(told.err.trim(), format!("damaged, and left out: {name}: it is empty"));
    let since = wharfinger(&["audit", "--config", &config, "--since", "7d", "--output", "json"]);
    let trail: Value = serde_json::from_str(&since.out).unwrap();
    assert_eq!((trail["entries"].as_array().unwrap().len(), since.code), (2, Some(1)), "{trail:#}");
    assert_eq!(trail["damaged"][0]["key"], name);
}

#[cfg(feature = "full")]
#[test]
fn what_is_deleted_of_distributions_redis_is_on_record() {
    use wharfinger_test_support::{Digest, RedisServer};
    let (redis, registry) = (RedisServer::start(), builder().start());
    let digest = Digest::sha256(b"never pushed");
    assert_eq!(redis.ask(&format!("HSET blobs::{digest} digest {digest} size 12")), ":2");
    let file = registry.directory().join("adopt.yml");
    let root = registry.root().display();
    let text = "version: 0.1\nstorage: {cache: {blobdescriptor: redis}, filesystem: {rootdirectory: ";
    fs::write(&file, format!("{text}{root}}}}}\nredis: {{addr: \"{}\"}}\n", redis.address())).unwrap();
    let arguments = ["adopt", file.to_str().unwrap(), "--back", "--check"];
    assert_eq!(wharfinger(&arguments).code, Some(1), "a key that is not true is in the way");
    let told = wharfinger(&[&arguments[..], &["--flush-redis", "--reason", "going back"]].concat());
    assert_eq!(told.code, Some(0), "{}{}", told.out, told.err);
    assert_eq!(redis.keys(), 0);
    let trail = trail(&registry);
    let entry = &trail["entries"][0];
    assert_eq!(trail["entries"].as_array().unwrap().len(), 1, "{trail:#}");
    assert_eq!(entry["action"], "adopt --back --check --flush-redis");
    assert_eq!(entry["what"], format!("Redis {}", redis.address()));
    assert_eq!(entry["result"], "deleted 1 keys that were not true; 0 could not be compared");
    assert_eq!((&entry["who"], &entry["why"]), (&json!("ann"), &json!("going back")));
}

#[cfg(feature = "full")]
#[test]
fn where_nothing_may_be_written_an_action_is_a_log_line_and_no_object() {
    use wharfinger_test_support::{Pipeline, SwiftCluster};
    let swift = SwiftCluster::shared(Pipeline::Full);
    let container = swift.fresh_container();
    let mut registry = builder().swift(swift, &container).unset("storage.delete").start();
    registry.api().push_image("team/app", "v1", &Image::small(1));
    registry.stop();
    let old = "files/docker/registry/v2/repositories/team/app/_uploads/x/startedat";
    swift.put(&container, old, b"2020-01-01T00:00:00Z").expect(201);
    registry.reconfigure("storage.mode", "observe");
    registry.start_again();
    let expected = change_everything(&registry);
    let lines: Vec<(String, String)> = registry
        .log()
        .iter()
        .filter(|line| line.field("msg") == "an operator changed something")
        .map(|line| {
            assert!(line.field("who").ends_with(" (ann)") && line.level() == "info", "{}", line.text);
            (line.field("action"), line.field("result"))
        })
        .collect();
    let lines: Vec<(&str, &str)> = lines.iter().map(|(action, result)| (&**action, &**result)).collect();
    assert_eq!(lines, expected);
    // A command that works on the store itself says it on standard error, here that it was refused.
    let told = wharfinger(&["uploads", "purge", &config(&registry), "--older-than", "1h"]);
    let line = told.err.lines().find(|line| line.contains("an operator changed something"));
    assert!(line.is_some_and(|line| line.contains("failed: ") && line.contains("ann")), "{}", told.err);
    assert_eq!(told.code, Some(2), "{}", told.err);
    let told = wharfinger(&["status", "--all-instances", "--config", &config(&registry)]);
    assert_eq!(told.code, Some(2), "{}", told.out);
    assert!(told.out.starts_with("no instance has a record in the store"), "{}", told.out);
    let names = swift.list(&container);
    let ours = names.iter().find(|name| name.contains("/audit/") || name.contains("/instances/"));
    assert_eq!(ours, None);
}
