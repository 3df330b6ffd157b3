//! What is known of a request, told to metrics and logs when its answer has ended, well or not.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use http::{HeaderMap, Method, StatusCode, Uri, Version};
use tracing::Span;
use wharfinger_oci::{Reference, Route};
use wharfinger_registry::blob::verified::BodyError;

use crate::access_log;
use crate::app::App;
use crate::metrics::{Class, Handler};
use crate::respond::Failure;

/// A request under way.
pub(crate) struct Record {
    app: Arc<App>,
    started: Instant,
    id: uuid::Uuid,
    pub(crate) peer: Option<IpAddr>,
    method: Method,
    uri: Uri,
    version: Version,
    headers: Option<HeaderMap>,
    route: Option<Route>,
    span: Span,
    pub(crate) user: Option<String>,
    received: u64,
    status: StatusCode,
    error: Option<(&'static str, String)>,
    fault: bool,
    broken: bool,
}

impl Record {
    pub(crate) fn begin(app: &Arc<App>, request: &http::request::Parts, peer: Option<IpAddr>) -> Box<Record> {
        let record = Record {
            app: app.clone(),
            started: Instant::now(),
            id: uuid::Uuid::new_v4(),
            peer,
            method: request.method.clone(),
            uri: request.uri.clone(),
            version: request.version,
            headers: app.options.access_log.then(|| request.headers.clone()),
            route: None,
            span: Span::none(),
            user: None,
            received: 0,
            status: StatusCode::OK,
            error: None,
            fault: false,
            broken: false,
        };
        Box::new(record)
    }

    /// The span is what `wharfinger log-level --repository` finds the lines of a repository by.
    pub(crate) fn routed(&mut self, route: &Route, body_size: Option<u64>) -> Span {
        self.route = Some(route.clone());
        self.received = body_size.unwrap_or(0);
        self.app.metrics.request_began(Handler::of(route), body_size);
        let repository = route.repository().map_or("", |name| name.as_str());
        self.span = tracing::debug_span!("request", repository = %repository);
        self.span.clone()
    }

    pub(crate) fn answered(&mut self, status: StatusCode) {
        self.status = status;
    }

    pub(crate) fn failed(&mut self, failure: &Failure) {
        self.error = Some((failure.code.as_str(), failure.message.clone()));
        self.fault = failure.fault;
    }

    /// The body broke off because of us or the store.
    pub(crate) fn fail(&mut self, error: &BodyError) {
        self.error = Some(("UNKNOWN", error.to_string()));
        self.fault = true;
        self.broken = true;
    }

    /// The answer ended after `sent` bytes of its body, with `unsent` still to go.
    pub(crate) fn finish(mut self: Box<Self>, sent: u64, unsent: u64) {
        let elapsed = self.started.elapsed();
        let head = self.method == Method::HEAD;
        self.broken |= unsent > 0 && !head;
        if let Some(route) = &self.route {
            self.app.metrics.request_ended(Handler::of(route), &self.method, self.status, elapsed, sent);
        }
        let class = Class::of(&self.method, self.route.as_ref());
        if self.route.is_some() {
            self.app.metrics.recent().ended(self.started + elapsed, class, self.status, elapsed);
        }
        self.app.metrics.class_ended(class, elapsed, self.received + sent, self.broken);
        if let Some(headers) = &self.headers {
            // As Distribution does, an answer that the client did not wait for is a 499.
            let status = if self.broken { 499 } else { self.status.as_u16() };
            let line = access_log::Line {
                peer: self.peer,
                user: self.user.as_deref(),
                method: &self.method,
                uri: &self.uri,
                version: self.version,
                status,
                sent,
                headers,
            };
            self.app.access_log.write(&line);
        }
        self.log(elapsed, sent);
    }

    fn log(&self, elapsed: std::time::Duration, sent: u64) {
        let _entered = self.span.enter();
        let repository =
            self.route.as_ref().and_then(Route::repository).map(wharfinger_oci::RepositoryName::as_str);
        let (digest, reference) = match &self.route {
            Some(Route::Blob(_, digest) | Route::Referrers(_, digest)) => (Some(digest), None),
            Some(Route::Manifest(_, Reference::Digest(digest))) => (Some(digest), None),
            Some(Route::Manifest(_, Reference::Tag(tag))) => (None, Some(tag.as_str())),
            _ => (None, None),
        };
        let (code, detail) = match &self.error {
            Some((code, detail)) => (Some(*code), Some(detail.as_str())),
            None => (None, None),
        };
        macro_rules! line {
            ($level:ident, $message:literal) => {
                tracing::$level!(
                    http.request.id = %self.id,
                    http.request.method = %self.method,
                    http.request.uri = %self.uri,
                    http.request.remoteaddr = self.peer.map(tracing::field::display),
                    http.response.status = self.status.as_u16(),
                    http.response.written = sent,
                    http.response.duration = ?elapsed,
                    auth.user.name = self.user.as_deref(),
                    vars.name = repository,
                    vars.digest = digest.map(tracing::field::display),
                    vars.reference = reference,
                    err.code = code,
                    err.detail = detail,
                    $message
                )
            };
        }
        if self.broken && self.fault {
            line!(error, "the answer was broken off");
        } else if self.broken {
            line!(info, "the client did not take the whole answer");
        } else if self.fault && self.app.faults.admit((self.status, code.unwrap_or(""))).is_some() {
            line!(error, "the request failed");
        } else {
            line!(info, "response completed");
        }
    }
}
