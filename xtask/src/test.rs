//! `cargo xtask test`: every check in order, cheapest first. What does not build or pass the lints ends the run; of the
//! tests all are run, so that one run shows every failure.

use std::fs;
use std::process::Command;

use anyhow::Result;

use crate::run::{self, Steps, cargo, number_before};
use crate::{deny, go, packages, structure};

/// End-to-end tests that run one after another on the whole machine, after the others.
const HEAVY: &[&str] = &[
    "adopt",
    "conformance",
    "interop_distribution",
    "clients",
    "disk_full",
    "fsck_scale",
    "http_caches",
    "nginx_front",
    "packages",
    "systemd",
    "swift_cache",
    "swift_client",
    "swift_clusters",
    "swift_corruption",
    "swift_faults",
    "swift_push_pull",
    "swift_redirects",
    "swift_redis",
    "swift_requests",
    "swift_interop",
    "swift_legacy",
    "swift_uploads",
];

/// An end-to-end test that needs packages, and waits most of the time.
const ALERTS: &str = "alerts";

/// Runs everything, or only what needs nothing but cargo.
pub(crate) fn test(quick: bool) -> Result<()> {
    let mut steps = Steps::default();
    let result = if quick { quick_steps(&mut steps) } else { all_steps(&mut steps) };
    // The summary comes last: its closing line is what a reader looks for.
    if let Err(error) = &result {
        println!("error: {error:#}");
    }
    steps.summary(result.is_err());
    if result.is_err() {
        std::process::exit(1);
    }
    Ok(())
}

fn quick_steps(steps: &mut Steps) -> Result<()> {
    lint(steps, &[])?;
    build(steps, &[])?;
    unit_tests(steps, &[])?;
    doc_tests(steps, &[])?;
    let [some, others] = halves(&library_tests(), &[]);
    first_failure(steps.side_by_side(vec![("crate tests", some), ("more crate tests", others)]))?;
    let [some, others] = halves(&end_to_end(), &[]);
    first_failure(steps.side_by_side(vec![("end to end", some), ("more end to end", others)]))
}

fn all_steps(steps: &mut Steps) -> Result<()> {
    let full = ["--features", "wharfinger-tests/full"];
    steps.step("debian packages", |_| packages::ensure())?;
    lint(steps, &full)?;
    steps.step("cargo-deny", |_| deny::install())?;
    deny::check(steps)?;
    build(steps, &full)?;
    steps.step("go programs", |_| go::tools())?;
    let mut results = vec![unit_tests(steps, &full), doc_tests(steps, &full)];
    let [some, others] = halves(&library_tests(), &full);
    let mut alerts = cargo(&["test", "--workspace"]);
    alerts.args(full).args(["--test", ALERTS]);
    results.extend(steps.side_by_side(vec![
        ("crate tests", some),
        ("more crate tests", others),
        (ALERTS, alerts),
    ]));
    let [some, others] = halves(&end_to_end(), &full);
    results.extend(steps.side_by_side(vec![("end to end", some), ("more end to end", others)]));
    for name in HEAVY {
        let mut command = cargo(&["test", "--workspace"]);
        results.push(steps.command(&name.replace('_', " "), command.args(full).args(["--test", name])));
        if *name == "conformance" {
            count_conformance(steps);
        }
    }
    first_failure(results)
}

/// Prints all failures but the first, which is returned.
fn first_failure(results: Vec<Result<()>>) -> Result<()> {
    let mut failures = results.into_iter().filter_map(Result::err);
    let first = failures.next();
    failures.for_each(|error| println!("error: {error:#}"));
    first.map_or(Ok(()), Err)
}

fn lint(steps: &mut Steps, features: &[&str]) -> Result<()> {
    steps.step("structure", |_| structure::check())?;
    steps.command("cargo fmt", &mut cargo(&["fmt", "--all", "--check"]))?;
    let mut clippy = cargo(&["clippy", "--workspace", "--all-targets"]);
    steps.command("cargo clippy", clippy.args(features).args(["--", "-D", "warnings"]))
}

/// One build for all steps after it: the same packages and features, so that nothing is compiled twice.
fn build(steps: &mut Steps, features: &[&str]) -> Result<()> {
    steps.command("build", cargo(&["build", "--workspace", "--all-targets"]).args(features))
}

/// Unit tests of every crate, the store suite and the replay of the fuzz corpus among them.
fn unit_tests(steps: &mut Steps, features: &[&str]) -> Result<()> {
    steps.command("unit tests", cargo(&["test", "--workspace", "--lib", "--bins"]).args(features))
}

/// Runs these tests, in two halves.
fn halves(names: &[String], features: &[&str]) -> [Command; 2] {
    [0, 1].map(|half| {
        let mut tests = cargo(&["test", "--workspace", "--no-fail-fast"]);
        tests.args(features);
        for name in names.iter().skip(half).step_by(2) {
            tests.args(["--test", name]);
        }
        tests
    })
}

/// The examples in the documentation.
fn doc_tests(steps: &mut Steps, features: &[&str]) -> Result<()> {
    steps.command("doc tests", cargo(&["test", "--workspace", "--doc"]).args(features))
}

/// Every end-to-end test that needs no packages.
fn end_to_end() -> Vec<String> {
    let names = test_names("tests/tests").into_iter();
    names.filter(|name| !HEAVY.contains(&name.as_str()) && name != ALERTS).collect()
}

/// The integration tests of the crates.
fn library_tests() -> Vec<String> {
    let mut names = test_names("wharfinger/tests");
    for parent in ["crates", "fakes"] {
        for entry in fs::read_dir(run::root().join(parent)).into_iter().flatten().flatten() {
            names.extend(test_names(&format!("{parent}/{}/tests", entry.file_name().to_string_lossy())));
        }
    }
    names
}

fn test_names(directory: &str) -> Vec<String> {
    let entries = fs::read_dir(run::root().join(directory)).into_iter().flatten().flatten();
    let files =
        entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "rs"));
    let mut names: Vec<String> =
        files.filter_map(|path| path.file_stem().map(|name| name.to_string_lossy().into_owned())).collect();
    names.sort();
    names
}

/// The suites count hundreds of cases inside a few tests.
fn count_conformance(steps: &mut Steps) {
    let suites = ["conformance", "conformance-1.1.1"];
    let places = ["", "-swift", "-swift-without-slo"];
    for suite in suites.iter().flat_map(|suite| places.map(|place| format!("{suite}{place}"))) {
        let file = run::target().join("xtask/conformance").join(format!("{suite}.counts"));
        if let Ok(counts) = fs::read_to_string(file) {
            println!("    {suite}: {counts}");
            steps.add_cases(number_before(&counts, " passed"), number_before(&counts, " failed"));
        }
    }
}
