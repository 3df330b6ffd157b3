//! Redis, as the configuration describes it.

use std::path::PathBuf;
use std::time::Duration;

use crate::Secret;

/// The Redis that instances share, and in which Distribution remembers blobs.
#[derive(Clone, Debug, PartialEq)]
pub struct Redis {
    /// `host:port` (`redis.addr`, or all of `redis.addrs`); not empty.
    pub addresses: Vec<String>,
    /// User of its access list; none: the default user.
    pub user: Option<String>,
    /// Password, if it asks for one.
    pub password: Option<Secret>,
    /// Number of the database.
    pub database: u32,
    /// How to speak TLS; none: plain.
    pub tls: Option<RedisTls>,
    /// How long connecting may take.
    pub connect: Duration,
    /// How long an answer may take.
    pub answer: Duration,
}

/// TLS to Redis.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RedisTls {
    /// Authorities that may have signed its certificate; none: those of the system.
    pub roots: Vec<PathBuf>,
    /// Our certificate, if it asks for one.
    pub certificate: Option<PathBuf>,
    /// The key of that.
    pub key: Option<PathBuf>,
}
