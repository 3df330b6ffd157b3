//! Objects as files under one directory.
//!
//! What may block goes to the blocking pool; what the kernel can answer from memory is done at once on the calling
//! thread: opens with `RESOLVE_CACHED` and reads with `RWF_NOWAIT` fail instead of waiting (`docs/adr/0002`).

mod hot;
mod inventory;
mod list;
mod local_file;
mod stage;
mod write;

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::{Errno, ReadWriteFlags};

use crate::{
    Checkpoint, Delete, Durability, Key, List, Meta, Object, ObjectData, Operation, Page, Result, Staged,
    Store, StoreError, StoreErrorKind,
};
pub use local_file::LocalFile;

/// Where half-written files lie, beside Distribution's tree.
const TEMPORARY: &str = "wharfinger/tmp";

/// Links and the like have at most this many bytes.
const SMALL: usize = 512;

/// A directory as a store.
#[derive(Clone, Debug)]
pub struct Filesystem {
    root: Arc<Root>,
}

#[derive(Debug)]
pub(crate) struct Root {
    path: PathBuf,
    directory: OwnedFd,
    listings: list::Listings,
    hot: hot::Hot,
    /// Whether the kernel can open from its cache alone (Linux 5.12; some sandboxes refuse the call).
    cached_opens: AtomicBool,
    /// Whether reads can be told not to wait for a disk. A file system in memory refuses that, and has none.
    nowait_reads: AtomicBool,
    /// Whether what is written has to survive a loss of power.
    durable: bool,
}

impl Filesystem {
    /// Opens `root`, making it and the directory for half-written files where they are missing.
    ///
    /// # Errors
    /// Those of the operating system: no permission, not a directory.
    pub fn open(root: &Path) -> io::Result<Filesystem> {
        std::fs::create_dir_all(root.join(TEMPORARY))?;
        Filesystem::open_to_read(root)
    }

    /// As [`Filesystem::open`], for what can be fetched again: nothing is synced, whatever durability a caller asks for.
    /// After a loss of power files may hold anything.
    ///
    /// # Errors
    /// As [`Filesystem::open`].
    pub fn open_forgetful(root: &Path) -> io::Result<Filesystem> {
        std::fs::create_dir_all(root.join(TEMPORARY))?;
        Filesystem::new(root, false)
    }

    /// Opens a directory that has to be there, to read from it: makes nothing.
    ///
    /// # Errors
    /// Those of the operating system: no such directory, no permission.
    pub fn open_to_read(root: &Path) -> io::Result<Filesystem> {
        Filesystem::new(root, true)
    }

