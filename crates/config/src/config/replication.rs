//! Other sites, as the configuration describes them.

use crate::Driver;

/// The other sites.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Replication {
    /// Their stores; each name once.
    pub peers: Vec<Peer>,
}

/// The store of another site.
#[derive(Clone, Debug, PartialEq)]
pub struct Peer {
    /// What commands call the site: letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// What holds everything there.
    pub driver: Driver,
}
