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

/// A write into the page cache that took this long was throttled: the rest of this object goes to the blocking
/// pool, so that a slow disk holds up nobody else's requests.
const THROTTLED: Duration = Duration::from_millis(5);

pub(super) struct StageFile {
    file: File,
    path: PathBuf,
    pub(super) length: u64,
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
    throttled: bool,
}

impl FileStage {
    pub(super) fn new(store: Filesystem, key: Key, file: StageFile, length: u64) -> FileStage {
        FileStage { store, key, file: Arc::new(file), length, throttled: false }
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

#[async_trait]
impl Staged for FileStage {
    fn length(&self) -> u64 {
        self.length
    }

    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        let (added, offset) = (bytes.len() as u64, self.length);
        if self.throttled {
            let write = move |file: &StageFile, _: &Root, _: &Key| file.file.write_all_at(&bytes, offset);
            self.blocking(Operation::Stage, &self.key, write).await?;
        } else {
            let started = Instant::now();
            let written = self.file.file.write_all_at(&bytes, offset);
            written.map_err(|error| StoreError::io(Operation::Stage, &self.key, error))?;
            self.throttled = started.elapsed() > THROTTLED;
        }
        self.length += added;
        Ok(())
    }

    async fn checkpoint(&mut self) -> Result<Checkpoint> {
        self.blocking(Operation::Checkpoint, &self.key, |file, _, _| file.file.sync_data()).await?;
        Ok(Checkpoint { length: self.length, parts: Vec::new() })
    }

    async fn open(&mut self) -> Result<Object> {
        let open = |file: &StageFile, _: &Root, _: &Key| LocalFile::new(File::open(&file.path)?.into());
        let file = self.blocking(Operation::Open, &self.key, open).await?;
        Ok(Object { size: self.length, data: ObjectData::File(Arc::new(file)) })
    }

    async fn publish(self: Box<Self>, key: &Key) -> Result<()> {
        let publish = |file: &StageFile, root: &Root, key: &Key| {
            file.file.sync_data()?;
            root.rename_into(&file.path, key, Durability::Synced)?;
            if let Some(directory) = file.path.parent() {
                let _ = std::fs::remove_dir(directory);
            }
            Ok(())
        };
        self.blocking(Operation::Publish, key, publish).await
    }
}
