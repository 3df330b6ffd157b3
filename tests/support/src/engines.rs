//! Container engines of a test's own: private sockets, private storage, no network set-up.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tempfile::TempDir;

use crate::process::Process;
use crate::tools::{run_tool, system_tool};

const PATIENCE: Duration = Duration::from_secs(60);

/// A Docker engine (Debian docker.io). Registries on 127.0.0.0/8 are plain HTTP by its own default.
#[derive(Debug)]
pub struct Dockerd {
    process: Process,
    work: TempDir,
}

impl Dockerd {
    /// Starts an engine without bridge and without iptables, storing with `vfs`.
    pub fn start() -> Dockerd {
        let work = short_directory("dockerd");
        let path = work.path();
        fs::write(path.join("daemon.json"), "{}").expect("the engine's configuration");
        let mut command = system_tool("dockerd").command();
        command
            .arg("--config-file")
            .arg(path.join("daemon.json"))
            .arg("--data-root")
            .arg(path.join("data"))
            .arg("--exec-root")
            .arg(path.join("exec"))
            .arg("--pidfile")
            .arg(path.join("pid"))
            .arg(format!("--host=unix://{}", path.join("sock").display()))
            .args(["--iptables=false", "--ip6tables=false", "--bridge=none", "--storage-driver=vfs"]);
        let mut process = Process::spawn(&mut command, &path.join("log"));
        let socket = path.join("sock");
        process.wait_ready(PATIENCE, || UnixStream::connect(&socket).is_ok());
        let engine = Dockerd { process, work };
        engine.docker(&["version"]);
        engine
    }

    /// Runs `docker` with these arguments against the engine; panics when it fails.
    #[track_caller]
    pub fn docker(&self, arguments: &[&str]) -> String {
        let mut command = system_tool("docker").command();
        command.arg("--host").arg(format!("unix://{}", self.work.path().join("sock").display()));
        run_tool(command.env("DOCKER_CONFIG", self.work.path()).args(arguments))
    }
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        // The engine's containerd is a session leader of its own; it ends with an orderly stop only.
        if self.process.terminate(Duration::from_secs(30)).is_none() {
            kill_by_pid_file(&self.work.path().join("exec/containerd/containerd.pid"));
        }
    }
}

/// A containerd with its `ctr`.
#[derive(Debug)]
pub struct Containerd {
    process: Process,
    work: TempDir,
}

impl Containerd {
    /// Starts a containerd without the CRI plugin.
    pub fn start() -> Containerd {
        let work = short_directory("containerd");
        let path = work.path();
        let config = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = {:?}\n",
            path.join("root"),
            path.join("state"),
            path.join("sock"),
        );
        fs::write(path.join("config.toml"), config).expect("containerd's configuration");
        let mut command = system_tool("containerd").command();
        let mut process = Process::spawn(command.arg("-c").arg(path.join("config.toml")), &path.join("log"));
        let socket = path.join("sock");
        process.wait_ready(PATIENCE, || UnixStream::connect(&socket).is_ok());
        let engine = Containerd { process, work };
        engine.ctr(&["version"]);
        engine
    }

    /// Runs `ctr` with these arguments; panics when it fails.
    #[track_caller]
    pub fn ctr(&self, arguments: &[&str]) -> String {
        let mut command: Command = system_tool("ctr").command();
        run_tool(command.arg("-a").arg(self.socket()).args(arguments))
    }

    fn socket(&self) -> PathBuf {
        self.work.path().join("sock")
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        self.process.terminate(Duration::from_secs(20));
    }
}

/// Unix socket paths may have 107 bytes: stay near the root of the temporary directory.
fn short_directory(name: &str) -> TempDir {
    tempfile::Builder::new().prefix(name).tempdir().expect("a directory to work in")
}

fn kill_by_pid_file(file: &Path) {
    let pid = fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid {
        let _ = rustix::process::kill_process(pid, Signal::KILL);
    }
}
