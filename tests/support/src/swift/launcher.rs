//! The parent of a cluster's servers: one Python process that imports Swift once and forks every server.
//!
//! Its standard input is a pipe from the test. When the test's process ends, in whatever way, the pipe closes, the
//! launcher ends, and the kernel ends its children (`PR_SET_PDEATHSIG`). So also a cluster in a `static`, which is
//! never dropped, leaves nothing behind.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use parking_lot::Mutex;
use rustix::process::Signal;

/// Written into every cluster's directory.
const PROGRAM: &str = include_str!("launcher.py");

/// A running launcher.
#[derive(Debug)]
pub(super) struct Launcher {
    home: PathBuf,
    child: Child,
    /// `None` while dropping: closing it ends the launcher.
    pipes: Mutex<Option<(ChildStdin, BufReader<ChildStdout>)>>,
}

impl Launcher {
    /// Starts the launcher of the cluster whose configuration lies in `home`; it makes the rings.
    pub(super) fn start(home: &Path) -> Launcher {
        let file = home.join("launcher.py");
        fs::write(&file, PROGRAM).expect("the launcher is written");
        fs::create_dir_all(home.join("log")).expect("a directory for logs");
        let log = fs::File::create(home.join("log/launcher.log")).expect("the launcher's log");
        // Debian's own Python: another one in PATH does not see Debian's packages.
        let mut child = Command::new("/usr/bin/python3")
            .arg(&file)
            .arg(home)
            .current_dir(home)
            // A Ctrl-C is for the test; the launcher cleans up when the pipe closes.
            .process_group(0)
            .env_remove("PYTHONPATH")
            .env_remove("PYTHONHOME")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("python3 starts");
        let input = child.stdin.take().expect("a piped standard input");
        let output = BufReader::new(child.stdout.take().expect("a piped standard output"));
        Launcher { home: home.to_owned(), child, pipes: Mutex::new(Some((input, output))) }
    }

    /// Starts a server; its output goes to `log/NAME.log`. `command` is a Swift program and its arguments, or
    /// begins with the full path of another program.
    pub(super) fn start_server(&self, name: &str, command: &[&str]) {
        let answer = self.ask(&format!("start {name} {}", command.join(" ")));
        assert!(answer.parse::<u32>().is_ok(), "{name} does not start: {answer}\n{}", self.tail("launcher"));
    }

    /// Whether a server is running.
    pub(super) fn is_running(&self, name: &str) -> bool {
        self.ask(&format!("signal {name} 0")) == "sent"
    }

    /// Sends a signal to a server that must be running.
    pub(super) fn signal(&self, name: &str, signal: Signal) {
        let answer = self.ask(&format!("signal {name} {}", signal.as_raw()));
        assert_eq!(answer, "sent", "{name} is not running\n{}", self.tail(name));
    }

    /// Ends a server at once, whatever its state.
    pub(super) fn kill(&self, name: &str) {
        assert_eq!(self.ask(&format!("kill {name}")), "killed", "{}", self.tail("launcher"));
    }

    /// The end of a server's log, for messages.
    pub(super) fn tail(&self, name: &str) -> String {
        let text = fs::read(self.home.join(format!("log/{name}.log"))).unwrap_or_default();
        let start = text.len().saturating_sub(4096);
        format!("--- end of the log of {name}:\n{}", String::from_utf8_lossy(&text[start..]))
    }

    fn ask(&self, command: &str) -> String {
        let mut pipes = self.pipes.lock();
        let (input, output) = pipes.as_mut().expect("a launcher that was not dropped");
        let mut answer = String::new();
        let result = writeln!(input, "{command}")
            .and_then(|()| input.flush())
            .and_then(|()| output.read_line(&mut answer).map(|_| ()));
        if result.is_err() || answer.is_empty() {
            panic!("the launcher ended at {command:?}: {result:?}\n{}", self.tail("launcher"));
        }
        answer.trim_end().to_owned()
    }
}

impl Drop for Launcher {
    fn drop(&mut self) {
        *self.pipes.lock() = None;
        let _ = self.child.wait();
    }
}
