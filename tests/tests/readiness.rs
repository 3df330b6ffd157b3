//! What systemd sees: readiness that is true, an end that is announced, and a port that it holds for us.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use wharfinger_test_support::{Client, Config, Process, Request, bytes, free_port, wharfinger_binary};

/// Stands where the shim of systemd would: moves the socket from standard input to the first place after it.
const HAND_OVER: &str =
    r#"exec 3<&0 </dev/null; export LISTEN_PID=$$ LISTEN_FDS=1; exec "$0" serve "$1" >"$2" 2>&1"#;

/// A configuration in a directory of its own, and a socket for what the server tells systemd.
struct Bench {
    work: tempfile::TempDir,
    notified: UnixDatagram,
    port: u16,
}

impl Bench {
    fn new() -> Bench {
        let work = tempfile::tempdir().unwrap();
        let notified = UnixDatagram::bind(work.path().join("notify")).unwrap();
        notified.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let port = free_port();
        let config = Config::new(&work.path().join("data"), port);
        std::fs::write(work.path().join("config.yml"), config.text()).unwrap();
        Bench { work, notified, port }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.work.path().join(name)
    }

    fn start(&self) -> Process {
        let mut command = Command::new(wharfinger_binary());
        command.arg("serve").arg(self.path("config.yml")).env("NOTIFY_SOCKET", self.path("notify"));
        Process::spawn(&mut command, &self.path("log"))
    }

    /// The next message to systemd.
    fn message(&self) -> String {
        let mut buffer = [0; 4096];
        let count = self.notified.recv(&mut buffer).expect("a message to systemd");
        String::from_utf8_lossy(&buffer[..count]).into_owned()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }
}

#[test]
fn ready_is_said_when_the_port_answers_and_stopping_when_it_ends() {
    let bench = Bench::new();
    let mut process = bench.start();
    assert_eq!(bench.message().trim(), "READY=1");
    // No second try: who waited for readiness gets an answer.
    let client = Client::plain(bench.port);
    client.send(&Request::new("GET", "/v2/")).unwrap().expect(200);
    client.send(&Request::new("GET", "/health/ready")).unwrap().expect(200);
    process.signal(Signal::TERM);
    assert_eq!(bench.message().trim(), "STOPPING=1");
    assert!(process.wait(Duration::from_secs(10)).expect("an end").success(), "{}", process.output());
}

#[test]
fn a_server_without_its_port_never_says_ready() {
    let bench = Bench::new();
    let taken = TcpListener::bind(("127.0.0.1", bench.port)).unwrap();
    let mut process = bench.start();
    let status = process.wait(Duration::from_secs(10)).expect("an end");
    assert!(!status.success());
    assert!(process.output().contains(&bench.port.to_string()), "{}", process.output());
    bench.notified.set_nonblocking(true).unwrap();
    let mut buffer = [0; 4096];
    if let Ok(count) = bench.notified.recv(&mut buffer) {
        panic!("it said {:?}", String::from_utf8_lossy(&buffer[..count]));
    }
    drop(taken);
}

/// A server that was given an open socket; killed when dropped.
struct Activated(Child);

impl Activated {
    fn start(bench: &Bench, socket: TcpListener) -> Activated {
        let mut command = Command::new("sh");
        command.arg("-c").arg(HAND_OVER).arg(wharfinger_binary());
        command.arg(bench.path("config.yml")).arg(bench.path("log"));
        command.env("NOTIFY_SOCKET", bench.path("notify")).stdin(OwnedFd::from(socket));
        Activated(command.spawn().unwrap())
    }

    fn stop(&mut self) -> bool {
        kill_process(Pid::from_child(&self.0), Signal::TERM).unwrap();
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(10) {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.success();
            }
            wharfinger_test_support::pause(Duration::from_millis(5));
        }
        false
    }
}

impl Drop for Activated {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_socket_of_systemd_is_served_and_survives_a_restart() {
    let bench = Bench::new();
    let socket = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let client = Client::plain(socket.local_addr().unwrap().port());
    // Made before anybody listens: it waits in the queue that systemd holds.
    let mut early = client.connect().unwrap();
    early.write(&Request::new("GET", "/v2/")).unwrap();

    let mut server = Activated::start(&bench, socket.try_clone().unwrap());
    early.read("GET").unwrap_or_else(|error| panic!("{error}\n{}", bench.log())).expect(200);
    assert_eq!(bench.message().trim(), "READY=1");
    let own = Client::plain(bench.port).send(&Request::new("GET", "/v2/"));
    assert!(own.is_err(), "it opened http.addr beside the socket that it was given");
    let digest = push(&client);
    drop(early);
    assert!(server.stop(), "{}", bench.log());
    assert_eq!(bench.message().trim(), "STOPPING=1");

    let mut between = client.connect().unwrap();
    let pull = Request::new("GET", &format!("/v2/activated/blobs/{digest}"));
    between.write(&pull).unwrap();
    let mut server = Activated::start(&bench, socket);
    assert!(between.read("GET").unwrap().expect(200).body == bytes(1, 100_000));
    drop(between);
    assert!(server.stop(), "{}", bench.log());
}

fn push(client: &Client) -> String {
    let api = wharfinger_test_support::Api::new(client.clone());
    api.push_blob("activated", &bytes(1, 100_000)).to_string()
}

#[test]
fn systemds_own_shim_hands_its_socket_over() {
    let shim = Path::new("/usr/bin/systemd-socket-activate");
    if !shim.exists() {
        println!("NOT RUN: systemd-socket-activate is not installed");
        return;
    }
    let bench = Bench::new();
    let port = free_port();
    let mut command = Command::new(shim);
    command.arg(format!("--listen=127.0.0.1:{port}")).arg(wharfinger_binary()).arg("serve");
    let mut process = Process::spawn(command.arg(bench.path("config.yml")), &bench.path("log"));
    let client = Client::plain(port);
    // The first connection starts the server.
    process.wait_ready(Duration::from_secs(20), || client.send(&Request::new("GET", "/v2/")).is_ok());
    push(&client);
    assert!(process.terminate(Duration::from_secs(10)).expect("an end").success(), "{}", process.output());
}
