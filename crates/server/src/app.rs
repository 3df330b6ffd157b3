//! Answers a request: finds its route, asks who it is and whether they may, hands it to its endpoint.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, LOCATION, TRANSFER_ENCODING,
};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version};
use hyper::body::{Body, Incoming};
use tracing::Instrument;
use wharfinger_access::{Access, Identity, Refused, Resource};
use wharfinger_oci::{Action, ErrorCode, RepositoryName, Route};
use wharfinger_registry::{FrameKind, Registry};

use crate::access_log::AccessLog;
use crate::body::AnswerBody;
use crate::connection::{SendingFile, Unread};
use crate::health::Health;
use crate::incoming::RequestBody;
use crate::instance::Myself;
use crate::metrics::Metrics;
use crate::options::Options;
use crate::patience::Progress;
use crate::purge::Purger;
use crate::record::Record;
use crate::respond::{Answer, Failure};
use crate::scrub::Scrubbing;
use crate::throttle::Throttle;
use crate::urls;
use crate::v2;

static API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
static VERSION: HeaderValue = HeaderValue::from_static("registry/2.0");

/// Everything that requests share.
pub struct App {
    /// The repositories.
    pub registry: Registry,
    /// Who may do what.
    pub access: Access,
    /// How the server behaves.
    pub options: Options,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What the health endpoints say.
    pub health: Health,
    /// The caches in front.
    pub purger: Purger,
    /// What the scrub tells of itself.
    pub scrub: Scrubbing,
    /// What tells this process from the others on the same store.
    pub myself: Myself,
    pub(crate) access_log: AccessLog,
    pub(crate) faults: Throttle<(StatusCode, &'static str)>,
}

/// What is known of the connection that a request came on.
#[derive(Clone)]
pub(crate) struct Peer {
    pub(crate) address: Option<IpAddr>,
    pub(crate) tls: bool,
    /// Where pieces of files may be sent by the kernel.
    pub(crate) sending: Option<SendingFile>,
    /// Where it is said that the connection ends with an unread body on it.
    pub(crate) unread: Unread,
    /// Where bodies say that they go on, over HTTP/2.
    pub(crate) progress: Option<Arc<Progress>>,
}

impl Peer {
    /// A connection from this address, of which nothing else is known yet.
    pub(crate) fn new(address: Option<IpAddr>) -> Peer {
        Peer { address, tls: false, sending: None, unread: Unread::default(), progress: None }
    }
}

/// A request to an endpoint of the distribution API, after it was let in.
pub(crate) struct Call<'a> {
    pub(crate) app: &'a App,
    pub(crate) head: &'a http::request::Parts,
    pub(crate) identity: Identity,
    pub(crate) peer: &'a Peer,
}

impl App {
    /// Puts the parts together.
    pub fn new(registry: Registry, access: Access, options: Options, metrics: Arc<Metrics>) -> App {
        let access_log = AccessLog::new(options.access_log);
        let faults = Throttle::new(Duration::from_secs(10));
        let purger = Purger::new(&options.purge, &options.prefix, &metrics);
        let (health, scrub, myself) = (Health::default(), Scrubbing::default(), Myself::default());
        App { registry, access, options, metrics, health, purger, scrub, myself, access_log, faults }
    }

    /// Answers one request. Never fails: what goes wrong is an answer.
    pub(crate) async fn answer(self: Arc<App>, peer: Peer, request: Request<Incoming>) -> Answer {
        let (head, body) = request.into_parts();
        let mut record = Record::begin(&self, &head, peer.address);
        let size = body.size_hint().exact();
        let mut body = RequestBody::new(body, self.options.body_progress_timeout);
        let result = self.route(&peer, &head, &mut body, size, &mut record).await;
        let mut answer = result.unwrap_or_else(|failure| {
            record.failed(&failure);
            failure.into_answer()
        });
        let http1 = head.version < Version::HTTP_2;
        if http1 && !body.is_empty() {
            // A client that waits for 100 Continue was not told to go on: its body is not on the connection yet.
            let waiting = head.headers.contains_key(EXPECT);
            if waiting || !body.drain().await {
                answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                peer.unread.store(true, Ordering::Relaxed);
            }
        }
        let headers = answer.headers_mut();
        headers.insert(API_VERSION.clone(), VERSION.clone());
        for (name, value) in &self.options.headers {
            headers.append(name, value.clone());
        }
        record.answered(answer.status());
        answer.map(|body| body.recorded(record))
    }

