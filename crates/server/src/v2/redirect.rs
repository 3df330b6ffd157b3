//! Pulls of blobs that are answered by a URL of the store's own (RFC 9110, section 15.4.8).

use std::time::{Duration, SystemTime};

use http::header::{CACHE_CONTROL, CONTENT_LENGTH, LOCATION};
use http::{HeaderValue, Response, StatusCode};
use wharfinger_access::Redirected;
use wharfinger_oci::{Digest, RepositoryName};
use wharfinger_registry::Blob;
use wharfinger_store::SignedUrl;

use super::blobs::{CONTENT_DIGEST, digest_values};
use super::caching::is_public;
use crate::app::Call;
use crate::body::AnswerBody;
use crate::metrics::RedirectResult;
use crate::respond::Answer;

/// The redirect of a read that begins at `at`, where one may be sent; else the blob is sent from here.
pub(super) async fn redirect(
    call: &Call<'_>,
    name: &RepositoryName,
    digest: &Digest,
    blob: &Blob,
    at: u64,
) -> Option<Answer> {
    let redirects = call.app.options.redirects.as_ref()?;
    let listed = redirects.rules.judge(name, &call.head.headers, call.peer.address);
    let signed = match listed {
        Redirected::OtherRepository => Err(RedirectResult::Repository),
        Redirected::OtherNetwork => Err(RedirectResult::Network),
        _ if blob.size < redirects.min_size => Err(RedirectResult::Small),
        Redirected::Listed | Redirected::Everybody => {
            let signed = call.app.registry.redirect_blob(blob, at, redirects.lifetime).await;
            signed.map_err(RedirectResult::from)
        }
    };
    let answer = signed.and_then(|url| {
        // A shared cache in front would hand it to clients that no rule lists.
        let public = listed == Redirected::Everybody && is_public(call, name);
        answer(&url, digest, public).ok_or(RedirectResult::Unsigned)
    });
    call.app.metrics.redirect(answer.as_ref().err().copied().unwrap_or(RedirectResult::Sent));
    answer.ok()
}

/// Has no entity tag: a cache that asks whether it still stands would keep a URL that has ended.
fn answer(url: &SignedUrl, digest: &Digest, public: bool) -> Option<Answer> {
    let mut location = HeaderValue::try_from(url.expose()).ok()?;
    location.set_sensitive(true);
    let left = url.expires().duration_since(SystemTime::now()).unwrap_or_default();
    let mut answer = Response::new(AnswerBody::empty());
    *answer.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    let headers = answer.headers_mut();
    headers.insert(LOCATION, location);
    headers.insert(CACHE_CONTROL, cache_control(left, public)?);
    headers.insert(CONTENT_DIGEST.clone(), digest_values(digest).1);
    headers.insert(CONTENT_LENGTH, 0.into());
    Some(answer)
}

/// Good for half of what is left of the URL's life, so that who takes it from a cache has the other half to begin.
fn cache_control(left: Duration, public: bool) -> Option<HeaderValue> {
    let who = if public { "public" } else { "private" };
    HeaderValue::try_from(format!("{who}, max-age={}, no-transform", left.as_secs() / 2)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_lets_go_of_a_redirect_long_before_its_url_ends() {
        let url = "https://swift.example/v1/a/c/o?temp_url_sig=abc".to_owned();
        let expires = SystemTime::now() + Duration::from_secs(1200);
        let digest = Digest::sha256(b"x");
        let answer = answer(&SignedUrl::new(url.clone(), expires), &digest, false).unwrap();
        assert_eq!(answer.status(), 307);
        assert_eq!(answer.headers()[LOCATION], url);
        assert!(!format!("{:?}", answer.headers()).contains("abc"));
        assert_eq!(answer.headers()[CONTENT_DIGEST.clone()], digest.to_string());
        assert!(!answer.headers().contains_key("etag"));
        let value = answer.headers()[CACHE_CONTROL].to_str().unwrap();
        assert!(
            ["private, max-age=599, no-transform", "private, max-age=600, no-transform"].contains(&value)
        );
        assert_eq!(cache_control(Duration::ZERO, true).unwrap(), "public, max-age=0, no-transform");
    }
}
