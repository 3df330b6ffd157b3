//! The libraries in the program and the licences under which they may be passed on, as their authors ask.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use super::architecture;
use crate::run::{self, cargo};

/// Names, versions and licences of all libraries, then every text of a licence or notice, once.
pub(super) fn text() -> Result<String> {
    let metadata: Value = serde_json::from_str(&run::output(&mut cargo(&[
        "metadata",
        "--format-version=1",
        "--filter-platform",
        platform()?,
    ]))?)?;
    let used = used(&metadata).context("cargo metadata does not name the program's libraries")?;
    let (mut page, mut texts) = (String::new(), BTreeMap::<String, Vec<String>>::new());
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let outside = !package["source"].is_null();
        let Some(id) = package["id"].as_str().filter(|id| outside && used.contains(id)) else { continue };
        let field = |name: &str| package[name].as_str().unwrap_or("see below");
        let name = format!("{} {}", field("name"), field("version"));
        let manifest = package["manifest_path"].as_str().with_context(|| id.to_owned())?;
        writeln!(page, "{name}: {}", field("license"))?;
        for text in notices(Path::new(manifest).parent().unwrap_or(Path::new("/")))? {
            texts.entry(text).or_default().push(name.clone());
        }
    }
    for (text, names) in texts {
        write!(page, "\n{:=<79}\n{}\n\n{}\n", "", names.join(", "), text.trim_end())?;
    }
    Ok(page)
}

fn platform() -> Result<&'static str> {
    Ok(if architecture()? == "amd64" { "x86_64-unknown-linux-gnu" } else { "aarch64-unknown-linux-gnu" })
}

/// The ids of all packages that the program is linked from.
fn used(metadata: &Value) -> Option<BTreeSet<&str>> {
    let nodes: BTreeMap<&str, &Value> = metadata["resolve"]["nodes"]
        .as_array()?
        .iter()
        .filter_map(|node| Some((node["id"].as_str()?, &node["deps"])))
        .collect();
    let is_program = |package: &&Value| package["name"] == "wharfinger";
    let mut open = vec![metadata["packages"].as_array()?.iter().find(is_program)?["id"].as_str()?];
    let mut used = BTreeSet::new();
    while let Some(id) = open.pop() {
        if used.insert(id) {
            let linked = |edge: &&Value| {
                // `null` is the kind of a normal dependency; what only builds or tests is not passed on.
                edge["dep_kinds"]
                    .as_array()
                    .is_some_and(|kinds| kinds.iter().any(|kind| kind["kind"].is_null()))
            };
            let edges = nodes.get(id)?.as_array()?.iter().filter(linked);
            open.extend(edges.filter_map(|edge| edge["pkg"].as_str()));
        }
    }
    Some(used)
}

/// The texts of the licence and notice files in a package's directory, in the order of their names.
fn notices(directory: &Path) -> Result<Vec<String>> {
    let mut files: Vec<_> = fs::read_dir(directory)
        .with_context(|| directory.display().to_string())?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_file() && is_notice(&path.file_name().unwrap_or_default().to_string_lossy()))
        .collect();
    files.sort();
    Ok(files.iter().filter_map(|file| fs::read_to_string(file).ok()).collect())
}

fn is_notice(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let source = [".RS", ".TOML", ".PY"].iter().any(|end| name.ends_with(end));
    !source
        && ["LICEN", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE"]
            .iter()
            .any(|start| name.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_linked_is_listed() {
        let metadata = serde_json::json!({
            "packages": [{ "name": "wharfinger", "id": "w" }],
            "resolve": { "nodes": [
                { "id": "w", "deps": [
                    { "pkg": "linked", "dep_kinds": [{ "kind": null }] },
                    { "pkg": "for tests", "dep_kinds": [{ "kind": "dev" }] },
                ] },
                { "id": "linked", "deps": [] },
                { "id": "for tests", "deps": [] },
            ] },
        });
        assert_eq!(used(&metadata).unwrap().into_iter().collect::<Vec<_>>(), ["linked", "w"]);
    }

    #[test]
    fn notices_are_told_from_code() {
        assert!(is_notice("LICENSE-MIT") && is_notice("Copying") && is_notice("NOTICE.txt"));
        assert!(!is_notice("license.rs") && !is_notice("README.md"));
    }
}
