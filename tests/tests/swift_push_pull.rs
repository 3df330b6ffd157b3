//! Pushes and pulls on real Swift, with static and with dynamic large objects.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use wharfinger_test_support::{Image, Index, Pipeline, Registry, Style, SwiftCluster, bytes};

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
