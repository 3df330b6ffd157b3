//! Child processes that cannot outlive this tool: each is a process group of its own, ended by its id when its
//! handle is dropped, on Ctrl-C, and by the kernel if this tool is killed.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// Groups that run and directories that are to be removed when the tool is interrupted.
static LIVE: Mutex<(Vec<Pid>, Vec<PathBuf>)> = Mutex::new((Vec::new(), Vec::new()));

/// A running child.
pub(crate) struct Running {
    child: Child,
    group: Pid,
}

/// A server gets this long to end before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(5);

impl Running {
    /// Starts `command` in its own process group. Must be called on the main thread: the kernel ends the child
    /// when the thread that started it ends.
    pub(crate) fn start(command: &mut Command) -> Result<Running> {
        let name = command.get_program().to_string_lossy().into_owned();
        command.process_group(0);
        // SAFETY: the closure makes one system call, which is safe between fork and exec.
        unsafe {
            command.pre_exec(|| {
                rustix::process::set_parent_process_death_signal(Some(Signal::TERM)).map_err(Into::into)
            });
        }
        let mut live = LIVE.lock();
        let child = command.spawn().with_context(|| format!("starting {name}"))?;
        let group = Pid::from_child(&child);
        live.0.push(group);
        Ok(Running { child, group })
    }

    /// The id of the process that was started.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How the process ended, if it did.
    pub(crate) fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.child.try_wait().ok().flatten()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // An error here means that the process is gone already.
        let _ = kill_process(self.group, Signal::TERM);
        let start = Instant::now();
        let mut status = self.ended();
        while status.is_none() && start.elapsed() < STOP_LIMIT {
            crate::pause(Duration::from_millis(2));
            status = self.ended();
        }
        // nginx's workers belong to the group; the id stays taken while any of them lives.
        if status.is_none() {
            let _ = kill_process_group(self.group, Signal::KILL);
            let _ = self.child.wait();
        }
        LIVE.lock().0.retain(|group| *group != self.group);
    }
}

/// Has `directory` removed when the tool is interrupted.
pub(crate) fn remove_when_interrupted(directory: PathBuf) {
    LIVE.lock().1.push(directory);
}

/// Ends everything and removes the directories; for the signal handler.
pub(crate) fn clean_up() {
    let mut live = LIVE.lock();
    for group in live.0.drain(..) {
        let _ = kill_process_group(group, Signal::KILL);
    }
    for directory in live.1.drain(..) {
        let _ = std::fs::remove_dir_all(directory);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_child_is_gone() {
        let running = Running::start(Command::new("sleep").arg("60")).unwrap();
        let pid = running.pid();
        assert!(std::fs::metadata(format!("/proc/{pid}")).is_ok());
        drop(running);
        assert!(std::fs::metadata(format!("/proc/{pid}")).is_err());
    }
}
