//! A full disk: a clear error, a consistent store, and pulls go on.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use std::path::Path;
use std::process::Command;

use wharfinger_test_support::{Digest, Image, Registry, bytes};

/// A small file system of its own; unmounted when dropped.
struct Small(tempfile::TempDir);

impl Small {
    /// Mounts a tmpfs; says why when that is not possible.
    fn mount(size: &str) -> Result<Small, String> {
        let directory = tempfile::tempdir().unwrap();
        let options = format!("size={size}");
        let output = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(directory.path())
            .output();
        match output {
            Ok(output) if output.status.success() => Ok(Small(directory)),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}

#[test]
fn a_full_disk_refuses_pushes_and_serves_pulls() {
    let disk = match Small::mount("24m") {
        Ok(disk) => disk,
        Err(reason) => {
            println!("NOT RUN: a small file system cannot be mounted here: {reason}");
            return;
        }
    };
    let mut registry = Registry::builder().root(&disk.path().join("data")).allow_log("").start();
    let (api, image) = (registry.api(), Image::layered(wharfinger_test_support::Style::Oci, 1, 2, 2_000_000));
    api.push_image("kept", "v1", &image);
    let before = api.pull("kept", "v1");

    // Larger than what is left: refused with an error that says so.
    let large = bytes(2, 30 << 20);
    let digest = Digest::sha256(&large);
    for attempt in 0..2 {
        let session = api.start_upload("full");
        let refused = api.finish(&session, &digest.to_string(), &large);
        assert!([503, 507].contains(&refused.status), "attempt {attempt}: {}", refused.text());
        assert!(refused.text().contains("full"), "the error does not name the reason: {}", refused.text());
        refused.error_code();
        let _ = api.delete(&session);
        api.get(&format!("/v2/full/blobs/{digest}")).expect(404);
        assert_eq!(api.pull("kept", "v1"), before, "pulls do not go on");
    }

    // Filled to the last byte by somebody else.
    let filler = disk.path().join("filler");
    let _ = std::fs::write(&filler, bytes(3, 24 << 20));
    let small = Image::small(4);
    let put = api.put_manifest(
        "kept",
        "v2",
        image.media_type,
        &image
            .with_fields(&serde_json::json!({
                "annotations": { "padding": "x".repeat(300_000) },
            }))
            .manifest,
    );
    assert!(put.status >= 500, "{}", put.text());
    put.error_code();
    assert_eq!(api.pull("kept", "v1"), before);
    let tags = api.tags("kept");
    assert_eq!(tags, ["v1"], "a tag without its manifest is visible");
    registry.stop();
    registry.start_again();
    assert_eq!(api.pull("kept", "v1"), before, "it starts on a full disk and serves");

    // With room again everything goes on.
    std::fs::remove_file(&filler).unwrap();
    api.push_image("kept", "v2", &small);
    api.pull("kept", "v2");
    let rest = registry.root().join("wharfinger/v1/uploads");
    let left = std::fs::read_dir(rest).map_or(0, std::iter::Iterator::count);
    println!("{left} upload sessions are left behind");
}
