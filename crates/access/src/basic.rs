//! Reading the `Authorization` header (RFC 7617, RFC 6750).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, header};

use crate::Refused;

/// What a caller sent to prove who they are.
pub(crate) enum Credentials {
    /// Nothing.
    None,
    /// A user and a password.
    Basic { user: String, password: Vec<u8> },
    /// A token.
    Bearer(String),
}

impl Credentials {
    /// Reads the header.
    pub(crate) fn read(headers: &HeaderMap) -> Result<Credentials, Refused> {
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let Some(value) = values.next() else { return Ok(Credentials::None) };
        if values.next().is_some() {
            return Err(Refused::unauthenticated("more than one Authorization header"));
        }
        Credentials::parse(value)
    }

    fn parse(value: &HeaderValue) -> Result<Credentials, Refused> {
        let text = value
            .to_str()
            .map_err(|_| Refused::unauthenticated("the Authorization header is not plain text"))?;
        let (scheme, rest) = text.split_once(' ').unwrap_or((text, ""));
        let rest = rest.trim();
        if scheme.eq_ignore_ascii_case("basic") {
            basic(rest)
        } else if scheme.eq_ignore_ascii_case("bearer") {
            Ok(Credentials::Bearer(rest.to_owned()))
        } else {
            Err(Refused::unauthenticated("the Authorization header is neither Basic nor Bearer"))
        }
    }
}

/// Empty user and password are no credentials: podman and skopeo send them when they have none and were challenged.
fn basic(encoded: &str) -> Result<Credentials, Refused> {
    let malformed =
        || Refused::unauthenticated("malformed Basic credentials: expected base64 of USER:PASSWORD");
    let decoded = STANDARD.decode(encoded).map_err(|_| malformed())?;
    let colon = decoded.iter().position(|&b| b == b':').ok_or_else(malformed)?;
    let user = std::str::from_utf8(&decoded[..colon]).map_err(|_| malformed())?;
    let password = &decoded[colon + 1..];
    if user.is_empty() && password.is_empty() {
        return Ok(Credentials::None);
    }
    Ok(Credentials::Basic { user: user.to_owned(), password: password.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Result<Credentials, Refused> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        Credentials::read(&headers)
    }

    #[test]
    fn a_password_may_contain_colons() {
        let value = format!("basic {}", STANDARD.encode("bob:a:b"));
        let Ok(Credentials::Basic { user, password }) = read(&[&value]) else { panic!("not Basic") };
        assert_eq!((user.as_str(), password.as_slice()), ("bob", b"a:b".as_slice()));
    }

    #[test]
    fn empty_basic_credentials_are_none() {
        assert!(matches!(read(&["Basic Og=="]), Ok(Credentials::None)));
        assert!(matches!(read(&[]), Ok(Credentials::None)));
    }

    #[test]
    fn broken_credentials_are_refused_rather_than_taken_for_anonymous() {
        for values in
            [&["Basic !!"][..], &["Basic Ym9i"], &["Digest x"], &["Basic"], &["Bearer a", "Bearer b"]]
        {
            assert!(read(values).is_err(), "{values:?} was accepted");
        }
    }
}
