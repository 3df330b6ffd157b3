//! The proxy's access log: what really reached Swift.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

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
pub struct Mark(pub(super) u64);

/// The length of the log.
pub(super) fn length(log: &Path) -> u64 {
    fs::metadata(log).map_or(0, |meta| meta.len())
}

/// Every request in the log from byte `start` on, in the order in which they ended.
pub(super) fn read(log: &Path, start: u64) -> Vec<ProxyRequest> {
    let bytes = fs::read(log).unwrap_or_default();
    let start = usize::try_from(start).unwrap_or(usize::MAX).min(bytes.len());
    String::from_utf8_lossy(&bytes[start..]).lines().filter_map(parse).collect()
}

/// Leaves out the support's own requests, and what middleware asked for on their behalf.
pub(super) fn of_others(mut requests: Vec<ProxyRequest>) -> Vec<ProxyRequest> {
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
