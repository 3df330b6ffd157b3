//! One blocking keep-alive connection: enough for pushes, big downloads and lists.

use std::io::{IoSlice, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use crate::http::{self, Framing};

/// A server that makes no progress for this long has failed the measure.
pub(crate) const STALL_LIMIT: Duration = Duration::from_secs(60);

/// Big enough that the calls are few, small enough to stay in the second-level cache.
const READ_SIZE: usize = 256 << 10;

/// An answer with its body in memory.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The status code.
    pub(crate) status: u16,
    /// Path and query of `Location`.
    pub(crate) location: Option<String>,
    /// `Docker-Content-Digest`.
    pub(crate) digest: Option<String>,
    /// The body.
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// Passes the answer on if its status is `status`, else an error with what the server said.
    pub(crate) fn expect(self, status: u16, what: &str) -> Result<Answer> {
        if self.status == status {
            return Ok(self);
        }
        let said = String::from_utf8_lossy(&self.body[..self.body.len().min(300)]).into_owned();
        bail!("{what}: expected {status}, got {} {said}", self.status)
    }
}

/// A keep-alive connection that opens itself again when the server closed it after an answer.
pub(crate) struct Connection {
    address: SocketAddr,
    host: String,
    stream: TcpStream,
    buffer: Vec<u8>,
    /// The unread bytes of `buffer`.
    unread: std::ops::Range<usize>,
    closed: bool,
}

impl Connection {
    /// Connects.
    pub(crate) fn open(address: SocketAddr) -> Result<Connection> {
        let stream = connect(address)?;
        let buffer = vec![0; READ_SIZE];
        Ok(Connection { address, host: address.to_string(), stream, buffer, unread: 0..0, closed: false })
    }

    /// Sends a request and reads the whole answer. `headers` is whole lines; `body` is sent in its parts, with
    /// a `Content-Length`.
    pub(crate) fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &str,
        body: &[&[u8]],
    ) -> Result<Answer> {
        let mut content = Vec::new();
        let what = format!("{method} {path}");
        self.send(method, path, headers, body).with_context(|| what.clone())?;
        let mut answer = self
            .receive(method == "HEAD", |part| {
                content.extend_from_slice(part);
                Ok(())
            })
            .context(what)?;
        answer.body = content;
        Ok(answer)
    }

    /// GETs `path` and compares every byte with `expected`, which is given in its parts, as it arrives.
    pub(crate) fn download(&mut self, path: &str, headers: &str, expected: &[&[u8]]) -> Result<()> {
        let mut parts = expected.iter().copied();
        let mut left: &[u8] = &[];
        let mut offset = 0;
        self.send("GET", path, headers, &[])?;
        let answer = self.receive(false, |mut came| {
            while !came.is_empty() {
                while left.is_empty() {
                    left =
                        parts.next().with_context(|| format!("GET {path}: more than {offset} bytes came"))?;
                }
                let (now, later) = came.split_at(came.len().min(left.len()));
                let same = now == &left[..now.len()];
                ensure!(same, "GET {path}: the body differs from what was pushed at or after byte {offset}");
                (came, left) = (later, &left[now.len()..]);
                offset += now.len();
            }
            Ok(())
        })?;
        answer.expect(200, path)?;
        let size: usize = expected.iter().map(|part| part.len()).sum();
        ensure!(offset == size, "GET {path}: {offset} of {size} bytes came");
        Ok(())
    }

    fn send(&mut self, method: &str, path: &str, headers: &str, body: &[&[u8]]) -> Result<()> {
        if self.closed {
            self.stream = connect(self.address)?;
            self.unread = 0..0;
            self.closed = false;
        }
        let length: usize = body.iter().map(|part| part.len()).sum();
        let length = if matches!(method, "GET" | "HEAD" | "DELETE") {
            String::new()
        } else {
            format!("Content-Length: {length}\r\n")
        };
        let head = http::request_head(method, path, &self.host, &format!("{headers}{length}"));
        let mut slices: Vec<IoSlice<'_>> = Vec::with_capacity(body.len() + 1);
        slices.push(IoSlice::new(head.as_bytes()));
        slices.extend(body.iter().map(|part| IoSlice::new(part)));
        let mut rest = &mut slices[..];
        while !rest.is_empty() {
            match self.stream.write_vectored(rest) {
                Ok(0) => bail!("the server takes no more bytes"),
                Ok(written) => IoSlice::advance_slices(&mut rest, written),
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                // A server that refuses a body answers and closes: its answer says more than the broken pipe.
                Err(e) if !body.is_empty() && is_closed(&e) => return Ok(()),
                Err(e) => return Err(e).context("sending the request"),
            }
        }
        Ok(())
    }

    fn receive(&mut self, head_only: bool, mut sink: impl FnMut(&[u8]) -> Result<()>) -> Result<Answer> {
        let (answer, framing) = loop {
            if let Some(head) = http::parse_head(&self.buffer[self.unread.clone()], head_only)? {
                let answer = Answer {
                    status: head.status,
                    location: head.location.map(path_of_location),
                    digest: head.digest.map(str::to_owned),
                    body: Vec::new(),
                };
                let (framing, size) = (head.framing, head.size);
                self.closed = head.closes;
                self.unread.start += size;
                if answer.status >= 200 {
                    break (answer, framing);
                }
                continue;
            }
            self.fill()?;
        };
        match framing {
            Framing::Length(length) => self.pass_on(length, &mut sink)?,
            Framing::Chunked => self.pass_on_chunks(&mut sink)?,
        }
        Ok(answer)
    }

    fn pass_on(&mut self, mut left: u64, sink: &mut impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        while left > 0 {
            if self.unread.is_empty() {
                self.fill()?;
            }
            let take = usize::try_from(left).unwrap_or(usize::MAX).min(self.unread.len());
            sink(&self.buffer[self.unread.start..self.unread.start + take])?;
            self.unread.start += take;
            left -= take as u64;
        }
        Ok(())
    }

    fn pass_on_chunks(&mut self, sink: &mut impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        loop {
            let size = http::parse_chunk_size(&self.line()?)?;
            if size == 0 {
                // Trailers, then the empty line that ends the body.
                while !self.line()?.is_empty() {}
                return Ok(());
            }
            self.pass_on(size, sink)?;
            ensure!(self.line()?.is_empty(), "a chunk is longer than it said");
        }
    }

    /// Reads a line, without its CR LF.
    fn line(&mut self) -> Result<Vec<u8>> {
        loop {
            let unread = &self.buffer[self.unread.clone()];
            if let Some(end) = unread.windows(2).position(|pair| pair == b"\r\n") {
                let line = unread[..end].to_vec();
                self.unread.start += end + 2;
                return Ok(line);
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> Result<()> {
        if self.unread.is_empty() {
            self.unread = 0..0;
        } else if self.unread.end == self.buffer.len() {
            ensure!(self.unread.start > 0, "a head or line of more than {READ_SIZE} bytes");
            self.buffer.copy_within(self.unread.clone(), 0);
            self.unread = 0..self.unread.len();
        }
        let read = self.stream.read(&mut self.buffer[self.unread.end..]).context("waiting for the answer")?;
        ensure!(read > 0, "the server closed the connection in the middle of an answer");
        self.unread.end += read;
        Ok(())
    }
}

/// Opens a TCP connection with the stall limits set.
pub(crate) fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))
        .with_context(|| format!("connecting to {address}"))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(STALL_LIMIT))?;
    stream.set_write_timeout(Some(STALL_LIMIT))?;
    Ok(stream)
}

