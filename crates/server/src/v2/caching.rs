//! What caches may do with an answer.

use std::time::Duration;

use http::header::{AUTHORIZATION, CACHE_CONTROL};
use http::{HeaderMap, HeaderValue};
use wharfinger_access::Resource;
use wharfinger_oci::{Action, Digest, Reference, RepositoryName};

use super::values;
use crate::app::Call;
use crate::purge::{SURROGATE_KEY, key};

/// Whether a shared cache may give the answer to others: everybody may read this, and nobody showed credentials.
pub(super) fn is_public(call: &Call<'_>, name: &RepositoryName) -> bool {
    !call.head.headers.contains_key(AUTHORIZATION) && call.app.access.is_public(name)
}

/// For content by digest, which never changes. With an age the store could not say whether it may still be read here:
/// that is not to be kept.
pub(super) fn immutable(call: &Call<'_>, name: &RepositoryName, age: Option<Duration>) -> HeaderValue {
    match (is_public(call, name), age) {
        (public, Some(_)) => revalidated(public),
        (true, None) => values::PUBLIC.clone(),
        (false, None) => values::PRIVATE.clone(),
    }
}

fn revalidated(public: bool) -> HeaderValue {
    if public { values::NO_CACHE.clone() } else { values::PRIVATE_NO_CACHE.clone() }
}

/// For what a repository says now: tags and lists.
pub(super) fn current(call: &Call<'_>, name: &RepositoryName) -> HeaderValue {
    revalidated(is_public(call, name))
}

/// For a list of a repository: never kept without asking, and let go of by key.
pub(super) fn list(call: &Call<'_>, name: &RepositoryName, headers: &mut HeaderMap) {
    headers.insert(CACHE_CONTROL, current(call, name));
    mark(call, name, headers, || key::lists(name));
}

/// For the list of repositories.
pub(super) fn catalog(call: &Call<'_>) -> HeaderValue {
    let anonymous = wharfinger_access::Identity::Anonymous;
    let everybody = call.app.access.authorize(&anonymous, Resource::Registry, Some(Action::Catalog)).is_ok();
    revalidated(everybody && !call.head.headers.contains_key(AUTHORIZATION))
}

/// Names a blob to caches that go by keys.
pub(super) fn mark_blob(call: &Call<'_>, name: &RepositoryName, digest: &Digest, headers: &mut HeaderMap) {
    mark(call, name, headers, || digest.to_string());
}

/// Names a manifest, and the tag that it was asked for by, to caches that go by keys.
pub(super) fn mark_manifest(
    call: &Call<'_>,
    name: &RepositoryName,
    reference: &Reference,
    digest: &Digest,
    headers: &mut HeaderMap,
) {
    mark(call, name, headers, || match reference {
        Reference::Tag(tag) => format!("{} {digest}", key::tag(name, tag)),
        Reference::Digest(_) => digest.to_string(),
    });
}

fn mark(call: &Call<'_>, name: &RepositoryName, headers: &mut HeaderMap, keys: impl FnOnce() -> String) {
    if !call.app.purger.goes_by_keys() {
        return;
    }
    let text = format!("{} {}", key::repository(name), keys());
    if let Ok(value) = HeaderValue::try_from(text) {
        headers.insert(&SURROGATE_KEY, value);
    }
}
