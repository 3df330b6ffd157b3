//! Varnish, Traffic Server and nginx in front, each by what we ship for it and by its built-in rules: what is kept, what
//! is asked for each time, what is never kept, and what a purge takes away.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

#[path = "http_caches/fleet.rs"]
mod fleet;
#[path = "http_caches/private.rs"]
mod private;
#[path = "http_caches/purges.rs"]
mod purges;

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use fleet::Fleet;
use wharfinger_test_support::{
    Api, CacheProgram, CacheRules, Digest, HttpCache, HttpError, Image, Index, Registry, Request, Style,
    bytes, wait_until,
};

const MIB: usize = 1 << 20;
const SOON: Duration = Duration::from_secs(10);

fn blob(name: &str, digest: &Digest) -> String {
    format!("/v2/{name}/blobs/{digest}")
}

fn manifest(name: &str, reference: impl std::fmt::Display) -> String {
    format!("/v2/{name}/manifests/{reference}")
}

/// Pulls a path whose content has that digest; says whether the cache had it.
#[track_caller]
fn pull(front: &HttpCache, target: &str, digest: &Digest) -> bool {
    let answer = front.api().get(target).expect(200);
    assert_eq!(Digest::of(digest.algorithm(), &answer.body), *digest, "{}: {target}", front.name());
    front.is_hit(&answer)
}

/// Pulls until the cache has it. The second pull finds it, unless the first is not yet written down.
#[track_caller]
fn keep(front: &HttpCache, target: &str, digest: &Digest) {
    let what = format!("{}: a copy of {target}", front.name());
    wait_until(&what, SOON, || pull(front, target, digest));
}

#[test]
fn content_by_digest_is_kept_and_nothing_else() {
    let fleet = Fleet::start(Registry::builder());
    for (seed, front) in (1..).map(|n| n * 10).zip(&fleet.fronts) {
        let name = front.name();
        let (api, shipped) = (front.api(), front.rules == CacheRules::Shipped);
        let (old, new) = (Image::small(seed), Image::small(seed + 1));
        let layer = old.layers[0].digest;
        let targets = [manifest(&name, "v1"), manifest(&name, old.digest), blob(&name, &layer)];
        for target in targets.iter().chain(&targets) {
            assert_eq!(api.get(target).status, 404, "{target}");
            assert_eq!(api.head(target).status, 404, "{target}");
        }
        // Pushes go through the cache too.
        if shipped { api.clone() } else { fleet.registry.api() }.push_image(&name, "v1", &old);
        assert!(!pull(front, &targets[0], &old.digest), "{name}: a tag that nobody asked for");
        for (target, digest) in [(&targets[1], &old.digest), (&targets[2], &layer)] {
            assert!(!pull(front, target, digest), "{name}: kept before it was asked for");
            keep(front, target, digest);
        }
        assert_eq!(api.tags(&name), ["v1"]);
        fleet.registry.api().push_image(&name, "v1", &new);
        fleet.registry.api().push_image(&name, "v2", &new);
        for _ in 0..2 {
            assert!(!pull(front, &targets[0], &new.digest), "{name}: a tag came out of the cache");
            assert_eq!(api.tags(&name), ["v1", "v2"], "{name}");
            let head = api.head(&targets[0]).expect(200);
            assert_eq!(head.required("docker-content-digest"), new.digest.to_string(), "{name}");
        }
        // A push that asks whether it has to send a blob must hear the registry, not a copy.
        fleet.registry.api().delete(&targets[2]).expect(202);
        if shipped {
            assert_eq!(api.head(&targets[2]).status, 404, "{name}: HEAD of a deleted blob");
            let large = bytes(seed, 20 * MIB);
            let digest = api.push_blob(&name, &large);
            for _ in 0..2 {
                assert!(!pull(front, &blob(&name, &digest), &digest), "{name}: a layer was kept");
            }
        }
    }
}

#[test]
fn a_client_gets_the_media_type_that_the_registry_has_for_it() {
    let fleet = Fleet::start(Registry::builder());
    let accepts = [
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json",
        "*/*",
    ];
    let (oci, docker) = (Index::two_platforms(Style::Oci, 1), Index::two_platforms(Style::Docker, 5));
    fleet.registry.api().push_index("app", "oci", &oci);
    fleet.registry.api().push_index("app", "docker", &docker);
    let mut references = vec!["oci".to_owned(), "docker".to_owned()];
    references.extend([&oci, &docker].map(|index| index.digest.to_string()));
    references.extend([&oci, &docker].map(|index| index.images[0].digest.to_string()));
    for front in &fleet.fronts {
        for reference in references.iter().chain(&references) {
            for accept in accepts {
                let request = Request::new("GET", &manifest("app", reference)).header("Accept", accept);
                let expected = fleet.registry.api().send(request.clone()).expect(200);
                let answer = front.api().send(request).expect(200);
                assert_eq!(answer.required("content-type"), expected.required("content-type"));
                assert!(answer.body == expected.body, "{}: {reference} for {accept}", front.name());
                assert_eq!(answer.required("vary"), "Accept");
            }
        }
    }
}

