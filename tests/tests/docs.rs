//! The documentation agrees with the program: generated pages, metric names, sample configurations, links.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use wharfinger_test_support::{Api, Authority, Client, Registry, free_port, wait_until, wharfinger_binary};

/// Written by `cargo xtask bench`, so it may be missing.
const MEASURED: &str = "reference/benchmarks.md";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Runs the program without a configuration from the environment.
fn wharfinger(arguments: &[&str]) -> Output {
    let mut command = Command::new(wharfinger_binary());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("REGISTRY_")) {
        command.env_remove(name);
    }
    command.args(arguments).output().unwrap()
}

fn generated(page: &str, command: &str) {
    let output = wharfinger(&["generate", command]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let now = String::from_utf8(output.stdout).unwrap();
    let kept = fs::read_to_string(root().join(page)).unwrap();
    let differs = now.lines().zip(kept.lines()).find(|(now, kept)| now != kept);
    assert!(
        now == kept,
        "{page} is not what the program writes; run: cargo run -- generate {command} >{page}\n{differs:?}"
    );
}

/// Every Markdown page of the project.
fn pages() -> Vec<PathBuf> {
    let mut open = vec![root().join("docs")];
    let mut pages = Vec::new();
    for entry in fs::read_dir(root()).unwrap() {
        pages.push(entry.unwrap().path());
    }
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { open.push(path) } else { pages.push(path) }
        }
    }
    pages.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    pages
}

/// The pieces of `text` between two marks.
fn between<'a>(text: &'a str, begin: &str, end: &str) -> Vec<&'a str> {
    text.split(begin).skip(1).filter_map(|rest| Some(rest.split_once(end)?.0)).collect()
}

#[test]
fn the_configuration_reference_is_current() {
    generated("docs/reference/config.md", "config-reference");
}

#[test]
fn the_command_reference_is_current() {
    generated("docs/reference/commands.md", "command-reference");
}

#[test]
fn every_metric_stands_in_the_reference() {
    let port = free_port();
    let _registry = Registry::builder()
        .tls(&Authority::new())
        .set("http.debug.addr", format!("127.0.0.1:{port}"))
        .set("http.debug.prometheus.enabled", true)
        .set("health.tcp", serde_json::json!([{ "addr": format!("127.0.0.1:{port}") }]))
        .start();
    let metrics = Api::new(Client::plain(port));
    let scrape = || metrics.get("/metrics").expect(200).text();
    // Not there before the first probe has ended.
    wait_until("a probe", Duration::from_secs(10), || scrape().contains("wharfinger_store_healthy"));
    let text = scrape();
    let counted = |line: &str| {
        let (name, kind) = line.split_once(' ').unwrap();
        if kind == "counter" { format!("{name}_total") } else { name.to_owned() }
    };
    let told: BTreeSet<String> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).map(counted).collect();
    let page = fs::read_to_string(root().join("docs/reference/metrics.md")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let written: BTreeSet<String> = rows.map(|(name, _)| name.to_owned()).collect();
    assert_eq!(told, written, "left: what the program tells, right: docs/reference/metrics.md");
}

#[test]
fn every_sample_configuration_is_usable() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.yml");
    let mut checked = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for sample in between(&text, "```yaml\nversion:", "\n```") {
            fs::write(&file, format!("version:{sample}\n")).unwrap();
            let output = wharfinger(&["config", "check", file.to_str().unwrap()]);
            let said = String::from_utf8_lossy(&output.stdout);
            let clean = output.status.success() && said.contains(", 0 warnings");
            assert!(clean, "{}:\n{sample}\n{said}", page.display());
            checked += 1;
        }
    }
    assert!(checked > 3, "only {checked} samples were found");
}

#[test]
fn every_link_leads_somewhere() {
    let mut dead = Vec::new();
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for target in between(&text, "](", ")") {
            let file = target.split('#').next().unwrap();
            if file.is_empty() || target.contains("://") || target.contains(char::is_whitespace) {
                continue;
            }
            let path = page.parent().unwrap().join(file);
            if !path.exists() && !file.ends_with(MEASURED) {
                dead.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert!(dead.is_empty(), "links that lead nowhere:\n{}", dead.join("\n"));
}
