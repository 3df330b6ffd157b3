//! A small HTTP server on a raw socket, which can misbehave as Swift does.
#![expect(clippy::expect_used, reason = "helpers of tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufStream};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use wharfinger_swift::{Auth, Client, Container, Options, Retry, Timeouts};

/// A request as it came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Whether the body came to its end.
    pub(crate) whole: bool,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn token(&self) -> &str {
        self.header("x-auth-token").unwrap_or_default()
    }
}

/// What the server does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// Reads the body and answers.
    Answer(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// Answers without reading the body, and closes.
    Early(u16),
    /// Reads the body, sends these bytes as they are, and closes.
    Raw(Vec<u8>),
    /// Reads the body, sends these bytes as they are, and then nothing more.
    Stall(Vec<u8>),
    /// Never reads the body and never answers.
    Hang,
    /// Reads this many bytes of the body, answers with the status, and closes.
    After(usize, u16),
}

pub(crate) fn status(status: u16) -> Reply {
    Reply::Answer(status, Vec::new(), Vec::new())
}

pub(crate) fn object(body: &[u8], etag: &str) -> Reply {
    Reply::Answer(200, vec![("etag", format!("\"{etag}\""))], body.to_vec())
}

trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

type Socket = BufStream<Box<dyn Connection>>;

type Script = dyn Fn(&Seen, usize) -> Reply + Send + Sync;

/// The server, with everything that it was asked.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) url: String,
    state: Arc<State>,
}

struct State {
    url: String,
    script: Box<Script>,
    seen: Mutex<Vec<Seen>>,
    asked: AtomicUsize,
    /// Tokens that were given out.
    tokens: AtomicUsize,
    life: u64,
}

impl Server {
    /// A server that logs anyone in, and else does what `script` says of the request and its number (from 0).
    pub(crate) async fn start(script: impl Fn(&Seen, usize) -> Reply + Send + Sync + 'static) -> Server {
        Server::with_life(86_400, script).await
    }

    /// As `start`, with tokens that live `life` seconds.
    pub(crate) async fn with_life(
        life: u64,
        script: impl Fn(&Seen, usize) -> Reply + Send + Sync + 'static,
    ) -> Server {
        Server::run(life, None, Box::new(script)).await
    }

    /// As `start`, with TLS on `localhost`.
    pub(crate) async fn with_tls(
        config: rustls::ServerConfig,
        script: impl Fn(&Seen, usize) -> Reply + Send + Sync + 'static,
    ) -> Server {
        Server::run(86_400, Some(TlsAcceptor::from(Arc::new(config))), Box::new(script)).await
    }

    async fn run(life: u64, tls: Option<TlsAcceptor>, script: Box<Script>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let url = match &tls {
            Some(_) => format!("https://localhost:{}", address.port()),
            None => format!("http://{address}"),
        };
        let state = Arc::new(State {
            url: url.clone(),
            script,
            seen: Mutex::default(),
            asked: AtomicUsize::new(0),
            tokens: AtomicUsize::new(0),
            life,
        });
        let server = Server { url, state: Arc::clone(&state) };
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (state, tls) = (Arc::clone(&state), tls.clone());
                tokio::spawn(async move {
                    let socket: Box<dyn Connection> = match tls {
                        None => Box::new(socket),
                        Some(tls) => match tls.accept(socket).await {
                            Ok(socket) => Box::new(socket),
                            Err(_) => return,
                        },
                    };
                    state.serve(socket).await;
                });
            }
        });
        server
    }

    /// Everything that was asked, but for the logins.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().clone()
    }

    /// How many tokens were given out.
    pub(crate) fn tokens(&self) -> usize {
        self.state.tokens.load(Ordering::SeqCst)
    }

    /// Waits until `holds` of what was asked.
    pub(crate) async fn until(&self, holds: impl Fn(&[Seen]) -> bool) {
        for _ in 0..500 {
            if holds(&self.state.seen.lock()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("not seen within 5 s: {:?}", self.seen());
    }

    pub(crate) fn options(&self) -> Options {
        let mut options = Options::new(Auth::V1 {
            url: format!("{}/auth/v1.0", self.url),
            user: "test:tester".into(),
            key: "very-secret".into(),
        });
        options.timeouts = Timeouts {
            head: Duration::from_millis(700),
            progress: Duration::from_millis(500),
            go_ahead: Duration::from_millis(300),
            ..Timeouts::default()
        };
        options.retry = Retry { first_delay: Duration::from_millis(10), ..Retry::default() };
        options
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.options()).expect("options")
    }

    pub(crate) fn container(&self) -> Container {
        self.client().container("box").expect("a name")
    }
}

impl State {
    async fn serve(&self, socket: Box<dyn Connection>) {
        let mut socket = BufStream::new(socket);
        while let Some(seen) = head(&mut socket).await {
            if self.reply(&mut socket, seen).await.is_none() {
                return;
            }
        }
    }

