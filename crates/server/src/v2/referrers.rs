//! end-12: what refers to a manifest.

use http::header::{CONTENT_TYPE, LINK};
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::json;
use wharfinger_oci::{Digest, ErrorCode, RepositoryName, Route, media_type};

use super::{caching, query};
use crate::app::{Call, json};
use crate::respond::{Answer, Failure};

static FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");

pub(super) async fn list(
    call: &Call<'_>,
    name: &RepositoryName,
    subject: &Digest,
) -> Result<Answer, Failure> {
    let artifact_type = query::value(call, "artifactType").filter(|value| !value.is_empty());
    let last = query::value(call, "last").map(|text| Digest::parse(&text)).transpose();
    let last =
        last.map_err(|error| Failure::bad_request(ErrorCode::DigestInvalid, format!("last: {error}")))?;
    let registry = &call.app.registry;
    let page = registry.referrers(name, subject, artifact_type.as_deref(), last.as_ref()).await?;
    let index = json!({
        "schemaVersion": 2,
        "mediaType": media_type::OCI_INDEX,
        "manifests": page.descriptors,
    });
    let mut answer = json(StatusCode::OK, &index);
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type::OCI_INDEX));
    caching::list(call, name, headers);
    if artifact_type.is_some() {
        headers.insert(FILTERS_APPLIED.clone(), HeaderValue::from_static("artifactType"));
    }
    if let Some(next) = page.next {
        let path = Route::Referrers(name.clone(), *subject).to_string();
        let next = next.to_string();
        let mut query = vec![("last", next.as_str())];
        query.extend(artifact_type.as_deref().map(|value| ("artifactType", value)));
        if let Ok(value) = HeaderValue::try_from(query::next_link(&call.app.options.prefix, &path, &query)) {
            headers.insert(LINK, value);
        }
    }
    Ok(answer)
}
