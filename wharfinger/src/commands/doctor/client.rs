//! A client of HTTP servers: one request, its body hashed as it comes.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::{ClientConfig, RootCertStore};
use tokio::time::timeout;
use wharfinger_oci::manifest::MAX_MANIFEST_SIZE;
use wharfinger_oci::{Algorithm, Digest, Hasher};

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a server may take until it answers, and between two pieces of a body.
const PATIENCE: Duration = Duration::from_secs(20);

/// An answer that came whole.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// Bytes of the body.
    pub(super) length: u64,
    /// Their digest.
    pub(super) digest: Digest,
    /// The body itself, where it is not longer than a manifest may be.
    pub(super) body: Option<Bytes>,
}

/// Why there is no whole answer.
pub(super) enum Failure {
    /// Nobody answered.
    Silent(String),
    /// The body ended before its end.
    BrokeOff(String),
}

/// Connections to servers. Cheap to clone.
#[derive(Clone)]
pub(super) struct Client(Pool<HttpsConnector<HttpConnector>, Empty<Bytes>>);

impl Client {
    /// Trusts the system's certificates.
    pub(super) fn new() -> Result<Client> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT));
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .context("TLS")?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let https = HttpsConnector::from((tcp, tls));
        Ok(Client(Pool::builder(TokioExecutor::new()).build(https)))
    }

    /// Sends a request and reads its whole answer.
    pub(super) async fn send(&self, request: Request<()>, algorithm: Algorithm) -> Result<Answer, Failure> {
        let request = request.map(|()| Empty::new());
        let late = || Failure::Silent(format!("no answer within {PATIENCE:?}"));
        let answer = timeout(PATIENCE, self.0.request(request)).await.map_err(|_| late())?;
        let answer = answer.map_err(|error| Failure::Silent(format!("no answer: {}", chain(&error))))?;
        read(answer, algorithm).await
    }
}

async fn read(answer: Response<Incoming>, algorithm: Algorithm) -> Result<Answer, Failure> {
    let (head, mut body) = answer.into_parts();
    let (mut hasher, mut length, mut kept) = (Hasher::new(algorithm), 0, Vec::new());
    loop {
        let broke_off =
            |why: String| Failure::BrokeOff(format!("its body breaks off after {length} bytes: {why}"));
        let frame = match timeout(PATIENCE, body.frame()).await {
            Ok(None) => break,
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(error))) => return Err(broke_off(chain(&error))),
            Err(_) => return Err(broke_off(format!("nothing more within {PATIENCE:?}"))),
        };
        if let Ok(piece) = frame.into_data() {
            hasher.update(&piece);
            length += piece.len() as u64;
            if length <= MAX_MANIFEST_SIZE as u64 {
                kept.extend_from_slice(&piece);
            }
        }
    }
    let body = (length == kept.len() as u64).then(|| Bytes::from(kept));
    Ok(Answer { status: head.status, headers: head.headers, length, digest: hasher.finish(), body })
}

/// An error with its causes; the pool's own words say nothing.
fn chain(error: &dyn StdError) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
