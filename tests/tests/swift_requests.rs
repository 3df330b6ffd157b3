//! How many requests to Swift a request to the registry costs.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use std::process::Command;

use wharfinger_test_support::{
    Blob, Image, Layout, Pipeline, ProxyRequest, Registry, Style, SwiftCluster, bytes, run_tool, system_tool,
};

fn told(requests: &[ProxyRequest]) -> String {
    requests.iter().map(|r| format!("{} {} {}\n", r.method, r.status, r.path)).collect()
}

/// Those about one container: the cluster is shared. What a server writes by itself now and then is not meant: the
/// record of how it does, and who pushed and pulled.
fn of(requests: Vec<ProxyRequest>, container: &str) -> Vec<ProxyRequest> {
    let part = format!("/{container}");
    let about = |path: &str| path.split_once("/AUTH_test").is_some_and(|(_, rest)| rest.starts_with(&part));
    let own = ["wharfinger/v1/instances", "wharfinger/v1/activity"];
    let about = |path: &str| about(path) && !own.iter().any(|own| path.contains(own));
    requests.into_iter().filter(|request| about(&request.path)).collect()
}

fn skopeo_push(registry: &Registry, image: &Image, repository: &str) {
    let work = tempfile::tempdir().unwrap();
    let mut layout = Layout::create(work.path());
    layout.add_image(image, "v1");
    let from = format!("oci:{}:v1", work.path().display());
    let to = format!("docker://{}/{repository}:v1", registry.address());
    let mut skopeo = Command::new(system_tool("skopeo").path);
    skopeo.args(["--insecure-policy", "copy", "-q", "--dest-tls-verify=false", &from, &to]);
    run_tool(&mut skopeo);
}

/// Without the probe of the store, which asks by itself.
fn quiet(swift: &SwiftCluster, container: &str) -> Registry {
    let registry =
        Registry::builder().swift(swift, container).set("health.storagedriver.enabled", false).start();
    // A first push makes the container and the session.
    registry.api().push_image("warm", "v1", &Image::small(1));
    registry
}

#[test]
fn pushing_an_image_of_one_layer_costs_at_most_24_requests() {
    for pipeline in [Pipeline::Full, Pipeline::Wikimedia] {
        let swift = SwiftCluster::shared(pipeline);
        let registry = quiet(swift, "requests");
        let image = Image::of(Style::Oci, "amd64", vec![Blob::seeded(5, 1 << 20)]);
        let mark = swift.mark();
        skopeo_push(&registry, &image, "app");
        let requests = of(swift.since(mark), "requests");
        assert!(requests.len() <= 24, "{} requests:\n{}", requests.len(), told(&requests));
    }
}

#[test]
fn a_page_of_tags_or_repositories_costs_one_listing() {
    let swift = SwiftCluster::shared(Pipeline::Wikimedia);
    let registry = quiet(swift, "pages");
    let api = registry.api();
    let image = Image::small(2);
    for repository in 0..12 {
        api.push_image(&format!("team/app-{repository:02}"), "v1", &image);
    }
    for tag in 0..12 {
        api.push_image("tagged", &format!("v{tag:02}"), &image);
    }
    api.get("/v2/_catalog?n=5").expect(200);
    for (target, key, expected) in [
        ("/v2/tagged/tags/list?n=5", "tags", "v00"),
        ("/v2/tagged/tags/list?n=5&last=v06", "tags", "v07"),
        ("/v2/_catalog?n=5", "repositories", "tagged"),
        ("/v2/_catalog?n=5&last=team/app-03", "repositories", "team/app-04"),
    ] {
        let mark = swift.mark();
        let answer = api.get(target).expect(200).json();
        let requests = of(swift.since(mark), "pages");
        assert_eq!(answer[key][0], expected, "{target}");
        assert_eq!(answer[key].as_array().unwrap().len(), 5, "{target}");
        assert!(requests.len() <= 1, "{target}:\n{}", told(&requests));
    }
}

#[test]
fn pulling_a_layer_costs_a_look_at_its_link_and_data_its_index_and_the_bytes() {
    let swift = SwiftCluster::shared(Pipeline::Full);
    let registry = quiet(swift, "pulls");
    let api = registry.api();
    let content = bytes(3, 6 << 20);
    let digest = api.push_blob("app", &content);
    let mark = swift.mark();
    assert!(api.pull_blob("app", &digest) == content);
    let requests = of(swift.since(mark), "pulls");
    assert!(requests.len() <= 4, "{}", told(&requests));
}
