//! The scrub, beside the server that tells of it.

use std::sync::Arc;

use tokio::sync::mpsc;
use wharfinger_config::{Config, StorageMode};
use wharfinger_maintenance::scrub::{self, Host, Outcome, Progress, Tally};
use wharfinger_oci::Digest;
use wharfinger_server::App;
use wharfinger_server::scrub::{Found, Scrubbed, Standing};

use crate::mending;
use crate::storage::Backend;

/// Damaged blobs that wait to be mended; more are found again by the next pass.
const WAITING: usize = 1_000;

struct Beside(Arc<App>, mpsc::Sender<Digest>);

impl Host for Beside {
    fn store_works(&self) -> bool {
        self.0.health.store_works()
    }

    fn verified(&self, outcome: Outcome, bytes: u64) {
        let scrubbed = match outcome {
            Outcome::Good => Scrubbed::Good,
            Outcome::Derived => Scrubbed::Derived,
            Outcome::Damaged => Scrubbed::Damaged,
            Outcome::Unreadable => Scrubbed::Unreadable,
            Outcome::Gone => Scrubbed::Gone,
        };
        self.0.scrub.count(scrubbed, bytes);
    }

    fn damaged(&self, digest: Digest) {
        // Nobody listens where nothing can be mended.
        let _ = self.1.try_send(digest);
    }

    fn progressed(&self, progress: Progress) {
        self.0.scrub.tell(Standing {
            started: progress.started,
            done: progress.done,
            found: found(&progress.tally),
            last: progress.last.map(|last| (last.started, last.ended, found(&last.tally))),
            oldest_unverified: progress.oldest_unverified,
            elsewhere: progress.elsewhere,
        });
    }
}

fn found(tally: &Tally) -> Found {
    let Tally { blobs, bytes, damaged, unreadable } = *tally;
    Found { blobs, bytes, damaged, unreadable }
}

/// Scrubs for ever, and mends what another site has. Where the store may only be read, nothing is written.
pub(crate) async fn forever(app: Arc<App>, config: Config, backend: Backend) {
    let writes = config.storage.mode != StorageMode::Observe && !config.storage.read_only;
    let options = scrub::Options { period: config.scrub.period, rate: config.scrub.rate, writes };
    let (found, damaged) = mpsc::channel(WAITING);
    let scrub = scrub::run(app.registry.clone(), options, Arc::new(Beside(app.clone(), found)));
    if writes {
        tokio::join!(scrub, mending::forever(app, config, backend, damaged));
    } else {
        scrub.await;
    }
}
