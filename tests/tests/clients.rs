//! Real clients push and pull: images, a multi-platform index, a large layer; some of them on Swift too.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use wharfinger_test_support::{
    Blob, Containerd, Dockerd, Image, Index, Layout, Pipeline, Registry, Style, SwiftCluster, Tool, go_tool,
    run_tool, system_tool,
};

/// A registry, an OCI layout to push from, and room for what clients write.
struct Bench {
    registry: Registry,
    layout: Layout,
    image: Image,
    index: Index,
    work: TempDir,
}

impl Bench {
    fn new(seed: u64) -> Bench {
        Bench::with(Registry::start(), seed)
    }

    /// With a registry on a container of its own.
    fn on_swift(pipeline: Pipeline, seed: u64) -> Bench {
        let swift = SwiftCluster::shared(pipeline);
        let registry = Registry::builder().patient_swift(swift, &swift.fresh_container()).start();
        Bench::with(registry, seed)
    }

    fn with(registry: Registry, seed: u64) -> Bench {
        let work = tempfile::tempdir().unwrap();
        std::fs::write(work.path().join("config.json"), "{}").unwrap();
        let mut layout = Layout::create(&work.path().join("layout"));
        let image = Image::layered(Style::Oci, seed, 4, 200_000);
        let index = Index::two_platforms(Style::Oci, seed + 100);
        layout.add_image(&image, "image");
        layout.add_index(&index, "index");
        Bench { registry, layout, image, index, work }
    }

    /// `HOST:PORT/REPOSITORY:TAG`.
    fn reference(&self, name: &str) -> String {
        format!("{}/{name}", self.registry.address())
    }

    fn path(&self, name: &str) -> String {
        self.work.path().join(name).display().to_string()
    }

    fn layout(&self, tag: &str) -> String {
        format!("oci:{}:{tag}", self.layout.root().display())
    }

    /// Runs a client with its own home, so that nobody's settings matter.
    #[track_caller]
    fn run(&self, tool: &Tool, arguments: &[&str]) -> String {
        let mut command: Command = tool.command();
        command.env("HOME", self.work.path()).env("DOCKER_CONFIG", self.work.path());
        run_tool(command.current_dir(self.work.path()).args(arguments))
    }

    /// What a client pushed is the image or the index, byte for byte.
    #[track_caller]
    fn assert_pushed(&self, repository: &str, tag: &str, manifest: &[u8]) {
        assert!(
            self.registry.api().pull(repository, tag).manifest == manifest,
            "the client pushed another manifest"
        );
    }

    /// The layout that a client wrote holds this blob.
    fn assert_has_blob(&self, layout: &str, hex: &str) {
        let path = Path::new(layout).join("blobs/sha256").join(hex);
        assert!(path.exists(), "{} was not pulled", path.display());
    }
}

#[test]
fn skopeo() {
    skopeo_copies(&Bench::new(1));
}

#[test]
fn skopeo_on_swift() {
    skopeo_copies(&Bench::on_swift(Pipeline::Full, 1));
}

fn skopeo_copies(bench: &Bench) {
    let skopeo = system_tool("skopeo");
    let (image, index) = (bench.reference("skopeo:image"), bench.reference("skopeo:index"));
    let copy = ["--insecure-policy", "copy", "-q", "--all"];
    let push = |from: &str, to: &str| {
        bench.run(
            &skopeo,
            &[&copy[..], &["--dest-tls-verify=false", from, &format!("docker://{to}")]].concat(),
        );
    };
    push(&bench.layout("image"), &image);
    push(&bench.layout("index"), &index);
    bench.assert_pushed("skopeo", "image", &bench.image.manifest);
    bench.assert_pushed("skopeo", "index", &bench.index.manifest);
    let pulled = bench.path("pulled");
    for (tag, from) in [("image", &image), ("index", &index)] {
        let to = format!("oci:{pulled}:{tag}");
        bench.run(
            &skopeo,
            &[&copy[..], &["--src-tls-verify=false", &format!("docker://{from}"), &to]].concat(),
        );
    }
    bench.assert_has_blob(&pulled, &bench.image.digest.hex());
    bench.assert_has_blob(&pulled, &bench.index.digest.hex());
    let listed = bench.run(
        &skopeo,
        &[
            "--insecure-policy",
            "list-tags",
            "--tls-verify=false",
            &format!("docker://{}", bench.reference("skopeo")),
        ],
    );
    assert!(listed.contains("image") && listed.contains("index"), "{listed}");
    bench.run(&skopeo, &["--insecure-policy", "delete", "--tls-verify=false", &format!("docker://{image}")]);
    bench.registry.api().get("/v2/skopeo/manifests/image").expect(404);
}

