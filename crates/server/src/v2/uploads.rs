//! end-4, end-5, end-6, end-11, end-13, end-14: upload sessions.

use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, LOCATION, RANGE};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use wharfinger_oci::{Algorithm, ContentRange, Digest, ErrorCode, RepositoryName, Route};
use wharfinger_registry::{Error, SessionRef, UploadStatus, UploadWriter};

use super::blobs::{CONTENT_DIGEST, digest_values};
use super::query;
use crate::app::Call;
use crate::body::AnswerBody;
use crate::incoming::RequestBody;
use crate::respond::{Answer, Failure, upload_range};

static UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");

/// Mounts a blob of another repository, takes a whole blob in this request, or begins a session.
pub(super) async fn start(
    call: &Call<'_>,
    name: &RepositoryName,
    body: &mut RequestBody,
) -> Result<Answer, Failure> {
    call.writable()?;
    if let Some(mount) = query::value(call, "mount").filter(|value| !value.is_empty()) {
        let digest = parse_digest(&mount)?;
        if mount_blob(call, name, &digest).await? {
            return Ok(created(call, name, &digest));
        }
    }
    let algorithm = algorithm(call)?;
    if let Some(digest) = query::value(call, "digest") {
        let digest = parse_digest(&digest)?;
        // An empty body is a blob only if that is what its digest says; else the client means to go on.
        if !body.is_empty() || digest == Digest::of(digest.algorithm(), b"") {
            let registry = &call.app.registry;
            let mut writer = registry.single_upload(name, &call.identity.key(), digest.algorithm())?;
            announce(call, &mut writer, digest);
            body.pour(&mut writer).await?;
            Box::pin(writer.finish(digest)).await?;
            return Ok(created(call, name, &digest));
        }
    }
    let session = call.app.registry.start_upload(name, &call.identity.key(), algorithm).await?;
    Ok(progress(call, StatusCode::ACCEPTED, name, UploadStatus { session, length: 0 }))
}

/// The algorithm to hash with on the way (distribution-spec, `digest-algorithm`).
fn algorithm(call: &Call<'_>) -> Result<Algorithm, Failure> {
    match query::value(call, "digest-algorithm") {
        None => Ok(Algorithm::Sha256),
        Some(text) => Algorithm::parse(&text).ok_or_else(|| {
            let message = format!("digest-algorithm {text:?} is not supported (supported: sha256, sha512)");
            Failure::bad_request(ErrorCode::DigestInvalid, message)
        }),
    }
}

async fn mount_blob(call: &Call<'_>, name: &RepositoryName, digest: &Digest) -> Result<bool, Failure> {
    let from = query::value(call, "from").filter(|value| !value.is_empty());
    let from = from.map(|text| RepositoryName::parse(&text)).transpose();
    let from =
        from.map_err(|error| Failure::bad_request(ErrorCode::NameInvalid, format!("from: {error}")))?;
    Ok(call.app.registry.mount(name, digest, from.as_ref(), &|name| call.may_pull(name)).await?)
}

/// How far the upload is.
pub(super) async fn status(call: &Call<'_>, name: &RepositoryName, session: &str) -> Result<Answer, Failure> {
    let id = parse_session(session)?;
    let status = call.app.registry.upload_status(name, &call.identity.key(), id).await?;
    Ok(progress(call, StatusCode::NO_CONTENT, name, status))
}

/// Adds a chunk.
pub(super) async fn patch(
    call: &Call<'_>,
    name: &RepositoryName,
    session: &str,
    body: &mut RequestBody,
) -> Result<Answer, Failure> {
    call.writable()?;
    let mut writer = open(call, name, session).await?;
    let range = chunk_range(call, name, &writer)?;
    if range.is_none() && parse_session(session)?.length.is_some_and(|seen| seen != writer.length()) {
        // It says nowhere where this begins but in the state that it names.
        let location =
            call.location(&Route::Upload(name.clone(), writer.reference().to_string()).to_string());
        let message = "the upload has gone on since this location was given; ask how far it is".to_owned();
        return Err(Failure::out_of_order(message, location, writer.length()));
    }
    let poured = match body.pour(&mut writer).await {
        // The store has what its last record says; to ask it for more would only make the client wait.
        Err(failure) if failure.fault => return Err(failure),
        poured => poured,
    };
    // What came is kept even if the body broke off: the client can go on there.
    let status = writer.pause().await?;
    let poured = poured?;
    if let Some(range) = range.filter(|range| range.length() != poured) {
        return Err(Error::SizeMismatch { expected: range.length(), found: poured }.into());
    }
    Ok(progress(call, StatusCode::ACCEPTED, name, status))
}

