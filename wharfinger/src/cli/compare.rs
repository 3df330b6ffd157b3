//! `wharfinger compare`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::{Output, parse_duration};

/// What to compare, and how.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  wharfinger compare --with codfw --config /etc/wharfinger/config.yml
      Hold the store of the configuration against that of replication.peers, object by object
  wharfinger compare --with /etc/docker/registry/codfw.yml --config /etc/docker/registry/config.yml
      The same between two registries of Distribution, by their own configurations
  wharfinger compare --with codfw --repository 'team/*' --settle 1m --output json

Reads alone. Exit codes: 0 the same, 1 they differ, 2 it could not be told.")]
pub(crate) struct Compare {
    /// The other site: a name of replication.peers, or the path of its configuration file.
    #[arg(long, value_name = "SITE")]
    pub(crate) with: String,
    /// The configuration of this site, Distribution's format (2.8 or 3.x); REGISTRY_* variables override it.
    #[arg(long, value_name = "FILE", env = "REGISTRY_CONFIGURATION_PATH")]
    pub(crate) config: Option<PathBuf>,
    /// Tell only what hits these repositories; * matches slashes too.
    #[arg(long, value_name = "GLOB")]
    pub(crate) repository: Option<String>,
    /// What was written within this time is in flight, and not told as a difference.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "10m")]
    pub(crate) settle: Duration,
    /// Storage calls side by side.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) parallel: u16,
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}
