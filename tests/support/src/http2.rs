//! A small blocking HTTP/2 client that says how each stream ended: completely, by a reset, or not at all.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_rustls::TlsConnector;
use wharfinger_oci::{Algorithm, Digest, Hasher};

use crate::http::Client;

/// Bytes that may be on their way to a client, on each stream; a connection may hold four times as much.
const WINDOW: u32 = 256 * 1024;
/// As much as there may be.
const GREEDY: u32 = (1 << 31) - 1;

/// How a stream ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamEnd {
    /// With END_STREAM.
    Complete,
    /// With RST_STREAM of this reason; the connection goes on (RFC 9113, section 5.4.2).
    Reset(h2::Reason),
    /// With the connection.
    Broken(String),
}

/// An answer, and how it ended.
#[derive(Clone, Debug)]
pub struct StreamAnswer {
    /// Status code.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// How many bytes of a body came.
    pub received: u64,
    /// Their digest.
    pub digest: Digest,
    /// What came after them.
    pub end: StreamEnd,
}

/// One connection.
pub struct Http2 {
    runtime: Runtime,
    sender: SendRequest<Bytes>,
    authority: String,
    scheme: &'static str,
}

impl fmt::Debug for Http2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Http2({}://{})", self.scheme, self.authority)
    }
}

impl Http2 {
    /// Connects where `client` does: chosen by ALPN over TLS, else by prior knowledge (RFC 9113, section 3.3).
    pub fn connect(client: &Client) -> Http2 {
        Http2::connect_with(client, WINDOW, 4 * WINDOW)
    }

    /// Connects, gives the server leave to send `window` bytes of each answer, asks for `targets`, and then reads
    /// nothing any more for as long as the result lives.
    pub fn connect_and_stop_reading(client: &Client, window: u32, targets: &[String]) -> Http2 {
        let mut http2 = Http2::connect_with(client, window, GREEDY);
        let answers: Vec<_> = targets.iter().map(|target| http2.begin("GET", target, &[], true).0).collect();
        http2.runtime.block_on(async {
            for answer in answers {
                // Dropping a body would give its stream up.
                std::mem::forget(answer.await.expect("the head of an answer"));
            }
        });
        http2
    }

    /// What the server lets a client do: streams at a time, bytes on their way on one stream.
    pub fn limits(&mut self) -> (usize, usize) {
        let (_, mut stream) = self.begin("POST", "/v2/limits/blobs/uploads/", &[], false);
        stream.reserve_capacity(GREEDY as usize);
        let capacity = self.runtime.block_on(std::future::poll_fn(|context| stream.poll_capacity(context)));
        (self.sender.current_max_send_streams(), capacity.expect("an open stream").expect("a window"))
    }

    fn connect_with(client: &Client, stream: u32, connection: u32) -> Http2 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (scheme, sender) = runtime.block_on(async {
            let socket = TcpStream::connect(("127.0.0.1", client.port())).await.expect("a connection");
            socket.set_nodelay(true).expect("window updates go out at once");
            let Some(authority) = client.authority() else {
                return ("http", handshake(socket, stream, connection).await);
            };
            let config = authority.client_config_as(client.certificate(), &["h2"]);
            let name = ServerName::try_from("127.0.0.1").expect("an address is a server name");
            let connector = TlsConnector::from(Arc::new(config));
            let tls = connector.connect(name, socket).await.expect("a TLS handshake");
            assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"h2"[..]), "the server does not speak HTTP/2");
            ("https", handshake(tls, stream, connection).await)
        });
        Http2 { runtime, sender, authority: format!("127.0.0.1:{}", client.port()), scheme }
    }

    /// GET of a path; reads to the end of the stream, whichever it is.
    pub fn get(&mut self, target: &str, headers: &[(&str, &str)]) -> StreamAnswer {
        let (answer, _) = self.begin("GET", target, headers, true);
        self.runtime.block_on(read(answer))
    }

    /// GETs of several paths at the same time, on streams of one connection.
    pub fn get_all(&mut self, targets: &[String]) -> Vec<StreamAnswer> {
        let answers: Vec<_> = targets.iter().map(|target| self.begin("GET", target, &[], true).0).collect();
        self.runtime.block_on(async {
            let reading: Vec<_> = answers.into_iter().map(|answer| tokio::spawn(read(answer))).collect();
            let mut all = Vec::new();
            for task in reading {
                all.push(task.await.expect("an answer"));
            }
            all
        })
    }

    /// A request with a body, sent as fast as the server takes it.
    pub fn send(&mut self, method: &str, target: &str, body: &[u8]) -> StreamAnswer {
        let length = body.len().to_string();
        let (answer, mut stream) = self.begin(method, target, &[("content-length", &length)], false);
        self.runtime.block_on(async {
            for piece in body.chunks(64 * 1024) {
                stream.reserve_capacity(piece.len());
                while stream.capacity() < piece.len() {
                    let more = std::future::poll_fn(|context| stream.poll_capacity(context)).await;
                    assert!(matches!(more, Some(Ok(_))), "the server stopped reading: {more:?}");
                }
                stream.send_data(Bytes::copy_from_slice(piece), false).expect("a piece of the body");
            }
            stream.send_data(Bytes::new(), true).expect("the end of the body");
            read(answer).await
        })
    }

    fn begin(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        ends: bool,
    ) -> (ResponseFuture, SendStream<Bytes>) {
        let uri = format!("{}://{}{target}", self.scheme, self.authority);
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(()).expect("a request");
        self.runtime.block_on(async {
            let mut sender = self.sender.clone().ready().await.expect("a free stream");
            sender.send_request(request, ends).expect("a request on the wire")
        })
    }
}

/// Begins to speak, with these windows of each stream and of the connection.
async fn handshake(
    io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    stream: u32,
    connection: u32,
) -> SendRequest<Bytes> {
    let mut builder = h2::client::Builder::new();
    builder
        .initial_window_size(stream)
        .initial_connection_window_size(connection)
        .max_send_buffer_size(64 << 20);
    let (sender, connection) = builder.handshake(io).await.expect("an HTTP/2 handshake");
    // Runs while the runtime does; what ends it is told to the streams.
    tokio::spawn(connection);
    sender
}

async fn read(answer: ResponseFuture) -> StreamAnswer {
    let response = answer.await.expect("the head of an answer");
    let (head, mut body) = response.into_parts();
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let mut received = 0;
    let end = loop {
        match next(&mut body).await {
            None => break StreamEnd::Complete,
            Some(Ok(bytes)) => {
                hasher.update(&bytes);
                received += bytes.len() as u64;
            }
            Some(Err(error)) if error.is_reset() && error.is_remote() => {
                break StreamEnd::Reset(error.reason().expect("a reset has a reason"));
            }
            Some(Err(error)) => break StreamEnd::Broken(error.to_string()),
        }
    };
    StreamAnswer {
        status: head.status.as_u16(),
        headers: head.headers,
        received,
        digest: hasher.finish(),
        end,
    }
}

async fn next(body: &mut RecvStream) -> Option<Result<Bytes, h2::Error>> {
    let bytes = body.data().await?;
    if let Ok(bytes) = &bytes {
        body.flow_control().release_capacity(bytes.len()).expect("no more than came");
    }
    Some(bytes)
}
