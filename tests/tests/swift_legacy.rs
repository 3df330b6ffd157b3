//! Blobs that Distribution 2.8.2 left in Swift: dynamic large objects, read here segment by segment and never through
//! their header, where Swift lets one segment a second through.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use std::collections::BTreeMap;
use std::time::Duration;

use wharfinger_test_support::{
    Api, Blob, Builder, Digest, DockerRegistry, HttpError, Image, Mark, Pipeline, Registry, Request, Style,
    SwiftCluster, bytes, wait_until,
};

const MIB: usize = 1 << 20;
const REPOSITORY: &str = "legacy";

/// One blob in a container of its own, written by Distribution on a cluster without static large objects.
struct Legacy {
    swift: &'static SwiftCluster,
    container: String,
    content: Vec<u8>,
    digest: Digest,
    /// The header object.
    object: String,
    segments: Vec<String>,
}

impl Legacy {
    /// A blob of `length` bytes in segments of `chunk` bytes.
    fn new(chunk: usize, length: usize) -> Legacy {
        Legacy::pushed(chunk, length, |api, content| {
            api.push_blob(REPOSITORY, content);
        })
    }

    fn pushed(chunk: usize, length: usize, push: impl Fn(&Api, &[u8])) -> Legacy {
        let swift = SwiftCluster::shared(Pipeline::Wikimedia);
        let container = swift.fresh_container();
        let builder = DockerRegistry::builder().swift(swift, &container);
        let registry = builder.set("storage.swift.chunksize", chunk).start();
        let content = bytes(length as u64, length);
        push(&registry.api(), &content);
        let digest = Digest::sha256(&content);
        let hex = digest.hex();
        let object = format!("files/docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]);
        let segments = swift.segments_of(&container, &object);
        Legacy { swift, container, content, digest, object, segments }
    }

    fn builder(&self) -> Builder {
        Registry::builder().swift(self.swift, &self.container)
    }

    /// Expects what is logged of damage.
    fn builder_of_damaged(&self) -> Builder {
        self.builder().allow_log(&self.digest.hex())
    }

    fn target(&self) -> String {
        format!("/v2/{REPOSITORY}/blobs/{}", self.digest)
    }

    #[track_caller]
    fn assert_whole(&self, api: &Api) {
        assert!(api.get(&self.target()).expect(200).body == self.content, "other bytes than were pushed");
    }

    #[track_caller]
    fn assert_range(&self, api: &Api, from: usize, to: usize) {
        let range = format!("bytes={from}-{to}");
        let part = api.with_header("Range", &range).get(&self.target()).expect(206);
        assert!(part.body == self.content[from..=to], "{range}: other bytes than were pushed");
    }

    /// Reads that are never answered cleanly: the whole, and a range of the bad segment.
    #[track_caller]
    fn assert_breaks(&self, api: &Api) {
        match api.try_send(Request::new("GET", &self.target())) {
            Err(HttpError::Truncated { response, .. }) => {
                assert!(response.body.len() < self.content.len());
                assert!(self.content.starts_with(&response.body), "wrong bytes before the break");
            }
            Ok(answer) => assert!(answer.status >= 500, "a clean {}", answer.status),
            Err(_) => {}
        }
    }

    /// The push that a client makes when it asked and was told that the blob is not there.
    #[track_caller]
    fn assert_heals(&self, api: &Api) {
        api.head(&self.target()).expect(404);
        api.push_blob(REPOSITORY, &self.content);
        self.assert_whole(api);
        self.assert_range(api, self.content.len() / 3, self.content.len() - 2);
    }

    /// The list of segments is written behind the first whole read.
    fn wait_for_list(&self) {
        let list = self.object.replacen("files/", "files/wharfinger/v1/segments/", 1);
        let hex = self.digest.hex();
        let index = format!("files/wharfinger/v1/chunks/sha256/{}/{hex}", &hex[..2]);
        wait_until("segment list and chunk index to be written", Duration::from_secs(20), || {
            [&list, &index].iter().all(|name| self.swift.head(&self.container, name).status == 200)
        });
    }

    /// What was read from the container since then.
    fn reads(&self, mark: Mark) -> Reads {
        let (mut reads, place) = (Reads::default(), format!("/{}", self.container));
        for request in self.swift.since(mark).into_iter().filter(|request| request.method == "GET") {
            let Some((_, name)) = request.path.split_once(&place) else { continue };
            match name.strip_prefix('/') {
                // A HEAD of the header makes Swift's own middleware list the segments.
                None if name.contains("prefix=segments") && request.source.is_none() => reads.listings += 1,
                Some(name) if name == self.object => reads.headers += 1,
                Some(name) if self.segments.iter().any(|segment| segment == name) => {
                    *reads.segments.entry(name.to_owned()).or_default() += 1;
                }
                _ => {}
            }
        }
        reads
    }
}

/// GETs of the clients and of Swift's own middleware.
#[derive(Debug, Default)]
struct Reads {
    /// Of the header's name: Swift would put the segments together, throttled.
    headers: usize,
    /// Of segments.
    listings: usize,
    segments: BTreeMap<String, usize>,
}

impl Reads {
    /// Each of these segments was read once by its name, and nothing else.
    #[track_caller]
    fn assert_once(&self, segments: &[String]) {
        assert_eq!(self.headers, 0, "the header was read: {self:?}");
        let read: Vec<_> = self.segments.iter().map(|(name, count)| (name.as_str(), *count)).collect();
        assert_eq!(read, segments.iter().map(|name| (name.as_str(), 1)).collect::<Vec<_>>());
    }
}

#[test]
fn forty_segments_are_read_by_name_and_then_known_without_a_listing() {
    let legacy = Legacy::new(MIB, 39 * MIB + 12_345);
    assert_eq!(legacy.segments.len(), 40);
    let mut registry = legacy.builder().start();
    let mark = legacy.swift.mark();
    legacy.assert_whole(&registry.api());
    legacy.reads(mark).assert_once(&legacy.segments);
    legacy.wait_for_list();

    registry.stop();
    registry.start_again();
    let mark = legacy.swift.mark();
    let api = registry.api();
    legacy.assert_range(&api, 10 * MIB + 7, 12 * MIB + 7);
    let reads = legacy.reads(mark);
    reads.assert_once(&legacy.segments[10..13]);
    assert_eq!(reads.listings, 0, "{reads:?}");
    let last = legacy.content.len() - 1;
    for (from, to) in [(0, 0), (MIB - 1, MIB), (39 * MIB, last), (last, last), (0, last)] {
        legacy.assert_range(&api, from, to);
    }
    let mark = legacy.swift.mark();
    legacy.assert_whole(&api);
    let reads = legacy.reads(mark);
    reads.assert_once(&legacy.segments);
    assert_eq!(reads.listings, 0, "{reads:?}");
}

#[test]
fn a_range_of_the_default_segments_is_right_before_any_whole_read() {
    let legacy = Legacy::new(20 * MIB, 45 * MIB);
    assert_eq!(legacy.segments.len(), 3);
    let registry = legacy.builder().start();
    let mark = legacy.swift.mark();
    legacy.assert_range(&registry.api(), 20 * MIB - 3, 20 * MIB + 3);
    assert_eq!(legacy.reads(mark).headers, 0);
    legacy.assert_whole(&registry.api());
}

#[test]
fn a_small_blob_of_many_segments_is_not_throttled_either() {
    // Each PATCH ends with a segment of its own.
    let length = 14 * 50_000;
    let legacy = Legacy::pushed(MIB, length, |api, content| {
        api.push_chunked(REPOSITORY, content, 50_000);
    });
    assert_eq!(legacy.segments.len(), 14);
    let registry = legacy.builder().start();
    let mark = legacy.swift.mark();
    legacy.assert_whole(&registry.api());
    legacy.reads(mark).assert_once(&legacy.segments);
}

#[test]
fn rows_that_the_listing_lost_do_not_shorten_a_blob() {
    let legacy = Legacy::new(MIB, 8 * MIB + 5);
    assert_eq!(legacy.segments.len(), 9);
    let mut registry = legacy.builder().start();
    // Before the list is known: a gap, and the last row.
    for number in [3, 8] {
        legacy.swift.lose_row(&legacy.container, &legacy.segments[number]);
    }
    assert_eq!(legacy.swift.segments_of(&legacy.container, &legacy.object).len(), 7);
    let head = registry.api().head(&legacy.target()).expect(200);
    assert_eq!(head.required("content-length"), legacy.content.len().to_string());
    legacy.assert_whole(&registry.api());
    legacy.wait_for_list();
    // After: all of them.
    for segment in &legacy.segments {
        legacy.swift.lose_row(&legacy.container, segment);
    }
    assert!(legacy.swift.segments_of(&legacy.container, &legacy.object).is_empty());
    registry.stop();
    registry.start_again();
    legacy.assert_whole(&registry.api());
    legacy.assert_range(&registry.api(), 3 * MIB - 9, 8 * MIB + 4);
}

#[test]
fn a_segment_deleted_after_the_first_read_breaks_the_connection_and_a_push_heals() {
    let legacy = Legacy::new(MIB, 8 * MIB + 5);
    let registry = legacy.builder_of_damaged().start();
    let api = registry.api();
    legacy.assert_whole(&api);
    legacy.wait_for_list();
    legacy.swift.delete(&legacy.container, &legacy.segments[5]).expect(204);
    let broken = api.try_send(Request::new("GET", &legacy.target()));
    let Err(HttpError::Truncated { response, .. }) = broken else { panic!("a clean answer: {broken:?}") };
    assert_eq!(response.status, 200);
    assert!(legacy.content.starts_with(&response.body) && response.body.len() <= 5 * MIB);
    legacy.assert_heals(&api);
}

#[test]
fn a_segment_deleted_before_the_first_read_is_never_a_clean_short_body() {
    for missing in [0, 4, 8] {
        let legacy = Legacy::new(MIB, 8 * MIB + 5);
        let registry = legacy.builder_of_damaged().start();
        let api = registry.api();
        legacy.swift.delete(&legacy.container, &legacy.segments[missing]).expect(204);
        legacy.assert_breaks(&api);
        let range = format!("bytes={}-{}", MIB, MIB + 9);
        let part = api.with_header("Range", &range).try_send(Request::new("GET", &legacy.target()));
        assert!(part.is_err() || part.unwrap().status >= 400, "{range}: a clean answer");
        legacy.assert_heals(&api);
    }
}

#[test]
fn a_missing_segment_is_seen_by_the_client_that_asks_before_it_pushes() {
    let legacy = Legacy::new(MIB, 8 * MIB + 5);
    let mut registry = legacy.builder_of_damaged().start();
    legacy.assert_whole(&registry.api());
    legacy.wait_for_list();
    registry.stop();
    legacy.swift.delete(&legacy.container, &legacy.segments[8]).expect(204);
    registry.start_again();
    legacy.assert_heals(&registry.api());
}

#[test]
fn a_whole_blob_pushed_to_another_repository_stays_what_it_was() {
    let legacy = Legacy::new(MIB, 8 * MIB + 5);
    let header = || {
        let head = legacy.swift.head(&legacy.container, &legacy.object).expect(200);
        head.required("x-object-manifest").to_owned()
    };
    let before = header();
    let registry = legacy.builder().start();
    let api = registry.api();
    // Announced with the closing PUT, and by PATCH.
    assert_eq!(api.push_blob("second", &legacy.content), legacy.digest);
    assert_eq!(api.push_chunked("third", &legacy.content, 8 * MIB), legacy.digest);
    for repository in ["second", "third"] {
        assert!(api.pull_blob(repository, &legacy.digest) == legacy.content);
    }
    assert_eq!(header(), before);
    assert_eq!(legacy.swift.orphaned_segments(&legacy.container), Vec::<String>::new());
    let left = legacy.swift.list(&legacy.container).into_iter();
    let left: Vec<_> = left.filter(|name| name.starts_with("files/wharfinger/v1/uploads/")).collect();
    assert_eq!(left, Vec::<String>::new());
}

#[test]
fn a_small_whole_blob_pushed_to_another_repository_stays_what_it_was() {
    let legacy = Legacy::new(MIB, MIB + 5);
    let registry = legacy.builder().start();
    let api = registry.api();
    assert_eq!(api.push_blob("second", &legacy.content), legacy.digest);
    assert!(api.pull_blob("second", &legacy.digest) == legacy.content);
    assert_eq!(legacy.swift.orphaned_segments(&legacy.container), Vec::<String>::new());
}

#[test]
fn a_manifest_is_refused_while_a_layer_of_it_has_lost_its_segments() {
    for length in [MIB + 5, 8 * MIB + 5] {
        let legacy = Legacy::new(MIB, length);
        for segment in &legacy.segments {
            legacy.swift.delete(&legacy.container, segment).expect(204);
        }
        let registry = legacy.builder_of_damaged().start();
        let api = registry.api();
        let image = Image::of(Style::Oci, "amd64", vec![Blob::new(legacy.content.clone())]);
        api.push_blob(REPOSITORY, &image.config.bytes());
        let put = || api.put_manifest(REPOSITORY, "latest", image.media_type, &image.manifest);
        let refused = put().expect(400);
        assert!(String::from_utf8_lossy(&refused.body).contains("MANIFEST_BLOB_UNKNOWN"));
        api.push_image(REPOSITORY, "latest", &image);
        legacy.assert_whole(&api);
    }
}

#[test]
fn the_scrub_proves_a_blob_that_nobody_has_pulled_and_writes_what_it_lacks() {
    let legacy = Legacy::new(MIB, 6 * MIB + 17);
    let registry = legacy.builder().set("scrub.period", "2s").start();
    legacy.wait_for_list();
    let mark = legacy.swift.mark();
    legacy.assert_range(&registry.api(), 5 * MIB, 5 * MIB + 9);
    let reads = legacy.reads(mark);
    assert!(reads.segments.len() <= 2, "a range was not read by the index: {reads:?}");
}