    async fn route(
        &self,
        peer: &Peer,
        head: &http::request::Parts,
        body: &mut RequestBody,
        size: Option<u64>,
        record: &mut Record,
    ) -> Result<Answer, Failure> {
        // Two lengths: a proxy in front may have read the other one (RFC 9112, section 6.3).
        if head.headers.contains_key(TRANSFER_ENCODING) && head.headers.contains_key(CONTENT_LENGTH) {
            let message = "a request has either Content-Length or Transfer-Encoding, not both";
            return Err(Failure::bad_request(ErrorCode::SizeInvalid, message));
        }
        let no_such_endpoint =
            || Failure::new(StatusCode::NOT_FOUND, ErrorCode::Unsupported, "no such endpoint");
        let path = head.uri.path();
        // Monitors ask for health where they always did, whatever stands before the API.
        let path = match path.strip_prefix(self.options.prefix.as_str()) {
            Some(path) => path,
            None if path == "/" || path.starts_with("/health/") => path,
            None => return Err(no_such_endpoint()),
        };
        if path.starts_with("/v2") {
            if path == "/v2" {
                return Ok(moved_to(&self.options, "/v2/"));
            }
            let route = Route::parse(path).map_err(|error| Failure::no_route(&error, &head.method))?;
            let span = record.routed(&route, size);
            let call = async {
                let call = self.admit(peer, head, &route, record).await?;
                v2::dispatch(&call, &route, body).await
            };
            return call.instrument(span).await;
        }
        match path {
            "/" | "" => Ok(text(StatusCode::OK, "")),
            "/health/live" => Ok(text(StatusCode::OK, "live\n")),
            "/health/ready" if self.health.is_ready() => Ok(text(StatusCode::OK, "ready\n")),
            "/health/ready" if self.health.is_draining() => {
                Ok(text(StatusCode::SERVICE_UNAVAILABLE, "draining\n"))
            }
            "/health/ready" => Ok(text(StatusCode::SERVICE_UNAVAILABLE, "taken out of service by hand\n")),
            "/health/store" => {
                let (healthy, value) = self.health.store();
                let status = if healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
                Ok(json(status, &value))
            }
            path if Some(path) == self.access.login_endpoint() => self.login(peer, head).await,
            _ => Err(no_such_endpoint()),
        }
    }

    /// Who asks, and may they? The decision is made on the same parsed route that the endpoint gets.
    async fn admit<'a>(
        &'a self,
        peer: &'a Peer,
        head: &'a http::request::Parts,
        route: &Route,
        record: &mut Record,
    ) -> Result<Call<'a>, Failure> {
        let Some(action) = v2::action::required_action(&head.method, route) else {
            return Err(Failure::method_not_allowed(&head.method, v2::action::allowed_methods(route)));
        };
        let resource = route.repository().map_or(Resource::Registry, Resource::Repository);
        let refuse = |refused: Refused| self.refuse(peer, head, resource, action, &refused);
        let identity = self.access.identify(&head.headers, peer.address).await.map_err(refuse)?;
        record.user = identity.name().map(str::to_owned);
        self.access.authorize(&identity, resource, action).map_err(refuse)?;
        if self.health.is_down() {
            let message = "taken out of service by hand; see /debug/health";
            return Err(Failure::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Unavailable, message));
        }
        Ok(Call { app: self, head, identity, peer })
    }

    fn refuse(
        &self,
        peer: &Peer,
        head: &http::request::Parts,
        resource: Resource<'_>,
        action: Option<Action>,
        refused: &Refused,
    ) -> Failure {
        let wanted: Vec<Action> = match action {
            None => Vec::new(),
            // Clients that push read as well, with the same token.
            Some(Action::Push) => vec![Action::Pull, Action::Push],
            Some(action) => vec![action],
        };
        let mut wanted = if wanted.is_empty() { Vec::new() } else { vec![(resource, wanted)] };
        let source = mount_source(head, resource);
        if let Some(source) = &source {
            wanted.push((Resource::Repository(source), vec![Action::Pull]));
        }
        let mut base = urls::base(&self.options, &head.headers, authority(head), peer.tls);
        base.push_str(&self.options.prefix);
        let challenge = self.access.challenge(&base, &wanted, refused.challenge_error());
        Failure::refused(refused, challenge)
    }

    /// The token endpoint that lets anonymous pulls and pushes with a password share one registry.
    async fn login(&self, peer: &Peer, head: &http::request::Parts) -> Result<Answer, Failure> {
        if head.method != Method::GET {
            return Err(Failure::method_not_allowed(&head.method, "GET"));
        }
        match self.access.login(&head.headers, peer.address).await {
            Ok(token) => {
                let mut answer = text(StatusCode::OK, &token.to_json());
                answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                Ok(answer)
            }
            Err(refused) => Err(Failure::refused(&refused, self.access.login_challenge())),
        }
    }
}

