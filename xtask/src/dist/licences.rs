//! The libraries in the program and the licences under which they may be passed on, as their authors ask.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::run::{self, cargo};

/// Names, versions and licences of all libraries, then every text of a licence or notice, once.
pub(super) fn text() -> Result<String> {
    let tree =
        ["tree", "--package=wharfinger", "--edges=normal,no-proc-macro", "--prefix=none", "--format={p}"];
    let tree = run::output(&mut cargo(&tree))?;
    let linked = linked(&tree);
    let metadata: Value =
        serde_json::from_str(&run::output(&mut cargo(&["metadata", "--format-version=1"]))?)?;
    let (mut page, mut texts) = (String::new(), BTreeMap::<String, Vec<String>>::new());
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let field = |name: &str| package[name].as_str();
        let name = format!("{} v{}", field("name").unwrap_or_default(), field("version").unwrap_or_default());
        // A package without a source is one of ours.
        if !linked.contains(name.as_str()) || package["source"].is_null() {
            continue;
        }
        let manifest = field("manifest_path").with_context(|| name.clone())?;
        writeln!(page, "{name}: {}", field("license").unwrap_or("see below"))?;
        for text in notices(Path::new(manifest).parent().unwrap_or(Path::new("/")))? {
            texts.entry(text).or_default().push(name.clone());
        }
    }
    for (text, names) in texts {
        write!(page, "\n{:=<79}\n{}\n\n{}\n", "", names.join(", "), text.trim_end())?;
    }
    Ok(page)
}

/// `NAME vVERSION` of every line that `cargo tree` prints; what else stands there is where it comes from.
fn linked(tree: &str) -> BTreeSet<&str> {
    tree.lines().map(|line| line.split(" (").next().unwrap_or(line)).collect()
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
    fn names_and_versions_are_read_from_the_tree() {
        let tree = "wharfinger v0.1.0 (/src/wharfinger)\nanyhow v1.0.104\nanyhow v1.0.104 (*)\n";
        assert_eq!(linked(tree).into_iter().collect::<Vec<_>>(), ["anyhow v1.0.104", "wharfinger v0.1.0"]);
    }

    #[test]
    fn notices_are_told_from_code() {
        assert!(is_notice("LICENSE-MIT") && is_notice("Copying") && is_notice("NOTICE.txt"));
        assert!(!is_notice("license.rs") && !is_notice("README.md"));
    }
}
