//! The admin socket: what operators change on a running server. Whoever may open the socket's file is trusted.

mod cache;
pub mod caller;
mod look;
mod look_again;
mod overview;
mod troubles;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::app::{App, json, text};
use crate::instance;
use crate::listen::{Listener, Stop, serve_small};
use crate::respond::Answer;
use caller::Caller;

/// A change of the log level that falls back by itself. The body of `POST /v1/log-level`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLevelChange {
    /// `error`, `warn`, `info` or `debug`.
    pub level: String,
    /// Seconds until the configured level is back.
    pub seconds: u64,
    /// Only for requests to this repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
}

impl fmt::Display for LogLevelChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.level)?;
        self.repository.as_ref().map_or(Ok(()), |name| write!(f, ", repository {name}"))
    }
}

/// Changes how much is logged; implemented by whoever set the log up.
pub trait LogControl: Send + Sync + 'static {
    /// Applies a change.
    ///
    /// # Errors
    /// A message for the operator: no such level, not a repository name.
    fn change(&self, change: &LogLevelChange) -> Result<(), String>;

    /// Back to the configured level.
    fn restore(&self);

    /// The level in force, as text.
    fn current(&self) -> String;
}

/// Serves the admin socket until `stop`.
pub async fn serve(app: Arc<App>, listener: Listener, log: Arc<dyn LogControl>, stop: Stop) {
    let generation = Arc::new(std::sync::atomic::AtomicU64::new(0));
    serve_small(listener, stop, move |request| answer(app.clone(), log.clone(), generation.clone(), request))
        .await;
}

async fn answer(
    app: Arc<App>,
    log: Arc<dyn LogControl>,
    generation: Arc<std::sync::atomic::AtomicU64>,
    request: Request<Incoming>,
) -> Answer {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    match (method, path.as_str()) {
        (Method::GET, "/v1/status") => json(StatusCode::OK, &told(&app, &*log)),
        (Method::GET, "/v1/overview") => overview::overview(&app).await,
        (Method::POST, "/v1/log-level") => {
            let caller = Caller::of(&request);
            let change: LogLevelChange = match read(request).await {
                Ok(change) => change,
                Err(message) => return failure(&message),
            };
            let changed = log.change(&change);
            if changed.is_ok() {
                fall_back_later(log.clone(), &generation, change.seconds);
            }
            let told = changed.clone().map(|()| format!("in force for {} s", change.seconds));
            caller.did(&app, "log-level", change.to_string(), told).await;
            if let Err(message) = changed {
                return failure(&message);
            }
            json(StatusCode::OK, &json!({ "level": log.current(), "seconds": change.seconds }))
        }
        (Method::GET, "/v1/cache") => cache::status(&app).await,
        (Method::POST, "/v1/cache/verify") => cache::verify(&app, &request).await,
        (Method::POST, "/v1/cache/flush") => cache::flush(&app, request).await,
        (Method::POST, "/v1/cache/top") => cache::top(&app, request).await,
        (Method::POST, "/v1/cache/warm") => cache::warm(&app, request).await,
        (Method::POST, "/v1/look") => look::look(&app, request).await,
        (Method::POST, "/v1/look-again") => look_again::answer(&app, request).await,
        _ => text(StatusCode::NOT_FOUND, "no such admin endpoint\n"),
    }
}

/// The status of this instance; asks nobody.
pub(crate) fn told(app: &App, log: &dyn LogControl) -> serde_json::Value {
    let (healthy, store) = app.health.store();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "mode": instance::mode(app),
        "role": instance::role(app),
        "store": { "driver": app.registry.store().name(), "healthy": healthy, "probe": store },
        "ports": app.health.ports.told(),
        "ready": app.health.is_ready(),
        "read_only": app.options.read_only,
        "uploads_in_flight": app.registry.uploads_in_flight(),
        "cache": cache::summary(app),
        "redis": cache::shared(app),
        "damaged_blobs": app.registry.damaged_count(),
        "scrub": app.scrub.status(),
        "log_level": log.current(),
        "troubles": troubles::now(app),
    })
}

/// The JSON body of a request.
async fn read<T: DeserializeOwned>(request: Request<Incoming>) -> Result<T, String> {
    let body = Limited::new(request.into_body(), 64 * 1024).collect().await;
    let body = body.map_err(|error| format!("the request's body could not be read: {error}"))?.to_bytes();
    serde_json::from_slice(&body).map_err(|error| format!("not what is expected here: {error}"))
}

/// Restores the level after a while, unless it was changed again meanwhile.
fn fall_back_later(log: Arc<dyn LogControl>, generation: &Arc<std::sync::atomic::AtomicU64>, seconds: u64) {
    use std::sync::atomic::Ordering::SeqCst;
    let mine = generation.fetch_add(1, SeqCst) + 1;
    let generation = generation.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        if generation.load(SeqCst) == mine {
            log.restore();
            tracing::info!(level = log.current(), "the log level fell back");
        }
    });
}

fn failure(message: &str) -> Answer {
    json(StatusCode::BAD_REQUEST, &json!({ "error": message }))
}
