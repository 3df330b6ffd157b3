//! Both conformance suites of the OCI distribution specification, with every switch on: against a directory, and against
//! Swift with and without static large objects.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use wharfinger_test_support::{
    Builder, Image, Pipeline, Registry, SwiftCluster, go_tool, target_directory, try_tool,
};

/// Cases that were not run, and why.
type Excluded = [(&'static str, &'static str)];

const EXCLUDED_BY_A_MOUNT: (&str, &str) = (
    "Cross-mounting of nonexistent blob should yield session id",
    "runs only when the mount before it was answered with 202; ours mounts and answers 201",
);
/// Cases of v1.1.1 that expect the opposite of another case, so that no registry can pass both.
const EXCLUDED_BY_ANOTHER_CASE: &Excluded = &[
    EXCLUDED_BY_A_MOUNT,
    (
        "Cross-mounting without from, and automatic content discovery disabled should return a 202",
        "the counterpart of `enabled should return a 201`, which runs",
    ),
];

/// On Swift a blob is mounted only from the repository that the client names: to look into all of them would cost more
/// requests than the upload. The specification leaves it to the registry.
const NO_SEARCH: &str = "on Swift no repository is searched for a blob; the client names one or uploads";
const EXCLUDED_ON_SWIFT: &Excluded = &[("mount anonymous/blob-mount-anonymous", NO_SEARCH)];
const EXCLUDED_ON_SWIFT_1_1_1: &Excluded = &[
    EXCLUDED_BY_A_MOUNT,
    (
        "Cross-mounting without from, and automatic content discovery enabled should return a 201",
        "the counterpart of `disabled should return a 202`, which runs",
    ),
];

/// Where the registry keeps its data; its name stands in the names of the reports.
#[derive(Clone, Copy)]
enum Place {
    Directory,
    /// A container, on a cluster with everything in its pipeline.
    Swift,
    /// A container, on a cluster without static large objects.
    SwiftPlain,
}

impl Place {
    /// A registry without any content.
    fn empty(self) -> Builder {
        let pipeline = match self {
            Place::Directory => return Registry::builder(),
            Place::Swift => Pipeline::Full,
            Place::SwiftPlain => Pipeline::Wikimedia,
        };
        let swift = SwiftCluster::shared(pipeline);
        Registry::builder().patient_swift(swift, &swift.fresh_container())
    }

    fn searches_for_blobs(self) -> bool {
        matches!(self, Place::Directory)
    }

    fn report(self, suite: &str) -> String {
        match self {
            Place::Directory => suite.to_owned(),
            Place::Swift => format!("{suite}-swift"),
            Place::SwiftPlain => format!("{suite}-swift-without-slo"),
        }
    }
}

#[test]
fn the_current_suite_passes() {
    current_suite(Place::Directory);
}

#[test]
fn the_current_suite_passes_on_swift() {
    current_suite(Place::Swift);
}

#[test]
fn the_current_suite_passes_on_swift_without_static_large_objects() {
    current_suite(Place::SwiftPlain);
}

#[test]
fn the_suite_of_1_1_1_passes() {
    suite_of_1_1_1(Place::Directory);
}

#[test]
fn the_suite_of_1_1_1_passes_on_swift() {
    suite_of_1_1_1(Place::Swift);
}

#[test]
fn the_suite_of_1_1_1_passes_on_swift_without_static_large_objects() {
    suite_of_1_1_1(Place::SwiftPlain);
}

fn current_suite(place: Place) {
    let name = place.report("conformance");
    let results = results_directory(&name);
    // The switches that the suite leaves off by default.
    let switches = [
        "OCI_API_BLOBS_DIGEST_HEADER",
        "OCI_API_BLOBS_UPLOAD_CANCEL",
        "OCI_API_MANIFESTS_DIGEST_HEADER",
        "OCI_API_MANIFESTS_TAG_PARAM",
    ];
    let mut cases = run_current_suite(&place.empty().start(), &results.join("strict"), &switches);
    // Manifests with missing layers and indexes with missing images are taken only where validation is off.
    let lenient = place.empty().set("validation.disabled", true).start();
    let sparse = [&switches[..], &["OCI_DATA_SPARSE"]].concat();
    cases.join(run_current_suite(&lenient, &results.join("sparse"), &sparse));
    let excluded = if place.searches_for_blobs() { &[] } else { EXCLUDED_ON_SWIFT };
    cases.report(&name, excluded, &results);
}

fn run_current_suite(registry: &Registry, results: &Path, switches: &[&str]) -> Cases {
    fs::create_dir_all(results).unwrap();
    let mut command = go_tool("conformance").command();
    command
        .env("OCI_REGISTRY", registry.address())
        .env("OCI_TLS", "disabled")
        .env("OCI_VERSION", "1.1")
        .env("OCI_REPO1", "conformance/one")
        .env("OCI_REPO2", "conformance/two")
        .env("OCI_RESULTS_DIR", results)
        .env("OCI_LOG", "error")
        .envs(switches.iter().map(|switch| (switch, "true")));
    let (_, output) = try_tool(command.current_dir(results));
    Cases::read(&results.join("junit.xml"), &output)
}

fn suite_of_1_1_1(place: Place) {
    let registry = place.empty().start();
    let name = place.report("conformance-1.1.1");
    let results = results_directory(&name);
    let run = |report: &str, categories: &[&str], settings: &[(&str, String)]| {
        let directory = results.join(report);
        fs::create_dir_all(&directory).unwrap();
        let mut command = go_tool("conformance-1.1.1").command();
        command
            .env("OCI_ROOT_URL", format!("http://{}", registry.address()))
            .env("OCI_NAMESPACE", format!("v1.1.1/{report}"))
            .env("OCI_CROSSMOUNT_NAMESPACE", format!("v1.1.1/{report}-mounted"))
            .env("OCI_AUTOMATIC_CROSSMOUNT", if place.searches_for_blobs() { "1" } else { "0" })
            .env("OCI_REPORT_DIR", &directory)
            .envs(categories.iter().map(|category| (format!("OCI_TEST_{category}"), "1")))
            .envs(settings.iter().map(|(name, value)| (*name, value)));
        let (_, output) = try_tool(command.current_dir(&directory));
        Cases::read(&directory.join("junit.xml"), &output)
    };
    let mut cases = run("pushed", &["PULL", "PUSH", "CONTENT_DISCOVERY", "CONTENT_MANAGEMENT"], &[]);
    // The second run is for the two cases about content that was there before the suite. Others in it miss what the
    // suite would have pushed, and were judged by the first run.
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
    cases.fill_in(&run("found", &["PULL", "CONTENT_DISCOVERY"], &found));
    let excluded =
        if place.searches_for_blobs() { EXCLUDED_BY_ANOTHER_CASE } else { EXCLUDED_ON_SWIFT_1_1_1 };
    cases.report(&name, excluded, &results);
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

    /// Adds a run with other settings: it must pass as well, and tells of what this one left out.
    fn join(&mut self, other: Cases) {
        for (name, status) in other.0 {
            let known = self.0.entry(name).or_insert_with(|| status.clone());
            if known != "passed" || status.starts_with("fail") {
                *known = status;
            }
        }
    }

    /// Takes from another run only what this one skipped.
    fn fill_in(&mut self, other: &Cases) {
        for (name, known) in self.0.iter_mut().filter(|(_, status)| *status == "skipped") {
            if let Some(status) = other.0.get(name) {
                known.clone_from(status);
            }
        }
    }

    /// Writes the counts down for the summary, and fails the test unless every case passed.
    fn report(&self, suite: &str, excluded: &Excluded, results: &Path) {
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
