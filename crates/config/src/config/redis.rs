//! Redis, as the configuration describes it.

use crate::Secret;

/// A Redis that Distribution remembers blobs in.
#[derive(Clone, Debug, PartialEq)]
pub struct Redis {
    /// `host:port`; of several (`redis.addrs`) the first.
    pub address: String,
    /// User of its access list; none: the default user.
    pub user: Option<String>,
    /// Password, if it asks for one.
    pub password: Option<Secret>,
    /// Number of the database.
    pub database: u64,
}
