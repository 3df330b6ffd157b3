//! A registry under test: started with a configuration of its own, stopped and its log judged when dropped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::api::Api;
use crate::config::Config;
use crate::fake::FakeContainer;
use crate::ground::Operator;
use crate::http::{Client, Request};
use crate::log::LogLine;
use crate::process::{Process, free_port};
use crate::swift::SwiftCluster;
use crate::tls::{Authority, ClientCertificate, Identity};
use crate::tools::target_directory;

/// How long a server may take to answer its first request, or to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// The `wharfinger` under test: `WHARFINGER_BIN`, else the one that was built beside the tests.
pub fn wharfinger_binary() -> PathBuf {
    if let Some(path) = std::env::var_os("WHARFINGER_BIN") {
        return path.into();
    }
    let path = target_directory().join("debug/wharfinger");
    assert!(path.exists(), "{} is missing: run `cargo build -p wharfinger` first", path.display());
    path
}

/// What a registry is started with.
#[derive(Debug)]
pub struct Builder {
    binary: PathBuf,
    judged: bool,
    work: TempDir,
    root: PathBuf,
    port: u16,
    config: Config,
    /// Replaces what `config` would write.
    text: Option<String>,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    allowed: Vec<String>,
    authority: Option<Authority>,
    identity: Option<Identity>,
    certificate: Option<ClientCertificate>,
}

impl Builder {
    pub(crate) fn new(binary: PathBuf, judged: bool) -> Builder {
        let work =
            tempfile::Builder::new().prefix("wharfinger-test-").tempdir().expect("a directory to work in");
        let (root, port) = (work.path().join("data"), free_port());
        let config = Config::new(&root, port);
        Builder {
            binary,
            judged,
            work,
            root,
            port,
            config,
            text: None,
            arguments: Vec::new(),
            environment: Vec::new(),
            allowed: Vec::new(),
            authority: None,
            identity: None,
            certificate: None,
        }
    }

    /// Sets a configuration value by its dotted path.
    #[must_use]
    pub fn set(mut self, path: &str, value: impl Into<Value>) -> Builder {
        self.config.set(path, value);
        self
    }

    /// Removes a configuration value by its dotted path.
    #[must_use]
    pub fn unset(mut self, path: &str) -> Builder {
        self.config.remove(path);
        self
    }

    /// Uses this text as the configuration file; it has to name [`Builder::port`] and [`Builder::data`] itself.
    #[must_use]
    pub fn config_file(mut self, text: &str) -> Builder {
        self.text = Some(text.to_owned());
        self
    }

    /// The directory that the registry will store in.
    pub fn data(&self) -> &Path {
        &self.root
    }

    /// Stores in `root` instead of in a directory that ends with the test.
    #[must_use]
    pub fn root(mut self, root: &Path) -> Builder {
        self.root = root.to_owned();
        self.set("storage.filesystem.rootdirectory", root.to_string_lossy().into_owned())
    }

    /// Stores in a container of `swift` instead of in a directory, and serves blobs itself; for redirects to Swift set
    /// `storage.redirect.disable` to false. The driver's other keys are `storage.swift.KEY`.
    #[must_use]
    pub fn swift(self, swift: &SwiftCluster, container: &str) -> Builder {
        self.swift_section(swift.storage_config(container))
    }

    /// As [`Builder::swift`], in a container of a fake.
    #[must_use]
    pub fn fake_swift(self, place: &FakeContainer) -> Builder {
        self.swift_section(place.storage_config())
    }

    fn swift_section(mut self, section: Value) -> Builder {
        self.config.use_swift(section);
        let socket = self.work.path().join("admin.sock");
        self.set("admin.socket", socket.to_string_lossy().into_owned())
    }

    /// As [`Builder::swift`], and waits for a Swift that hundreds of mebibytes keep busy: the cluster has one process for
    /// each server.
    #[must_use]
    pub fn patient_swift(self, swift: &SwiftCluster, container: &str) -> Builder {
        self.swift(swift, container).set("storage.swift.responsetimeout", "60s")
    }

    /// Remembers blobs in Redis, with the short time limits that Distribution does not have by default.
    #[must_use]
    pub fn redis(self, address: &str) -> Builder {
        let limit = "100ms";
        let redis =
            json!({ "addr": address, "dialtimeout": limit, "readtimeout": limit, "writetimeout": limit });
        self.set("storage.cache.blobdescriptor", "redis").set("redis", redis)
    }

    /// Sets an environment variable of the server.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Builder {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Adds an argument after the configuration file.
    #[must_use]
    pub fn arg(mut self, argument: &str) -> Builder {
        self.arguments.push(argument.into());
        self
    }

    /// Expects warnings and errors that contain `text`.
    #[must_use]
    pub fn allow_log(mut self, text: &str) -> Builder {
        self.allowed.push(text.into());
        self
    }

    /// Expects what a server says of objects that are not as they should be.
    #[must_use]
    pub fn allow_harm(mut self) -> Builder {
        let said =
            ["damaged", "does not hold a digest", "request failed", "storage call failed", "broken off"];
        self.allowed.extend(said.map(String::from));
        self
    }

    /// Serves TLS with a certificate of `authority`.
    #[must_use]
    pub fn tls(mut self, authority: &Authority) -> Builder {
        let identity = authority.issue(self.work.path());
        self.config.set("http.tls.certificate", identity.certificate.to_string_lossy().into_owned());
        self.config.set("http.tls.key", identity.key.to_string_lossy().into_owned());
        self.authority = Some(authority.clone());
        self.identity = Some(identity);
        self
    }

