//! What went wrong, by what the caller can do about it.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderMap, Method, StatusCode};

/// Swift's name for one request (`X-Trans-Id`): what the operators of the cluster search their logs for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TransactionId(String);

impl TransactionId {
    /// The id as Swift wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// From the headers of an answer.
    pub(crate) fn of(headers: &HeaderMap) -> Option<TransactionId> {
        let value = headers.get("x-trans-id").or_else(|| headers.get("x-openstack-request-id"))?;
        value.to_str().ok().map(|text| TransactionId(text.to_owned()))
    }
}

impl fmt::Display for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What can be done about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// 404: no such object, container or account, or not on the servers that answered.
    NotFound,
    /// 401: the credentials are wrong.
    Unauthorized,
    /// 403: these credentials may not do this.
    Forbidden,
    /// 202 or 409: something newer stands there, so nothing was stored or deleted. Often a clock that is wrong.
    Superseded,
    /// 412: a condition did not hold.
    Precondition,
    /// 416: the object is shorter than the range asked for.
    Range,
    /// 422, or bytes whose MD5 is not their ETag.
    Checksum,
    /// 413, or more than the caller allowed.
    TooLarge,
    /// 507: Swift has no room.
    Full,
    /// 429 or 498.
    RateLimited,
    /// Swift did not answer, or a body did not move, in time.
    Timeout,
    /// No connection, or it broke before the answer.
    Connection,
    /// A body ended too early and could not be resumed.
    ShortBody,
    /// The segments of a large object are missing or are not what its manifest says.
    Damaged,
    /// 409 to the deletion of a container: there are objects in it.
    NotEmpty,
    /// 408, 499, 500, 502, 503, 504.
    Unavailable,
    /// An answer that makes no sense.
    Protocol,
    /// A request that cannot be made: a bad name, header or URL, or a feature that the cluster lacks.
    Invalid,
}

/// What was tried, on what, and how it ended. `Display` is one line; clones are cheap.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    message: String,
    method: Option<Method>,
    container: Option<String>,
    object: Option<String>,
    status: Option<StatusCode>,
    transaction: Option<TransactionId>,
    attempts: u32,
    retry_after: Option<Duration>,
    /// The body of a 400, which can be a report on segments.
    detail: Option<Bytes>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of `kind` about which `message` says more.
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error(Arc::new(Inner {
            kind,
            message: message.into(),
            method: None,
            container: None,
            object: None,
            status: None,
            transaction: None,
            attempts: 0,
            retry_after: None,
            detail: None,
            source: None,
        }))
    }

    /// What an answer that is not a success means. `detail` is what its body says.
    pub(crate) fn answer(status: StatusCode, headers: &HeaderMap, detail: &str) -> Error {
        let mut message = status.to_string();
        if !detail.is_empty() {
            message = format!("{message}: {detail}");
        }
        let mut error = Error::new(kind_of(status), message);
        let inner = Arc::make_mut(&mut error.0);
        inner.status = Some(status);
        inner.transaction = TransactionId::of(headers);
        inner.retry_after = headers
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok())
            .and_then(|text| text.trim().parse().ok())
            .map(Duration::from_secs);
        error
    }

    /// An error whose message is that of `source` and of what is below it.
    pub(crate) fn caused(
        kind: ErrorKind,
        what: &str,
        source: impl StdError + Send + Sync + 'static,
    ) -> Error {
        let message = format!("{what}: {}", chain(&source));
        Error::new(kind, message).because(source)
    }

    /// With another kind.
    pub(crate) fn of_kind(mut self, kind: ErrorKind) -> Error {
        Arc::make_mut(&mut self.0).kind = kind;
        self
    }

    /// What it says, without what was tried.
    pub(crate) fn message(&self) -> String {
        self.0.message.clone()
    }

    /// With another message.
    pub(crate) fn saying(mut self, message: impl Into<String>) -> Error {
        Arc::make_mut(&mut self.0).message = message.into();
        self
    }

    /// With the error that it comes from.
    pub(crate) fn because(mut self, source: impl StdError + Send + Sync + 'static) -> Error {
        Arc::make_mut(&mut self.0).source = Some(Arc::new(source));
        self
    }

    /// With the body of the answer.
    pub(crate) fn with_detail(mut self, body: Bytes) -> Error {
        Arc::make_mut(&mut self.0).detail = Some(body);
        self
    }

    /// The body of the answer, if it was a 400.
    pub(crate) fn detail(&self) -> Option<&[u8]> {
        self.0.detail.as_deref()
    }

    /// With Swift's name for a request, if there is one.
    pub(crate) fn with_transaction(mut self, transaction: Option<TransactionId>) -> Error {
        if transaction.is_some() {
            Arc::make_mut(&mut self.0).transaction = transaction;
        }
        self
    }

    /// With what was tried.
    pub(crate) fn tried(mut self, method: &Method, container: Option<&str>, object: Option<&str>) -> Error {
        let inner = Arc::make_mut(&mut self.0);
        inner.method = Some(method.clone());
        inner.container = container.map(str::to_owned);
        inner.object = object.map(str::to_owned);
        self
    }

    /// With how often it was tried.
    pub(crate) fn after(mut self, attempts: u32) -> Error {
        Arc::make_mut(&mut self.0).attempts = attempts;
        self
    }

    /// With the answer that it is about.
    pub(crate) fn answered(mut self, status: StatusCode, headers: &HeaderMap) -> Error {
        let inner = Arc::make_mut(&mut self.0);
        inner.status = Some(status);
        inner.transaction = TransactionId::of(headers);
        self
    }

    /// What can be done about it.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The method of the request, if there was one.
    pub fn method(&self) -> Option<&Method> {
        self.0.method.as_ref()
    }

    /// The container that it was about.
    pub fn container(&self) -> Option<&str> {
        self.0.container.as_deref()
    }

    /// The object that it was about.
    pub fn object(&self) -> Option<&str> {
        self.0.object.as_deref()
    }

    /// The status of the last answer.
    pub fn status(&self) -> Option<StatusCode> {
        self.0.status
    }

    /// Swift's name for the last request.
    pub fn transaction(&self) -> Option<&TransactionId> {
        self.0.transaction.as_ref()
    }

    /// How many times it was tried; 0 if no request was made.
    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }

    /// How long Swift asked to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Whether the same call may succeed later, with nothing changed by us.
    pub fn is_transient(&self) -> bool {
        use ErrorKind::{Connection, Full, RateLimited, ShortBody, Timeout, Unavailable};
        matches!(self.0.kind, Connection | Full | RateLimited | ShortBody | Timeout | Unavailable)
    }
}

