//! Pushes and pulls on real Swift, with static and with dynamic large objects.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use std::time::Duration;

use wharfinger_test_support::{
    Client, Digest, Image, Index, Pipeline, Registry, Request, Style, SwiftCluster, bytes, free_port, pause,
    wait_until,
};

const PIPELINES: [Pipeline; 2] = [Pipeline::Full, Pipeline::Wikimedia];

fn registry(swift: &SwiftCluster, container: &str) -> Registry {
    Registry::builder().swift(swift, container).start()
}

#[test]
fn images_and_indexes_come_back_byte_for_byte() {
    for pipeline in PIPELINES {
        let swift = SwiftCluster::shared(pipeline);
        let registry = registry(swift, "images");
        let (api, image) = (registry.api(), Image::small(1));
        api.push_image("library/app", "v1", &image);
        let pulled = api.pull("library/app", "v1");
        assert_eq!((pulled.manifest, pulled.media_type.as_str()), (image.manifest.clone(), image.media_type));
        for (style, name) in [(Style::Oci, "multi/oci"), (Style::Docker, "multi/docker")] {
            let index = Index::two_platforms(style, 7);
            api.push_index(name, "latest", &index);
            assert_eq!(api.pull(name, "latest").manifest, index.manifest);
        }
        assert_eq!(api.tags("library/app"), ["v1"]);
        assert_eq!(api.catalog(), ["library/app", "multi/docker", "multi/oci"]);
    }
}

#[test]
fn blobs_of_awkward_sizes_come_back_whole_and_in_ranges() {
    for pipeline in PIPELINES {
        let swift = SwiftCluster::shared(pipeline);
        let registry =
            Registry::builder().swift(swift, "sizes").set("storage.swift.segmentsize", 8 << 20).start();
        let api = registry.api();
        let small = 4 << 20;
        for size in [0, 1, 65_537, small - 1, small, small + 1, (8 << 20) - 1, 8 << 20, (20 << 20) + 1] {
            let content = bytes(size as u64, size);
            let digest = api.push_blob("sizes", &content);
            assert!(api.pull_blob("sizes", &digest) == content, "{size} bytes came back as other bytes");
            let target = format!("/v2/sizes/blobs/{digest}");
            let head = api.head(&target).expect(200);
            assert_eq!(head.required("content-length"), size.to_string());
            if size > 2 {
                let (from, to) = (size / 3, size - 2);
                let range = format!("bytes={from}-{to}");
                let part = api.with_header("Range", &range).get(&target).expect(206);
                assert!(part.body == content[from..=to], "{range} of {size} bytes");
            }
        }
        let chunked = bytes(99, 21 << 20);
        let digest = api.push_chunked("sizes", &chunked, 5 << 20);
        assert!(api.pull_blob("sizes", &digest) == chunked);
        let mut left = swift.list("sizes");
        left.retain(|name| name.starts_with("files/wharfinger/v1/uploads/"));
        assert_eq!(left, Vec::<String>::new(), "sessions were left behind");
    }
}

#[test]
fn a_body_with_another_digest_never_becomes_an_object() {
    for pipeline in PIPELINES {
        let swift = SwiftCluster::shared(pipeline);
        let registry = registry(swift, "wrong");
        let api = registry.api();
        // Small, straight to its name, and in segments.
        for (size, chunked) in [(1000, false), (6 << 20, false), (6 << 20, true)] {
            let wanted = Digest::sha256(&bytes(size as u64, size));
            let session = api.start_upload("app");
            let other = bytes(1 + size as u64, size);
            if chunked {
                let patched = api.patch(&session, 0, &other).expect(202);
                api.finish(&patched.location(), &wanted.to_string(), b"").expect_error(400, "DIGEST_INVALID");
            } else {
                api.finish(&session, &wanted.to_string(), &other).expect_error(400, "DIGEST_INVALID");
            }
            api.head(&format!("/v2/app/blobs/{wanted}")).expect(404);
        }
        let mut left = swift.list("wrong");
        // What the server does there by itself is not meant.
        left.retain(|name| !name.contains("/probe/") && !name.contains("/instances/"));
        assert_eq!(left, Vec::<String>::new(), "{pipeline:?}: a refused body left something");
    }
}

#[test]
fn wikimedias_configuration_serves_with_its_redis_dead() {
    let swift = SwiftCluster::shared(Pipeline::Wikimedia);
    let (builder, debug, redis) = (Registry::builder(), free_port(), free_port());
    let file = format!(
        "version: 0.1\nlog:\n  formatter: json\n  fields:\n    service: docker-registry\nstorage:\n  cache:\n    \
         blobdescriptor: redis\n  swift:\n    username: {user}\n    password: {key}\n    authurl: {auth}\n    \
         container: docker_registry_codfw\n  delete:\n    enabled: true\nhttp:\n  addr: 127.0.0.1:{port}\n  \
         secret: shared\n  headers:\n    X-Content-Type-Options: [nosniff]\n  debug:\n    addr: \
         127.0.0.1:{debug}\n    prometheus:\n      enabled: true\n      path: /metrics\nredis:\n  addr: \
         127.0.0.1:{redis}\n  password: hidden\n  db: 0\n  dialtimeout: 100ms\n  readtimeout: 100ms\n  \
         writetimeout: 300ms\n  pool:\n    maxidle: 16\n    maxactive: 64\n    idletimeout: 300s\nhealth:\n  \
         storagedriver:\n    enabled: true\n    interval: 1s\n    threshold: 3\n  tcp:\n    - addr: \
         127.0.0.1:{redis}\n      timeout: 1s\n      interval: 1s\n      threshold: 1\ncatalog:\n  maxentries: \
         10000\nadmin:\n  socket: {socket}\n",
        user = swift.user(),
        key = swift.key(),
        auth = swift.auth_url(),
        port = builder.port(),
        socket = builder.directory().join("admin.sock").display(),
    );
    let registry = builder.config_file(&file).allow_log("redis").allow_log("Redis").start();
    let (api, image) = (registry.api(), Image::small(11));
    api.push_image("wikimedia/mediawiki", "v1", &image);
    assert_eq!(api.pull("wikimedia/mediawiki", "v1").manifest, image.manifest);
    let store = || api.get("/health/store").status == 200;
    wait_until("the probe of Swift to pass", Duration::from_secs(30), store);
    // Long enough for Distribution to have given up on its Redis.
    for _ in 0..30 {
        assert_eq!(api.get("/health/ready").status, 200);
        assert_eq!(
            Client::plain(debug).send(&Request::new("GET", "/debug/health")).unwrap().text().trim(),
            "{}"
        );
        pause(Duration::from_millis(100));
    }
    api.get("/v2/wikimedia/mediawiki/tags/list").expect(200);
    let metrics = Client::plain(debug).send(&Request::new("GET", "/metrics")).unwrap().text();
    assert!(
        metrics.contains(&format!("wharfinger_port_answers{{address=\"127.0.0.1:{redis}\"}} 0")),
        "{metrics}"
    );
}
