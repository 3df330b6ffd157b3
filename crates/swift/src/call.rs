//! One call: a request with its attempts, and the session that it needs.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, HeaderMap, IF_NONE_MATCH};
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use hyper::body::Incoming;

use crate::auth::Token;
use crate::client::Inner;
use crate::pace::{Pace, RequestBody};
use crate::patience::Patience;
use crate::retry::Tries;
use crate::transport::Exchange;
use crate::url::encode;
use crate::{Error, ErrorKind, Result, TransactionId};

/// Bodies in memory from this size on wait for `100 Continue`: below it, sending them in vain costs less.
const EXPECT_FROM: usize = 1024 * 1024;
/// Most bytes of an answer that says nothing beyond its headers.
pub(crate) const SMALL: usize = 64 * 1024;
/// Most bytes of the body of a failure that are read.
const DETAIL: usize = 64 * 1024;

/// What a request is about.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    Info,
    Account,
    Container(Arc<str>),
    Object(Arc<str>, String),
}

/// A request that can be made again and again.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) target: Target,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// How long an answer may take.
    pub(crate) limit: Duration,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn transaction(&self) -> Option<TransactionId> {
        TransactionId::of(&self.headers)
    }

    pub(crate) fn error(&self, kind: ErrorKind, message: impl Into<String>) -> Error {
        Error::new(kind, message).answered(self.status, &self.headers)
    }
}

impl Call {
    /// Names what the error is about.
    pub(crate) fn name(&self, error: Error) -> Error {
        match &self.target {
            Target::Info => error.tried(&self.method, None, Some("/info")),
            Target::Account => error.tried(&self.method, None, None),
            Target::Container(container) => error.tried(&self.method, Some(container), None),
            Target::Object(container, object) => error.tried(&self.method, Some(container), Some(object)),
        }
    }

    /// The request, with the session's URL and token.
    pub(crate) fn request(&self, token: &Token, body: RequestBody) -> Result<Request<RequestBody>> {
        let uri = match &self.target {
            Target::Info => token.storage.info().join("", &self.query)?,
            Target::Account => token.storage.join("", &self.query)?,
            Target::Container(container) => {
                token.storage.join(&format!("/{}", encode(container)), &self.query)?
            }
            Target::Object(container, object) => {
                token.storage.join(&format!("/{}/{}", encode(container), encode(object)), &self.query)?
            }
        };
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = self.headers.clone();
        if !matches!(self.target, Target::Info) {
            request.headers_mut().insert("x-auth-token", token.value.clone());
        }
        if matches!(self.method, Method::PUT | Method::POST) && request.body().is_end_stream() {
            request.headers_mut().insert(CONTENT_LENGTH, 0.into());
        }
        Ok(request)
    }
}

impl Inner {
    /// Makes the call until it succeeds or cannot. The body of the answer is still to come.
    pub(crate) async fn send(&self, call: &Call) -> Result<Response<Incoming>> {
        self.attempts(call, None).await.map(|(answer, _)| answer)
    }

    /// Makes the call until it succeeds or cannot, with the whole body of the answer.
    pub(crate) async fn fetch(&self, call: &Call, limit: usize) -> Result<Answer> {
        let (answer, body) = self.attempts(call, Some(limit)).await?;
        let (parts, _) = answer.into_parts();
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }

    async fn attempts(&self, call: &Call, collect: Option<usize>) -> Result<(Response<Incoming>, Bytes)> {
        let mut tries = Tries::new(&self.options.retry, &self.bucket);
        let mut renewed = false;
        loop {
            let token = self.auth.token().await?;
            let limit = tries.begin(call.limit);
            let mut sending = Duration::ZERO;
            match self.attempt(call, &token, limit, collect, &mut sending).await {
                Ok(answer) => {
                    self.bucket.give();
                    self.permits.speed_up();
                    return Ok(answer);
                }
                Err(error) if error.status() == Some(StatusCode::UNAUTHORIZED) && !renewed => {
                    renewed = true;
                    tries.forgive();
                    self.auth.renew(token.generation).await?;
                }
                Err(error) => {
                    if error.kind() == ErrorKind::RateLimited {
                        self.permits.slow_down();
                    }
                    let error = self.auth.name_refusal(error, &token);
                    tries.again(call.name(error), sending).await?;
                }
            }
        }
    }

