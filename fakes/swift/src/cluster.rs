//! The running cluster: its state, its listeners, and what came in.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::body::ReplyBody;
use crate::clock::Timestamp;
use crate::exchange::{Exchange, Stop};
use crate::faults::Faults;
use crate::http::{Head, Reply, parse_query, unquote};
use crate::options::Options;
use crate::route::{Target, answer, kind};
use crate::state::State;

/// A request that came in, and how it was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Method.
    pub method: String,
    /// Path, percent-decoded, without the query.
    pub path: String,
    /// The query as it was sent.
    pub query: String,
    /// Status of the answer; `None` while it is under way, and when the connection was reset or given up instead.
    pub status: Option<u16>,
    /// `X-Trans-Id` of the answer.
    pub transaction: String,
}

/// Everything that a running cluster is.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) options: Options,
    pub(crate) state: Mutex<State>,
    pub(crate) faults: Mutex<Faults>,
    pub(crate) received: Mutex<Vec<Received>>,
    pub(crate) addresses: Vec<SocketAddr>,
}

impl Cluster {
    /// The storage URL that the front end of that index gives out.
    pub(crate) fn url(&self, front_end: usize) -> String {
        format!("http://{}/v1/{}", self.addresses[front_end], self.options.account)
    }

    /// Takes connections of one front end until the runtime ends.
    pub(crate) async fn listen(self: Arc<Self>, listener: TcpListener, front_end: usize) {
        loop {
            if let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&self).converse(stream, front_end));
            }
        }
    }

    /// Answers the requests of one connection.
    async fn converse(self: Arc<Self>, stream: TcpStream, front_end: usize) {
        let _ = stream.set_nodelay(true);
        let Ok(socket) = stream.as_fd().try_clone_to_owned() else { return };
        let reset = Arc::new(Notify::new());
        let service = service_fn(|request| {
            let (cluster, reset) = (Arc::clone(&self), Arc::clone(&reset));
            async move { Ok::<_, Infallible>(cluster.serve(request, front_end, &reset).await) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_secs(300))
            .half_close(false)
            .serve_connection(TokioIo::new(stream), service);
        tokio::select! {
            _ = connection => {}
            () = reset.notified() => make_reset(&socket),
        }
    }

    /// Answers one request; never returns where the connection is to be reset.
    async fn serve(
        self: Arc<Self>,
        request: Request<Incoming>,
        front_end: usize,
        reset: &Notify,
    ) -> Response<ReplyBody> {
        let (mut exchange, target) = self.open(request, front_end);
        let transaction = exchange.head.transaction.clone();
        let number = exchange.head.number;
        let answered = match &target {
            Some(target) => answer(&mut exchange, target).await,
            None => Ok(Reply::html(412, "Invalid UTF8 or contains NULL")),
        };
        let reply = match answered {
            Ok(reply) => reply,
            Err(Stop::Reply(reply)) => *reply,
            Err(stop) => {
                if matches!(stop, Stop::Hang) {
                    tokio::time::sleep(self.options.hang).await;
                }
                reset.notify_one();
                return std::future::pending().await;
            }
        };
        self.note(number, reply.status.as_u16());
        let bodiless = exchange.head.method == http::Method::HEAD && !reply.is_success();
        write(if bodiless { reply.text("") } else { reply }, &transaction)
    }

    /// Numbers a request, carries out what is due by then, and draws its faults.
    fn open(self: &Arc<Self>, request: Request<Incoming>, front_end: usize) -> (Exchange, Option<Target>) {
        let (parts, body) = request.into_parts();
        let raw_path = parts.uri.path().to_owned();
        let query = parts.uri.query().unwrap_or_default().to_owned();
        let path = unquote(&raw_path).unwrap_or_else(|| raw_path.clone());
        // Under one lock, so that the order of the numbers is that of the times and of the list.
        let (head, target) = {
            let mut state = self.state.lock();
            state.requests += 1;
            state.catch_up();
            let number = state.requests;
            let transaction = format!("tx{:016x}{number:08x}-fake", self.options.seed);
            let method = parts.method.as_str().to_owned();
            self.received.lock().push(Received {
                method,
                path: path.clone(),
                query: query.clone(),
                status: None,
                transaction: transaction.clone(),
            });
            let own = parts.headers.get("x-timestamp").filter(|_| self.options.client_timestamps);
            let own = own.and_then(|value| value.to_str().ok()).and_then(Timestamp::parse);
            let head = Head {
                number,
                front_end,
                method: parts.method,
                query: parse_query(&query),
                headers: parts.headers,
                started: own.unwrap_or_else(|| state.clocks.now(front_end)),
                transaction,
                raw_path,
            };
            let target = Target::parse(&head.raw_path);
            (head, target)
        };
        let kind = kind(&head, target.as_ref().unwrap_or(&Target::Nothing), self.options.pipeline);
        let newest = head.says_yes("x-newest");
        let plan = self.faults.lock().decide(head.number, kind, newest, head.method.as_str(), &path);
        (Exchange { cluster: Arc::clone(self), head, kind, plan, body: Some(body) }, target)
    }

    fn note(&self, number: u64, status: u16) {
        let index = usize::try_from(number - 1).expect("a number of a request");
        self.received.lock()[index].status = Some(status);
    }
}

fn write(reply: Reply, transaction: &str) -> Response<ReplyBody> {
    let length = reply.body.announced_length();
    let mut response = Response::new(reply.body);
    *response.status_mut() = reply.status;
    let headers = response.headers_mut();
    let mut add = |name: &str, value: &str| {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name of a header");
        let value = HeaderValue::from_bytes(value.as_bytes()).expect("a value of a header");
        headers.append(name, value);
    };
    for (name, value) in &reply.headers {
        add(name, value);
    }
    let bodiless =
        reply.status == http::StatusCode::NO_CONTENT || reply.status == http::StatusCode::NOT_MODIFIED;
    if let Some(length) = length.filter(|_| !bodiless) {
        add("Content-Length", &length.to_string());
    }
    add("X-Trans-Id", transaction);
    add("X-Openstack-Request-Id", transaction);
    response
}

/// Makes closing the socket a reset.
fn make_reset(socket: &OwnedFd) {
    let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
}
