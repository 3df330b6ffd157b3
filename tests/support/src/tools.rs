//! Programs that the tests drive: Debian's and the Go clients.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::process::{Process, pause};

/// A program and where it lies.
#[derive(Clone, Debug)]
pub struct Tool {
    /// Its file.
    pub path: PathBuf,
}

impl Tool {
    /// A command that runs it.
    pub fn command(&self) -> Command {
        Command::new(&self.path)
    }
}

/// The cargo target directory that the running test was built in.
pub fn target_directory() -> PathBuf {
    let test = std::env::current_exe().expect("the path of the test");
    let target = test.ancestors().find(|path| path.join("CACHEDIR.TAG").exists());
    target.unwrap_or_else(|| panic!("{} is not in a cargo target directory", test.display())).to_owned()
}

/// A Go program that `cargo xtask test` has installed into `target/go/bin`.
pub fn go_tool(name: &str) -> Tool {
    let path = target_directory().join("go/bin").join(name);
    assert!(path.exists(), "{} is missing: `cargo xtask tools` installs it", path.display());
    Tool { path }
}

/// A program of a Debian package.
pub fn system_tool(name: &str) -> Tool {
    for directory in ["/usr/bin", "/usr/sbin", "/bin", "/sbin"] {
        let path = Path::new(directory).join(name);
        if path.exists() {
            return Tool { path };
        }
    }
    panic!("{name} is not installed: `cargo xtask packages` names the Debian packages of the tests");
}

/// Runs a command to its end; panics with its output when it fails or takes over five minutes. Returns what it
/// printed on both channels.
#[track_caller]
pub fn run_tool(command: &mut Command) -> String {
    let work = tempfile::tempdir().expect("a directory to work in");
    let (started, limit) = (Instant::now(), Duration::from_secs(300));
    let mut process = Process::spawn(command, &work.path().join("output"));
    let status = process.wait(limit);
    let output = process.output();
    match status {
        Some(status) if status.success() => output,
        status => panic!("{command:?} after {:?}: {status:?}\n{output}", started.elapsed()),
    }
}

/// Runs a command that may fail; returns whether it did not, and its output.
pub fn try_tool(command: &mut Command) -> (bool, String) {
    let work = tempfile::tempdir().expect("a directory to work in");
    let mut process = Process::spawn(command, &work.path().join("output"));
    let status = process.wait(Duration::from_secs(300));
    pause(Duration::from_millis(1));
    (status.is_some_and(|status| status.success()), process.output())
}
