//! Real OpenStack Swift, from Debian's packages: a cluster of a test's own on free loopback ports.
//!
//! One proxy, one account and one container server, one or three object servers, each on a device and port of its
//! own, and memcached. No background daemons unless asked for: nothing is repaired, expired from disk or audited
//! behind the test's back.

mod access;
mod conf;
mod disk;
mod facts;
mod keystone;
mod launcher;
mod requests;
mod sync;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

pub use self::access::{Mark, ProxyRequest};
pub use self::facts::{Fact, Needs, Probe, facts, prove_facts};
pub use self::keystone::{ApplicationCredential, Keystone, Trust};
use self::launcher::Launcher;
pub(crate) use self::requests::quote;
use crate::http::{Client, Request};
use crate::process::{quiet_port, wait_until};
use crate::tools::{run_tool, system_tool};

/// How long a server may take until it answers.
const PATIENCE: Duration = Duration::from_secs(60);

/// The devices; only the first is there without replicas.
const DEVICES: [&str; 3] = ["d1", "d2", "d3"];

/// Two to this power is the number of partitions.
const PART_POWER: u32 = 4;

/// What the proxy offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pipeline {
    /// SLO, bulk, TempURL with its default methods; DLO is not throttled.
    Full,
    /// As Wikimedia runs it: neither SLO nor bulk, TempURL for GET and HEAD only, DLO throttled as by Swift's
    /// default (one segment a second after the tenth).
    Wikimedia,
}

/// One server of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// The proxy, which clients talk to.
    Proxy,
    /// The account server.
    Account,
    /// The container server: listings.
    Container,
    /// An object server, counted from 0.
    Object(usize),
    /// Memcached, where tempauth keeps its tokens.
    Memcached,
    /// Keystone, where there is one.
    Keystone,
}

impl Server {
    fn name(self) -> String {
        match self {
            Server::Proxy => "proxy-server".into(),
            Server::Account => "account-server".into(),
            Server::Container => "container-server".into(),
            Server::Object(number) => format!("object-server-{number}"),
            Server::Memcached => "memcached".into(),
            Server::Keystone => "keystone".into(),
        }
    }
}

#[derive(Debug)]
struct Ports {
    proxy: u16,
    account: u16,
    container: u16,
    objects: Vec<u16>,
    memcached: u16,
    keystone: u16,
}

impl Ports {
    fn of(&self, server: Server) -> u16 {
        match server {
            Server::Proxy => self.proxy,
            Server::Account => self.account,
            Server::Container => self.container,
            Server::Object(number) => self.objects[number],
            Server::Memcached => self.memcached,
            Server::Keystone => self.keystone,
        }
    }
}

/// What a cluster is started with.
#[derive(Debug)]
pub struct SwiftBuilder {
    pipeline: Pipeline,
    replicas: usize,
    daemons: bool,
    error_suppression: u32,
    proxy_options: Vec<String>,
    keystone: bool,
    token_life: Option<u32>,
    client_timestamps: bool,
}

impl SwiftBuilder {
    /// What the proxy offers; everything by default.
    #[must_use]
    pub fn pipeline(mut self, pipeline: Pipeline) -> SwiftBuilder {
        self.pipeline = pipeline;
        self
    }

    /// How many replicas of an object there are, each on a device with a server of its own: 1 (default) or 3.
    #[must_use]
    pub fn replicas(mut self, replicas: usize) -> SwiftBuilder {
        assert!(matches!(replicas, 1 | 3), "1 or 3 replicas");
        self.replicas = replicas;
        self
    }

    /// Whether updaters and the auditor run (each second); not by default.
    #[must_use]
    pub fn daemons(mut self, daemons: bool) -> SwiftBuilder {
        self.daemons = daemons;
        self
    }

    /// How many seconds the proxy shuns a server after more than ten errors: 1 by default, Swift's own is 60.
    #[must_use]
    pub fn error_suppression(mut self, seconds: u32) -> SwiftBuilder {
        self.error_suppression = seconds;
        self
    }

    /// Sets an option of the proxy's application, as `node_timeout` (default 10 s).
    #[must_use]
    pub fn proxy_option(mut self, name: &str, value: &str) -> SwiftBuilder {
        self.proxy_options.push(format!("{name} = {value}"));
        self
    }

    /// Asks a real Keystone about tokens, instead of tempauth.
    #[must_use]
    pub fn keystone(mut self) -> SwiftBuilder {
        self.keystone = true;
        self
    }

    /// Whether a client's `X-Timestamp` is obeyed, to play a client whose proxy has a skewed clock; ignored by
    /// default.
    #[must_use]
    pub fn client_timestamps(mut self, obeyed: bool) -> SwiftBuilder {
        self.client_timestamps = obeyed;
        self
    }

    /// How many seconds a token is good for; a day by default with tempauth, an hour with Keystone.
    #[must_use]
    pub fn token_life(mut self, seconds: u32) -> SwiftBuilder {
        self.token_life = Some(seconds);
        self
    }