impl Call<'_> {
    /// A path of ours as the client must ask for it.
    pub(crate) fn location(&self, path: &str) -> HeaderValue {
        urls::location(&self.app.options, &self.head.headers, authority(self.head), self.peer.tls, path)
    }

    /// A header as text.
    pub(crate) fn header(&self, name: HeaderName) -> Option<&str> {
        self.head.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Whether `identity` may pull from another repository (for mounts).
    pub(crate) fn may_pull(&self, name: &RepositoryName) -> bool {
        self.app.access.authorize(&self.identity, Resource::Repository(name), Some(Action::Pull)).is_ok()
    }

    /// How this connection wants the bytes of files.
    pub(crate) fn frames(&self) -> FrameKind {
        if self.peer.sending.is_some() { FrameKind::Mapped } else { FrameKind::Copied }
    }

    /// Refuses where the configuration makes the registry read-only.
    pub(crate) fn writable(&self) -> Result<(), Failure> {
        if self.app.options.read_only {
            return Err(Failure::disabled("the registry is read-only (storage.maintenance.readonly)"));
        }
        Ok(())
    }

    /// Refuses where deleting is switched off.
    pub(crate) fn deletable(&self) -> Result<(), Failure> {
        self.writable()?;
        if !self.app.options.delete_enabled {
            return Err(Failure::disabled("deleting is switched off (storage.delete.enabled)"));
        }
        Ok(())
    }
}

/// The repository that a mount wants to pull from (end-11): one token has to cover both.
fn mount_source(head: &http::request::Parts, target: Resource<'_>) -> Option<RepositoryName> {
    let Resource::Repository(target) = target else { return None };
    if head.method != Method::POST || v2::query::values_of(head, "mount").next().is_none() {
        return None;
    }
    let from = v2::query::values_of(head, "from").next()?;
    RepositoryName::parse(&from).ok().filter(|from| from != target)
}

fn authority(head: &http::request::Parts) -> Option<&str> {
    head.uri.authority().map(http::uri::Authority::as_str)
}

fn moved_to(options: &Options, path: &str) -> Answer {
    let mut answer = text(StatusCode::MOVED_PERMANENTLY, "");
    let location = HeaderValue::try_from(format!("{}{path}", options.prefix));
    answer.headers_mut().insert(LOCATION, location.unwrap_or(HeaderValue::from_static("/v2/")));
    answer
}

/// A short answer that no cache keeps.
pub(crate) fn text(status: StatusCode, content: &str) -> Answer {
    let mut answer = Response::new(AnswerBody::from(content.to_owned()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CONTENT_LENGTH, content.len().into());
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

pub(crate) fn json(status: StatusCode, value: &serde_json::Value) -> Answer {
    let mut answer = text(status, &format!("{value}\n"));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}
