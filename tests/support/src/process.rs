//! Child processes in groups of their own, ended when dropped.

use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io::{Read, Seek, SeekFrom};
use std::net::TcpListener;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

/// A running program, its output in a file. Dropping it kills the program and everything that it started.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
    name: String,
}

impl Process {
    /// Starts `command` in a process group of its own, standard output and error appended to `log`.
    pub fn spawn(command: &mut Command, log: &Path) -> Process {
        let name = command.get_program().to_string_lossy().into_owned();
        let out = File::options().create(true).append(true).open(log).expect("the log file opens");
        let err = out.try_clone().expect("a second handle on the log file");
        let child = command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        Process { child, log: log.to_owned(), name }
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether the program is still running.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends a signal to the program alone.
    pub fn signal(&self, signal: Signal) {
        let _ = rustix::process::kill_process(self.pid(), signal);
    }

    /// Asks the program to end with SIGTERM and waits; `None` when it is still there after `limit`.
    pub fn terminate(&mut self, limit: Duration) -> Option<ExitStatus> {
        self.signal(Signal::TERM);
        self.wait(limit)
    }

    /// Waits for the end of the program.
    pub fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) if Instant::now() < deadline => pause(Duration::from_millis(5)),
                _ => return None,
            }
        }
    }

    /// Ends the whole group at once (SIGKILL), as a power cut would.
    pub fn kill(&mut self) -> ExitStatus {
        let _ = rustix::process::kill_process_group(self.pid(), Signal::KILL);
        self.child.wait().unwrap_or_else(|_| ExitStatus::from_raw(9))
    }

    /// Everything that the program has written so far.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// The end of the output, for messages.
    pub fn tail(&self) -> String {
        let mut text = Vec::new();
        if let Ok(mut file) = File::open(&self.log) {
            let length = file.metadata().map_or(0, |meta| meta.len());
            let _ = file.seek(SeekFrom::Start(length.saturating_sub(4096)));
            let _ = file.read_to_end(&mut text);
        }
        format!("--- end of the output of {}:\n{}", self.name, String::from_utf8_lossy(&text))
    }

    /// Waits until `ready` answers true; panics with the output when the program ends or `limit` passes first.
    pub fn wait_ready(&mut self, limit: Duration, mut ready: impl FnMut() -> bool) {
        let deadline = Instant::now() + limit;
        loop {
            assert!(self.is_running(), "{} ended before it was ready\n{}", self.name, self.tail());
            if ready() {
                return;
            }
            assert!(Instant::now() < deadline, "{} was not ready in {limit:?}\n{}", self.name, self.tail());
            pause(Duration::from_millis(5));
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.is_running() {
            self.kill();
        } else {
            // What the program started may outlive it.
            let _ = rustix::process::kill_process_group(self.pid(), Signal::KILL);
        }
    }
}

/// A loopback port that was free a moment ago.
pub fn free_port() -> u16 {
    let socket = TcpListener::bind(("127.0.0.1", 0)).expect("a free loopback port");
    socket.local_addr().expect("a bound address").port()
}

/// A loopback port below those that the kernel gives to outgoing connections: a server that is stopped for a while
/// finds it free again. No port is given twice in one process.
pub fn quiet_port() -> u16 {
    const RANGE: std::ops::Range<u16> = 10_240..32_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Processes begin at different places.
    let span = RANGE.end - RANGE.start;
    let first = RandomState::new().hash_one(std::process::id()) % u64::from(span);
    let _ = NEXT.compare_exchange(0, RANGE.start + first as u16, Ordering::Relaxed, Ordering::Relaxed);
    for _ in RANGE {
        let next = NEXT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |port| {
            Some(if port + 1 < RANGE.end { port + 1 } else { RANGE.start })
        });
        let port = next.unwrap_or(RANGE.start);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free loopback port in {RANGE:?}");
}

/// Lets time pass.
#[expect(clippy::disallowed_methods, reason = "tests run on threads of their own, no reactor is blocked")]
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Polls `condition` until it holds; panics with `what` after `limit`.
pub fn wait_until(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !condition() {
        assert!(Instant::now() < deadline, "waited {limit:?} in vain for: {what}");
        pause(Duration::from_millis(10));
    }
}
