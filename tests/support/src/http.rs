//! A small blocking HTTP/1.1 client that never forgives: a body that ends early is an error, not a short body.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::tls::{Authority, ClientCertificate};

/// How long one read or write may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Why a request has no complete answer.
#[derive(Debug)]
pub enum HttpError {
    /// The connection failed, or ended before the head of an answer was complete.
    Io(io::Error),
    /// What came is not HTTP/1.1.
    Malformed(String),
    /// The head came, but the body ended before its announced end.
    Truncated {
        /// What came before the end: status, headers and the bytes of the body so far.
        response: Box<Response>,
        /// What the socket said.
        error: io::Error,
    },
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HttpError::Io(error) => write!(f, "connection failed: {error}"),
            HttpError::Malformed(what) => write!(f, "not HTTP/1.1: {what}"),
            HttpError::Truncated { response, error } => {
                write!(
                    f,
                    "body of the {} ended after {} bytes: {error}",
                    response.status,
                    response.body.len()
                )
            }
        }
    }
}

impl std::error::Error for HttpError {}

impl From<io::Error> for HttpError {
    fn from(error: io::Error) -> Self {
        HttpError::Io(error)
    }
}

/// A request: method, path with query, headers and a body of known length.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Method, as it goes over the wire.
    pub method: String,
    /// Path and query, as they go over the wire.
    pub target: String,
    /// Headers besides Host, Content-Length and Transfer-Encoding.
    pub headers: Vec<(String, String)>,
    /// The body; `None` sends neither a body nor a length.
    pub body: Option<Vec<u8>>,
    /// Send the body chunked instead of with a length.
    pub chunked: bool,
}

impl Request {
    /// A request without a body.
    pub fn new(method: &str, target: &str) -> Request {
        Request { method: method.into(), target: target.into(), ..Request::default() }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Request {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the body, sent with a Content-Length.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Request {
        self.body = Some(body.into());
        self
    }

    /// Sends the body with Transfer-Encoding: chunked.
    #[must_use]
    pub fn chunked(mut self) -> Request {
        self.chunked = true;
        self
    }
}

/// A complete answer.
#[derive(Clone, Debug)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Headers in the order in which they came, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The whole body.
    pub body: Vec<u8>,
}

impl Response {
    /// The first header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let name = name.to_ascii_lowercase();
        self.headers.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str())
    }

    /// The header of that name; panics when it is missing.
    pub fn required(&self, name: &str) -> &str {
        self.header(name).unwrap_or_else(|| panic!("no {name} header in the answer: {self:?}"))
    }

    /// The body as JSON; panics when it is not.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {:?}", self.text()))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The `code` of the first error in an OCI error body; panics when the body is none.
    pub fn error_code(&self) -> String {
        let body = self.json();
        let error = &body["errors"][0];
        let code = error["code"].as_str().unwrap_or_else(|| panic!("no error code in {}", self.text()));
        let message = error["message"].as_str().unwrap_or_default();
        assert!(!message.is_empty(), "an error without a message: {}", self.text());
        code.to_owned()
    }

    /// Panics unless the status is `status`; returns the answer.
    #[track_caller]
    pub fn expect(self, status: u16) -> Response {
        let text = String::from_utf8_lossy(&self.body[..self.body.len().min(600)]);
        assert_eq!(self.status, status, "unexpected status; headers {:?}, body {text}", self.headers);
        self
    }

    /// Panics unless this is an OCI error of that status and code.
    #[track_caller]
    pub fn expect_error(self, status: u16, code: &str) -> Response {
        let answer = self.expect(status);
        assert_eq!(answer.error_code(), code, "{}", answer.text());
        answer
    }
}

/// Where requests go: an address, with or without TLS.
#[derive(Clone, Debug)]
pub struct Client {
    port: u16,
    authority: Option<Authority>,
    certificate: Option<ClientCertificate>,
}

impl Client {
    /// A client of the plain server on that loopback port.
    pub fn plain(port: u16) -> Client {
        Client { port, authority: None, certificate: None }
    }

    /// A client of the TLS server on that loopback port, whose certificate `authority` must have signed.
    pub fn tls(port: u16, authority: &Authority) -> Client {
        Client { port, authority: Some(authority.clone()), certificate: None }
    }

    /// The same with this certificate to show, or with none.
    #[must_use]
    pub fn showing(&self, certificate: Option<&ClientCertificate>) -> Client {
        Client { certificate: certificate.cloned(), ..self.clone() }
    }

    /// The port that requests go to.
    pub fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn authority(&self) -> Option<&Authority> {
        self.authority.as_ref()
    }

    pub(crate) fn certificate(&self) -> Option<&ClientCertificate> {
        self.certificate.as_ref()
    }

    /// Opens a connection that can be kept for several requests.
    pub fn connect(&self) -> Result<Connection, HttpError> {
        let socket = TcpStream::connect(("127.0.0.1", self.port))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(TIMEOUT))?;
        socket.set_write_timeout(Some(TIMEOUT))?;
        let stream: Box<dyn Stream> = match &self.authority {
            None => Box::new(socket.try_clone()?),
            Some(authority) => Box::new(authority.connect(self.certificate.as_ref(), socket.try_clone()?)?),
        };
        Ok(Connection { socket, stream: BufReader::with_capacity(64 * 1024, stream), port: self.port })
    }

    /// One request on a connection of its own.
    pub fn send(&self, request: &Request) -> Result<Response, HttpError> {
        self.connect()?.send(request)
    }
}

