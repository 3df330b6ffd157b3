//! Taking over a container of Distribution 2.8 in place, and giving it back, on real Swift.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;
use wharfinger_oci::media_type;
use wharfinger_test_support::{
    Algorithm, Api, Blob, Config, Digest, DockerRegistry, Image, Index, Mark, Pipeline, ProxyRequest,
    RedisServer, Registry, Request, Style, SwiftCluster, bytes, wharfinger_binary,
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

    fn redis(mut self, redis: &RedisServer) -> Site {
        self.config.set("storage.cache.blobdescriptor", "redis");
        self.config.set("redis", json!({ "addr": redis.address() }));
        self
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
        assert_eq!(writes(swift, &container, mark), Vec::<String>::new());
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
        assert!(text.contains("container sync        off"), "{text}");

        let to = format!("{}/elsewhere", swift.storage_url());
        let sync = Request::new("POST", &format!("/{container}")).header("X-Container-Sync-To", &to);
        swift.send(sync.header("X-Container-Sync-Key", "of the tests")).expect(204);
        let text = site.adopt(&["--dry-run"]).text;
        for told in [to.as_str(), "replayed there", "differs from this container's", "replayed here"] {
            assert!(text.contains(told), "{told} in {text}");
        }
        assert!(!text.contains("of the tests"), "the secret is told: {text}");
    }
}

/// One repository for each kind of damage; each is named, and nothing else is.
#[test]
fn each_damage_is_named_and_nothing_else() {
    let swift = SwiftCluster::shared(Pipeline::Wikimedia);
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
    assert_eq!(writes(swift, &container, mark), Vec::<String>::new());
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

/// A manifest that refers to another one, with an empty config.
fn attach(api: &Api, name: &str, subject: &Image) -> Digest {
    let config = api.push_blob(name, b"{}");
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": media_type::OCI_MANIFEST,
        "config": { "mediaType": "application/vnd.example.proof", "digest": config.to_string(), "size": 2 },
        "layers": [],
        "subject": {
            "mediaType": subject.media_type,
            "digest": subject.digest.to_string(),
            "size": subject.manifest.len(),
        },
    });
    let manifest = manifest.to_string().into_bytes();
    let digest = Digest::sha256(&manifest);
    api.put_manifest(name, &digest.to_string(), media_type::OCI_MANIFEST, &manifest).expect(201);
    digest
}

/// What was changed in a container since `mark`, but for the record of who did it; other tests change others.
fn writes(swift: &SwiftCluster, container: &str, mark: Mark) -> Vec<String> {
    let place = format!("/v1/{}/{container}/", swift.account());
    let here =
        |request: &ProxyRequest| request.is_write() && format!("{}/", request.path).starts_with(&place);
    let record = |request: &ProxyRequest| request.path.contains("/wharfinger/v1/audit/");
    let requests = swift.since(mark).into_iter().filter(here).filter(|request| !record(request));
    requests.map(|request| format!("{} {}", request.method, request.path)).collect()
}