/// Everything that ended cleanly is right.
fn right_or_broken(api: &Api, target: &str, content: &[u8]) -> bool {
    match api.try_send(Request::new("GET", target)) {
        Ok(answer) if answer.status == 200 => {
            assert!(answer.body == content, "{target}: a clean 200 with {} bytes", answer.body.len());
            true
        }
        Ok(answer) => {
            assert!(answer.status >= 500, "{target}: {}", answer.status);
            false
        }
        Err(HttpError::Truncated { response, .. }) => {
            assert!(response.body.len() < content.len());
            false
        }
        Err(_) => false,
    }
}

#[test]
fn a_body_that_breaks_off_is_not_kept() {
    let fleet = Fleet::start(Registry::builder().allow_log(""));
    for (seed, front) in (1..).zip(&fleet.fronts) {
        let (name, content) = (front.name(), bytes(seed, 4 * MIB + 17));
        let digest = fleet.registry.api().push_blob(&name, &content);
        let file = OpenOptions::new().write(true).open(fleet.registry.blob_path(&digest)).unwrap();
        let harmed = 3 * MIB + 5;
        file.write_all_at(&[content[harmed] ^ 1], harmed as u64).unwrap();
        let target = blob(&name, &digest);
        for _ in 0..3 {
            let whole = right_or_broken(&front.api(), &target, &content);
            assert!(!whole, "{name}: the whole came, though the registry cannot have it");
        }
        fleet.registry.api().push_blob(&name, &content);
        assert!(!pull(front, &target, &digest), "{name}: mended, and yet in the cache");
        keep(front, &target, &digest);
    }
}

#[test]
fn many_clients_at_once_get_the_whole_and_small_content_is_fetched_once() {
    let fleet = Fleet::start(Registry::builder());
    let shipped = fleet.fronts.iter().filter(|front| front.rules == CacheRules::Shipped);
    for (seed, front) in (1..).zip(shipped) {
        for length in [8 * MIB, 20 * MIB] {
            let (name, content) = (front.name(), bytes(seed + length as u64, length));
            let digest = fleet.registry.api().push_blob(&name, &content);
            let target = blob(&name, &digest);
            let begun = Instant::now();
            let together = Barrier::new(12);
            let client = || {
                together.wait();
                pull(front, &target, &digest)
            };
            std::thread::scope(|scope| (0..12).for_each(|_| drop(scope.spawn(client))));
            let (took, requests) = (begun.elapsed(), fleet.requests(&target));
            assert!(took < SOON, "{name}: {length} bytes took {took:?}");
            // Traffic Server asks for each client until it knows that what comes can be kept.
            let once = length == 8 * MIB && front.program != CacheProgram::TrafficServer;
            assert!(!once || requests == 1, "{name}: {requests} requests");
        }
    }
}

#[test]
fn ranges_are_right_kept_or_not() {
    let fleet = Fleet::start(Registry::builder());
    for (seed, front) in (1..).zip(&fleet.fronts) {
        for length in [5 * MIB + 17, 20 * MIB + 3] {
            let (name, content) = (front.name(), bytes(seed + length as u64, length));
            let digest = fleet.registry.api().push_blob(&name, &content);
            let target = blob(&name, &digest);
            for round in 0..2 {
                for (first, last) in [(0, 99), (MIB - 1, 2 * MIB), (length - 10, length - 1)] {
                    let request =
                        Request::new("GET", &target).header("Range", format!("bytes={first}-{last}"));
                    let answer = front.api().send(request).expect(206);
                    let what = format!("{name}: {first}-{last} of {length}, round {round}");
                    assert!(answer.body == content[first..=last], "{what}");
                    assert_eq!(answer.required("content-range"), format!("bytes {first}-{last}/{length}"));
                }
                pull(front, &target, &digest);
                pull(front, &target, &digest);
            }
            let known = Request::new("GET", &target).header("If-None-Match", format!("\"{digest}\""));
            front.api().send(known).expect(304);
        }
    }
}

#[test]
fn while_the_registry_is_down_what_is_kept_is_served() {
    let mut fleet = Fleet::start(Registry::builder());
    let image = Image::small(1);
    fleet.registry.api().push_image("app", "v1", &image);
    let targets = [
        (manifest("app", image.digest), image.digest),
        (blob("app", &image.config.digest), image.config.digest),
        (blob("app", &image.layers[0].digest), image.layers[0].digest),
    ];
    for front in &fleet.fronts {
        targets.iter().for_each(|(target, digest)| keep(front, target, digest));
        pull(front, &manifest("app", "v1"), &image.digest);
    }
    fleet.registry.stop();
    // Longer than nginx keeps anything unasked in these tests.
    wharfinger_test_support::pause(Duration::from_millis(2200));
    for front in &fleet.fronts {
        for (target, digest) in &targets {
            pull(front, target, digest);
        }
        let status = front.api().get(&manifest("app", "v1")).status;
        assert!(status >= 500, "{}: a tag without the registry: {status}", front.name());
        if (front.program, front.rules) == (CacheProgram::Varnish, CacheRules::Shipped) {
            front.api().get(&manifest("app", "v1")).expect_error(503, "UNAVAILABLE");
        }
    }
    fleet.registry.start_again();
    for front in &fleet.fronts {
        let tag = manifest("app", "v1");
        wait_until("the tag to be back", SOON, || front.api().get(&tag).status == 200);
        pull(front, &tag, &image.digest);
    }
}
