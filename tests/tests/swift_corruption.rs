//! The corruption matrix on real Swift: what a directory has, and segments, headers and listings besides.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use std::collections::BTreeSet;

use serde_json::Value;
use wharfinger_test_support::{
    Blob, Builder, DockerRegistry, Ground, Harm, Image, Matrix, Operator, Pipeline, Registry, Server, Style,
    SwiftCluster, Tree, blob_key, bytes,
};

const HARMS: [Harm; 5] = [Harm::Missing, Harm::Empty, Harm::Truncated, Harm::Flipped, Harm::Swapped];
const SEGMENT: usize = 5 << 20;

fn builder(swift: &SwiftCluster, container: &str) -> Builder {
    let mut builder = Registry::builder().swift(swift, container).set("storage.swift.segmentsize", SEGMENT);
    for expected in
        ["damaged", "does not hold a digest", "request failed", "storage call failed", "broken off"]
    {
        builder = builder.allow_log(expected);
    }
    builder
}

fn operator(registry: &Registry) -> Operator {
    Operator::of(&registry.directory().join("config.yml"))
}

/// Distribution's tree: what is ours beside it changes by itself.
fn tree(ground: Ground<'_>) -> Tree {
    ground.tree().filter(|name| name.starts_with("/docker/"))
}

fn differences(before: &Tree, after: &Tree) -> BTreeSet<String> {
    before.differences(after).iter().map(|line| line[2..].to_owned()).collect()
}

