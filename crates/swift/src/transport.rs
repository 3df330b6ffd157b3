//! One exchange with a server: connection, request, head of the answer, each within its time.

use std::error::Error as StdError;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::{HeaderValue, USER_AGENT};
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client as Pool, Error as PoolError, ResponseFuture};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tower_service::Service;

use crate::error::chain;
use crate::pace::{Pace, RequestBody};
use crate::{Error, ErrorKind, Options, Result, Timeouts, tls};

/// Most bytes that a connection reads ahead or holds back: what a stream costs, once for each direction.
const BUFFER: usize = 64 * 1024;
/// How long an idle connection is kept. Swift's own limit is 60 s (`keepalive_timeout`, eventlet).
const IDLE: Duration = Duration::from_secs(30);

/// The connections.
pub(crate) struct Transport {
    pool: Pool<Connector, RequestBody>,
    user_agent: HeaderValue,
    pub(crate) timeouts: Timeouts,
}

impl Transport {
    pub(crate) fn new(options: &Options) -> Result<Transport> {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(options.timeouts.connect));
        tcp.set_keepalive(Some(Duration::from_secs(60)));
        let https = HttpsConnector::from((tcp, tls::config(options)?));
        let pool = Pool::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(options.idle_connections)
            .http1_max_buf_size(BUFFER)
            .build(Connector { https, limit: options.timeouts.connect });
        let user_agent = HeaderValue::from_str(&options.user_agent)
            .map_err(|_| Error::new(ErrorKind::Invalid, "user agent: not a header's value"))?;
        Ok(Transport { pool, user_agent, timeouts: options.timeouts })
    }

    /// Begins an exchange. It goes on while the [`Exchange`] is polled, and ends when that is dropped.
    pub(crate) fn begin(&self, mut request: Request<RequestBody>, pace: Option<Arc<Pace>>) -> Exchange {
        request.headers_mut().insert(USER_AGENT, self.user_agent.clone());
        if let Some(pace) = pace.clone().filter(|pace| !pace.is_open()) {
            request.headers_mut().insert(http::header::EXPECT, HeaderValue::from_static("100-continue"));
            hyper::ext::on_informational(&mut request, move |answer| {
                if answer.status() == http::StatusCode::CONTINUE {
                    pace.want();
                }
            });
        }
        let answer = self.pool.request(request);
        Exchange { answer, pace, begun: Instant::now(), timeouts: self.timeouts }
    }
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transport").finish_non_exhaustive()
    }
}

/// A request that is under way. Dropped before its answer, it closes the connection.
#[derive(Debug)]
pub(crate) struct Exchange {
    answer: ResponseFuture,
    pace: Option<Arc<Pace>>,
    begun: Instant,
    timeouts: Timeouts,
}

impl Exchange {
    /// Waits until the body may go: after `100 Continue`, or when none comes in time. Some if the answer came first.
    pub(crate) async fn go_ahead(&mut self, head: Duration) -> Result<Option<Response<Incoming>>> {
        let Some(pace) = self.pace.clone() else { return Ok(None) };
        while !pace.is_open() {
            let asked = pace.asked();
            let until = asked.map_or(self.begun + head, |asked| asked + self.timeouts.go_ahead);
            tokio::select! {
                biased;
                answer = &mut self.answer => return answer.map(Some).map_err(|error| lost(&error)),
                () = pace.changed() => {}
                () = tokio::time::sleep_until(until) => match asked {
                    Some(_) => pace.open(),
                    None => return Err(late("no connection", head)),
                },
            }
        }
        Ok(None)
    }

    /// Waits for the head of the answer: `head` after the request is complete, and while its body is on its way as
    /// long as that makes progress. A body that nobody asked for has no longer than `head` without an answer.
    pub(crate) async fn answer(&mut self, head: Duration) -> Result<Response<Incoming>> {
        if let Some(answer) = self.go_ahead(head).await? {
            return Ok(answer);
        }
        let from = Instant::now();
        loop {
            let (until, what, limit) = self.patience(from, head);
            let pace = self.pace.clone();
            let changed = async {
                match &pace {
                    Some(pace) => pace.changed().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                answer = &mut self.answer => return answer.map_err(|error| lost(&error)),
                () = changed => {}
                () = tokio::time::sleep_until(until) => {
                    if self.patience(from, head).0 <= Instant::now() {
                        return Err(late(what, limit));
                    }
                }
            }
        }
    }

    /// Until when to wait, and for what, if that began at `from`.
    fn patience(&self, from: Instant, head: Duration) -> (Instant, &'static str, Duration) {
        let progress = self.progress(head);
        let unwanted = self.pace.as_ref().is_some_and(|pace| pace.is_open() && !pace.is_wanted());
        let head = if unwanted { progress } else { head };
        match self.pace.as_ref().map(|pace| (pace.done(), pace.moved(), pace.asked())) {
            Some((Some(done), ..)) => (done.max(from) + head, "no answer", head),
            Some((None, Some(moved), _)) => (moved.max(from) + progress, "the body is not taken", progress),
            Some((None, None, Some(asked))) => (asked.max(from) + head, "the body is not taken", head),
            _ => (from + head, "no answer", head),
        }
    }

    /// The answer, if it is there.
    pub(crate) fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<Response<Incoming>>> {
        Pin::new(&mut self.answer).poll(cx).map_err(|error| lost(&error))
    }

    /// How long the body may wait for room.
    pub(crate) fn progress(&self, head: Duration) -> Duration {
        match &self.pace {
            Some(pace) if !pace.is_wanted() => self.timeouts.unwanted(head),
            _ => self.timeouts.progress,
        }
    }

    /// For how long the body was on its way.
    pub(crate) fn sending(&self) -> Duration {
        self.pace.as_ref().map_or(Duration::ZERO, |pace| pace.sending())
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if let Some(pace) = &self.pace {
            pace.abort();
        }
    }
}

fn lost(error: &PoolError) -> Error {
    let what = if error.is_connect() { "no connection" } else { "the connection broke" };
    let kind = match find::<TooSlow>(error) {
        Some(_) => ErrorKind::Timeout,
        None => ErrorKind::Connection,
    };
    // The pool's own words ("client error (Connect)") say nothing.
    let message = error.source().map_or_else(|| error.to_string(), chain);
    Error::new(kind, format!("{what}: {message}"))
}

fn late(what: &str, limit: Duration) -> Error {
    Error::new(ErrorKind::Timeout, format!("{what} within {limit:?}"))
}

fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// TCP and TLS within one limit.
#[derive(Clone)]
struct Connector {
    https: HttpsConnector<HttpConnector>,
    limit: Duration,
}

/// No connection in time.
#[derive(Debug, thiserror::Error)]
#[error("not connected within {0:?}")]
struct TooSlow(Duration);

type BoxError = Box<dyn StdError + Send + Sync>;

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.https.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connect = self.https.call(uri);
        let limit = self.limit;
        Box::pin(async move {
            tokio::time::timeout(limit, connect).await.unwrap_or_else(|_| Err(Box::new(TooSlow(limit))))
        })
    }
}