fn is_closed(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::BrokenPipe | std::io::ErrorKind::ConnectionReset)
}

/// The path and query of a `Location`. The authority is dropped: requests stay on the loopback connection.
fn path_of_location(location: &str) -> String {
    let rest =
        location.split_once("://").map_or(location, |(_, rest)| rest.find('/').map_or("/", |i| &rest[i..]));
    rest.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// Serves `answer` to one connection, whatever is asked, in pieces of `piece` bytes.
    fn served(answer: &'static str, piece: usize) -> Connection {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            assert!(stream.read(&mut request).unwrap() > 0);
            for part in answer.as_bytes().chunks(piece) {
                stream.write_all(part).unwrap();
                stream.flush().unwrap();
            }
        });
        Connection::open(address).unwrap()
    }

    #[test]
    fn a_chunked_body_is_put_together() {
        let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nA: b\r\n\r\n";
        for piece in [1, 7, 4096] {
            let answer = served(answer, piece).request("GET", "/", "", &[]).unwrap();
            assert_eq!((answer.status, &answer.body[..]), (200, &b"abcde"[..]));
        }
    }

    #[test]
    fn a_download_is_compared_byte_for_byte() {
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde";
        for parts in [&[&b"abcde"[..]][..], &[b"a", b"", b"bcd", b"e"]] {
            assert!(served(answer, 2).download("/", "", parts).is_ok());
        }
        for wrong in [&b"abcdf"[..], b"abcd", b"abcdef"] {
            assert!(served(answer, 2).download("/", "", &[wrong]).is_err());
        }
        assert!(served(answer, 2).download("/", "", &[b"abc", b"d", b"f"]).is_err());
    }

    #[test]
    fn a_cut_answer_is_an_error() {
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc";
        assert!(served(answer, 4096).request("GET", "/", "", &[]).is_err());
    }

    #[test]
    fn an_absolute_location_stays_on_this_connection() {
        assert_eq!(path_of_location("http://192.0.2.1/v2/a?b=c"), "/v2/a?b=c");
        assert_eq!(path_of_location("/v2/a"), "/v2/a");
    }
}
