//! Header values of the frequent answers: checked once, when the program is built, and then only copied.

use std::time::Duration;

use http::header::AGE;
use http::{HeaderMap, HeaderName, HeaderValue};
use wharfinger_oci::media_type;

static CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

macro_rules! values {
    ($($name:ident = $text:expr;)*) => {
        $(pub(super) static $name: HeaderValue = HeaderValue::from_static($text);)*
    };
}

values! {
    NO_CACHE = "no-cache";
    PRIVATE_NO_CACHE = "private, no-cache";
    PUBLIC = "public, max-age=31536000, immutable, no-transform";
    PRIVATE = "private, max-age=31536000, immutable, no-transform";
    ACCEPT = "Accept";
    BYTES = "bytes";
    OCTET_STREAM = media_type::OCTET_STREAM;
    OCI_MANIFEST = media_type::OCI_MANIFEST;
    OCI_INDEX = media_type::OCI_INDEX;
    DOCKER_MANIFEST = media_type::DOCKER_MANIFEST;
    DOCKER_LIST = media_type::DOCKER_LIST;
}

/// Says that the store could not be asked whether this still stands (RFC 9111, section 5.1; RFC 9211).
pub(super) fn tell_age(headers: &mut HeaderMap, age: Option<Duration>) {
    let Some(age) = age else { return };
    headers.insert(AGE, age.as_secs().into());
    let status = format!("wharfinger; hit; ttl=-{}; detail=store-unavailable", age.as_secs());
    if let Ok(status) = HeaderValue::try_from(status) {
        headers.insert(CACHE_STATUS.clone(), status);
    }
}

/// A manifest's media type.
pub(super) fn content_type(media_type: &'static str) -> HeaderValue {
    match media_type {
        media_type::OCI_MANIFEST => OCI_MANIFEST.clone(),
        media_type::OCI_INDEX => OCI_INDEX.clone(),
        media_type::DOCKER_MANIFEST => DOCKER_MANIFEST.clone(),
        media_type::DOCKER_LIST => DOCKER_LIST.clone(),
        other => HeaderValue::from_static(other),
    }
}
