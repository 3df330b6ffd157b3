//! URLs of a cluster, and how names are written in them.

use http::Uri;
use http::uri::{Authority, PathAndQuery, Scheme};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::{Error, ErrorKind, Result};

/// What is not escaped in a path (RFC 3986, section 2.3), and the slash.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// Escapes a name for a path or a query.
pub(crate) fn encode(name: &str) -> String {
    utf8_percent_encode(name, PATH).to_string()
}

/// Undoes [`encode`]. None if the result is not UTF-8.
pub(crate) fn decode(text: &str) -> Option<String> {
    percent_decode_str(text).decode_utf8().ok().map(Into::into)
}

/// A URL without a query and without a slash at its end, to which paths are appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Base {
    scheme: Scheme,
    authority: Authority,
    path: String,
}

impl Base {
    /// Reads `text`, which `what` names in the error.
    pub(crate) fn parse(what: &str, text: &str) -> Result<Base> {
        let invalid = |why: &str| Error::new(ErrorKind::Invalid, format!("{what} {text:?}: {why}"));
        let uri: Uri = text.parse().map_err(|_| invalid("not a URL"))?;
        let parts = uri.into_parts();
        let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else {
            return Err(invalid("a URL with http:// or https:// is needed"));
        };
        if scheme != Scheme::HTTP && scheme != Scheme::HTTPS {
            return Err(invalid("only http and https are known"));
        }
        if authority.as_str().contains('@') {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("{what}: credentials do not belong in a URL"),
            ));
        }
        let path = parts.path_and_query.as_ref().map_or("", PathAndQuery::path);
        Ok(Base { scheme, authority, path: path.trim_end_matches('/').to_owned() })
    }

    /// The path, as it was written.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// The URL of the cluster's `/info`: the storage URL without its last two elements.
    pub(crate) fn info(&self) -> Base {
        let mut path = self.path.as_str();
        for _ in 0..2 {
            path = path.rfind('/').map_or("", |slash| &path[..slash]);
        }
        Base { scheme: self.scheme.clone(), authority: self.authority.clone(), path: format!("{path}/info") }
    }

    /// This URL with an escaped `path` and a `query` (both may be empty).
    pub(crate) fn join(&self, path: &str, query: &str) -> Result<Uri> {
        let question = if query.is_empty() { "" } else { "?" };
        let whole = format!("{}{path}{question}{query}", self.path);
        let whole = if whole.is_empty() { "/" } else { &whole };
        Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(whole)
            .build()
            .map_err(|error| Error::new(ErrorKind::Invalid, format!("{self}{path}: {error}")))
    }
}

impl std::fmt::Display for Base {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.authority, self.path)
    }
}

/// Checks the name of a container: 1 to 256 bytes, no slash.
pub(crate) fn check_container(name: &str) -> Result<()> {
    if name.is_empty() || name.len() > 256 || name.contains('/') {
        let message = format!("container {name:?}: 1 to 256 bytes without a slash are allowed");
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    Ok(())
}

/// Checks the name of an object: not empty. How long it may be is the cluster's affair.
pub(crate) fn check_object(name: &str) -> Result<()> {
    if name.is_empty() {
        return Err(Error::new(ErrorKind::Invalid, "an object without a name"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_byte_by_byte_and_slashes_stay() {
        assert_eq!(encode("a/b c?d%é&=+#"), "a/b%20c%3Fd%25%C3%A9%26%3D%2B%23");
        assert_eq!(decode("a/b%20c%3Fd%25%C3%A9").as_deref(), Some("a/b c?d%é"));
        assert_eq!(decode("%ff"), None);
    }

    #[test]
    fn urls_are_joined_and_info_stands_beside_the_accounts() {
        let base = Base::parse("storage URL", "https://swift.example:8080/x/v1/AUTH_a/").expect("parses");
        assert_eq!(base.to_string(), "https://swift.example:8080/x/v1/AUTH_a");
        assert_eq!(base.info().to_string(), "https://swift.example:8080/x/info");
        let uri = base.join("/c/o%20o", "limit=1").expect("joins");
        assert_eq!(uri.to_string(), "https://swift.example:8080/x/v1/AUTH_a/c/o%20o?limit=1");
    }

    #[test]
    fn urls_that_cannot_work_are_refused() {
        for text in ["", "swift.example", "ftp://swift.example/", "http://user:secret@swift.example/"] {
            let error = Base::parse("storage URL", text).expect_err(text);
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(!error.to_string().contains("secret"));
        }
    }

    #[test]
    fn names_of_containers_have_limits() {
        assert!(check_container(&"x".repeat(256)).is_ok());
        for name in ["", "a/b", &"x".repeat(257)] {
            assert!(check_container(name).is_err());
        }
    }
}
