//! Three separate questions: does the process live, can this instance serve, does the store work.

pub mod tcp;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::app::App;
use crate::tls::Tls;

/// The outcome of the last probe.
#[derive(Clone, Debug)]
struct Probe {
    at: SystemTime,
    took: Duration,
    error: Option<String>,
    /// Failures in a row, this one included.
    failures: u64,
}

/// What the health endpoints answer from; no request waits for a store.
#[derive(Default)]
pub struct Health {
    draining: AtomicBool,
    down: AtomicBool,
    probe: Mutex<Option<Probe>>,
    /// Failures in a row from which on `/debug/health` lists the check.
    threshold: AtomicU64,
    /// Ports that are looked at.
    pub(crate) ports: tcp::Ports,
    tls: OnceLock<Arc<Tls>>,
}

impl Health {
    /// From now on this instance is not ready: a load balancer takes it out.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether the instance was told to stop.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Distribution's manual status (`POST /debug/health/down` and `/up`).
    pub(crate) fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::Relaxed);
    }

    pub(crate) fn is_down(&self) -> bool {
        self.down.load(Ordering::Relaxed)
    }

    pub(crate) fn is_ready(&self) -> bool {
        !self.is_draining() && !self.is_down()
    }

    /// Whether the last probe succeeded, or none has ended yet.
    pub fn store_works(&self) -> bool {
        self.probe.lock().as_ref().is_none_or(|probe| probe.error.is_none())
    }

    /// The listener's TLS, whose certificate is watched.
    pub fn watch_certificate(&self, tls: Arc<Tls>) {
        let _ = self.tls.set(tls);
    }

    /// Seconds until the certificate ends, less than 0 since then; `None` without TLS.
    pub(crate) fn certificate_seconds_left(&self) -> Option<i64> {
        self.tls.get()?.seconds_left()
    }

    /// Whether the last probe succeeded, and what is known of it.
    pub(crate) fn store(&self) -> (bool, Value) {
        match &*self.probe.lock() {
            None => (false, json!({ "status": "unknown", "reason": "no probe has ended yet" })),
            Some(probe) => {
                let age = probe.at.elapsed().unwrap_or_default().as_secs();
                let milliseconds = probe.took.as_secs_f64() * 1e3;
                let status = if probe.error.is_none() { "ok" } else { "failing" };
                let value = json!({
                    "status": status,
                    "age_seconds": age,
                    "took_milliseconds": milliseconds,
                    "error": probe.error,
                });
                (probe.error.is_none(), value)
            }
        }
    }

    /// Failing checks by name, as `/debug/health` lists them.
    pub(crate) fn failing(&self, driver: &str) -> serde_json::Map<String, Value> {
        let mut failing = serde_json::Map::new();
        if let Some(Probe { error: Some(error), failures, .. }) = &*self.probe.lock()
            && *failures >= self.threshold.load(Ordering::Relaxed)
        {
            failing.insert(format!("storagedriver_{driver}"), json!(error));
        }
        if self.is_down() {
            failing.insert("manual_http_status".to_owned(), json!("Manual Check"));
        }
        failing
    }
}

/// Probes the store for ever: writes, reads and deletes an object every `interval`.
/// `threshold` failures in a row make `/debug/health` fail.
pub async fn probe_forever(app: Arc<App>, interval: Duration, threshold: u64) {
    app.health.threshold.store(threshold, Ordering::Relaxed);
    loop {
        let started = SystemTime::now();
        let limit = interval.max(Duration::from_secs(5));
        let result = match tokio::time::timeout(limit, app.registry.probe()).await {
            Ok(result) => result.map_err(|error| error.to_string()),
            Err(_) => Err(format!("the store did not answer within {} s", limit.as_secs())),
        };
        let error = result.err();
        let before = app.health.probe.lock().as_ref().map_or(0, |probe| probe.failures);
        let failures = if error.is_some() { before + 1 } else { 0 };
        match (&error, before > 0) {
            (Some(error), false) => tracing::error!(%error, "the store fails its probe"),
            (None, true) => tracing::info!("the store passes its probe again"),
            _ => {}
        }
        app.metrics.store_probed(error.is_none());
        let took = started.elapsed().unwrap_or_default();
        *app.health.probe.lock() = Some(Probe { at: SystemTime::now(), took, error, failures });
        tokio::time::sleep(interval).await;
    }
}
