//! Where Swift keeps an object, and ways to damage it there.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use md5::{Digest as _, Md5};

use super::conf::HASH;
use super::requests::quote;
use super::{DEVICES, PART_POWER, SwiftCluster};
use crate::http::{Client, Request};

/// The hash of a path below an account, and the partition that it falls into
/// (<https://docs.openstack.org/swift/latest/overview_ring.html>).
fn hash_of(path: &str) -> (String, u32) {
    let (prefix, suffix) = HASH;
    let hash = Md5::digest(format!("{prefix}/{path}{suffix}"));
    let hex = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    (hex, u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]) >> (32 - PART_POWER))
}

/// The directory of an object on its device: `objects/PARTITION/SUFFIX/HASH`.
fn hash_path(account: &str, container: &str, object: &str) -> PathBuf {
    let (hex, partition) = hash_of(&format!("{account}/{container}/{object}"));
    ["objects", &partition.to_string(), &hex[hex.len() - 3..], &hex].iter().collect()
}

/// Where the container server keeps a listing.
pub(super) fn container_database(cluster: &SwiftCluster, container: &str) -> PathBuf {
    let (hex, partition) = hash_of(&format!("{}/{container}", cluster.account()));
    let below = ["containers", &partition.to_string(), &hex[hex.len() - 3..], &hex, &format!("{hex}.db")];
    cluster.home().join("devices").join(DEVICES[0]).join(below.iter().collect::<PathBuf>())
}

/// The newest `.data` file of a directory, unless a younger tombstone says that it is deleted.
fn data_file(directory: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(directory).ok()?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|end| end == "data" || end == "ts"));
    files.sort();
    files.pop().filter(|file| file.extension().is_some_and(|end| end == "data"))
}

/// Files of one account's objects. An object is named as in a URL, without quoting.
impl SwiftCluster {
    /// The directory of an object on device `replica`, whether or not it is there.
    pub fn object_directory(&self, container: &str, object: &str, replica: usize) -> PathBuf {
        let device = self.home().join("devices").join(DEVICES[replica]);
        device.join(hash_path(&self.account(), container, object))
    }

    /// The files that hold the object's bytes, one for each replica that has it.
    pub fn object_files(&self, container: &str, object: &str) -> Vec<PathBuf> {
        let replicas = 0..self.replicas();
        replicas.filter_map(|replica| data_file(&self.object_directory(container, object, replica))).collect()
    }

    /// The file of one replica; panics when that device does not have the object.
    pub fn object_file(&self, container: &str, object: &str, replica: usize) -> PathBuf {
        let directory = self.object_directory(container, object, replica);
        data_file(&directory)
            .unwrap_or_else(|| panic!("{container}/{object} is not in {}", directory.display()))
    }

    /// Changes one byte in the middle of the object in every replica; length and metadata stay.
    pub fn corrupt(&self, container: &str, object: &str) {
        for file in self.present(container, object) {
            let mut bytes = fs::read(&file).expect("the object's file");
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0x55;
            // In place: a fresh file would have no metadata.
            overwrite(&file, &bytes);
        }
    }

    /// Cuts the object to `length` bytes in every replica; the metadata still tells the old length.
    pub fn truncate(&self, container: &str, object: &str, length: u64) {
        for file in self.present(container, object) {
            let file = fs::File::options().write(true).open(file).expect("the object's file");
            file.set_len(length).expect("the object's file is cut");
        }
    }

    /// Removes the object's files in every replica, without a tombstone and without the container's knowledge.
    pub fn remove_file(&self, container: &str, object: &str) {
        for file in self.present(container, object) {
            fs::remove_file(file).expect("the object's file is removed");
        }
    }

    /// Takes an object's row out of the container's listing: what a delete tells the container server, without the
    /// delete. The object stays, and is read by name.
    pub fn lose_row(&self, container: &str, object: &str) {
        let (_, partition) = hash_of(&format!("{}/{container}", self.account()));
        let (device, account) = (DEVICES[0], self.account());
        let target = format!("/{device}/{partition}/{account}/{container}/{}", quote(object));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
        let timestamp = format!("{:016.5}", now.as_secs_f64());
        let request = Request::new("DELETE", &target).header("X-Timestamp", timestamp);
        let answer =
            Client::plain(self.ports.container).send(&request).expect("the container server answers");
        answer.expect(204);
    }

    fn present(&self, container: &str, object: &str) -> Vec<PathBuf> {
        let files = self.object_files(container, object);
        assert!(!files.is_empty(), "{container}/{object} is on no device");
        files
    }
}

fn overwrite(file: &Path, bytes: &[u8]) {
    use std::io::Write;
    let mut file = fs::File::options().write(true).open(file).expect("the object's file");
    file.write_all(bytes).expect("the object's file is written");
}
