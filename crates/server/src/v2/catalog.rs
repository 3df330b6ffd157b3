//! `/v2/_catalog`: the names of all repositories (Distribution's API).

use http::header::{CACHE_CONTROL, LINK};
use http::{HeaderValue, StatusCode};
use serde_json::json;

use super::{caching, query};
use crate::app::{Call, json};
use crate::respond::{Answer, Failure};

/// Names on a page where the client does not say, as Distribution has it.
const DEFAULT: usize = 100;

pub(super) async fn list(call: &Call<'_>) -> Result<Answer, Failure> {
    let options = &call.app.options;
    let limit = query::page_size(call, options.catalog_max)?.unwrap_or(DEFAULT.min(options.catalog_max));
    let last = query::value(call, "last");
    let (names, more) = call.app.registry.catalog(last.as_deref(), limit).await?;
    let texts: Vec<&str> = names.iter().map(wharfinger_oci::RepositoryName::as_str).collect();
    let mut answer = json(StatusCode::OK, &json!({ "repositories": texts }));
    answer.headers_mut().insert(CACHE_CONTROL, caching::catalog(call));
    if let (true, Some(last)) = (more, texts.last()) {
        let query = [("last", *last), ("n", &limit.to_string())];
        let link = query::next_link(&options.prefix, "/v2/_catalog", &query);
        if let Ok(value) = HeaderValue::try_from(link) {
            answer.headers_mut().insert(LINK, value);
        }
    }
    Ok(answer)
}
