//! What a request is made of, and what an answer is made of.

use std::borrow::Cow;

use http::{HeaderMap, Method, StatusCode};
use md5::{Digest, Md5};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use crate::body::ReplyBody;
use crate::clock::Timestamp;

/// What a path in a header or an error list has encoded: what Python's `quote` encodes.
const QUOTED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'!')
    .add(b'"')
    .add(b'#')
    .add(b'$')
    .add(b'%')
    .add(b'&')
    .add(b'\'')
    .add(b'(')
    .add(b')')
    .add(b'*')
    .add(b'+')
    .add(b',')
    .add(b':')
    .add(b';')
    .add(b'<')
    .add(b'=')
    .add(b'>')
    .add(b'?')
    .add(b'@')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// Encodes a path as Swift does in `X-Copied-From` and lists of errors.
pub(crate) fn quote(text: &str) -> String {
    utf8_percent_encode(text, QUOTED).to_string()
}

/// Decodes percent-encoded text; `None` when it is not UTF-8.
pub(crate) fn unquote(text: &str) -> Option<String> {
    percent_decode_str(text).decode_utf8().ok().map(Cow::into_owned)
}

/// The MD5 of bytes, in hex: the ETag of a plain object.
pub(crate) fn md5_hex(bytes: &[u8]) -> String {
    hex::encode(Md5::digest(bytes))
}

const HTML: &str = "text/html; charset=UTF-8";

/// The head of a request, taken apart.
#[derive(Debug)]
pub(crate) struct Head {
    /// The number of the request, from 1.
    pub(crate) number: u64,
    /// Which front end it came to.
    pub(crate) front_end: usize,
    pub(crate) method: Method,
    /// The path as it was sent, still percent-encoded, without the query.
    pub(crate) raw_path: String,
    /// Query parameters, decoded.
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: HeaderMap,
    /// When it began: what orders all effects of the request.
    pub(crate) started: Timestamp,
    pub(crate) transaction: String,
}

impl Head {
    /// The first header of that name, as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// A query parameter.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Whether a header says yes in one of the ways that Swift takes for yes.
    pub(crate) fn says_yes(&self, name: &str) -> bool {
        self.header(name).is_some_and(yes)
    }

    /// `Content-Length`, where it is a number.
    pub(crate) fn content_length(&self) -> Option<u64> {
        self.header("content-length").and_then(|value| value.parse().ok())
    }

    /// Whether the body comes without its length said before.
    pub(crate) fn chunked(&self) -> bool {
        self.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"))
    }
}

/// Swift's `config_true_value`.
pub(crate) fn yes(value: &str) -> bool {
    matches!(value.to_ascii_lowercase().as_str(), "true" | "1" | "yes" | "on" | "t" | "y")
}

/// Splits a query into decoded parameters; a name without `=` has an empty value.
pub(crate) fn parse_query(query: &str) -> Vec<(String, String)> {
    let decode = |text: &str| {
        let text = text.replace('+', " ");
        percent_decode_str(&text).decode_utf8_lossy().into_owned()
    };
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decode(name), decode(value)))
        .collect()
}

/// An answer before it goes to the wire.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: ReplyBody,
}

impl Reply {
    /// An answer of that status with Swift's own words as its body.
    pub(crate) fn status(status: u16) -> Reply {
        let status = code(status);
        let reply = Reply { status, headers: Vec::new(), body: ReplyBody::empty() };
        match explanation(status.as_u16()) {
            Some((title, text)) => {
                reply.header("Content-Type", HTML).text(format!("<html><h1>{title}</h1><p>{text}</p></html>"))
            }
            None => reply.header("Content-Type", HTML),
        }
    }

    /// As [`Reply::message`], called HTML though it is none, as many of Swift's are.
    pub(crate) fn html(status: u16, text: impl Into<String>) -> Reply {
        Reply { status: code(status), headers: Vec::new(), body: ReplyBody::empty() }
            .header("Content-Type", HTML)
            .text(text.into())
    }

    /// An answer of that status with a text of its own.
    pub(crate) fn message(status: u16, text: impl Into<String>) -> Reply {
        Reply { status: code(status), headers: Vec::new(), body: ReplyBody::empty() }
            .header("Content-Type", "text/plain")
            .text(text.into())
    }

    /// An answer of that status without a body.
    pub(crate) fn bare(status: u16) -> Reply {
        Reply { status: code(status), headers: Vec::new(), body: ReplyBody::empty() }
    }

    /// Adds a header.
    #[must_use]
    pub(crate) fn header(mut self, name: &str, value: impl Into<String>) -> Reply {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Replaces the body.
    #[must_use]
    pub(crate) fn text(mut self, body: impl Into<String>) -> Reply {
        self.body = ReplyBody::whole(body.into().into());
        self
    }

    /// Replaces the body.
    #[must_use]
    pub(crate) fn with_body(mut self, body: ReplyBody) -> Reply {
        self.body = body;
        self
    }

    /// A header that was set.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Whether the status is one of success.
    pub(crate) fn is_success(&self) -> bool {
        self.status.is_success()
    }
}

/// A status code with its reason: `201 Created`.
pub(crate) fn status_line(status: u16) -> String {
    let reason = match status {
        413 => "Request Entity Too Large",
        416 => "Requested Range Not Satisfiable",
        422 => "Unprocessable Entity",
        498 => "Rate Limited",
        499 => "Client Disconnect",
        _ => code(status).canonical_reason().unwrap_or("Unknown"),
    };
    format!("{status} {reason}")
}

/// The same words as on the page, in two lines of text.
pub(crate) fn words(status: u16) -> String {
    explanation(status).map_or_else(String::new, |(title, text)| format!("{title}\n{text}"))
}

fn code(status: u16) -> StatusCode {
    StatusCode::from_u16(status).expect("a status between 100 and 999")
}

/// Title and text of Swift's short pages for errors.
fn explanation(status: u16) -> Option<(&'static str, &'static str)> {
    Some(match status {
        202 => ("Accepted", "The request is accepted for processing."),
        400 => (
            "Bad Request",
            "The server could not comply with the request since it is either malformed or otherwise incorrect.",
        ),
        401 => (
            "Unauthorized",
            "This server could not verify that you are authorized to access the document you requested.",
        ),
        403 => ("Forbidden", "Access was denied to this resource."),
        404 => ("Not Found", "The resource could not be found."),
        405 => ("Method Not Allowed", "The method is not allowed for this resource."),
        409 => ("Conflict", "There was a conflict when trying to complete your request."),
        411 => ("Length Required", "Content-Length header required."),
        412 => ("Precondition Failed", "A precondition for this request was not met."),
        413 => ("Request Entity Too Large", "The body of your request was too large for this server."),
        416 => ("Requested Range Not Satisfiable", "The Range requested is not available."),
        422 => ("Unprocessable Entity", "Unable to process the contained instructions"),
        429 => ("Too Many Requests", "Too many requests."),
        498 => ("Rate Limited", "Slow down"),
        499 => ("Client Disconnect", "The client was disconnected during request."),
        500 => ("Internal Error", "The server has either erred or is incapable of performing the request."),
        503 => {
            ("Service Unavailable", "The server is currently unavailable. Please try again at a later time.")
        }
        507 => ("Insufficient Storage", "There was not enough space to save the resource."),
        _ => return None,
    })
}
