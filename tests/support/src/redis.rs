//! Debian's Redis, without persistence.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::process::{Process, quiet_port};
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
        self.try_ask(command).unwrap_or_else(|error| panic!("{command}: {error}\n{}", self.process.tail()))
    }

    fn try_ask(&self, command: &str) -> std::io::Result<String> {
        let mut socket = TcpStream::connect(("127.0.0.1", self.port))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.write_all(format!("{command}\r\n").as_bytes())?;
        let mut line = String::new();
        BufReader::new(socket).read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }

    fn wait_ready(&mut self) {
        let port = self.port;
        self.process.wait_ready(PATIENCE, || TcpStream::connect(("127.0.0.1", port)).is_ok());
        assert_eq!(self.ask("PING"), "+PONG");
    }
}

fn spawn(port: u16, work: &TempDir) -> Process {
    let mut command = system_tool("redis-server").command();
    command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--appendonly", "no"]);
    command.arg("--dir").arg(work.path());
    Process::spawn(&mut command, &work.path().join("log"))
}
