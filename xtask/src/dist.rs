//! `cargo xtask dist`: the Debian package and the container image, made of one built program.

mod deb;
mod image;
mod licences;
mod tree;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::run::{self, cargo, root, target};

/// The minor version of Debian bookworm's glibc 2.x, which the packages are made for.
const NEWEST_GLIBC: u32 = 36;

/// How to package.
#[derive(Args)]
pub(crate) struct Dist {
    /// Package the program in target/debug as it lies there, without building; for tests.
    #[arg(long)]
    debug: bool,
    /// Directory to write to; by default target/dist.
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
}

/// What both packages are made of.
struct Parts {
    /// The program.
    binary: PathBuf,
    /// Man pages (`man/`) and completions (`completions/`) that the program has written.
    generated: PathBuf,
    /// Licences of the libraries in the program, as text.
    licences: String,
    /// Debian's name of the architecture: amd64, arm64.
    architecture: String,
    /// The time that everything carries, in seconds since 1970: the same sources give the same bytes.
    time: u64,
    /// Compress quickly instead of well.
    quick: bool,
}

impl Dist {
    /// Builds the program, then writes the package and the image.
    pub(crate) fn run(&self) -> Result<()> {
        let output = self.output.clone().unwrap_or_else(|| target().join("dist"));
        fs::create_dir_all(&output)?;
        let work = output.join(".wharfinger-dist");
        remove(&work)?;
        let parts = Parts::gather(self.program()?, &work.join("generated"), self.debug)?;
        let package = deb::write(&parts, &work, &output)?;
        println!("    {}", package.display());
        let image = output.join("image");
        // Only what an earlier run has made may be replaced.
        if image.exists() && !image.join("oci-layout").exists() {
            bail!("{} exists and is no image layout: it is left alone", image.display());
        }
        remove(&image)?;
        image::write(&parts, &image)?;
        println!("    {} (OCI image layout)", image.display());
        remove(&work)
    }

    fn program(&self) -> Result<PathBuf> {
        if self.debug {
            let binary = target().join("debug/wharfinger");
            if !binary.exists() {
                bail!("{} is missing: run `cargo build -p wharfinger` first", binary.display());
            }
            return Ok(binary);
        }
        run::run(&mut cargo(&["build", "--locked", "--profile", "dist", "-p", "wharfinger"]))?;
        Ok(target().join("dist/wharfinger"))
    }
}

impl Parts {
    fn gather(binary: PathBuf, generated: &Path, quick: bool) -> Result<Parts> {
        let program = fs::read(&binary).with_context(|| binary.display().to_string())?;
        if let Some(needed) = newest_glibc(&program).filter(|needed| *needed > NEWEST_GLIBC) {
            bail!("the program needs glibc 2.{needed}, bookworm has 2.{NEWEST_GLIBC}: build it on bookworm");
        }
        for what in ["man", "completions"] {
            run::run(Command::new(&binary).args(["generate", what]).arg(generated.join(what)))?;
        }
        Ok(Parts {
            binary,
            generated: generated.to_owned(),
            licences: licences::text()?,
            architecture: architecture()?.to_owned(),
            time: time()?,
            quick,
        })
    }
}

/// The version of the workspace, which all its crates share.
fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// A file below `packaging/`.
fn packaging(name: &str) -> PathBuf {
    root().join("packaging").join(name)
}

fn architecture() -> Result<&'static str> {
    match std::env::consts::ARCH {
        "x86_64" => Ok("amd64"),
        "aarch64" => Ok("arm64"),
        other => bail!("no packages are made for {other}"),
    }
}

/// `SOURCE_DATE_EPOCH`, else the time of the newest commit, else the start of 1980.
fn time() -> Result<u64> {
    if let Ok(given) = std::env::var("SOURCE_DATE_EPOCH") {
        return given.parse().with_context(|| format!("SOURCE_DATE_EPOCH={given:?} is no number of seconds"));
    }
    let commit = run::output(Command::new("git").current_dir(root()).args(["log", "-1", "--format=%ct"]));
    Ok(commit.ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(315_532_800))
}

/// A time in a form that `date` knows.
fn date(time: u64, format: &str) -> Result<String> {
    run::output(Command::new("date").env("LC_ALL", "C").args([
        "--utc",
        "--date",
        &format!("@{time}"),
        format,
    ]))
}

/// The largest N of the symbol versions `GLIBC_2.N` in a program.
fn newest_glibc(program: &[u8]) -> Option<u32> {
    const MARK: &[u8] = b"GLIBC_2.";
    let found = program.windows(MARK.len()).enumerate().filter(|(_, window)| *window == MARK);
    let number = |(at, _): (usize, &[u8])| {
        let digits = program[at + MARK.len()..].iter().take_while(|byte| byte.is_ascii_digit());
        digits.take(4).fold(0, |number, digit| number * 10 + u32::from(digit - b'0'))
    };
    found.map(number).max()
}

/// Removes a directory that may not be there.
fn remove(directory: &Path) -> Result<()> {
    if directory.exists() {
        fs::remove_dir_all(directory).with_context(|| directory.display().to_string())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_symbol_version_is_found() {
        assert_eq!(newest_glibc(b"\0GLIBC_2.2.5\0GLIBC_2.34\0GLIBC_2.9\0GLIBC_PRIVATE"), Some(34));
        assert_eq!(newest_glibc(b"static"), None);
        assert_eq!(newest_glibc(b"GLIBC_2."), Some(0));
    }
}
