//! `kill -9` at any moment: what was acknowledged is there, what was not is invisible, and uploads go on.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use wharfinger_test_support::{
    Api, Blob, Digest, HttpError, Image, Registry, Request, Response, Rng, Style, bytes, pause, wait_until,
};

/// Power cuts of one run.
const CUTS: u64 = 8;

/// A push that ends quietly when the server is gone; whether its tag was acknowledged.
fn push(api: &Api, repository: &str, tag: &str, image: &Image) -> Result<bool, HttpError> {
    for blob in image.blobs() {
        let target = format!("/v2/{repository}/blobs/uploads/");
        let answer = api.try_send(Request::new("POST", &target).body(""))?;
        let session = answer.expect(202).location();
        let half = blob.bytes().len() / 2;
        let patch = Request::new("PATCH", &session).body(&blob.bytes()[..half]);
        let session = api.try_send(patch)?.expect(202).location();
        let target =
            format!("{session}{}digest={}", if session.contains('?') { '&' } else { '?' }, blob.digest);
        api.try_send(Request::new("PUT", &target).body(&blob.bytes()[half..]))?.expect(201);
    }
    let put = Request::new("PUT", &format!("/v2/{repository}/manifests/{tag}"))
        .header("Content-Type", image.media_type)
        .body(image.manifest.clone());
    Ok(api.try_send(put)?.expect(201).status == 201)
}

/// What a repository shows is complete: every tag with everything below it.
fn check_repository(api: &Api, repository: &str, expected: &BTreeMap<String, Digest>) {
    let tags = match api.get(&format!("/v2/{repository}/tags/list")) {
        Response { status: 404, .. } => Vec::new(),
        _ => api.tags(repository),
    };
    for (tag, digest) in expected {
        assert!(tags.contains(tag), "{repository}:{tag} was acknowledged and is gone");
        assert_eq!(api.pull(repository, tag).digest, *digest, "{repository}:{tag} is another image");
    }
    for tag in &tags {
        // Also those whose answer was lost: visible means complete.
        api.pull(repository, tag);
    }
}

#[test]
fn pushes_survive_power_cuts() {
    let mut rng = Rng::from_environment("pushes_survive_power_cuts");
    let mut registry = Registry::start();
    let mut acknowledged: BTreeMap<String, BTreeMap<String, Digest>> = BTreeMap::new();
    for cut in 0..CUTS {
        let stop = Arc::new(AtomicBool::new(false));
        let pushers: Vec<_> = (0..3u64)
            .map(|pusher| {
                let (api, stop, seed) = (registry.api(), stop.clone(), rng.number());
                thread::spawn(move || {
                    let (mut done, repository) = (BTreeMap::new(), format!("crash/{pusher}"));
                    for round in 0.. {
                        let image = Image::layered(Style::Oci, seed.wrapping_add(round), 2, 150_000);
                        let tag = format!("cut{cut}-{round}");
                        match push(&api, &repository, &tag, &image) {
                            Ok(_) => drop(done.insert(tag, image.digest)),
                            Err(_) => break,
                        }
                        if stop.load(Ordering::Relaxed) {
                            break;
                        }
                    }
                    (repository, done)
                })
            })
            .collect();
        pause(Duration::from_millis(50 + rng.below(300)));
        registry.kill();
        stop.store(true, Ordering::Relaxed);
        for pusher in pushers {
            let (repository, done) = pusher.join().unwrap();
            acknowledged.entry(repository).or_default().extend(done);
        }
        registry.start_again();
        for (repository, tags) in &acknowledged {
            check_repository(&registry.api(), repository, tags);
        }
    }
    let pushed: usize = acknowledged.values().map(BTreeMap::len).sum();
    assert!(pushed > 0, "nothing was pushed between the cuts");
    println!("{pushed} acknowledged pushes over {CUTS} cuts");
    // Everything visible can still be moved and pushed over.
    let again = Image::small(1);
    for repository in acknowledged.keys() {
        registry.api().push_image(repository, "after", &again);
        registry.api().pull(repository, "after");
    }
}

