//! What the client calls us: for `Location` and for challenges.

use http::header::{FORWARDED, HOST};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::options::Options;

static X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Scheme and authority as the client knows them, e.g. `https://registry.example`: the configured host, else
/// `Forwarded` (RFC 7239), else `X-Forwarded-*`, else the request's own. Empty where none of them says.
pub(crate) fn base(options: &Options, headers: &HeaderMap, authority: Option<&str>, tls: bool) -> String {
    if let Some(host) = &options.host {
        return host.trim_end_matches('/').to_owned();
    }
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let forwarded = text(&FORWARDED).unwrap_or("");
    let scheme = forwarded_field(forwarded, "proto").or_else(|| first(text(&X_FORWARDED_PROTO)));
    let scheme = scheme.filter(|scheme| matches!(*scheme, "http" | "https"));
    let host = forwarded_field(forwarded, "host")
        .or_else(|| first(text(&X_FORWARDED_HOST)))
        .or_else(|| text(&HOST))
        .or(authority)
        .filter(|host| is_authority(host));
    match host {
        Some(host) => format!("{}://{host}", scheme.unwrap_or(if tls { "https" } else { "http" })),
        None => String::new(),
    }
}

/// `path` as the client must ask for it.
pub(crate) fn location(
    options: &Options,
    headers: &HeaderMap,
    authority: Option<&str>,
    tls: bool,
    path: &str,
) -> HeaderValue {
    let base = match (&options.host, options.relative_urls) {
        (None, true) => String::new(),
        _ => base(options, headers, authority, tls),
    };
    let text = format!("{base}{}{path}", options.prefix);
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("/v2/"))
}

/// A field of the first element of `Forwarded`.
fn forwarded_field<'a>(header: &'a str, name: &str) -> Option<&'a str> {
    let element = header.split(',').next()?;
    element.split(';').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        key.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"'))
    })
}

fn first(value: Option<&str>) -> Option<&str> {
    Some(value?.split(',').next()?.trim()).filter(|value| !value.is_empty())
}

/// Host and port only: nothing that could end a header or begin a path.
fn is_authority(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:[]~".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base_of(headers: &[(&'static str, &str)]) -> String {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        base(&Options::default(), &map, None, false)
    }

    #[test]
    fn forwarded_wins_over_x_forwarded_and_host() {
        let host = ("host", "inner:5000");
        assert_eq!(base_of(&[host]), "http://inner:5000");
        let x = [host, ("x-forwarded-proto", "https"), ("x-forwarded-host", "a.example, b.example")];
        assert_eq!(base_of(&x), "https://a.example");
        let forwarded = ("forwarded", "for=1.2.3.4;proto=https;host=\"c.example:8443\", host=d.example");
        assert_eq!(base_of(&[host, x[2], forwarded]), "https://c.example:8443");
    }

    #[test]
    fn hosts_that_are_none_are_ignored() {
        assert_eq!(base_of(&[("host", "evil/../x")]), "");
        assert_eq!(
            base_of(&[("host", "a.example"), ("x-forwarded-proto", "javascript")]),
            "http://a.example"
        );
    }
}
