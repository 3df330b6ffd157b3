//! Debian's Redis, without persistence.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::process::{Process, quiet_port};
use crate::tls::Authority;
use crate::tools::system_tool;

const PATIENCE: Duration = Duration::from_secs(20);

/// A Redis on a loopback port; it ends when dropped.
#[derive(Debug)]
pub struct RedisServer {
    process: Process,
    port: u16,
    work: TempDir,
}

impl RedisServer {
    /// Starts a Redis and waits until it answers.
    pub fn start() -> RedisServer {
        let work = tempfile::Builder::new().prefix("wharfinger-redis-").tempdir();
        let work = work.expect("a directory for Redis");
        let port = quiet_port();
        let mut server = RedisServer { process: spawn(port, &work), port, work };
        server.wait_ready();
        server
    }

    /// Starts a Redis that speaks TLS alone, asks for a client's certificate by the same authority, and for a password.
    pub fn start_tls(authority: &Authority, password: &str) -> RedisServer {
        let work = tempfile::Builder::new().prefix("wharfinger-redis-").tempdir();
        let work = work.expect("a directory for Redis");
        let (port, identity) = (quiet_port(), authority.issue(work.path()));
        let roots = work.path().join("roots.pem");
        std::fs::write(&roots, authority.pem()).expect("a file of the authority");
        let mut command = system_tool("redis-server").command();
        command.args(["--bind", "127.0.0.1", "--port", "0", "--tls-port", &port.to_string(), "--save", ""]);
        command.arg("--tls-cert-file").arg(&identity.certificate).arg("--tls-key-file").arg(&identity.key);
        command.arg("--tls-ca-cert-file").arg(&roots).args(["--tls-auth-clients", "yes"]);
        command.args(["--requirepass", password]).arg("--dir").arg(work.path());
        let process = Process::spawn(&mut command, &work.path().join("log"));
        let mut server = RedisServer { process, port, work };
        server.process.wait_ready(PATIENCE, || TcpStream::connect(("127.0.0.1", port)).is_ok());
        server
    }

    /// `127.0.0.1:PORT`, as configurations name it.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Ends it at once: connections are refused from here on, and what it held is lost.
    pub fn stop(&mut self) {
        self.process.kill();
    }

    /// Starts it again after [`RedisServer::stop`], empty, on its former port.
    pub fn start_again(&mut self) {
        self.process = spawn(self.port, &self.work);
        self.wait_ready();
    }

    /// Halts it: connections are accepted and never answered.
    pub fn hang(&self) {
        self.process.signal(Signal::STOP);
    }

    /// Lets it go on after [`RedisServer::hang`].
    pub fn resume(&self) {
        self.process.signal(Signal::CONT);
    }

    /// Forgets everything.
    pub fn flush(&self) {
        assert_eq!(self.ask("FLUSHALL"), "+OK");
    }

    /// How many keys it holds.
    pub fn keys(&self) -> u64 {
        let answer = self.ask("DBSIZE");
        answer.strip_prefix(':').and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{answer}"))
    }

    /// Sends an inline command (<https://redis.io/docs/latest/develop/reference/protocol-spec/>); returns the first
    /// line of the answer.
    pub fn ask(&self, command: &str) -> String {
        ask(self.port, command).unwrap_or_else(|error| panic!("{command}: {error}\n{}", self.process.tail()))
    }

    fn wait_ready(&mut self) {
        let port = self.port;
        // It listens before it answers.
        self.process.wait_ready(PATIENCE, || ask(port, "PING").is_ok_and(|answer| answer == "+PONG"));
    }
}

fn ask(port: u16, command: &str) -> std::io::Result<String> {
    let mut socket = TcpStream::connect(("127.0.0.1", port))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.write_all(format!("{command}\r\n").as_bytes())?;
    let mut line = String::new();
    BufReader::new(socket).read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

fn spawn(port: u16, work: &TempDir) -> Process {
    let mut command = system_tool("redis-server").command();
    command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--appendonly", "no"]);
    command.arg("--dir").arg(work.path());
    Process::spawn(&mut command, &work.path().join("log"))
}
