//! Paths of the distribution API, both ways: a path parsed into a [`Route`], a [`Route`] written as a path.

use std::borrow::Cow;
use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::name::NameError;
use crate::reference::ReferenceError;
use crate::{Digest, DigestError, Reference, RepositoryName};

/// An endpoint of the distribution specification ("Endpoints"), with its path parameters parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// end-1: `/v2/`.
    Base,
    /// `/v2/_catalog`.
    Catalog,
    /// end-2, end-10: `/v2/<name>/blobs/<digest>`.
    Blob(RepositoryName, Digest),
    /// end-4, end-11: `/v2/<name>/blobs/uploads/`.
    Uploads(RepositoryName),
    /// end-5, end-6, end-13, end-14: `/v2/<name>/blobs/uploads/<session>`.
    Upload(RepositoryName, String),
    /// end-3, end-7, end-9: `/v2/<name>/manifests/<reference>`.
    Manifest(RepositoryName, Reference),
    /// end-8: `/v2/<name>/tags/list`.
    Tags(RepositoryName),
    /// end-12: `/v2/<name>/referrers/<digest>`.
    Referrers(RepositoryName, Digest),
}

/// Why a path is not a route.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// No endpoint has this shape.
    #[error("no such endpoint")]
    NotFound,
    /// The repository name is outside the grammar.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The digest is malformed.
    #[error(transparent)]
    Digest(#[from] DigestError),
    /// The manifest reference is neither tag nor digest.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
}

/// What is escaped in a session, the one part of a route that may hold any character: all but RFC 3986's unreserved.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl Route {
    /// Parses the path of a request (no query), still percent-encoded as it came.
    ///
    /// Names contain `/` and may contain the words of the endpoints (`a/blobs/b`), so the path is read from its end.
    pub fn parse(path: &str) -> Result<Route, RouteError> {
        let rest = path.strip_prefix("/v2").ok_or(RouteError::NotFound)?;
        let rest = match rest {
            "" | "/" => return Ok(Route::Base),
            _ => rest.strip_prefix('/').ok_or(RouteError::NotFound)?,
        };
        if rest == "_catalog" || rest == "_catalog/" {
            return Ok(Route::Catalog);
        }
        if let Some(name) =
            rest.strip_suffix("/blobs/uploads/").or_else(|| rest.strip_suffix("/blobs/uploads"))
        {
            return Ok(Route::Uploads(parse_name(name)?));
        }
        if let Some(name) = rest.strip_suffix("/tags/list") {
            return Ok(Route::Tags(parse_name(name)?));
        }
        let (head, last) = cut_last(rest).ok_or(RouteError::NotFound)?;
        let last = decode(last)?;
        if let Some(name) = head.strip_suffix("/blobs/uploads") {
            return Ok(Route::Upload(parse_name(name)?, last.into_owned()));
        }
        let (name, kind) = cut_last(head).ok_or(RouteError::NotFound)?;
        match kind {
            "blobs" => Ok(Route::Blob(parse_name(name)?, Digest::parse(&last)?)),
            "manifests" => Ok(Route::Manifest(parse_name(name)?, Reference::parse(&last)?)),
            "referrers" => Ok(Route::Referrers(parse_name(name)?, Digest::parse(&last)?)),
            _ => Err(RouteError::NotFound),
        }
    }

    /// The repository that the route is about.
    pub fn repository(&self) -> Option<&RepositoryName> {
        match self {
            Route::Base | Route::Catalog => None,
            Route::Blob(name, _)
            | Route::Uploads(name)
            | Route::Upload(name, _)
            | Route::Manifest(name, _)
            | Route::Tags(name)
            | Route::Referrers(name, _) => Some(name),
        }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Route::Base => f.write_str("/v2/"),
            Route::Catalog => f.write_str("/v2/_catalog"),
            Route::Blob(name, digest) => write!(f, "/v2/{name}/blobs/{digest}"),
            Route::Uploads(name) => write!(f, "/v2/{name}/blobs/uploads/"),
            Route::Upload(name, session) => {
                write!(f, "/v2/{name}/blobs/uploads/{}", utf8_percent_encode(session, ESCAPED))
            }
            Route::Manifest(name, reference) => write!(f, "/v2/{name}/manifests/{reference}"),
            Route::Tags(name) => write!(f, "/v2/{name}/tags/list"),
            Route::Referrers(name, digest) => write!(f, "/v2/{name}/referrers/{digest}"),
        }
    }
}

