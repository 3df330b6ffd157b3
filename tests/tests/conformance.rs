//! Both conformance suites of the OCI distribution specification, with every switch on.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use wharfinger_test_support::{Image, Registry, go_tool, target_directory, try_tool};

/// Cases of v1.1.1 that expect the opposite of another case, so that no registry can pass both.
const EXCLUDED_BY_ANOTHER_CASE: [(&str, &str); 2] = [
    (
        "Cross-mounting of nonexistent blob should yield session id",
        "runs only when the mount before it was answered with 202; ours mounts and answers 201",
    ),
    (
        "Cross-mounting without from, and automatic content discovery disabled should return a 202",
        "the counterpart of `enabled should return a 201`, which runs",
    ),
];

#[test]
fn the_current_suite_passes() {
    let registry = conforming_registry();
    let results = results_directory("conformance");
    let mut command = go_tool("conformance").command();
    command
        .env("OCI_REGISTRY", registry.address())
        .env("OCI_TLS", "disabled")
        .env("OCI_VERSION", "1.1")
        .env("OCI_REPO1", "conformance/one")
        .env("OCI_REPO2", "conformance/two")
        .env("OCI_RESULTS_DIR", &results)
        .env("OCI_LOG", "error");
    // The switches that the suite leaves off by default.
    for switch in [
        "OCI_API_BLOBS_DIGEST_HEADER",
        "OCI_API_BLOBS_UPLOAD_CANCEL",
        "OCI_API_MANIFESTS_DIGEST_HEADER",
        "OCI_API_MANIFESTS_TAG_PARAM",
        "OCI_DATA_SPARSE",
    ] {
        command.env(switch, "true");
    }
    let (_, output) = try_tool(command.current_dir(&results));
    let cases = Cases::read(&results.join("junit.xml"), &output);
    cases.report("conformance", &[], &results);
}

#[test]
fn the_suite_of_1_1_1_passes() {
    let registry = conforming_registry();
    let results = results_directory("conformance-1.1.1");
    let run = |report: &str, settings: &[(&str, String)]| {
        let directory = results.join(report);
        fs::create_dir_all(&directory).unwrap();
        let mut command = go_tool("conformance-1.1.1").command();
        command
            .env("OCI_ROOT_URL", format!("http://{}", registry.address()))
            .env("OCI_NAMESPACE", format!("v1.1.1/{report}"))
            .env("OCI_CROSSMOUNT_NAMESPACE", format!("v1.1.1/{report}-mounted"))
            .env("OCI_AUTOMATIC_CROSSMOUNT", "1")
            .env("OCI_REPORT_DIR", &directory)
            .envs(settings.iter().map(|(name, value)| (*name, value)));
        for category in ["PULL", "PUSH", "CONTENT_DISCOVERY", "CONTENT_MANAGEMENT"] {
            command.env(format!("OCI_TEST_{category}"), "1");
        }
        let (_, output) = try_tool(command.current_dir(&directory));
        Cases::read(&directory.join("junit.xml"), &output)
    };
    let mut cases = run("pushed", &[]);
    // The second run covers the cases for content that was there before the suite.
    let (api, image) = (registry.api(), Image::small(111));
    let tags = ["a", "b", "c", "d"];
    for tag in tags {
        api.push_image("v1.1.1/found", tag, &image);
    }
    let found = [
        ("OCI_TAG_NAME", "a".to_owned()),
        ("OCI_MANIFEST_DIGEST", image.digest.to_string()),
        ("OCI_BLOB_DIGEST", image.layers[0].digest.to_string()),
        ("OCI_TAG_LIST", tags.join(",")),
    ];
    cases.merge(run("found", &found));
    cases.report("conformance-1.1.1", &EXCLUDED_BY_ANOTHER_CASE, &results);
}

/// A registry with every optional behaviour that a suite asks for.
fn conforming_registry() -> Registry {
    Registry::builder().set("validation.manifests.indexes.platforms", "none").start()
}

fn results_directory(name: &str) -> PathBuf {
    let directory = target_directory().join("xtask/conformance").join(name);
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).unwrap();
    directory
}

/// Outcome of each case by its name.
struct Cases(BTreeMap<String, String>);

impl Cases {
    /// Reads a JUnit report.
    fn read(report: &Path, output: &str) -> Cases {
        let text = fs::read_to_string(report)
            .unwrap_or_else(|error| panic!("the suite wrote no report ({error}); it printed:\n{output}"));
        let mut cases = BTreeMap::new();
        for case in text.split("<testcase ").skip(1) {
            let head = case.split('>').next().unwrap();
            let name = attribute(head, "name");
            // Names repeat where one case runs for several contents: keep them apart.
            let count = cases.keys().filter(|known: &&String| known.starts_with(&name)).count();
            let key = if cases.contains_key(&name) { format!("{name} #{count}") } else { name };
            cases.insert(key, attribute(head, "status"));
        }
        assert!(cases.len() > 20, "a report of {} cases only; the suite printed:\n{output}", cases.len());
        Cases(cases)
    }

    /// Takes over what another run passed or failed that this one skipped.
    fn merge(&mut self, other: Cases) {
        for (name, status) in other.0 {
            let known = self.0.entry(name).or_insert_with(|| status.clone());
            if known == "skipped" || status == "failed" {
                *known = status;
            }
        }
    }

    /// Writes the counts down for the summary, and fails the test unless every case passed.
    fn report(&self, suite: &str, excluded: &[(&str, &str)], results: &Path) {
        let mut bad = Vec::new();
        let mut skipped = Vec::new();
        for (name, status) in &self.0 {
            match status.as_str() {
                "passed" => {}
                "skipped" | "disabled" if excluded.iter().any(|(case, _)| name.contains(case)) => {}
                "skipped" | "disabled" => skipped.push(name.as_str()),
                _ => bad.push(name.as_str()),
            }
        }
        let passed = self.0.values().filter(|status| *status == "passed").count();
        let counts = format!("{passed} passed, {} failed, {} skipped", bad.len(), skipped.len());
        println!("{suite}: {counts}");
        fs::write(results.with_file_name(format!("{suite}.counts")), &counts).unwrap();
        for (case, reason) in excluded {
            println!("{suite}: not counted: {case} ({reason})");
        }
        let report =
            format!("{counts}\nfailed:\n  {}\nskipped:\n  {}", bad.join("\n  "), skipped.join("\n  "));
        assert!(bad.is_empty() && skipped.is_empty(), "{suite}: {report}\nsee {}", results.display());
    }
}

/// The value of an XML attribute, with the quotes that Go escapes put back.
fn attribute(head: &str, name: &str) -> String {
    let start = head.find(&format!("{name}=\"")).map_or(head.len(), |at| at + name.len() + 2);
    let value = head[start..].split('"').next().unwrap_or_default();
    value.replace("&#39;", "'").replace("&#34;", "\"").replace("&amp;", "&")
}