#[test]
fn adoption_writes_proofs_beside_what_is_there_and_nothing_the_second_time() {
    for pipeline in PIPELINES {
        let swift = SwiftCluster::shared(pipeline);
        let container = swift.fresh_container();
        let corpus = Corpus::write(swift, &container);
        let attached = attach(&DockerRegistry::on_swift(swift, &container).api(), "shop/cart", &corpus.cart);
        let site = Site::new(swift, &container);
        let before = swift.list(&container);

        let mut observing = Site::new(swift, &container);
        observing.config.set("storage.mode", "observe");
        let mark = swift.mark();
        let refused = observing.adopt(&[]);
        assert_eq!((refused.code, writes(swift, &container, mark)), (2, vec![]), "{}", refused.errors);
        assert!(refused.errors.contains("storage.mode is observe"), "{}", refused.errors);

        let mark = swift.mark();
        let answer = site.adopt(&["--output", "json", "--rate", "20MiB"]);
        let derived = answer.json();
        assert_eq!(answer.code, 0, "{derived:#}");
        let blobs = corpus.images().flat_map(Image::blobs).count() as u64 + 1;
        assert_eq!(derived["proved"]["objects"], json!(blobs), "{derived:#}");
        // One layer is larger than what is hashed on each read anyway.
        assert_eq!((&derived["indexed"], &derived["segment_lists"]), (&json!(1), &json!(blobs)));
        assert_eq!((&derived["referrers"], &derived["catalogued"]), (&json!(1), &json!(2)));
        let ours = |write: &String| write.starts_with("PUT") && write.contains("/files/wharfinger/v1/");
        let written = writes(swift, &container, mark);
        assert!(!written.is_empty() && written.iter().all(ours), "{written:#?}");
        let after = swift.list(&container);
        assert!(before.iter().all(|name| after.contains(name)));

        let mark = swift.mark();
        let answer = site.adopt(&["--output", "json"]);
        let again = answer.json();
        assert_eq!((answer.code, writes(swift, &container, mark)), (0, vec![]), "{again:#}");
        assert_eq!(
            (&again["proved"]["objects"], &again["as_they_are"]["objects"]),
            (&json!(0), &json!(blobs))
        );
        assert_eq!((&again["referrers"], &again["known_referrers"]), (&json!(0), &json!(1)));

        let registry = Registry::builder().swift(swift, &container).start();
        let api = registry.api();
        for (name, tag) in [("shop/cart", "v1"), ("shop/cart", "v2"), ("multi", "latest")] {
            api.pull(name, tag);
        }
        let referrers =
            api.get(&format!("/v2/shop/cart/referrers/{}", corpus.cart.digest)).expect(200).json();
        assert_eq!(referrers["manifests"][0]["digest"], json!(attached.to_string()));
        assert_eq!(api.catalog(), ["multi", "shop/cart"]);
    }
}

#[test]
fn adoption_names_what_it_cannot_prove_and_goes_on() {
    let swift = SwiftCluster::shared(Pipeline::Wikimedia);
    let container = swift.fresh_container();
    let corpus = Corpus::write(swift, &container);
    let layer = corpus.cart.layers[0].digest;
    swift.put(&container, &segment(swift, &container, &blob(&layer), 2), &bytes(3, 2 << 20));
    let site = Site::new(swift, &container);
    let answer = site.adopt(&["--output", "json"]);
    let derived = answer.json();
    let found: Vec<_> = findings(&derived).into_iter().map(|(kind, what, _)| (kind, what)).collect();
    assert_eq!(found, [("blob-damaged".to_owned(), layer.to_string())]);
    let blobs = corpus.images().flat_map(Image::blobs).count() as u64;
    assert_eq!((answer.code, &derived["proved"]["objects"]), (1, &json!(blobs - 1)));
    let listed = swift.list(&container);
    assert!(
        !listed.iter().any(|name| name.contains("/chunks/")),
        "what is damaged has no index: {listed:#?}"
    );
}

/// What a check of the way back found: exit code and report.
#[track_caller]
fn back(site: &Site, arguments: &[&str]) -> (i32, Value) {
    let arguments: Vec<&str> =
        ["--back", "--check", "--output", "json"].iter().chain(arguments).copied().collect();
    let answer = site.adopt(&arguments);
    (answer.code, answer.json())
}

