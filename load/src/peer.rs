//! The servers that `compare` starts: wharfinger, Debian's docker-registry and nginx with plain files.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::children::Running;
use crate::cli::last_part;
use crate::connection::Connection;
use crate::proc::ProcessTree;
use crate::target::{Layout, Target};

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Plain files behind nginx: what the machine can do.
    Nginx,
    /// OpenStack Swift, asked directly; the Swift comparison starts it.
    Swift,
    /// Debian's docker-registry.
    Docker,
    /// Ours.
    Wharfinger,
}

impl Kind {
    /// The name in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Nginx => "nginx",
            Kind::Swift => "Swift itself",
            Kind::Docker => "docker-registry",
            Kind::Wharfinger => "wharfinger",
        }
    }

    /// How its URLs look.
    pub(crate) fn layout(self) -> Layout {
        if self == Kind::Nginx { Layout::Static } else { Layout::Registry }
    }
}

/// Which of a peer's two stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    /// Holds what the read measures ask for; kept through the run.
    Corpus,
    /// For pushes; wiped before each start.
    Scratch,
}

/// One server with its stores, running or not.
pub(crate) struct Peer {
    /// Which server.
    pub(crate) kind: Kind,
    binary: PathBuf,
    directory: PathBuf,
    running: Option<(Running, Store, Target)>,
}

/// A server that does not answer within this time has failed to start.
const START_LIMIT: Duration = Duration::from_secs(15);

impl Peer {
    /// A peer that keeps its files below `directory`.
    pub(crate) fn new(kind: Kind, binary: PathBuf, directory: &Path) -> Result<Peer> {
        let directory = directory.join(kind.name());
        fs::create_dir_all(&directory).with_context(|| format!("creating {}", directory.display()))?;
        Ok(Peer { kind, binary, directory, running: None })
    }

    /// What the server says about its version, on one line.
    pub(crate) fn version(&self) -> String {
        version(self.kind, &self.binary)
    }

    /// The running server on `store`; starts it when it is not running so.
    pub(crate) fn running_on(&mut self, store: Store) -> Result<Target> {
        if let Some((_, current, target)) = &self.running
            && *current == store
        {
            return Ok(target.clone());
        }
        self.start(store).map(|(target, _)| target)
    }

    /// Starts the server afresh; gives the time from the start of the process to its first answer.
    pub(crate) fn start(&mut self, store: Store) -> Result<(Target, Duration)> {
        self.stop();
        let root = self.root(store);
        if store == Store::Scratch && root.exists() {
            fs::remove_dir_all(&root).with_context(|| format!("wiping {}", root.display()))?;
        }
        fs::create_dir_all(&root)?;
        let address = free_address()?;
        let mut command = self.command(&root, address)?;
        let (running, ready) = launch(self.kind, &mut command, address, &self.directory.join("log"))?;
        // nginx's master listens before both workers are there.
        if self.kind == Kind::Nginx {
            crate::pause(Duration::from_millis(50));
        }
        let target = Target {
            address,
            layout: self.kind.layout(),
            repository: "load/bench".to_owned(),
            processes: Some(ProcessTree::of(running.pid())?),
        };
        self.running = Some((running, store, target.clone()));
        Ok((target, ready))
    }

    /// Stops the server.
    pub(crate) fn stop(&mut self) {
        self.running = None;
    }

    /// Stops the server and empties the scratch store.
    pub(crate) fn wipe(&mut self) -> Result<()> {
        self.stop();
        match fs::remove_dir_all(self.root(Store::Scratch)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e).context("wiping a store"),
            _ => Ok(()),
        }
    }

    fn root(&self, store: Store) -> PathBuf {
        self.directory.join(match store {
            Store::Corpus => "corpus",
            Store::Scratch => "scratch",
        })
    }

    fn command(&self, root: &Path, address: SocketAddr) -> Result<Command> {
        let mut command = Command::new(&self.binary);
        command.current_dir(&self.directory);
        if self.kind == Kind::Nginx {
            let path = self.directory.join("nginx.conf");
            fs::write(&path, nginx_config(&self.directory, root, address))?;
            command.arg("-p").arg(&self.directory).arg("-c").arg(&path);
        } else {
            let path = self.directory.join("config.yml");
            fs::write(&path, registry_config(root, address))?;
            command.arg("serve").arg(&path);
        }
        Ok(command)
    }
}

/// What a program says about its version, on one line.
pub(crate) fn version(kind: Kind, binary: &Path) -> String {
    let flag = if kind == Kind::Nginx { "-v" } else { "--version" };
    let Ok(output) = Command::new(binary).arg(flag).stdin(Stdio::null()).output() else {
        return "unknown".to_owned();
    };
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().next().unwrap_or("unknown").trim_start_matches("nginx version: ");
    // docker-registry begins with the path that it was started by.
    line.split_whitespace().map(last_part).collect::<Vec<_>>().join(" ")
}

/// Starts a server and waits for its first answer; gives the time that this took.
pub(crate) fn launch(
    kind: Kind,
    command: &mut Command,
    address: SocketAddr,
    log_path: &Path,
) -> Result<(Running, Duration)> {
    let log = fs::File::create(log_path)?;
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    let begin = Instant::now();
    let mut running = Running::start(command)?;
    while !answers(address, kind) {
        let ended = running.ended();
        if ended.is_some() || begin.elapsed() > START_LIMIT {
            let log = fs::read_to_string(log_path).unwrap_or_default();
            let how = ended.map_or("does not answer".to_owned(), |status| format!("ended ({status})"));
            bail!("{} {how} after its start; it said:\n{}", kind.name(), log.trim());
        }
        crate::pause(Duration::from_micros(200));
    }
    Ok((running, begin.elapsed()))
}

/// A loopback address that was free a moment ago.
pub(crate) fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").context("looking for a free port")?;
    Ok(listener.local_addr()?)
}

/// Whether the server answers a request at all; a registry must answer `/v2/` with 200.
fn answers(address: SocketAddr, kind: Kind) -> bool {
    let Ok(mut connection) = Connection::open(address) else { return false };
    let path = if kind == Kind::Nginx { "/" } else { "/v2/" };
    match connection.request("GET", path, "", &[]) {
        Ok(answer) => kind == Kind::Nginx || answer.status == 200,
        Err(_) => false,
    }
}

fn registry_config(root: &Path, address: SocketAddr) -> String {
    format!(
        "version: 0.1
log:
  level: error
  accesslog:
    disabled: true
storage:
  filesystem:
    rootdirectory: {}
  cache:
    blobdescriptor: inmemory
  delete:
    enabled: true
http:
  addr: {address}
",
        root.display()
    )
}

fn nginx_config(directory: &Path, root: &Path, address: SocketAddr) -> String {
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let directory = directory.display();
    format!(
        "{user}
daemon off;
worker_processes 2;
worker_rlimit_nofile 8192;
pid {directory}/nginx.pid;
error_log {directory}/error.log error;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  tcp_nodelay on;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  open_file_cache max=20000 inactive=1h;
  open_file_cache_valid 1h;
  client_max_body_size 0;
  client_body_buffer_size 1m;
  client_body_temp_path {directory}/temp-body;
  proxy_temp_path {directory}/temp-proxy;
  fastcgi_temp_path {directory}/temp-fastcgi;
  uwsgi_temp_path {directory}/temp-uwsgi;
  scgi_temp_path {directory}/temp-scgi;
  server {{
    listen {address} backlog=4096;
    root {root};
    location / {{
      dav_methods PUT;
      create_full_put_path on;
    }}
  }}
}}
",
        root = root.display()
    )
}