    /// Starts the cluster and waits until every server answers.
    pub fn start(self) -> SwiftCluster {
        let work = tempfile::Builder::new().prefix("wharfinger-swift-").tempdir();
        let work = work.expect("a directory for the cluster");
        let ports = Ports {
            proxy: quiet_port(),
            account: quiet_port(),
            container: quiet_port(),
            objects: (0..self.replicas).map(|_| quiet_port()).collect(),
            memcached: quiet_port(),
            keystone: quiet_port(),
        };
        let user = run_tool(Command::new("id").arg("-un"));
        let user = user.trim().to_owned();
        let home = work.path();
        // The longest part of the start; Swift's servers start beside it.
        let (launcher, keystone) = std::thread::scope(|scope| {
            let keystone = self.keystone.then(|| {
                let prepare = || Keystone::prepare(home, ports.keystone, self.token_life);
                scope.spawn(prepare)
            });
            conf::write(&conf::Plan { home, user: &user, ports: &ports, options: &self });
            let launcher = Launcher::start(home);
            (launcher, keystone.map(|thread| thread.join().expect("Keystone is prepared")))
        });
        let client = Client::plain(ports.proxy);
        let token = Mutex::new(None);
        let mut cluster = SwiftCluster { launcher, ports, user, client, token, keystone, work };
        cluster.start_all(self.daemons);
        cluster
    }
}

/// A running cluster; everything of it ends when it is dropped, or with the test's process.
#[derive(Debug)]
pub struct SwiftCluster {
    // Dropped first: the servers end before their files.
    launcher: Launcher,
    ports: Ports,
    user: String,
    client: Client,
    token: Mutex<Option<String>>,
    keystone: Option<Keystone>,
    work: TempDir,
}

/// Starting, stopping and disturbing servers.
impl SwiftCluster {
    /// A cluster to be configured.
    pub fn builder() -> SwiftBuilder {
        SwiftBuilder {
            pipeline: Pipeline::Full,
            replicas: 1,
            daemons: false,
            error_suppression: 1,
            proxy_options: Vec::new(),
            keystone: false,
            token_life: None,
            client_timestamps: false,
        }
    }

    /// A cluster with one replica and everything in its pipeline.
    pub fn start() -> SwiftCluster {
        SwiftCluster::builder().start()
    }

    /// One cluster for all tests of this process that disturb no server; each uses containers of its own
    /// ([`SwiftCluster::fresh_container`]).
    pub fn shared(pipeline: Pipeline) -> &'static SwiftCluster {
        static FULL: OnceLock<SwiftCluster> = OnceLock::new();
        static WIKIMEDIA: OnceLock<SwiftCluster> = OnceLock::new();
        let place = match pipeline {
            Pipeline::Full => &FULL,
            Pipeline::Wikimedia => &WIKIMEDIA,
        };
        place.get_or_init(|| SwiftCluster::builder().pipeline(pipeline).start())
    }

    /// As [`SwiftCluster::shared`], with Keystone: the start of that one takes twice as long.
    pub fn shared_keystone() -> &'static SwiftCluster {
        static KEYSTONE: OnceLock<SwiftCluster> = OnceLock::new();
        KEYSTONE.get_or_init(|| SwiftCluster::builder().keystone().start())
    }

    fn start_all(&mut self, daemons: bool) {
        let servers = self.servers();
        for server in &servers {
            self.launch(*server);
        }
        for server in servers {
            self.wait_ready(server);
        }
        if daemons {
            self.launch_daemons();
        }
        let url = self.url();
        if let Some(keystone) = &mut self.keystone {
            keystone.set_up(&url);
        }
    }

    fn servers(&self) -> Vec<Server> {
        let single = [Server::Memcached, Server::Proxy, Server::Account, Server::Container];
        let keystone = self.keystone.as_ref().map(|_| Server::Keystone);
        let objects = (0..self.replicas()).map(Server::Object);
        keystone.into_iter().chain(single).chain(objects).collect()
    }

    fn launch(&self, server: Server) {
        let (name, home, port) = (server.name(), self.home().display(), self.ports.of(server).to_string());
        if server == Server::Memcached {
            let program = system_tool("memcached").path;
            let program = program.to_string_lossy();
            let command = [&program, "-u", &self.user, "-l", "127.0.0.1", "-p", &port, "-U", "0", "-m", "64"];
            return self.launcher.start_server(&name, &command);
        }
        if server == Server::Keystone {
            let command = self.keystone().command();
            return self.launcher.start_server(&name, &command.each_ref().map(String::as_str));
        }
        let program = match server {
            Server::Object(_) => "swift-object-server",
            Server::Account => "swift-account-server",
            Server::Container => "swift-container-server",
            Server::Proxy | Server::Memcached | Server::Keystone => "swift-proxy-server",
        };
        self.launcher.start_server(&name, &[program, &format!("{home}/{name}.conf"), "-v"]);
    }

    fn launch_daemons(&self) {
        let home = self.home().display();
        let container = format!("{home}/container-server.conf");
        self.launcher.start_server("container-updater", &["swift-container-updater", &container, "-v"]);
        // Either daemon serves all devices, whichever server's file it reads.
        let object = format!("{home}/object-server-0.conf");
        self.launcher.start_server("object-updater", &["swift-object-updater", &object, "-v"]);
        self.launcher.start_server("object-auditor", &["swift-object-auditor", &object, "-v"]);
    }

    fn wait_ready(&self, server: Server) {
        let (name, port) = (server.name(), self.ports.of(server));
        wait_until(&format!("{name} to answer"), PATIENCE, || {
            assert!(self.launcher.is_running(&name), "{name} ended\n{}", self.launcher.tail(&name));
            if server == Server::Memcached {
                return TcpStream::connect(("127.0.0.1", port)).is_ok();
            }
            let path = if server == Server::Keystone { "/v3" } else { "/healthcheck" };
            let answer = Client::plain(port).send(&Request::new("GET", path));
            answer.is_ok_and(|answer| answer.status == 200)
        });
    }

    /// Ends a server at once: connections to it are refused from here on.
    pub fn stop_server(&self, server: Server) {
        self.launcher.kill(&server.name());
    }

    /// Starts a stopped server on its former port and waits until it answers.
    pub fn start_server(&self, server: Server) {
        self.launch(server);
        self.wait_ready(server);
    }

    /// Halts a server (SIGSTOP): connections to it are accepted and never answered.
    pub fn hang(&self, server: Server) {
        self.launcher.signal(&server.name(), Signal::STOP);
    }

    /// Lets a halted server go on.
    pub fn resume(&self, server: Server) {
        self.launcher.signal(&server.name(), Signal::CONT);
    }

    /// Makes every token worthless at once, as a restart of memcached does to tempauth and a lost key to Keystone.
    pub fn expire_tokens(&self) {
        if let Some(keystone) = &self.keystone {
            keystone.forget_tokens();
        }
        let mut socket = TcpStream::connect(("127.0.0.1", self.ports.memcached)).expect("memcached answers");
        socket.write_all(b"flush_all\r\nquit\r\n").expect("memcached listens");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).expect("memcached answers");
        assert_eq!(answer, "OK\r\n");
    }

    /// The end of a server's log.
    pub fn tail(&self, server: Server) -> String {
        self.launcher.tail(&server.name())
    }
}