/// Bytes in both directions, with or without TLS.
pub(crate) trait Stream: Read + Write + Send {}

impl<T: Read + Write + Send> Stream for T {}

/// One connection, kept alive between requests.
pub struct Connection {
    socket: TcpStream,
    stream: BufReader<Box<dyn Stream>>,
    port: u16,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection(127.0.0.1:{})", self.port)
    }
}

impl Connection {
    /// The TCP socket below, to shut it down or to shorten its timeouts.
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Sends a request and reads its whole answer.
    pub fn send(&mut self, request: &Request) -> Result<Response, HttpError> {
        let sent = self.write(request);
        // A server may refuse and close before it has read the whole body: its answer still counts.
        match self.read(&request.method) {
            Ok(response) => Ok(response),
            Err(HttpError::Io(error)) => Err(HttpError::Io(sent.err().unwrap_or(error))),
            Err(error) => Err(error),
        }
    }

    /// Writes a request without waiting for the answer.
    pub fn write(&mut self, request: &Request) -> io::Result<()> {
        self.write_head(request)?;
        let Some(body) = &request.body else { return self.stream.get_mut().flush() };
        if request.chunked {
            for chunk in body.chunks(16 * 1024) {
                write!(self.stream.get_mut(), "{:x}\r\n", chunk.len())?;
                self.write_bytes(chunk)?;
                self.write_bytes(b"\r\n")?;
            }
            return self.write_bytes(b"0\r\n\r\n");
        }
        self.write_bytes(body)
    }

    /// Writes the head of a request alone; the caller writes the body.
    pub fn write_head(&mut self, request: &Request) -> io::Result<()> {
        let mut head = format!("{} {} HTTP/1.1\r\n", request.method, request.target);
        if !request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            head.push_str(&format!("Host: 127.0.0.1:{}\r\n", self.port));
        }
        for (name, value) in &request.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        match &request.body {
            Some(_) if request.chunked => head.push_str("Transfer-Encoding: chunked\r\n"),
            Some(body) => head.push_str(&format!("Content-Length: {}\r\n", body.len())),
            None => {}
        }
        head.push_str("\r\n");
        self.write_bytes(head.as_bytes())
    }

    /// Writes raw bytes.
    pub fn write_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        let stream = self.stream.get_mut();
        stream.write_all(bytes)?;
        stream.flush()
    }

    /// Reads the head of an answer, leaving the body on the wire.
    pub fn read_head(&mut self) -> Result<Response, HttpError> {
        loop {
            let line = self.line()?;
            let mut words = line.splitn(3, ' ');
            let (version, status) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
            if version != "HTTP/1.1" {
                return Err(HttpError::Malformed(line));
            }
            let status: u16 = status.parse().map_err(|_| HttpError::Malformed(line.clone()))?;
            let mut headers = Vec::new();
            loop {
                let line = self.line()?;
                if line.is_empty() {
                    break;
                }
                let (name, value) = line.split_once(':').ok_or_else(|| HttpError::Malformed(line.clone()))?;
                headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
            }
            if status >= 200 {
                return Ok(Response { status, headers, body: Vec::new() });
            }
        }
    }

    /// Reads one whole answer to a request of that method.
    pub fn read(&mut self, method: &str) -> Result<Response, HttpError> {
        let mut response = self.read_head()?;
        if method == "HEAD" || response.status == 204 || response.status == 304 {
            return Ok(response);
        }
        let result = if response.header("transfer-encoding").is_some_and(|value| value.contains("chunked")) {
            self.read_chunks(&mut response.body)
        } else if let Some(length) = response.header("content-length") {
            let length: usize =
                length.parse().map_err(|_| HttpError::Malformed(format!("Content-Length: {length}")))?;
            self.read_exactly(length, &mut response.body)
        } else {
            self.stream.read_to_end(&mut response.body).map(|_| ())
        };
        match result {
            Ok(()) => Ok(response),
            Err(error) => Err(HttpError::Truncated { response: Box::new(response), error }),
        }
    }

    /// Reads up to `limit` bytes of what comes next; fewer only at the end of the stream.
    pub fn read_some(&mut self, limit: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        (&mut self.stream).take(limit as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn read_exactly(&mut self, length: usize, body: &mut Vec<u8>) -> io::Result<()> {
        let before = body.len();
        // One allocation where the length is believable.
        body.reserve_exact(length.min(1 << 30));
        (&mut self.stream).take(length as u64).read_to_end(body)?;
        if body.len() - before < length {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("{length} bytes were announced"),
            ));
        }
        Ok(())
    }

    fn read_chunks(&mut self, body: &mut Vec<u8>) -> io::Result<()> {
        loop {
            let line = self.line().map_err(|_| io::Error::from(io::ErrorKind::UnexpectedEof))?;
            let size = usize::from_str_radix(line.split(';').next().unwrap_or(""), 16)
                .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, format!("chunk size {line:?}")))?;
            self.read_exactly(size, body)?;
            let end = self.line().map_err(|_| io::Error::from(io::ErrorKind::UnexpectedEof))?;
            if !end.is_empty() {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a chunk without its end"));
            }
            if size == 0 {
                return Ok(());
            }
        }
    }

    fn line(&mut self) -> Result<String, HttpError> {
        let mut line = Vec::new();
        (&mut self.stream).take(64 * 1024).read_until(b'\n', &mut line)?;
        if line.last() != Some(&b'\n') {
            return Err(HttpError::Io(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the connection was closed",
            )));
        }
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(String::from_utf8_lossy(&line).into_owned())
    }
}
