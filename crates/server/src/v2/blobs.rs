//! end-2, end-10: blobs by digest.

use std::time::Duration;

use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_NONE_MATCH, IF_RANGE,
    RANGE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use wharfinger_oci::range::{ByteRange, Requested};
use wharfinger_oci::{Digest, ErrorCode, RepositoryName};

use super::redirect::redirect;
use super::{caching, values};
use crate::app::Call;
use crate::body::AnswerBody;
use crate::respond::{Answer, Failure};

pub(super) static CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// Room for the headers of a pull's answer: what the map holds before it takes twice as much.
pub(super) const HEADERS: usize = 6;

/// `"sha256:..."`, and the same without quotes.
pub(super) fn digest_values(digest: &Digest) -> (HeaderValue, HeaderValue) {
    let mut text = String::with_capacity(160);
    text.push('"');
    text.push_str(digest.algorithm().as_str());
    text.push(':');
    digest.push_hex(&mut text);
    text.push('"');
    let quoted = bytes::Bytes::from(text);
    let plain = quoted.slice(1..quoted.len() - 1);
    let value = |bytes| HeaderValue::from_maybe_shared(bytes).unwrap_or(HeaderValue::from_static(""));
    (value(quoted), value(plain))
}

/// Whether the client has this content already (RFC 9110, section 13.1.2; weak comparison).
pub(super) fn client_has(call: &Call<'_>, etag: &HeaderValue) -> bool {
    let Some(list) = call.header(IF_NONE_MATCH) else { return false };
    let etag = etag.to_str().unwrap_or("");
    let matches = |candidate: &str| {
        let candidate = candidate.trim().trim_start_matches("W/");
        candidate == "*" || candidate == etag || candidate == etag.trim_matches('"')
    };
    list.split(',').any(matches)
}

fn describe(
    call: &Call<'_>,
    name: &RepositoryName,
    digest: &Digest,
    age: Option<Duration>,
    headers: &mut HeaderMap,
) {
    headers.reserve(HEADERS);
    let (etag, plain) = digest_values(digest);
    headers.insert(ETAG, etag);
    headers.insert(CONTENT_DIGEST.clone(), plain);
    headers.insert(CONTENT_TYPE, values::OCTET_STREAM.clone());
    headers.insert(CACHE_CONTROL, caching::immutable(call, name, age));
    headers.insert(ACCEPT_RANGES, values::BYTES.clone());
    caching::mark_blob(call, name, digest, headers);
    values::tell_age(headers, age);
}

/// Whether the blob can be pulled, and its size.
pub(super) async fn head(call: &Call<'_>, name: &RepositoryName, digest: &Digest) -> Result<Answer, Failure> {
    let size = call.app.registry.stat_blob(name, digest).await?;
    let mut answer = Response::new(AnswerBody::empty());
    describe(call, name, digest, None, answer.headers_mut());
    if client_has(call, &answer.headers()[ETAG]) {
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
        return Ok(answer);
    }
    answer.headers_mut().insert(CONTENT_LENGTH, size.into());
    Ok(answer)
}

/// The bytes, or a range of them. The first of them have been checked before the status goes out.
pub(super) async fn get(call: &Call<'_>, name: &RepositoryName, digest: &Digest) -> Result<Answer, Failure> {
    let registry = &call.app.registry;
    let blob = registry.blob(name, digest).await?;
    let mut answer = Response::new(AnswerBody::empty());
    describe(call, name, digest, blob.age, answer.headers_mut());
    let etag = answer.headers()[ETAG].clone();
    if client_has(call, &etag) {
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
        return Ok(answer);
    }
    // A range of content that the client has no other part of makes no sense (RFC 9110, section 13.1.5).
    let current = call.header(IF_RANGE).is_none_or(|value| value.as_bytes() == etag.as_bytes());
    let size = blob.size;
    let range = match ByteRange::resolve(call.header(RANGE).filter(|_| current), size) {
        Requested::Whole => 0..size,
        Requested::Part(start, length) => {
            *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
            let text = format!("bytes {start}-{}/{size}", start + length - 1);
            if let Ok(value) = HeaderValue::try_from(text) {
                answer.headers_mut().insert(CONTENT_RANGE, value);
            }
            start..start + length
        }
        Requested::Unsatisfiable => return Err(unsatisfiable(size)),
    };
    if call.app.options.redirects.is_some()
        && let Some(redirect) = Box::pin(redirect(call, name, digest, &blob, range.start)).await
    {
        return Ok(redirect);
    }
    // Its Content-Length is written from the body's size.
    let body = registry.read_blob(blob, range, call.frames()).await?;
    *answer.body_mut() = AnswerBody::blob(body, call.peer);
    Ok(answer)
}

fn unsatisfiable(size: u64) -> Failure {
    let message = format!("the range lies outside the blob, which has {size} bytes");
    let failure = Failure::new(StatusCode::RANGE_NOT_SATISFIABLE, ErrorCode::RangeInvalid, message);
    match HeaderValue::try_from(format!("bytes */{size}")) {
        Ok(value) => failure.header(CONTENT_RANGE, value),
        Err(_) => failure,
    }
}

/// Takes the blob out of the repository.
pub(super) async fn delete(
    call: &Call<'_>,
    name: &RepositoryName,
    digest: &Digest,
) -> Result<Answer, Failure> {
    call.deletable()?;
    let mut due = call.app.purger.due(name);
    due.add(|change| change.blob(digest));
    call.app.registry.delete_blob(name, digest).await?;
    due.settle().await;
    Ok(accepted())
}

/// 202 without a body, as deletes answer.
pub(super) fn accepted() -> Answer {
    let mut answer = Response::new(AnswerBody::empty());
    *answer.status_mut() = StatusCode::ACCEPTED;
    answer.headers_mut().insert(CONTENT_LENGTH, 0.into());
    answer
}
