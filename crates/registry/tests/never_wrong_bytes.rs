//! The invariant `never-wrong-bytes`: what ends cleanly is what was pushed, whatever happened to the files.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use std::future::poll_fn;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use wharfinger_oci::{Algorithm, Digest, RepositoryName};
use wharfinger_registry::{Error, Frame, FrameKind, Options, Registry, layout};
use wharfinger_store::Filesystem;

const MIB: usize = 1024 * 1024;

struct Fixture {
    directory: tempfile::TempDir,
    registry: Registry,
    name: RepositoryName,
}

impl Fixture {
    fn new() -> Fixture {
        let directory = tempfile::tempdir().unwrap();
        let store = Filesystem::open(directory.path()).unwrap();
        let registry = Registry::new(Arc::new(store), Options::default());
        Fixture { directory, registry, name: RepositoryName::parse("team/app").unwrap() }
    }

    async fn push(&self, content: &[u8]) -> Digest {
        let digest = Digest::sha256(content);
        let mut writer = self.registry.single_upload(&self.name, "anonymous", Algorithm::Sha256).unwrap();
        for piece in content.chunks(100_000) {
            writer.write(Bytes::copy_from_slice(piece)).await.unwrap();
        }
        writer.finish(digest).await.unwrap();
        digest
    }

    fn file(&self, key: &wharfinger_store::Key) -> PathBuf {
        self.directory.path().join(key.as_str())
    }

    fn data(&self, digest: &Digest) -> PathBuf {
        self.file(&layout::blob_data(digest))
    }

    /// What a client would get: the bytes, if the answer ended cleanly.
    async fn read(&self, digest: &Digest, range: Range<u64>, kind: FrameKind) -> Result<Vec<u8>, String> {
        let blob = self.registry.blob(&self.name, digest).await.map_err(|error| error.to_string())?;
        let body = self.registry.read_blob(blob, range.clone(), kind).await;
        let mut body = body.map_err(|error| error.to_string())?;
        let mut all = Vec::new();
        while let Some(frame) = poll_fn(|context| body.poll_frame(context)).await {
            match frame.map_err(|error| error.to_string())? {
                Frame::Copied(bytes) | Frame::Mapped(_, bytes) => all.extend_from_slice(&bytes),
            }
        }
        if all.len() as u64 == range.end - range.start { Ok(all) } else { Err("short".to_owned()) }
    }
}

