//! end-3, end-7, end-9: manifests by tag or digest.

use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, LOCATION, VARY};
use http::{HeaderName, HeaderValue, Method, Response, StatusCode};
use wharfinger_access::Proxies;
use wharfinger_oci::manifest::MAX_MANIFEST_SIZE;
use wharfinger_oci::{Digest, ErrorCode, Reference, RepositoryName, Route, Tag};
use wharfinger_registry::manifest::Push;
use wharfinger_registry::{Event, PulledManifest};

use super::blobs::{CONTENT_DIGEST, HEADERS, accepted, client_has, digest_values};
use super::{caching, query, values};
use crate::app::Call;
use crate::body::AnswerBody;
use crate::incoming::RequestBody;
use crate::respond::{Answer, Failure};

static OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
static OCI_TAG: HeaderName = HeaderName::from_static("oci-tag");

/// The manifest as it was pushed, whatever the client accepts: it can tell from the media type.
pub(super) async fn get(
    call: &Call<'_>,
    name: &RepositoryName,
    reference: &Reference,
) -> Result<Answer, Failure> {
    let PulledManifest { manifest, age } = call.app.registry.pull_manifest(name, reference).await?;
    let mut answer = Response::new(AnswerBody::empty());
    let (etag, plain) = digest_values(&manifest.digest);
    let known = client_has(call, &etag);
    let headers = answer.headers_mut();
    headers.reserve(HEADERS);
    headers.insert(ETAG, etag);
    headers.insert(CONTENT_DIGEST.clone(), plain);
    headers.insert(CONTENT_TYPE, values::content_type(manifest.media_type));
    headers.insert(VARY, values::ACCEPT.clone());
    let cache_control = match reference {
        Reference::Digest(_) => caching::immutable(call, name, age),
        Reference::Tag(_) => caching::current(call, name),
    };
    headers.insert(CACHE_CONTROL, cache_control);
    caching::mark_manifest(call, name, reference, &manifest.digest, headers);
    values::tell_age(headers, age);
    if known {
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
        return Ok(answer);
    }
    let whole = call.head.method != Method::HEAD;
    note_pull(call, name, reference, &manifest.digest, whole);
    if !whole {
        headers.insert(CONTENT_LENGTH, manifest.bytes.len().into());
    } else {
        // Its Content-Length is written from the body's size.
        *answer.body_mut() = AnswerBody::from(manifest.bytes.clone());
    }
    Ok(answer)
}

fn note_pull(call: &Call<'_>, name: &RepositoryName, reference: &Reference, digest: &Digest, whole: bool) {
    let proxies = call.app.options.activity.as_ref();
    let who = proxies.map(|proxies| move || event(call, proxies));
    call.app.registry.note_pull(name, reference, digest, whole, who);
}

/// What happens now, and who does it.
fn event(call: &Call<'_>, proxies: &Proxies) -> Event {
    Event::now(call.identity.name(), proxies.client(&call.head.headers, call.peer.address))
}

/// Stores a manifest under its digest and points tags to it: the one in the path, or any number of `tag=`.
pub(super) async fn put(
    call: &Call<'_>,
    name: &RepositoryName,
    reference: &Reference,
    body: &mut RequestBody,
) -> Result<Answer, Failure> {
    call.writable()?;
    let mut tags = Vec::new();
    for text in query::values(call, "tag") {
        tags.push(
            Tag::parse(&text)
                .map_err(|error| Failure::bad_request(ErrorCode::TagInvalid, error.to_string()))?,
        );
    }
    let digest = match reference {
        Reference::Digest(digest) => Some(*digest),
        Reference::Tag(tag) => {
            tags.insert(0, tag.clone());
            None
        }
    };
    let registry = &call.app.registry;
    let Some(collected) = body.collect(MAX_MANIFEST_SIZE, registry).await? else {
        let message = format!("a manifest has at most {MAX_MANIFEST_SIZE} bytes");
        return Err(Failure::new(StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::ManifestInvalid, message));
    };
    let content_type = call.header(CONTENT_TYPE);
    let push = Push { digest, tags: tags.clone(), content_type, bytes: collected.bytes.clone() };
    let mut due = call.app.purger.due(name);
    due.add(|change| tags.iter().for_each(|tag| change.tag(tag)));
    let pushed = registry.push_manifest(name, push).await?;
    if let Some(proxies) = &call.app.options.activity {
        registry.note_push(name, &tags, &pushed.digest, &event(call, proxies));
    }
    due.add(|change| pushed.subject.iter().for_each(|subject| change.subject(subject)));
    due.settle().await;
    let mut answer = Response::new(AnswerBody::empty());
    *answer.status_mut() = StatusCode::CREATED;
    let headers = answer.headers_mut();
    let path = Route::Manifest(name.clone(), Reference::Digest(pushed.digest)).to_string();
    headers.insert(LOCATION, call.location(&path));
    headers.insert(CONTENT_DIGEST.clone(), digest_values(&pushed.digest).1);
    headers.insert(CONTENT_LENGTH, 0.into());
    if let Some(subject) = pushed.subject {
        headers.insert(OCI_SUBJECT.clone(), digest_values(&subject).1);
    }
    for tag in &tags {
        if let Ok(value) = HeaderValue::from_str(tag.as_str()) {
            headers.append(OCI_TAG.clone(), value);
        }
    }
    Ok(answer)
}

/// Removes a tag, or a manifest with its tags.
pub(super) async fn delete(
    call: &Call<'_>,
    name: &RepositoryName,
    reference: &Reference,
) -> Result<Answer, Failure> {
    call.deletable()?;
    let mut due = call.app.purger.due(name);
    due.add(|change| match reference {
        Reference::Tag(tag) => change.tag(tag),
        Reference::Digest(digest) => change.manifest(digest),
    });
    let removed = call.app.registry.delete_manifest(name, reference).await?;
    due.add(|change| {
        removed.tags.iter().for_each(|tag| change.tag(tag));
        removed.subject.iter().for_each(|subject| change.subject(subject));
    });
    due.settle().await;
    Ok(accepted())
}
