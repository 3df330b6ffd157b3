//! The units under a real systemd as PID 1: ready when it says so, confined, restarted, stopped, started by a socket.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use std::net::TcpStream;
use std::time::Duration;

use parking_lot::Mutex;
use wharfinger_test_support::{Api, Client, Image, Systemd, wait_until};

const SERVICE: &str = "wharfinger.service";
const SOCKET: &str = "wharfinger.socket";
const SOON: Duration = Duration::from_secs(30);

/// One systemd at a time.
static TURN: Mutex<()> = Mutex::new(());

/// Boots a systemd and hands it over; says why where that is not possible.
fn under_systemd(test: impl FnOnce(&Systemd, &Api)) {
    let _turn = TURN.lock();
    match Systemd::boot() {
        Ok(systemd) => test(&systemd, &Api::new(Client::plain(systemd.port()))),
        Err(reason) => println!("NOT RUN: no systemd as PID 1 here: {reason}"),
    }
}

/// A line of `/proc/PID/status` of the server.
fn status(systemd: &Systemd, name: &str) -> String {
    let pid = systemd.property(SERVICE, "MainPID");
    let (_, text) = systemd.run(&["cat", &format!("/proc/{pid}/status")]);
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).trim().to_owned()
}

#[test]
fn the_service_is_ready_when_started_confined_restarted_and_stopped() {
    under_systemd(|systemd, api| {
        // Returns when the server has said READY=1: no poll is needed.
        systemd.systemctl(&["start", SERVICE]);
        assert_eq!(systemd.property(SERVICE, "ActiveState"), "active");
        let image = Image::small(1);
        api.push_image("unit", "v1", &image);
        api.pull("unit", "v1");

        let (_, user) = systemd.run(&["id", "-u", "wharfinger"]);
        let ids: Vec<String> = status(systemd, "Uid").split_whitespace().map(str::to_owned).collect();
        assert_eq!(ids, vec![user.trim(); 4]);
        assert_eq!(status(systemd, "NoNewPrivs"), "1");
        assert_eq!(status(systemd, "Seccomp"), "2");
        assert_eq!(status(systemd, "CapBnd"), "0000000000000400", "more than CAP_NET_BIND_SERVICE");
        let (owned, output) = systemd.run(&["stat", "-c", "%U %a", "/var/lib/wharfinger"]);
        assert!(owned && output.trim() == "wharfinger 750", "{output}");
        let (told, output) = systemd.run(&["wharfinger", "status", "--socket", "/run/wharfinger/admin.sock"]);
        assert!(told, "{output}");

        systemd.systemctl(&["kill", "--signal=KILL", SERVICE]);
        wait_until("the service to be restarted", SOON, || {
            systemd.property(SERVICE, "NRestarts") == "1"
                && systemd.property(SERVICE, "ActiveState") == "active"
        });
        assert_eq!(api.pull("unit", "v1").manifest, image.manifest);

        systemd.systemctl(&["stop", SERVICE]);
        assert_eq!(systemd.property(SERVICE, "Result"), "success");
        assert_eq!(systemd.property(SERVICE, "ExecMainStatus"), "0");
        let journal = systemd.journal();
        assert!(journal.contains("msg=\"stopped\"") || journal.contains("msg=stopped"), "{journal}");
        assert!(!journal.contains("level=warn") && !journal.contains("level=error"), "{journal}");
    });
}

#[test]
fn the_socket_starts_the_service_and_holds_the_port_while_it_is_away() {
    under_systemd(|systemd, api| {
        systemd.systemctl(&["start", SOCKET]);
        assert_eq!(systemd.property(SERVICE, "ActiveState"), "inactive");
        // The first request waits for the start instead of failing.
        api.push_image("unit", "v1", &Image::small(2));
        assert_eq!(systemd.property(SERVICE, "ActiveState"), "active");
        let pid = systemd.property(SERVICE, "MainPID");
        systemd.systemctl(&["kill", "--signal=KILL", SERVICE]);
        wait_until("the server to be gone", SOON, || systemd.property(SERVICE, "MainPID") != pid);
        TcpStream::connect(("127.0.0.1", systemd.port())).expect("the port is still held");
        api.pull("unit", "v1");
        systemd.systemctl(&["restart", SERVICE]);
        api.pull("unit", "v1");
        systemd.systemctl(&["stop", SERVICE, SOCKET]);
        assert!(TcpStream::connect(("127.0.0.1", systemd.port())).is_err(), "somebody still listens");
    });
}
