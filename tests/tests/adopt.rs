//! Taking over a container of Distribution 2.8 in place, and giving it back, on real Swift.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;
use wharfinger_test_support::{
    Blob, Config, Digest, DockerRegistry, Image, Index, Pipeline, Style, SwiftCluster, bytes,
    wharfinger_binary,
};

const PIPELINES: [Pipeline; 2] = [Pipeline::Full, Pipeline::Wikimedia];

/// A configuration for a container, and the commands on it.
struct Site {
    directory: TempDir,
    config: Config,
}

/// What a command answered.
struct Answer {
    code: i32,
    text: String,
    errors: String,
}

impl Answer {
    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.text)
            .unwrap_or_else(|error| panic!("{error}: {}\n{}", self.text, self.errors))
    }
}

impl Site {
    fn new(swift: &SwiftCluster, container: &str) -> Site {
        let directory = tempfile::tempdir().unwrap();
        let mut config = Config::new(directory.path(), 1);
        config.use_swift(swift.storage_config(container));
        Site { directory, config }
    }

    fn file(&self) -> PathBuf {
        let file = self.directory.path().join("config.yml");
        std::fs::write(&file, self.config.text()).unwrap();
        file
    }

    fn adopt(&self, arguments: &[&str]) -> Answer {
        let mut command = Command::new(wharfinger_binary());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("REGISTRY_")) {
            command.env_remove(name);
        }
        let output = command.arg("adopt").arg(self.file()).args(arguments).output().unwrap();
        Answer {
            code: output.status.code().unwrap_or(-1),
            text: String::from_utf8(output.stdout).unwrap(),
            errors: String::from_utf8(output.stderr).unwrap(),
        }
    }

    #[track_caller]
    fn survey(&self, arguments: &[&str]) -> (i32, Value) {
        let arguments: Vec<&str> =
            ["--dry-run", "--output", "json"].iter().chain(arguments).copied().collect();
        let answer = self.adopt(&arguments);
        (answer.code, answer.json())
    }
}

/// What docker-registry 2.8.2 wrote: an image of two layers, one of them of three segments, and an index.
struct Corpus {
    cart: Image,
    multi: Index,
}

impl Corpus {
    fn images(&self) -> impl Iterator<Item = &Image> {
        [&self.cart].into_iter().chain(&self.multi.images)
    }

    fn write(swift: &SwiftCluster, container: &str) -> Corpus {
        let old =
            DockerRegistry::builder().swift(swift, container).set("storage.swift.chunksize", 2 << 20).start();
        let api = old.api();
        let cart = Image::of(Style::Docker, "amd64", vec![Blob::layer(1, 5 << 20), Blob::layer(2, 3000)]);
        api.push_image("shop/cart", "v1", &cart);
        api.push_image("shop/cart", "v2", &cart);
        let multi = Index::two_platforms(Style::Oci, 7);
        api.push_index("multi", "latest", &multi);
        Corpus { cart, multi }
    }
}

/// Names of objects of Distribution.
fn blob(digest: &Digest) -> String {
    let hex = digest.hex();
    format!("files/docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2])
}

fn in_repository(name: &str, rest: &str) -> String {
    format!("files/docker/registry/v2/repositories/{name}/{rest}")
}

fn layer_link(name: &str, digest: &Digest) -> String {
    in_repository(name, &format!("_layers/sha256/{}/link", digest.hex()))
}

fn revision_link(name: &str, digest: &Digest) -> String {
    in_repository(name, &format!("_manifests/revisions/sha256/{}/link", digest.hex()))
}

fn tag_link(name: &str, tag: &str) -> String {
    in_repository(name, &format!("_manifests/tags/{tag}/current/link"))
}

/// The name of a segment of a dynamic large object.
fn segment(swift: &SwiftCluster, container: &str, object: &str, number: u64) -> String {
    let header = swift.head(container, object).expect(200).required("x-object-manifest").to_owned();
    let prefix = header.strip_prefix(container).unwrap().trim_start_matches('/').to_owned();
    format!("{prefix}/{number:016}")
}

/// What a survey found: kind, what, images.
fn findings(survey: &Value) -> BTreeSet<(String, String, Vec<String>)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let found = survey["findings"].as_array().unwrap().iter().map(|finding| {
        let images = finding["images"].as_array().unwrap().iter().map(text).collect();
        (text(&finding["kind"]), text(&finding["what"]), images)
    });
    found.collect()
}

