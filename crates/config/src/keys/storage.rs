//! `storage`.

use super::{Key, Kind, Parts, Safety};
use crate::{CacheKind, DeleteByDigest, StorageMode};

const NO_DRIVER: &str = "this version stores in a directory (storage.filesystem) or in Swift (storage.swift)";

/// A storage driver that we do not have.
const fn driver(path: &'static str, doc: &'static str) -> Key {
    Key::new(path, Kind::Driver, doc).missing(Safety::Fatal, NO_DRIVER)
}

pub(super) const KEYS: &[Key] = &[
    Key::new("storage", Kind::Section, "Where content lies, and what may be done to it."),
    Key::new("storage.filesystem", Kind::Driver, "A plain directory as store."),
    Key::new(
        "storage.filesystem.rootdirectory",
        Kind::Path,
        "The directory; where a file names filesystem without it, /var/lib/registry as in Distribution.",
    )
    .default("./wharfinger-data"),
    Key::new("storage.filesystem.maxthreads", Kind::Int, "Most blocking file operations at a time.")
        .ignored("file operations are bounded by the program itself"),
    Key::new("storage.swift", Kind::Driver, "OpenStack Swift as store."),
    Key::new(
        "storage.mode",
        Kind::Choice(StorageMode::NAMES),
        "What may be done to the store: observe writes nothing, trial writes what Distribution 2.8 finds and deletes nothing.",
    )
    .default("adopted")
    .ours(),
    Key::new("storage.delete", Kind::Section, "Deletion through the API."),
    Key::new("storage.delete.enabled", Kind::Bool, "Allow tags, manifests and blobs to be deleted.")
        .default("false"),
    Key::new(
        "storage.delete.by_digest",
        Kind::Choice(DeleteByDigest::NAMES),
        "What deleting a manifest by digest does when tags point to it.",
    )
    .default("untag-all")
    .ours(),
    Key::new("storage.maintenance", Kind::Section, "Housekeeping."),
    Key::new("storage.maintenance.uploadpurging", Kind::Section, "Sweeping of forgotten uploads."),
    Key::new(
        "storage.maintenance.uploadpurging.enabled",
        Kind::Bool,
        "Remove uploads that nobody goes on with.",
    )
    .default("true"),
    Key::new(
        "storage.maintenance.uploadpurging.age",
        Kind::Duration,
        "Age after which an upload is forgotten.",
    )
    .default("168h"),
    Key::new("storage.maintenance.uploadpurging.interval", Kind::Duration, "Time between two sweeps.")
        .default("24h"),
    Key::new("storage.maintenance.uploadpurging.dryrun", Kind::Bool, "Only log what would be removed.")
        .default("false"),
    Key::new("storage.maintenance.readonly", Kind::Section, "Read-only mode."),
    Key::new("storage.maintenance.readonly.enabled", Kind::Bool, "Refuse every push and delete.")
        .default("false"),
    Key::new("storage.cache", Kind::Section, "The cache of blob descriptors."),
    Key::new(
        "storage.cache.blobdescriptor",
        Kind::Choice(CacheKind::NAMES),
        "Kind of descriptor cache. What is remembered is in memory in any case; Redis is used where redis.addr is given.",
    )
    .default("inmemory"),
    Key::new(
        "storage.cache.layerinfo",
        Kind::Choice(CacheKind::NAMES),
        "Old name of blobdescriptor, which wins.",
    )
    .example("redis"),
    Key::new("storage.cache.blobdescriptorsize", Kind::Int, "Entries of the in-memory descriptor cache.")
        .ignored("what is remembered is bounded by bytes"),
    Key::new("storage.tag", Kind::Section, "Tag lookups."),
    Key::new("storage.tag.concurrencylimit", Kind::Int, "Most tag lookups at a time.")
        .ignored("tag lookups are bounded by the program itself"),
    driver("storage.s3", "Amazon S3 and what speaks like it."),
    driver("storage.s3aws", "Other name of storage.s3."),
    driver("storage.azure", "Azure blob storage."),
    driver("storage.gcs", "Google Cloud Storage."),
    driver("storage.oss", "Aliyun OSS."),
    driver("storage.inmemory", "Everything in memory, for tests."),
];

use Kind::{Bool, Int, Map, Secret, Text};

/// The settings of drivers that we do not have; known, so that a migrating file yields one message a driver.
pub(super) const PARTS: &[Parts] = &[
    Parts("storage.s3", S3),
    Parts("storage.s3aws", S3),
    Parts(
        "storage.azure",
        &[
            ("accountname", Text),
            ("accountkey", Secret),
            ("container", Text),
            ("realm", Text),
            ("rootdirectory", Text),
            ("credentials", Map),
            ("connectionstring", Secret),
            ("max_retries", Int),
            ("retry_delay", Text),
            ("copy_status_poll_max_retry", Int),
            ("copy_status_poll_delay", Text),
            ("concurrency", Int),
            ("serviceurl", Text),
            ("skipverify", Bool),
        ],
    ),
    Parts(
        "storage.gcs",
        &[
            ("bucket", Text),
            ("keyfile", Text),
            ("credentials", Map),
            ("rootdirectory", Text),
            ("chunksize", Int),
            ("maxconcurrency", Int),
            ("useragent", Text),
        ],
    ),
    Parts(
        "storage.oss",
        &[
            ("accesskeyid", Text),
            ("accesskeysecret", Secret),
            ("region", Text),
            ("bucket", Text),
            ("endpoint", Text),
            ("internal", Bool),
            ("encrypt", Bool),
            ("encryptionkeyid", Text),
            ("secure", Bool),
            ("chunksize", Int),
            ("rootdirectory", Text),
        ],
    ),
];

const S3: &[(&str, Kind)] = &[
    ("accesskey", Text),
    ("secretkey", Secret),
    ("sessiontoken", Secret),
    ("region", Text),
    ("regionendpoint", Text),
    ("bucket", Text),
    ("encrypt", Bool),
    ("keyid", Text),
    ("secure", Bool),
    ("skipverify", Bool),
    ("v4auth", Bool),
    ("chunksize", Int),
    ("multipartcopychunksize", Int),
    ("multipartcopymaxconcurrency", Int),
    ("multipartcopythresholdsize", Int),
    ("rootdirectory", Text),
    ("storageclass", Text),
    ("useragent", Text),
    ("objectacl", Text),
    ("objectownership", Bool),
    ("forcepathstyle", Bool),
    ("usedualstack", Bool),
    ("accelerate", Bool),
    ("usefipsendpoint", Bool),
    ("loglevel", Text),
];
