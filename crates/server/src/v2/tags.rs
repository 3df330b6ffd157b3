//! end-8: the tags of a repository.

use http::header::LINK;
use http::{HeaderValue, StatusCode};
use serde_json::json;
use wharfinger_oci::{RepositoryName, Route};

use super::{caching, query};
use crate::app::{Call, json};
use crate::respond::{Answer, Failure};

/// Without `n` the whole list is answered: clients that do not follow `Link` would lose tags.
pub(super) async fn list(call: &Call<'_>, name: &RepositoryName) -> Result<Answer, Failure> {
    let options = &call.app.options;
    let limit = query::page_size(call, options.tags_max)?;
    let last = query::value(call, "last");
    let page = call.app.registry.tags(name, last.as_deref(), limit.unwrap_or(usize::MAX)).await?;
    let tags: Vec<&str> = page.tags.iter().map(wharfinger_oci::Tag::as_str).collect();
    let mut answer = json(StatusCode::OK, &json!({ "name": name.as_str(), "tags": tags }));
    caching::list(call, name, answer.headers_mut());
    if let (true, Some(limit), Some(last)) = (page.more, limit, tags.last()) {
        let path = Route::Tags(name.clone()).to_string();
        let link = query::next_link(&options.prefix, &path, &[("last", *last), ("n", &limit.to_string())]);
        if let Ok(value) = HeaderValue::try_from(link) {
            answer.headers_mut().insert(LINK, value);
        }
    }
    Ok(answer)
}