    /// Shows this certificate wherever the registry's own client connects.
    #[must_use]
    pub fn showing(mut self, certificate: &ClientCertificate) -> Builder {
        self.certificate = Some(certificate.clone());
        self
    }

    /// A directory of this registry's own, for files that its configuration names.
    pub fn directory(&self) -> &Path {
        self.work.path()
    }

    /// The port that the registry will listen on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Starts the registry and waits until it answers.
    pub fn start(self) -> Registry {
        let client = match &self.authority {
            None => Client::plain(self.port),
            Some(authority) => Client::tls(self.port, authority),
        };
        let client = client.showing(self.certificate.as_ref());
        self.write_config();
        let process = self.spawn();
        let mut registry = Registry { builder: self, process, client };
        registry.wait_ready();
        registry
    }

    /// Runs the program where it is expected to refuse its start; returns its status and output.
    pub fn start_in_vain(self) -> (ExitStatus, String) {
        self.write_config();
        let mut process = self.spawn();
        let status = process.wait(PATIENCE);
        let output = process.output();
        (status.unwrap_or_else(|| panic!("the server did not refuse its start:\n{output}")), output)
    }

    fn write_config(&self) {
        let text = self.text.clone().unwrap_or_else(|| self.config.text());
        fs::write(self.work.path().join("config.yml"), text).expect("the configuration is written");
    }

    fn spawn(&self) -> Process {
        let mut command = Command::new(&self.binary);
        command.arg("serve").arg(self.work.path().join("config.yml")).args(&self.arguments);
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("REGISTRY_") || name.starts_with("OTEL_") || name == "RUST_LOG" {
                command.env_remove(name.as_ref());
            }
        }
        command.current_dir(self.work.path()).envs(self.environment.iter().cloned());
        Process::spawn(&mut command, &self.work.path().join("server.log"))
    }
}

/// A running registry. When it is dropped, every warning and error in its log that was not allowed fails the test.
#[derive(Debug)]
pub struct Registry {
    builder: Builder,
    process: Process,
    client: Client,
}

impl Registry {
    /// The wharfinger under test, with its defaults.
    pub fn start() -> Registry {
        Registry::builder().start()
    }

    /// The wharfinger under test, to be configured.
    pub fn builder() -> Builder {
        let binary = wharfinger_binary();
        // WHARFINGER_BIN may name another registry, to compare; its log is its own affair.
        let judged = binary.file_name().is_some_and(|name| name == "wharfinger");
        Builder::new(binary, judged)
    }

    /// A client of it.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The API of it, called without credentials.
    pub fn api(&self) -> Api {
        Api::new(self.client.clone())
    }

    /// `127.0.0.1:PORT`, as clients name it in image references.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.builder.port)
    }

    /// The directory that it stores in.
    pub fn root(&self) -> &Path {
        &self.builder.root
    }

    /// The directory of its configuration and log.
    pub fn directory(&self) -> &Path {
        self.builder.work.path()
    }

    /// Its certificate and key, when it serves TLS.
    pub fn identity(&self) -> &Identity {
        self.builder.identity.as_ref().expect("a registry with TLS")
    }

    /// The operator's commands on its configuration.
    pub fn operator(&self) -> Operator {
        Operator::of(&self.directory().join("config.yml"))
    }

    /// The file that holds a blob's bytes.
    pub fn blob_path(&self, digest: &wharfinger_oci::Digest) -> PathBuf {
        let hex = digest.hex();
        let algorithm = digest.algorithm().as_str();
        self.root().join(format!("docker/registry/v2/blobs/{algorithm}/{}/{hex}/data", &hex[..2]))
    }

    /// The process, for signals.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Its log so far.
    pub fn log(&self) -> Vec<LogLine> {
        LogLine::parse_all(&self.process.output())
    }

    /// From now on, expects warnings and errors that contain `text`.
    pub fn allow_log(&mut self, text: &str) {
        self.builder.allowed.push(text.into());
    }

    /// Changes a configuration value; takes effect at the next start.
    pub fn reconfigure(&mut self, path: &str, value: impl Into<Value>) {
        self.builder.config.set(path, value);
        self.builder.write_config();
    }

    /// Ends the server as a power cut would.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Asks the server to end, and waits.
    pub fn stop(&mut self) -> ExitStatus {
        let status = self.process.terminate(PATIENCE);
        status
            .unwrap_or_else(|| panic!("the server did not end within {PATIENCE:?}\n{}", self.process.tail()))
    }

    /// Starts the server again after [`Registry::kill`] or [`Registry::stop`], on the same port and directory.
    pub fn start_again(&mut self) {
        self.process = self.builder.spawn();
        self.wait_ready();
    }

    fn wait_ready(&mut self) {
        let client = self.client.clone();
        self.process.wait_ready(PATIENCE, || client.send(&Request::new("GET", "/v2/")).is_ok());
    }

    fn alarms(&self) -> Vec<String> {
        let allowed = &self.builder.allowed;
        let expected = |line: &LogLine| allowed.iter().any(|text| line.text.contains(text));
        let lines = self.log().into_iter().filter(|line| line.is_alarming() && !expected(line));
        lines.take(20).map(|line| line.text.chars().take(600).collect()).collect()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        if self.process.is_running() && self.process.terminate(Duration::from_secs(10)).is_none() {
            self.process.kill();
        }
        if std::thread::panicking() {
            eprintln!("{}", self.process.tail());
        } else if self.builder.judged {
            let alarms = self.alarms();
            assert!(
                alarms.is_empty(),
                "unexpected warnings or errors in the server's log:\n{}",
                alarms.join("\n")
            );
        }
    }
}