    /// None when the connection is to be closed.
    async fn reply(&self, socket: &mut Socket, mut seen: Seen) -> Option<()> {
        if seen.target == "/auth/v1.0" {
            let token = format!("token-{}", self.tokens.fetch_add(1, Ordering::SeqCst) + 1);
            let headers = [
                ("x-auth-token", token),
                ("x-storage-url", format!("{}/v1/AUTH_test", self.url)),
                ("x-auth-token-expires", self.life.to_string()),
            ];
            return answer(socket, "GET", 200, &headers, b"").await;
        }
        if seen.header("expect").is_none() {
            seen.read(socket, usize::MAX).await;
        }
        let reply = (self.script)(&seen, self.asked.fetch_add(1, Ordering::SeqCst));
        // Long waits end with the test's runtime.
        let forever = Duration::from_secs(3600);
        match reply {
            Reply::Answer(status, headers, body) => {
                seen.read(socket, usize::MAX).await;
                let method = seen.method.clone();
                let whole = seen.whole;
                self.seen.lock().push(seen);
                if !whole {
                    return None;
                }
                answer(socket, &method, status, &headers, &body).await
            }
            Reply::Early(status) => {
                self.seen.lock().push(seen);
                answer(socket, "PUT", status, &[("connection", "close".into())], b"").await;
                None
            }
            Reply::Raw(bytes) => {
                seen.read(socket, usize::MAX).await;
                self.seen.lock().push(seen);
                socket.write_all(&bytes).await.ok()?;
                socket.flush().await.ok()?;
                None
            }
            Reply::Stall(bytes) => {
                seen.read(socket, usize::MAX).await;
                self.seen.lock().push(seen);
                socket.write_all(&bytes).await.ok()?;
                socket.flush().await.ok()?;
                tokio::time::sleep(forever).await;
                None
            }
            Reply::Hang => {
                self.seen.lock().push(seen);
                tokio::time::sleep(forever).await;
                None
            }
            Reply::After(bytes, status) => {
                seen.read(socket, bytes).await;
                self.seen.lock().push(seen);
                answer(socket, "PUT", status, &[("connection", "close".into())], b"").await;
                // Taken, so that no reset of the connection overtakes the answer.
                let mut rest = [0; 4096];
                while socket.read(&mut rest).await.is_ok_and(|read| read > 0) {}
                None
            }
        }
    }
}

async fn head(socket: &mut Socket) -> Option<Seen> {
    let mut line = String::new();
    if socket.read_line(&mut line).await.ok()? == 0 {
        return None;
    }
    let mut words = line.split_whitespace();
    let mut seen = Seen {
        method: words.next()?.to_owned(),
        target: words.next()?.to_owned(),
        whole: true,
        ..Seen::default()
    };
    loop {
        line.clear();
        socket.read_line(&mut line).await.ok()?;
        let Some((key, value)) = line.trim_end().split_once(':') else { break };
        seen.headers.push((key.to_ascii_lowercase(), value.trim().to_owned()));
    }
    Some(seen)
}

impl Seen {
    /// Reads at most `most` bytes of the body, after asking for it where the client waits for that.
    async fn read(&mut self, socket: &mut Socket, most: usize) {
        if !self.body.is_empty() {
            return;
        }
        if self.header("expect").is_some() {
            let _ = socket.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await;
            let _ = socket.flush().await;
        }
        let length = self.header("content-length").and_then(|text| text.parse::<usize>().ok());
        self.whole = match length {
            Some(length) => self.take(socket, length.min(most)).await && length <= most,
            None if self.header("transfer-encoding").is_some() => self.chunks(socket, most).await,
            None => true,
        };
    }

    async fn take(&mut self, socket: &mut Socket, count: usize) -> bool {
        let mut piece = vec![0; 4096];
        let mut left = count;
        while left > 0 {
            let wanted = left.min(piece.len());
            match socket.read(&mut piece[..wanted]).await {
                Ok(read @ 1..) => {
                    self.body.extend_from_slice(&piece[..read]);
                    left -= read;
                }
                _ => return false,
            }
        }
        true
    }

    async fn chunks(&mut self, socket: &mut Socket, most: usize) -> bool {
        while self.body.len() < most {
            let mut line = String::new();
            if socket.read_line(&mut line).await.unwrap_or(0) == 0 {
                return false;
            }
            let Ok(size) = usize::from_str_radix(line.trim(), 16) else { return false };
            if !self.take(socket, size).await || socket.read_line(&mut line).await.is_err() {
                return false;
            }
            if size == 0 {
                return true;
            }
        }
        false
    }
}

async fn answer(
    socket: &mut Socket,
    method: &str,
    status: u16,
    headers: &[(&'static str, String)],
    body: &[u8],
) -> Option<()> {
    let mut head = format!("HTTP/1.1 {status} Scripted\r\nx-trans-id: tx-{status}\r\n");
    for (key, value) in headers {
        head.push_str(&format!("{key}: {value}\r\n"));
    }
    if !headers.iter().any(|(key, _)| *key == "content-length") && status != 204 {
        head.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    socket.write_all(head.as_bytes()).await.ok()?;
    if method != "HEAD" {
        socket.write_all(body).await.ok()?;
    }
    socket.flush().await.ok()
}
