//! What is shipped fits together: rules, pages, dashboard, and the metrics of a running server.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use wharfinger_test_support::{
    Api, Authority, Client, Image, Registry, Request, run_tool, system_tool, wait_until, wharfinger_binary,
};

use super::{rules, watched};

fn promtool(arguments: &[&str], file: &Path) -> String {
    run_tool(system_tool("promtool").command().args(arguments).arg(file))
}

#[test]
fn the_rules_are_rules_and_say_what_to_do() {
    promtool(&["check", "rules"], &rules::file());
    for rule in rules::all() {
        let name = &rule.name;
        assert!(["critical", "warning"].contains(&rule.severity.as_str()), "{name}: {}", rule.severity);
        let told: Vec<&str> = rule.annotations.iter().map(String::as_str).collect();
        assert_eq!(told, ["description", "runbook_url", "summary"], "{name}");
        let page = rule.page.as_ref().unwrap();
        assert!(page.is_file(), "{name}: {} is not there", page.display());
        let text = fs::read_to_string(page).unwrap();
        assert!(text.contains(name), "{}: a page does not name its alert {name}", page.display());
        // The page's last command is one that there is, and the alert names it.
        let command = rule.command();
        let words: Vec<&str> =
            command.iter().map(String::as_str).take_while(|word| !word.starts_with(['-', '/'])).collect();
        run_tool(Command::new(wharfinger_binary()).args(&words).arg("--help"));
        let rules = fs::read_to_string(rules::file()).unwrap();
        let of_alert = rules.split("- alert: ").find(|part| part.lines().next() == Some(name)).unwrap();
        let named = of_alert.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(named.contains(&format!("wharfinger {}", words.join(" "))), "{name} names another command");
    }
}

/// The queries of the dashboard.
fn queries(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match field {
                    Value::String(text) if name == "expr" => {
                        found.push(text.clone());
                    }
                    _ => queries(field, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| queries(item, found)),
        _ => {}
    }
}

fn dashboard() -> Vec<String> {
    let text = fs::read_to_string(rules::dashboard()).unwrap();
    let mut found = Vec::new();
    queries(&serde_json::from_str(&text).unwrap(), &mut found);
    assert!(found.len() > 15, "only {} queries were found", found.len());
    found
}

#[test]
fn the_queries_of_the_dashboard_are_queries() {
    let plain = |query: &String| query.replace("$__rate_interval", "5m").replace("$instance", ".*");
    let rules: Vec<Value> = dashboard()
        .iter()
        .map(plain)
        .enumerate()
        .map(|(number, query)| json!({ "record": format!("query:{number}"), "expr": query }))
        .collect();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("queries.yml");
    fs::write(&file, json!({ "groups": [{ "name": "dashboard", "rules": rules }] }).to_string()).unwrap();
    promtool(&["check", "rules"], &file);
}

#[test]
fn every_metric_of_rules_and_dashboard_is_told_by_a_running_server() {
    let (builder, port) = watched(Registry::builder().tls(&Authority::new()));
    let port_to_look_at = json!([{ "addr": format!("127.0.0.1:{port}") }]);
    let registry = builder.set("health.tcp", port_to_look_at).start();
    registry.api().push_image("team/app", "v1", &Image::small(1));
    registry.api().pull("team/app", "v1");
    registry.client().send(&Request::new("GET", "/v2/team/app/manifests/none")).unwrap();
    let metrics = Api::new(Client::plain(port));
    let scrape = || metrics.get("/metrics").expect(200).text();
    wait_until("the first probe", Duration::from_secs(10), || scrape().contains("wharfinger_store_healthy"));
    let text = scrape();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let told: BTreeSet<&str> = lines.filter_map(|line| line.split(['{', ' ']).next()).collect();
    let wanted = [fs::read_to_string(rules::file()).unwrap(), dashboard().join("\n")].join("\n");
    let wanted = rules::metrics_in(&wanted);
    let missing: Vec<&String> = wanted.iter().filter(|name| !told.contains(name.as_str())).collect();
    assert!(missing.is_empty() && wanted.len() > 20, "no server tells {missing:?}");
}

#[test]
fn a_target_that_nobody_scrapes_is_down() {
    // No series at all is another matter than a scrape that fails.
    let test = json!({
        "rule_files": [rules::file()],
        "evaluation_interval": "15s",
        "tests": [{
            "interval": "15s",
            "input_series": [{ "series": "up{job=\"another\"}", "values": "1x20" }],
            "promql_expr_test": [{
                "expr": "count by (alertname) (ALERTS{alertstate=\"firing\"})",
                "eval_time": "2m",
                "exp_samples": [{ "labels": "{alertname=\"WharfingerDown\"}", "value": 1 }],
            }],
        }],
    });
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("absent.json");
    fs::write(&file, test.to_string()).unwrap();
    promtool(&["test", "rules"], &file);
}
