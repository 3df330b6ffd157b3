//! `cargo xtask fuzz`: cargo-fuzz on the targets in fuzz/.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::run;

/// The cargo-fuzz that is installed below `target/` where PATH has none.
const CARGO_FUZZ: &str = "cargo-fuzz@0.13.2";

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
    /// Runs the targets. An input that breaks a promise stays in fuzz/artifacts, what is merely new in
    /// target/fuzz-corpus; the kept corpus only changes by hand.
    pub(crate) fn run(&self) -> Result<()> {
        let targets = self.targets()?;
        let program = cargo_fuzz()?;
        for target in &targets {
            self.build(&program, target)?;
        }
        for target in &targets {
            println!("==> fuzz {target} for {} s", self.seconds);
            let found = run::target().join("fuzz-corpus").join(target);
            fs::create_dir_all(&found)?;
            let kept = run::root().join("fuzz/corpus").join(target);
            let mut command = self.command(&program, "run", target);
            command.args([found, kept]).arg("--").arg(format!("-max_total_time={}", self.seconds));
            // A megabyte of configuration takes seconds to read, and nothing new is found beyond this.
            command.args(["-max_len=4096", "-timeout=10", "-print_final_stats=1", "-verbosity=0"]);
            run::run(&mut command).context(
                "an input that breaks a promise is kept in fuzz/artifacts: mend the code, then move it to fuzz/corpus",
            )?;
        }
        Ok(())
    }

    fn build(&self, program: &Path, target: &str) -> Result<()> {
        run::run(&mut self.command(program, "build", target)).context(
            "the fuzz targets do not build: they need a Rust compiler with LLVM (rustup's stable will do) and a \
             C++ compiler for libFuzzer (Debian: apt-get install g++)",
        )
    }

    /// `cargo fuzz VERB TARGET`. The targets hold no unsafe code of ours, so no sanitizer is worth its time.
    fn command(&self, program: &Path, verb: &str, target: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(run::root());
        // The instrumentation asks for nightly; the stable compiler has it too, behind this variable.
        command.env("RUSTC_BOOTSTRAP", "1").args([verb, "--fuzz-dir", "fuzz", "--sanitizer", "none"]);
        command.arg("--target-dir").arg(run::target().join("fuzz")).arg(target);
        command
    }

    fn targets(&self) -> Result<Vec<String>> {
        let directory = run::root().join("fuzz/fuzz_targets");
        let entries =
            fs::read_dir(&directory).with_context(|| format!("no targets in {}", directory.display()))?;
        let mut names = Vec::new();
        for entry in entries {
            let path = entry?.path();
            names.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
        }
        names.sort();
        match &self.target {
            None => Ok(names),
            Some(target) if names.contains(target) => Ok(vec![target.clone()]),
            Some(target) => bail!("no fuzz target {target:?}; there are {}", names.join(", ")),
        }
    }
}

/// cargo-fuzz from PATH, else from `target/tools`, where it is installed when it is missing.
fn cargo_fuzz() -> Result<PathBuf> {
    let installed = run::target().join("tools/bin/cargo-fuzz");
    for program in [PathBuf::from("cargo-fuzz"), installed.clone()] {
        if run::output(Command::new(&program).arg("--version")).is_ok() {
            return Ok(program);
        }
    }
    println!("==> installing {CARGO_FUZZ} into {}", run::target().join("tools").display());
    let mut install = run::cargo(&["install", "--locked", CARGO_FUZZ, "--root"]);
    run::run(install.arg(run::target().join("tools")))
        .with_context(|| format!("{CARGO_FUZZ} is missing and cannot be installed (is there a network?)"))?;
    Ok(installed)
}
