//! `cargo xtask bench`: the measured table of docs/reference/benchmarks.md.

use std::process::Command;

use anyhow::Result;
use clap::Args;

use crate::{packages, run};

/// What to pass on to the load tool.
#[derive(Args)]
pub(crate) struct Bench {
    /// Further arguments of `wharfinger-load compare`.
    #[arg(last = true)]
    arguments: Vec<String>,
}

impl Bench {
    /// Builds with the profile of the packages and compares the peers in one run.
    pub(crate) fn run(&self) -> Result<()> {
        packages::install(&missing_peers())?;
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
        command.current_dir(run::root()).arg("compare").arg("--wharfinger").arg(built.join("wharfinger"));
        command.arg("--markdown").arg(run::root().join("docs/reference/benchmarks.md"));
        run::run(command.args(&self.arguments))
    }
}

fn missing_peers() -> Vec<&'static str> {
    let peers = [("docker-registry", "/usr/bin/docker-registry"), ("nginx-light", "/usr/sbin/nginx")];
    peers.iter().filter(|(_, file)| !std::path::Path::new(file).exists()).map(|(name, _)| *name).collect()
}