    async fn attempt(
        &self,
        call: &Call,
        token: &Token,
        limit: Duration,
        collect: Option<usize>,
        sending: &mut Duration,
    ) -> Result<(Response<Incoming>, Bytes)> {
        let _permit = self.permit(limit).await?;
        // A condition that does not hold is told before the body is read, on a connection that is closed then.
        let conditional = call.headers.contains_key(IF_NONE_MATCH) && !call.body.is_empty();
        let waits = conditional || call.body.len() >= EXPECT_FROM;
        let (body, pace) = RequestBody::memory(call.body.clone(), waits);
        let mut exchange = self.transport.begin(call.request(token, body)?, pace);
        let answer = exchange.answer(limit).await;
        *sending = exchange.sending();
        let mut answer = success(answer?, limit).await?;
        let mut body = Bytes::new();
        if let Some(most) = collect {
            if let Some(length) = length(answer.headers()).filter(|length| *length > most as u64)
                && call.method != Method::HEAD
            {
                let message = format!("the answer has {length} bytes, {most} are allowed");
                return Err(
                    Error::new(ErrorKind::TooLarge, message).answered(answer.status(), answer.headers())
                );
            }
            let (status, headers) = (answer.status(), answer.headers().clone());
            body = self::collect(answer.body_mut(), most, limit)
                .await
                .map_err(|error| error.answered(status, &headers))?;
        }
        tracing::debug!(
            method = %call.method,
            target = ?call.target,
            status = answer.status().as_u16(),
            transaction = TransactionId::of(answer.headers()).map(tracing::field::display),
            "answered"
        );
        Ok((answer, body))
    }

    /// Leave to make a request.
    pub(crate) async fn permit(&self, limit: Duration) -> Result<tokio::sync::SemaphorePermit<'_>> {
        self.permits.acquire(limit).await.ok_or_else(|| {
            let message = format!("{} requests are waiting for Swift already", self.options.connections);
            Error::new(ErrorKind::Unavailable, message)
        })
    }

    /// Begins an exchange whose body the caller sends.
    pub(crate) fn begin(
        &self,
        call: &Call,
        token: &Token,
        body: RequestBody,
        pace: Arc<Pace>,
    ) -> Result<Exchange> {
        Ok(self.transport.begin(call.request(token, body)?, Some(pace)))
    }
}

/// The answer if it is a success, else the error that it means.
pub(crate) async fn success(answer: Response<Incoming>, limit: Duration) -> Result<Response<Incoming>> {
    if answer.status().is_success() {
        return Ok(answer);
    }
    let (parts, mut body) = answer.into_parts();
    // Also taken off the connection, which then serves others.
    let detail = collect(&mut body, DETAIL, limit.min(Duration::from_secs(1))).await.unwrap_or_default();
    let page = detail.trim_ascii_start().starts_with(b"<");
    let words = match parts.status.as_u16() {
        400 | 413 => words(&detail),
        409 | 422 if !page => words(&detail),
        _ => String::new(),
    };
    let error = Error::answer(parts.status, &parts.headers, &words);
    Err(if parts.status == StatusCode::BAD_REQUEST { error.with_detail(detail) } else { error })
}

/// A whole body of at most `most` bytes, none of which comes later than `limit` after the one before.
pub(crate) async fn collect(body: &mut Incoming, most: usize, limit: Duration) -> Result<Bytes> {
    let mut patience = Patience::new(limit);
    let mut whole = BytesMut::new();
    let mut only = None;
    while let Some(data) = frame(body, &mut patience).await? {
        if whole.len() + data.len() + only.as_ref().map_or(0, Bytes::len) > most {
            let message = format!("the answer has more than the {most} bytes that are allowed");
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        match only.take() {
            None if whole.is_empty() => only = Some(data),
            first => {
                whole.extend_from_slice(&first.unwrap_or_default());
                whole.extend_from_slice(&data);
            }
        }
    }
    Ok(only.unwrap_or_else(|| whole.freeze()))
}

/// The next data of a body; none at its end, which is an error where bytes are missing.
pub(crate) async fn frame(body: &mut Incoming, patience: &mut Patience) -> Result<Option<Bytes>> {
    loop {
        let next = std::future::poll_fn(|cx| {
            let poll = std::pin::Pin::new(&mut *body).poll_frame(cx);
            patience.watch(cx, poll)
        });
        match next.await {
            Ok(Some(Ok(frame))) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
            Ok(None) => return Ok(None),
            Ok(Some(Err(error))) => {
                return Err(Error::caused(ErrorKind::ShortBody, "the body broke off", error));
            }
            Err(_) => {
                let message = format!("the body has not moved for {:?}", patience.limit());
                return Err(Error::new(ErrorKind::Timeout, message));
            }
        }
    }
}

/// The length that an answer promises.
pub(crate) fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// What a text or page says in one line of at most 300 characters.
fn words(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let mut plain = String::new();
    let mut tag = false;
    for character in text.chars().take(4096) {
        match character {
            '<' => tag = true,
            '>' if tag => {
                tag = false;
                plain.push(' ');
            }
            _ if tag => {}
            _ => plain.push(character),
        }
    }
    let line = plain.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_failures_become_one_line() {
        let page = b"<html><h1>Bad Request</h1><p>Each segment,\n except the final, must be...</p></html>";
        assert_eq!(words(page), "Bad Request Each segment, except the final, must be...");
        assert_eq!(words(&[b'x'; 1000]).len(), 300);
    }
}
