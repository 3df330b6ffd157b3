//! Debian's docker-registry 2.8.2, the registry that shares its directory with ours.

use std::path::Path;
use std::process::Command;

use crate::registry::{Builder, Registry};
use crate::tools::{run_tool, system_tool};

/// Debian's docker-registry.
#[derive(Debug)]
pub struct DockerRegistry;

impl DockerRegistry {
    /// A docker-registry to be configured; its log is not judged.
    pub fn builder() -> Builder {
        Builder::new(system_tool("docker-registry").path, false)
    }

    /// A running docker-registry on `root`.
    pub fn on(root: &Path) -> Registry {
        DockerRegistry::builder().root(root).start()
    }

    /// Runs `garbage-collect` on `root`; nothing else may be writing there. Returns what it printed.
    pub fn garbage_collect(root: &Path, arguments: &[&str]) -> String {
        let work = tempfile::tempdir().expect("a directory to work in");
        let file = work.path().join("config.yml");
        std::fs::write(&file, crate::Config::new(root, 1).text()).expect("the configuration is written");
        let mut command = Command::new(system_tool("docker-registry").path);
        run_tool(command.arg("garbage-collect").args(arguments).arg(file))
    }
}
