//! `cargo xtask fuzz`: cargo-fuzz on the targets in fuzz/.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::run;

/// Which target, and for how long.
#[derive(Args)]
pub(crate) struct Fuzz {
    /// A target in fuzz/fuzz_targets; all in turn when left out.
    target: Option<String>,
    /// Seconds for each target.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
}

impl Fuzz {
    /// Runs the targets; what they find stays in fuzz/artifacts.
    pub(crate) fn run(&self) -> Result<()> {
        if run::output(&mut run::cargo(&["fuzz", "--version"])).is_err() {
            bail!("cargo-fuzz is missing: run `cargo install --locked cargo-fuzz`");
        }
        for target in self.targets()? {
            println!("==> fuzz {target} for {} s", self.seconds);
            let mut command = Command::new("cargo");
            command.current_dir(run::root());
            // libFuzzer needs nightly's instrumentation; the stable compiler has it too, behind this variable.
            command.env("RUSTC_BOOTSTRAP", "1").args(["fuzz", "run", &target, "--"]);
            run::run(command.arg(format!("-max_total_time={}", self.seconds)))?;
        }
        Ok(())
    }

    fn targets(&self) -> Result<Vec<String>> {
        if let Some(target) = &self.target {
            return Ok(vec![target.clone()]);
        }
        let directory = run::root().join("fuzz/fuzz_targets");
        let entries =
            fs::read_dir(&directory).with_context(|| format!("no targets in {}", directory.display()))?;
        let mut names = Vec::new();
        for entry in entries {
            let path = entry?.path();
            names.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
        }
        names.sort();
        Ok(names)
    }
}
