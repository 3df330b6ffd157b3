//! The log: one line per event on standard error, as text (`key=value`, as Distribution writes it) or JSON.

mod format;

use parking_lot::Mutex;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::{EnvFilter, Registry, fmt};
use wharfinger_config as config;
use wharfinger_oci::RepositoryName;
use wharfinger_server::admin::{LogControl, LogLevelChange};

use format::Lines;

/// The running log, whose level can be changed.
pub(crate) struct Logging {
    configured: &'static str,
    current: Mutex<String>,
    filter: reload::Handle<EnvFilter, Registry>,
}

/// Starts the log. What is wrong with the configuration is said before.
pub(crate) fn start(log: &config::Log) -> Logging {
    let configured = log.level.as_str();
    let (filter, handle) = reload::Layer::new(EnvFilter::new(configured));
    let layer = fmt::layer().event_format(Lines::of(log)).with_writer(std::io::stderr).with_ansi(false);
    let subscriber = Registry::default().with(filter).with(layer);
    // Fails only if a log was started before, which nobody does.
    let _ = tracing::subscriber::set_global_default(subscriber);
    Logging { configured, current: Mutex::new(configured.to_owned()), filter: handle }
}

/// What writes lines as the server does, for the few that a command has to write.
pub(crate) fn lines(log: &config::Log) -> impl tracing::Subscriber + Send + Sync + 'static {
    let layer = fmt::layer().event_format(Lines::of(log)).with_writer(std::io::stderr).with_ansi(false);
    Registry::default().with(EnvFilter::new("info")).with(layer)
}

impl Logging {
    fn set(&self, directives: String) -> Result<(), String> {
        let filter =
            EnvFilter::builder().with_regex(false).parse(&directives).map_err(|error| error.to_string())?;
        self.filter.reload(filter).map_err(|error| error.to_string())?;
        *self.current.lock() = directives;
        Ok(())
    }
}

impl LogControl for Logging {
    fn change(&self, change: &LogLevelChange) -> Result<(), String> {
        let level = change.level.as_str();
        if !["error", "warn", "info", "debug"].contains(&level) {
            return Err(format!("{level:?} is no log level; levels are error, warn, info, debug"));
        }
        let directives = match &change.repository {
            None => level.to_owned(),
            Some(name) => {
                let name = RepositoryName::parse(name).map_err(|error| error.to_string())?;
                format!("{},[request{{repository={name}}}]={level}", self.configured)
            }
        };
        self.set(directives)?;
        tracing::info!(
            level,
            repository = change.repository,
            seconds = change.seconds,
            "the log level was changed"
        );
        Ok(())
    }

    fn restore(&self) {
        // The configured level parsed when the program started.
        let _ = self.set(self.configured.to_owned());
    }

    fn current(&self) -> String {
        self.current.lock().clone()
    }
}
