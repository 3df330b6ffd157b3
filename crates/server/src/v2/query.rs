//! Query parameters.

use std::borrow::Cow;

use http::request::Parts;
use percent_encoding::percent_decode_str;
use wharfinger_oci::ErrorCode;

use crate::app::Call;
use crate::respond::Failure;

/// All values of a parameter, decoded.
pub(super) fn values<'a>(call: &'a Call<'_>, name: &'a str) -> impl Iterator<Item = Cow<'a, str>> {
    values_of(call.head, name)
}

/// The same, of a request that was not let in yet.
pub(crate) fn values_of<'a>(head: &'a Parts, name: &'a str) -> impl Iterator<Item = Cow<'a, str>> {
    let query = head.uri.query().unwrap_or("");
    query.split('&').filter_map(move |pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key == name).then(|| match value.contains('+') {
            true => percent_decode_str(&value.replace('+', " ")).decode_utf8_lossy().into_owned().into(),
            false => percent_decode_str(value).decode_utf8_lossy(),
        })
    })
}

/// The first value of a parameter.
pub(super) fn value<'a>(call: &'a Call<'_>, name: &'a str) -> Option<Cow<'a, str>> {
    values(call, name).next()
}

/// The size of a page: `n`, at most `largest`; `None` where it is not given.
pub(super) fn page_size(call: &Call<'_>, largest: usize) -> Result<Option<usize>, Failure> {
    let Some(text) = value(call, "n") else { return Ok(None) };
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits {
        let message = format!("n={text} is not a number of results");
        return Err(Failure::bad_request(ErrorCode::PaginationNumberInvalid, message));
    }
    // Digits that do not fit are a very large number.
    Ok(Some(text.parse().unwrap_or(usize::MAX).min(largest)))
}

/// `Link` to the next page (RFC 8288): a path and a query of ours.
pub(super) fn next_link(prefix: &str, path: &str, query: &[(&str, &str)]) -> String {
    let encode = |text: &str| {
        percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
    };
    let query: Vec<String> = query.iter().map(|(key, value)| format!("{key}={}", encode(value))).collect();
    format!("<{prefix}{path}?{}>; rel=\"next\"", query.join("&"))
}
