//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::cache;
use crate::measure::Measure;
use crate::swift::Sizes;
use crate::target::Layout;

/// Measures registries of this machine and verifies what they answer
#[derive(Parser)]
#[command(name = "wharfinger-load", version, after_help = EXAMPLES)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "Examples:
  # All measures, 5 rounds, with the benchmarks page
  wharfinger-load compare --wharfinger target/release/wharfinger --markdown docs/reference/benchmarks.md

  # A quick look at small requests
  wharfinger-load compare --wharfinger target/release/wharfinger --only manifest,head,blob-1k --quick

  # On a real OpenStack Swift that it starts
  wharfinger-load swift --wharfinger target/release/wharfinger --quick

  # The disk cache before Swift
  wharfinger-load cache --wharfinger target/release/wharfinger --quick

  # A registry that already runs
  wharfinger-load drive http://127.0.0.1:5000 --measure manifest-tag,push-post-put --pid 4711

Build it with `cargo build --release -p wharfinger-load`. Only loopback addresses are driven.";

/// The subcommands.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Start wharfinger, docker-registry and nginx and measure them in turn
    Compare(CompareArgs),
    /// Start OpenStack Swift, and wharfinger and docker-registry on it, and measure them in turn
    Swift(SwiftArgs),
    /// Start OpenStack Swift, and wharfinger with its disk cache before it, and set pulls against nginx and Swift
    Cache(CacheArgs),
    /// Measure a registry that already runs
    Drive(DriveArgs),
}

/// Arguments of `compare`.
#[derive(Args)]
#[command(after_help = COMPARE_EXAMPLES)]
pub(crate) struct CompareArgs {
    /// The wharfinger program; without it only the others are measured
    #[arg(long, value_name = "PATH")]
    pub(crate) wharfinger: Option<PathBuf>,
    /// The docker-registry program (Debian package docker-registry)
    #[arg(long, value_name = "PATH", default_value = "/usr/bin/docker-registry")]
    pub(crate) docker_registry: PathBuf,
    /// The nginx program (Debian package nginx-light or nginx)
    #[arg(long, value_name = "PATH", default_value = "/usr/sbin/nginx")]
    pub(crate) nginx: PathBuf,
    /// Leave a server out; may be repeated
    #[arg(long, value_name = "NAME", value_parser = ["nginx", "docker-registry", "wharfinger"])]
    pub(crate) skip: Vec<String>,
    /// Rounds over all servers per measure [default: 5, with --quick 2]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=50))]
    rounds: Option<u8>,
    /// 2 rounds, 1 second per small-request measure
    #[arg(long)]
    quick: bool,
    /// Only measures whose names contain one of these, separated by commas
    #[arg(long, value_name = "PATTERN")]
    pub(crate) only: Option<String>,
    /// Seconds per small-request measure [default: 3, with --quick 1]
    #[arg(long, value_name = "S", value_parser = parse_seconds)]
    seconds: Option<f64>,
    /// Connections of the small-request measures
    #[arg(long, value_name = "N", default_value = "32", value_parser = parse_connections)]
    pub(crate) connections: usize,
    /// Directory for the stores; needs 8 GB free, best a tmpfs
    #[arg(long, value_name = "DIR", default_value = "/dev/shm")]
    pub(crate) stores: PathBuf,
    /// Write all figures as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Write the benchmarks page
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
    /// Remarks that become part of the page when the file is there
    #[arg(long, value_name = "FILE", default_value = "docs/reference/benchmarks-notes.md")]
    pub(crate) notes: PathBuf,
}

const COMPARE_EXAMPLES: &str = "Examples:
  wharfinger-load compare --wharfinger target/release/wharfinger --json figures.json
  wharfinger-load compare --only push --rounds 3            # nginx and docker-registry alone
  wharfinger-load compare --wharfinger ./wharfinger --skip docker-registry --only memory";