/// The messages of an error and of what is below it.
pub(crate) fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut message = error.to_string();
    let mut below = error.source();
    while let Some(error) = below {
        let text = error.to_string();
        if !message.ends_with(&text) {
            message = format!("{message}: {text}");
        }
        below = error.source();
    }
    message
}

/// What a status means to the caller (the table of the Swift API's response codes, and `swob.py`).
fn kind_of(status: StatusCode) -> ErrorKind {
    match status.as_u16() {
        401 => ErrorKind::Unauthorized,
        403 => ErrorKind::Forbidden,
        404 | 410 => ErrorKind::NotFound,
        202 | 409 => ErrorKind::Superseded,
        412 => ErrorKind::Precondition,
        413 => ErrorKind::TooLarge,
        416 => ErrorKind::Range,
        422 => ErrorKind::Checksum,
        429 | 498 => ErrorKind::RateLimited,
        507 => ErrorKind::Full,
        408 | 499 | 500 | 502 | 503 | 504 => ErrorKind::Unavailable,
        400..500 | 501 | 505 => ErrorKind::Invalid,
        _ => ErrorKind::Protocol,
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        if let Some(method) = &inner.method {
            write!(f, "{method}")?;
            match (&inner.container, &inner.object) {
                (Some(container), Some(object)) => write!(f, " {container}/{object}: ")?,
                (Some(container), None) => write!(f, " container {container}: ")?,
                (None, Some(other)) => write!(f, " {other}: ")?,
                (None, None) => write!(f, " account: ")?,
            }
        }
        f.write_str(&inner.message)?;
        match (&inner.transaction, inner.attempts) {
            (Some(id), 0 | 1) => write!(f, " (transaction {id})"),
            (Some(id), attempts) => write!(f, " (transaction {id}, {attempts} attempts)"),
            (None, 0 | 1) => Ok(()),
            (None, attempts) => write!(f, " ({attempts} attempts)"),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line_with_what_where_and_the_transaction() {
        let mut headers = HeaderMap::new();
        headers.insert("x-trans-id", "tx1-2".parse().expect("a header"));
        headers.insert(RETRY_AFTER, "7".parse().expect("a header"));
        let error = Error::answer(StatusCode::SERVICE_UNAVAILABLE, &headers, "")
            .tried(&Method::PUT, Some("box"), Some("a/b"))
            .after(3);
        assert_eq!(error.to_string(), "PUT box/a/b: 503 Service Unavailable (transaction tx1-2, 3 attempts)");
        assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
        assert_eq!((error.kind(), error.is_transient()), (ErrorKind::Unavailable, true));
    }

    #[test]
    fn every_status_that_swift_uses_has_its_kind() {
        let kind = |status: u16| kind_of(StatusCode::from_u16(status).expect("a status"));
        for status in [408, 499, 500, 502, 503, 504] {
            assert_eq!(kind(status), ErrorKind::Unavailable);
        }
        assert_eq!((kind(429), kind(498)), (ErrorKind::RateLimited, ErrorKind::RateLimited));
        assert_eq!((kind(404), kind(409)), (ErrorKind::NotFound, ErrorKind::Superseded));
        assert_eq!((kind(507), kind(301)), (ErrorKind::Full, ErrorKind::Protocol));
        assert_eq!((kind(400), kind(405)), (ErrorKind::Invalid, ErrorKind::Invalid));
    }
}
