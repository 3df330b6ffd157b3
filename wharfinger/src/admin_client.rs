//! Talking to a running server through its admin socket.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

use crate::cli::Socket;
use crate::wiring;

/// Sends one request and returns the JSON of the answer.
pub(crate) fn request(socket: &Socket, method: Method, path: &str, body: Option<Value>) -> Result<Value> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(send(&socket_path(socket)?, method, path, body))
}

fn socket_path(socket: &Socket) -> Result<PathBuf> {
    match &socket.socket {
        Some(path) => Ok(path.clone()),
        None => Ok(wiring::admin_socket(&wiring::load(socket.config.as_deref(), &[])?.config)),
    }
}

/// As [`request`], at a known socket.
pub(crate) async fn send(path: &Path, method: Method, target: &str, body: Option<Value>) -> Result<Value> {
    let stream = UnixStream::connect(path).await.with_context(|| {
        format!(
            "no server answers at {} (is it running? --socket or --config name another one)",
            path.display()
        )
    })?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let body = body.map(|value| value.to_string()).unwrap_or_default();
    let request = Request::builder().method(method).uri(target).header("host", "admin");
    let answer = sender.send_request(request.body(Full::new(Bytes::from(body)))?).await?;
    let status = answer.status();
    let bytes = answer.into_body().collect().await?.to_bytes();
    let value: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    if !status.is_success() {
        bail!("{}", value["error"].as_str().unwrap_or("the server refused"));
    }
    Ok(value)
}