/// Arguments of `swift`.
#[derive(Args)]
#[command(after_help = SWIFT_EXAMPLES)]
pub(crate) struct SwiftArgs {
    /// The wharfinger program
    #[arg(long, value_name = "PATH")]
    pub(crate) wharfinger: PathBuf,
    /// The docker-registry program (Debian package docker-registry)
    #[arg(long, value_name = "PATH", default_value = "/usr/bin/docker-registry")]
    pub(crate) docker_registry: PathBuf,
    /// Rounds over all servers per measure [default: 3, with --quick 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=50))]
    rounds: Option<u8>,
    /// One round with little content, to see that everything works
    #[arg(long)]
    quick: bool,
    /// Only measures whose names contain one of these, separated by commas
    #[arg(long, value_name = "PATTERN")]
    pub(crate) only: Option<String>,
    /// Tags of the long list [default: 10000, with --quick 400]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(300..=10_000))]
    tags: Option<u16>,
    /// Directory for Swift's objects; needs 9 GB free, and extended attributes, which a tmpfs has
    #[arg(long, value_name = "DIR", default_value = "/dev/shm")]
    pub(crate) stores: PathBuf,
    /// Write all figures as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Write the section on Swift into the benchmarks page
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
    /// Remarks that become part of the section when the file is there
    #[arg(long, value_name = "FILE", default_value = "docs/reference/benchmarks-swift-notes.md")]
    pub(crate) notes: PathBuf,
}

const SWIFT_EXAMPLES: &str = "Examples:
  wharfinger-load swift --wharfinger target/release/wharfinger --markdown docs/reference/benchmarks.md
  wharfinger-load swift --wharfinger target/release/wharfinger --only push,pull --rounds 5
  wharfinger-load swift --wharfinger ./wharfinger --quick --only memory

It needs Debian's swift-proxy, swift-account, swift-container, swift-object, memcached, docker-registry and skopeo.";

/// Arguments of `cache`.
#[derive(Args)]
#[command(after_help = CACHE_EXAMPLES)]
pub(crate) struct CacheArgs {
    /// The wharfinger program
    #[arg(long, value_name = "PATH")]
    pub(crate) wharfinger: PathBuf,
    /// The nginx program (Debian package nginx-light or nginx)
    #[arg(long, value_name = "PATH", default_value = "/usr/sbin/nginx")]
    pub(crate) nginx: PathBuf,
    /// Rounds over all servers per measure [default: 3, with --quick 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=50))]
    rounds: Option<u8>,
    /// One round with little content, to see that everything works
    #[arg(long)]
    quick: bool,
    /// Only measures whose names contain one of these, separated by commas
    #[arg(long, value_name = "PATTERN")]
    pub(crate) only: Option<String>,
    /// Clients that pull the cold image at once [default: 500, with --quick 50]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1_000))]
    clients: Option<u16>,
    /// Directory for Swift's objects and for the cache; needs 5 GB free, and extended attributes, which a tmpfs has
    #[arg(long, value_name = "DIR", default_value = "/dev/shm")]
    pub(crate) stores: PathBuf,
    /// Write all figures as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Write the section on the cache into the benchmarks page
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
    /// Remarks that become part of the section when the file is there
    #[arg(long, value_name = "FILE", default_value = "docs/reference/benchmarks-cache-notes.md")]
    pub(crate) notes: PathBuf,
}

const CACHE_EXAMPLES: &str = "Examples:
  wharfinger-load cache --wharfinger target/release/wharfinger --markdown docs/reference/benchmarks.md
  wharfinger-load cache --wharfinger target/release/wharfinger --only herd --clients 100
  wharfinger-load cache --wharfinger ./wharfinger --quick --only redis

It needs Debian's swift-proxy, swift-account, swift-container, swift-object, memcached, nginx and redis-server.";

