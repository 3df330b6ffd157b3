//! Two sites of docker-registry 2.8.2, each with a Swift cluster of its own, held against each other.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use wharfinger_test_support::{
    Blob, Config, Digest, DockerRegistry, Image, Mark, Pipeline, ProxyRequest, Request, Style, SwiftCluster,
    free_port, pause, wait_until, wharfinger_binary,
};

const SITE: &str = "codfw";
const REPOSITORY: &str = "shop/cart";

/// The other cluster. Like the one here it has neither static large objects nor bulk.
fn other_cluster() -> &'static SwiftCluster {
    static THERE: OnceLock<SwiftCluster> = OnceLock::new();
    THERE.get_or_init(|| SwiftCluster::builder().pipeline(Pipeline::Wikimedia).start())
}

/// A container of one name in both clusters, and a configuration that knows both.
struct Sites {
    here: &'static SwiftCluster,
    there: &'static SwiftCluster,
    container: String,
    directory: TempDir,
    marks: [Mark; 2],
}

/// What the command answered.
struct Answer {
    code: i32,
    text: String,
    errors: String,
}

impl Sites {
    fn new() -> Sites {
        let (here, there) = (SwiftCluster::shared(Pipeline::Wikimedia), other_cluster());
        let container = here.fresh_container();
        there.create_container(&container);
        let directory = tempfile::tempdir().unwrap();
        Sites { here, there, container, directory, marks: [here.mark(), there.mark()] }
    }

    fn image(seed: u64) -> Image {
        Image::of(Style::Docker, "amd64", vec![Blob::layer(seed, 5 << 19), Blob::layer(seed + 1, 3000)])
    }

    /// Pushes images by docker-registry here, whose large layer has three segments.
    fn push(&self, images: &[(&str, &Image)]) {
        let builder = DockerRegistry::builder().swift(self.here, &self.container);
        let registry = builder.set("storage.swift.chunksize", 1 << 20).start();
        for (tag, image) in images {
            registry.api().push_image(REPOSITORY, tag, image);
        }
    }

    /// Copies every object as it is.
    fn copy(&self) {
        for name in self.here.list(&self.container) {
            let object = self.here.get(&self.container, &name).expect(200);
            let request = Request::new("PUT", &format!("/{}/{name}", self.container));
            let request = match object.header("x-object-manifest") {
                Some(manifest) => request.header("X-Object-Manifest", manifest).body(b"".as_slice()),
                None => request.body(object.body.as_slice()),
            };
            self.there.send(request).expect(201);
        }
    }

    /// From here on nothing may be written.
    fn watch(&mut self) {
        self.marks = [self.here.mark(), self.there.mark()];
    }

    #[track_caller]
    fn assert_nothing_written(&self) {
        for (cluster, mark) in [self.here, self.there].into_iter().zip(self.marks) {
            let place = format!("/{}", self.container);
            let ours = |request: &ProxyRequest| request.is_write() && request.path.contains(&place);
            let writes: Vec<_> = cluster.since(mark).into_iter().filter(ours).collect();
            assert!(writes.is_empty(), "{writes:?}");
        }
    }

    fn config(&self) -> Config {
        let mut config = Config::new(self.directory.path(), 1);
        config.use_swift(self.here.storage_config(&self.container));
        let storage = json!({ "swift": self.there.storage_config(&self.container) });
        config.set("replication.peers", json!([{ "name": SITE, "storage": storage }]));
        config
    }

    fn compare_with(&self, config: &Config, site: &str, arguments: &[&str]) -> Answer {
        let file = self.directory.path().join("config.yml");
        std::fs::write(&file, config.text()).unwrap();
        let output = command(&file, site).args(arguments).output().unwrap();
        Answer {
            code: output.status.code().unwrap_or(-1),
            text: String::from_utf8(output.stdout).unwrap(),
            errors: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Compares; what was written a moment ago counts, unless the arguments say otherwise.
    #[track_caller]
    fn compare(&self, arguments: &[&str]) -> (i32, Value) {
        let arguments: Vec<&str> = ["--output", "json"].iter().chain(arguments).copied().collect();
        let answer = self.compare_with(&self.config(), SITE, &arguments);
        let told = serde_json::from_str(&answer.text);
        (answer.code, told.unwrap_or_else(|error| panic!("{error}: {}\n{}", answer.text, answer.errors)))
    }
}

fn command(file: &std::path::Path, site: &str) -> Command {
    let mut command = Command::new(wharfinger_binary());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("REGISTRY_")) {
        command.env_remove(name);
    }
    command.args(["compare", "--with", site, "--config"]).arg(file);
    command
}

/// Every difference, as its kind, its object and what it is about.
fn differences(told: &Value) -> BTreeSet<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let one = |one: &Value| {
        let about = if one["tag"].is_null() { &one["digest"] } else { &one["tag"] };
        (text(&one["kind"]), text(&one["object"]), text(about))
    };
    told["differences"].as_array().unwrap().iter().map(one).collect()
}

