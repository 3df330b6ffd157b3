//! Failures as answers: the only table from errors to statuses.

use std::time::Duration;

use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use serde_json::{Value, json};
use wharfinger_access::Refused;
use wharfinger_oci::name::NameError;
use wharfinger_oci::reference::ReferenceError;
use wharfinger_oci::{ErrorCode, RouteError};
use wharfinger_registry::Error;
use wharfinger_registry::blob::verified::BodyError;
use wharfinger_store::StoreErrorKind;

use crate::body::AnswerBody;

/// What handlers answer.
pub(crate) type Answer = Response<AnswerBody>;

/// A request that could not be done: status, code, a message that a person can act on.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) status: StatusCode,
    pub(crate) code: ErrorCode,
    pub(crate) message: String,
    extra: Box<Extra>,
    /// Whether the fault is ours or the store's: logged as an error with its cause.
    pub(crate) fault: bool,
}

/// What few failures have.
#[derive(Debug, Default)]
struct Extra {
    detail: Value,
    headers: HeaderMap,
}

impl Failure {
    pub(crate) fn new(status: StatusCode, code: ErrorCode, message: impl Into<String>) -> Failure {
        let fault = status.is_server_error();
        Failure { status, code, message: message.into(), extra: Box::default(), fault }
    }

    fn detail(mut self, detail: Value) -> Failure {
        self.extra.detail = detail;
        self
    }

    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Failure {
        self.extra.headers.insert(name, value);
        self
    }

    /// A request that does not say what it must.
    pub(crate) fn bad_request(code: ErrorCode, message: impl Into<String>) -> Failure {
        Failure::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// The route is there, the method is not.
    pub(crate) fn method_not_allowed(method: &Method, allowed: &str) -> Failure {
        let message = format!("{method} is not supported here; supported: {allowed}");
        let failure = Failure::new(StatusCode::METHOD_NOT_ALLOWED, ErrorCode::Unsupported, message);
        match HeaderValue::from_str(allowed) {
            Ok(value) => failure.header(ALLOW, value),
            Err(_) => failure,
        }
    }

    /// Switched off in the configuration.
    pub(crate) fn disabled(message: &str) -> Failure {
        Failure::new(StatusCode::METHOD_NOT_ALLOWED, ErrorCode::Unsupported, message)
    }

    pub(crate) fn stalled(patience: Duration) -> Failure {
        let message = format!("no byte of the body came for {} s; resume the upload", patience.as_secs());
        Failure::new(StatusCode::REQUEST_TIMEOUT, ErrorCode::BlobUploadInvalid, message)
    }

    pub(crate) fn broken_body(error: &hyper::Error) -> Failure {
        let message = format!("the body broke off: {error}");
        Failure::new(StatusCode::BAD_REQUEST, ErrorCode::BlobUploadInvalid, message)
    }

    /// The budget of bodies in memory is held by others.
    pub(crate) fn no_memory() -> Failure {
        let message = "too many large bodies at a time (http.limits.buffer_bytes); try again";
        Failure::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Unavailable, message)
            .header(RETRY_AFTER, HeaderValue::from_static("1"))
    }

    /// 416 for a chunk, with what the client needs to go on.
    pub(crate) fn out_of_order(message: String, location: HeaderValue, length: u64) -> Failure {
        Failure::new(StatusCode::RANGE_NOT_SATISFIABLE, ErrorCode::RangeInvalid, message)
            .header(LOCATION, location)
            .header(http::header::RANGE, upload_range(length))
    }

    /// Not allowed; 401 carries the challenge.
    pub(crate) fn refused(refused: &Refused, challenge: Option<HeaderValue>) -> Failure {
        match (refused, challenge) {
            (Refused::Unauthenticated { reason, .. }, Some(challenge)) => {
                Failure::new(StatusCode::UNAUTHORIZED, ErrorCode::Unauthorized, reason)
                    .header(WWW_AUTHENTICATE, challenge)
            }
            (refused, _) => Failure::new(StatusCode::FORBIDDEN, ErrorCode::Denied, refused.reason()),
        }
    }

    /// The answer, as the specification's "Error Codes" section shapes it.
    pub(crate) fn into_answer(self) -> Answer {
        let error =
            json!({ "code": self.code.as_str(), "message": self.message, "detail": self.extra.detail });
        let mut text = json!({ "errors": [error] }).to_string();
        text.push('\n');
        let mut answer = Response::new(AnswerBody::empty());
        *answer.status_mut() = self.status;
        let headers = answer.headers_mut();
        headers.extend(self.extra.headers);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CONTENT_LENGTH, text.len().into());
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        *answer.body_mut() = AnswerBody::from(text);
        answer
    }
}

