//! The proxy's access log: what really reached Swift.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{PATIENCE, SwiftCluster};
use crate::http::Request;
use crate::process::wait_until;

/// The user agent of the support's own requests; they do not count.
pub(super) const OWN_AGENT: &str = "wharfinger-test-support";

/// A request that the proxy has answered, or that its client has left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyRequest {
    /// Method.
    pub method: String,
    /// Path and query as they came, `/v1/AUTH_test/...`.
    pub path: String,
    /// Status; 499 where the client went away.
    pub status: u16,
    /// Bytes of the request's body.
    pub received: u64,
    /// Bytes of the answer's body.
    pub sent: u64,
    /// Swift's transaction, `X-Trans-Id` in the answer.
    pub transaction: String,
    /// The middleware that made this request by itself (`SLO`, `DLO`, `BD`, ...); `None` for a client's.
    pub source: Option<String>,
    /// The client's user agent.
    pub agent: String,
}

impl ProxyRequest {
    /// Whether this is a request that changes something.
    pub fn is_write(&self) -> bool {
        !matches!(self.method.as_str(), "GET" | "HEAD" | "OPTIONS")
    }
}

/// A moment in the access log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(u64);

/// What reached the proxy.
impl SwiftCluster {
    /// This moment: [`SwiftCluster::since`] tells what came after it.
    pub fn mark(&self) -> Mark {
        self.settle();
        Mark(length(&self.proxy_log()))
    }

    /// The requests since `mark` that have ended, in the order in which they ended: of clients, and those that
    /// middleware made for them ([`ProxyRequest::source`]), without the support's own.
    pub fn since(&self, mark: Mark) -> Vec<ProxyRequest> {
        self.settle();
        of_others(read(&self.proxy_log(), mark.0))
    }

    /// Every request since the start, as [`SwiftCluster::since`].
    pub fn access_log(&self) -> Vec<ProxyRequest> {
        self.since(Mark(0))
    }

    /// Waits until the log shows a request of ours: what was answered before it, the log shows too.
    fn settle(&self) {
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        let path = format!("/v1/log-marker/{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let start = length(&self.proxy_log());
        let request = Request::new("HEAD", &path).header("User-Agent", OWN_AGENT);
        self.client.send(&request).expect("the proxy answers");
        wait_until("the proxy's log to show a request", PATIENCE, || {
            read(&self.proxy_log(), start).iter().any(|request| request.path == path)
        });
    }
}

/// The length of the log.
fn length(log: &Path) -> u64 {
    fs::metadata(log).map_or(0, |meta| meta.len())
}

/// Every request in the log from byte `start` on, in the order in which they ended.
fn read(log: &Path, start: u64) -> Vec<ProxyRequest> {
    let bytes = fs::read(log).unwrap_or_default();
    let start = usize::try_from(start).unwrap_or(usize::MAX).min(bytes.len());
    String::from_utf8_lossy(&bytes[start..]).lines().filter_map(parse).collect()
}

/// Leaves out the support's own requests, and what middleware asked for on their behalf.
fn of_others(mut requests: Vec<ProxyRequest>) -> Vec<ProxyRequest> {
    let own: HashSet<String> = requests
        .iter()
        .filter(|request| request.agent == OWN_AGENT)
        .map(|request| request.transaction.clone())
        .collect();
    requests.retain(|request| !own.contains(&request.transaction));
    requests
}

/// A line ends with what `ACCESS_LINE` of `conf.rs` asks for; what stands before it differs between versions.
fn parse(line: &str) -> Option<ProxyRequest> {
    let (_, fields) = line.split_once("request ")?;
    let mut fields = fields.split(' ').map(unquote);
    let mut next = || fields.next();
    let number = |text: String| text.parse().unwrap_or(0);
    Some(ProxyRequest {
        method: next()?,
        path: next()?,
        status: next()?.parse().ok()?,
        received: next().map(number)?,
        sent: next().map(number)?,
        transaction: next()?,
        source: next().filter(|source| source != "-"),
        agent: next()?,
    })
}

/// Undoes the one quoting that the log adds.
fn unquote(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