#[test]
fn podman() {
    let bench = Bench::new(2);
    let podman = system_tool("podman");
    let (root, run_root) = (bench.path("root"), bench.path("run"));
    let base = ["--root", &root, "--runroot", &run_root, "--storage-driver", "vfs"];
    let run = |arguments: &[&str]| bench.run(&podman, &[&base[..], arguments].concat());
    bench.registry.api().push_image("podman/pull", "v1", &bench.image);
    let pull = bench.reference("podman/pull:v1");
    run(&["pull", "-q", "--tls-verify=false", &pull]);
    let push = bench.reference("podman/push:v1");
    run(&["tag", &pull, &push]);
    run(&["push", "-q", "--tls-verify=false", &push]);
    run(&["rmi", "--all", "--force"]);
    run(&["pull", "-q", "--tls-verify=false", &push]);
    assert_eq!(bench.registry.api().pull("podman/push", "v1").blobs.len(), 5);
    bench.registry.api().push_index("podman/multi", "v1", &bench.index);
    run(&["pull", "-q", "--tls-verify=false", "--arch", "arm64", &bench.reference("podman/multi:v1")]);
}

#[test]
fn buildah() {
    let bench = Bench::new(3);
    let buildah = system_tool("buildah");
    let (root, run_root) = (bench.path("root"), bench.path("run"));
    let base = ["--root", &root, "--runroot", &run_root, "--storage-driver", "vfs"];
    let run = |arguments: &[&str]| bench.run(&buildah, &[&base[..], arguments].concat());
    bench.registry.api().push_image("buildah/pull", "v1", &bench.image);
    let pull = bench.reference("buildah/pull:v1");
    run(&["pull", "--tls-verify=false", &pull]);
    let push = format!("docker://{}", bench.reference("buildah/push:v1"));
    run(&["push", "--tls-verify=false", &pull, &push]);
    assert_eq!(bench.registry.api().pull("buildah/push", "v1").blobs.len(), 5);
}

#[test]
fn docker_engine() {
    docker_engine_pushes_and_pulls(&Bench::new(4));
}

#[test]
fn docker_engine_on_swift() {
    docker_engine_pushes_and_pulls(&Bench::on_swift(Pipeline::Wikimedia, 4));
}

fn docker_engine_pushes_and_pulls(bench: &Bench) {
    let engine = Dockerd::start();
    let api = bench.registry.api();
    for (name, style) in [("docker/oci", Style::Oci), ("docker/schema2", Style::Docker)] {
        let image = Image::layered(style, 40, 5, 100_000);
        api.push_image(name, "v1", &image);
        let pull = bench.reference(&format!("{name}:v1"));
        engine.docker(&["pull", "-q", &pull]);
        let push = bench.reference(&format!("{name}-pushed:v1"));
        engine.docker(&["tag", &pull, &push]);
        engine.docker(&["push", "-q", &push]);
        engine.docker(&["rmi", "-f", &pull, &push]);
        engine.docker(&["pull", "-q", &push]);
        assert_eq!(api.pull(&format!("{name}-pushed"), "v1").blobs.len(), 6);
    }
    for (name, style) in [("docker/index", Style::Oci), ("docker/list", Style::Docker)] {
        api.push_index(name, "v1", &Index::two_platforms(style, 44));
        engine.docker(&["pull", "-q", &bench.reference(&format!("{name}:v1"))]);
    }
}

#[test]
fn containerd() {
    let bench = Bench::new(5);
    let engine = Containerd::start();
    let api = bench.registry.api();
    api.push_image("ctr/pull", "v1", &bench.image);
    api.push_index("ctr/multi", "v1", &bench.index);
    let pull = bench.reference("ctr/pull:v1");
    engine.ctr(&["images", "pull", "--plain-http", &pull]);
    let push = bench.reference("ctr/push:v1");
    engine.ctr(&["images", "push", "--plain-http", &push, &pull]);
    bench.assert_pushed("ctr/push", "v1", &bench.image.manifest);
    let multi = bench.reference("ctr/multi:v1");
    engine.ctr(&["content", "fetch", "--plain-http", "--all-platforms", &multi]);
    let push = bench.reference("ctr/multi-pushed:v1");
    engine.ctr(&["images", "push", "--plain-http", &push, &multi]);
    bench.assert_pushed("ctr/multi-pushed", "v1", &bench.index.manifest);
}

#[test]
fn crane() {
    let bench = Bench::new(6);
    let crane = go_tool("crane");
    let run = |arguments: &[&str]| bench.run(&crane, arguments);
    let layout = bench.layout.root().display().to_string();
    // crane pushes a layout of several entries as one index: give it what it pulled itself.
    bench.registry.api().push_image("crane/image", "v1", &bench.image);
    bench.registry.api().push_index("crane/index", "v1", &bench.index);
    let (image, index) = (bench.reference("crane/image:v1"), bench.reference("crane/index:v1"));
    for (from, name) in [(&image, "image"), (&index, "index")] {
        let to = bench.path(name);
        run(&["pull", "--insecure", "--format=oci", from, &to]);
        run(&["push", "--insecure", "--index", &to, &bench.reference(&format!("crane/pushed-{name}:v1"))]);
    }
    assert_eq!(bench.registry.api().pull("crane/pushed-index", "v1").blobs.len(), 4);
    run(&["push", "--insecure", "--index", &layout, &bench.reference("crane/layout:v1")]);
    run(&["validate", "--insecure", "--remote", &bench.reference("crane/image:v1")]);
    run(&["copy", "--insecure", &index, &bench.reference("crane/copied:v1")]);
    bench.assert_pushed("crane/copied", "v1", &bench.index.manifest);
    let listed = run(&["catalog", "--insecure", &bench.registry.address()]);
    assert!(listed.contains("crane/copied"), "{listed}");
}

