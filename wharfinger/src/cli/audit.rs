//! Arguments of `wharfinger audit`, and the reason that commands take which change something.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::{Output, parse_duration};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  wharfinger audit --config /etc/wharfinger/config.yml
  wharfinger audit --since 7d --limit 20
  wharfinger audit --since 24h --output json

Exit codes: 0 told, 1 an entry is damaged, 2 the store could not be read.")]
pub(crate) struct Audit {
    /// Only what was done since so long ago, e.g. 24h or 7d; by default all of it.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) since: Option<Duration>,
    /// At most so many, the newest.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) limit: usize,
    /// Configuration that names the store.
    #[arg(long, value_name = "FILE", env = "REGISTRY_CONFIGURATION_PATH")]
    pub(crate) config: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

/// Why something is changed.
#[derive(Debug, Args)]
pub(crate) struct Reason {
    /// Why, for the audit record, e.g. the number of the incident.
    #[arg(long, value_name = "TEXT", value_parser = parse_reason)]
    pub(crate) reason: Option<String>,
}

/// One line without control characters.
fn parse_reason(text: &str) -> Result<String, String> {
    let text = text.trim().replace(char::is_control, " ");
    match text.chars().count() {
        0 => Err("a few words".to_owned()),
        1..=300 => Ok(text),
        _ => Err("at most 300 characters".to_owned()),
    }
}
