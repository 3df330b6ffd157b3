//! A push and a pull through all layers, over the wire.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use wharfinger_test_support::{Blob, Digest, Image, Index, Registry, Request, Style, bytes};

#[test]
fn the_base_says_that_this_is_a_registry() {
    let registry = Registry::start();
    let answer = registry.api().get("/v2/").expect(200);
    assert_eq!(answer.required("docker-distribution-api-version"), "registry/2.0");
    assert_eq!(answer.json(), serde_json::json!({}));
}

#[test]
fn an_image_comes_back_byte_for_byte() {
    let registry = Registry::start();
    let (api, image) = (registry.api(), Image::small(1));
    api.push_image("library/app", "v1", &image);
    let pulled = api.pull("library/app", "v1");
    assert_eq!(pulled.manifest, image.manifest);
    assert_eq!(pulled.media_type, image.media_type);
    assert_eq!(pulled.blobs.len(), 3);
    assert_eq!(api.pull("library/app", &image.digest.to_string()), pulled);
}

#[test]
fn blobs_of_awkward_sizes_come_back() {
    let registry = Registry::start();
    let api = registry.api();
    for size in [0, 1, 2, 511, 65_535, 65_536, 65_537, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, (20 << 20) + 1]
    {
        let content = bytes(size as u64, size);
        let digest = api.push_blob("sizes", &content);
        assert!(api.pull_blob("sizes", &digest) == content, "{size} bytes came back as other bytes");
        let head = api.head(&format!("/v2/sizes/blobs/{digest}")).expect(200);
        assert_eq!(head.required("content-length"), size.to_string());
        assert_eq!(head.required("docker-content-digest"), digest.to_string());
    }
}

#[test]
fn an_index_and_a_docker_list_come_back_with_their_images() {
    let registry = Registry::start();
    let api = registry.api();
    for (style, name) in [(Style::Oci, "multi/oci"), (Style::Docker, "multi/docker")] {
        let index = Index::two_platforms(style, 7);
        api.push_index(name, "latest", &index);
        let pulled = api.pull(name, "latest");
        assert_eq!(pulled.manifest, index.manifest);
        assert_eq!(pulled.media_type, index.media_type);
        assert_eq!(pulled.blobs.len(), 4);
    }
}

#[test]
fn everything_is_there_after_a_restart() {
    let mut registry = Registry::start();
    let (api, image) = (registry.api(), Image::small(3));
    api.push_image("kept", "v1", &image);
    let before = api.pull("kept", "v1");
    registry.stop();
    registry.start_again();
    assert_eq!(api.pull("kept", "v1"), before);
    assert_eq!(api.tags("kept"), ["v1"]);
}

#[test]
fn ranges_of_a_blob_are_exact() {
    let registry = Registry::start();
    let api = registry.api();
    let content = bytes(5, 3_000_000);
    let digest = api.push_blob("ranges", &content);
    let get = |range: &str| {
        api.send(Request::new("GET", &format!("/v2/ranges/blobs/{digest}")).header("Range", range))
    };
    let last = content.len() - 1;
    for (first, end) in
        [(0, 0), (0, 9), (1, last), (1_048_575, 1_048_576), (1_048_576, 2_097_151), (last, last)]
    {
        let answer = get(&format!("bytes={first}-{end}")).expect(206);
        assert_eq!(answer.required("content-range"), format!("bytes {first}-{end}/{}", content.len()));
        assert!(answer.body == content[first..=end], "bytes {first}-{end} are others");
    }
    assert!(get("bytes=2999990-").expect(206).body == content[2_999_990..]);
    assert!(get("bytes=-10").expect(206).body == content[2_999_990..]);
    assert!(get("bytes=2999990-9999999").expect(206).body == content[2_999_990..]);
    let refused = get("bytes=3000000-3000001").expect(416);
    assert_eq!(refused.required("content-range"), "bytes */3000000");
    let head = api.head(&format!("/v2/ranges/blobs/{digest}")).expect(200);
    assert_eq!(head.required("accept-ranges"), "bytes");
}

#[test]
fn a_blob_that_the_client_has_is_not_sent_again() {
    let registry = Registry::start();
    let (api, image) = (registry.api(), Image::small(9));
    api.push_image("cached", "v1", &image);
    let layer = image.layers[0].digest;
    for path in [format!("/v2/cached/blobs/{layer}"), format!("/v2/cached/manifests/{}", image.digest)] {
        let etag = api.get(&path).expect(200).required("etag").to_owned();
        let answer = api.send(Request::new("GET", &path).header("If-None-Match", etag)).expect(304);
        assert!(answer.body.is_empty());
    }
}

#[test]
fn a_layer_is_mounted_from_another_repository() {
    let registry = Registry::start();
    let api = registry.api();
    let content = bytes(11, 100_000);
    let digest = api.push_blob("source", &content);
    let mount = |name: &str, query: &str| {
        api.send(Request::new("POST", &format!("/v2/{name}/blobs/uploads/?{query}")).body(""))
    };
    let answer = mount("target", &format!("mount={digest}&from=source")).expect(201);
    assert!(answer.location().ends_with(&format!("/v2/target/blobs/{digest}")));
    assert!(api.pull_blob("target", &digest) == content);
    let answer = mount("anonymous", &format!("mount={digest}")).expect(201);
    assert_eq!(answer.required("docker-content-digest"), digest.to_string());
    assert!(api.pull_blob("anonymous", &digest) == content);
    // What is not there becomes an ordinary upload.
    let missing = Digest::sha256(b"nobody has this");
    mount("target", &format!("mount={missing}&from=source")).expect(202);
    mount("target", &format!("mount={digest}&from=elsewhere")).expect(202);
}

#[test]
fn sha512_content_keeps_its_digest() {
    let registry = Registry::start();
    let api = registry.api();
    let content = bytes(13, 200_000);
    let digest = Digest::of(wharfinger_test_support::Algorithm::Sha512, &content);
    let session = api.start_upload("long");
    let answer = api.finish(&session, &digest.to_string(), &content).expect(201);
    assert_eq!(answer.required("docker-content-digest"), digest.to_string());
    assert!(api.pull_blob("long", &digest) == content);
}

#[test]
fn many_pushes_at_once_do_not_mix() {
    let registry = Registry::start();
    let api = registry.api();
    let shared = Blob::seeded(99, 2_000_000);
    std::thread::scope(|scope| {
        for worker in 0..8u64 {
            let (api, shared) = (api.clone(), shared.clone());
            scope.spawn(move || {
                for round in 0..3 {
                    let own = Blob::seeded(1000 * worker + round, 300_000);
                    let image = Image::of(Style::Oci, "amd64", vec![shared.clone(), own]);
                    let name = format!("team/{}", worker % 3);
                    api.push_image(&name, &format!("w{worker}-r{round}"), &image);
                }
            });
        }
    });
    for worker in 0..8u64 {
        for round in 0..3 {
            let pulled = api.pull(&format!("team/{}", worker % 3), &format!("w{worker}-r{round}"));
            assert_eq!(pulled.blobs[1], shared.digest);
        }
    }
}
