//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

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

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve a registry.
    Serve(Serve),
    /// Check a configuration, or print a commented sample.
    #[command(subcommand)]
    Config(Config),
    /// Change how much a running server logs; it falls back by itself.
    LogLevel(LogLevel),
    /// Show how a running server is doing.
    Status(Status),
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
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  wharfinger status --config /etc/wharfinger/config.yml --output json")]
pub(crate) struct Status {
    #[command(flatten)]
    pub(crate) socket: Socket,
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
        /// Only say how many there are.
        #[arg(long)]
        dry_run: bool,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
