//! Other sites.

use super::{Key, Kind, storage, swift};

/// Where the storage of a peer stands.
const PEER: &str = "replication.peers.*";

pub(super) const KEYS: &[Key] = &[
    Key::new("replication", Kind::Section, "Other sites, each with a store of its own.").ours(),
    Key::new(
        "replication.peers",
        Kind::Sections,
        "The other sites' stores, which `compare` and what repairs from another copy read from.",
    )
    .example("[{name: codfw, storage: {swift: {authurl: \"https://swift.example.org/auth/v1.0\", username: \"docker:registry\", password: secret, container: registry}}}]")
    .ours(),
    Key::new("replication.peers.*.name", Kind::Text, "What commands call the site: `--with NAME`.")
        .example("codfw")
        .ours(),
    Key::new(
        "replication.peers.*.storage",
        Kind::Section,
        "The site's store: swift or filesystem, with the keys that they have in storage.",
    )
    .ours(),
];

/// The drivers of a peer, with the keys that they have in `storage`.
pub(super) fn drivers() -> Vec<Key> {
    let is_of =
        |key: &&Key| ["storage.filesystem", "storage.swift"].iter().any(|of| key.path.starts_with(of));
    let keys = storage::KEYS.iter().chain(swift::KEYS).filter(is_of);
    // Leaked once, as the table lives as long as the program.
    keys.map(|key| Key { path: format!("{PEER}.{}", key.path).leak(), ..*key }.ours()).collect()
}