/// Names and addresses.
impl SwiftCluster {
    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.proxy)
    }

    /// The port of the proxy.
    pub fn port(&self) -> u16 {
        self.ports.proxy
    }

    /// Where tokens are issued: tempauth's (auth v1), or Keystone's (v3) where there is one.
    pub fn auth_url(&self) -> String {
        match &self.keystone {
            None => format!("{}/auth/v1.0", self.url()),
            Some(keystone) => keystone.auth_url(),
        }
    }

    /// The cluster's Keystone; panics when it was started without.
    pub fn keystone(&self) -> &Keystone {
        self.keystone.as_ref().expect("a cluster with Keystone")
    }

    /// The account's URL, below which containers are.
    pub fn storage_url(&self) -> String {
        format!("{}/v1/{}", self.url(), self.account())
    }

    /// The account.
    pub fn account(&self) -> String {
        match &self.keystone {
            None => "AUTH_test".into(),
            Some(keystone) => format!("AUTH_{}", keystone.project_id()),
        }
    }

    /// A user that may do everything in the account.
    pub fn user(&self) -> &'static str {
        if self.keystone.is_some() { self.keystone().user() } else { "test:tester" }
    }

    /// The password of [`SwiftCluster::user`].
    pub fn key(&self) -> &'static str {
        if self.keystone.is_some() { self.keystone().password() } else { "testing" }
    }

    /// A user of the account, and the password (tempauth only), that may do nothing unless an ACL of a container says so.
    pub fn reader(&self) -> (&'static str, &'static str) {
        ("test:reader", "reading")
    }

    /// The section `storage.swift` of a registry's configuration.
    pub fn storage_config(&self, container: &str) -> Value {
        let mut section = json!({
            "authurl": self.auth_url(),
            "username": self.user(),
            "password": self.key(),
            "container": container,
        });
        if let Some(keystone) = &self.keystone {
            section["tenant"] = keystone.project().into();
            section["domain"] = keystone.domain().into();
            section["region"] = keystone.region().into();
        }
        section
    }

    /// How many devices, and so object servers, there are.
    pub fn replicas(&self) -> usize {
        self.ports.objects.len()
    }

    /// The cluster's directory: configuration, logs, devices.
    pub fn home(&self) -> &Path {
        self.work.path()
    }

    fn proxy_log(&self) -> PathBuf {
        self.home().join("log").join(format!("{}.log", Server::Proxy.name()))
    }
}
