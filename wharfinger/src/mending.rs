//! Mends what the scrub found damaged, where another site or this machine's disk cache has an intact copy.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::Result;
use tokio::sync::mpsc::Receiver;
use wharfinger_config::Config;
use wharfinger_maintenance::copies::Source;
use wharfinger_maintenance::fsck::{self, Site};
use wharfinger_maintenance::heal::{self, Outcome, Step};
use wharfinger_maintenance::{Effort, Unwatched};
use wharfinger_oci::Digest;
use wharfinger_server::App;

use crate::commands::sources;
use crate::storage::Backend;

/// Storage calls side by side: nobody waits for this.
const PARALLEL: usize = 4;

/// Mends what is found, for ever. What has no intact copy stays withheld, and waits for a push.
pub(crate) async fn forever(app: Arc<App>, config: Config, backend: Backend, mut damaged: Receiver<Digest>) {
    let sources = match sources::open(&config, &[]) {
        Ok(sources) if sources.is_empty() => return,
        Ok(sources) => sources,
        Err(error) => {
            let error = format!("{error:#}");
            tracing::warn!(error, "what is damaged cannot be mended from other places (replication.peers)");
            return;
        }
    };
    while let Some(digest) = damaged.recv().await {
        // One walk for all that wait: it reads every manifest.
        let mut waiting = BTreeSet::from([digest]);
        while let Ok(digest) = damaged.try_recv() {
            waiting.insert(digest);
        }
        if let Err(error) = mend(&app, &backend, &sources, config.scrub.rate, waiting).await {
            let error = format!("{error:#}");
            tracing::debug!(error, "damaged blobs could not be mended; the next pass tries again");
        }
    }
}

/// Mends those that are needed and of which somebody has an intact copy.
async fn mend(
    app: &App,
    backend: &Backend,
    sources: &[Source],
    rate: u64,
    waiting: BTreeSet<Digest>,
) -> Result<()> {
    let site = Site { registry: &app.registry, inventory: backend.inventory() };
    let options = fsck::Options {
        deep: true,
        only: waiting,
        effort: Effort { parallel: PARALLEL, rate: Some(rate) },
        ..fsck::Options::default()
    };
    let mut report = fsck::check(site, &options, &Unwatched).await?;
    let how = heal::Options { relink: false, rate: Some(rate) };
    let mut plan = heal::plan(&app.registry, &mut report, sources, how, &Unwatched).await;
    plan.retain(|repair| matches!(repair.step, Some(Step::CopyBlob { .. } | Step::CopyManifest { .. })));
    for done in heal::heal(&app.registry, plan, sources, how, &Unwatched).await {
        let Some(digest) = done.repair.finding.digest() else { continue };
        match (done.outcome, done.repair.step) {
            (Outcome::Mended, Some(Step::CopyBlob { from, .. } | Step::CopyManifest { from, .. })) => {
                app.registry.look_again(&digest).await?;
                tracing::info!(%digest, from, "a damaged blob was mended from an intact copy");
            }
            (Outcome::Failed, _) => {
                let error = done.error;
                tracing::debug!(%digest, error, "a damaged blob could not be mended; the next pass tries again");
            }
            _ => {}
        }
    }
    Ok(())
}