#[test]
fn a_healthy_container_is_told_as_it_is_and_nothing_is_written() {
    for pipeline in PIPELINES {
        let swift = SwiftCluster::shared(pipeline);
        let container = swift.fresh_container();
        let corpus = Corpus::write(swift, &container);
        let site = Site::new(swift, &container);
        let mark = swift.mark();
        let (code, survey) = site.survey(&["--deep"]);
        let writes: Vec<_> = swift.since(mark).into_iter().filter(|request| request.is_write()).collect();
        assert!(writes.is_empty(), "{writes:?}");
        assert_eq!(
            (code, &survey["findings"], &survey["unknown"]),
            (0, &json!([]), &json!([])),
            "{survey:#}"
        );
        let number = |pointer: &str| survey.pointer(pointer).unwrap().as_u64().unwrap();
        let blobs: Vec<&Blob> = corpus.images().flat_map(Image::blobs).collect();
        let bytes: u64 = blobs.iter().map(|blob| blob.size).sum();
        for (pointer, expected) in [
            ("/repositories", 2),
            ("/tags", 3),
            ("/manifests", 4),
            ("/blobs", blobs.len() as u64),
            ("/holdings/dynamic/objects", blobs.len() as u64),
            ("/holdings/dynamic/bytes", bytes),
            ("/holdings/segments/bytes", bytes),
            ("/hashed/bytes", bytes),
            ("/unreferenced/objects", 0),
            ("/foreign/objects", 0),
            ("/schema1", 0),
        ] {
            assert_eq!(number(pointer), expected, "{pointer} of {survey:#}");
        }
        assert_eq!((&survey["orphans"], &survey["uploads"]), (&json!([]), &json!([])));
        let offered = pipeline == Pipeline::Full;
        assert_eq!(survey.pointer("/site/swift/static_large_objects"), Some(&json!(offered)));
        let text = site.adopt(&["--dry-run"]).text;
        assert!(text.contains("Damaged: nothing") && text.contains("2 repositories, 3 tags"), "{text}");
    }
}

