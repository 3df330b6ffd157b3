//! The distribution API: one line per endpoint.

pub(crate) mod action;
mod blobs;
mod caching;
mod catalog;
mod manifests;
pub(crate) mod query;
mod redirect;
mod referrers;
mod tags;
mod uploads;
mod values;

use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Method, Response};
use wharfinger_oci::Route;

use crate::app::Call;
use crate::body::AnswerBody;
use crate::incoming::RequestBody;
use crate::respond::{Answer, Failure};

/// Hands a request that was let in to its endpoint. Which methods get here is [`action::required_action`]'s table.
pub(crate) async fn dispatch(
    call: &Call<'_>,
    route: &Route,
    body: &mut RequestBody,
) -> Result<Answer, Failure> {
    let method = &call.head.method;
    let read = *method == Method::GET || *method == Method::HEAD;
    match route {
        Route::Manifest(name, reference) if read => manifests::get(call, name, reference).await,
        Route::Blob(name, digest) if *method == Method::HEAD => blobs::head(call, name, digest).await,
        Route::Blob(name, digest) if read => blobs::get(call, name, digest).await,
        // Boxed, so that the answer to a read is a small future.
        _ => Box::pin(dispatch_rest(call, route, body)).await,
    }
}

async fn dispatch_rest(call: &Call<'_>, route: &Route, body: &mut RequestBody) -> Result<Answer, Failure> {
    let method = &call.head.method;
    let read = *method == Method::GET || *method == Method::HEAD;
    match route {
        Route::Base => Ok(base()),
        Route::Catalog => catalog::list(call).await,
        Route::Tags(name) => tags::list(call, name).await,
        Route::Referrers(name, digest) => referrers::list(call, name, digest).await,
        Route::Manifest(name, reference) if *method == Method::PUT => {
            manifests::put(call, name, reference, body).await
        }
        Route::Manifest(name, reference) => manifests::delete(call, name, reference).await,
        Route::Blob(name, digest) => blobs::delete(call, name, digest).await,
        Route::Uploads(name) => uploads::start(call, name, body).await,
        Route::Upload(name, session) if read => uploads::status(call, name, session).await,
        Route::Upload(name, session) if *method == Method::PATCH => {
            uploads::patch(call, name, session, body).await
        }
        Route::Upload(name, session) if *method == Method::PUT => {
            uploads::put(call, name, session, body).await
        }
        Route::Upload(name, session) => uploads::cancel(call, name, session).await,
    }
}

/// end-1: the API is here.
fn base() -> Answer {
    let mut answer = Response::new(AnswerBody::from("{}"));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CONTENT_LENGTH, 2.into());
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