    fn new(root: &Path, durable: bool) -> io::Result<Filesystem> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
        let directory = rustix::fs::open(root, flags, Mode::empty())?;
        let root = Root {
            path: root.to_owned(),
            directory,
            listings: list::Listings::default(),
            hot: hot::Hot::default(),
            cached_opens: AtomicBool::new(true),
            nowait_reads: AtomicBool::new(true),
            durable,
        };
        Ok(Filesystem { root: Arc::new(root) })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.root.path
    }

    /// Removes half-written files that no crash or running write can still need: older than a day.
    pub fn sweep_temporary(&self) -> io::Result<usize> {
        let mut removed = 0;
        for entry in std::fs::read_dir(self.root.path.join(TEMPORARY))? {
            let entry = entry?;
            let age = entry.metadata()?.modified()?.elapsed().unwrap_or_default();
            if age.as_secs() > 24 * 3600 {
                std::fs::remove_file(entry.path())?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Runs `work` on the blocking pool.
    async fn blocking<T: Send + 'static>(
        &self,
        operation: Operation,
        key: &Key,
        work: impl FnOnce(&Root, &Key) -> io::Result<T> + Send + 'static,
    ) -> Result<T> {
        let (root, owned) = (self.root.clone(), key.clone());
        let result = tokio::task::spawn_blocking(move || {
            if owned.is_legal() { work(&root, &owned) } else { Err(io::ErrorKind::InvalidFilename.into()) }
        });
        let result = result.await.unwrap_or_else(|panic| Err(io::Error::other(panic)));
        result.map_err(|error| StoreError::io(operation, key, error))
    }

    /// Opens a file: at once where the kernel has the whole path in memory, else on the blocking pool.
    async fn open_file(&self, operation: Operation, key: &Key) -> Result<LocalFile> {
        if let Some(result) = self.root.open_cached(key) {
            let file = result.and_then(LocalFile::new);
            return file.map_err(|error| StoreError::io(operation, key, error));
        }
        self.blocking(operation, key, Root::open_file).await
    }

    async fn read(&self, key: &Key, limit: usize) -> Result<Bytes> {
        if limit <= SMALL
            && let Some(result) = self.root.read_small(key, limit)
        {
            return result.map_err(|error| StoreError::io(Operation::Get, key, error));
        }
        let file = self.open_file(Operation::Get, key).await?;
        let size = match usize::try_from(file.size()) {
            Ok(size) if size <= limit => size,
            _ => return Err(too_large(key, file.size(), limit)),
        };
        let mut buffer = vec![0; size];
        match file.read_at_nowait(&mut buffer, 0) {
            Ok(read) if read == size => return Ok(buffer.into()),
            _ => {}
        }
        let read = move |_: &Root, _: &Key| file.read_exact_at(&mut buffer, 0).map(|()| buffer);
        Ok(self.blocking(Operation::Get, key, read).await?.into())
    }
}

impl Root {
    fn path_of(&self, key: &Key) -> PathBuf {
        self.path.join(key.as_str())
    }

    fn open_file(&self, key: &Key) -> io::Result<LocalFile> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = rustix::fs::openat(&self.directory, key.as_str(), flags, Mode::empty())?;
        LocalFile::new(file)
    }

    /// Opens a file with what the kernel has in memory. `None` where only a blocking open can tell.
    fn open_cached(&self, key: &Key) -> Option<io::Result<OwnedFd>> {
        if !key.is_legal() || !self.cached_opens.load(Ordering::Relaxed) {
            return None;
        }
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        match rustix::fs::openat2(&self.directory, key.as_str(), flags, Mode::empty(), ResolveFlags::CACHED) {
            Ok(file) => Some(Ok(file)),
            Err(Errno::NOENT) => Some(Err(io::ErrorKind::NotFound.into())),
            Err(Errno::NOSYS | Errno::PERM | Errno::INVAL) => {
                self.cached_opens.store(false, Ordering::Relaxed);
                None
            }
            Err(_) => None,
        }
    }

    /// Reads a link, or what is as small, with what the kernel has in memory; its size is not asked for first.
    /// `None` where it is larger, or where only a blocking call can tell.
    fn read_small(&self, key: &Key, limit: usize) -> Option<io::Result<Bytes>> {
        let file = match self.open_cached(key)? {
            Ok(file) => file,
            Err(error) => return Some(Err(error)),
        };
        let mut buffer = [0; SMALL + 1];
        let mut read = Err(Errno::OPNOTSUPP);
        if self.nowait_reads.load(Ordering::Relaxed) {
            let parts = &mut [io::IoSliceMut::new(&mut buffer)];
            read = rustix::io::preadv2(&file, parts, 0, ReadWriteFlags::NOWAIT);
        }
        if read == Err(Errno::OPNOTSUPP) {
            self.nowait_reads.store(false, Ordering::Relaxed);
            read = rustix::io::pread(&file, &mut buffer, 0);
        }
        // Anything else, a directory among it, is told by the calls that may block.
        let length = read.ok().filter(|&length| length <= limit.min(SMALL))?;
        Some(Ok(Bytes::copy_from_slice(&buffer[..length])))
    }

    /// Looks at a file with what the kernel has in memory. `None` where only a blocking call can tell.
    fn stat_cached(&self, key: &Key) -> Option<io::Result<Meta>> {
        if self.hot.is_hot(key) {
            return Some(self.stat(key));
        }
        if !self.cached_opens.load(Ordering::Relaxed) {
            return None;
        }
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        match rustix::fs::openat2(&self.directory, key.as_str(), flags, Mode::empty(), ResolveFlags::CACHED) {
            Ok(file) => {
                self.hot.touch(key);
                Some(rustix::fs::fstat(&file).map_err(io::Error::from).and_then(meta))
            }
            Err(Errno::NOENT) => Some(Err(io::ErrorKind::NotFound.into())),
            Err(_) => None,
        }
    }

    fn stat(&self, key: &Key) -> io::Result<Meta> {
        meta(rustix::fs::statat(&self.directory, key.as_str(), AtFlags::empty())?)
    }
}

fn meta(stat: rustix::fs::Stat) -> io::Result<Meta> {
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(io::ErrorKind::NotFound.into());
    }
    let modified = local_file::system_time(stat.st_mtime, stat.st_mtime_nsec as i64);
    Ok(Meta { size: u64::try_from(stat.st_size).unwrap_or(0), modified })
}

