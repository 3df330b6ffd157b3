//! One container, two registries: Distribution 2.8.2 reads, deletes and collects what we wrote, and the other way, with
//! and without static large objects.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use wharfinger_test_support::{
    Corpus, Digest, Pipeline, Place, Registry, Side, SwiftCluster, bytes, exchange, foreign_upload,
};

/// The two directions, each in a container of its own; what they leave is the same, object by object.
fn both_ways(pipeline: Pipeline) -> (Leftovers, Leftovers) {
    let (swift, corpus) = (SwiftCluster::shared(pipeline), Corpus::new());
    let [ours, theirs] = [Side::Ours, Side::Theirs].map(|writer| {
        let container = swift.fresh_container();
        let trees = exchange(&corpus, Place::Container(swift, &container), writer);
        (trees, Leftovers { swift, container })
    });
    theirs.0.assert_same(&ours.0);
    (ours.1, theirs.1)
}

/// A container after everything.
struct Leftovers {
    swift: &'static SwiftCluster,
    container: String,
}

impl Leftovers {
    fn orphans(&self) -> Vec<String> {
        self.swift.orphaned_segments(&self.container)
    }
}

#[test]
fn without_static_large_objects_nothing_is_lost_and_nothing_leaks() {
    let (ours, theirs) = both_ways(Pipeline::Wikimedia);
    assert_eq!(ours.orphans(), Vec::<String>::new());
    assert_eq!(theirs.orphans(), Vec::<String>::new());
}

/// Distribution knows nothing of static large objects: it deletes the manifest, and the segments stay behind.
#[test]
fn with_static_large_objects_nothing_is_lost_but_its_collection_leaves_segments() {
    let (ours, theirs) = both_ways(Pipeline::Full);
    let leaked = ours.orphans();
    assert_eq!(leaked.len(), 1, "the doomed layer was one segment: {leaked:?}");
    assert!(leaked[0].starts_with("segments/wharfinger/v1/uploads/"), "{leaked:?}");
    assert_eq!(theirs.orphans(), Vec::<String>::new());
}

#[test]
fn dynamic_large_objects_on_request_do_not_leak_where_static_ones_are_offered() {
    let swift = SwiftCluster::shared(Pipeline::Full);
    let container = swift.fresh_container();
    let registry = Registry::builder().swift(swift, &container).set("storage.swift.objects", "dlo").start();
    let blob = bytes(5, (5 << 20) + 1);
    let digest = registry.api().push_chunked("unreferenced", &blob, blob.len());
    drop(registry);
    let place = Place::Container(swift, &container);
    assert!(place.has_blob(&digest));
    place.garbage_collect();
    assert!(!place.has_blob(&digest));
    let left = swift.list(&container).into_iter().filter(|name| name.starts_with("segments/"));
    assert_eq!(left.collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn an_upload_left_half_done_by_one_is_a_clean_404_at_the_other() {
    let swift = SwiftCluster::shared(Pipeline::Wikimedia);
    foreign_upload(Place::Container(swift, &swift.fresh_container()));
}

/// Why the corpus has its empty blob pushed by us: 2.8.2 waits for segments that an empty blob does not have.
#[test]
fn distribution_cannot_push_an_empty_blob_but_reads_ours() {
    let swift = SwiftCluster::shared(Pipeline::Wikimedia);
    let container = swift.fresh_container();
    let place = Place::Container(swift, &container);
    let (ours, theirs) = (place.start(Side::Ours), place.start(Side::Theirs));
    let empty = Digest::sha256(b"");
    let session = theirs.api().start_upload("empty");
    theirs.api().finish(&session, &empty.to_string(), b"").expect(500);
    assert_eq!(ours.api().push_blob("empty", b""), empty);
    assert_eq!(theirs.api().pull_blob("empty", &empty), b"");
}
