//! One cache: how it is reached and what a purge looks like to it.

use std::fmt;
use std::io;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST, InvalidHeaderValue};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::net::TcpStream;

use super::change::Stale;

/// Most bytes of an answer to a purge that are read.
const MAX_ANSWER: usize = 64 * 1024;

pub(crate) static SURROGATE_KEY: HeaderName = HeaderName::from_static("surrogate-key");

/// What a cache understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Varnish with our VCL: `PURGE` of a path, and of everything with the key in `Surrogate-Key`.
    Varnish,
    /// Apache Traffic Server: `PURGE` of a path.
    TrafficServer,
}

impl Kind {
    pub(crate) const ALL: [Kind; 2] = [Kind::Varnish, Kind::TrafficServer];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Kind::Varnish => "varnish",
            Kind::TrafficServer => "traffic-server",
        }
    }

    /// Whether the cache does not have it now. Traffic Server says 404 where it had nothing to remove.
    fn is_done(self, status: StatusCode) -> bool {
        status.is_success() || self == Kind::TrafficServer && status == StatusCode::NOT_FOUND
    }
}

/// A cache that is told.
#[derive(Clone, Debug)]
pub struct Target {
    pub(crate) kind: Kind,
    /// `host:port`.
    address: String,
    host: HeaderValue,
    /// Before every path, without a slash at its end.
    path: String,
    authorization: Option<HeaderValue>,
}

/// Why a cache was not told.
#[derive(Debug, Error)]
pub(super) enum TargetError {
    /// It cannot be reached.
    #[error("no connection: {0}")]
    Unreachable(#[from] io::Error),
    /// It did not answer as HTTP has it.
    #[error("no answer: {0}")]
    Broken(#[from] hyper::Error),
    /// The path cannot be asked for.
    #[error("no request: {0}")]
    Request(#[from] http::Error),
    /// It took too long.
    #[error("no answer within {} ms", .0.as_millis())]
    Slow(Duration),
    /// It does not take purges, or not from here.
    #[error("it answered {0}")]
    Refused(StatusCode),
}

impl Target {
    /// A cache at `address` (`host:port`), whose clients know it as `host`. `credentials` (`user:password`) are sent as
    /// HTTP Basic.
    ///
    /// # Errors
    /// Where `host` cannot stand in a header.
    pub fn new(
        kind: Kind,
        address: &str,
        host: &str,
        path: &str,
        credentials: Option<&str>,
    ) -> Result<Target, InvalidHeaderValue> {
        let authorization = match credentials {
            None => None,
            Some(credentials) => {
                let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(credentials)))?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        Ok(Target {
            kind,
            address: address.to_owned(),
            host: HeaderValue::from_str(host)?,
            path: path.trim_end_matches('/').to_owned(),
            authorization,
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.kind.as_str(), self.address)
    }
}

/// A connection to a cache, kept from one change to the next.
#[derive(Default)]
pub(super) struct Connection(Option<SendRequest<Empty<Bytes>>>);

impl Connection {
    /// Has the cache let go of one thing.
    pub(super) async fn purge(
        &mut self,
        target: &Target,
        stale: &Stale,
        limit: Duration,
    ) -> Result<(), TargetError> {
        let sent = tokio::time::timeout(limit, self.ask(target, stale)).await;
        let status = sent.unwrap_or(Err(TargetError::Slow(limit)));
        if status.is_err() {
            self.0 = None;
        }
        let status = status?;
        if target.kind.is_done(status) { Ok(()) } else { Err(TargetError::Refused(status)) }
    }

    async fn ask(&mut self, target: &Target, stale: &Stale) -> Result<StatusCode, TargetError> {
        // The cache may have closed what was idle; a purge can be sent twice.
        if let Some(mut sender) = self.0.take()
            && let Ok(status) = exchange(&mut sender, request(target, stale)?).await
        {
            self.0 = Some(sender);
            return Ok(status);
        }
        let stream = TcpStream::connect(&target.address).await?;
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let status = exchange(&mut sender, request(target, stale)?).await?;
        self.0 = Some(sender);
        Ok(status)
    }
}

fn request(target: &Target, stale: &Stale) -> Result<Request<Empty<Bytes>>, http::Error> {
    let method = Method::from_bytes(b"PURGE")?;
    let mut request = Request::builder()
        .method(method)
        .uri(format!("{}{}", target.path, stale.path))
        .header(HOST, &target.host);
    if target.kind == Kind::Varnish {
        request = request.header(&SURROGATE_KEY, &stale.key);
    }
    if let Some(authorization) = &target.authorization {
        request = request.header(AUTHORIZATION, authorization);
    }
    request.body(Empty::new())
}

async fn exchange(
    sender: &mut SendRequest<Empty<Bytes>>,
    request: Request<Empty<Bytes>>,
) -> Result<StatusCode, hyper::Error> {
    sender.ready().await?;
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    // What is left unread closes the connection, and the next change opens another.
    let _ = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
    Ok(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_do_not_print() {
        let target = Target::new(Kind::Varnish, "cache:80", "cache", "/", Some("admin:hunter2")).unwrap();
        let text = format!("{target:?} {target}");
        assert!(!text.contains("hunter2") && !text.contains(&STANDARD.encode("admin:hunter2")), "{text}");
        assert!(text.contains("varnish at cache:80"));
    }

    #[test]
    fn what_was_not_there_is_gone_unless_the_cache_would_not_say_so() {
        for (kind, status, done) in [
            (Kind::Varnish, 200, true),
            (Kind::Varnish, 404, false),
            (Kind::TrafficServer, 404, true),
            (Kind::TrafficServer, 403, false),
        ] {
            assert_eq!(kind.is_done(StatusCode::from_u16(status).unwrap()), done, "{kind:?} {status}");
        }
    }
}
