//! The container image: the program, the libraries it loads, and nothing else, as an OCI image layout
//! (image-spec, "OCI Image Layout"). No engine is needed to make it.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use flate2::{Compression, GzBuilder};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::tree::Tree;
use super::{Parts, date, packaging, version};
use crate::run;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// The user `wharfinger` inside the image, as packaging/image/passwd has it.
const USER: u64 = 65532;

/// Writes the layout into `root`, tagged with the version.
pub(super) fn write(parts: &Parts, root: &Path) -> Result<()> {
    let blobs = root.join("blobs/sha256");
    fs::create_dir_all(&blobs)?;
    let layer = tree(parts)?.tar(parts.time)?;
    let diff_id = digest(&layer);
    let level = if parts.quick { Compression::fast() } else { Compression::best() };
    let mut encoder = GzBuilder::new().write(Vec::new(), level);
    encoder.write_all(&layer)?;
    let layer = blob(&blobs, LAYER, &encoder.finish()?)?;
    let labels = labels(parts)?;
    let config = blob(&blobs, CONFIG, config(parts, &diff_id, &labels)?.to_string().as_bytes())?;
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": config, "layers": [layer], "annotations": labels,
    });
    let mut entry = blob(&blobs, MANIFEST, manifest.to_string().as_bytes())?;
    entry["platform"] = json!({ "architecture": parts.architecture, "os": "linux" });
    entry["annotations"] = json!({ "org.opencontainers.image.ref.name": version() });
    let index = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [entry],
    });
    fs::write(root.join("index.json"), index.to_string())?;
    fs::write(root.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
    Ok(())
}

fn tree(parts: &Parts) -> Result<Tree> {
    let mut tree = Tree::default();
    tree.copy("usr/bin/wharfinger", 0o755, &parts.binary)?;
    tree.copy("etc/wharfinger/config.yml", 0o644, &packaging("image/config.yml"))?;
    for name in ["passwd", "group", "nsswitch.conf"] {
        tree.copy(&format!("etc/{name}"), 0o644, &packaging("image").join(name))?;
    }
    for library in libraries(&parts.binary)? {
        tree.copy(library.to_string_lossy().trim_start_matches('/'), 0o755, &library)?;
    }
    // The licences of those libraries, and ours.
    for package in ["libc6", "libgcc-s1"] {
        let text = PathBuf::from(format!("/usr/share/doc/{package}/copyright"));
        if text.exists() {
            tree.copy(&format!("usr/share/doc/{package}/copyright"), 0o644, &text)?;
        }
    }
    tree.copy("usr/share/doc/wharfinger/copyright", 0o644, &packaging("debian/copyright"))?;
    tree.gzip("usr/share/doc/wharfinger/dependencies.gz", parts.licences.as_bytes())?;
    tree.directory("var/lib/wharfinger", 0o750, USER);
    tree.directory("run/wharfinger", 0o750, USER);
    tree.directory("tmp", 0o1777, 0);
    Ok(tree)
}

/// The shared libraries that a program loads, and their loader.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let output = run::output(Command::new("ldd").arg(program))?;
    parse_ldd(&output).with_context(|| format!("ldd {}", program.display()))
}

/// Reads `NAME => PATH (ADDRESS)` and `PATH (ADDRESS)` lines.
fn parse_ldd(output: &str) -> Result<Vec<PathBuf>> {
    let mut libraries = Vec::new();
    for line in output.lines().map(str::trim) {
        if line.ends_with("not found") {
            bail!("a library of the program is missing: {line}");
        }
        let place = line.split("=>").last().unwrap_or_default().trim();
        if place.starts_with('/') {
            libraries.extend(place.split(' ').next().map(PathBuf::from));
        }
    }
    Ok(libraries)
}

fn config(parts: &Parts, diff_id: &str, labels: &Value) -> Result<Value> {
    let created = date(parts.time, "+%Y-%m-%dT%H:%M:%SZ")?;
    Ok(json!({
        "created": created,
        "architecture": parts.architecture,
        "os": "linux",
        "config": {
            "User": format!("{USER}:{USER}"),
            "ExposedPorts": { "5000/tcp": {} },
            "Env": ["PATH=/usr/bin"],
            "Entrypoint": ["/usr/bin/wharfinger"],
            "Cmd": ["serve", "/etc/wharfinger/config.yml"],
            "Volumes": { "/var/lib/wharfinger": {} },
            "WorkingDir": "/var/lib/wharfinger",
            "StopSignal": "SIGTERM",
            "Labels": labels,
        },
        "rootfs": { "type": "layers", "diff_ids": [diff_id] },
        "history": [{ "created": created, "created_by": "cargo xtask dist" }],
    }))
}

fn labels(parts: &Parts) -> Result<Value> {
    Ok(json!({
        "org.opencontainers.image.title": "wharfinger",
        "org.opencontainers.image.description": "Container registry for OCI and Docker images on a plain directory",
        "org.opencontainers.image.version": version(),
        "org.opencontainers.image.licenses": "Apache-2.0",
        "org.opencontainers.image.created": date(parts.time, "+%Y-%m-%dT%H:%M:%SZ")?,
    }))
}

/// Writes a blob; returns its descriptor.
fn blob(directory: &Path, media_type: &str, content: &[u8]) -> Result<Value> {
    let digest = digest(content);
    fs::write(directory.join(digest.trim_start_matches("sha256:")), content)?;
    Ok(json!({ "mediaType": media_type, "digest": digest, "size": content.len() }))
}

fn digest(content: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(content)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_and_loader_are_read_from_ldd() {
        let output = "\tlinux-vdso.so.1 (0x00007f)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)\n\
            \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        let found = parse_ldd(output).unwrap();
        assert_eq!(
            found,
            ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"].map(PathBuf::from)
        );
        assert!(parse_ldd("\tstatically linked").unwrap().is_empty());
        assert!(parse_ldd("\tlibz.so.1 => not found").is_err());
    }
}
