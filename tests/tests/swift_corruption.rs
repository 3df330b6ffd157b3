//! The corruption matrix on real Swift: what a directory has, and segments, headers and listings besides.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use std::collections::BTreeSet;

use wharfinger_test_support::{
    Blob, Builder, DockerRegistry, Ground, Harm, Image, LargeObjects, Matrix, Pipeline, Registry, Server,
    Style, SwiftCluster, Tree, blob_key, bytes,
};

const HARMS: [Harm; 6] =
    [Harm::Missing, Harm::Empty, Harm::Truncated, Harm::Flipped, Harm::Swapped, Harm::Unlisted];
const SEGMENT: usize = 5 << 20;

fn builder(swift: &SwiftCluster, container: &str) -> Builder {
    Registry::builder().swift(swift, container).set("storage.swift.segmentsize", SEGMENT).allow_harm()
}

/// Distribution's tree: what is ours beside it changes by itself.
fn tree(ground: Ground<'_>) -> Tree {
    ground.tree().filter(|name| name.starts_with("/docker/"))
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
    let (operator, from) = (registry.operator(), ["--backup", backup.root().to_str().unwrap()]);

    let (code, report) = operator.json(&["fsck", "--deep"]);
    assert_eq!(code, 1);
    matrix.assert_told(&report);
    let (code, _) = operator.json(&[&["heal", "--dry-run", "--deep"], &from[..]].concat());
    assert_eq!(code, 1);
    assert_eq!(harmed.changed(&tree(ground)), BTreeSet::new(), "who only looks changes nothing");
    matrix.assert_pulled(&registry.api());

    let healed = operator.run(&[&["heal", "--deep", "--relink"], &from[..]].concat());
    let (_, report) = operator.json(&["fsck", "--deep"]);
    matrix.assert_left(&report, true);
    assert_eq!(well.changed(&tree(ground)), matrix.lasting(&well, &harmed, true), "{healed:?}");
    matrix.assert_mended(&registry.api());
}

fn large_objects_are_told_and_mended(pipeline: Pipeline) {
    let swift = SwiftCluster::shared(pipeline);
    let container = swift.fresh_container();
    let (backup, registry) = (Registry::start(), builder(swift, &container).start());
    let large = LargeObjects::push(&registry.api(), &backup.api(), SEGMENT);
    let ground = Ground::Swift(swift, &container);
    large.harm(ground);
    let operator = registry.operator();
    let (code, report) = operator.json(&["fsck", "--deep"]);
    assert_eq!(code, 1, "{report:#}");
    large.assert_told(&report);
    let healed = operator.run(&["heal", "--deep", "--backup", backup.root().to_str().unwrap()]);
    assert_eq!(healed.code, 0, "{healed:?}");
    let (code, report) = operator.json(&["fsck", "--deep"]);
    assert_eq!(code, 0, "{report:#}");
    large.assert_mended(&report, &registry.api(), ground);
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
    let lost = swift.segments_of(&container, &object).into_iter().nth(1).expect("a second segment");
    drop(swift.delete(&container, &lost).expect(204));
    let observer = builder(swift, &container).set("storage.mode", "observe");
    let registry = observer.allow_log("storage.delete.enabled: has no effect").start();
    let before = swift.rows(&container);
    let operator = registry.operator();
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
    let operator = registry.operator();
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