/// One repository for each kind of damage; each is named, and nothing else is.
#[test]
fn each_damage_is_named_and_nothing_else() {
    for pipeline in PIPELINES {
        let swift = SwiftCluster::shared(pipeline);
        let container = swift.fresh_container();
        let c = container.as_str();
        let old = DockerRegistry::builder().swift(swift, c).set("storage.swift.chunksize", 1 << 20).start();
        let api = old.api();
        let mut expected = BTreeSet::new();
        let mut expect = |kind: &str, what: String, image: &str| {
            expected.insert((kind.to_owned(), what, vec![image.to_owned()]));
        };
        let push = |name: &str, seed: u64| {
            // Three segments.
            let image = Image::of(Style::Docker, "amd64", vec![Blob::layer(seed, (2 << 20) + 500)]);
            api.push_image(name, "v1", &image);
            image
        };
        push("healthy", 1);

        let image = push("segment-deleted", 2);
        let layer = image.layers[0].digest;
        swift.delete(c, &segment(swift, c, &blob(&layer), 2)).expect(204);
        expect("blob-damaged", layer.to_string(), "segment-deleted:v1");

        let image = push("last-segment-deleted", 3);
        let layer = image.layers[0].digest;
        swift.delete(c, &segment(swift, c, &blob(&layer), 3)).expect(204);
        expect("blob-damaged", layer.to_string(), "last-segment-deleted:v1");

        let image = push("segment-lost-on-disk", 4);
        let layer = image.layers[0].digest;
        swift.remove_file(c, &segment(swift, c, &blob(&layer), 1));
        expect("blob-damaged", layer.to_string(), "segment-lost-on-disk:v1");

        let image = push("all-segments-deleted", 5);
        let layer = image.layers[0].digest;
        for number in 1..=3 {
            swift.delete(c, &segment(swift, c, &blob(&layer), number)).expect(204);
        }
        expect("blob-damaged", layer.to_string(), "all-segments-deleted:v1");

        let image = push("blob-deleted", 6);
        let layer = image.layers[0].digest;
        swift.delete(c, &blob(&layer)).expect(204);
        expect("blob-missing", layer.to_string(), "blob-deleted:v1");

        let image = push("layer-unlinked", 7);
        let layer = image.layers[0].digest;
        swift.delete(c, &layer_link("layer-unlinked", &layer)).expect(204);
        expect("blob-unlinked", layer.to_string(), "layer-unlinked:v1");

        let image = push("revision-unlinked", 8);
        swift.delete(c, &revision_link("revision-unlinked", &image.digest)).expect(204);
        expect("manifest-unlinked", image.digest.to_string(), "revision-unlinked:v1");

        let image = push("manifest-deleted", 9);
        swift.delete(c, &blob(&image.digest)).expect(204);
        expect("manifest-missing", image.digest.to_string(), "manifest-deleted:v1");

        let image = push("manifest-changed", 10);
        let mut changed = image.manifest.clone();
        changed[10] ^= 1;
        swift.put(c, &blob(&image.digest), &changed);
        expect("manifest-damaged", image.digest.to_string(), "manifest-changed:v1");

        push("tag-link-empty", 11);
        swift.put(c, &tag_link("tag-link-empty", "v1"), b"");
        let key = tag_link("tag-link-empty", "v1").replacen("files/", "", 1);
        expect("link-broken", key, "tag-link-empty:v1");

        let image = push("revision-link-cut", 12);
        let link = revision_link("revision-link-cut", &image.digest);
        swift.put(c, &link, &image.digest.to_string().as_bytes()[..20]);
        expect("link-broken", link.replacen("files/", "", 1), "revision-link-cut:v1");

        push("tag-link-lost", 13);
        swift.remove_file(c, &tag_link("tag-link-lost", "v1"));
        let key = tag_link("tag-link-lost", "v1").replacen("files/", "", 1);
        expect("link-lost", key, "tag-link-lost:v1");

        let index = Index::two_platforms(Style::Oci, 14);
        api.push_index("child-deleted", "v1", &index);
        let child = index.images[1].digest;
        swift.delete(c, &blob(&child)).expect(204);
        expect("manifest-missing", child.to_string(), "child-deleted:v1");

        let image = push("segment-replaced", 15);
        let replaced = image.layers[0].digest;
        let name = segment(swift, c, &blob(&replaced), 2);
        swift.put(c, &name, &bytes(1, 1 << 20));

        let session = api.start_upload("in-progress");
        api.patch(&session, 0, &bytes(2, 3000)).expect(202);
        swift.put(c, "notes.txt", b"foreign");
        swift.put(c, "files/docker/registry/v2/strange", b"foreign");

        let site = Site::new(swift, c);
        let mark = swift.mark();
        let (code, survey) = site.survey(&[]);
        let writes: Vec<_> = swift.since(mark).into_iter().filter(|request| request.is_write()).collect();
        assert!(writes.is_empty(), "{writes:?}");
        assert_eq!(findings(&survey), expected, "{:#}", survey["findings"]);
        assert_eq!((code, &survey["unknown"]), (1, &json!([])));

        // The header of this blob is gone; its segments tell whose they are.
        let orphans = survey["orphans"].as_array().unwrap();
        assert_eq!(orphans.len(), 1, "{orphans:?}");
        assert_eq!((&orphans[0]["repository"], &orphans[0]["segments"]), (&json!("blob-deleted"), &json!(3)));
        let uploads = survey["uploads"].as_array().unwrap();
        assert_eq!(uploads.len(), 1, "{uploads:?}");
        assert_eq!((&uploads[0]["repository"], &uploads[0]["bytes"]), (&json!("in-progress"), &json!(3000)));
        assert_eq!(survey["foreign"]["examples"], json!(["docker/registry/v2/strange", "notes.txt"]));

        // Only its hash shows that a segment of the right length is another one.
        expected.insert(("blob-damaged".into(), replaced.to_string(), vec!["segment-replaced:v1".into()]));
        let (code, survey) = site.survey(&["--deep"]);
        assert_eq!((code, findings(&survey)), (1, expected), "{:#}", survey["findings"]);
    }
}
