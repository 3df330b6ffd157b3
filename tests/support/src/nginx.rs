//! Debian's nginx with the configuration that we ship for it, in front of registries under test.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use crate::api::Api;
use crate::http::{Client, Request};
use crate::process::{Process, free_port};
use crate::tls::Authority;
use crate::tools::system_tool;

/// How long nginx may take to start.
const PATIENCE: Duration = Duration::from_secs(20);
/// What the shipped files are edited for when they are installed: each has to occur.
const CERTIFICATES: [&str; 2] = ["/etc/nginx/wharfinger/server.crt", "/etc/nginx/wharfinger/server.key"];

/// Who may write outside `restricted/`, and the password.
pub const WRITER: (&str, &str) = ("ci", "writes");
/// Who may enter `restricted/`, and the password.
pub const RESTRICTED: (&str, &str) = ("deploy", "enters");

/// An nginx to be started.
#[derive(Debug)]
pub struct Front {
    work: TempDir,
    site: String,
    proxy: String,
    upstreams: String,
}

impl Front {
    /// In front of one registry on that loopback port.
    pub fn of_one(port: u16) -> Front {
        let upstreams = replaced(&shipped("one-registry.conf"), "127.0.0.1:5000", &local(port));
        Front::new(upstreams)
    }

    /// In front of two registries, of which the first takes all writes.
    pub fn with_one_writer(writer: u16, reader: u16) -> Front {
        let text = replaced(&shipped("one-writer.conf"), "127.0.0.1:5001", &local(reader));
        Front::new(replaced(&text, "127.0.0.1:5000", &local(writer)))
    }

    fn new(upstreams: String) -> Front {
        let work = tempfile::Builder::new().prefix("wharfinger-nginx-").tempdir().expect("a directory");
        Front { work, site: shipped("wharfinger.conf"), proxy: shipped("proxy.conf"), upstreams }
    }

    /// Changes a text of the site's file, which has to be there.
    #[must_use]
    pub fn edit(mut self, old: &str, new: &str) -> Front {
        self.site = replaced(&self.site, old, new);
        self
    }

    /// Installs the files and starts nginx.
    pub fn start(self) -> Nginx {
        let root = self.work.path();
        fs::write(root.join("one-registry.conf"), &self.upstreams).expect("a file of nginx");
        let authority = Authority::new();
        let identity = authority.issue(root);
        let (port, writers) = (free_port(), free_port());
        let mut site = replaced(&self.site, "listen 443 ssl;", &format!("listen {} ssl;", local(port)));
        for (shipped, made) in CERTIFICATES.iter().zip([&identity.certificate, &identity.key]) {
            site = replaced(&site, shipped, &made.display().to_string());
        }
        site = replaced(&site, "127.0.0.1:5002", &local(writers));
        site = replaced(&site, "/var/cache/nginx/wharfinger", &root.join("cache").display().to_string());
        site = replaced(&site, "/etc/nginx/wharfinger", &root.display().to_string());
        fs::write(root.join("proxy.conf"), &self.proxy).expect("a file of nginx");
        fs::write(root.join("site.conf"), site).expect("a file of nginx");
        let line = |(user, password): (&str, &str)| format!("{user}:{{PLAIN}}{password}\n");
        for (file, text) in [
            ("writers", line(WRITER)),
            ("restricted", line(RESTRICTED)),
            ("logins", line(WRITER) + &line(RESTRICTED)),
        ] {
            fs::write(root.join(file), text).expect("a file of passwords");
        }
        fs::write(root.join("nginx.conf"), self.main()).expect("a file of nginx");
        let mut command = system_tool("nginx").command();
        command.arg("-p").arg(root).arg("-c").arg(root.join("nginx.conf"));
        let mut process = Process::spawn(&mut command, &root.join("nginx.log"));
        let client = Client::tls(port, &authority);
        process.wait_ready(PATIENCE, || client.send(&Request::new("GET", "/")).is_ok());
        Nginx { process, client, work: self.work }
    }

    /// What Debian's nginx.conf says around the site, for a directory of its own.
    fn main(&self) -> String {
        let root = self.work.path().display();
        // As root nginx gives up its rights, and would not reach a directory that is ours alone.
        let user = if rustix::process::geteuid().is_root() { "user root;\n" } else { "" };
        let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|name| format!("    {name}_temp_path {root}/{name};\n"))
            .collect();
        format!(
            "{user}daemon off;\nworker_processes 2;\npid {root}/nginx.pid;\nerror_log stderr info;\n\
             events {{ worker_connections 512; }}\nhttp {{\n    access_log {root}/access.log;\n{paths}    \
             include {root}/site.conf;\n}}\n"
        )
    }
}

/// A running nginx; ends when dropped.
#[derive(Debug)]
pub struct Nginx {
    process: Process,
    client: Client,
    work: TempDir,
}

impl Nginx {
    /// A client of it, over TLS.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The API behind it, called by nobody in particular.
    pub fn api(&self) -> Api {
        Api::new(self.client.clone())
    }

    /// The API behind it, called by [`WRITER`].
    pub fn writer(&self) -> Api {
        self.api().with_basic(WRITER.0, WRITER.1)
    }

    /// The API behind it, called by [`RESTRICTED`].
    pub fn restricted(&self) -> Api {
        self.api().with_basic(RESTRICTED.0, RESTRICTED.1)
    }

    /// The files that its cache holds.
    pub fn cached(&self) -> Vec<PathBuf> {
        files(&self.work.path().join("cache"))
    }

    /// The files that bodies of requests were spooled to.
    pub fn spooled(&self) -> Vec<PathBuf> {
        files(&self.work.path().join("client_body"))
    }

    /// What it has logged, for messages.
    pub fn log(&self) -> String {
        self.process.tail()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        if self.process.terminate(Duration::from_secs(10)).is_none() {
            self.process.kill();
        }
        if std::thread::panicking() {
            eprintln!("{}", self.process.tail());
        }
    }
}

fn local(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

fn shipped(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/nginx").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn replaced(text: &str, old: &str, new: &str) -> String {
    assert!(text.contains(old), "{old:?} is not in what is shipped for nginx");
    text.replace(old, new)
}

/// Every file below a directory.
fn files(root: &Path) -> Vec<PathBuf> {
    let (mut open, mut found) = (vec![root.to_owned()], Vec::new());
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() { open.push(path) } else { found.push(path) }
        }
    }
    found
}
