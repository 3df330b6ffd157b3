//! `wharfinger status`: one instance on a screen, all of them by their records, and what the store tells alone.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use wharfinger_test_support::{Builder, Process, Registry, bytes, wait_until, wharfinger_binary};

const SOON: Duration = Duration::from_secs(10);

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(wharfinger_binary());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("REGISTRY_")) {
        command.env_remove(name);
    }
    command.arg("status").args(arguments);
    command
}

fn status(arguments: &[&str]) -> (Option<i32>, String) {
    let output = command(arguments).output().unwrap();
    (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

fn json_of(arguments: &[&str]) -> (Option<i32>, Value) {
    let (code, text) = status(&[arguments, &["--json"]].concat());
    (code, serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")))
}

fn config(registry: &Registry) -> String {
    registry.directory().join("config.yml").to_str().unwrap().to_owned()
}

fn records(root: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(root.join("wharfinger/v1/instances")).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// An instance beside others: with an admin socket of its own.
fn builder() -> Builder {
    let builder = Registry::builder();
    let socket = builder.directory().join("admin.sock");
    builder.set("admin.socket", socket.to_str().unwrap())
}

/// Makes the record of a server older than it is.
fn age(record: &Path, by: &str) {
    let mut value: Value = serde_json::from_slice(&fs::read(record).unwrap()).unwrap();
    value["written_at"] = by.into();
    fs::write(record, value.to_string()).unwrap();
}

#[test]
fn an_instance_that_was_killed_falls_silent_and_one_that_stops_is_forgotten() {
    let first = builder().start();
    let root = first.root().to_owned();
    let mut second = builder().root(&root).start();
    let (one, two) = (config(&first), config(&second));
    wait_until("both records", SOON, || records(&root).len() == 2);
    let (code, fleet) = json_of(&["--all-instances", "--config", &one]);
    assert_eq!((code, &fleet["well"]), (Some(0), &json!(true)), "{fleet:#}");
    let mut told: Vec<&str> =
        fleet["instances"].as_array().unwrap().iter().map(|i| i["address"].as_str().unwrap()).collect();
    let mut expected = [first.address(), second.address()].map(|address| format!("http://{address}"));
    told.sort_unstable();
    expected.sort_unstable();
    assert_eq!(told, expected);

    second.kill();
    let pid = |record: &PathBuf| {
        serde_json::from_slice::<Value>(&fs::read(record).unwrap()).unwrap()["address"].clone()
    };
    let left =
        records(&root).into_iter().find(|record| pid(record) == format!("http://{}", second.address()));
    let left = left.expect("a record outlives its server");
    assert_eq!(status(&["--all-instances", "--config", &one]).0, Some(0), "it may write again at any moment");
    age(&left, "2026-11-01T12:03:00Z");
    // By way of a server, and, where none runs, from the store itself.
    for config in [&one, &two] {
        let (code, table) = status(&["--all-instances", "--config", config]);
        let line = table.lines().find(|line| line.contains(&second.address())).unwrap_or(&table);
        assert_eq!(code, Some(1), "{table}");
        assert!(line.ends_with("silent since 2026-11-01 12:03Z"), "{table}");
        let other = table.lines().find(|line| line.contains(&first.address())).unwrap_or(&table);
        assert!(other.ends_with("well"), "{table}");
    }
    let (code, page) = status(&["--config", &one]);
    assert_eq!(code, Some(0), "another instance is no reason to page for this one: {page}");
    assert!(
        page.contains("instances          2, 1 silent or not well: wharfinger status --all-instances"),
        "{page}"
    );
    let (code, page) = status(&["--config", &two]);
    assert_eq!(code, Some(2), "{page}");
    assert!(page.starts_with("no server answers at ") && page.contains("; the store:\n"), "{page}");
    assert!(page.contains(&format!("store              {} answers", root.display())), "{page}");
    assert!(page.contains("damaged blobs      0 marks in the store"), "{page}");

    // A record of a day ago is swept by whoever starts; that of this address is replaced anyhow.
    second.start_again();
    wait_until("the old record to go", SOON, || !left.exists() && records(&root).len() == 2);
    assert_eq!(status(&["--all-instances", "--config", &two]).0, Some(0));
    second.stop();
    assert_eq!(records(&root).len(), 1, "a server that stops takes its record with it");
    fs::write(records(&root)[0].with_file_name("0b3d3f0a-8a2e-4d0e-9f5e-3a1f7c2b9d10"), "").unwrap();
    let (code, table) = status(&["--all-instances", "--config", &two]);
    assert_eq!(code, Some(1), "{table}");
    let told = "a record tells nothing: wharfinger/v1/instances/0b3d3f0a-8a2e-4d0e-9f5e-3a1f7c2b9d10: ";
    assert!(table.contains(told), "{table}");
}

#[test]
fn the_exit_code_says_whether_to_page_somebody() {
    let mut registry = builder().allow_log("a blob is damaged").allow_log("failed").start();
    let config = config(&registry);
    wait_until("the first probe", SOON, || json_of(&["--config", &config]).1["store"]["healthy"] == true);
    let (code, told) = json_of(&["--config", &config]);
    assert_eq!(code, Some(0), "{told:#}");
    for (name, expected) in [
        ("mode", json!("adopted")),
        ("role", json!("active")),
        ("ready", json!(true)),
        ("redis", Value::Null),
        ("damaged_marks", json!(0)),
        ("servable", Value::Null),
    ] {
        assert_eq!(told[name], expected, "{name}: {told:#}");
    }
    let content = bytes(4, 200_000);
    let digest = registry.api().push_blob("app", &content);
    fs::write(registry.blob_path(&digest), vec![0; content.len()]).unwrap();
    let _ = registry.api().get(&format!("/v2/app/blobs/{digest}"));
    let (code, page) = status(&["--config", &config]);
    assert_eq!(code, Some(1), "{page}");
    assert!(page.contains("damaged blobs      1; "), "{page}");
    assert!(page.contains("last scrub         ") && page.contains("redis              -"), "{page}");
    registry.api().push_blob("app", &content);
    assert_eq!(status(&["--config", &config]).0, Some(0));
    registry.kill();
    assert_eq!(status(&["--config", &config]).0, Some(2));
    let socket = registry.directory().join("admin.sock");
    let (code, text) = status(&["--socket", socket.to_str().unwrap()]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.starts_with("wharfinger: no server answers at "), "{text}");
}

#[test]
fn watching_shows_one_look_after_another_and_ends_with_ctrl_c() {
    let registry = builder().start();
    let work = tempfile::tempdir().unwrap();
    let mut watching = Process::spawn(
        &mut command(&["--watch", "0.2", "--config", &config(&registry)]),
        &work.path().join("out"),
    );
    wait_until("three looks", SOON, || watching.output().matches("version  ").count() >= 3);
    watching.signal(Signal::INT);
    let ended = watching.wait(SOON).expect("an end");
    assert_eq!(ended.code(), Some(0));
    let output = watching.output();
    let looks: Vec<&str> = output.split("\n\n").collect();
    assert!(looks.len() >= 3 && looks.iter().all(|look| look.starts_with("version  ")), "{output}");
    assert!(!output.contains('\u{1b}'), "no terminal is told to clear its screen: {output}");
}

#[cfg(feature = "full")]
#[test]
fn on_swift_a_record_is_there_while_the_instance_runs() {
    use wharfinger_test_support::{Pipeline, SwiftCluster};
    let swift = SwiftCluster::shared(Pipeline::Full);
    let container = swift.fresh_container();
    let mut registry = Registry::builder().swift(swift, &container).start();
    let config = config(&registry);
    let here = || json_of(&["--all-instances", "--config", &config]);
    wait_until("the record", SOON, || here().0 == Some(0));
    let (_, fleet) = here();
    assert_eq!(fleet["instances"][0]["address"], format!("http://{}", registry.address()), "{fleet:#}");
    registry.stop();
    let (code, fleet) = here();
    assert_eq!((code, &fleet["instances"]), (Some(2), &json!([])), "{fleet:#}");
}
