//! Segments that rot on disk, vanish or shrink: never a clean answer with other bytes, one line that names them, and a
//! push that mends the blob.

use std::time::Duration;

use wharfinger_test_support::{
    Api, Blob, Client, Digest, DockerRegistry, HttpError, Pipeline, Registry, Request, SwiftCluster, bytes,
    free_port, wait_until,
};

use super::{SEGMENT, builder};

const PATIENCE: Duration = Duration::from_secs(20);

/// What happens to a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Harm {
    /// One byte in its middle is another; Swift does not know until it has read the whole segment.
    Corrupt,
    /// Its file is gone; the listing still has it.
    Vanish,
    /// Its file is short; the listing and its metadata have the old length.
    Shrink,
    /// It was deleted through Swift; the listing has it no more.
    Delete,
}

impl Harm {
    fn apply(self, swift: &SwiftCluster, container: &str, segment: &str) {
        match self {
            Harm::Corrupt => swift.corrupt(container, segment),
            Harm::Vanish => swift.remove_file(container, segment),
            Harm::Shrink => swift.truncate(container, segment, SEGMENT as u64 / 2),
            Harm::Delete => drop(swift.delete(container, segment).expect(204)),
        }
    }
}

/// What reading a damaged blob came to.
#[derive(Debug, Default)]
struct Reads {
    /// Answers with an error status.
    refused: usize,
    /// Answers that began well and were broken off.
    broken: usize,
}

/// Reads the whole and ranges; panics when an answer ends cleanly with bytes that were not pushed, or when wrong bytes
/// come before the break although the blob has an index.
fn read_everything(api: &Api, target: &str, content: &[u8], indexed: bool) -> Reads {
    let length = content.len();
    let ranges = [
        (0, 99),
        (SEGMENT - 10, SEGMENT + 10),
        (SEGMENT / 2, SEGMENT * 5 / 2),
        (3 * SEGMENT / 2 - 5, 3 * SEGMENT / 2 + 5),
        (length - 10, length - 1),
        (0, length - 1),
    ];
    let mut reads = Reads::default();
    for range in [None].into_iter().chain(ranges.map(Some)) {
        let mut request = Request::new("GET", target);
        if let Some((first, last)) = range {
            request = request.header("Range", format!("bytes={first}-{last}"));
        }
        let expected = range.map_or(content, |(first, last)| &content[first..=last]);
        match api.try_send(request) {
            Ok(answer) if answer.status < 300 => {
                assert!(answer.body == expected, "{range:?}: a clean {} with other bytes", answer.status);
            }
            Ok(answer) => {
                assert!(answer.status == 404 || answer.status >= 500, "{range:?}: {answer:?}");
                answer.error_code();
                reads.refused += 1;
            }
            Err(HttpError::Truncated { response, .. }) => {
                let right = expected.starts_with(&response.body);
                assert!(right || !indexed, "{range:?}: wrong bytes before the break");
                reads.broken += 1;
            }
            Err(error) => panic!("{range:?}: {error}"),
        }
    }
    reads
}

/// A registry with its metrics.
fn with_metrics(swift: &SwiftCluster, container: &str) -> (Registry, Api) {
    let port = free_port();
    let mut registry = builder(swift, container)
        .set("http.debug.addr", format!("127.0.0.1:{port}"))
        .set("http.debug.prometheus.enabled", true)
        .start();
    for expected in ["a blob is damaged in the store", "the answer was broken off", "the request failed"] {
        registry.allow_log(expected);
    }
    registry.allow_log("a storage call failed");
    (registry, Api::new(Client::plain(port)))
}

fn metric(metrics: &Api, name: &str) -> u64 {
    let text = metrics.get("/metrics").expect(200).text();
    let line = text.lines().find(|line| line.starts_with(name));
    let value = line.and_then(|line| line.rsplit(' ').next()).and_then(|value| value.parse().ok());
    value.unwrap_or_else(|| panic!("no {name} in {text}"))
}

/// The names of the segments that a push made.
fn segments_of(swift: &SwiftCluster, container: &str, push: impl FnOnce() -> Digest) -> Vec<String> {
    let listed = || swift.list(container).into_iter().filter(|name| name.starts_with("segments/"));
    let before: Vec<String> = listed().collect();
    push();
    listed().filter(|name| !before.contains(name)).collect()
}