fn kinds(report: &Value, image: &str) -> BTreeSet<String> {
    let findings = report["findings"].as_array().unwrap().iter();
    let hits =
        findings.filter(|finding| finding["images"].as_array().unwrap().iter().any(|hit| hit == image));
    hits.map(|finding| finding["kind"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn each_kind_of_harm_in_a_container_is_told_and_mended_from_a_backup() {
    let swift = SwiftCluster::shared(Pipeline::Full);
    let container = swift.fresh_container();
    let (backup, mut registry) = (Registry::start(), builder(swift, &container).start());
    let matrix = Matrix::push(&registry.api(), &backup.api(), &HARMS, true);
    let ground = Ground::Swift(swift, &container);
    let well = tree(ground);
    matrix.harm(ground);
    registry.stop();
    registry.start_again();
    let harmed = tree(ground);
    let (operator, from) = (operator(&registry), ["--backup", backup.root().to_str().unwrap()]);

    let (code, report) = operator.json(&["fsck", "--deep"]);
    assert_eq!(code, 1);
    matrix.assert_told(&report);
    let (code, _) = operator.json(&[&["heal", "--dry-run", "--deep"], &from[..]].concat());
    assert_eq!(code, 1);
    assert_eq!(differences(&harmed, &tree(ground)), BTreeSet::new(), "who only looks changes nothing");
    matrix.assert_pulled(&registry.api());

    let healed = operator.run(&[&["heal", "--deep", "--relink"], &from[..]].concat());
    let (_, report) = operator.json(&["fsck", "--deep"]);
    matrix.assert_left(&report, true);
    let left: BTreeSet<String> = matrix.repaired(true).into_iter().map(|key| format!("/{key}")).collect();
    let left: BTreeSet<String> = differences(&well, &harmed).difference(&left).cloned().collect();
    assert_eq!(differences(&well, &tree(ground)), left, "{healed:?}");
    matrix.assert_mended(&registry.api());
}

/// One image of a large layer, and how its objects are harmed.
struct Large {
    name: &'static str,
    kinds: &'static [&'static str],
    harm: fn(&SwiftCluster, &str, &str),
}

/// The name of one of the segments of a blob.
fn segment(swift: &SwiftCluster, container: &str, object: &str) -> String {
    swift.segments_of(container, object).into_iter().nth(1).expect("a second segment")
}

const LARGE: [Large; 8] = [
    Large { name: "well", kinds: &[], harm: |_, _, _| {} },
    Large {
        name: "segment-deleted",
        kinds: &["blob-damaged"],
        harm: |swift, container, object| {
            drop(swift.delete(container, &segment(swift, container, object)).expect(204));
        },
    },
    Large {
        name: "segment-vanished",
        kinds: &["blob-damaged"],
        harm: |swift, container, object| swift.remove_file(container, &segment(swift, container, object)),
    },
    Large {
        name: "segment-rotten",
        kinds: &["blob-damaged"],
        harm: |swift, container, object| swift.corrupt(container, &segment(swift, container, object)),
    },
    Large {
        name: "segment-short",
        kinds: &["blob-damaged"],
        harm: |swift, container, object| swift.truncate(container, &segment(swift, container, object), 1000),
    },
    Large {
        name: "segment-swapped",
        kinds: &["blob-damaged"],
        harm: |swift, container, object| {
            let segment = segment(swift, container, object);
            drop(swift.put(container, &segment, &bytes(77, SEGMENT)).expect(201));
        },
    },
    Large {
        name: "header-deleted",
        kinds: &["blob-missing"],
        harm: |swift, container, object| drop(swift.delete(container, object).expect(204)),
    },
    Large {
        // Nothing is wrong with it: it is read by name.
        name: "not-listed",
        kinds: &[],
        harm: |swift, container, object| {
            let segment = segment(swift, container, object);
            swift.lose_row(container, &segment);
            swift.lose_row(container, object);
        },
    },
];

fn large_objects_are_told_and_mended(pipeline: Pipeline) {
    let swift = SwiftCluster::shared(pipeline);
    let container = swift.fresh_container();
    let (backup, registry) = (Registry::start(), builder(swift, &container).start());
    let mut images = Vec::new();
    for (at, large) in LARGE.iter().enumerate() {
        let layer = Blob::new(bytes(500 + at as u64, 2 * SEGMENT + 1000));
        let image = Image::of(Style::Oci, "amd64", vec![layer]);
        registry.api().push_chunked(large.name, &image.layers[0].bytes(), SEGMENT);
        for api in [registry.api(), backup.api()] {
            api.push_image(large.name, "v1", &image);
        }
        let object = format!("files/{}", blob_key(&image.layers[0].digest));
        (large.harm)(swift, &container, &object);
        images.push(image);
    }
    let operator = operator(&registry);
    let (code, report) = operator.json(&["fsck", "--deep"]);
    assert_eq!(code, 1, "{report:#}");
    for large in &LARGE {
        let expected: BTreeSet<String> = large.kinds.iter().map(|&kind| kind.to_owned()).collect();
        assert_eq!(kinds(&report, &format!("{}:v1", large.name)), expected, "{}: {report:#}", large.name);
    }
    let damaged = LARGE.iter().filter(|large| !large.kinds.is_empty()).count();
    assert_eq!(report["images"].as_array().unwrap().len(), damaged, "{report:#}");
    let healed = operator.run(&["heal", "--deep", "--backup", backup.root().to_str().unwrap()]);
    assert_eq!(healed.code, 0, "{healed:?}");
    let (code, report) = operator.json(&["fsck", "--deep"]);
    assert_eq!((code, &report["images"]), (0, &serde_json::json!([])), "{report:#}");
    for (large, image) in LARGE.iter().zip(&images) {
        assert_eq!(registry.api().pull(large.name, "v1").digest, image.digest, "{}", large.name);
    }
    // What the harmed blobs consisted of is nobody's now, and whose it was is known.
    let orphans = report["orphans"].as_array().unwrap();
    assert!(orphans.iter().all(|orphan| orphan["upload"].is_string()), "{report:#}");
}

#[test]
fn static_large_objects_are_told_and_mended() {
    large_objects_are_told_and_mended(Pipeline::Full);
}

#[test]
fn dynamic_large_objects_are_told_and_mended() {
    large_objects_are_told_and_mended(Pipeline::Wikimedia);
}

#[test]
fn what_distribution_wrote_is_looked_at_without_one_write() {
    let swift = SwiftCluster::shared(Pipeline::Wikimedia);
    let container = swift.fresh_container();
    let old =
        DockerRegistry::builder().swift(swift, &container).set("storage.swift.chunksize", 2 << 20).start();
    let image = |seed| Image::of(Style::Docker, "amd64", vec![Blob::new(bytes(seed, 5 << 20))]);
    let (well, short) = (image(1), image(2));
    old.api().push_image("old/well", "v1", &well);
    old.api().push_image("old/short", "v1", &short);
    drop(old);
    let object = format!("files/{}", blob_key(&short.layers[0].digest));
    let lost = segment(swift, &container, &object);
    drop(swift.delete(&container, &lost).expect(204));
    let observer = builder(swift, &container).set("storage.mode", "observe");
    let registry = observer.allow_log("storage.delete.enabled: has no effect").start();
    let before = swift.rows(&container);
    let operator = operator(&registry);
    let (code, report) = operator.json(&["fsck"]);
    assert_eq!((code, &report["images"][0]["image"]), (1, &"old/short:v1".into()), "{report:#}");
    assert_eq!(
        report["notes"]["blob-unlisted"], 4,
        "a listing decides what layers and configs are: {report:#}"
    );
    let (code, impact) = operator.json(&["impact", "--object", &lost]);
    let images = impact["uses"][0]["images"].as_array().unwrap();
    assert_eq!((code, images.len(), &images[0]["image"]), (0, 1, &"old/short:v1".into()), "{impact:#}");
    assert_eq!(
        images[0]["pushed"]["user"],
        serde_json::Value::Null,
        "Distribution left no record: {impact:#}"
    );
    assert!(images[0]["pushed"]["at"].is_string(), "its link has an age: {impact:#}");
    let refused = operator.run(&["heal"]);
    assert_eq!(refused.code, 2);
    assert!(refused.errors.contains("storage.mode is observe"), "{refused:?}");
    assert_eq!(before, swift.rows(&container), "not one write");
}

#[test]
fn a_replica_that_is_down_is_no_damage_and_a_store_that_is_down_is_not_told_to_be_well() {
    let swift = SwiftCluster::builder().replicas(3).start();
    let container = swift.fresh_container();
    let registry = builder(&swift, &container).allow_log("fails its probe").start();
    registry.api().push_image("app", "v1", &Image::small(5));
    let operator = operator(&registry);
    swift.stop_server(Server::Object(0));
    let (code, report) = operator.json(&["fsck", "--deep"]);
    assert_eq!((code, &report["images"]), (0, &serde_json::json!([])), "{report:#}");
    for server in [1, 2] {
        swift.stop_server(Server::Object(server));
    }
    let blind = operator.run(&["fsck", "--deep", "--output", "json"]);
    assert_eq!(blind.code, 2, "{blind:?}");
    assert!(!blind.text.contains("blob-missing"), "{blind:?}");
}
