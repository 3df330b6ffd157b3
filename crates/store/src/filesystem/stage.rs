//! Staged objects: a file of its own, written at its end, renamed over the name when it is whole.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;

use super::write::create_directories;
use super::{Filesystem, LocalFile, Root};
use crate::{Checkpoint, Durability, Key, Object, ObjectData, Operation, Result, Staged, StoreError};

/// A write into the page cache that took this long may have waited for a disk.
const SLOW: Duration = Duration::from_millis(5);

/// How writes into the page cache have gone so far.
enum Pace {
    /// At once.
    Quick,
    /// One was slow: perhaps for the disk, perhaps only because others had the processor. The next slow one tells.
    Suspect,
    /// The kernel held one back. The rest of this object goes to the blocking pool, so that a slow disk holds up
    /// nobody else's requests; each hand-over costs more than the write, so that it must not be done without need.
    Throttled,
}

pub(super) struct StageFile {
    file: File,
    path: PathBuf,
    pub(super) length: u64,
}

impl StageFile {
    fn sync(&self, root: &Root) -> io::Result<()> {
        match root.at_most(Durability::Synced) {
            Durability::Synced => self.file.sync_data(),
            Durability::Lazy => Ok(()),
        }
    }
}

/// Opens or goes on with a staged file. What lies behind the checkpoint is cut off.
pub(super) fn open(root: &Root, key: &Key, resume: Option<&Checkpoint>) -> io::Result<StageFile> {
    let path = root.path_of(key);
    let length = resume.map_or(0, |checkpoint| checkpoint.length);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(length == 0).truncate(length == 0);
    let file = match options.open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && resume.is_none_or(|c| c.length == 0) => {
            create_directories(path.parent().ok_or(io::ErrorKind::InvalidFilename)?, Durability::Lazy)?;
            options.open(&path)?
        }
        other => other?,
    };
    if file.metadata()?.len() < length {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the staged file is shorter than its checkpoint",
        ));
    }
    file.set_len(length)?;
    Ok(StageFile { file, path, length })
}

pub(super) struct FileStage {
    store: Filesystem,
    key: Key,
    file: Arc<StageFile>,
    length: u64,
    pace: Pace,
}

impl FileStage {
    pub(super) fn new(store: Filesystem, key: Key, file: StageFile, length: u64) -> FileStage {
        FileStage { store, key, file: Arc::new(file), length, pace: Pace::Quick }
    }

    fn write_at_once(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let waited = if let Pace::Suspect = self.pace { waits_of_this_thread() } else { 0 };
        let started = Instant::now();
        self.file.file.write_all_at(bytes, offset)?;
        if started.elapsed() > SLOW {
            let held_back = matches!(self.pace, Pace::Suspect) && waits_of_this_thread() > waited;
            self.pace = if held_back { Pace::Throttled } else { Pace::Suspect };
        }
        Ok(())
    }

    async fn blocking<T: Send + 'static>(
        &self,
        operation: Operation,
        key: &Key,
        work: impl FnOnce(&StageFile, &Root, &Key) -> io::Result<T> + Send + 'static,
    ) -> Result<T> {
        let file = self.file.clone();
        self.store.blocking(operation, key, move |root, key| work(&file, root, key)).await
    }
}

/// How often this thread gave the processor away to wait for something; being sent away for others does not count.
fn waits_of_this_thread() -> i64 {
    // SAFETY: zeroes are a valid rusage, and the pointer is to one that lives.
    unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage);
        usage.ru_nvcsw
    }
}

#[async_trait]
impl Staged for FileStage {
    fn length(&self) -> u64 {
        self.length
    }

    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        let (added, offset) = (bytes.len() as u64, self.length);
        if let Pace::Throttled = self.pace {
            let write = move |file: &StageFile, _: &Root, _: &Key| file.file.write_all_at(&bytes, offset);
            self.blocking(Operation::Stage, &self.key, write).await?;
        } else {
            let written = self.write_at_once(&bytes, offset);
            written.map_err(|error| StoreError::io(Operation::Stage, &self.key, error))?;
        }
        self.length += added;
        Ok(())
    }

    async fn checkpoint(&mut self) -> Result<Checkpoint> {
        self.blocking(Operation::Checkpoint, &self.key, |file, root, _| file.sync(root)).await?;
        Ok(Checkpoint { length: self.length, parts: Vec::new() })
    }

    async fn open(&mut self) -> Result<Object> {
        let open = |file: &StageFile, _: &Root, _: &Key| LocalFile::new(File::open(&file.path)?.into());
        let file = self.blocking(Operation::Open, &self.key, open).await?;
        Ok(Object { size: self.length, data: ObjectData::File(Arc::new(file)) })
    }

    async fn publish(self: Box<Self>, key: &Key) -> Result<bool> {
        let publish = |file: &StageFile, root: &Root, key: &Key| {
            file.sync(root)?;
            root.rename_into(&file.path, key, root.at_most(Durability::Synced))?;
            if let Some(directory) = file.path.parent() {
                let _ = std::fs::remove_dir(directory);
            }
            Ok(true)
        };
        self.blocking(Operation::Publish, key, publish).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_waits_is_told_from_one_that_works() {
        // No other test runs on this thread.
        let counted = std::thread::spawn(|| {
            let before = waits_of_this_thread();
            let started = Instant::now();
            while started.elapsed() < 2 * SLOW {
                std::hint::spin_loop();
            }
            let worked = waits_of_this_thread() - before;
            let (sender, receiver) = std::sync::mpsc::channel::<()>();
            let _ = receiver.recv_timeout(SLOW);
            drop(sender);
            (worked, waits_of_this_thread() - before)
        });
        let (worked, waited) = counted.join().unwrap();
        assert_eq!(worked, 0);
        assert!(waited > 0);
    }
}
