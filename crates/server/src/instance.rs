//! This process among the others that run on the same store: the record that it keeps there of itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;
use wharfinger_maintenance::audit;
use wharfinger_maintenance::instances::{self, EVERY, Fleet, Health, Instance};
use wharfinger_registry::Mode;

use crate::admin::{self, LogControl};
use crate::app::App;

/// Between two looks for records that nobody writes any more.
const SWEEP_EVERY: Duration = Duration::from_secs(3600);
/// How long a server that stops waits for its record to go.
const PATIENCE: Duration = Duration::from_secs(2);

/// What stays the same while the process runs.
pub struct Myself {
    id: Uuid,
    host: String,
    started: OffsetDateTime,
    address: Mutex<String>,
}

impl Default for Myself {
    fn default() -> Self {
        Myself {
            id: Uuid::new_v4(),
            host: audit::host(),
            started: OffsetDateTime::now_utc(),
            address: Mutex::new("?".to_owned()),
        }
    }
}

impl Myself {
    /// Says where this server listens.
    pub fn listens_at(&self, address: &str) {
        address.clone_into(&mut self.address.lock());
    }

    /// The record, of what the status tells now.
    pub(crate) fn record(&self, app: &App, status: &Value) -> Instance {
        let text = |value: &Value| value.as_str().unwrap_or("unknown").to_owned();
        let (hits, misses) = (&status["cache"]["hits"], &status["cache"]["misses"]);
        let share = |hits: u64, misses: u64| (hits * 100).checked_div(hits + misses);
        Instance {
            id: self.id,
            host: self.host.clone(),
            pid: std::process::id(),
            version: text(&status["version"]),
            address: self.address.lock().clone(),
            mode: mode(app).to_owned(),
            role: role(app).to_owned(),
            started: self.started,
            written_at: OffsetDateTime::now_utc(),
            health: Health {
                ready: status["ready"] == true,
                store: text(&status["store"]["probe"]["status"]),
                redis: status["redis"]["state"].as_str().map(str::to_owned),
                cache_hits_percent: hits.as_u64().zip(misses.as_u64()).and_then(|(h, m)| share(h, m)),
                damaged_blobs: status["damaged_blobs"].as_u64().unwrap_or(0),
                uploads_in_flight: status["uploads_in_flight"].as_u64().unwrap_or(0),
                scrub: Some(status["scrub"].clone()).filter(|scrub| !scrub.is_null()),
            },
        }
    }
}

/// The word for `storage.mode`.
pub(crate) fn mode(app: &App) -> &'static str {
    match app.registry.mode() {
        Mode::Observe => "observe",
        Mode::Trial => "trial",
        Mode::Adopted => "adopted",
    }
}

/// What this instance does beside the others.
pub(crate) fn role(app: &App) -> &'static str {
    if app.options.read_only { "read-only" } else { "active" }
}

/// Whether records may be written now: the store takes them, as far as is known.
fn may_write(app: &App) -> bool {
    app.registry.mode() != Mode::Observe && app.health.store().1["status"] != "failing"
}

/// Writes the record for ever, and sometimes sweeps those that nobody writes any more.
pub async fn write_forever(app: Arc<App>, log: Arc<dyn LogControl>) {
    let mut swept: Option<Instant> = None;
    loop {
        if may_write(&app) {
            let (me, store) = (app.myself.record(&app, &admin::told(&app, &*log)), app.registry.store());
            if let Err(error) = me.write(store).await {
                tracing::debug!(%error, "the record of this instance could not be written");
            } else if swept.is_none_or(|at| at.elapsed() > SWEEP_EVERY) {
                swept = Some(Instant::now());
                let sweeping = async { Fleet::look(store).await?.sweep(store, &me).await };
                if let Err(error) = sweeping.await {
                    tracing::debug!(%error, "records of instances could not be swept");
                }
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Removes the record, once it is not written any more.
pub async fn leave(app: &App) {
    if !may_write(app) {
        return;
    }
    let removed =
        tokio::time::timeout(PATIENCE, instances::remove(app.registry.store(), &app.myself.id)).await;
    if !matches!(removed, Ok(Ok(()))) {
        tracing::debug!("the record of this instance stays until it is swept");
    }
}
