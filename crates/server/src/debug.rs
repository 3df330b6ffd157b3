//! Distribution's debug address: `/debug/health`, its manual status, and metrics.

use std::sync::Arc;

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, StatusCode};
use hyper::body::Incoming;
use serde_json::Value;

use crate::app::{App, json, text};
use crate::listen::{Listener, Stop, serve_small};
use crate::respond::Answer;

/// Serves the debug address until `stop`. `metrics_path` is where Prometheus reads, if it may.
pub async fn serve(app: Arc<App>, listener: Listener, metrics_path: Option<String>, stop: Stop) {
    let metrics_path: Option<Arc<str>> = metrics_path.map(Into::into);
    serve_small(listener, stop, move |request| {
        let (app, metrics_path) = (app.clone(), metrics_path.clone());
        async move { answer(&app, metrics_path.as_deref(), &request) }
    })
    .await;
}

fn answer(app: &App, metrics_path: Option<&str>, request: &Request<Incoming>) -> Answer {
    let path = request.uri().path();
    let post = *request.method() == Method::POST;
    match path {
        "/debug/health" => {
            let failing = app.health.failing(app.registry.store().name());
            let status = if failing.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            json(status, &Value::Object(failing))
        }
        "/debug/health/down" if post => {
            app.health.set_down(true);
            text(StatusCode::OK, "")
        }
        "/debug/health/up" if post => {
            app.health.set_down(false);
            text(StatusCode::OK, "")
        }
        path if Some(path) == metrics_path => metrics(app),
        _ => text(StatusCode::NOT_FOUND, "no such page; try /debug/health or /metrics\n"),
    }
}

fn metrics(app: &App) -> Answer {
    let mut answer = text(StatusCode::OK, &app.metrics.encode(&app.registry, &app.health, &app.scrub));
    let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}