/// Adds the last chunk, if there is one, and makes the blob visible.
pub(super) async fn put(
    call: &Call<'_>,
    name: &RepositoryName,
    session: &str,
    body: &mut RequestBody,
) -> Result<Answer, Failure> {
    call.writable()?;
    let digest = query::value(call, "digest").ok_or_else(|| {
        Failure::bad_request(ErrorCode::DigestInvalid, "closing an upload needs ?digest=<digest of the blob>")
    })?;
    let digest = parse_digest(&digest)?;
    let mut writer = open(call, name, session).await?;
    let range = if body.is_empty() { None } else { chunk_range(call, name, &writer)? };
    announce(call, &mut writer, digest);
    let poured = match body.pour(&mut writer).await {
        Ok(poured) => poured,
        Err(failure) if failure.fault => return Err(failure),
        Err(failure) => {
            writer.pause().await?;
            return Err(failure);
        }
    };
    if let Some(range) = range.filter(|range| range.length() != poured) {
        writer.pause().await?;
        return Err(Error::SizeMismatch { expected: range.length(), found: poured }.into());
    }
    Box::pin(writer.finish(digest)).await?;
    Ok(created(call, name, &digest))
}

/// Drops the upload.
pub(super) async fn cancel(call: &Call<'_>, name: &RepositoryName, session: &str) -> Result<Answer, Failure> {
    call.writable()?;
    let id = parse_session(session)?;
    call.app.registry.cancel_upload(name, &call.identity.key(), id).await?;
    let mut answer = Response::new(AnswerBody::empty());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    Ok(answer)
}

async fn open(call: &Call<'_>, name: &RepositoryName, session: &str) -> Result<UploadWriter, Failure> {
    let id = parse_session(session)?;
    Ok(call.app.registry.open_upload(name, &call.identity.key(), id).await?)
}

/// The chunk's `Content-Range`, if it has one; it must begin where the upload stands.
fn chunk_range(
    call: &Call<'_>,
    name: &RepositoryName,
    writer: &UploadWriter,
) -> Result<Option<ContentRange>, Failure> {
    let Some(header) = call.header(CONTENT_RANGE) else { return Ok(None) };
    let location = || call.location(&Route::Upload(name.clone(), writer.reference().to_string()).to_string());
    let range = ContentRange::parse(header)
        .map_err(|error| Failure::bad_request(ErrorCode::RangeInvalid, format!("Content-Range: {error}")))?;
    let expected = writer.length();
    if range.start != expected {
        let message = Error::OutOfOrder { expected, found: range.start }.to_string();
        return Err(Failure::out_of_order(message, location(), expected));
    }
    let announced = call.header(CONTENT_LENGTH).and_then(|text| text.parse::<u64>().ok());
    if let Some(announced) = announced.filter(|announced| *announced != range.length()) {
        return Err(Error::SizeMismatch { expected: range.length(), found: announced }.into());
    }
    Ok(Some(range))
}

/// Tells the writer what comes, if the whole blob comes in this request and its length is known.
fn announce(call: &Call<'_>, writer: &mut UploadWriter, digest: Digest) {
    if let Some(length) = call.header(CONTENT_LENGTH).and_then(|text| text.parse().ok()) {
        writer.announce(digest, length);
    }
}

/// A session id that is not one of ours names nothing.
fn parse_session(text: &str) -> Result<SessionRef, Failure> {
    SessionRef::parse(text).ok_or_else(|| Error::UploadUnknown.into())
}

fn parse_digest(text: &str) -> Result<Digest, Failure> {
    Digest::parse(text).map_err(|error| Failure::bad_request(ErrorCode::DigestInvalid, error.to_string()))
}

fn created(call: &Call<'_>, name: &RepositoryName, digest: &Digest) -> Answer {
    let mut answer = Response::new(AnswerBody::empty());
    *answer.status_mut() = StatusCode::CREATED;
    let headers = answer.headers_mut();
    headers.insert(LOCATION, call.location(&Route::Blob(name.clone(), *digest).to_string()));
    headers.insert(CONTENT_DIGEST.clone(), digest_values(digest).1);
    headers.insert(CONTENT_LENGTH, 0.into());
    answer
}

fn progress(call: &Call<'_>, status: StatusCode, name: &RepositoryName, upload: UploadStatus) -> Answer {
    let mut answer = Response::new(AnswerBody::empty());
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    let place = Route::Upload(name.clone(), upload.session.to_string());
    headers.insert(LOCATION, call.location(&place.to_string()));
    if let Ok(value) = HeaderValue::try_from(upload.session.id.to_string()) {
        headers.insert(UPLOAD_UUID.clone(), value);
    }
    headers.insert(RANGE, upload_range(upload.length));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status != StatusCode::NO_CONTENT {
        headers.insert(CONTENT_LENGTH, 0.into());
    }
    answer
}