#[test]
fn an_upload_goes_on_at_its_last_durable_byte() {
    let mut rng = Rng::from_environment("an_upload_goes_on_at_its_last_durable_byte");
    let mut registry = Registry::start();
    let api = registry.api();
    let content = bytes(7, 24_000_001);
    let digest = Digest::sha256(&content);
    let session = api.start_upload("resume");
    let mut acknowledged = 0u64;
    for _ in 0..4 {
        // One chunk is acknowledged, the next is cut in its middle.
        let end = (acknowledged + 1 + rng.below(3_000_000)).min(content.len() as u64);
        let answer =
            api.patch(&session, acknowledged, &content[acknowledged as usize..end as usize]).expect(202);
        assert_eq!(answer.required("range"), format!("0-{}", end - 1));
        acknowledged = end;
        {
            let mut connection = registry.client().connect().unwrap();
            let head = Request::new("PATCH", &session)
                .header("Content-Range", format!("{acknowledged}-{}", content.len() - 1))
                .header("Content-Length", (content.len() as u64 - acknowledged).to_string());
            connection.write_head(&head).unwrap();
            let some = rng.below(2_000_000) as usize;
            let _ = connection.write_bytes(
                &content[acknowledged as usize..][..some.min(content.len() - acknowledged as usize)],
            );
            pause(Duration::from_millis(rng.below(40)));
            registry.kill();
        }
        registry.start_again();
        let range = api.get(&session).expect(204).required("range").to_owned();
        let durable: u64 = range.strip_prefix("0-").unwrap().parse::<u64>().unwrap() + 1;
        assert!(durable >= acknowledged, "{acknowledged} bytes were acknowledged, {durable} are left");
        acknowledged = durable;
    }
    let rest = &content[acknowledged as usize..];
    api.finish(&session, &digest.to_string(), rest).expect(201);
    assert!(api.pull_blob("resume", &digest) == content);
}

#[test]
fn a_cut_before_the_digest_is_known_leaves_nothing_visible() {
    let mut registry = Registry::start();
    let api = registry.api();
    let blob = Blob::seeded(8, 500_000);
    let session = api.start_upload("half");
    api.patch(&session, 0, &blob.bytes()).expect(202);
    registry.kill();
    registry.start_again();
    api.get(&format!("/v2/half/blobs/{}", blob.digest)).expect_error(404, "BLOB_UNKNOWN");
    assert!(api.catalog().is_empty());
    api.finish(&session, &blob.digest.to_string(), b"").expect(201);
    assert_eq!(api.pull_blob("half", &blob.digest).len(), 500_000);
}

#[test]
fn deletes_survive_a_cut() {
    let mut registry = Registry::start();
    let (api, kept) = (registry.api(), Image::small(9));
    api.push_image("deletes", "kept", &kept);
    for seed in 20..26 {
        let image = Image::small(seed);
        api.push_image("deletes", "gone", &image);
        api.delete(&format!("/v2/deletes/manifests/{}", image.digest)).expect(202);
        registry.kill();
        registry.start_again();
        assert_eq!(api.tags("deletes"), ["kept"]);
        api.get(&format!("/v2/deletes/manifests/{}", image.digest)).expect(404);
        api.pull("deletes", "kept");
    }
}

#[test]
fn forgotten_uploads_are_swept() {
    let mut registry = Registry::builder()
        .set(
            "storage.maintenance.uploadpurging",
            serde_json::json!({
                "enabled": true, "age": "1s", "interval": "1s", "dryrun": false,
            }),
        )
        .start();
    let api = registry.api();
    let session = api.start_upload("swept");
    api.patch(&session, 0, b"half").expect(202);
    registry.kill();
    pause(Duration::from_millis(1200));
    registry.start_again();
    let ours = registry.root().join("wharfinger/v1/uploads");
    wait_until("the upload to be swept", Duration::from_secs(30), || {
        std::fs::read_dir(&ours).map_or(0, std::iter::Iterator::count) == 0
    });
    api.get(&session).expect_error(404, "BLOB_UPLOAD_UNKNOWN");
}
