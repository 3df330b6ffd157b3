//! Accepting connections, and letting go of them.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use crate::app::{App, Peer};
use crate::connection::{Connection, SendingFile, Transport, Unread};
use crate::patience::Progress;
use crate::tls::{Tls, handshake_timeout};

// What a connection may hold in memory; docs/explanation/memory.md adds it up.

/// Frames from an HTTP/1.1 client are at most this large, unless its headers may be larger.
const READ_BUFFER: usize = 64 * 1024;
/// Streams of one HTTP/2 connection (RFC 9113, section 6.5.2, advises no fewer).
const H2_STREAMS: u32 = 100;
/// Bytes of one HTTP/2 stream, and of one connection, that may be on their way to us: held here while the store is
/// slower than the client.
const H2_STREAM_WINDOW: u32 = 512 * 1024;
const H2_CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Bytes that one HTTP/2 stream may hold on their way out, beside the piece that exceeds it.
const H2_SEND_BUFFER: usize = 16 * 1024;
/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// An open socket that connections come from.
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// A Unix socket; its file is removed at the end.
    Unix(UnixListener, PathBuf),
}

enum Accepted {
    Tcp(TcpStream, Peer),
    Unix(UnixStream, Peer),
}

impl Listener {
    /// Binds a Unix socket, replacing one that a dead process left.
    pub fn unix(path: &Path) -> io::Result<Listener> {
        if std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket()) {
            if std::os::unix::net::UnixStream::connect(path).is_ok() {
                return Err(io::Error::new(
                    io::ErrorKind::AddrInUse,
                    "another process listens on this socket",
                ));
            }
            std::fs::remove_file(path)?;
        }
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        Ok(Listener::Unix(UnixListener::bind(path)?, path.to_owned()))
    }

    async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Listener::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                stream.set_nodelay(true)?;
                let address = Some(address.ip().to_canonical());
                Ok(Accepted::Tcp(stream, Peer::new(address)))
            }
            Listener::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                Ok(Accepted::Unix(stream, Peer::new(None)))
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Listener::Unix(_, path) = self {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Says when to stop.
pub type Stop = watch::Receiver<bool>;

/// Waits until the server is told to stop.
pub(crate) async fn stopped(stop: &mut Stop) {
    // A lost sender means the same.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Serves the distribution API on a listener until `stop`, then lets requests end within the drain limit.
pub async fn serve(app: Arc<App>, listener: Listener, tls: Option<Arc<Tls>>, mut stop: Stop) {
    let graceful = GracefulShutdown::new();
    let most = app.options.max_connections.unwrap_or(Semaphore::MAX_PERMITS).min(Semaphore::MAX_PERMITS);
    let connections = Arc::new(Semaphore::new(most));
    loop {
        let Ok(permit) = connections.clone().acquire_owned().await else { break };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped(&mut stop) => break,
        };
        let accepted = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely: waiting lets some go.
                tracing::warn!(%error, "accepting a connection failed");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (app, tls, watcher, stop) = (app.clone(), tls.clone(), graceful.watcher(), stop.clone());
        tokio::spawn(async move {
            if let Err(error) = connection(app, accepted, tls, watcher, stop).await {
                tracing::debug!(error = &*error, "a connection ended");
            }
            drop(permit);
        });
    }
    drop(listener);
    let limit = app.options.drain_timeout;
    if tokio::time::timeout(limit, graceful.shutdown()).await.is_err() {
        tracing::warn!(
            seconds = limit.as_secs(),
            "requests were still running at the end of the drain and were cut"
        );
    }
}

type Boxed = Box<dyn std::error::Error + Send + Sync>;

async fn connection(
    app: Arc<App>,
    accepted: Accepted,
    tls: Option<Arc<Tls>>,
    watcher: hyper_util::server::graceful::Watcher,
    mut stop: Stop,
) -> Result<(), Boxed> {
    let patience = app.options.body_progress_timeout;
    let (transport, mut peer, h2) = match (accepted, tls) {
        (Accepted::Unix(stream, peer), _) => (Transport::Unix(stream), peer, false),
        (Accepted::Tcp(stream, peer), None) if !app.options.h2c => (Transport::Tcp(stream), peer, false),
        (Accepted::Tcp(stream, peer), tls) => {
            // Whoever has not said anything does not hold up the end of the server.
            tokio::select! {
                begun = begin(&app, stream, peer, tls) => begun?,
                () = stopped(&mut stop) => return Ok(()),
            }
        }
    };
    let sending = SendingFile::default();
    if matches!(transport, Transport::Tcp(_)) && !h2 {
        peer.sending = Some(sending.clone());
    }
    let progress = h2.then(Arc::<Progress>::default);
    peer.progress = progress.clone();
    let io = TokioIo::new(Connection::new(transport, sending, peer.unread.clone(), patience));
    let header_timeout = app.options.header_timeout;
    let max_header_bytes = app.options.max_header_bytes;
    let answer = move |request| {
        let (app, peer) = (app.clone(), peer.clone());
        async move { Ok::<_, Infallible>(app.answer(peer, request).await) }
    };
    let service = hyper::service::service_fn(answer);
    if let Some(progress) = progress {
        let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(H2_STREAMS)
            .initial_stream_window_size(H2_STREAM_WINDOW)
            .initial_connection_window_size(H2_CONNECTION_WINDOW)
            .max_send_buf_size(H2_SEND_BUFFER)
            .max_header_list_size(u32::try_from(max_header_bytes).unwrap_or(u32::MAX))
            .keep_alive_interval(Some(header_timeout))
            .keep_alive_timeout(patience);
        return tokio::select! {
            ended = watcher.watch(builder.serve_connection(io, service)) => Ok(ended?),
            () = progress.stalled(patience) => Err("the client took nothing of any answer".into()),
        };
    }
    let builder = http1(header_timeout, max_header_bytes);
    Ok(watcher.watch(builder.serve_connection(io, service)).await?)
}

/// Finds out what a TCP connection speaks: TLS with its handshake done, or HTTP/2 without TLS.
async fn begin(
    app: &App,
    stream: TcpStream,
    peer: Peer,
    tls: Option<Arc<Tls>>,
) -> Result<(Transport, Peer, bool), Boxed> {
    let Some(tls) = tls else {
        let preface = begins_with_preface(&stream);
        let preface = tokio::time::timeout(app.options.header_timeout, preface).await??;
        return Ok((Transport::Tcp(stream), peer, preface));
    };
    let handshake = TlsAcceptor::from(tls.config.clone()).accept(stream);
    let stream = tokio::time::timeout(HANDSHAKE, handshake).await.map_err(|_| handshake_timeout())??;
    let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    Ok((Transport::Tls(Box::new(stream)), Peer { tls: true, ..peer }, h2))
}

fn http1(header_timeout: Duration, max_header_bytes: usize) -> hyper::server::conn::http1::Builder {
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_buf_size(max_header_bytes.max(READ_BUFFER))
        // Bodies must reach the connection as they are: copied together they could not be sent from their file.
        .writev(true);
    builder
}

/// Whether a plain connection begins with HTTP/2's preface (RFC 9113, section 3.4).
async fn begins_with_preface(stream: &TcpStream) -> io::Result<bool> {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0";
    let mut seen = [0; PREFACE.len()];
    for _ in 0..100 {
        let count = stream.peek(&mut seen).await?;
        if count == 0 || seen[..count] != PREFACE[..count] {
            return Ok(false);
        }
        if count == PREFACE.len() {
            return Ok(true);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(false)
}

/// The Unix user at the other end of a Unix socket; stands among the extensions of a small request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PeerUser(pub(crate) u32);

/// Serves small requests (admin, debug) on a listener until `stop`.
pub(crate) async fn serve_small<F, R, B>(listener: Listener, mut stop: Stop, answer: F)
where
    F: Fn(Request<Incoming>) -> R + Clone + Send + 'static,
    R: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<Boxed>,
{
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped(&mut stop) => return,
        };
        let mut user = None;
        let transport = match accepted {
            Ok(Accepted::Tcp(stream, _)) => Transport::Tcp(stream),
            Ok(Accepted::Unix(stream, _)) => {
                user = stream.peer_cred().ok().map(|peer| PeerUser(peer.uid()));
                Transport::Unix(stream)
            }
            Err(_) => {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let patience = Duration::from_secs(30);
        let io =
            TokioIo::new(Connection::new(transport, SendingFile::default(), Unread::default(), patience));
        let (answer, mut stop) = (answer.clone(), stop.clone());
        tokio::spawn(async move {
            let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
                if let Some(user) = user {
                    request.extensions_mut().insert(user);
                }
                let answer = answer(request);
                async move { Ok::<_, Infallible>(answer.await) }
            });
            let connection = http1(patience, READ_BUFFER).serve_connection(io, service);
            let mut connection = pin!(connection);
            tokio::select! {
                result = connection.as_mut() => drop(result),
                () = stopped(&mut stop) => {
                    connection.as_mut().graceful_shutdown();
                    let _ = connection.await;
                }
            }
        });
    }
}
