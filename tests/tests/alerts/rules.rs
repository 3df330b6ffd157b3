//! The alert rules as they are shipped, and the pages that they name.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use wharfinger_test_support::wharfinger_binary;

/// Where the package puts the pages.
const PAGES: &str = "file:///usr/share/doc/wharfinger/runbook/";
/// The configuration that the pages name.
const CONFIG: &str = "/etc/wharfinger/config.yml";

/// An alert.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rule {
    pub(crate) name: String,
    /// Seconds that it waits before it fires.
    pub(crate) seconds: usize,
    pub(crate) severity: String,
    /// Names of annotations.
    pub(crate) annotations: BTreeSet<String>,
    pub(crate) page: Option<PathBuf>,
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

pub(crate) fn file() -> PathBuf {
    root().join("packaging/prometheus/wharfinger.rules.yml")
}

pub(crate) fn dashboard() -> PathBuf {
    root().join("packaging/grafana/wharfinger.json")
}

/// All rules, read line by line: one `key: value` each, as the file is written.
pub(crate) fn all() -> Vec<Rule> {
    let text = fs::read_to_string(file()).unwrap();
    let mut rules: Vec<Rule> = Vec::new();
    for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
        let Some((key, value)) = line.trim().split_once(':') else { continue };
        let value = value.trim();
        if key == "- alert" {
            rules.push(Rule { name: value.to_owned(), ..Rule::default() });
        }
        let Some(rule) = rules.last_mut() else { continue };
        match key {
            "for" => rule.seconds = seconds(value),
            "severity" => rule.severity = value.to_owned(),
            "summary" | "description" | "runbook_url" => drop(rule.annotations.insert(key.to_owned())),
            _ => {}
        }
        if key == "runbook_url" {
            let name = value.strip_prefix(PAGES).unwrap_or_else(|| panic!("{value} is not below {PAGES}"));
            rule.page = Some(root().join("docs/runbook").join(name));
        }
    }
    rules
}

pub(crate) fn named(name: &str) -> Rule {
    all().into_iter().find(|rule| rule.name == name).unwrap_or_else(|| panic!("no alert {name}"))
}

fn seconds(text: &str) -> usize {
    let (number, unit) = text.split_at(text.len() - 1);
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => panic!("{text}"),
    };
    number.parse::<usize>().unwrap() * unit
}

/// Names of metrics in rules, queries or prose.
pub(crate) fn metrics_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let ours = |word: &&str| word.starts_with("wharfinger_") || word.starts_with("registry_");
    words.filter(ours).map(str::to_owned).collect()
}

impl Rule {
    /// What the page ends in: the last command of its last console.
    pub(crate) fn command(&self) -> Vec<String> {
        let page = self.page.as_ref().unwrap();
        let text = fs::read_to_string(page).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
        let end = text.rsplit("```console\n").next().unwrap();
        let (console, after) = end.split_once("\n```").unwrap_or_else(|| panic!("{}", page.display()));
        assert!(after.trim().is_empty(), "{} does not end in a command", page.display());
        let lines: Vec<&str> = console.lines().collect();
        let at = lines.iter().rposition(|line| line.starts_with("$ wharfinger "));
        let at = at.unwrap_or_else(|| panic!("{} ends in another command", page.display()));
        assert!(lines.len() > at + 1 && !lines[at + 1].starts_with('$'), "{}: no output", page.display());
        lines[at]["$ wharfinger ".len()..].split_whitespace().map(str::to_owned).collect()
    }

    /// Runs it against the registry whose files lie in `directory`; returns its exit code and what it printed.
    pub(crate) fn run(&self, directory: &Path) -> (Option<i32>, String) {
        let config = directory.join("config.yml").display().to_string();
        let arguments = self.command();
        let offline = arguments.iter().any(|argument| argument == CONFIG);
        let mut command = Command::new(wharfinger_binary());
        command.args(arguments.iter().map(|argument| argument.replace(CONFIG, &config)));
        if !offline {
            command.arg("--socket").arg(directory.join("admin.sock"));
        }
        let output = command.output().unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        println!("{}: $ wharfinger {}\n{text}{:?}", self.name, arguments.join(" "), output.status.code());
        (output.status.code(), text)
    }
}
