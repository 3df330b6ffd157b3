//! TempAuth and its kin: `GET` with user and key.
//!
//! Source: <https://docs.openstack.org/swift/latest/overview_auth.html#tempauth>.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};

use super::{Authenticator, Grant, expect, sensitive};
use crate::call::Answer;
use crate::url::Base;
use crate::{ErrorKind, Result, Secret};

pub(super) async fn log_in(
    authenticator: &Authenticator,
    limit: Duration,
    url: &str,
    user: &str,
    key: &Secret,
) -> Result<Grant> {
    let mut request = Request::new(Bytes::new());
    *request.uri_mut() = Base::parse("auth URL", url)?.join("", "")?;
    request.headers_mut().insert("x-auth-user", sensitive("user", user)?);
    request.headers_mut().insert("x-auth-key", sensitive("key", key.expose())?);
    let answer = authenticator.exchange(request, limit).await?;
    expect(&answer, &[StatusCode::OK, StatusCode::NO_CONTENT])?;
    let header = |name: &str| answer.headers.get(name).and_then(|value| value.to_str().ok());
    let token = header("x-auth-token").or_else(|| header("x-storage-token"));
    Ok(Grant {
        token: sensitive("token", token.ok_or_else(|| missing(&answer))?)?,
        storage: header("x-storage-url").map(str::to_owned),
        life: header("x-auth-token-expires").and_then(|text| text.parse().ok()).map(Duration::from_secs),
    })
}

fn missing(answer: &Answer) -> crate::Error {
    answer.error(ErrorKind::Protocol, "the answer has no X-Auth-Token")
}
