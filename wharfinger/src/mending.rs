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

/// Mends one blob after the other, for ever. What has no intact copy stays withheld, and waits for a push.
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
        match mend(&app, &backend, &sources, config.scrub.rate, digest).await {
            Ok(Some(from)) => tracing::info!(%digest, from, "a damaged blob was mended from an intact copy"),
            Ok(None) => tracing::debug!(%digest, "no intact copy of a damaged blob is known"),
            Err(error) => {
                let error = format!("{error:#}");
                tracing::debug!(%digest, error, "a damaged blob could not be mended; the next pass tries again");
            }
        }
    }
}

/// From where it was mended; none where nothing that is needed is wrong with it, or nobody has a copy.
async fn mend(
    app: &App,
    backend: &Backend,
    sources: &[Source],
    rate: u64,
    digest: Digest,
) -> Result<Option<String>> {
    let site = Site { registry: &app.registry, inventory: backend.inventory() };
    let options = fsck::Options {
        deep: true,
        only: BTreeSet::from([digest]),
        effort: Effort { parallel: PARALLEL, rate: Some(rate) },
        ..fsck::Options::default()
    };
    let mut report = fsck::check(site, &options, &Unwatched).await?;
    let how = heal::Options { relink: false, rate: Some(rate) };
    let mut plan = heal::plan(&app.registry, &mut report, sources, how, &Unwatched).await;
    plan.retain(|repair| matches!(repair.step, Some(Step::CopyBlob { .. } | Step::CopyManifest { .. })));
    let mut mended = None;
    for done in heal::heal(&app.registry, plan, sources, how, &Unwatched).await {
        match (done.outcome, done.repair.step) {
            (Outcome::Mended, Some(Step::CopyBlob { from, .. } | Step::CopyManifest { from, .. })) => {
                app.registry.look_again(&digest).await?;
                mended = Some(from);
            }
            (Outcome::Failed, _) => anyhow::bail!("{}", done.error.unwrap_or_default()),
            _ => {}
        }
    }
    Ok(mended)
}
