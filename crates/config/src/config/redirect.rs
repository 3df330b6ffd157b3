//! Redirects of clients to the store itself, as the configuration describes them.

use std::time::Duration;

use ipnet::IpNet;

/// Which pulls of blobs are answered by a URL of the store's own.
#[derive(Clone, Debug, PartialEq)]
pub struct Redirect {
    /// Never send one, whatever the rules say.
    pub disabled: bool,
    /// Which repositories, to whom. Any of them will do; empty: none is sent.
    pub rules: Vec<RedirectRule>,
    /// Blobs of fewer bytes are sent from here.
    pub min_size: u64,
    /// How long a URL is good for.
    pub lifetime: Duration,
    /// Scheme and authority of the URLs, perhaps with a path before Swift's, without a slash at the end; none: as the
    /// session says.
    pub base_url: Option<String>,
    /// Proxies in front whose `X-Forwarded-For` is believed.
    pub proxies: Vec<IpNet>,
}

/// One rule. Neither list is empty.
#[derive(Clone, Debug, PartialEq)]
pub struct RedirectRule {
    /// Globs over repository names; `*` matches slashes too.
    pub repositories: Vec<String>,
    /// Where the clients are that can reach the store.
    pub networks: Vec<IpNet>,
}
