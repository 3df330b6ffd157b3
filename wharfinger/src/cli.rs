//! The command line.

mod audit;
mod compare;
mod doctor;
mod graph;
mod status;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use audit::{Audit, Reason};
pub(crate) use compare::Compare;
pub(crate) use doctor::Doctor;
pub(crate) use status::Status;

/// The container registry that runs its own runbook.
#[derive(Debug, Parser)]
#[command(name = "wharfinger", version, propagate_version = true, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Examples:
  wharfinger serve
      Serve ./wharfinger-data on 127.0.0.1:5000, without any configuration
  wharfinger serve /etc/docker/registry/config.yml
      Take over from Distribution (docker-registry) with its own configuration
  wharfinger config check /etc/wharfinger/config.yml
      Say what is wrong with a configuration, and what it does not do here
  wharfinger log-level debug --for 10m --repository team/app
      Log more about one repository for ten minutes, on a running server

Exit codes: 0 done, 1 something is wrong, 2 it could not be tried.";

pub(crate) use graph::{Fsck, Heal, Impact, Scope, Walk};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve a registry.
    Serve(Serve),
    /// Check a configuration, or print a commented sample.
    #[command(subcommand)]
    Config(Config),
    /// Take over, in place, what Distribution 2.8 wrote; say before what is there, and after whether it could go back.
    Adopt(Adopt),
    /// Show what operators did: who, when, what, why, and how it ended.
    Audit(Audit),
    /// Look after the copies that a running server keeps on its disk.
    #[command(subcommand)]
    Cache(Cache),
    /// Hold two sites' stores against each other: what is missing at one of them or differs, and which images that hits.
    Compare(Compare),
    /// Walk an image and ask everybody about each part of it: who is wrong first, and what mends it.
    Doctor(Doctor),
    /// Change how much a running server logs; it falls back by itself.
    LogLevel(LogLevel),
    /// Show on one screen how a running server is doing, or all of them.
    Status(Status),
    /// Look at everything: what is damaged, which images that hits, where an intact copy lies, what to push again.
    Fsck(Fsck),
    /// Put right what is damaged, from an intact copy, and prove it.
    Heal(Heal),
    /// Say which images use a blob, a manifest or a segment.
    Impact(Impact),
    /// Look after uploads that nobody finished.
    #[command(subcommand)]
    Uploads(Uploads),
    /// Write man pages, completions and reference pages (for packages).
    #[command(subcommand, hide = true)]
    Generate(Generate),
}

