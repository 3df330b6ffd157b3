//! Who does something here, and the record of it.

use std::future::Future;
use std::os::unix::fs::MetadataExt;

use anyhow::{Result, bail};
use tokio::signal::unix::{SignalKind, signal};
use tracing::instrument::WithSubscriber;
use wharfinger_config::{Config, StorageMode};
use wharfinger_maintenance::audit::{self, Entry};
use wharfinger_registry::Mode;

use crate::logging;
use crate::storage::Backend;

/// Who called `sudo`, if anybody did.
pub(crate) fn sudo_user() -> Option<String> {
    std::env::var("SUDO_USER").ok().filter(|user| !user.is_empty())
}

/// The operator's Unix user.
pub(crate) fn operator() -> String {
    let own =
        || std::fs::metadata("/proc/self").map_or_else(|_| "unknown".to_owned(), |me| audit::user(me.uid()));
    sudo_user().unwrap_or_else(own)
}

/// Something that an operator changes by a command that works on the store itself.
pub(crate) struct Action<'a> {
    pub(crate) config: &'a Config,
    pub(crate) backend: &'a Backend,
    /// The command, as `uploads purge`.
    pub(crate) name: &'static str,
    /// On what.
    pub(crate) what: String,
    /// What `--reason` said.
    pub(crate) reason: Option<&'a str>,
}

impl Action<'_> {
    /// Does it, and records how it ended: as `told`, as a failure, or by Ctrl-C. Where `told` has nothing to tell,
    /// nothing was changed, and there is no record.
    ///
    /// # Errors
    /// Those of `work`; that it was stopped.
    pub(crate) async fn run<T>(
        self,
        work: impl Future<Output = Result<T>>,
        told: impl FnOnce(&T) -> Option<String>,
    ) -> Result<T> {
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let stopped = tokio::select! {
            done = work => {
                match &done {
                    Ok(value) => {
                        if let Some(result) = told(value) {
                            self.record(Ok(result)).await;
                        }
                    }
                    Err(error) => self.record(Err(format!("{error:#}"))).await,
                }
                return done;
            }
            _ = interrupt.recv() => "stopped by SIGINT",
            _ = terminate.recv() => "stopped by SIGTERM",
        };
        self.record(Err(stopped.to_owned())).await;
        bail!("{}: {stopped}", self.name);
    }

    async fn record(&self, result: Result<String, String>) {
        let mode = match self.config.storage.mode {
            StorageMode::Observe => Mode::Observe,
            StorageMode::Trial => Mode::Trial,
            StorageMode::Adopted => Mode::Adopted,
        };
        let why = self.reason.map(str::to_owned);
        let entry = Entry::now(operator(), self.name, self.what.clone(), why, result);
        let store = self.backend.guarded(self.config);
        // A command has no log: what cannot be kept in the store is told on standard error as the server would.
        let log = logging::lines(&self.config.log);
        audit::record(&*store, mode, &entry).with_subscriber(log).await;
    }
}
