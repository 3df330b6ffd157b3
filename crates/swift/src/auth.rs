//! The session: one token for everybody, renewed once for everybody.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use http::header::HeaderValue;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::call::{Answer, collect};
use crate::pace::RequestBody;
use crate::retry::{Bucket, Tries};
use crate::transport::Transport;
use crate::url::Base;
use crate::{Auth, Error, ErrorKind, Interface, Options, Result, Retry};

mod v1;
mod v2;
mod v3;

/// For how long an answer that the credentials are wrong is believed, so that it is not asked for by every request.
const REFUSED: Duration = Duration::from_secs(1);
/// Time between two attempts to refresh a token that is still good.
const REFRESH_AGAIN: Duration = Duration::from_secs(5);
/// Most bytes of Keystone's answer, which has the whole catalogue.
const CATALOGUE: usize = 4 * 1024 * 1024;

/// A token and what it opens.
#[derive(Debug)]
pub(crate) struct Token {
    /// Counts the tokens of this client.
    pub(crate) generation: u64,
    /// The account.
    pub(crate) storage: Base,
    /// The token itself, marked as sensitive.
    pub(crate) value: HeaderValue,
    /// When it ends.
    pub(crate) expires: Option<Instant>,
    /// When 90 % of its life is over.
    refresh: Option<Instant>,
}

/// What an authentication answered.
#[derive(Debug)]
struct Grant {
    token: HeaderValue,
    /// The account, unless the options name it.
    storage: Option<String>,
    life: Option<Duration>,
}

type Flight = Shared<BoxFuture<'static, Result<Arc<Token>>>>;

#[derive(Debug, Default)]
struct State {
    token: Option<Arc<Token>>,
    flight: Option<Flight>,
    refused: Option<(Instant, Error)>,
    refreshed: Option<Instant>,
    generation: u64,
}

/// Gets and keeps the token.
#[derive(Debug)]
pub(crate) struct Authenticator {
    auth: Auth,
    region: Option<String>,
    interface: Interface,
    storage: Option<Base>,
    retry: Retry,
    bucket: Arc<Bucket>,
    transport: Arc<Transport>,
    state: Mutex<State>,
}

impl Authenticator {
    pub(crate) fn new(
        options: &Options,
        transport: Arc<Transport>,
        bucket: Arc<Bucket>,
    ) -> Result<Arc<Authenticator>> {
        let (Auth::V1 { url, .. } | Auth::V2 { url, .. } | Auth::V3 { url, .. }) = &options.auth;
        Base::parse("auth URL", url)?;
        let storage =
            options.storage_url.as_deref().map(|url| Base::parse("storage URL", url)).transpose()?;
        Ok(Arc::new(Authenticator {
            auth: options.auth.clone(),
            region: options.region.clone(),
            interface: options.interface,
            storage,
            retry: options.retry,
            bucket,
            transport,
            state: Mutex::default(),
        }))
    }

    /// A token that is good as far as we know. Renewed in the background when it gets old.
    pub(crate) async fn token(self: &Arc<Self>) -> Result<Arc<Token>> {
        let flight = {
            let mut state = self.state.lock();
            let now = Instant::now();
            if let Some(token) = &state.token
                && token.expires.is_none_or(|expires| now < expires)
            {
                let token = Arc::clone(token);
                let old = token.refresh.is_some_and(|refresh| now >= refresh);
                if old && state.refreshed.is_none_or(|last| now >= last + REFRESH_AGAIN) {
                    state.refreshed = Some(now);
                    // Nobody waits for it: the old token is still good.
                    drop(self.fly(&mut state));
                }
                return Ok(token);
            }
            self.fly(&mut state)?
        };
        flight.await
    }

    /// A token after the one of `generation`, which Swift refused. All who ask at the same time get the same.
    pub(crate) async fn renew(self: &Arc<Self>, generation: u64) -> Result<Arc<Token>> {
        let flight = {
            let mut state = self.state.lock();
            if let Some(token) = state.token.as_ref().filter(|token| token.generation > generation) {
                return Ok(Arc::clone(token));
            }
            state.token = None;
            self.fly(&mut state)?
        };
        flight.await
    }

    /// Gives up the token of `generation`, which Swift refused.
    pub(crate) fn forget(&self, generation: u64) {
        let mut state = self.state.lock();
        if state.token.as_ref().is_some_and(|token| token.generation == generation) {
            state.token = None;
        }
    }

    /// The authentication that is under way, or a new one.
    fn fly(self: &Arc<Self>, state: &mut State) -> Result<Flight> {
        if let Some(flight) = &state.flight {
            return Ok(flight.clone());
        }
        if let Some((at, error)) = &state.refused {
            if at.elapsed() < REFUSED {
                return Err(error.clone());
            }
            state.refused = None;
        }
        // A task of its own: it goes on when those who wait for it go away.
        let task = tokio::spawn(Arc::clone(self).log_in());
        let flight = async move {
            task.await.unwrap_or_else(|error| {
                Err(Error::caused(ErrorKind::Connection, "the authentication was ended", error))
            })
        };
        let flight = flight.boxed().shared();
        state.flight = Some(flight.clone());
        Ok(flight)
    }

