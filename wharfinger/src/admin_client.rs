//! Talking to a running server through its admin socket.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use http::{HeaderValue, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;
use wharfinger_server::admin::caller::{REASON, SUDO_USER};

use crate::audit;
use crate::cli::{Reason, Socket};
use crate::wiring;

/// Nobody listens at the socket.
#[derive(Debug)]
pub(crate) struct NoServer {
    pub(crate) socket: PathBuf,
    why: std::io::Error,
}

impl fmt::Display for NoServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let socket = self.socket.display();
        write!(f, "no server answers at {socket} (is it running? --socket or --config name another one)")
    }
}

impl std::error::Error for NoServer {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.why)
    }
}

/// Sends one request and returns the JSON of the answer.
pub(crate) fn request(socket: &Socket, method: Method, path: &str, body: Option<Value>) -> Result<Value> {
    block_on(send(socket_path(socket)?, request_of(method, path, body)?))
}

/// Sends a request that changes something, with what the audit record shall say of it.
pub(crate) fn act(socket: &Socket, path: &str, body: Option<Value>, reason: &Reason) -> Result<Value> {
    let mut request = request_of(Method::POST, path, body)?;
    let headers = [(&REASON, reason.reason.clone()), (&SUDO_USER, audit::sudo_user())];
    for (name, value) in headers {
        if let Some(value) = value {
            request.headers_mut().insert(name, HeaderValue::from_bytes(value.as_bytes())?);
        }
    }
    block_on(send(socket_path(socket)?, request))
}

fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

fn request_of(method: Method, path: &str, body: Option<Value>) -> Result<Request<Full<Bytes>>> {
    let body = body.map(|value| value.to_string()).unwrap_or_default();
    let request = Request::builder().method(method).uri(path).header("host", "admin");
    Ok(request.body(Full::new(Bytes::from(body)))?)
}

fn socket_path(socket: &Socket) -> Result<PathBuf> {
    match &socket.socket {
        Some(path) => Ok(path.clone()),
        None => Ok(wiring::admin_socket(&wiring::load(socket.config.as_deref(), &[])?.config)),
    }
}

/// As [`request`], at a known socket.
pub(crate) async fn ask(socket: &Path, method: Method, path: &str, body: Option<Value>) -> Result<Value> {
    send(socket.to_owned(), request_of(method, path, body)?).await
}

async fn send(path: PathBuf, request: Request<Full<Bytes>>) -> Result<Value> {
    let connected = UnixStream::connect(&path).await;
    let stream = connected.map_err(|why| NoServer { socket: path, why })?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    let bytes = answer.into_body().collect().await?.to_bytes();
    let value: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    if !status.is_success() {
        bail!("{}", value["error"].as_str().unwrap_or("the server refused"));
    }
    Ok(value)
}
