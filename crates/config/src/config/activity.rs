//! The record of pushes and pulls, as the configuration describes it.

use ipnet::IpNet;

/// Who pushed each image, and who pulled it last.
#[derive(Clone, Debug, PartialEq)]
pub struct Activity {
    /// Whether it is kept.
    pub enabled: bool,
    /// Whose `X-Forwarded-For` says where a client is.
    pub proxies: Vec<IpNet>,
}
