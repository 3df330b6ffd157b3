//! `wharfinger doctor` on a directory, before honest and lying fronts.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

#[path = "doctor/front.rs"]
mod front;

use std::fs;
use std::process::Command;

use front::LyingFront;
use serde_json::{Value, json};
use wharfinger_test_support::{
    Blob, Builder, Image, Index, Registry, Response, Style, Tree, bytes, wharfinger_binary,
};

/// What a command answered.
struct Answer {
    code: i32,
    text: String,
}

fn doctor(registry: &Registry, arguments: &[&str]) -> Answer {
    let mut command = Command::new(wharfinger_binary());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("REGISTRY_")) {
        command.env_remove(name);
    }
    let config = registry.directory().join("config.yml");
    let output = command.arg("doctor").args(arguments).arg("--config").arg(config).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    Answer { code: output.status.code().unwrap_or(-1), text: String::from_utf8(text).unwrap() }
}

impl Answer {
    #[track_caller]
    fn expect(self, code: i32, told: &[&str]) -> Answer {
        assert_eq!(self.code, code, "{}", self.text);
        for told in told {
            assert!(self.text.contains(told), "{told} is not in\n{}", self.text);
        }
        self
    }

    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
}

/// Damage that is looked at is logged.
fn builder() -> Builder {
    ["a blob is damaged", "the request failed", "the answer was broken off"]
        .into_iter()
        .fold(Registry::builder(), Builder::allow_log)
}

fn image(seed: u64) -> Image {
    Image::of(Style::Oci, "amd64", vec![Blob::seeded(seed, 2_000_000), Blob::seeded(seed + 1, 3_000)])
}

fn via(registry: &Registry) -> String {
    format!("http://{}", registry.address())
}

#[test]
fn a_healthy_image_is_healthy_by_every_layer_and_stays_as_it_is() {
    let registry = Registry::start();
    let (app, multi) = (image(1), Index::two_platforms(Style::Docker, 7));
    registry.api().push_image("team/app", "v1", &app);
    registry.api().push_index("team/app", "multi", &multi);
    let tree = || Tree::read(registry.root()).without_own();
    let before = tree();
    let front = via(&registry);
    let good = ["verdict    all good: every layer says the same"];
    for arguments in [
        vec!["team/app:v1"],
        vec!["registry.example.org:5000/team/app:v1", "--via", &front],
        vec![&format!("team/app@{}", app.digest), "--via", &front, "--no-deep"],
        vec!["team/app:multi", "--platform", "linux/arm64", "--via", &front],
        vec!["--all-tags", "team/app", "--deep"],
    ] {
        let answer = doctor(&registry, &arguments).expect(0, &good);
        assert!(!answer.text.contains("WRONG") && !answer.text.contains("not asked"), "{}", answer.text);
    }
    let report = doctor(&registry, &["--all-tags", "team/app", "--via", &front, "--output", "json"]).json();
    assert_eq!(
        (&report["deep"], &report["verdicts"], &report["unknown"]),
        (&json!(true), &json!([]), &json!([]))
    );
    let images: Vec<&Value> =
        report["images"].as_array().unwrap().iter().map(|image| &image["image"]).collect();
    assert_eq!(images, ["team/app:multi", "team/app:v1"]);
    let asked =
        [format!("the server at {front}"), "the server".into(), registry.root().display().to_string()];
    assert_eq!(report["asked"], json!(asked));
    let layer = report.pointer("/images/1/tree/children/0/children/1").unwrap();
    assert_eq!((&layer["role"], &layer["size"]), (&json!("layer"), &json!(2_000_000)));
    for said in layer["said"].as_array().unwrap().iter().filter(|said| said["station"] != "server") {
        let proved = said["proved"] == true || said["station"] == "chunk-index";
        assert!(said["answer"] == "right" && proved, "{said:#}");
    }
    assert!(before == tree(), "the doctor changed the directory");
    doctor(&registry, &["team/app:v2"]).expect(2, &["verdict    could not tell", "there is no such tag"]);
    doctor(&registry, &["team/app:v1", "--with", "ams"]).expect(2, &["no site is called \"ams\""]);
    doctor(&registry, &["--all-tags", "team/none"]).expect(2, &["no tag is listed in repository team/none"]);
}

#[test]
fn without_a_server_the_store_is_asked_alone() {
    let mut registry = Registry::start();
    registry.api().push_image("app", "v1", &image(1));
    registry.stop();
    doctor(&registry, &["app:v1"]).expect(0, &["all good", "not asked  the server: no server answers at"]);
}

#[test]
fn what_is_wrong_in_the_directory_is_told_with_its_cause_and_mended_by_a_push() {
    let registry = builder().start();
    let (app, front) = (image(1), via(&registry));
    registry.api().push_image("app", "v1", &app);
    let layer = &app.layers[0];
    let (path, store) = (registry.blob_path(&layer.digest), registry.root().display().to_string());
    let mut flipped = layer.bytes();
    flipped[1_500_000] ^= 1;
    fs::write(&path, &flipped).unwrap();
    doctor(&registry, &["app:v1", "--no-deep"]).expect(0, &["were not read (--deep)"]);
    let told =
        format!("the store's copy of layer 1 of app:v1 ({}) has other bytes: its 2000000", layer.digest);
    let arguments = ["app:v1", "--via", &front];
    let report = doctor(&registry, &[&arguments[..], &["--output", "json"]].concat()).expect(1, &[]).json();
    let verdicts = report["verdicts"].as_array().unwrap();
    assert_eq!((verdicts.len(), &verdicts[0]["who"]), (1, &json!(store)), "{report:#}");
    assert_eq!(verdicts[0]["images"], json!(["app:v1"]));
    let mend = "docker push REGISTRY/app:v1\n";
    let answer = doctor(&registry, &arguments).expect(1, &[&told, mend, "<-- first liar", "follows"]);
    assert_eq!(answer.text.matches("<-- first liar").count(), 1, "{}", answer.text);
    assert!(
        answer.text.contains("For the incident page:\napp:v1 cannot be pulled whole."),
        "{}",
        answer.text
    );

    registry.api().push_image("app", "v1", &app);
    doctor(&registry, &arguments).expect(0, &["all good"]);

    fs::remove_file(&path).unwrap();
    doctor(&registry, &arguments).expect(1, &["is not there", mend]);
    registry.api().push_image("app", "v1", &app);
    let link = registry.root().join("docker/registry/v2/repositories/app/_manifests/tags/v1/current/link");
    fs::write(&link, "").unwrap();
    doctor(&registry, &["app:v1"]).expect(1, &["the store's link of tag v1 of app is empty", mend]);
}

