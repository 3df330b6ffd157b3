//! The disk cache.

use super::{Key, Kind};

pub(super) const KEYS: &[Key] = &[
    Key::new(
        "cache",
        Kind::Section,
        "Verified copies of what is pulled, on a disk of this machine. Not used with storage.filesystem.",
    )
    .ours(),
    Key::new("cache.directory", Kind::Path, "A directory of its own; its content may be deleted at any time.")
        .example("/var/cache/wharfinger")
        .ours(),
    Key::new("cache.size", Kind::Size, "What the copies may take together.").default("10GiB").ours(),
    Key::new(
        "cache.stale_tag_limit",
        Kind::Duration,
        "For how long pulls of what is cached go on by the last known tags and links while the store cannot be asked.",
    )
    .default("1h")
    .ours(),
];
