//! How the server behaves; made from the configuration by the binary.

use std::time::Duration;

use http::{HeaderName, HeaderValue};
use wharfinger_access::{Proxies, RedirectRules};

use crate::purge::PurgeOptions;

/// How the server behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// Scheme and authority for `Location`, instead of what the request says.
    pub host: Option<String>,
    /// Path before `/v2/`, with a leading and without a trailing slash; empty for none.
    pub prefix: String,
    /// Write `Location` without scheme and authority.
    pub relative_urls: bool,
    /// Added to every answer.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Whether tags, manifests and blobs may be deleted.
    pub delete_enabled: bool,
    /// Whether all writes are refused.
    pub read_only: bool,
    /// Largest page of the catalog.
    pub catalog_max: usize,
    /// Largest page of a tag list.
    pub tags_max: usize,
    /// Whether requests are written to standard output in Apache's combined format.
    pub access_log: bool,
    /// How long a connection may take to send a request's headers, counted from the end of the one before.
    pub header_timeout: Duration,
    /// How long a body, in or out, may stand still.
    pub body_progress_timeout: Duration,
    /// Largest size of a request's headers, in bytes.
    pub max_header_bytes: usize,
    /// Most connections at a time; `None`: as many as the system allows.
    pub max_connections: Option<usize>,
    /// How long requests may go on after the server was told to stop.
    pub drain_timeout: Duration,
    /// Offer HTTP/2 on TLS connections.
    pub http2: bool,
    /// Speak HTTP/2 on plain connections that begin with its preface.
    pub h2c: bool,
    /// The caches in front that are told of changes.
    pub purge: PurgeOptions,
    /// Which pulls of blobs are answered by a URL of the store's own; none: no pull is.
    pub redirects: Option<Redirects>,
    /// Whose word counts on where a client is, for the record of pushes and pulls; none: there is no record.
    pub activity: Option<Proxies>,
}

/// Redirects of clients to the store itself.
#[derive(Clone, Debug)]
pub struct Redirects {
    /// Which repositories, to whom.
    pub rules: RedirectRules,
    /// Blobs of fewer bytes are sent from here.
    pub min_size: u64,
    /// How long a URL is good for.
    pub lifetime: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            host: None,
            prefix: String::new(),
            relative_urls: false,
            headers: Vec::new(),
            delete_enabled: false,
            read_only: false,
            catalog_max: 1_000,
            tags_max: 1_000,
            access_log: false,
            header_timeout: Duration::from_secs(60),
            body_progress_timeout: Duration::from_secs(60),
            max_header_bytes: 64 * 1024,
            max_connections: None,
            drain_timeout: Duration::from_secs(30),
            http2: true,
            h2c: false,
            purge: PurgeOptions::default(),
            redirects: None,
            activity: None,
        }
    }
}
