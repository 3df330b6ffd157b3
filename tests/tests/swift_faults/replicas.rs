//! Three replicas, and one of the three servers that hold them away.

use wharfinger_test_support::{Blob, Image, Pipeline, Server, SwiftCluster};

use super::{SEGMENT, builder};

#[test]
fn with_one_of_three_object_servers_away_pushes_and_pulls_go_on_and_no_tag_is_stale() {
    // Wikimedia's pipeline: more is read by name there.
    let swift = SwiftCluster::builder().replicas(3).pipeline(Pipeline::Wikimedia).start();
    let container = swift.fresh_container();
    let (one, other) = (builder(&swift, &container).start(), builder(&swift, &container).start());
    let mut tags = Vec::new();
    let large = Blob::seeded(1, 3 * SEGMENT + 9);
    one.api().push_blob("replicas", &large.bytes());
    for away in 0..3 {
        swift.stop_server(Server::Object(away));
        let images = [Image::small(10 * away as u64 + 1), Image::small(10 * away as u64 + 2)];
        for image in &images {
            one.api().push_image("replicas", "moving", image);
            // One replica of the link may be older; which one answers first is chance.
            for _ in 0..5 {
                for registry in [&other, &one] {
                    assert_eq!(
                        registry.api().pull("replicas", "moving").digest,
                        image.digest,
                        "without {away}"
                    );
                }
            }
        }
        let tag = format!("without-{away}");
        other.api().push_image("replicas", &tag, &images[0]);
        tags.push(tag);
        let expected: Vec<String> = ["moving".to_owned()].into_iter().chain(tags.iter().cloned()).collect();
        assert_eq!(one.api().tags("replicas"), expected);
        assert!(other.api().pull_blob("replicas", &large.digest) == large.bytes(), "without {away}");
        let fresh = Blob::seeded(50 + away as u64, 2 * SEGMENT + 1);
        other.api().push_chunked("replicas", &fresh.bytes(), SEGMENT);
        swift.start_server(Server::Object(away));
        // The one that is back has the old link; nothing was repaired.
        for _ in 0..5 {
            for registry in [&other, &one] {
                let pulled = registry.api().pull("replicas", "moving");
                assert_eq!(pulled.digest, images[1].digest, "{away} is back with an old link");
            }
        }
        assert!(one.api().pull_blob("replicas", &fresh.digest) == fresh.bytes());
    }
    for tag in &tags {
        one.api().pull("replicas", tag);
    }
    assert_eq!(one.api().catalog(), ["replicas"]);
}
