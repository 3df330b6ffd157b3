//! The listener for clients and what it says.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::Secret;
use crate::value::{choice, quoted};

/// The HTTP server.
#[derive(Clone, Debug, PartialEq)]
pub struct Http {
    /// Where it listens.
    pub listen: Listen,
    /// URL under which clients reach it (`https://registry.example`); none: from the request.
    pub host: Option<String>,
    /// Path before `/v2/`: begins with a slash and ends without one; none: at the root.
    pub prefix: Option<String>,
    /// Key of the upload state's signature, shared by all instances; none: made by the binary.
    pub secret: Option<Secret>,
    /// Answer relative URLs in `Location`.
    pub relative_urls: bool,
    /// How long requests may go on after a stop signal.
    pub drain_timeout: Duration,
    /// Headers added to every answer.
    pub headers: BTreeMap<String, Vec<String>>,
    /// TLS on the listener; none: plain HTTP.
    pub tls: Option<Tls>,
    /// The second listener for health, metrics and the like.
    pub debug: Option<Debug>,
    /// Offer HTTP/2 over TLS.
    pub http2: bool,
    /// Speak HTTP/2 without TLS.
    pub h2c: bool,
    /// Bounds on what a client may take.
    pub limits: Limits,
}

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// A TCP port.
    Tcp {
        /// Host name or address without brackets; none: all interfaces.
        host: Option<String>,
        /// The port; 0: any free one.
        port: u16,
    },
    /// A Unix socket.
    Unix(PathBuf),
}

impl Listen {
    /// Parses `host:port`, `:port` (all interfaces), `[::1]:port`; the port may be `http` or `https`.
    ///
    /// # Errors
    /// What an address has to look like.
    pub fn parse_tcp(text: &str) -> Result<Listen, String> {
        let wrong = || {
            format!("has to be an address such as :5000, 127.0.0.1:5000 or [::1]:5000, not {}", quoted(text))
        };
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let host = match host.strip_prefix('[').map(|rest| rest.strip_suffix(']')) {
            Some(inner) => inner.filter(|inner| inner.contains(':')).ok_or_else(wrong)?,
            None if host.contains([':', '/', ' ', '[', ']']) => return Err(wrong()),
            None => host,
        };
        let port = match port {
            "http" => 80,
            "https" => 443,
            number if number.bytes().all(|byte| byte.is_ascii_digit()) => {
                number.parse().map_err(|_| wrong())?
            }
            _ => return Err(wrong()),
        };
        Ok(Listen::Tcp { host: (!host.is_empty()).then(|| host.to_owned()), port })
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Listen::Tcp { host: None, port } => write!(f, ":{port}"),
            Listen::Tcp { host: Some(host), port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Listen::Tcp { host: Some(host), port } => write!(f, "{host}:{port}"),
            Listen::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// TLS of the listener.
#[derive(Clone, Debug, PartialEq)]
pub struct Tls {
    /// PEM file with the certificate chain.
    pub certificate: PathBuf,
    /// PEM file with the private key.
    pub key: PathBuf,
    /// PEM files with the authorities of client certificates; empty: clients are not asked.
    pub client_cas: Vec<PathBuf>,
    /// What is asked of clients when there are `client_cas`.
    pub client_auth: ClientAuth,
    /// The oldest protocol that is spoken.
    pub minimum: TlsVersion,
}

choice! {
    /// What is asked of a client's certificate.
    ClientAuth {
        /// Asked for, neither required nor verified.
        Request = "request-client-cert",
        /// Required, not verified.
        RequireAny = "require-any-client-cert",
        /// Verified if one is given.
        VerifyIfGiven = "verify-client-cert-if-given",
        /// Required and verified.
        RequireAndVerify = "require-and-verify-client-cert",
    }
}

choice! {
    /// A version of TLS.
    TlsVersion {
        /// Not spoken; 1.2 is the oldest.
        Tls10 = "tls1.0",
        /// Not spoken; 1.2 is the oldest.
        Tls11 = "tls1.1",
        /// TLS 1.2.
        Tls12 = "tls1.2",
        /// TLS 1.3.
        Tls13 = "tls1.3",
    }
}

/// The second listener.
#[derive(Clone, Debug, PartialEq)]
pub struct Debug {
    /// Where it listens (TCP).
    pub listen: Listen,
    /// Path of the Prometheus metrics; none: not served.
    pub prometheus_path: Option<String>,
}

/// Bounds on what a client may take.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Most bytes of a request's head.
    pub max_header_bytes: usize,
    /// Time for a request's head to arrive, from the end of the one before.
    pub header_timeout: Duration,
    /// Longest time without a byte of a body, either way.
    pub body_progress_timeout: Duration,
    /// Most open connections; none: no bound but the system's.
    pub max_connections: Option<usize>,
    /// Bytes that large pieces of copied bodies may hold in memory.
    pub buffer_bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_host_means_all_interfaces() {
        assert_eq!(Listen::parse_tcp(":5000"), Ok(Listen::Tcp { host: None, port: 5000 }));
        assert_eq!(Listen::parse_tcp("[::1]:80"), Ok(Listen::Tcp { host: Some("::1".into()), port: 80 }));
        for text in ["localhost:5000", ":0", "[::1]:5000"] {
            assert_eq!(Listen::parse_tcp(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn an_address_needs_a_port() {
        for text in
            ["", "5000", "localhost", "::1:5000", "[::1]", ":70000", ":+80", "http://x:80", "[x]:80", ":"]
        {
            assert!(Listen::parse_tcp(text).is_err(), "{text:?}");
        }
    }
}