/// The size of the file that a look found, if it found one.
fn found(result: io::Result<Meta>) -> io::Result<Option<u64>> {
    match result {
        Ok(meta) => Ok(Some(meta.size)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn too_large(key: &Key, size: u64, limit: usize) -> StoreError {
    let reason = format!("it has {size} bytes, expected at most {limit}");
    StoreError::new(StoreErrorKind::Invalid, Operation::Get, key, reason)
}

#[async_trait]
impl Store for Filesystem {
    fn name(&self) -> &'static str {
        "filesystem"
    }

    async fn get(&self, key: &Key, limit: usize) -> Result<Bytes> {
        self.read(key, limit).await
    }

    async fn open(&self, key: &Key) -> Result<Object> {
        let file = self.open_file(Operation::Open, key).await?;
        Ok(Object { size: file.size(), data: ObjectData::File(Arc::new(file)) })
    }

    async fn head(&self, key: &Key) -> Result<Meta> {
        if key.is_legal()
            && let Some(result) = self.root.stat_cached(key)
        {
            return result.map_err(|error| StoreError::io(Operation::Head, key, error));
        }
        self.blocking(Operation::Head, key, Root::stat).await
    }

    async fn put(&self, key: &Key, bytes: Bytes, durability: Durability) -> Result<()> {
        self.blocking(Operation::Put, key, move |root, key| root.put(key, &bytes, durability)).await
    }

    async fn delete(&self, key: &Key, options: Delete) -> Result<bool> {
        self.blocking(Operation::Delete, key, move |root, key| root.delete(key, options)).await
    }

    async fn list(&self, prefix: &Key, options: List) -> Result<Page> {
        self.blocking(Operation::List, prefix, move |root, prefix| root.list(prefix, &options)).await
    }

    async fn sizes(&self, keys: &[Key]) -> Result<Vec<Option<u64>>> {
        let Some(first) = keys.first() else { return Ok(Vec::new()) };
        if let [key] = keys
            && key.is_legal()
            && let Some(result) = self.root.stat_cached(key)
        {
            return match found(result) {
                Ok(size) => Ok(vec![size]),
                Err(error) => Err(StoreError::io(Operation::Head, key, error)),
            };
        }
        let keys = keys.to_vec();
        let look = move |root: &Root, _: &Key| keys.iter().map(|key| found(root.stat(key))).collect();
        self.blocking(Operation::Head, first, look).await
    }

    async fn stage(&self, key: &Key, resume: Option<&Checkpoint>) -> Result<Box<dyn Staged>> {
        let resume = resume.cloned();
        let open = move |root: &Root, key: &Key| stage::open(root, key, resume.as_ref());
        let file = self.blocking(Operation::Stage, key, open).await?;
        let length = file.length;
        Ok(Box::new(stage::FileStage::new(self.clone(), key.clone(), file, length)))
    }

    async fn discard(&self, key: &Key, _checkpoint: &Checkpoint, _published: Option<&Key>) -> Result<()> {
        let remove = |root: &Root, key: &Key| root.delete(key, Delete { prune_parents: 1 }).map(|_| ());
        self.blocking(Operation::Delete, key, remove).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_directory_passes_the_suite() {
        let directory = tempfile::tempdir().unwrap();
        crate::conformance::run(&Filesystem::open(directory.path()).unwrap()).await;
    }

    #[tokio::test]
    async fn a_directory_passes_the_suite_without_cached_opens() {
        let directory = tempfile::tempdir().unwrap();
        let store = Filesystem::open(directory.path()).unwrap();
        store.root.cached_opens.store(false, Ordering::Relaxed);
        crate::conformance::run(&store).await;
    }

    #[tokio::test]
    async fn an_inventory_shows_every_file_but_those_half_written() {
        let directory = tempfile::tempdir().unwrap();
        let store = Filesystem::open(directory.path()).unwrap();
        for name in ["docker/a-b/c", "docker/a/b", "other", "wharfinger/tmp/half", "wharfinger/v1/x"] {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "four").unwrap();
        }
        let rows = crate::conformance::inventory(&store, crate::Area::Objects).await;
        let expected = ["docker/a-b/c", "docker/a/b", "other", "wharfinger/v1/x"];
        assert_eq!(rows, expected.map(|name| (name.to_owned(), 4)));
    }

    #[test]
    fn a_directory_that_is_read_alone_is_left_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        assert!(Filesystem::open_to_read(&directory.path().join("missing")).is_err());
        Filesystem::open_to_read(directory.path()).unwrap();
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn nothing_half_written_is_left_behind() {
        let directory = tempfile::tempdir().unwrap();
        let store = Filesystem::open(directory.path()).unwrap();
        crate::conformance::run(&store).await;
        assert_eq!(std::fs::read_dir(directory.path().join(TEMPORARY)).unwrap().count(), 0);
    }
}
