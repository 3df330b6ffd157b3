//! Names and bytes below a directory or in a container, to compare before and after.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::Path;

use wharfinger_oci::Digest;

use crate::swift::{SwiftCluster, quote};

/// Every file below a directory with its length and a digest; empty directories with neither.
#[derive(Clone, PartialEq, Eq)]
pub struct Tree(BTreeMap<String, Option<(u64, String)>>);

impl Tree {
    /// Reads everything below `root`; empty when it does not exist.
    pub fn read(root: &Path) -> Tree {
        let mut tree = Tree(BTreeMap::new());
        tree.walk(root, "");
        tree
    }

    /// The objects below `files/` of a container, named as Distribution's driver shows them, with a slash in front. Links
    /// have the digest that Swift gives them. Blobs are read and hashed if `whole`, else only their names are there:
    /// the same bytes may be one object or many segments.
    pub fn of_container(swift: &SwiftCluster, container: &str, whole: bool) -> Tree {
        let mut tree = BTreeMap::new();
        for row in swift.rows(container) {
            let name = row["name"].as_str().expect("a row has a name");
            let Some(path) = name.strip_prefix("files/").map(|path| format!("/{path}")) else { continue };
            let content = if !path.ends_with("/data") {
                let hash = row["hash"].as_str().expect("a row has a hash");
                Some((row["bytes"].as_u64().expect("a row has a size"), hash.to_owned()))
            } else if whole {
                let bytes = swift.get(container, &quote(name)).expect(200).body;
                Some((bytes.len() as u64, Digest::sha256(&bytes).to_string()))
            } else {
                None
            };
            tree.insert(path, content);
        }
        Tree(tree)
    }

    /// Names, with a slash in front, and bytes.
    pub(crate) fn of_objects(objects: impl Iterator<Item = (String, Vec<u8>)>) -> Tree {
        let described = |bytes: &[u8]| Some((bytes.len() as u64, Digest::sha256(bytes).to_string()));
        Tree(objects.map(|(name, bytes)| (name, described(&bytes))).collect())
    }

    fn walk(&mut self, directory: &Path, prefix: &str) {
        let Ok(entries) = fs::read_dir(directory) else { return };
        let mut empty = true;
        for entry in entries {
            let entry = entry.expect("a directory entry");
            empty = false;
            let name = format!("{prefix}/{}", entry.file_name().to_string_lossy());
            let kind = entry.file_type().expect("a file type");
            if kind.is_dir() {
                self.walk(&entry.path(), &name);
            } else if kind.is_file() {
                let bytes = fs::read(entry.path()).expect("a readable file");
                self.0.insert(name, Some((bytes.len() as u64, Digest::sha256(&bytes).to_string())));
            }
        }
        if empty && !prefix.is_empty() {
            self.0.insert(format!("{prefix}/"), None);
        }
    }

    /// The names below `prefix` (which begins with a slash).
    pub fn names(&self, prefix: &str) -> Vec<&str> {
        self.0.keys().filter(|name| name.starts_with(prefix)).map(String::as_str).collect()
    }

    /// Only what `keep` says yes to.
    #[must_use]
    pub fn filter(&self, keep: impl Fn(&str) -> bool) -> Tree {
        Tree(
            self.0
                .iter()
                .filter(|(name, _)| keep(name))
                .map(|(name, file)| (name.clone(), file.clone()))
                .collect(),
        )
    }

    /// Lines that say what `other` has more (`+`), less (`-`) or with other bytes (`!`).
    pub fn differences(&self, other: &Tree) -> Vec<String> {
        let mut lines = Vec::new();
        for (name, file) in &self.0 {
            match other.0.get(name) {
                None => lines.push(format!("- {name}")),
                Some(there) if there != file => lines.push(format!("! {name}")),
                Some(_) => {}
            }
        }
        lines.extend(
            other.0.keys().filter(|name| !self.0.contains_key(*name)).map(|name| format!("+ {name}")),
        );
        lines
    }

    /// Without what a server writes by itself: its probe, its socket, records of itself and of who pushed and pulled, and
    /// what is half written.
    #[must_use]
    pub fn without_own(self) -> Tree {
        let own = ["tmp/", "admin", "v1/probe", "v1/instances", "v1/activity"];
        let own = own.map(|name| format!("/wharfinger/{name}"));
        self.filter(|name| !own.iter().any(|own| name.starts_with(own)))
    }

    /// The names that differ in `other`; empty directories are not meant.
    pub fn changed(&self, other: &Tree) -> BTreeSet<String> {
        let lines = self.differences(other);
        lines.iter().map(|line| line[2..].to_owned()).filter(|name| !name.ends_with('/')).collect()
    }
}

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}