    /// Authenticates, with retries, and keeps what comes of it.
    async fn log_in(self: Arc<Self>) -> Result<Arc<Token>> {
        let result = self.attempts().await;
        let mut state = self.state.lock();
        state.flight = None;
        match result {
            Ok(grant) => {
                state.generation += 1;
                let token = Arc::new(self.token_of(grant, state.generation)?);
                state.token = Some(Arc::clone(&token));
                tracing::debug!(storage = %token.storage, "authenticated");
                Ok(token)
            }
            Err(error) => {
                if matches!(error.kind(), ErrorKind::Unauthorized | ErrorKind::Forbidden) {
                    state.refused = Some((Instant::now(), error.clone()));
                }
                Err(error)
            }
        }
    }

    fn token_of(&self, grant: Grant, generation: u64) -> Result<Token> {
        let storage = match (&self.storage, &grant.storage) {
            (Some(storage), _) => storage.clone(),
            (None, Some(url)) => Base::parse("storage URL", url)?,
            (None, None) => {
                return Err(Error::new(ErrorKind::Invalid, "the authentication names no storage URL"));
            }
        };
        let now = Instant::now();
        let expires = grant.life.and_then(|life| now.checked_add(life));
        let refresh = grant.life.and_then(|life| now.checked_add(life.mul_f64(0.9)));
        Ok(Token { generation, storage, value: grant.token, expires, refresh })
    }

    async fn attempts(&self) -> Result<Grant> {
        let mut tries = Tries::new(&self.retry, &self.bucket);
        loop {
            let limit = tries.begin(self.transport.timeouts.head);
            let result = match &self.auth {
                Auth::V1 { url, user, key } => v1::log_in(self, limit, url, user, key).await,
                Auth::V2 { url, user, password, tenant } => {
                    v2::log_in(self, limit, url, user, password, tenant.as_ref()).await
                }
                Auth::V3 { url, method, scope } => v3::log_in(self, limit, url, method, scope).await,
            };
            match result {
                Ok(grant) => {
                    self.bucket.give();
                    return Ok(grant);
                }
                Err(error) => tries.again(self.name(&error), Duration::ZERO).await?,
            }
        }
    }

    /// As whom we authenticate.
    fn who(&self) -> String {
        match &self.auth {
            Auth::V1 { user, .. } => format!("user {user}"),
            Auth::V2 { user, tenant, .. } => v2::describe(user, tenant.as_ref()),
            Auth::V3 { method, scope, .. } => v3::describe(method, scope),
        }
    }

    /// Says in a 403 who may not do it, in which account.
    pub(crate) fn name_refusal(&self, error: Error, token: &Token) -> Error {
        if error.kind() != ErrorKind::Forbidden {
            return error;
        }
        let message = format!("{}: {} may not do this in {}", error.message(), self.who(), token.storage);
        error.saying(message)
    }

    /// Says in the error where and as whom the authentication was tried.
    fn name(&self, error: &Error) -> Error {
        let (Auth::V1 { url, .. } | Auth::V2 { url, .. } | Auth::V3 { url, .. }) = &self.auth;
        let who = self.who();
        let message = error.message();
        let hint = match error.kind() {
            ErrorKind::Unauthorized => "the credentials are wrong",
            ErrorKind::Forbidden => "this user may not log in here",
            ErrorKind::NotFound => "there is no such service at this URL",
            _ => "the authentication failed",
        };
        error.clone().saying(format!("authentication at {url} as {who}: {hint} ({message})"))
    }

    /// One exchange with the service that authenticates.
    async fn exchange(&self, request: Request<Bytes>, limit: Duration) -> Result<Answer> {
        let (parts, body) = request.into_parts();
        let (body, pace) = RequestBody::memory(body, false);
        let mut exchange = self.transport.begin(Request::from_parts(parts, body), pace);
        let answer: Response<Incoming> = exchange.answer(limit).await?;
        let answer = crate::call::success(answer, limit).await?;
        let (parts, mut body) = answer.into_parts();
        let body = collect(&mut body, CATALOGUE, limit).await?;
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }
}

/// A header's value that is not shown.
fn sensitive(what: &str, text: &str) -> Result<HeaderValue> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| Error::new(ErrorKind::Invalid, format!("{what}: not a header's value")))?;
    value.set_sensitive(true);
    Ok(value)
}

/// A request with a JSON body.
fn post(url: &Base, path: &str, body: &serde_json::Value) -> Result<Request<Bytes>> {
    let mut request = Request::new(Bytes::from(body.to_string()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = url.join(path, "")?;
    request.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
    request.headers_mut().insert("accept", HeaderValue::from_static("application/json"));
    Ok(request)
}

/// The answer as JSON.
fn parse<T: serde::de::DeserializeOwned>(answer: &Answer) -> Result<T> {
    serde_json::from_slice(&answer.body).map_err(|error| {
        let message = format!("the answer cannot be read: {error}");
        answer.error(ErrorKind::Protocol, message)
    })
}

/// Fails unless the status is the one that is expected.
fn expect(answer: &Answer, statuses: &[StatusCode]) -> Result<()> {
    if statuses.contains(&answer.status) {
        return Ok(());
    }
    Err(answer.error(ErrorKind::Protocol, format!("unexpected answer {}", answer.status)))
}
