//! `wharfinger adopt` on a plain directory.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use wharfinger_test_support::{Image, Registry, Style, Tree, wharfinger_binary};

/// Runs `adopt` on a configuration; answers the exit code and what was printed.
fn adopt(config: &str, arguments: &[&str]) -> (i32, String) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.yml");
    fs::write(&file, config).unwrap();
    let mut command = Command::new(wharfinger_binary());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("REGISTRY_")) {
        command.env_remove(name);
    }
    let output = command.arg("adopt").arg(&file).args(arguments).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap_or(-1), String::from_utf8(text).unwrap())
}

fn config(registry: &Registry) -> String {
    format!("version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\n", registry.root().display())
}

fn json_of((code, text): (i32, String)) -> (i32, Value) {
    (code, serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")))
}

#[test]
fn a_survey_names_damage_and_leaves_the_directory_as_it_is() {
    let registry = Registry::start();
    let (image, damaged) = (Image::small(1), Image::of(Style::Oci, "amd64", Image::small(2).layers));
    registry.api().push_image("app", "v1", &image);
    registry.api().push_image("app", "damaged", &damaged);
    let tree = || Tree::read(registry.root()).without_own();
    let before = tree();
    let (code, survey) = json_of(adopt(&config(&registry), &["--dry-run", "--deep", "--output", "json"]));
    assert_eq!((code, &survey["findings"], &survey["tags"]), (0, &json!([]), &json!(2)), "{survey:#}");
    assert!(before == tree(), "the survey changed the directory");

    let layer = &damaged.layers[0];
    let mut bytes = layer.bytes();
    bytes[7] ^= 1;
    fs::write(registry.blob_path(&layer.digest), bytes).unwrap();
    let (code, survey) = json_of(adopt(&config(&registry), &["--dry-run", "--output", "json"]));
    assert_eq!(code, 0, "a changed byte is seen by the digest alone: {survey:#}");
    let (code, survey) = json_of(adopt(&config(&registry), &["--dry-run", "--deep", "--output", "json"]));
    assert_eq!((code, &survey["findings"][0]["images"]), (1, &json!(["app:damaged"])), "{survey:#}");
    assert_eq!(survey["findings"].as_array().unwrap().len(), 1, "{survey:#}");
}

#[test]
fn keys_that_are_not_supported_are_told_with_file_and_line() {
    let registry = Registry::start();
    let text = config(&registry)
        + "notifications:\n  endpoints:\n    - {name: ci, url: \"http://ci.example.org/\"}\n";
    let (code, report) = adopt(&text, &["--dry-run"]);
    assert_eq!(code, 0, "{report}");
    assert!(report.contains("config.yml:6: notifications.endpoints: not supported"), "{report}");
}

#[test]
fn what_cannot_be_told_is_the_third_exit_code() {
    let missing = "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: /nowhere/at/all\n";
    let unreachable = "version: 0.1\nstorage:\n  swift:\n    authurl: http://127.0.0.1:9/auth/v1.0\n    username: a:b\n    password: c\n    container: d\n";
    for text in [missing, unreachable, "version: 0.1\nstorage: {s3: {bucket: a}}\n"] {
        let (code, report) = adopt(text, &["--dry-run"]);
        assert_eq!(code, 2, "{report}");
        assert!(report.starts_with("wharfinger: "), "{report}");
    }
}