fn expected(list: &[(&str, &str, &str)]) -> BTreeSet<(String, String, String)> {
    list.iter()
        .map(|(kind, object, about)| (kind.to_string(), object.to_string(), about.to_string()))
        .collect()
}

/// The images that cannot be pulled at a site.
fn broken(told: &Value, side: &str) -> Vec<String> {
    let images = told["images"].as_array().unwrap().iter();
    let broken = images.filter(|image| image["cannot_be_pulled"].as_array().unwrap().contains(&side.into()));
    broken.map(|image| image["image"].as_str().unwrap().to_owned()).collect()
}

fn blob(digest: &Digest) -> String {
    let hex = digest.hex();
    format!("files/docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2])
}

fn in_repository(rest: &str) -> String {
    format!("files/docker/registry/v2/repositories/{REPOSITORY}/{rest}")
}

#[test]
fn each_object_that_differs_is_named_with_its_images_and_nothing_is_written() {
    let mut sites = Sites::new();
    let images: Vec<Image> = (0..6).map(|number| Sites::image(10 * number)).collect();
    let tags = ["blob", "segment", "bytes", "moved", "link", "here"];
    sites.push(&tags.into_iter().zip(&images).collect::<Vec<_>>());
    sites.copy();
    sites.watch();
    let (code, told) = sites.compare(&["--settle", "0s"]);
    assert_eq!((code, told["verdict"].as_str()), (0, Some("same")), "{told}");
    assert_eq!(told["here"], told["there"]);

    let (here, there, container) = (sites.here, sites.there, &sites.container);
    there.delete(container, &blob(&images[0].layers[0].digest)).expect(204);
    let segments = there.segments_of(container, &blob(&images[1].layers[0].digest));
    there.delete(container, segments.last().unwrap()).expect(204);
    // A manifest of the same length with other bytes.
    let mut wrong = there.get(container, &blob(&images[2].digest)).expect(200).body;
    wrong[10] ^= 1;
    there.put(container, &blob(&images[2].digest), &wrong);
    let moved = images[0].digest.to_string();
    there.put(container, &in_repository("_manifests/tags/moved/current/link"), moved.as_bytes());
    let layer = images[4].layers[1].digest;
    there.delete(container, &in_repository(&format!("_layers/sha256/{}/link", layer.hex()))).expect(204);
    let revision = images[5].digest;
    let link = in_repository(&format!("_manifests/revisions/sha256/{}/link", revision.hex()));
    here.delete(container, &link).expect(204);
    // What is not compared: an upload in progress, what one left behind, what a site derives, what nobody knows.
    here.put(container, &in_repository("_uploads/1-2/startedat"), b"2026-11-29T21:00:00Z");
    here.put(container, &segment(REPOSITORY, "1-2"), b"in progress");
    here.put(container, &segment(REPOSITORY, "3-4"), b"left");
    there.put(container, "files/wharfinger/v1/catalog/complete", b"");
    there.put(container, "files/elsewhere", b"x");
    sites.watch();

    let (code, told) = sites.compare(&["--settle", "0s"]);
    let digest = |digest: &Digest| digest.to_string();
    let found = expected(&[
        ("missing-there", "blob", &digest(&images[0].layers[0].digest)),
        ("damaged-there", "blob", &digest(&images[1].layers[0].digest)),
        ("damaged-there", "blob", &digest(&images[2].digest)),
        ("differs", "tag", "moved"),
        ("missing-there", "layer-link", &digest(&layer)),
        ("missing-here", "revision", &digest(&revision)),
    ]);
    assert_eq!(differences(&told), found, "{told:#}");
    assert_eq!((code, told["verdict"].as_str()), (1, Some("different")));
    assert_eq!(told["leftovers_here"], json!({ "objects": 1, "bytes": 4 }));
    assert_eq!(broken(&told, "here"), ["shop/cart:here"]);
    let there_not = ["blob", "bytes", "link", "moved", "segment"].map(|tag| format!("{REPOSITORY}:{tag}"));
    // The tag that was moved there leads to the image whose layer is missing there.
    assert_eq!(broken(&told, "there"), there_not, "{told:#}");

    let other = sites.compare(&["--settle", "0s", "--repository", "other/*"]);
    assert_eq!((other.0, differences(&other.1)), (0, BTreeSet::new()));
    let text = sites.compare_with(&sites.config(), SITE, &["--settle", "0s"]);
    assert_eq!(text.code, 1);
    for part in ["shop/cart:blob cannot be pulled there", "missing there; here ", "they differ in 6 objects"]
    {
        assert!(text.text.contains(part), "{part}: {}", text.text);
    }
    sites.assert_nothing_written();
}

#[test]
fn what_a_listing_lacks_and_what_has_another_form_is_the_same() {
    let mut sites = Sites::new();
    let image = Sites::image(100);
    sites.push(&[("v1", &image)]);
    sites.copy();
    let (there, container) = (sites.there, &sites.container);
    let large = blob(&image.layers[0].digest);
    let segments = there.segments_of(container, &large);
    there.lose_row(container, &blob(&image.layers[1].digest));
    there.lose_row(container, &in_repository("_manifests/tags/v1/current/link"));
    there.lose_row(container, &segments[1]);
    // One object here, segments there.
    sites.here.put(container, &large, &image.layers[0].bytes());
    sites.watch();
    let (code, told) = sites.compare(&["--settle", "0s"]);
    assert_eq!((code, told["verdict"].as_str()), (0, Some("same")), "{told:#}");
    assert!(told["there"]["tags"] == 0 && told["here"]["tags"] == 1, "{told:#}");
    sites.assert_nothing_written();
}

#[test]
fn what_container_sync_did_not_copy_yet_is_in_flight_and_then_the_same() {
    let sites = Sites::new();
    sites.here.sync_container(&sites.container, sites.there);
    sites.push(&[("v1", &Sites::image(200))]);
    let (code, told) = sites.compare(&[]);
    assert_eq!((code, told["verdict"].as_str()), (0, Some("in-flight")), "{told:#}");
    assert_eq!(told["images"][0]["image"], "shop/cart:v1");
    assert_eq!(told["images"][0]["in_flight"], true);
    assert_eq!(broken(&told, "there"), ["shop/cart:v1"]);
    sites.here.start_sync();
    let what = "container sync to copy everything";
    wait_until(what, Duration::from_secs(60), || {
        sites.there.list(&sites.container).len() == sites.here.list(&sites.container).len()
    });
    sites.here.stop_sync();
    let (code, told) = sites.compare(&["--settle", "0s"]);
    assert_eq!((code, told["verdict"].as_str()), (0, Some("same")), "{told:#}\n{}", sites.here.sync_log());
}

#[test]
fn a_site_that_does_not_answer_or_is_not_known_is_told() {
    let sites = Sites::new();
    let dead = format!("http://127.0.0.1:{}/auth/v1.0", free_port());
    let mut down_there = sites.config();
    let mut storage = sites.there.storage_config(&sites.container);
    storage["authurl"] = dead.clone().into();
    storage["responsetimeout"] = "500ms".into();
    down_there.set("replication.peers", json!([{ "name": SITE, "storage": { "swift": storage } }]));
    let answer = sites.compare_with(&down_there, SITE, &["--output", "json"]);
    assert_eq!(answer.code, 2, "{}", answer.errors);
    let told: Value = serde_json::from_str(&answer.text).unwrap();
    assert_eq!(
        (told["verdict"].as_str(), told["unknown"][0]["side"].as_str()),
        (Some("unknown"), Some("there"))
    );
    assert!(answer.errors.contains("the store there cannot be listed (codfw"), "{}", answer.errors);

    let mut down_here = sites.config();
    down_here.set("storage.swift.authurl", dead);
    down_here.set("storage.swift.responsetimeout", "500ms");
    let answer = sites.compare_with(&down_here, SITE, &[]);
    assert_eq!(answer.code, 2);
    assert!(answer.errors.contains("the store here cannot be listed"), "{}", answer.errors);

    let answer = sites.compare_with(&sites.config(), "eqiad", &[]);
    assert_eq!(answer.code, 2);
    assert!(answer.errors.contains("replication.peers has codfw"), "{}", answer.errors);

    // The other site by its own configuration, with a key that is not supported here.
    let mut theirs = Config::new(sites.directory.path(), 1);
    theirs.use_swift(sites.there.storage_config(&sites.container));
    theirs.set("proxy.remoteurl", "https://registry-1.docker.io");
    let file = sites.directory.path().join("theirs.yml");
    std::fs::write(&file, theirs.text()).unwrap();
    let answer = sites.compare_with(&sites.config(), file.to_str().unwrap(), &[]);
    assert_eq!(answer.code, 0, "{}{}", answer.text, answer.errors);
}

/// The first segment of an upload, as 2.8 names it.
fn segment(repository: &str, upload: &str) -> String {
    let path = format!("/docker/registry/v2/repositories/{repository}/_uploads/{upload}/data");
    let hex: String = path.bytes().map(|byte| format!("{byte:02x}")).collect();
    let random = Digest::sha256(path.as_bytes()).hex();
    let hex = format!("{hex}{random}da39a3ee5e6b4b0d3255bfef95601890afd80709");
    format!("segments/{}/{}/0000000000000001", &hex[..3], &hex[3..])
}

/// Rows of a registry of 2.8: per four blobs a repository's worth of links, and segments with their long names.
fn rows(count: u64) -> impl Iterator<Item = (String, u64, String)> {
    const EMPTY: &str = "d41d8cd98f00b204e9800998ecf8427e";
    let row = |number: u64| {
        let digest = Digest::sha256(&(number / 4).to_le_bytes());
        let hex = digest.hex();
        let repository = format!("team/app-{}", number / 400);
        let etag = hex[..32].to_owned();
        let link = |below: String| {
            (format!("files/docker/registry/v2/repositories/{repository}/{below}/link"), 71, etag.clone())
        };
        match number % 4 {
            0 => (blob(&digest), 0, EMPTY.to_owned()),
            1 => link(format!("_layers/sha256/{hex}")),
            2 if number % 8 == 2 => link(format!("_manifests/revisions/sha256/{hex}")),
            2 => link(format!("_manifests/tags/v{}/current", number / 8)),
            _ => (segment(&repository, &hex[..36]), 20 << 20, etag),
        }
    };
    (0..count).map(row)
}

/// Most memory that the process had at once, in bytes.
fn peak_memory(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
}

#[test]
#[ignore = "fills two listings with 100,000 rows; cargo test -p wharfinger-tests --features full --test swift_compare -- --ignored --nocapture"]
fn a_hundred_thousand_objects_are_compared_in_ten_seconds_and_a_hundred_mebibytes() {
    let sites = Sites::new();
    for cluster in [sites.here, sites.there] {
        cluster.fill_listing(&sites.container, rows(100_000));
    }
    let file: PathBuf = sites.directory.path().join("config.yml");
    std::fs::write(&file, sites.config().text()).unwrap();
    let printed = std::fs::File::create(sites.directory.path().join("printed")).unwrap();
    let begin = Instant::now();
    let mut child = command(&file, SITE).stdout(printed).spawn().unwrap();
    let mut peak = 0;
    let status = loop {
        peak = peak.max(peak_memory(child.id()).unwrap_or(0));
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        pause(Duration::from_millis(10));
    };
    let took = begin.elapsed();
    let text = std::fs::read_to_string(sites.directory.path().join("printed")).unwrap();
    println!("{text}\n{took:.2?}, {} MiB", peak >> 20);
    assert_eq!(status.code(), Some(0), "{text}");
    assert!(took <= Duration::from_secs(10) && peak > 0 && peak <= 100 << 20, "{took:?}, {peak} bytes");
}
