//! A registry on a container of the cluster: started with the same configuration, whichever it is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use serde_json::{Value, json};
use wharfinger_oci::Digest;

use super::cloud::Cloud;
use crate::children::Running;
use crate::content::MANIFEST_TYPE;
use crate::peer::{Kind, free_address, launch};
use crate::proc::ProcessTree;
use crate::target::{Layout, Target};

/// A running registry; dropping it ends it.
pub(crate) struct Registry {
    _running: Running,
    /// How it is reached.
    pub(crate) target: Target,
    /// Where wharfinger's operators reach it.
    pub(crate) socket: PathBuf,
}

impl Registry {
    /// Starts a registry and pushes a little image to it, after which it has the container and a token. `change` may
    /// add to the configuration.
    pub(crate) fn start(
        (kind, binary): (Kind, &Path),
        directory: &Path,
        cloud: &Cloud,
        container: &str,
        change: impl FnOnce(&mut Value),
    ) -> Result<Registry> {
        let address = free_address()?;
        let directory = directory.join(kind.name());
        fs::create_dir_all(&directory)?;
        let mut config = config(&cloud.cluster().storage_config(container), &address.to_string());
        let socket = directory.join("admin.sock");
        if kind == Kind::Wharfinger {
            config["admin"]["socket"] = json!(socket);
        }
        change(&mut config);
        let path = directory.join("config.yml");
        // JSON is YAML too.
        fs::write(&path, config.to_string())?;
        let mut command = Command::new(binary);
        command.current_dir(&directory).arg("serve").arg(&path);
        let (running, _) = launch(kind, &mut command, address, &directory.join("log"))?;
        let target = Target {
            address,
            layout: Layout::Registry,
            repository: "load/bench".to_owned(),
            processes: Some(ProcessTree::of(running.pid())?),
        };
        warm(&target)?;
        Ok(Registry { _running: running, target, socket })
    }
}

fn config(swift: &Value, address: &str) -> Value {
    json!({
        "version": "0.1",
        "log": { "level": "error", "accesslog": { "disabled": true } },
        "storage": {
            "swift": swift,
            "cache": { "blobdescriptor": "inmemory" },
            "delete": { "enabled": true },
            "redirect": { "disable": true },
            "maintenance": { "uploadpurging": { "enabled": false } },
        },
        "health": { "storagedriver": { "enabled": false } },
        "http": { "addr": address, "secret": "of the benchmark" },
    })
}

fn warm(target: &Target) -> Result<()> {
    let target = target.with_repository("load/warm");
    let mut connection = target.connect()?;
    let config = b"{}";
    let digest = Digest::sha256(config);
    target.put_blob(&mut connection, &digest, &[config])?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": digest.to_string(),
            "size": config.len(),
        },
        "layers": [],
    });
    target.put_manifest(&mut connection, "latest", manifest.to_string().as_bytes())
}