/// Arguments of `drive`.
#[derive(Args)]
#[command(after_help = DRIVE_EXAMPLES)]
pub(crate) struct DriveArgs {
    /// The server, http://127.0.0.1:PORT; only loopback addresses are accepted
    pub(crate) url: String,
    /// What to measure, separated by commas
    #[arg(long, value_enum, value_delimiter = ',', required = true)]
    pub(crate) measure: Vec<Measure>,
    /// The server's process id, for CPU and memory (its children are counted too)
    #[arg(long)]
    pub(crate) pid: Option<u32>,
    /// How the server's URLs look
    #[arg(long, value_enum, default_value = "registry")]
    pub(crate) layout: Layout,
    /// The repository to push to and pull from
    #[arg(long, value_name = "NAME", default_value = "load/bench")]
    pub(crate) repository: String,
    /// Do not push first what the measure reads: an earlier run did
    #[arg(long)]
    pub(crate) no_seed: bool,
    /// Seconds per small-request measure
    #[arg(long, value_name = "S", default_value = "3", value_parser = parse_seconds)]
    pub(crate) seconds: f64,
    /// Connections of the small-request measures
    #[arg(long, value_name = "N", default_value = "32", value_parser = parse_connections)]
    pub(crate) connections: usize,
}

const DRIVE_EXAMPLES: &str = "Examples:
  wharfinger-load drive http://127.0.0.1:5000 --measure manifest-tag --pid $(pidof wharfinger)
  wharfinger-load drive http://127.0.0.1:8080 --layout static --measure blob-1k,blob-100m-x8

Blobs that were pushed stay in the server's store.";

impl CompareArgs {
    /// Rounds to run.
    pub(crate) fn rounds(&self) -> usize {
        usize::from(self.rounds.unwrap_or(if self.quick { 2 } else { 5 }))
    }

    /// Seconds per small-request measure.
    pub(crate) fn seconds(&self) -> f64 {
        self.seconds.unwrap_or(if self.quick { 1.0 } else { 3.0 })
    }
}

impl SwiftArgs {
    /// Rounds to run.
    pub(crate) fn rounds(&self) -> usize {
        usize::from(self.rounds.unwrap_or(if self.quick { 1 } else { 3 }))
    }

    /// How much of everything.
    pub(crate) fn sizes(&self) -> Sizes {
        let sizes = if self.quick { Sizes::quick() } else { Sizes::full() };
        Sizes { tags: self.tags.map_or(sizes.tags, usize::from), ..sizes }
    }
}

impl CacheArgs {
    /// Rounds to run.
    pub(crate) fn rounds(&self) -> usize {
        usize::from(self.rounds.unwrap_or(if self.quick { 1 } else { 3 }))
    }

    /// How much of everything.
    pub(crate) fn sizes(&self) -> cache::Sizes {
        let sizes = if self.quick { cache::Sizes::quick() } else { cache::Sizes::full() };
        cache::Sizes { clients: self.clients.map_or(sizes.clients, usize::from), ..sizes }
    }
}

fn parse_seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.1..=60.0).contains(&seconds) => Ok(seconds),
        _ => Err("expected a number from 0.1 to 60".to_owned()),
    }
}

fn parse_connections(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(count) if (1..=1_000).contains(&count) => Ok(count),
        _ => Err("expected a number from 1 to 1000".to_owned()),
    }
}

/// The last part of an absolute path; anything else as it is.
pub(crate) fn last_part(text: &str) -> &str {
    if text.starts_with('/') { text.rsplit('/').find(|part| !part.is_empty()).unwrap_or(text) } else { text }
}

/// The command line as it was given; absolute paths are cut to their last part, since they say nothing to readers.
pub(crate) fn command_line() -> String {
    let arguments = std::env::args().skip(1).map(|argument| last_part(&argument).to_owned());
    std::iter::once("wharfinger-load".to_owned()).chain(arguments).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn absolute_paths_are_cut_to_their_last_part() {
        assert_eq!(last_part("/home/someone/target/release/wharfinger"), "wharfinger");
        assert_eq!(last_part("target/release/wharfinger"), "target/release/wharfinger");
        assert_eq!(last_part("/"), "/");
    }

    #[test]
    fn measures_are_named_as_documented() {
        let line =
            ["wharfinger-load", "drive", "http://127.0.0.1:1", "--measure", "blob-100m-x8,push-chunks-5m"];
        let Command::Drive(args) = Cli::parse_from(line).command else { unreachable!() };
        assert_eq!(args.measure, [Measure::Blob100mX8, Measure::PushChunks5m]);
    }
}
