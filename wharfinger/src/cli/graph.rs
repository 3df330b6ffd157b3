//! Commands that walk over everything that a store holds.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::{Output, Reason, parse_duration, parse_size};

/// Which store, and how hard to work on it.
#[derive(Debug, Args)]
pub(crate) struct Walk {
    /// Configuration that names the store; by default ./wharfinger-data.
    #[arg(long, value_name = "FILE", env = "REGISTRY_CONFIGURATION_PATH")]
    pub(crate) config: Option<PathBuf>,
    /// The running server's admin socket; by default the one of the configuration.
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
    /// Most bytes a second that are read to be hashed, e.g. 50MiB; by default as many as there are.
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) rate: Option<u64>,
    /// Storage calls side by side.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) parallel: u16,
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

/// What is looked at, and where else copies may lie.
#[derive(Debug, Args)]
pub(crate) struct Scope {
    /// Read every blob and compute its digest. A run that was stopped goes on where it was, within a day.
    #[arg(long)]
    pub(crate) deep: bool,
    /// Only what was written since then and what it needs, e.g. 24h.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) since: Option<Duration>,
    /// Only repositories with such names, e.g. 'team/*'; may be repeated.
    #[arg(long = "repository", value_name = "GLOB")]
    pub(crate) repositories: Vec<String>,
    /// A backup in the registry's own layout that may have intact copies; may be repeated.
    #[arg(long = "backup", value_name = "DIRECTORY")]
    pub(crate) backups: Vec<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  wharfinger fsck --config /etc/wharfinger/config.yml
      Look at every link, manifest, blob and segment by name; read no layer
  wharfinger fsck --deep --rate 50MiB
      As above, and read every blob and compute its digest, at most 50 MiB a second
  wharfinger fsck --since 24h --repository 'team/*'
      Only what was pushed there since yesterday

Reads alone, and is safe while the registry serves, whichever registry that is.

Exit codes: 0 nothing is damaged, 1 something is, 2 something could not be looked at.")]
pub(crate) struct Fsck {
    #[command(flatten)]
    pub(crate) scope: Scope,
    /// Where a run notes how far it is, to go on there when it is stopped; by default in the user's state directory.
    #[arg(long, value_name = "FILE", requires = "deep")]
    pub(crate) state: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) walk: Walk,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  wharfinger heal --dry-run --config /etc/wharfinger/config.yml
      Say what is damaged and what would be done about each, and change nothing
  wharfinger heal --backup /srv/backup
      Mend from the other site, this machine's disk cache, or that backup
  wharfinger heal --digest sha256:4ec95b9e13213893df41ee220c9ef413930f59d9af66654cc8924c44e751a966
      Mend that blob or manifest alone

Nothing is deleted. What has no intact copy is withheld, so that a push of it is accepted and mends it.

Exit codes: 0 nothing is damaged any more, 1 something still is, 2 something could not be looked at or mended.")]
pub(crate) struct Heal {
    /// Only say what would be done.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Only these blobs or manifests; they are read whole. May be repeated.
    #[arg(long = "digest", value_name = "DIGEST")]
    pub(crate) digests: Vec<String>,
    /// Write links again that manifests need and that are gone: they may have been deleted on purpose.
    #[arg(long)]
    pub(crate) relink: bool,
    #[command(flatten)]
    pub(crate) reason: Reason,
    #[command(flatten)]
    pub(crate) scope: Scope,
    #[command(flatten)]
    pub(crate) walk: Walk,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  wharfinger impact --digest sha256:4ec95b9e13213893df41ee220c9ef413930f59d9af66654cc8924c44e751a966
  wharfinger impact --object files/docker/registry/v2/blobs/sha256/4e/4ec9.../data
  wharfinger impact --object segments/2f6/46f636b65722f.../0000000000000003

Exit codes: 0 it was told who uses it, 1 nothing does, 2 something could not be looked at.")]
pub(crate) struct Impact {
    /// A blob or manifest.
    #[arg(long, value_name = "DIGEST", required_unless_present = "object")]
    pub(crate) digest: Option<String>,
    /// A segment or object, by its name in the store.
    #[arg(long, value_name = "NAME", conflicts_with = "digest")]
    pub(crate) object: Option<String>,
    #[command(flatten)]
    pub(crate) walk: Walk,
}
