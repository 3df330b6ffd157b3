//! Bytes that change on disk never leave as part of a clean answer, whole or range.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use wharfinger_test_support::{Digest, HttpError, Image, Registry, Request, bytes};

const MIB: usize = 1 << 20;

/// A way in which a file goes bad.
#[derive(Clone, Copy, Debug)]
enum Harm {
    Flip(usize),
    Zero(usize),
    Truncate(usize),
    Grow,
    Empty,
}

impl Harm {
    fn apply(self, path: &Path) {
        let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
        match self {
            Harm::Flip(at) => {
                let mut byte = [0];
                file.read_exact_at(&mut byte, at as u64).unwrap();
                file.write_all_at(&[byte[0] ^ 0x10], at as u64).unwrap();
            }
            Harm::Zero(at) => file.write_all_at(&[0; 4096], at as u64).unwrap(),
            Harm::Truncate(length) => file.set_len(length as u64).unwrap(),
            Harm::Grow => file.write_all_at(b"more", file.metadata().unwrap().len()).unwrap(),
            Harm::Empty => file.set_len(0).unwrap(),
        }
    }
}

/// Asks for the whole and for ranges; panics when an answer ends cleanly with bytes that were not pushed. Returns
/// whether at least one answer was refused or broken off.
///
/// Without a chunk index the hash at the end tells, so that wrong bytes may come before the break.
fn reads_never_lie(registry: &Registry, name: &str, digest: &Digest, content: &[u8], indexed: bool) -> bool {
    let target = format!("/v2/{name}/blobs/{digest}");
    let length = content.len();
    let ranges = [
        (0, 99),
        (0, length - 1),
        (MIB - 1, MIB),
        (length / 2, length / 2 + 5000),
        (length - 10, length - 1),
    ];
    let mut refused = false;
    let requests = [None].into_iter().chain(ranges.map(Some));
    for range in requests {
        let range = range.filter(|(_, end)| *end < length);
        let mut request = Request::new("GET", &target);
        if let Some((first, end)) = range {
            request = request.header("Range", format!("bytes={first}-{end}"));
        }
        let expected = range.map_or(content, |(first, end)| &content[first..=end]);
        match registry.client().send(&request) {
            Ok(answer) if answer.status == 200 => {
                assert!(answer.body == content, "{range:?}: a clean 200 with other bytes");
            }
            Ok(answer) if answer.status == 206 => {
                assert!(answer.body == expected, "{range:?}: a clean 206 with other bytes");
            }
            Ok(answer) => {
                assert!(answer.status >= 400, "{range:?}: {}", answer.status);
                answer.error_code();
                refused = true;
            }
            Err(HttpError::Truncated { response, .. }) => {
                let sent = &response.body;
                let right = sent.len() < expected.len() && *sent == expected[..sent.len()];
                assert!(right || !indexed, "{range:?}: wrong bytes before the break");
                refused = true;
            }
            Err(_) => refused = true,
        }
    }
    refused
}

fn harms(length: usize) -> Vec<Harm> {
    let mut harms = vec![
        Harm::Flip(0),
        Harm::Flip(50),
        Harm::Flip(length - 1),
        Harm::Truncate(length - 1),
        Harm::Truncate(1),
        Harm::Empty,
        Harm::Grow,
    ];
    if length > 2 * MIB {
        harms.extend([
            Harm::Flip(MIB - 1),
            Harm::Flip(MIB),
            Harm::Flip(length / 2),
            Harm::Zero(length / 2),
            Harm::Truncate(MIB),
            Harm::Truncate(length / 2),
        ]);
    }
    harms
}

/// The harm is found, told, and mended by another push.
fn harmed_blobs_are_withheld(restart: bool, forget_index: bool) {
    let mut registry = Registry::builder().allow_log("").start();
    let api = registry.api();
    for (seed, length) in [(1, 300), (2, 70_000), (3, 5 * MIB + 17)] {
        for harm in harms(length) {
            let name = format!("rot-{seed}");
            let content = bytes(seed, length);
            let digest = api.push_blob(&name, &content);
            let path = registry.blob_path(&digest);
            if restart {
                registry.stop();
            }
            harm.apply(&path);
            if forget_index {
                let _ = fs::remove_dir_all(registry.root().join("wharfinger/v1/chunks"));
            }
            if restart {
                registry.start_again();
            }
            let refused = reads_never_lie(&registry, &name, &digest, &content, !forget_index);
            // What lies in memory, proved, may be served; after a restart nothing does.
            assert!(refused || !restart, "{length} bytes, {harm:?}: nobody noticed");
            api.push_blob(&name, &content);
            assert!(
                api.pull_blob(&name, &digest) == content,
                "{length} bytes, {harm:?}: not mended by a push"
            );
        }
    }
    if restart {
        let told = registry.log().iter().any(|line| line.is_alarming() && line.text.contains("damaged"));
        assert!(told, "the log says nothing of the damage");
    }
}

#[test]
fn rot_under_a_running_server() {
    harmed_blobs_are_withheld(false, false);
}

#[test]
fn rot_while_the_server_is_down() {
    harmed_blobs_are_withheld(true, false);
}

#[test]
fn rot_of_a_blob_that_has_no_index() {
    harmed_blobs_are_withheld(true, true);
}

#[test]
fn a_damaged_index_does_not_hide_a_sound_blob() {
    let mut registry = Registry::builder().allow_log("chunk index").start();
    let api = registry.api();
    let content = bytes(5, 3 * MIB);
    let digest = api.push_blob("index", &content);
    let hex = digest.hex();
    let index = registry.root().join(format!("wharfinger/v1/chunks/sha256/{}/{hex}", &hex[..2]));
    for harm in [Harm::Flip(0), Harm::Flip(20), Harm::Truncate(5), Harm::Empty, Harm::Grow] {
        registry.stop();
        if index.exists() {
            harm.apply(&index);
        }
        registry.start_again();
        assert!(api.pull_blob("index", &digest) == content, "{harm:?}");
        let range = Request::new("GET", &format!("/v2/index/blobs/{digest}"))
            .header("Range", "bytes=1048570-1048580");
        assert!(api.send(range).expect(206).body == content[1_048_570..=1_048_580], "{harm:?}");
    }
}

#[test]
fn a_rotten_manifest_is_an_error_and_not_another_manifest() {
    let mut registry = Registry::builder().allow_log("").start();
    let (api, image) = (registry.api(), Image::small(6));
    api.push_image("manifest", "v1", &image);
    registry.stop();
    // Another valid document of the same length: an "amd64" that became an "amd65", say.
    let path = registry.blob_path(&image.digest);
    let text = fs::read_to_string(&path).unwrap().replacen("\"schemaVersion\":2", "\"schemaVersion\": 2", 1);
    fs::write(&path, text).unwrap();
    registry.start_again();
    for reference in ["v1", &image.digest.to_string()] {
        let answer = api.get(&format!("/v2/manifest/manifests/{reference}"));
        assert!(answer.status >= 400, "{}", answer.text());
        answer.error_code();
    }
    api.push_image("manifest", "v1", &image);
    api.pull("manifest", "v1");
}
