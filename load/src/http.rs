//! The little of HTTP/1.1 that a client of registries needs: response heads and where their bodies end.

use anyhow::{Context as _, Result, bail};

/// How long a response's body is (RFC 9112, section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// That many bytes; also 0 for answers that cannot have a body.
    Length(u64),
    /// The chunked transfer coding.
    Chunked,
}

/// A parsed response head; borrows from the buffer it was read into.
#[derive(Debug)]
pub(crate) struct Head<'b> {
    /// The status code.
    pub(crate) status: u16,
    /// Bytes of the head including the empty line.
    pub(crate) size: usize,
    /// Where the body ends.
    pub(crate) framing: Framing,
    /// `Content-Length` as sent, which an answer to HEAD has without a body.
    pub(crate) content_length: Option<u64>,
    /// `Location`.
    pub(crate) location: Option<&'b str>,
    /// `Docker-Content-Digest`.
    pub(crate) digest: Option<&'b str>,
    /// The server closes the connection after this answer.
    pub(crate) closes: bool,
}

/// Headers that a response may have before it is called broken.
const MAX_HEADERS: usize = 64;

/// Parses a response head; `None` when it is not complete yet. `head_only` says that the request was a HEAD.
pub(crate) fn parse_head(buffer: &[u8], head_only: bool) -> Result<Option<Head<'_>>> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(size) =
        response.parse(buffer).context("the server's answer is not HTTP/1.1")?
    else {
        return Ok(None);
    };
    let status = response.code.unwrap_or(0);
    let mut head = Head {
        status,
        size,
        framing: Framing::Length(0),
        content_length: None,
        location: None,
        digest: None,
        closes: response.version == Some(0),
    };
    let mut chunked = false;
    for header in response.headers.iter() {
        let text = || std::str::from_utf8(header.value).ok();
        match header.name.len() {
            14 if header.name.eq_ignore_ascii_case("content-length") => {
                let length = text().and_then(|t| t.trim().parse().ok());
                head.content_length = Some(length.context("a Content-Length that is no number")?);
            }
            17 if header.name.eq_ignore_ascii_case("transfer-encoding") => {
                chunked = text().is_some_and(|t| t.trim().eq_ignore_ascii_case("chunked"));
            }
            10 if header.name.eq_ignore_ascii_case("connection") => {
                head.closes = text().is_some_and(|t| t.trim().eq_ignore_ascii_case("close"));
            }
            8 if header.name.eq_ignore_ascii_case("location") => head.location = text(),
            21 if header.name.eq_ignore_ascii_case("docker-content-digest") => head.digest = text(),
            _ => {}
        }
    }
    head.framing = framing(status, head_only, chunked, head.content_length)?;
    Ok(Some(head))
}

fn framing(status: u16, head_only: bool, chunked: bool, length: Option<u64>) -> Result<Framing> {
    if head_only || status < 200 || matches!(status, 204 | 304) {
        return Ok(Framing::Length(0));
    }
    match (chunked, length) {
        (true, _) => Ok(Framing::Chunked),
        (false, Some(length)) => Ok(Framing::Length(length)),
        (false, None) => {
            bail!("an answer {status} without Content-Length or chunked coding: its end is unknown")
        }
    }
}

/// Parses a chunk's size line without its line end (RFC 9112, section 7.1); extensions are ignored.
pub(crate) fn parse_chunk_size(line: &[u8]) -> Result<u64> {
    let text = std::str::from_utf8(line).ok().and_then(|t| t.split(';').next()).unwrap_or("");
    u64::from_str_radix(text.trim(), 16).with_context(|| format!("{text:?} is not a chunk size"))
}

/// A request head for a persistent connection. `headers` is whole lines, each ended by CR LF.
pub(crate) fn request_head(method: &str, path: &str, host: &str, headers: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: wharfinger-load\r\n{headers}\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Head<'_> {
        parse_head(text.as_bytes(), false).unwrap().unwrap()
    }

    #[test]
    fn a_plain_answer_is_parsed() {
        let text = "HTTP/1.1 200 OK\r\ncontent-LENGTH: 12\r\nDocker-Content-Digest: sha256:ab\r\n\r\nbody";
        let head = head(text);
        assert_eq!((head.status, head.framing), (200, Framing::Length(12)));
        assert_eq!((head.digest, head.closes), (Some("sha256:ab"), false));
        assert_eq!(&text[head.size..], "body");
    }

    #[test]
    fn an_unfinished_head_asks_for_more() {
        let whole =
            "HTTP/1.1 202 Accepted\r\nLocation: /v2/a/blobs/uploads/1?x=y\r\nContent-Length: 0\r\n\r\n";
        for cut in 0..whole.len() {
            assert!(parse_head(&whole.as_bytes()[..cut], false).unwrap().is_none(), "cut at {cut}");
        }
        assert_eq!(head(whole).location, Some("/v2/a/blobs/uploads/1?x=y"));
    }

    #[test]
    fn an_answer_to_head_has_a_length_and_no_body() {
        let text = b"HTTP/1.1 200 OK\r\nContent-Length: 1024\r\n\r\n";
        let head = parse_head(text, true).unwrap().unwrap();
        assert_eq!((head.framing, head.content_length), (Framing::Length(0), Some(1024)));
    }

    #[test]
    fn chunked_coding_wins_over_a_length() {
        let text = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(head(text).framing, Framing::Chunked);
        assert_eq!(head("HTTP/1.1 204 No Content\r\n\r\n").framing, Framing::Length(0));
    }

    #[test]
    fn a_closing_server_is_noticed() {
        assert!(head("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").closes);
        assert!(head("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n").closes);
    }

    #[test]
    fn broken_answers_are_errors() {
        for text in [
            "SSH-2.0-x\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
        ] {
            assert!(parse_head(text.as_bytes(), false).is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn chunk_sizes_are_hexadecimal() {
        assert_eq!(parse_chunk_size(b"1aF").unwrap(), 0x1af);
        assert_eq!(parse_chunk_size(b"0;name=value").unwrap(), 0);
        assert!(parse_chunk_size(b"").is_err());
        assert!(parse_chunk_size(b"xyz").is_err());
    }
}