#[test]
fn another_site_is_asked_and_its_copy_named() {
    let there = Registry::start();
    let site = json!([{ "name": "ams", "storage": { "filesystem": { "rootdirectory": there.root() } } }]);
    let here = builder().set("replication.peers", site).start();
    let app = image(1);
    for registry in [&here, &there] {
        registry.api().push_image("app", "v1", &app);
    }
    doctor(&here, &["app:v1"]).expect(0, &["site ams; the bytes"]);
    let layer = app.layers[0].digest;
    fs::write(here.blob_path(&layer), bytes(9, 2_000_000)).unwrap();
    let heal = format!("mend       wharfinger heal --digest {layer} --config ");
    doctor(&here, &["app:v1"]).expect(1, &["intact     site ams", &heal]);
    fs::write(here.blob_path(&layer), app.layers[0].bytes()).unwrap();
    fs::write(there.blob_path(&layer), bytes(9, 1_999_999)).unwrap();
    let answer = doctor(&here, &["app:v1", "--with", "ams"]);
    let answer = answer.expect(1, &["verdict    site ams is short: it has 1999999 bytes", "# at site ams"]);
    assert_eq!(answer.text.matches("<-- first liar").count(), 1, "{}", answer.text);
}

#[test]
fn a_front_that_lies_is_named_and_nobody_else() {
    let registry = builder().start();
    let (old, app) = (image(1), image(20));
    registry.api().push_image("app", "v1", &old);
    let stale = registry.api().get("/v2/app/manifests/v1").expect(200);
    registry.api().push_image("app", "v1", &app);
    let layer = &app.layers[0];
    let (tag, blob) = ("/v2/app/manifests/v1".to_owned(), format!("/v2/app/blobs/{}", layer.digest));
    let good = registry.api().get(&blob).expect(200);
    let mut flipped = good.clone();
    flipped.body[77] ^= 1;
    let status = |status| Response { status, headers: Vec::new(), body: b"no".to_vec() };
    let front = LyingFront::start(registry.client().port(), "1.1 varnish (Varnish/7.1)");
    let (honest, lying) = (via(&registry), front.url());
    let arguments = ["app:v1", "--via", &lying, "--via", &honest];
    doctor(&registry, &arguments).expect(0, &["asked      Varnish at http://127.0.0.1:"]);
    for (path, lie, code, told) in [
        (
            &tag,
            stale,
            1,
            format!("serves a stale manifest, {}; the tag points to {}", old.digest, app.digest),
        ),
        (&blob, flipped, 1, "has wrong bytes: its 2000000 bytes have the digest sha256:".to_owned()),
        (&blob, status(404), 1, "answers 404 (HIT, age 86400 s)".to_owned()),
        (&blob, status(503), 2, "it answers 503".to_owned()),
    ] {
        front.lie(path, Some(lie));
        let answer = doctor(&registry, &arguments).expect(code, &[&told]);
        let liars = usize::from(code == 1);
        assert_eq!(answer.text.matches("<-- first liar").count(), liars, "{}", answer.text);
        if code == 1 {
            let named = format!("verdict    Varnish at {lying} ");
            answer.expect(1, &[&named, &format!("mend       curl -X PURGE {lying}{path}")]);
        }
        front.lie(path, None);
    }
    front.cut(&blob);
    doctor(&registry, &arguments).expect(1, &["its body breaks off after", "mend       curl -X PURGE"]);
    // Once is no damage.
    front.lie_once(&tag, status(404));
    doctor(&registry, &["app:v1", "--no-deep", "--via", &lying]).expect(0, &["all good"]);
    drop(front);
    let answer = doctor(&registry, &arguments).expect(2, &["could not tell: the server at", "no answer: "]);
    assert!(!answer.text.contains("WRONG"), "{}", answer.text);
}

#[test]
fn who_may_pull_is_said_in_the_url_and_never_told() {
    let builder = Registry::builder();
    let file = builder.directory().join("htpasswd");
    fs::write(&file, format!("deploy:{}\n", bcrypt::hash("hunter2@", 4).unwrap())).unwrap();
    let registry = builder.set("auth.htpasswd", json!({ "realm": "test", "path": file })).start();
    registry.api().with_basic("deploy", "hunter2@").push_image("app", "v1", &Image::small(1));
    let told = "it answers 401: who may pull goes into its URL";
    doctor(&registry, &["app:v1", "--via", &via(&registry)]).expect(2, &[told]);
    let with = format!("named=http://deploy:hunter2%40@{}", registry.address());
    let answer = doctor(&registry, &["app:v1", "--via", &with]);
    let answer = answer.expect(0, &[&format!("asked      named at {}, the server, ", via(&registry))]);
    assert!(!answer.text.contains("hunter2"), "{}", answer.text);
}
