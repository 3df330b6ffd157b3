//! The configuration as plain types: what the binary hands down to the other crates.

pub(crate) mod access;
pub(crate) mod activity;
pub(crate) mod auth;
pub(crate) mod cache;
pub(crate) mod http;
pub(crate) mod purge;
pub(crate) mod redirect;
pub(crate) mod redis;
pub(crate) mod replication;
pub(crate) mod scrub;
pub(crate) mod storage;
pub(crate) mod swift;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::value::choice;
use crate::{Access, Activity, Auth, DiskCache, Http, Purge, Redis, Replication, Scrub, Storage};

/// Everything that can be configured. `Default` is what holds with no configuration at all.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// What is logged, and how.
    pub log: Log,
    /// Where content lies, and what may be done to it.
    pub storage: Storage,
    /// How clients show who they are.
    pub auth: Auth,
    /// Who may do what.
    pub access: Access,
    /// The listener for clients and what it says.
    pub http: Http,
    /// Most entries of one page of `/v2/_catalog`.
    pub catalog_max_entries: u64,
    /// Most entries of one page of a tag list.
    pub tags_max_entries: u64,
    /// What a pushed manifest has to fulfil.
    pub validation: Validation,
    /// Checks in the background.
    pub health: Health,
    /// Copies on a disk of this machine, where the store is elsewhere.
    pub cache: Option<DiskCache>,
    /// Where Distribution remembers blobs; ours are remembered in memory.
    pub redis: Option<Redis>,
    /// HTTP caches in front that are told of changes.
    pub purge: Purge,
    /// Reading every blob again, in the background.
    pub scrub: Scrub,
    /// Who pushed each image, and who pulled it last.
    pub activity: Activity,
    /// The stores of other sites.
    pub replication: Replication,
    /// The operator's own door.
    pub admin: Admin,
}

/// Logging.
#[derive(Clone, Debug, PartialEq)]
pub struct Log {
    /// The least severe level that is written.
    pub level: LogLevel,
    /// The form of a line.
    pub format: LogFormat,
    /// Fields added to every line.
    pub fields: BTreeMap<String, String>,
    /// Whether the Apache access log is written.
    pub access_log: bool,
}

choice! {
    /// Severity of a log line.
    LogLevel {
        /// Only what failed.
        Error = "error",
        /// And what is odd.
        Warn = "warn",
        /// And what happens.
        Info = "info",
        /// And how.
        Debug = "debug",
        /// And every step.
        Trace = "trace",
    }
}

choice! {
    /// Form of a log line.
    LogFormat {
        /// `key=value` after a timestamp, for people.
        Text = "text",
        /// One JSON object a line.
        Json = "json",
        /// Distribution's Logstash form; read as JSON.
        Logstash = "logstash",
    }
}

/// What a pushed manifest has to fulfil.
#[derive(Clone, Debug, PartialEq)]
pub struct Validation {
    /// Whether an image's config and layers have to be there when it is pushed.
    pub blobs: bool,
    /// Which URLs a manifest may carry for non-distributable layers; none: any.
    pub manifest_urls: Option<UrlRules>,
    /// Which children of an index have to be there when it is pushed.
    pub index_children: IndexChildren,
}

/// Regular expressions (RE2 syntax) over the URLs in a manifest. With both lists empty no URL is allowed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UrlRules {
    /// A URL has to match one of these, unless the list is empty.
    pub allow: Vec<String>,
    /// A URL must match none of these.
    pub deny: Vec<String>,
}

/// Which children of an index (or manifest list) have to exist when it is pushed.
#[derive(Clone, Debug, PartialEq)]
pub enum IndexChildren {
    /// Every one.
    All,
    /// None: sparse indexes are allowed.
    None,
    /// Those for one of these platforms.
    List(Vec<Platform>),
}

/// A platform as image-spec's indexes name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Platform {
    /// CPU architecture, e.g. `amd64`.
    pub architecture: String,
    /// Operating system, e.g. `linux`.
    pub os: String,
}

/// The background probe of the store.
#[derive(Clone, Debug, PartialEq)]
pub struct Health {
    /// Whether the store is probed.
    pub enabled: bool,
    /// Time between two probes.
    pub interval: Duration,
    /// Failures in a row after which the store counts as unhealthy; at least 1.
    pub threshold: u64,
    /// Ports to look at; nothing depends on them.
    pub tcp: Vec<PortCheck>,
}

/// A port to look at.
#[derive(Clone, Debug, PartialEq)]
pub struct PortCheck {
    /// `host:port`.
    pub address: String,
    /// How long connecting may take.
    pub timeout: Duration,
    /// Time between two looks.
    pub interval: Duration,
    /// Failures in a row that count; at least 1.
    pub threshold: u64,
}

/// The operator's own door.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Admin {
    /// Unix socket of the admin API; none: the binary's default, beside the data.
    pub socket: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Config {
        crate::build::defaults()
    }
}
