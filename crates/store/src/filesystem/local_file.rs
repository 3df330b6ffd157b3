//! A file opened for reading, by positions, from any thread.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use rustix::fs::FileType;
use rustix::io::{Errno, ReadWriteFlags};
use rustix::mm::{MapFlags, ProtFlags};

/// The device of a file system in memory (tmpfs): it refuses `RWF_NOWAIT` and has no disk to wait for.
static IN_MEMORY: AtomicU64 = AtomicU64::new(u64::MAX);

/// An open file whose content is not supposed to change.
pub struct LocalFile {
    file: OwnedFd,
    size: u64,
    device: u64,
    written: (i64, i64),
    mapping: OnceLock<Option<Mapping>>,
}

impl LocalFile {
    pub(super) fn new(file: OwnedFd) -> io::Result<LocalFile> {
        let stat = rustix::fs::fstat(&file)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(io::ErrorKind::NotFound.into());
        }
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let written = (stat.st_mtime, stat.st_mtime_nsec as i64);
        Ok(LocalFile { file, size, device: stat.st_dev, written, mapping: OnceLock::new() })
    }

    /// Length in bytes when it was opened.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Whether nobody wrote to the file or cut it since it was opened.
    pub fn is_unchanged(&self) -> bool {
        rustix::fs::fstat(&self.file).is_ok_and(|stat| {
            (stat.st_mtime, stat.st_mtime_nsec as i64) == self.written && stat.st_size as u64 == self.size
        })
    }

    /// Fills `buffer` from `offset` as far as the kernel has the bytes in memory; never waits for a disk.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] where the bytes must come from the disk.
    pub fn read_at_nowait(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            let at = offset + done as u64;
            let rest = &mut buffer[done..];
            let read = if IN_MEMORY.load(Ordering::Relaxed) == self.device {
                rustix::io::pread(&self.file, rest, at)
            } else {
                let parts = &mut [io::IoSliceMut::new(rest)];
                rustix::io::preadv2(&self.file, parts, at, ReadWriteFlags::NOWAIT)
            };
            match read {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(Errno::OPNOTSUPP) => IN_MEMORY.store(self.device, Ordering::Relaxed),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) if done > 0 => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(done)
    }

    /// Fills all of `buffer` from `offset`. May wait for a disk.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] where the file is shorter, else those of the operating system.
    pub fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let mut done = 0;
        while done < buffer.len() {
            match rustix::io::pread(&self.file, &mut buffer[done..], offset + done as u64) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => done += read,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// A piece of the file as mapped memory, so that its address tells a connection to send it from the file.
    /// `None` where the file cannot be mapped (empty, or the piece lies outside).
    ///
    /// Touching the memory may wait for a disk, and kills the process if the file was cut meanwhile: hand it to
    /// `sendfile`, do not read it.
    pub fn mapped(self: &Arc<Self>, offset: u64, length: usize) -> Option<Bytes> {
        let end = offset.checked_add(length as u64)?;
        if end > self.size || length == 0 {
            return None;
        }
        self.mapping().map(|_| {
            let start = usize::try_from(offset).unwrap_or(usize::MAX);
            Bytes::from_owner(MappedSlice { file: self.clone(), start, length })
        })
    }

    /// The offset in the file that a piece of memory was mapped from, if it was mapped from this file.
    pub fn offset_of(&self, memory: &[u8]) -> Option<u64> {
        let mapping = self.mapping.get()?.as_ref()?;
        let (base, at) = (mapping.base as usize, memory.as_ptr() as usize);
        let inside = at >= base && at + memory.len() <= base + mapping.length;
        inside.then(|| (at - base) as u64)
    }

    fn mapping(&self) -> Option<&Mapping> {
        self.mapping.get_or_init(|| Mapping::new(self.file.as_fd(), self.size)).as_ref()
    }
}

impl AsFd for LocalFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl fmt::Debug for LocalFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalFile").field("size", &self.size).finish_non_exhaustive()
    }
}

/// A time of the file system.
pub(super) fn system_time(seconds: i64, nanoseconds: i64) -> Option<SystemTime> {
    let (seconds, nanoseconds) = (u64::try_from(seconds).ok()?, u32::try_from(nanoseconds).ok()?);
    SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, nanoseconds))
}

struct Mapping {
    base: *const u8,
    length: usize,
}

// SAFETY: the mapping is read-only and stays where it is until it is dropped.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    fn new(file: BorrowedFd<'_>, size: u64) -> Option<Mapping> {
        let length = usize::try_from(size).ok().filter(|&length| length > 0)?;
        // SAFETY: a new private mapping at an address of the kernel's choice aliases nothing.
        let base = unsafe {
            rustix::mm::mmap(std::ptr::null_mut(), length, ProtFlags::READ, MapFlags::SHARED, file, 0)
        };
        base.ok().map(|base| Mapping { base: base.cast_const().cast(), length })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: base and length are those of mmap, and every slice keeps the file, and so this, alive.
        let _ = unsafe { rustix::mm::munmap(self.base.cast_mut().cast(), self.length) };
    }
}

struct MappedSlice {
    file: Arc<LocalFile>,
    start: usize,
    length: usize,
}

impl AsRef<[u8]> for MappedSlice {
    fn as_ref(&self) -> &[u8] {
        match self.file.mapping() {
            // SAFETY: `LocalFile::mapped` checked that the piece lies inside the mapping, which lives as long as
            // the file that this slice holds.
            Some(mapping) => unsafe { std::slice::from_raw_parts(mapping.base.add(self.start), self.length) },
            None => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(content: &[u8]) -> (tempfile::TempDir, Arc<LocalFile>) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f");
        std::fs::write(&path, content).unwrap();
        (directory, Arc::new(LocalFile::new(std::fs::File::open(path).unwrap().into()).unwrap()))
    }

    #[test]
    fn a_mapped_piece_knows_its_offset() {
        let (_directory, file) = file(b"0123456789");
        let piece = file.mapped(3, 4).unwrap();
        assert_eq!(&piece[..], b"3456");
        assert_eq!(file.offset_of(&piece), Some(3));
        assert_eq!(file.offset_of(&piece[1..]), Some(4));
        assert_eq!(file.offset_of(b"3456"), None);
        assert!(file.mapped(8, 3).is_none());
    }

    #[test]
    fn a_write_is_noticed() {
        let (directory, file) = file(b"0123456789");
        assert!(file.is_unchanged());
        std::thread::spawn(move || std::fs::write(directory.path().join("f"), b"012"))
            .join()
            .unwrap()
            .unwrap();
        assert!(!file.is_unchanged());
        assert!(file.read_exact_at(&mut [0; 4], 0).is_err());
    }
}
