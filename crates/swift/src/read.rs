//! Reading an object: no body ends cleanly that is not whole.

use bytes::Bytes;
use http::header::{CONTENT_RANGE, IF_MATCH, RANGE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use hyper::body::Incoming;
use md5::{Digest, Md5};

use crate::call::{Call, frame};
use crate::container::value;
use crate::object::content_range;
use crate::patience::Patience;
use crate::retry::backoff;
use crate::{Client, Container, Error, ErrorKind, ObjectInfo, Range, Read, Result, TransactionId};

/// The body of an object as it comes. It ends only when every byte has come: what breaks is resumed where it broke,
/// and what cannot be resumed is an error.
#[derive(Debug)]
pub struct ObjectReader {
    client: Client,
    call: Call,
    info: ObjectInfo,
    body: Incoming,
    patience: Patience,
    /// Offset in the object of the next byte.
    position: u64,
    /// Offset after the last byte.
    end: u64,
    /// Resumptions without a byte in between.
    broken: u32,
    failed: bool,
}

impl Container {
    /// Opens an object for reading. What the head of the answer says is checked here, the bytes are still to come.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::Precondition`] where `if_match` does not hold; [`ErrorKind::Range`] where
    /// the object ends before the range; [`ErrorKind::Damaged`] for a large object whose first segments are missing.
    pub async fn get(&self, name: &str, read: &Read) -> Result<ObjectReader> {
        let mut call = self.object_call(Method::GET, name)?;
        read.apply(&mut call)?;
        let answer = self.client.inner.send(&call).await.map_err(damaged)?;
        let (parts, body) = answer.into_parts();
        let status = parts.status;
        let checked = ObjectInfo::of(status, parts.headers).and_then(|info| {
            let (position, end) = extent(status, &info, read.range)?;
            Ok((info, position, end))
        });
        let (info, position, end) = checked.map_err(|error| call.name(error))?;
        let patience = Patience::new(self.client.inner.options.timeouts.progress);
        let client = self.client.clone();
        Ok(ObjectReader { client, call, info, body, patience, position, end, broken: 0, failed: false })
    }

    /// A whole small object, or a range of one, checked against its ETag where that is the MD5 of these bytes.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`] where it has more than `limit` bytes; else as [`get`](Container::get).
    pub async fn get_bytes(&self, name: &str, limit: usize, read: &Read) -> Result<(ObjectInfo, Bytes)> {
        let mut call = self.object_call(Method::GET, name)?;
        read.apply(&mut call)?;
        let mut last = false;
        loop {
            let answer = self.client.inner.fetch(&call, limit).await.map_err(damaged)?;
            let bytes = answer.body.clone();
            let checked = ObjectInfo::of(answer.status, answer.headers.clone()).and_then(|info| {
                let (position, end) = extent(answer.status, &info, read.range)?;
                let complete = end - position == bytes.len() as u64;
                let whole = position == 0 && end == info.size;
                match &info.etag {
                    _ if !complete => Err(answer.error(ErrorKind::ShortBody, "the body is not whole")),
                    Some(etag) if whole && info.manifest.is_none() && *etag != md5_hex(&bytes) => {
                        Err(answer.error(ErrorKind::Checksum, "the bytes are not what their ETag says"))
                    }
                    _ => Ok(info),
                }
            });
            match checked {
                Ok(info) => return Ok((info, bytes)),
                // Another replica may have better ones.
                Err(error) if error.kind() == ErrorKind::Checksum && !last => last = true,
                Err(error) => return Err(call.name(error)),
            }
        }
    }
}

impl ObjectReader {
    /// What Swift said about the object.
    pub fn info(&self) -> &ObjectInfo {
        &self.info
    }

    /// Offset in the object of the next byte.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Bytes that are still to come.
    pub fn remaining(&self) -> u64 {
        self.end - self.position
    }

    /// The next bytes, or none when all have come. May be dropped and called again.
    ///
    /// # Errors
    /// [`ErrorKind::ShortBody`] where the rest cannot be had; [`ErrorKind::Damaged`] where a segment of a static large
    /// object is missing or changed; [`ErrorKind::Precondition`] where the object was
    /// overwritten in the meantime. After an error every call fails.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            if self.failed {
                return Err(self.short(Error::new(ErrorKind::ShortBody, "the body has failed before")));
            }
            if self.position == self.end {
                return Ok(None);
            }
            let cause = match frame(&mut self.body, &mut self.patience).await {
                Ok(Some(data)) => {
                    if data.is_empty() {
                        continue;
                    }
                    if data.len() as u64 > self.remaining() {
                        self.failed = true;
                        let error = Error::new(ErrorKind::Protocol, "the body is longer than was said");
                        return Err(self.call.name(error));
                    }
                    self.position += data.len() as u64;
                    self.broken = 0;
                    return Ok(Some(data));
                }
                Ok(None) => Error::new(ErrorKind::ShortBody, "the body ended early"),
                Err(error) => error,
            };
            self.resume(cause).await?;
        }
    }

    /// Goes on where the body broke, with the same object or not at all (RFC 9110, section 14.2).
    async fn resume(&mut self, cause: Error) -> Result<()> {
        let retry = self.client.inner.options.retry;
        self.broken += 1;
        let Some(etag) = self.info.etag.clone() else { return Err(self.fail(cause)) };
        if self.broken >= retry.attempts || !self.client.inner.bucket.take() {
            return Err(self.fail(cause));
        }
        let transaction = self.info.transaction.as_ref().map(tracing::field::display);
        tracing::debug!(call = ?self.call.target, position = self.position, transaction, %cause, "resuming a body");
        tokio::time::sleep(backoff(&retry, self.broken)).await;
        let mut call = self.call.clone();
        let range = Range::Inclusive(self.position, self.end - 1);
        call.headers.insert(RANGE, value("range", &range.to_string())?);
        call.headers.insert(IF_MATCH, value("If-Match", &format!("\"{etag}\""))?);
        let mut answer = self.client.inner.send(&call).await;
        if let Err(error) = &answer
            && matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Precondition | ErrorKind::Range)
        {
            // A replica that is behind may have answered: what the others hold decides.
            call.headers.insert("x-newest", HeaderValue::from_static("true"));
            answer = self.client.inner.send(&call).await;
        }
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) if error.kind() == ErrorKind::Precondition => {
                self.failed = true;
                return Err(error);
            }
            Err(error) => return Err(self.fail(error)),
        };
        let expected = (self.position, self.end - 1, self.info.size);
        if answer.status() != StatusCode::PARTIAL_CONTENT || range_of(answer.headers()) != Some(expected) {
            let error = Error::new(ErrorKind::Protocol, "another part came than was asked for");
            return Err(self.fail(error.answered(answer.status(), answer.headers())));
        }
        if let Some(transaction) = TransactionId::of(answer.headers()) {
            self.info.transaction = Some(transaction);
        }
        self.body = answer.into_body();
        self.patience = Patience::new(self.patience.limit());
        Ok(())
    }

    fn fail(&mut self, cause: Error) -> Error {
        self.failed = true;
        self.short(cause)
    }

    /// The error of a body that ends at the position.
    fn short(&self, cause: Error) -> Error {
        let message = format!(
            "the body broke off at byte {} of {}: {}",
            self.position,
            self.info.size,
            cause.message()
        );
        let error = match cause.transaction() {
            Some(_) => cause.clone(),
            None => cause.clone().with_transaction(self.info.transaction.clone()),
        };
        // A static large object is refused (409) where the rest begins with a segment that is missing.
        let kind = match cause.status() {
            Some(StatusCode::CONFLICT) => ErrorKind::Damaged,
            _ => ErrorKind::ShortBody,
        };
        self.call.name(error.of_kind(kind).saying(message).because(cause))
    }
}

