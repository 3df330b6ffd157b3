//! The modes of the first month: looking at another registry's container, and writing to it without taking anything.

use std::collections::BTreeMap;
use std::time::Duration;

use wharfinger_test_support::{
    Api, DockerRegistry, Image, Index, Mark, Pipeline, ProxyRequest, Request, Style, SwiftCluster, bytes,
    wait_until,
};

use super::{SEGMENT, builder};

/// What docker-registry 2.8.2 left in a container.
struct Left {
    container: String,
    images: Vec<(&'static str, &'static str, Image)>,
    index: Index,
}

/// Has docker-registry fill a container: images, an index, a layer of several segments, an upload that was left.
fn filled(swift: &SwiftCluster) -> Left {
    let container = swift.fresh_container();
    let registry =
        DockerRegistry::builder().swift(swift, &container).set("storage.swift.chunksize", SEGMENT).start();
    let api = registry.api();
    let images = vec![
        ("library/app", "v1", Image::small(1)),
        ("library/app", "v2", Image::layered(Style::Docker, 2, 1, 20_000)),
        ("tools/large", "latest", Image::layered(Style::Oci, 3, 1, 3 * SEGMENT)),
    ];
    for (name, tag, image) in &images {
        api.push_image(name, tag, image);
    }
    let index = Index::two_platforms(Style::Docker, 5);
    api.push_index("library/multi", "v1", &index);
    let session = api.start_upload("library/app");
    api.patch(&session, 0, &bytes(9, 100_000)).expect(202);
    Left { container, images, index }
}

impl Left {
    fn pull_everything(&self, api: &Api) {
        for (name, tag, image) in &self.images {
            let pulled = api.pull(name, tag);
            assert_eq!((pulled.digest, &pulled.manifest), (image.digest, &image.manifest));
            assert_eq!(api.pull(name, &image.digest.to_string()).digest, image.digest);
            for blob in image.blobs() {
                let target = format!("/v2/{name}/blobs/{}", blob.digest);
                let head = api.head(&target).expect(200);
                assert_eq!(head.required("content-length"), blob.size.to_string());
                let answer = api.with_header("Range", "bytes=10-99").get(&target).expect(206);
                assert_eq!(answer.body, blob.bytes()[10..=99]);
            }
            api.head(&format!("/v2/{name}/manifests/{tag}")).expect(200);
        }
        assert_eq!(api.pull("library/multi", "v1").digest, self.index.digest);
        api.head(
            "/v2/library/app/blobs/sha256:0000000000000000000000000000000000000000000000000000000000000000",
        )
        .expect(404);
    }
}

/// What our own client asked of Swift since then.
fn ours(swift: &SwiftCluster, mark: Mark) -> Vec<ProxyRequest> {
    let mut requests = swift.since(mark);
    requests.retain(|request| request.agent.starts_with("wharfinger/"));
    requests
}

/// Every object with its bytes' ETag.
fn everything(swift: &SwiftCluster, container: &str) -> BTreeMap<String, String> {
    let names = swift.list(container);
    let etag = |name: &String| {
        let quoted = name.replace('%', "%25").replace(' ', "%20");
        swift.head(container, &quoted).expect(200).required("etag").to_owned()
    };
    names.iter().map(|name| (name.clone(), etag(name))).collect()
}

