//! Files and directories with owners and modes, before they become a package or an image layer.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use flate2::{Compression, GzBuilder};

/// The names below a root, sorted: the same content always gives the same archive.
#[derive(Default)]
pub(super) struct Tree(BTreeMap<String, Entry>);

struct Entry {
    mode: u32,
    /// User and group id.
    owner: u64,
    /// `None` for a directory.
    content: Option<Vec<u8>>,
}

impl Tree {
    /// Adds a file owned by root, and the directories above it.
    pub(super) fn file(&mut self, path: &str, mode: u32, content: impl Into<Vec<u8>>) {
        self.parents(path);
        self.0.insert(path.to_owned(), Entry { mode, owner: 0, content: Some(content.into()) });
    }

    /// Adds a copy of a file, owned by root.
    pub(super) fn copy(&mut self, path: &str, mode: u32, source: &Path) -> Result<()> {
        let content = fs::read(source).with_context(|| source.display().to_string())?;
        self.file(path, mode, content);
        Ok(())
    }

    /// Adds a compressed file, owned by root; the archive inside carries neither time nor name.
    pub(super) fn gzip(&mut self, path: &str, content: &[u8]) -> Result<()> {
        let mut encoder = GzBuilder::new().write(Vec::new(), Compression::best());
        encoder.write_all(content)?;
        self.file(path, 0o644, encoder.finish()?);
        Ok(())
    }

    /// Adds a directory of that user and group id, and the directories above it.
    pub(super) fn directory(&mut self, path: &str, mode: u32, owner: u64) {
        self.parents(path);
        self.0.insert(path.to_owned(), Entry { mode, owner, content: None });
    }

    fn parents(&mut self, path: &str) {
        for (end, _) in path.match_indices('/') {
            let directory = Entry { mode: 0o755, owner: 0, content: None };
            self.0.entry(path[..end].to_owned()).or_insert(directory);
        }
    }

    /// The names of all files.
    pub(super) fn files(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|(_, entry)| entry.content.is_some()).map(|(path, _)| path.as_str())
    }

    /// What Debian calls the installed size: KiB of files, and one for everything else.
    pub(super) fn kibibytes(&self) -> usize {
        self.0
            .values()
            .map(|entry| entry.content.as_ref().map_or(1, |bytes| bytes.len().div_ceil(1024)))
            .sum()
    }

    /// Writes everything below a directory on disk, with modes, owned by whoever runs this.
    pub(super) fn write_to(&self, root: &Path) -> Result<()> {
        fs::create_dir_all(root)?;
        for (path, entry) in &self.0 {
            let place = root.join(path);
            match &entry.content {
                Some(content) => fs::write(&place, content),
                None => fs::create_dir(&place),
            }
            .with_context(|| place.display().to_string())?;
            fs::set_permissions(&place, fs::Permissions::from_mode(entry.mode))?;
        }
        Ok(())
    }

    /// Everything as a tar archive whose entries all carry `time` (seconds since 1970).
    pub(super) fn tar(&self, time: u64) -> Result<Vec<u8>> {
        let mut archive = tar::Builder::new(Vec::new());
        for (path, entry) in &self.0 {
            let mut header = tar::Header::new_ustar();
            header.set_mode(entry.mode);
            header.set_uid(entry.owner);
            header.set_gid(entry.owner);
            header.set_mtime(time);
            match &entry.content {
                Some(content) => {
                    header.set_entry_type(tar::EntryType::Regular);
                    header.set_size(content.len() as u64);
                    archive.append_data(&mut header, path, content.as_slice())?;
                }
                None => {
                    header.set_entry_type(tar::EntryType::Directory);
                    header.set_size(0);
                    archive.append_data(&mut header, format!("{path}/"), std::io::empty())?;
                }
            }
        }
        Ok(archive.into_inner()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_have_parents_first_and_do_not_depend_on_the_order_of_additions() {
        let (mut one, mut other) = (Tree::default(), Tree::default());
        one.file("usr/bin/x", 0o755, "program");
        one.directory("usr", 0o700, 7);
        other.directory("usr", 0o700, 7);
        other.file("usr/bin/x", 0o755, "program");
        let archive = one.tar(5).unwrap();
        assert_eq!(archive, other.tar(5).unwrap());
        let mut reader = tar::Archive::new(archive.as_slice());
        let entries = reader.entries().unwrap().map(|entry| {
            let entry = entry.unwrap();
            let header = entry.header();
            assert_eq!(header.mtime().unwrap(), 5);
            let path = entry.path().unwrap().display().to_string();
            (path, header.mode().unwrap(), header.uid().unwrap())
        });
        let expected = [("usr/", 0o700, 7), ("usr/bin/", 0o755, 0), ("usr/bin/x", 0o755, 0)];
        assert_eq!(entries.collect::<Vec<_>>(), expected.map(|(path, mode, id)| (path.to_owned(), mode, id)));
        assert_eq!(one.files().collect::<Vec<_>>(), ["usr/bin/x"]);
    }
}
