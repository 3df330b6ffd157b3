//! `storage`.

use std::path::PathBuf;

use super::{redirect, swift};
use crate::config::storage::{
    Cache, CacheKind, Delete, Driver, Filesystem, Storage, StorageMode, UploadPurging,
};
use crate::keys::{Kind, Schema};
use crate::read::Reader;

/// Where Distribution keeps its data when a file names the driver alone.
const DISTRIBUTION_ROOT: &str = "/var/lib/registry";

pub(super) fn storage(file: Option<&str>, reader: &mut Reader<'_, '_>) -> Storage {
    one_driver(file, reader);
    let mode = mode(reader);
    let read_only: bool = reader.value("storage.maintenance.readonly.enabled");
    Storage {
        driver: driver(reader),
        mode,
        read_only: read_only || mode == StorageMode::Observe,
        upload_purging: upload_purging(reader, mode),
        delete: Delete {
            enabled: deletes(reader, "storage.delete.enabled", mode),
            by_digest: reader.value("storage.delete.by_digest"),
        },
        redirect: redirect::redirect(reader, mode),
        cache: cache(reader),
    }
}

/// The driver that is named; where its section is wrong the error is noted, and the value does not matter.
pub(super) fn driver(reader: &mut Reader<'_, '_>) -> Driver {
    let swift = if reader.has("storage.swift") { swift::swift(reader) } else { None };
    swift.map_or_else(
        || Driver::Filesystem(Filesystem { root: root_directory(reader) }),
        |swift| Driver::Swift(Box::new(swift)),
    )
}

fn mode(reader: &mut Reader<'_, '_>) -> StorageMode {
    const MODE: &str = "storage.mode";
    let mode: StorageMode = reader.value(MODE);
    if mode != StorageMode::Adopted && !reader.has("storage.swift") {
        let message =
            "is for storage.swift only; a directory is kept as it is by storage.maintenance.readonly";
        reader.error(MODE, format!("{} {message}", mode.as_str()));
    }
    mode
}

/// Whether something is on that deletes; a mode that deletes nothing turns it off.
fn deletes(reader: &mut Reader<'_, '_>, path: &str, mode: StorageMode) -> bool {
    let enabled: bool = reader.value(path);
    if enabled && mode != StorageMode::Adopted && reader.has(path) {
        reader.warn(path, format!("has no effect: nothing is deleted with storage.mode {}", mode.as_str()));
    }
    enabled && mode == StorageMode::Adopted
}

fn root_directory(reader: &mut Reader<'_, '_>) -> PathBuf {
    const ROOT: &str = "storage.filesystem.rootdirectory";
    match reader.optional(ROOT) {
        Some(root) => root,
        None if reader.has("storage.filesystem") => PathBuf::from(DISTRIBUTION_ROOT),
        None => reader.value(ROOT),
    }
}

/// Exactly one driver has to be named in a file; without a file there is a default.
fn one_driver(file: Option<&str>, reader: &mut Reader<'_, '_>) {
    let found = chosen(reader, "storage");
    if found.len() > 1 {
        let hint = "name one; from the environment, REGISTRY_STORAGE=DRIVER replaces what the file says";
        reader.error("storage", format!("more than one storage driver: {}; {hint}", found.join(" and ")));
    }
    // A key that is no known setting was meant as a driver, and was reported as such.
    let schema = Schema::root().child("storage");
    let stranger = reader.node("storage").is_some_and(|node| {
        node.entries().iter().any(|entry| schema.is_some_and(|schema| schema.child(&entry.key).is_none()))
    });
    if found.is_empty() && !stranger && file.is_some() {
        reader.error(
            "storage",
            "no storage driver is named; give storage.filesystem.rootdirectory or storage.swift",
        );
    }
}

/// The driver sections below `section`, each with the place where it stands.
pub(super) fn chosen(reader: &Reader<'_, '_>, section: &str) -> Vec<String> {
    let (Some(node), Some(schema)) = (reader.node(section), Schema::root().child(section)) else {
        return Vec::new();
    };
    node.entries()
        .iter()
        .filter(|entry| schema.child(&entry.key).is_some_and(|child| child.kind() == Kind::Driver))
        .map(|entry| format!("{} ({})", entry.key, entry.origin))
        .collect()
}

fn upload_purging(reader: &mut Reader<'_, '_>, mode: StorageMode) -> UploadPurging {
    const INTERVAL: &str = "storage.maintenance.uploadpurging.interval";
    let purging = UploadPurging {
        enabled: deletes(reader, "storage.maintenance.uploadpurging.enabled", mode),
        age: reader.value("storage.maintenance.uploadpurging.age"),
        interval: reader.value(INTERVAL),
        dry_run: reader.value("storage.maintenance.uploadpurging.dryrun"),
    };
    if purging.enabled && purging.interval.is_zero() {
        reader.error(INTERVAL, "has to be longer than 0");
    }
    purging
}

fn cache(reader: &mut Reader<'_, '_>) -> Cache {
    const NAMES: [&str; 2] = ["storage.cache.blobdescriptor", "storage.cache.layerinfo"];
    let name = if reader.has(NAMES[0]) || !reader.has(NAMES[1]) { NAMES[0] } else { NAMES[1] };
    let kind = reader.optional(name).unwrap_or(CacheKind::InMemory);
    Cache { kind }
}
