//! A registry's data, to be harmed by key: a directory or a container.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use wharfinger_oci::Digest;

use crate::fake::FakeContainer;
use crate::registry::wharfinger_binary;
use crate::swift::{SwiftCluster, quote};
use crate::tree::Tree;

/// Where a registry's data lies.
#[derive(Clone, Copy, Debug)]
pub enum Ground<'a> {
    /// A directory.
    Directory(&'a Path),
    /// A container.
    Swift(&'a SwiftCluster, &'a str),
    /// A container of a fake.
    Fake(&'a FakeContainer),
}

/// Objects by their keys.
impl Ground<'_> {
    /// The bytes of the object with that key.
    pub fn read(&self, key: &str) -> Option<Vec<u8>> {
        match self {
            Ground::Directory(root) => fs::read(root.join(key)).ok(),
            Ground::Swift(swift, container) => {
                let answer = swift.get(container, &quote(&named(key)));
                (answer.status == 200).then_some(answer.body)
            }
            Ground::Fake(place) => place.content(&named(key)),
        }
    }

    /// Replaces the object with that key by one of these bytes.
    pub fn write(&self, key: &str, bytes: &[u8]) {
        match self {
            Ground::Directory(root) => {
                let path = root.join(key);
                fs::create_dir_all(path.parent().expect("a key has a parent")).expect("its directory");
                fs::write(path, bytes).expect("the object is written");
            }
            Ground::Swift(..) | Ground::Fake(_) => self.put(&named(key), bytes),
        }
    }

    /// Removes the object with that key.
    pub fn remove(&self, key: &str) {
        match self {
            Ground::Directory(root) => fs::remove_file(root.join(key)).expect("the object is removed"),
            Ground::Swift(..) | Ground::Fake(_) => self.delete(&named(key)),
        }
    }

    /// Makes each read of the object with that key fail, and of no other one.
    pub fn make_unreadable(&self, key: &str) {
        match self {
            Ground::Directory(root) => {
                // A file that cannot even be opened: a link that leads to itself.
                let path: &Path = &root.join(key);
                fs::remove_file(path).expect("the file is removed");
                std::os::unix::fs::symlink(path, path).expect("a link to itself");
            }
            Ground::Swift(..) => panic!("only all objects of a server can be unreadable"),
            Ground::Fake(place) => place.refuse(&named(key)),
        }
    }

    /// Everything in it, blobs by their digests; of a fake what is there, whatever a listing shows.
    pub fn tree(&self) -> Tree {
        match self {
            Ground::Directory(root) => Tree::read(root),
            Ground::Swift(swift, container) => Tree::of_container(swift, container, true),
            Ground::Fake(place) => {
                let names = place.names().into_iter().filter_map(|name| {
                    let path = format!("/{}", name.strip_prefix("files/")?);
                    Some((path, place.content(&name)?))
                });
                Tree::of_objects(names)
            }
        }
    }
}

/// The name of an object in a container.
pub fn named(key: &str) -> String {
    format!("files/{key}")
}

const NO_CONTAINER: &str = "a directory has neither segments nor rows";

