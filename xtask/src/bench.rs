//! `cargo xtask bench`: the measured tables of docs/reference/benchmarks.md.

use std::process::Command;

use anyhow::Result;
use clap::Args;

use crate::{packages, run};

/// What to measure, and what to pass on to the load tool.
#[derive(Args)]
pub(crate) struct Bench {
    /// On OpenStack Swift instead of on a directory: writes the page's section on Swift alone.
    #[arg(long)]
    swift: bool,
    /// With the disk cache before OpenStack Swift: writes the page's section on the cache alone.
    #[arg(long, conflicts_with = "swift")]
    cache: bool,
    /// Further arguments of `wharfinger-load compare`, `swift` or `cache`.
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// What the comparison on Swift needs, by the names of the tests' packages.
const SWIFT_PACKAGES: [&str; 7] = [
    "docker-registry",
    "skopeo",
    "swift-proxy",
    "swift-account",
    "swift-container",
    "swift-object",
    "memcached",
];

/// What the measures of the cache need.
const CACHE_PACKAGES: [&str; 7] =
    ["nginx", "redis-server", "swift-proxy", "swift-account", "swift-container", "swift-object", "memcached"];

impl Bench {
    /// Builds with the profile of the packages and compares the peers in one run.
    pub(crate) fn run(&self) -> Result<()> {
        let (comparison, missing) = match (self.swift, self.cache) {
            (true, _) => ("swift", packages::missing(&SWIFT_PACKAGES)),
            (_, true) => ("cache", packages::missing(&CACHE_PACKAGES)),
            _ => ("compare", missing_peers()),
        };
        packages::install(&missing)?;
        run::run(&mut run::cargo(&[
            "build",
            "--profile",
            "dist",
            "-p",
            "wharfinger",
            "-p",
            "wharfinger-load",
        ]))?;
        let built = run::target().join("dist");
        let mut command = Command::new(built.join("wharfinger-load"));
        command.current_dir(run::root()).arg(comparison).arg("--wharfinger").arg(built.join("wharfinger"));
        command.arg("--markdown").arg(run::root().join("docs/reference/benchmarks.md"));
        run::run(command.args(&self.arguments))
    }
}

fn missing_peers() -> Vec<&'static str> {
    let peers = [("docker-registry", "/usr/bin/docker-registry"), ("nginx-light", "/usr/sbin/nginx")];
    peers.iter().filter(|(_, file)| !std::path::Path::new(file).exists()).map(|(name, _)| *name).collect()
}