/// Which configuration to read.
#[derive(Debug, Args)]
pub(crate) struct Source {
    /// Configuration file, Distribution's format (2.8 or 3.x); REGISTRY_* variables override it.
    #[arg(env = "REGISTRY_CONFIGURATION_PATH")]
    pub(crate) file: Option<PathBuf>,
    /// Go on although this key of the configuration is not supported; may be repeated.
    #[arg(long, value_name = "KEY")]
    pub(crate) ignore_unsupported: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  wharfinger serve
  wharfinger serve config.yml
  REGISTRY_HTTP_ADDR=:5001 wharfinger serve config.yml --ignore-unsupported notifications.endpoints")]
pub(crate) struct Serve {
    #[command(flatten)]
    pub(crate) source: Source,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  wharfinger adopt config.yml --dry-run
      Read alone: what is there, what is damaged, what will be different, what to do next
  wharfinger adopt config.yml --dry-run --deep --rate 50MiB
      As above, and compute the digest of every blob, reading at most 50 MiB a second
  wharfinger adopt config.yml --rate 50MiB
      Hash what Distribution wrote and write down its proof beside it; goes on where it was stopped
  wharfinger adopt config.yml --back --check --flush-redis
      Prove that Distribution can take over again, and delete what its keys in Redis tell wrongly

Exit codes: 0 all is well, 1 something is damaged or in the way, 2 it could not be told.")]
pub(crate) struct Adopt {
    #[command(flatten)]
    pub(crate) source: Source,
    /// Only look: reads alone, not one write, whatever storage.mode says.
    #[arg(long, conflicts_with_all = ["back", "check"])]
    pub(crate) dry_run: bool,
    /// With --dry-run: read every blob and compute its digest.
    #[arg(long, requires = "dry_run")]
    pub(crate) deep: bool,
    /// Look at the way back to Distribution 2.8.
    #[arg(long, requires = "check")]
    pub(crate) back: bool,
    /// With --back: say whether Distribution 2.8 could take over again. Reads alone.
    #[arg(long, requires = "back")]
    pub(crate) check: bool,
    /// With --back --check: delete those of Distribution's keys in Redis that are not true any more.
    #[arg(long, requires = "back")]
    pub(crate) flush_redis: bool,
    /// Most bytes a second that are read to be hashed, e.g. 50MiB; by default as many as there are.
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) rate: Option<u64>,
    /// Storage calls side by side.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) parallel: u16,
    #[command(flatten)]
    pub(crate) reason: Reason,
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Check a configuration: mistakes, keys that are unknown or not supported, with file and line.
    #[command(after_help = "Example:\n  wharfinger config check /etc/docker/registry/config.yml")]
    Check {
        #[command(flatten)]
        source: Source,
        #[arg(long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Print every key with its default and what it does.
    #[command(after_help = "Example:\n  wharfinger config sample > config.yml")]
    Sample,
}

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Where the running server's admin socket is.
#[derive(Debug, Args)]
pub(crate) struct Socket {
    /// The server's admin socket; by default the one of the configuration.
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
    /// Configuration that names the socket.
    #[arg(long, value_name = "FILE", env = "REGISTRY_CONFIGURATION_PATH")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Cache {
    /// Show what the disk cache holds, what could be pulled from it without the store, and how Redis and the caches
    /// in front do. Exits with 1 if one of them ails.
    #[command(after_help = "Example:\n  wharfinger cache status --config /etc/wharfinger/config.yml")]
    Status {
        #[command(flatten)]
        socket: Socket,
        #[arg(long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Compute the digest of every copy, and drop what is damaged.
    #[command(after_help = "\
Example:
  wharfinger cache verify

Exit codes: 0 every copy is good, 1 some were damaged and are dropped, 2 it could not be tried.")]
    Verify {
        #[command(flatten)]
        socket: Socket,
        #[command(flatten)]
        reason: Reason,
        #[arg(long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Drop all copies, or one, in memory, on disk and in Redis. Nothing is lost: the next pull fetches them again.
    #[command(after_help = "\
Examples:
  wharfinger cache flush
  wharfinger cache flush --digest sha256:4ec95b9e13213893df41ee220c9ef413930f59d9af66654cc8924c44e751a966
  wharfinger cache flush --all-instances")]
    Flush {
        /// The copy to drop; by default all of them.
        #[arg(long, value_name = "DIGEST")]
        digest: Option<String>,
        /// Tell the other instances too, by way of the Redis that they share.
        #[arg(long)]
        all_instances: bool,
        #[command(flatten)]
        socket: Socket,
        #[command(flatten)]
        reason: Reason,
        #[arg(long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Fetch images into the cache before they are needed, e.g. before a maintenance of the store.
    #[command(after_help = "\
Examples:
  wharfinger cache warm --image team/app:1.0
  wharfinger cache warm --image base:stable --image team/app:1.0
  wharfinger cache warm --top 50

Exit codes: 0 all of it is kept, 1 some of it is not, 2 it could not be tried.")]
    Warm {
        /// NAME:TAG or NAME@DIGEST; may be repeated.
        #[arg(long = "image", value_name = "IMAGE", required_unless_present = "top")]
        images: Vec<String>,
        /// The N images that were pulled most lately, by way of this server; a pull weighs half as much after each day.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
        top: Option<u16>,
        #[command(flatten)]
        socket: Socket,
        #[arg(long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  wharfinger log-level debug --for 10m
  wharfinger log-level debug --for 1h --repository team/app --config /etc/wharfinger/config.yml")]
pub(crate) struct LogLevel {
    /// error, warn, info or debug.
    pub(crate) level: String,
    /// How long, e.g. 10m; then the configured level is back.
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration, default_value = "10m")]
    pub(crate) duration: Duration,
    /// Only for requests to this repository.
    #[arg(long, value_name = "NAME")]
    pub(crate) repository: Option<String>,
    #[command(flatten)]
    pub(crate) socket: Socket,
    #[command(flatten)]
    pub(crate) reason: Reason,
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Uploads {
    /// Drop uploads on which nothing happened for a while. The server does this by itself once a day.
    #[command(after_help = "\
Examples:
  wharfinger uploads purge config.yml --dry-run
  wharfinger uploads purge config.yml --older-than 24h")]
    Purge {
        #[command(flatten)]
        source: Source,
        /// How long nothing happened; by default what the configuration says (168h).
        #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
        older_than: Option<Duration>,
        /// Only say how many there are; exits with 1 if there are any.
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        reason: Reason,
        #[arg(long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Generate {
    /// Man pages, one per command.
    Man {
        /// Directory to write to.
        directory: PathBuf,
    },
    /// Completions for bash, zsh and fish.
    Completions {
        /// Directory to write to.
        directory: PathBuf,
    },
    /// The reference of all configuration keys, as Markdown.
    ConfigReference,
    /// The reference of all commands, as Markdown.
    CommandReference,
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; e.g. 90s, 10m, 24h"))
}

/// A number of bytes: `4096`, `500KiB`, `50MiB`, `2GiB`.
fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        _ => 0,
    };
    let size = digits.trim().parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    size.filter(|size| *size > 0).ok_or_else(|| "a size such as 500KiB, 50MiB or 2GiB".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_binary_units() {
        for (text, expected) in [("1", 1), ("2k", 2048), ("50MiB", 50 << 20), ("3 GiB", 3 << 30), ("7B", 7)] {
            assert_eq!(parse_size(text), Ok(expected), "{text}");
        }
        for wrong in ["", "0", "MiB", "-1", "1.5MiB", "5 parsecs", "99999999999G"] {
            assert!(parse_size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
