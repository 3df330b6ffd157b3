//! Caches in front, as the configuration describes them.

use std::time::Duration;

use crate::Secret;
use crate::value::{FromScalar, choice};

/// The caches in front that are told of changes.
#[derive(Clone, Debug, PartialEq)]
pub struct Purge {
    /// Longest time that an answer waits for them.
    pub timeout: Duration,
    /// The caches.
    pub endpoints: Vec<PurgeEndpoint>,
}

/// A cache in front.
#[derive(Clone, Debug, PartialEq)]
pub struct PurgeEndpoint {
    /// How it is reached.
    pub url: PurgeUrl,
    /// What it understands.
    pub kind: FrontKind,
    /// The name that clients know it by, where that is another than the URL's.
    pub host: Option<String>,
}

choice! {
    /// What a cache understands.
    FrontKind {
        /// Varnish with the shipped VCL.
        Varnish = "varnish",
        /// Apache Traffic Server.
        TrafficServer = "traffic-server",
    }
}

/// An address for purges.
#[derive(Clone, Debug, PartialEq)]
pub struct PurgeUrl {
    /// `host:port`.
    pub address: String,
    /// What stands before every path; empty for nothing.
    pub path: String,
    /// `user:password`, decoded.
    pub credentials: Option<Secret>,
}

impl FromScalar for PurgeUrl {
    /// No message repeats the text: there may be a password in it.
    fn from_scalar(text: &str) -> Result<Self, String> {
        if text.starts_with("https://") {
            return Err(
                "purges are sent without TLS: give an http:// address in a network of your own".into()
            );
        }
        let wrong = || "has to be a URL such as http://10.0.0.7:6081".to_owned();
        let rest = text.strip_prefix("http://").ok_or_else(wrong)?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (credentials, host) = match authority.rsplit_once('@') {
            Some((credentials, host)) => (Some(Secret::new(decoded(credentials).ok_or_else(wrong)?)), host),
            None => (None, authority),
        };
        let printable = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        if host.is_empty() || !printable(host) || !printable(path) || path.contains(['?', '#']) {
            return Err(wrong());
        }
        let port = host.rsplit_once(':').map(|(_, port)| port).filter(|port| !port.ends_with(']'));
        if port.is_some_and(|port| port.parse::<u16>().is_err()) {
            return Err(wrong());
        }
        let address = if port.is_some() { host.to_owned() } else { format!("{host}:80") };
        Ok(PurgeUrl { address, path: path.trim_end_matches('/').to_owned(), credentials })
    }
}

/// Percent-decoded text.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, tail) = tail.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = tail;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        let parts = |text: &str| {
            let url = PurgeUrl::from_scalar(text).unwrap();
            let credentials = url.credentials.map(|secret| secret.expose().to_owned());
            (url.address, url.path, credentials)
        };
        let found = |address: &str, path: &str, credentials: Option<&str>| {
            (address.to_owned(), path.to_owned(), credentials.map(str::to_owned))
        };
        assert_eq!(parts("http://cache"), found("cache:80", "", None));
        assert_eq!(parts("http://[::1]:6081/"), found("[::1]:6081", "", None));
        assert_eq!(parts("http://[::1]"), found("[::1]:80", "", None));
        assert_eq!(parts("http://u:p%40ss@10.0.0.7:81/a/"), found("10.0.0.7:81", "/a", Some("u:p@ss")));
    }

    #[test]
    fn what_is_no_address_is_refused_and_not_repeated() {
        for text in [
            "https://u:hunter2@cache",
            "cache:6081",
            "http://",
            "http://u:hunter2@",
            "http://u:hunter2@cache:x",
            "http://u:hunter2%4@cache",
            "http://cache/?hunter2",
        ] {
            let message = PurgeUrl::from_scalar(text).unwrap_err();
            assert!(!message.contains("hunter2"), "{message}");
        }
    }
}