/// What stands before and after the last slash.
fn cut_last(text: &str) -> Option<(&str, &str)> {
    let at = memchr::memrchr(b'/', text.as_bytes())?;
    Some((&text[..at], &text[at + 1..]))
}

/// A percent-encoded slash or dot stays an illegal character: names are never decoded.
fn parse_name(text: &str) -> Result<RepositoryName, RouteError> {
    Ok(RepositoryName::parse(text)?)
}

/// Clients may write the colon of a digest as `%3A`.
fn decode(text: &str) -> Result<Cow<'_, str>, RouteError> {
    if !text.as_bytes().contains(&b'%') {
        return Ok(Cow::Borrowed(text));
    }
    percent_decode_str(text).decode_utf8().map_err(|_| RouteError::NotFound)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const D: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn names_may_contain_the_words_of_the_endpoints() {
        let route = Route::parse(&format!("/v2/a/blobs/uploads/b/blobs/{D}")).unwrap();
        assert_eq!(route.repository().unwrap().as_str(), "a/blobs/uploads/b");
        let route = Route::parse("/v2/tags/list/tags/list").unwrap();
        assert_eq!(route, Route::Tags(RepositoryName::parse("tags/list").unwrap()));
        let route = Route::parse("/v2/manifests/manifests/latest").unwrap();
        assert_eq!(route.repository().unwrap().as_str(), "manifests");
    }

    #[test]
    fn uploads_are_found_with_and_without_the_slash() {
        assert!(matches!(Route::parse("/v2/a/blobs/uploads/"), Ok(Route::Uploads(_))));
        assert!(matches!(Route::parse("/v2/a/blobs/uploads"), Ok(Route::Uploads(_))));
        assert!(matches!(Route::parse("/v2/a/blobs/uploads/x"), Ok(Route::Upload(_, _))));
    }

    #[test]
    fn a_session_of_any_characters_prints_as_one_escaped_part() {
        for session in ["x%2Fblobs%2Fy", "%2541", "%0d%0aX:%20y", "%4"] {
            let route = Route::parse(&format!("/v2/a/blobs/uploads/{session}")).unwrap();
            let printed = route.to_string();
            assert!(printed.bytes().all(|byte| byte.is_ascii_graphic()), "{printed:?}");
            assert_eq!(Route::parse(&printed).unwrap(), route);
        }
    }

    #[test]
    fn hostile_paths_are_not_routes() {
        for path in [
            "/v2/../manifests/latest",
            "/v2/%2e%2e/manifests/latest",
            "/v2/a/../b/manifests/latest",
            "/v2/A/manifests/latest",
            "/v2//manifests/latest",
            "/v2/a/manifests/",
            "/v2/a%2fb/manifests/latest",
            "/v2/a/manifests/..",
            "/v2/a/blobs/sha256:..",
            "/v1/",
            "/v2x/",
            "",
        ] {
            assert!(Route::parse(path).is_err(), "{path:?} was accepted");
        }
    }

    #[test]
    fn an_encoded_colon_is_a_digest() {
        let path = format!("/v2/a/manifests/{}", D.replace(':', "%3A"));
        assert!(matches!(Route::parse(&path), Ok(Route::Manifest(_, Reference::Digest(_)))));
    }

    proptest! {
        #[test]
        fn what_parses_prints_back_to_the_same_route(path in "/v2/([a-z0-9_./-]{1,20}/)?(blobs/uploads/[a-z]{0,3}|tags/list|manifests/[a-z.]{1,5}|_catalog)") {
            if let Ok(route) = Route::parse(&path) {
                prop_assert_eq!(Route::parse(&route.to_string()).unwrap(), route);
            }
        }

        #[test]
        fn no_path_makes_the_parser_panic(path in "\\PC{0,80}") {
            let _ = Route::parse(&path);
        }
    }
}
