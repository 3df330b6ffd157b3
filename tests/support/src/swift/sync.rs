//! Container sync from one cluster to another, and listings that were never written object by object.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::disk::container_database;
use super::{Server, SwiftCluster, conf};
use crate::http::Request;
use crate::process::pause;

/// The daemon's name.
const DAEMON: &str = "container-sync";

/// Merges rows into a container's database as its server does.
const ROWS: &str = include_str!("rows.py");

impl SwiftCluster {
    /// Asks for a container to be copied to the one of the same name in another cluster; [`SwiftCluster::start_sync`]
    /// does it.
    pub fn sync_container(&self, container: &str, other: &SwiftCluster) {
        let file = self.home().join("container-sync-realms.conf");
        fs::write(file, conf::realms(self.port(), Some(other.port()))).expect("the realms are written");
        // Swift looks at the file once a second.
        pause(Duration::from_millis(1100));
        let to = format!("//tests/two/{}/{container}", other.account());
        let key = |cluster: &SwiftCluster, to: &str| {
            let request =
                Request::new("POST", &format!("/{container}")).header("X-Container-Sync-Key", "of the tests");
            let request = if to.is_empty() { request } else { request.header("X-Container-Sync-To", to) };
            cluster.send(request).expect(204);
        };
        key(other, "");
        key(self, &to);
    }

    /// Runs the daemon that copies, a pass each second.
    pub fn start_sync(&self) {
        let conf = format!("{}/container-server.conf", self.home().display());
        self.launcher.start_server(DAEMON, &["swift-container-sync", &conf, "-v"]);
    }

    /// Ends the daemon at once.
    pub fn stop_sync(&self) {
        self.launcher.kill(DAEMON);
    }

    /// The end of the daemon's log.
    pub fn sync_log(&self) -> String {
        self.launcher.tail(DAEMON)
    }

    /// Puts rows into a container's listing without any objects: name, bytes and entity tag.
    pub fn fill_listing(&self, container: &str, rows: impl Iterator<Item = (String, u64, String)>) {
        let database = container_database(self, container);
        assert!(database.exists(), "{}\n{}", database.display(), self.tail(Server::Container));
        let mut child = Command::new("/usr/bin/python3")
            .args(["-c", ROWS])
            .arg(database)
            .args([self.account().as_str(), container])
            .env_remove("PYTHONPATH")
            .stdin(Stdio::piped())
            .spawn()
            .expect("python3 starts");
        let mut input = std::io::BufWriter::new(child.stdin.take().expect("a piped standard input"));
        for (name, size, etag) in rows {
            writeln!(input, "{size} {etag} {name}").expect("python3 reads");
        }
        drop(input);
        assert!(child.wait().expect("python3 ends").success());
    }
}