#[test]
fn distribution_takes_over_again_and_believes_nothing_that_is_gone() {
    for pipeline in PIPELINES {
        let swift = SwiftCluster::shared(pipeline);
        let container = swift.fresh_container();
        let c = container.as_str();
        let redis = RedisServer::start();
        let distribution = || DockerRegistry::builder().swift(swift, c).redis(&redis.address()).start();
        let (kept, gone) = (Image::small(1), Image::small(2));
        {
            let old = distribution();
            let api = old.api();
            api.push_image("kept", "v1", &kept);
            api.push_image("gone", "v1", &gone);
        }
        let site = Site::new(swift, c).redis(&redis);
        let (code, report) = back(&site, &[]);
        assert_eq!(
            (code, &report["redis"]["lies"], &report["tags"]),
            (0, &json!([]), &json!(2)),
            "{report:#}"
        );

        // Ours pushes small and large, deletes an image, and has an upload in flight.
        let large = Image::of(Style::Oci, "amd64", vec![Blob::layer(3, 9 << 20), Blob::new(Vec::new())]);
        let index = Index::two_platforms(Style::Docker, 4);
        let layer = gone.layers[0].digest;
        {
            let registry =
                Registry::builder().swift(swift, c).set("storage.swift.segmentsize", 4 << 20).start();
            let api = registry.api();
            api.push_image("large", "v1", &large);
            api.push_index("index", "v1", &index);
            api.delete(&format!("/v2/gone/manifests/{}", gone.digest)).expect(202);
            for blob in gone.blobs() {
                api.delete(&format!("/v2/gone/blobs/{}", blob.digest)).expect(202);
            }
            let session = api.start_upload("large");
            api.patch(&session, 0, &bytes(5, 3000)).expect(202);
            let other = Digest::of(Algorithm::Sha512, &kept.manifest);
            let target = other.to_string();
            api.put_manifest("kept", &target, kept.media_type, &kept.manifest).expect(201);
            let (code, report) = back(&site, &[]);
            assert_eq!((code, &report["obstacles"][0]["what"]), (1, &json!(target)), "{report:#}");
            assert_eq!(report["obstacles"].as_array().unwrap().len(), 1, "{report:#}");
            api.delete(&format!("/v2/kept/manifests/{target}")).expect(202);
        }
        // As a purge does.
        swift.delete(c, &blob(&layer)).expect(204);
        let lies = {
            let old = distribution();
            old.api().head(&format!("/v2/gone/blobs/{layer}")).status
        };
        assert_eq!(lies, 200, "Distribution was expected to believe its Redis");

        let mark = swift.mark();
        let (code, report) = back(&site, &[]);
        let link = |digest: &Digest| format!("repository::gone::blobs {digest}");
        let mut expected: BTreeSet<String> = gone.blobs().map(|blob| link(&blob.digest)).collect();
        expected.insert(format!("blobs::{layer}"));
        let found = report["redis"]["lies"].as_array().unwrap().iter();
        let found: BTreeSet<String> = found.map(|lie| lie["key"].as_str().unwrap().to_owned()).collect();
        assert_eq!((code, found), (1, expected), "{report:#}");
        assert_eq!(report["sessions"].as_array().unwrap().len(), 1, "{report:#}");
        assert_eq!((&report["findings"], &report["obstacles"]), (&json!([]), &json!([])), "{report:#}");
        let keys = redis.keys();
        let (code, report) = back(&site, &["--flush-redis"]);
        assert_eq!((code, &report["clear"]), (0, &json!(true)), "{report:#}");
        assert!(keys > redis.keys() && redis.keys() > 5, "only what is not so is deleted");
        let (code, report) = back(&site, &[]);
        assert_eq!((code, &report["redis"]["lies"]), (0, &json!([])), "{report:#}");
        assert_eq!(writes(swift, &container, mark), Vec::<String>::new(), "the check wrote to Swift");

        let old = distribution();
        let api = old.api();
        for name in ["kept", "large", "index"] {
            api.pull(name, "v1");
        }
        assert_eq!(api.head(&format!("/v2/gone/blobs/{layer}")).status, 404);
        api.push_image("gone", "v1", &gone);
        assert_eq!(api.pull("gone", "v1").digest, gone.digest);
    }
}

#[test]
fn a_listing_that_shows_other_segments_is_in_the_way_back() {
    let swift = SwiftCluster::shared(Pipeline::Wikimedia);
    let container = swift.fresh_container();
    let registry =
        Registry::builder().swift(swift, &container).set("storage.swift.segmentsize", 4 << 20).start();
    let content = bytes(6, 9 << 20);
    let digest = registry.api().push_chunked("large", &content, 9 << 20);
    let site = Site::new(swift, &container);
    assert_eq!(back(&site, &[]).0, 0);
    let stray = segment(swift, &container, &blob(&digest), 9);
    swift.put(&container, &stray, b"stray");
    let (code, report) = back(&site, &[]);
    assert_eq!((code, &report["obstacles"][0]["what"]), (1, &json!(digest.to_string())), "{report:#}");
    assert_eq!(registry.api().pull_blob("large", &digest), content, "ours reads exactly its segments");
    swift.delete(&container, &stray).expect(204);
    assert_eq!(back(&site, &[]).0, 0);
}
