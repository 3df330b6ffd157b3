//! cargo-deny: licences, sources and duplicate crates; advisories where their database can be fetched.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::run::{self, Steps};

const VERSION: &str = "0.20.2";

fn binary() -> PathBuf {
    run::target().join("tools/bin/cargo-deny")
}

/// Installs the pinned cargo-deny into target/tools, unoptimised: it runs for two seconds, but builds for minutes.
pub(crate) fn install() -> Result<()> {
    let installed = run::output(Command::new(binary()).arg("--version"));
    if installed.is_ok_and(|text| text.ends_with(VERSION)) {
        return Ok(());
    }
    println!("    building cargo-deny {VERSION}");
    let home = run::target().join("tools");
    let mut command = run::cargo(&["install", "--quiet", "--locked", "--force", "--root"]);
    command.arg(&home).args(["--version", VERSION, "cargo-deny"]);
    command.env("CARGO_TARGET_DIR", home.join("build"));
    for (key, value) in [("OPT_LEVEL", "0"), ("LTO", "off"), ("CODEGEN_UNITS", "64"), ("DEBUG", "0")] {
        command.env(format!("CARGO_PROFILE_RELEASE_{key}"), value);
    }
    run::output(&mut command)?;
    let _ = std::fs::remove_dir_all(home.join("build"));
    Ok(())
}

/// Checks everything that needs no network but the package registry; advisories only when their database, which lies
/// in a git repository, can be fetched.
pub(crate) fn check(steps: &mut Steps) -> Result<()> {
    let deny = |arguments: &[&str]| {
        let mut command = Command::new(binary());
        command.current_dir(run::root()).args(arguments);
        command
    };
    steps.command(
        "cargo deny",
        &mut deny(&["check", "--hide-inclusion-graph", "bans", "licenses", "sources"]),
    )?;
    if run::output(&mut deny(&["fetch", "db"])).is_ok() {
        return steps.command("cargo deny advisories", &mut deny(&["check", "advisories"]));
    }
    println!("    advisories not checked: their database cannot be reached from here");
    Ok(())
}
