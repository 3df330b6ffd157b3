//! Debian's docker-registry 2.8.2, the registry that shares its store with ours.

use std::path::Path;
use std::process::Command;

use crate::config::Config;
use crate::registry::{Builder, Registry};
use crate::swift::SwiftCluster;
use crate::tools::{run_tool, system_tool};

/// Debian's docker-registry.
#[derive(Debug)]
pub struct DockerRegistry;

impl DockerRegistry {
    /// A docker-registry to be configured; its log is not judged. [`Builder::swift`] and [`Builder::redis`] put it
    /// on Swift and Redis.
    pub fn builder() -> Builder {
        Builder::new(system_tool("docker-registry").path, false)
    }

    /// A running docker-registry on `root`.
    pub fn on(root: &Path) -> Registry {
        DockerRegistry::builder().root(root).start()
    }

    /// A running docker-registry on a container of `swift`, that serves blobs itself.
    pub fn on_swift(swift: &SwiftCluster, container: &str) -> Registry {
        DockerRegistry::builder().swift(swift, container).start()
    }

    /// Runs `garbage-collect` on `root`; nothing else may be writing there. Returns what it printed.
    pub fn garbage_collect(root: &Path, arguments: &[&str]) -> String {
        collect(&Config::new(root, 1), arguments)
    }

    /// Runs `garbage-collect` on a container of `swift`; nothing else may be writing there. Returns what it printed.
    pub fn garbage_collect_swift(swift: &SwiftCluster, container: &str, arguments: &[&str]) -> String {
        collect(&on_swift(swift, container), arguments)
    }
}

fn on_swift(swift: &SwiftCluster, container: &str) -> Config {
    let mut config = Config::new(Path::new("/nowhere"), 1);
    config.use_swift(swift.storage_config(container));
    config
}

fn collect(config: &Config, arguments: &[&str]) -> String {
    let work = tempfile::tempdir().expect("a directory to work in");
    let file = work.path().join("config.yml");
    std::fs::write(&file, config.text()).expect("the configuration is written");
    let mut command = Command::new(system_tool("docker-registry").path);
    run_tool(command.arg("garbage-collect").args(arguments).arg(file))
}
