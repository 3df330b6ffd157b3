//! Who pushed and who pulled last: told of the images that damage hurts, also after the server is gone.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use wharfinger_test_support::{Image, Operator, Registry, wait_until};

fn operator(registry: &Registry) -> Operator {
    Operator::of(&registry.directory().join("config.yml"))
}

/// The one image that needs an image's layer.
fn used(operator: &Operator, image: &Image) -> Value {
    let (code, impact) = operator.json(&["impact", "--digest", &image.layers[0].digest.to_string()]);
    assert_eq!(code, 0, "{impact:#}");
    impact["uses"][0]["images"][0].clone()
}

#[test]
fn what_damage_hurts_is_told_with_who_pushed_it_and_who_pulled_it_last() {
    let builder = Registry::builder();
    let file = builder.directory().join("htpasswd");
    let lines = ["ci", "node"].map(|user| format!("{user}:{}\n", bcrypt::hash(user, 4).unwrap()));
    fs::write(&file, lines.concat()).unwrap();
    let mut registry = builder.set("auth.htpasswd", json!({ "realm": "test", "path": file })).start();
    let image = Image::small(1);
    registry.api().with_basic("ci", "ci").push_image("app", "v1", &image);
    let node = registry.api().with_basic("node", "node").with_header("X-Forwarded-For", "6.6.6.6, 10.1.2.3");
    let asked = node.head("/v2/app/manifests/v1").expect(200);
    node.get(&format!("/v2/app/manifests/{}", asked.required("docker-content-digest"))).expect(200);
    registry.stop();

    let operator = operator(&registry);
    let found = used(&operator, &image);
    assert_eq!((&found["image"], &found["pushed"]["user"]), (&"app:v1".into(), &"ci".into()), "{found:#}");
    assert_eq!(found["pulled"]["user"], "node", "by the digest that the tag had: {found:#}");
    assert_eq!(found["pulled"]["address"], "10.1.2.3", "what stands before it anyone may write: {found:#}");

    fs::remove_file(registry.blob_path(&image.layers[0].digest)).unwrap();
    let (code, report) = operator.json(&["fsck"]);
    assert_eq!((code, &report["images"][0]["republish"]), (1, &true.into()), "{report:#}");
    assert_eq!(report["images"][0]["pushed"]["user"], "ci", "{report:#}");
    let told = operator.run(&["fsck"]).text;
    let line = told.lines().find(|line| line.contains("app:v1  pushed ")).unwrap();
    assert!(line.contains(" by ci from 127.0.0.1; last pulled ") && line.ends_with(" by node from 10.1.2.3"));
}

#[test]
fn a_push_is_on_record_while_the_server_runs_and_after_it_was_killed() {
    let mut registry = Registry::start();
    let image = Image::small(2);
    registry.api().push_image("app", "v1", &image);
    let operator = operator(&registry);
    // A link has an age as well: the address is what only the record has.
    let is_known = || used(&operator, &image)["pushed"]["address"] == "127.0.0.1";
    wait_until("the push to be written down", Duration::from_secs(30), is_known);
    registry.kill();
    assert!(is_known());
}

#[test]
fn without_the_record_only_the_age_of_a_link_is_told() {
    let mut registry = Registry::builder().set("activity.enabled", false).start();
    let image = Image::small(3);
    registry.api().push_image("app", "v1", &image);
    registry.api().pull("app", "v1");
    registry.stop();
    let found = used(&operator(&registry), &image);
    assert!(found["pushed"]["at"].is_string() && found["pulled"].is_null(), "{found:#}");
    assert!(!registry.root().join("wharfinger/v1/activity").exists());
}