/// One line of the log names the blob, the segment and Swift's own name for the request.
fn assert_told(registry: &Registry, digest: &Digest, segment: &str) {
    let log = registry.log();
    let told = log.iter().any(|line| {
        let origin = line.field("origin");
        line.level() == "error"
            && line.field("digest") == digest.to_string()
            && origin.contains(segment)
            && origin.contains("transaction tx")
    });
    assert!(told, "no line tells of {segment} of {digest}");
}

/// Damages one segment of a pushed blob, reads it through both instances, and mends it through one of them.
fn damage_and_mend(swift: &SwiftCluster, pipeline: Pipeline, harm: Harm, victim: usize, by_other: bool) {
    let what = format!("{pipeline:?}, {harm:?}, segment {victim}, mended by the other: {by_other}");
    println!("{what}");
    let container = swift.fresh_container();
    let (one, metrics) = with_metrics(swift, &container);
    let (other, _) = with_metrics(swift, &container);
    let blob = Blob::seeded(7 + victim as u64, 3 * SEGMENT + 5);
    let (content, target) = (blob.bytes(), format!("/v2/damage/blobs/{}", blob.digest));
    let segments = segments_of(swift, &container, || one.api().push_chunked("damage", &content, SEGMENT));
    assert_eq!(segments.len(), 4, "{what}: {segments:?}");
    assert!(one.api().pull_blob("damage", &blob.digest) == content);
    harm.apply(swift, &container, &segments[victim]);
    let reads = read_everything(&one.api(), &target, &content, true);
    // Damage in the first chunk is an error instead of an answer; behind it the answer has begun.
    assert!(reads.refused > 0, "{what}: {reads:?}");
    assert!(reads.broken > 0 || victim == 0, "{what}: {reads:?}");
    assert_told(&one, &blob.digest, &segments[victim]);
    assert_eq!(metric(&metrics, "wharfinger_damaged_blobs "), 1, "{what}");
    let aborted = metric(&metrics, "wharfinger_aborted_bodies_total{class=\"blob_read\"}");
    assert_eq!(aborted, reads.broken as u64, "{what}");
    one.api().head(&target).expect(404);
    // The other instance has not read it; without looking at the bytes it can only know what is missing.
    if harm != Harm::Corrupt {
        other.api().head(&target).expect(404);
    }
    // The client does what a 404 asks for, as soon as the others are told.
    let mark = format!("files/wharfinger/v1/damaged/sha256/{}", blob.digest.hex());
    wait_until("a mark for the others", PATIENCE, || swift.head(&container, &mark).status == 200);
    let mender = if by_other { &other } else { &one };
    mender.api().push_blob("damage", &content);
    for registry in [&one, &other] {
        let head = registry.api().head(&target).expect(200);
        assert_eq!(head.required("content-length"), content.len().to_string(), "{what}");
        let reads = read_everything(&registry.api(), &target, &content, true);
        assert_eq!((reads.refused, reads.broken), (0, 0), "{what}");
    }
    assert_eq!(metric(&metrics, "wharfinger_damaged_blobs "), 0, "{what}");
}

fn every_harm(pipeline: Pipeline) {
    let swift = SwiftCluster::shared(pipeline);
    for (number, harm) in [Harm::Corrupt, Harm::Vanish, Harm::Shrink].into_iter().enumerate() {
        damage_and_mend(swift, pipeline, harm, 1, true);
        damage_and_mend(swift, pipeline, harm, 2 * (number % 2), false);
    }
}

#[test]
fn a_damaged_segment_of_a_static_large_object_never_makes_a_clean_answer_and_a_push_mends_it() {
    every_harm(Pipeline::Full);
}

#[test]
fn a_damaged_segment_of_a_dynamic_large_object_never_makes_a_clean_answer_and_a_push_mends_it() {
    every_harm(Pipeline::Wikimedia);
}