/// `Range: 0-<last byte>` of an upload; an empty one says `0-0` as Distribution does.
pub(crate) fn upload_range(length: u64) -> HeaderValue {
    let text = format!("0-{}", length.saturating_sub(1));
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("0-0"))
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        use ErrorCode as Code;
        use StatusCode as Status;
        let (status, code) = match &error {
            Error::NameUnknown(_) => (Status::NOT_FOUND, Code::NameUnknown),
            Error::ManifestUnknown(..) | Error::ManifestLost(..) => {
                (Status::NOT_FOUND, Code::ManifestUnknown)
            }
            Error::BlobUnknown(..) | Error::BlobLost(..) => (Status::NOT_FOUND, Code::BlobUnknown),
            Error::UploadUnknown => (Status::NOT_FOUND, Code::BlobUploadUnknown),
            Error::UploadBusy => (Status::TOO_MANY_REQUESTS, Code::TooManyRequests),
            Error::OutOfOrder { .. } => (Status::RANGE_NOT_SATISFIABLE, Code::RangeInvalid),
            Error::SizeMismatch { .. } => (Status::BAD_REQUEST, Code::SizeInvalid),
            Error::DigestMismatch { .. } => (Status::BAD_REQUEST, Code::DigestInvalid),
            Error::ManifestInvalid(_) | Error::UrlRefused(_) => (Status::BAD_REQUEST, Code::ManifestInvalid),
            Error::ManifestBlobUnknown { .. } => (Status::BAD_REQUEST, Code::ManifestBlobUnknown),
            Error::StillTagged(_) => (Status::CONFLICT, Code::Denied),
            Error::Damaged { .. } => (Status::INTERNAL_SERVER_ERROR, Code::Unknown),
            Error::Store(error) if error.kind == StoreErrorKind::Full => {
                (Status::INSUFFICIENT_STORAGE, Code::Unavailable)
            }
            Error::Store(_) | Error::NotReadBack(_) => (Status::SERVICE_UNAVAILABLE, Code::Unavailable),
        };
        let detail = match &error {
            Error::ManifestBlobUnknown { missing, .. } => json!({ "missing": missing }),
            Error::StillTagged(tags) => {
                json!({ "tags": tags.iter().map(ToString::to_string).collect::<Vec<_>>() })
            }
            _ => Value::Null,
        };
        let message = match &error {
            Error::Store(error) if error.kind == StoreErrorKind::Full => "the store is full".to_owned(),
            Error::Store(_) => format!("the store failed; try again ({error})"),
            other => other.to_string(),
        };
        let failure = Failure::new(status, code, message).detail(detail);
        match status {
            Status::SERVICE_UNAVAILABLE | Status::TOO_MANY_REQUESTS => {
                failure.header(RETRY_AFTER, HeaderValue::from_static("1"))
            }
            _ => failure,
        }
    }
}

impl From<BodyError> for Failure {
    fn from(error: BodyError) -> Failure {
        match error {
            BodyError::Damaged { digest, .. } => Error::Damaged { digest }.into(),
            BodyError::Store { digest, source } if source.kind == StoreErrorKind::Invalid => {
                Error::Damaged { digest }.into()
            }
            other => Failure::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Unavailable, other.to_string())
                .header(RETRY_AFTER, HeaderValue::from_static("1")),
        }
    }
}

impl Failure {
    /// The path is no endpoint, or names something that cannot be.
    pub(crate) fn no_route(error: &RouteError, method: &Method) -> Failure {
        let code = match error {
            // What cannot be a tag is a manifest that is not there, for those who only look.
            RouteError::Reference(ReferenceError::Tag(_)) if [Method::GET, Method::HEAD].contains(method) => {
                return Failure::new(StatusCode::NOT_FOUND, ErrorCode::ManifestUnknown, error.to_string());
            }
            RouteError::NotFound => {
                return Failure::new(StatusCode::NOT_FOUND, ErrorCode::Unsupported, "no such endpoint");
            }
            RouteError::Name(NameError::Malformed | NameError::TooLong(_)) => ErrorCode::NameInvalid,
            RouteError::Digest(_) | RouteError::Reference(ReferenceError::Digest(_)) => {
                ErrorCode::DigestInvalid
            }
            RouteError::Reference(ReferenceError::Tag(_)) => ErrorCode::TagInvalid,
        };
        Failure::bad_request(code, error.to_string())
    }
}
