//! What went wrong, by what the caller can do about it.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};

/// Swift's name for one request (`X-Trans-Id`): what the operators of the cluster search their logs for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TransactionId(String);

impl TransactionId {
    /// The id as Swift wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn new(text: impl Into<String>) -> TransactionId {
        TransactionId(text.into())
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
            source: None,
        }))
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

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
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
