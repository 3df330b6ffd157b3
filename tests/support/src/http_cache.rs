//! Debian's Varnish, Traffic Server and nginx as caches before a registry, with the configuration that we ship for each,
//! or with what each does by itself.

mod nginx;
mod traffic_server;
mod varnish;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::api::Api;
use crate::http::{Client, Request, Response};
use crate::process::{Process, quiet_port};

/// How long a cache may take to start, with the others beside it.
const PATIENCE: Duration = Duration::from_secs(30);

/// Which program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheProgram {
    /// Varnish 7.
    Varnish,
    /// Apache Traffic Server 9.
    TrafficServer,
    /// nginx.
    Nginx,
}

/// By whose rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheRules {
    /// What lies in `packaging/caches`.
    Shipped,
    /// Nothing but where the registry is.
    BuiltIn,
}

/// A cache before one registry; ends when dropped.
#[derive(Debug)]
pub struct HttpCache {
    /// Which program it is.
    pub program: CacheProgram,
    /// By whose rules it goes.
    pub rules: CacheRules,
    process: Process,
    client: Client,
    _work: TempDir,
}

impl HttpCache {
    /// A loopback port for a cache that is yet to be started.
    pub fn port() -> u16 {
        quiet_port()
    }

    /// Starts the cache on `port`, before the registry on the loopback port `registry`.
    pub fn start(program: CacheProgram, rules: CacheRules, port: u16, registry: u16) -> HttpCache {
        let work = tempfile::Builder::new().prefix("wharfinger-cache-").tempdir().expect("a directory");
        // Varnish and Traffic Server change to users of their own.
        fs::set_permissions(work.path(), fs::Permissions::from_mode(0o755)).expect("its directory");
        let shipped = rules == CacheRules::Shipped;
        let mut command = match program {
            CacheProgram::Varnish => varnish::command(work.path(), port, registry, shipped),
            CacheProgram::TrafficServer => traffic_server::command(work.path(), port, registry, shipped),
            CacheProgram::Nginx => nginx::command(work.path(), port, registry, shipped),
        };
        let mut process = Process::spawn(&mut command, &work.path().join("output"));
        let client = Client::plain(port);
        process.wait_ready(PATIENCE, || {
            client.send(&Request::new("GET", "/v2/")).is_ok_and(|answer| answer.status < 500)
        });
        HttpCache { program, rules, process, client, _work: work }
    }

    /// A name for messages and repositories.
    pub fn name(&self) -> String {
        let program = match self.program {
            CacheProgram::Varnish => "varnish",
            CacheProgram::TrafficServer => "traffic-server",
            CacheProgram::Nginx => "nginx",
        };
        let rules = match self.rules {
            CacheRules::Shipped => "shipped",
            CacheRules::BuiltIn => "built-in",
        };
        format!("{program}-{rules}")
    }

    /// The element of `purge.endpoints` for a cache on that port; `None` for those that cannot be purged.
    pub fn endpoint(program: CacheProgram, rules: CacheRules, port: u16) -> Option<Value> {
        let kind = match (program, rules) {
            (CacheProgram::Varnish, CacheRules::Shipped) => "varnish",
            (CacheProgram::TrafficServer, _) => "traffic-server",
            _ => return None,
        };
        Some(json!({ "url": format!("http://127.0.0.1:{port}"), "kind": kind }))
    }

    /// The API behind it, called by nobody in particular.
    pub fn api(&self) -> Api {
        Api::new(self.client.clone())
    }

    /// Whether the cache gave this answer without asking the registry.
    pub fn is_hit(&self, answer: &Response) -> bool {
        match self.program {
            // The second number is the request that brought the content.
            CacheProgram::Varnish => answer.required("x-varnish").contains(' '),
            // `s` and a blank: no connection to the server was needed.
            CacheProgram::TrafficServer => {
                let codes = answer.required("via").split_once("[c").map_or("", |(_, codes)| codes);
                codes.get(1..3) == Some("s ")
            }
            CacheProgram::Nginx => answer.header("x-cache-status") == Some("HIT"),
        }
    }
}

impl Drop for HttpCache {
    fn drop(&mut self) {
        if self.process.terminate(Duration::from_secs(10)).is_none() {
            self.process.kill();
        }
        if std::thread::panicking() {
            eprintln!("{}", self.process.tail());
        }
    }
}

/// A shipped file.
fn shipped(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/caches").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn replaced(text: &str, old: &str, new: &str) -> String {
    assert!(text.contains(old), "{old:?} is not in what is shipped for caches");
    text.replace(old, new)
}