#[test]
fn a_push_through_an_instance_that_has_not_heard_of_the_damage_mends_it_too() {
    for pipeline in [Pipeline::Full, Pipeline::Wikimedia] {
        let swift = SwiftCluster::shared(pipeline);
        let container = swift.fresh_container();
        let ((one, _), (other, _)) = (with_metrics(swift, &container), with_metrics(swift, &container));
        let blob = Blob::seeded(70, 3 * SEGMENT);
        let (content, target) = (blob.bytes(), format!("/v2/unheard/blobs/{}", blob.digest));
        let push = || one.api().push_chunked("unheard", &content, SEGMENT);
        let segments = segments_of(swift, &container, push);
        swift.corrupt(&container, &segments[1]);
        // Only what lies around the wrong byte is read: Swift itself does not notice.
        let middle = SEGMENT * 3 / 2;
        let range = format!("bytes={middle}-{}", middle + 10);
        one.api().with_header("Range", &range).get(&target).expect(500);
        assert_told(&one, &blob.digest, &segments[1]);
        let mark = format!("files/wharfinger/v1/damaged/sha256/{}", blob.digest.hex());
        wait_until("a mark for the others", PATIENCE, || swift.head(&container, &mark).status == 200);
        other.api().push_blob("unheard", &content);
        for registry in [&one, &other] {
            registry.api().head(&target).expect(200);
            assert!(registry.api().pull_blob("unheard", &blob.digest) == content, "{pipeline:?}");
        }
    }
}

#[test]
fn a_damaged_segment_of_what_distribution_wrote_never_makes_a_clean_answer_and_a_push_mends_it() {
    let swift = SwiftCluster::shared(Pipeline::Wikimedia);
    let container = swift.fresh_container();
    let distribution =
        DockerRegistry::builder().swift(swift, &container).set("storage.swift.chunksize", SEGMENT).start();
    let harms =
        [(Harm::Corrupt, 1), (Harm::Vanish, 1), (Harm::Shrink, 2), (Harm::Delete, 1), (Harm::Delete, 3)];
    for (number, (harm, victim)) in harms.into_iter().enumerate() {
        let what = format!("{harm:?}, segment {victim}");
        println!("{what}");
        let blob = Blob::seeded(100 + number as u64, 3 * SEGMENT + 5);
        let (content, target) = (blob.bytes(), format!("/v2/legacy/blobs/{}", blob.digest));
        let push = || distribution.api().push_chunked("legacy", &content, SEGMENT);
        let segments = segments_of(swift, &container, push);
        assert_eq!(segments.len(), 4, "{segments:?}");
        harm.apply(swift, &container, &segments[victim]);
        // Nothing of ours was ever there: only the digest proves the bytes, at their end.
        let (registry, _) = with_metrics(swift, &container);
        let reads = read_everything(&registry.api(), &target, &content, false);
        assert_eq!(reads.refused + reads.broken, 7, "{what}: {reads:?}");
        registry.api().head(&target).expect(404);
        registry.api().push_blob("legacy", &content);
        registry.api().head(&target).expect(200);
        assert!(registry.api().pull_blob("legacy", &blob.digest) == content);
        assert!(distribution.api().pull_blob("legacy", &blob.digest) == content, "{what}");
    }
}

#[test]
fn a_plain_object_that_rots_never_makes_a_clean_answer_and_a_push_mends_it() {
    let swift = SwiftCluster::shared(Pipeline::Full);
    let container = swift.fresh_container();
    for (size, harm) in [
        (50_000, Harm::Corrupt),
        (50_000, Harm::Shrink),
        (3 << 20, Harm::Corrupt),
        (3 << 20, Harm::Vanish),
        (3 * SEGMENT, Harm::Corrupt),
        (3 * SEGMENT, Harm::Shrink),
    ] {
        let what = format!("{size} bytes, {harm:?}");
        println!("{what}");
        let (registry, _) = with_metrics(swift, &container);
        let content = bytes(size as u64 + harm as u64, size);
        let digest = registry.api().push_blob("plain", &content);
        let hex = digest.hex();
        let object = format!("files/docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]);
        if harm == Harm::Shrink {
            swift.truncate(&container, &object, 1000);
        } else {
            harm.apply(swift, &container, &object);
        }
        let target = format!("/v2/plain/blobs/{digest}");
        for _ in 0..2 {
            match registry.api().try_send(Request::new("GET", &target)) {
                Ok(answer) => {
                    assert!(answer.status == 404 || answer.status >= 500, "{what}: {}", answer.status);
                }
                Err(error) => assert!(matches!(error, HttpError::Truncated { .. }), "{what}: {error}"),
            }
        }
        registry.api().head(&target).expect(404);
        registry.api().push_blob("plain", &content);
        registry.api().head(&target).expect(200);
        assert!(registry.api().pull_blob("plain", &digest) == content, "{what}");
    }
}
