//! Writing: a temporary file, synced, renamed over the name, directories synced.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::{Root, TEMPORARY};
use crate::{Delete, Durability, Key};

/// How often a parent directory may vanish under us (another request pruned it) before we give up.
const ATTEMPTS: usize = 16;

impl Root {
    pub(super) fn put(&self, key: &Key, bytes: &[u8], durability: Durability) -> io::Result<()> {
        let (temporary, durability) = (self.temporary(), self.at_most(durability));
        let result = write_file(&temporary, bytes, durability)
            .and_then(|()| self.rename_into(&temporary, key, durability));
        if result.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        result
    }

    /// How durable a write has to be here.
    pub(super) fn at_most(&self, asked: Durability) -> Durability {
        if self.durable { asked } else { Durability::Lazy }
    }

    fn temporary(&self) -> PathBuf {
        self.path.join(TEMPORARY).join(uuid::Uuid::new_v4().simple().to_string())
    }

    /// Moves a file to the name of `key`, making the directories it needs.
    pub(super) fn rename_into(&self, from: &Path, key: &Key, durability: Durability) -> io::Result<()> {
        let target = self.path_of(key);
        let parent = target.parent().ok_or(io::ErrorKind::InvalidFilename)?;
        let mut attempt = 0;
        loop {
            match fs::rename(from, &target) {
                Ok(()) => break,
                Err(error) if error.kind() == io::ErrorKind::NotFound && attempt < ATTEMPTS => {
                    attempt += 1;
                    create_directories(parent, durability)?;
                }
                Err(error) => return Err(error),
            }
        }
        sync_directory(parent, durability)
    }

    pub(super) fn delete(&self, key: &Key, options: Delete) -> io::Result<bool> {
        let path = self.path_of(key);
        match fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                prune(&path, options.prune_parents);
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
        let remaining = prune(&path, options.prune_parents);
        sync_directory(&remaining, self.at_most(Durability::Synced))?;
        Ok(true)
    }
}

/// Removes parents that are empty, up to `levels`; returns the first that stays.
fn prune(path: &Path, levels: u8) -> PathBuf {
    let mut parent = path.parent().unwrap_or(path).to_owned();
    for _ in 0..levels {
        if fs::remove_dir(&parent).is_err() || !parent.pop() {
            break;
        }
    }
    while !parent.is_dir() && parent.pop() {}
    parent
}

fn write_file(path: &Path, bytes: &[u8], durability: Durability) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(bytes)?;
    match durability {
        Durability::Synced => file.sync_data(),
        Durability::Lazy => Ok(()),
    }
}

/// Makes `path` and what is missing above it; each new name is synced in its parent.
pub(super) fn create_directories(path: &Path, durability: Durability) -> io::Result<()> {
    match fs::create_dir(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let parent = path.parent().ok_or(error)?;
            create_directories(parent, durability)?;
            match fs::create_dir(path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
        Err(error) => return Err(error),
    }
    match path.parent() {
        Some(parent) => sync_directory(parent, durability),
        None => Ok(()),
    }
}

fn sync_directory(path: &Path, durability: Durability) -> io::Result<()> {
    if durability == Durability::Lazy {
        return Ok(());
    }
    match File::open(path) {
        Ok(directory) => directory.sync_all(),
        // Pruned by another request: then the name is gone as well, and that is what is on the disk.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}