/// First offset and the offset after the last one of what an answer brings.
fn extent(status: StatusCode, info: &ObjectInfo, range: Option<Range>) -> Result<(u64, u64)> {
    let wrong = || {
        let message = format!("{status}: another part came than was asked for");
        Error::new(ErrorKind::Protocol, message).answered(status, &info.headers)
    };
    let Some(range) = range else {
        return if status == StatusCode::OK { Ok((0, info.size)) } else { Err(wrong()) };
    };
    let last = info.size.saturating_sub(1);
    let (first, last) = match range {
        Range::From(first) => (first, last),
        Range::Inclusive(first, end) => (first, end.min(last)),
        Range::Last(count) => (info.size.saturating_sub(count), last),
    };
    let whole = first == 0 && last + 1 >= info.size;
    match range_of(&info.headers) {
        Some((a, b, _)) if status == StatusCode::PARTIAL_CONTENT && (a, b) == (first, last) => Ok((a, b + 1)),
        None if status == StatusCode::OK && whole => Ok((0, info.size)),
        _ => Err(wrong()),
    }
}

fn range_of(headers: &HeaderMap) -> Option<(u64, u64, u64)> {
    headers.get(CONTENT_RANGE)?.to_str().ok().and_then(content_range)
}

/// Swift answers 409 to the reading of a static large object whose segments are not what its manifest says.
fn damaged(error: Error) -> Error {
    if error.status() == Some(StatusCode::CONFLICT) { error.of_kind(ErrorKind::Damaged) } else { error }
}

/// MD5 in hex.
pub(crate) fn md5_hex(bytes: &[u8]) -> String {
    hex::encode(Md5::digest(bytes))
}