/// Objects of a container by their whole names, segments too.
impl Ground<'_> {
    /// The names of the segments of a large object.
    pub(crate) fn segments_of(&self, name: &str) -> Vec<String> {
        match self {
            Ground::Directory(_) => panic!("{NO_CONTAINER}"),
            Ground::Swift(swift, container) => swift.segments_of(container, name),
            Ground::Fake(place) => place.segments_of(name),
        }
    }

    /// Whether an object is there.
    pub(crate) fn has(&self, name: &str) -> bool {
        match self {
            Ground::Directory(_) => panic!("{NO_CONTAINER}"),
            Ground::Swift(swift, container) => swift.head(container, &quote(name)).status == 200,
            Ground::Fake(place) => place.content(name).is_some(),
        }
    }

    /// The bytes of an object.
    pub(crate) fn content_of(&self, name: &str) -> Vec<u8> {
        match self {
            Ground::Directory(_) => panic!("{NO_CONTAINER}"),
            Ground::Swift(swift, container) => swift.get(container, &quote(name)).expect(200).body,
            Ground::Fake(place) => place.content(name).expect("an object"),
        }
    }

    /// Stores an object.
    pub(crate) fn put(&self, name: &str, bytes: &[u8]) {
        match self {
            Ground::Directory(_) => panic!("{NO_CONTAINER}"),
            Ground::Swift(swift, container) => drop(swift.put(container, &quote(name), bytes).expect(201)),
            Ground::Fake(place) => place.put(name, bytes),
        }
    }

    /// Deletes an object.
    pub(crate) fn delete(&self, name: &str) {
        match self {
            Ground::Directory(_) => panic!("{NO_CONTAINER}"),
            Ground::Swift(swift, container) => drop(swift.delete(container, &quote(name)).expect(204)),
            Ground::Fake(place) => place.delete(name),
        }
    }

    /// Loses an object on the disks: it was never deleted, and its row stays.
    pub fn lose(&self, name: &str) {
        match self {
            Ground::Directory(_) => panic!("{NO_CONTAINER}"),
            Ground::Swift(swift, container) => swift.remove_file(container, name),
            Ground::Fake(place) => place.lose(name),
        }
    }

    /// Changes a byte of an object on the disks: ETag and length stay.
    pub(crate) fn rot(&self, name: &str) {
        match self {
            Ground::Directory(_) => panic!("{NO_CONTAINER}"),
            Ground::Swift(swift, container) => swift.corrupt(container, name),
            Ground::Fake(place) => place.rot(name),
        }
    }

    /// Cuts an object to so many bytes: on real disks, where its metadata goes on to tell the old length.
    pub(crate) fn cut(&self, name: &str, length: usize) {
        match self {
            Ground::Directory(_) => panic!("{NO_CONTAINER}"),
            Ground::Swift(swift, container) => swift.truncate(container, name, length as u64),
            Ground::Fake(place) => place.put(name, &self.content_of(name)[..length]),
        }
    }

    /// Takes the row of an object out of the listing: it is there by its name alone.
    pub fn unlist(&self, name: &str) {
        match self {
            Ground::Directory(_) => panic!("{NO_CONTAINER}"),
            Ground::Swift(swift, container) => swift.lose_row(container, name),
            Ground::Fake(place) => place.unlist(name),
        }
    }
}

/// The key of a blob's bytes.
pub fn blob_key(digest: &Digest) -> String {
    let hex = digest.hex();
    format!("docker/registry/v2/blobs/{}/{}/{hex}/data", digest.algorithm().as_str(), &hex[..2])
}

/// The key of a blob's chunk index.
pub fn index_key(digest: &Digest) -> String {
    let hex = digest.hex();
    format!("wharfinger/v1/chunks/{}/{}/{hex}", digest.algorithm().as_str(), &hex[..2])
}

/// A key below a repository.
pub fn repository_key(name: &str, rest: &str) -> String {
    format!("docker/registry/v2/repositories/{name}/{rest}")
}

/// What a command printed.
#[derive(Debug)]
pub struct Printed {
    /// Its exit code.
    pub code: i32,
    /// What it printed on stdout.
    pub text: String,
    /// What it printed on stderr.
    pub errors: String,
}

impl Printed {
    /// What it printed, as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// The operator's commands on one configuration.
#[derive(Clone, Debug)]
pub struct Operator {
    config: PathBuf,
    environment: BTreeMap<String, String>,
}

impl Operator {
    /// Somebody who names this configuration file in each command.
    pub fn of(config: &Path) -> Operator {
        Operator { config: config.to_owned(), environment: BTreeMap::new() }
    }

    /// A command of the wharfinger under test, as it will be run.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(wharfinger_binary());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("REGISTRY_")) {
            command.env_remove(name);
        }
        let state = self.config.parent().expect("a file has a parent").join("state");
        command.args(arguments).arg("--config").arg(&self.config).env("XDG_STATE_HOME", state);
        command.envs(&self.environment);
        command
    }

    /// Runs a command of the wharfinger under test.
    pub fn run(&self, arguments: &[&str]) -> Printed {
        let output = self.command(arguments).output().expect("the program runs");
        Printed {
            code: output.status.code().unwrap_or(-1),
            text: String::from_utf8_lossy(&output.stdout).into_owned(),
            errors: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Runs a command that prints JSON; answers the exit code and what it printed.
    #[track_caller]
    pub fn json(&self, arguments: &[&str]) -> (i32, Value) {
        let printed = self.run(&[arguments, &["--output", "json"]].concat());
        (printed.code, printed.json())
    }
}
