//! What a run has proved so far, on this machine: a run that was stopped goes on where it was.
//!
//! The store may be one that is not written to. A line for each blob; a line that was cut is none.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use tokio::fs::{File, OpenOptions};
use tokio::io::AsyncWriteExt;

use crate::graph::Mark;

/// After that a proof is no more than a memory.
const GOOD_FOR: Duration = Duration::from_secs(24 * 3600);
/// Of a line that was not cut.
const DIGITS: usize = 16;

/// Blobs whose digest was computed and was right.
#[derive(Debug)]
pub struct Proven {
    path: PathBuf,
    before: HashSet<Mark>,
    file: tokio::sync::Mutex<File>,
    failed: Mutex<Option<io::Error>>,
}

impl Proven {
    /// Takes up what an earlier run over the same `place` left at `path`, unless it is older than a day or of another
    /// place, and goes on with it.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub async fn open(path: &Path, place: &str) -> io::Result<Proven> {
        let head = format!("wharfinger fsck 1 {place}\n");
        let mut before = HashSet::new();
        match tokio::fs::read_to_string(path).await {
            Ok(text) if is_fresh(path).await => {
                if let Some(lines) = text.strip_prefix(&head) {
                    // The last one may have been cut.
                    let whole = lines.rfind('\n').map_or("", |end| &lines[..end]);
                    let whole = whole.lines().filter(|line| line.len() == DIGITS);
                    before.extend(whole.filter_map(|line| Mark::from_str_radix(line, 16).ok()));
                }
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        if let Some(parent) = path.parent() {
            tokio::fs::create_dir_all(parent).await?;
        }
        let mut file = OpenOptions::new().create(true).append(true).open(path).await?;
        if before.is_empty() {
            file.set_len(0).await?;
            file.write_all(head.as_bytes()).await?;
        } else {
            // Behind a line that was cut another one must not go on.
            file.write_all(b"\n").await?;
        }
        let (file, failed) = (tokio::sync::Mutex::new(file), Mutex::default());
        Ok(Proven { path: path.to_owned(), before, file, failed })
    }

    /// How many an earlier run proved.
    pub fn taken_up(&self) -> usize {
        self.before.len()
    }

    /// Whether an earlier run proved it.
    pub(super) fn has(&self, blob: Mark) -> bool {
        self.before.contains(&blob)
    }

    pub(super) async fn add(&self, blob: Mark) {
        let line = format!("{blob:016x}\n");
        let mut file = self.file.lock().await;
        let written = match file.write_all(line.as_bytes()).await {
            Ok(()) => file.flush().await,
            failed => failed,
        };
        if let Err(error) = written {
            *self.failed.lock() = Some(error);
        }
    }

    /// The run is over: the next one begins anew.
    ///
    /// # Errors
    /// The file could not be written, or not be removed.
    pub async fn finish(self) -> io::Result<()> {
        match self.failed.into_inner() {
            Some(error) => Err(error),
            None => tokio::fs::remove_file(&self.path).await,
        }
    }
}

pub(super) async fn is_fresh(path: &Path) -> bool {
    let modified = tokio::fs::metadata(path).await.and_then(|meta| meta.modified());
    modified.is_ok_and(|at| SystemTime::now().duration_since(at).unwrap_or_default() < GOOD_FOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_run_that_was_stopped_is_taken_up_without_the_line_that_was_cut() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state/proven");
        let proven = Proven::open(&path, "here").await.unwrap();
        assert_eq!(proven.taken_up(), 0);
        for mark in [1, 2, 3] {
            proven.add(mark).await;
        }
        drop(proven);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, &text[..text.len() - 4]).unwrap();
        let proven = Proven::open(&path, "here").await.unwrap();
        assert!(proven.has(1) && proven.has(2) && !proven.has(3));
        proven.add(4).await;
        drop(proven);
        let proven = Proven::open(&path, "here").await.unwrap();
        assert!(proven.has(1) && proven.has(4) && !proven.has(0), "the cut line spoils no other");
        proven.finish().await.unwrap();
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn what_another_place_left_is_not_believed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("proven");
        let proven = Proven::open(&path, "there").await.unwrap();
        proven.add(1).await;
        drop(proven);
        assert_eq!(Proven::open(&path, "here").await.unwrap().taken_up(), 0);
    }
}