/// Runs on the container for a while and only looks.
fn observe(swift: &SwiftCluster, left: &Left) {
    let before = everything(swift, &left.container);
    let mark = swift.mark();
    let registry = builder(swift, &left.container)
        .set("storage.mode", "observe")
        .set("storage.maintenance.uploadpurging.age", "1s")
        .set("storage.maintenance.uploadpurging.interval", "1s")
        .unset("storage.delete")
        .start();
    let api = registry.api();
    for _ in 0..2 {
        left.pull_everything(&api);
        assert_eq!(api.catalog(), ["library/app", "library/multi", "tools/large"]);
        assert_eq!(api.tags("library/app"), ["v1", "v2"]);
        wait_until("a probe", Duration::from_secs(10), || api.get("/health/store").status == 200);
        api.get("/health/ready").expect(200);
    }
    // A push and a delete are refused without Swift being asked.
    let image = Image::small(50);
    let refused = [
        Request::new("POST", "/v2/library/app/blobs/uploads/").body(""),
        Request::new("PUT", "/v2/library/app/manifests/v3")
            .header("Content-Type", image.media_type)
            .body(image.manifest.clone()),
        Request::new("DELETE", "/v2/library/app/manifests/v1"),
        Request::new("DELETE", &format!("/v2/library/app/manifests/{}", left.images[0].2.digest)),
        Request::new("DELETE", &format!("/v2/library/app/blobs/{}", left.images[0].2.config.digest)),
    ];
    for request in refused {
        let what = format!("{} {}", request.method, request.target);
        let answer = api.send(request);
        assert_eq!((answer.status, answer.error_code().as_str()), (405, "UNSUPPORTED"), "{what}");
    }
    // Probes, and whatever else runs by itself, have had their turn.
    let started = std::time::Instant::now();
    wait_until("some seconds of nothing but probes", Duration::from_secs(20), || {
        started.elapsed() > Duration::from_secs(4)
    });
    let requests = ours(swift, mark);
    assert!(requests.len() > 50, "{} requests", requests.len());
    let writes: Vec<_> = requests.iter().filter(|request| request.is_write()).collect();
    assert!(writes.is_empty(), "{writes:#?}");
    drop(registry);
    assert_eq!(everything(swift, &left.container), before);
}

/// Writes to the container, and lets docker-registry find it.
fn try_out(swift: &SwiftCluster, left: &Left) {
    let before = everything(swift, &left.container);
    let mark = swift.mark();
    let registry = builder(swift, &left.container)
        .set("storage.mode", "trial")
        .set("storage.maintenance.uploadpurging.age", "1s")
        .set("storage.maintenance.uploadpurging.interval", "1s")
        .unset("storage.delete")
        .start();
    let api = registry.api();
    left.pull_everything(&api);
    let image = Image::layered(Style::Docker, 60, 2, 3 * SEGMENT);
    api.push_image("trial/app", "v1", &image);
    // A tag of the old registry's moves, and one of its layers is pushed again.
    api.push_image("library/app", "v1", &image);
    api.push_blob("trial/app", &left.images[2].2.layers[0].bytes());
    let (_, _, old) = &left.images[1];
    for target in [
        "/v2/library/app/manifests/v2".to_owned(),
        format!("/v2/library/app/manifests/{}", old.digest),
        format!("/v2/library/app/blobs/{}", old.config.digest),
        "/v2/trial/app/manifests/v1".to_owned(),
    ] {
        api.delete(&target).expect_error(405, "UNSUPPORTED");
    }
    wait_until("a probe", Duration::from_secs(10), || api.get("/health/store").status == 200);
    drop(registry);
    for request in ours(swift, mark).iter().filter(|request| request.method == "DELETE") {
        let own = ["/files/wharfinger/", "/segments/wharfinger/"];
        assert!(own.iter().any(|place| request.path.contains(place)), "{request:?}");
    }
    let after = everything(swift, &left.container);
    for name in before.keys() {
        assert!(after.contains_key(name), "{name} is gone");
    }
    // The old registry has all of it: what it wrote and what we wrote.
    let distribution = DockerRegistry::on_swift(swift, &left.container);
    let api = distribution.api();
    assert_eq!(api.pull("trial/app", "v1").digest, image.digest);
    assert_eq!(api.pull("library/app", "v1").digest, image.digest);
    for (name, _, image) in &left.images {
        assert_eq!(api.pull(name, &image.digest.to_string()).digest, image.digest);
    }
    assert_eq!(api.pull("library/multi", "v1").digest, left.index.digest);
    assert_eq!(api.tags("library/app"), ["v1", "v2"]);
}

fn observe_and_try_out(pipeline: Pipeline) {
    let swift = SwiftCluster::shared(pipeline);
    let left = filled(swift);
    observe(swift, &left);
    try_out(swift, &left);
}

#[test]
fn observing_writes_nothing_and_a_trial_deletes_nothing_with_static_large_objects() {
    observe_and_try_out(Pipeline::Full);
}

#[test]
fn observing_writes_nothing_and_a_trial_deletes_nothing_without_static_large_objects() {
    observe_and_try_out(Pipeline::Wikimedia);
}