#[test]
fn oras() {
    let bench = Bench::new(7);
    let oras = go_tool("oras");
    let run = |arguments: &[&str]| bench.run(&oras, arguments);
    let layout = bench.layout.root().display().to_string();
    for (tag, manifest) in [("image", &bench.image.manifest), ("index", &bench.index.manifest)] {
        let to = bench.reference(&format!("oras/app:{tag}"));
        run(&["copy", "--from-oci-layout", &format!("{layout}:{tag}"), "--to-plain-http", &to]);
        bench.assert_pushed("oras/app", tag, manifest);
        run(&[
            "copy",
            "--from-plain-http",
            &to,
            "--to-oci-layout",
            &format!("{}:{tag}", bench.path("pulled")),
        ]);
    }
    bench.assert_has_blob(&bench.path("pulled"), &bench.index.digest.hex());
    // An artifact that refers to the image, found again through the referrers API.
    std::fs::write(bench.work.path().join("sbom.json"), "{}").unwrap();
    let subject = bench.reference("oras/app:image");
    run(&[
        "attach",
        "--plain-http",
        "--artifact-type",
        "application/vnd.example.sbom",
        &subject,
        "sbom.json",
    ]);
    let tree = run(&["discover", "--plain-http", "--format", "json", &subject]);
    assert!(tree.contains("application/vnd.example.sbom"), "{tree}");
    assert_eq!(bench.registry.api().tags("oras/app"), ["image", "index"], "no fallback tag was needed");
    run(&["push", "--plain-http", &bench.reference("oras/file:v1"), "sbom.json:application/json"]);
    run(&["pull", "--plain-http", "-o", &bench.path("out"), &bench.reference("oras/file:v1")]);
}

#[test]
fn regctl() {
    let bench = Bench::new(8);
    let regctl = go_tool("regctl");
    let run = |arguments: &[&str]| bench.run(&regctl, arguments);
    run(&["registry", "set", &bench.registry.address(), "--tls", "disabled"]);
    let layout = bench.layout.root().display().to_string();
    for (tag, manifest) in [("image", &bench.image.manifest), ("index", &bench.index.manifest)] {
        let to = bench.reference(&format!("regctl/app:{tag}"));
        run(&["image", "copy", &format!("ocidir://{layout}:{tag}"), &to]);
        bench.assert_pushed("regctl/app", tag, manifest);
        run(&["image", "copy", &to, &format!("ocidir://{}:{tag}", bench.path("pulled"))]);
    }
    bench.assert_has_blob(&bench.path("pulled"), &bench.index.digest.hex());
    run(&["tag", "delete", &bench.reference("regctl/app:image")]);
    assert_eq!(bench.registry.api().tags("regctl/app"), ["index"]);
    bench.registry.api().get(&format!("/v2/regctl/app/manifests/{}", bench.image.digest)).expect(200);
}

#[test]
fn a_layer_of_one_gibibyte() {
    large_layer(Bench::new(9));
}

#[test]
fn a_layer_of_one_gibibyte_on_swift() {
    large_layer(Bench::on_swift(Pipeline::Wikimedia, 9));
}

fn large_layer(mut bench: Bench) {
    let layer = Blob::large_layer(&bench.work.path().join("large"), 9, 1 << 30);
    let (digest, size) = (layer.digest, layer.size);
    let image = Image::of(Style::Oci, "amd64", vec![layer]);
    bench.layout.add_image(&image, "large");
    let reference = format!("docker://{}", bench.reference("large:v1"));
    let copy = ["--insecure-policy", "copy", "-q"];
    let skopeo = system_tool("skopeo");
    bench.run(
        &skopeo,
        &[&copy[..], &["--dest-tls-verify=false", &bench.layout("large"), &reference]].concat(),
    );
    let head = bench.registry.api().head(&format!("/v2/large/blobs/{digest}")).expect(200);
    assert_eq!(head.required("content-length"), size.to_string());
    let pulled = bench.path("pulled");
    let to = format!("oci:{pulled}:v1");
    bench.run(&skopeo, &[&copy[..], &["--src-tls-verify=false", &reference, &to]].concat());
    let file = Path::new(&pulled).join("blobs/sha256").join(digest.hex());
    assert_eq!(file.metadata().unwrap().len(), size, "skopeo verified the digest, but wrote another size");
}
