//! What runs beside requests: finding the store, its probe, the scrub, and the purge of abandoned uploads.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use wharfinger_config::{Config, UploadPurging};
use wharfinger_registry::{Purged, Registry};
use wharfinger_server::admin::LogControl;
use wharfinger_server::{App, health, instance};

use crate::scrubbing;
use crate::storage::Backend;

/// Between two looks for blobs that other instances found damaged.
const MARKS_EVERY: Duration = Duration::from_secs(30);

/// Between two times that the cache directory is told which images are pulled most, and that pulls are written down.
const PULLS_EVERY: Duration = Duration::from_secs(60);

/// Between two times that pushes are written down.
const PUSHES_EVERY: Duration = Duration::from_secs(5);

/// Starts everything that the configuration asks for.
pub(crate) fn start(
    app: &Arc<App>,
    config: &Config,
    backend: &Backend,
    log: Arc<dyn LogControl>,
) -> Vec<JoinHandle<()>> {
    let mut tasks = Vec::new();
    let (prepared, configured, prepared_app) = (backend.clone(), config.clone(), app.clone());
    tasks.push(tokio::spawn(async move {
        prepared.prepare(&prepared_app.registry, &configured).await;
        instance::write_forever(prepared_app, log).await;
    }));
    if config.health.enabled {
        let (interval, threshold) = (config.health.interval, config.health.threshold);
        tasks.push(tokio::spawn(health::probe_forever(app.clone(), interval, threshold)));
    }
    for port in &config.health.tcp {
        let check = health::tcp::TcpCheck {
            address: port.address.clone(),
            timeout: port.timeout,
            interval: port.interval,
            threshold: port.threshold,
        };
        tasks.push(tokio::spawn(health::tcp::look_forever(app.clone(), check)));
    }
    tasks.push(tokio::spawn(follow_marks(app.registry.clone())));
    tasks.push(tokio::spawn(keep_pulls(app.registry.clone())));
    tasks.push(tokio::spawn(keep_activity(app.registry.clone())));
    tasks.extend(app.purger.start());
    if config.scrub.enabled {
        tasks.push(tokio::spawn(scrubbing::forever(app.clone(), config.clone(), backend.clone())));
    }
    if config.storage.upload_purging.enabled && !config.storage.read_only {
        let purging = config.storage.upload_purging.clone();
        tasks.push(tokio::spawn(purge_forever(app.clone(), backend.clone(), purging)));
    }
    tasks
}

/// Follows what other instances found damaged.
async fn follow_marks(registry: Registry) {
    loop {
        if let Err(error) = registry.refresh_damaged().await {
            tracing::debug!(%error, "the marks of damaged blobs could not be listed");
        }
        tokio::time::sleep(MARKS_EVERY).await;
    }
}

/// Keeps which images are pulled most, where there is a disk cache.
async fn keep_pulls(registry: Registry) {
    let Some(cache) = registry.disk_cache() else { return };
    loop {
        tokio::time::sleep(PULLS_EVERY).await;
        cache.keep_pulls().await;
    }
}

/// Writes down who pushed and pulled.
async fn keep_activity(registry: Registry) {
    let mut pulls_since = Duration::ZERO;
    loop {
        tokio::time::sleep(PUSHES_EVERY).await;
        pulls_since += PUSHES_EVERY;
        let pulls = pulls_since >= PULLS_EVERY;
        if pulls {
            pulls_since = Duration::ZERO;
        }
        registry.keep_activity(pulls).await;
    }
}

async fn purge_forever(app: Arc<App>, backend: Backend, purging: UploadPurging) {
    // Instances on one store do not all begin at once.
    let spread = std::time::SystemTime::now().elapsed().unwrap_or_default().subsec_nanos();
    let jitter = Duration::from_secs(u64::from(spread ^ std::process::id()) % 3600);
    tokio::time::sleep(jitter.min(purging.interval)).await;
    loop {
        let swept = app.registry.purge_uploads(purging.age, purging.dry_run).await;
        let left =
            |purged: &Purged| (purged.kept as u64, if purging.dry_run { purged.uploads as u64 } else { 0 });
        app.metrics.uploads_swept(swept.as_ref().ok().map(left));
        match swept {
            Ok(purged) if purged.uploads > 0 => {
                let uploads = purged.uploads;
                tracing::info!(uploads, dry_run = purging.dry_run, "purged abandoned uploads");
            }
            Ok(_) => {}
            Err(error) => tracing::error!(%error, "purging abandoned uploads failed"),
        }
        if let Backend::Filesystem(store) = &backend {
            let store = store.clone();
            let swept = tokio::task::spawn_blocking(move || store.sweep_temporary()).await;
            if let Ok(Err(error)) = swept {
                tracing::warn!(%error, "half-written files could not be swept");
            }
        }
        tokio::time::sleep(purging.interval).await;
    }
}
