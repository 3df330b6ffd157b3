//! How far a walk is, on this machine: one that is stopped goes on where it was.
//!
//! The store may be one that is not written to. What was looked at before the stop is as old as it is in a walk that takes
//! long: what changed since is found by the next one, and what looks wrong is read again by name in any case.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::proven::is_fresh;
use super::state::State;

/// Of the time at most one part in so many goes into keeping it.
const SHARE: u32 = 20;

/// A file that holds how far a walk is.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    about: String,
    every: Duration,
    due: Mutex<Instant>,
    failed: Mutex<Option<io::Error>>,
}

impl Checkpoint {
    /// At `path`, of a walk `about` this: another one does not go on with it. Kept so often, and no more than a twentieth of the
    /// time.
    pub fn new(path: &Path, about: &str, every: Duration) -> Checkpoint {
        let due = Mutex::new(Instant::now() + every);
        let head = format!("wharfinger walk 1 {about}\n");
        Checkpoint { path: path.to_owned(), about: head, every, due, failed: Mutex::default() }
    }

    /// Whether a walk was stopped here less than a day ago.
    pub async fn is_there(&self) -> bool {
        let (path, about) = (self.path.clone(), self.about.clone());
        is_fresh(&self.path).await && blocking(move || open(&path, &about).map(drop)).await.is_ok()
    }

    /// What a walk knew that was stopped less than a day ago; else nothing.
    pub(super) async fn take_up(&self) -> State {
        if !is_fresh(&self.path).await {
            return State::default();
        }
        let (path, about) = (self.path.clone(), self.about.clone());
        let read = blocking(move || {
            ciborium::from_reader(open(&path, &about)?).map_err(|error| io::Error::other(error.to_string()))
        });
        read.await.unwrap_or_default()
    }

    /// Keeps it, where it is time. The file is replaced as a whole.
    #[expect(clippy::expect_used, reason = "whoever writes it is done with it, also where that fails")]
    pub(super) async fn keep(&self, state: &mut State) {
        if Instant::now() < *self.due.lock() {
            return;
        }
        let (started, path, about) = (Instant::now(), self.path.clone(), self.about.clone());
        let shared = Arc::new(std::mem::take(state));
        let theirs = shared.clone();
        let written = blocking(move || write(&path, &about, &theirs)).await;
        *state = Arc::into_inner(shared).expect("nobody else holds it any more");
        *self.failed.lock() = written.err();
        *self.due.lock() = Instant::now() + self.every.max(started.elapsed() * SHARE);
    }

    /// The walk is over: the next one begins anew.
    ///
    /// # Errors
    /// The file could not be written, or not be removed.
    pub async fn finish(self) -> io::Result<()> {
        if let Some(error) = self.failed.into_inner() {
            return Err(error);
        }
        match tokio::fs::remove_file(&self.path).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// The file behind its first line, where that is the right one.
fn open(path: &Path, about: &str) -> io::Result<BufReader<File>> {
    let mut file = BufReader::new(File::open(path)?);
    let mut head = vec![0; about.len()];
    file.read_exact(&mut head)?;
    if head == about.as_bytes() { Ok(file) } else { Err(io::Error::other("it is about another walk")) }
}

fn write(path: &Path, about: &str, state: &State) -> io::Result<()> {
    let beside = path.with_extension("new");
    std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
    let mut file = BufWriter::new(File::create(&beside)?);
    file.write_all(about.as_bytes())?;
    ciborium::into_writer(state, &mut file).map_err(|error| io::Error::other(error.to_string()))?;
    file.flush()?;
    std::fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use wharfinger_oci::{Digest, RepositoryName};

    use super::super::state::Stage;
    use super::*;
    use crate::{Finding, Kind};

    fn state() -> State {
        let mut state = State::default();
        let (name, digest) = (RepositoryName::parse("team/app").unwrap(), Digest::sha256(b"x"));
        state.stage = Stage::Blobs(Some("docker/registry/v2/blobs/sha256/aa/aa/data".into()));
        state.edges.begin(name.clone());
        state.edges.add(&digest, Some(7));
        state.seen.push((3, 4));
        state.doubtful.insert(name);
        state.suspects.insert(5, Some(digest));
        state.misindexed.insert(digest, "why".into());
        state.notes.insert(Kind::IndexBroken, 2);
        state.findings.push(Finding::new(Kind::IndexBroken, digest, "cut"));
        state
    }

    #[tokio::test]
    async fn what_was_known_is_known_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state/walk");
        let checkpoint = Checkpoint::new(&path, "here", Duration::ZERO);
        assert!(!checkpoint.is_there().await);
        let mut kept = state();
        checkpoint.keep(&mut kept).await;
        assert!(checkpoint.is_there().await);
        let again = Checkpoint::new(&path, "here", Duration::ZERO).take_up().await;
        assert_eq!(format!("{again:?}"), format!("{kept:?}"));
        assert_eq!(format!("{kept:?}"), format!("{:?}", state()), "keeping it changes nothing");
        checkpoint.finish().await.unwrap();
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn another_walk_and_a_torn_file_begin_anew() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("walk");
        Checkpoint::new(&path, "here", Duration::ZERO).keep(&mut state()).await;
        let elsewhere = Checkpoint::new(&path, "there", Duration::ZERO);
        assert!(!elsewhere.is_there().await);
        assert_eq!(elsewhere.take_up().await.stage, Stage::default());
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 3]).unwrap();
        assert_eq!(Checkpoint::new(&path, "here", Duration::ZERO).take_up().await.stage, Stage::default());
    }
}