fn content(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

fn flip(path: &PathBuf, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn what_was_pushed_is_read_whole_and_in_ranges() {
    let fixture = Fixture::new();
    for length in [0, 1, 65_536, 65_537, MIB - 1, MIB, MIB + 1, 3 * MIB + 12_345] {
        let pushed = content(length);
        let digest = fixture.push(&pushed).await;
        let size = length as u64;
        let mut ranges = vec![0..size, size / 2..size, 0..size / 2, size.saturating_sub(1)..size];
        if size > 2_000_000 {
            ranges.push(1_048_570..1_048_590);
            ranges.push(999_999..2_999_999);
        }
        for kind in [FrameKind::Copied, FrameKind::Mapped] {
            for range in &ranges {
                let read = fixture.read(&digest, range.clone(), kind).await.unwrap();
                assert!(
                    read == pushed[range.start as usize..range.end as usize],
                    "{length} {range:?} {kind:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_flipped_byte_never_leaves_in_a_clean_answer() {
    let length = 2 * MIB + 70_000;
    for at in [0, 1, 524_288, MIB - 1, MIB, 2 * MIB - 1, 2 * MIB, length - 1] {
        for kind in [FrameKind::Copied, FrameKind::Mapped] {
            let fixture = Fixture::new();
            let pushed = content(length);
            let digest = fixture.push(&pushed).await;
            flip(&fixture.data(&digest), at);
            let size = length as u64;
            let damaged_chunk = (at / MIB * MIB) as u64;
            let inside = damaged_chunk..(damaged_chunk + MIB as u64).min(size);
            assert!(fixture.read(&digest, 0..size, kind).await.is_err(), "whole, flipped at {at}");
            assert!(fixture.registry.damaged_count() == 1);
            // Withheld now, so that a push is not told that it exists.
            let stat = fixture.registry.stat_blob(&fixture.name, &digest).await;
            assert!(matches!(stat, Err(Error::BlobUnknown(..))));
            assert!(
                fixture.read(&digest, inside.start + 5..inside.start + 10, kind).await.is_err(),
                "range at {at}"
            );
            fixture.push(&pushed).await;
            assert!(fixture.read(&digest, 0..size, kind).await.unwrap() == pushed, "not mended by a push");
            assert_eq!(fixture.registry.damaged_count(), 0);
        }
    }
}

#[tokio::test]
async fn a_cut_file_never_leaves_as_a_clean_answer() {
    for (length, cut) in
        [(3 * MIB, 0), (3 * MIB, 10), (3 * MIB, 2 * MIB), (3 * MIB, 3 * MIB - 1), (1_000, 999)]
    {
        let fixture = Fixture::new();
        let pushed = content(length);
        let digest = fixture.push(&pushed).await;
        std::fs::OpenOptions::new()
            .write(true)
            .open(fixture.data(&digest))
            .unwrap()
            .set_len(cut as u64)
            .unwrap();
        // A process that remembers nothing.
        let fresh = Fixture { registry: reopened(&fixture), ..fixture };
        let blob = fresh.registry.blob(&fresh.name, &digest).await;
        if let Ok(blob) = &blob {
            let size = blob.size;
            assert!(fresh.read(&digest, 0..size, FrameKind::Mapped).await.is_err(), "{length} cut to {cut}");
        }
        assert!(fresh.registry.stat_blob(&fresh.name, &digest).await.is_err(), "a cut blob is offered");
    }
}

fn reopened(fixture: &Fixture) -> Registry {
    let store = Filesystem::open(fixture.directory.path()).unwrap();
    Registry::new(Arc::new(store), Options::default())
}

#[tokio::test]
async fn a_blob_without_an_index_is_hashed_on_its_first_read_and_indexed() {
    let length = 2 * MIB + 3;
    for first in [0..length as u64, 100..200u64] {
        let fixture = Fixture::new();
        let pushed = content(length);
        let digest = fixture.push(&pushed).await;
        let index = fixture.file(&layout::chunk_index(&digest));
        std::fs::remove_file(&index).unwrap();
        let fresh = Fixture { registry: reopened(&fixture), ..fixture };
        let read = fresh.read(&digest, first.clone(), FrameKind::Mapped).await.unwrap();
        assert!(read == pushed[first.start as usize..first.end as usize]);
        for _ in 0..200 {
            if index.exists() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        assert!(index.exists(), "no index was written after {first:?}");
        std::fs::remove_file(&index).unwrap();
        flip(&fresh.data(&digest), 1_500_000);
        let fresh = Fixture { registry: reopened(&fresh), ..fresh };
        assert!(fresh.read(&digest, first.clone(), FrameKind::Mapped).await.is_err(), "{first:?}");
    }
}

#[tokio::test]
async fn a_damaged_index_is_made_again() {
    let fixture = Fixture::new();
    let pushed = content(2 * MIB);
    let digest = fixture.push(&pushed).await;
    flip(&fixture.file(&layout::chunk_index(&digest)), 20);
    let fresh = Fixture { registry: reopened(&fixture), ..fixture };
    assert!(fresh.read(&digest, 0..2 * MIB as u64, FrameKind::Copied).await.unwrap() == pushed);
}

#[tokio::test]
async fn a_write_while_it_is_sent_breaks_the_answer_off() {
    let fixture = Fixture::new();
    let pushed = content(4 * MIB);
    let digest = fixture.push(&pushed).await;
    let blob = fixture.registry.blob(&fixture.name, &digest).await.unwrap();
    let mut body = fixture.registry.read_blob(blob, 0..4 * MIB as u64, FrameKind::Mapped).await.unwrap();
    let first = poll_fn(|context| body.poll_frame(context)).await.unwrap();
    assert!(first.is_ok());
    // Behind the check of the first chunk: only the look at the file before the last piece can notice.
    flip_in_place(&fixture.data(&digest), 10);
    let mut outcome = Ok(());
    while let Some(frame) = poll_fn(|context| body.poll_frame(context)).await {
        outcome = frame.map(drop);
    }
    assert!(outcome.is_err(), "the answer ended cleanly");
}

fn flip_in_place(path: &PathBuf, at: u64) {
    use std::os::unix::fs::FileExt;
    let file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}
