//! Rules about the shape of the code that no lint knows.

use std::fs;
use std::path::Path;

use anyhow::{Result, bail};

use crate::run;

/// The most lines that a file of code may have.
const LONGEST: usize = 600;

/// Checks every file of code below the workspace's directories.
pub(crate) fn check() -> Result<()> {
    let mut complaints = Vec::new();
    for directory in ["crates", "fakes", "wharfinger", "tests", "load", "fuzz", "xtask"] {
        walk(&run::root().join(directory), &mut complaints)?;
    }
    if complaints.is_empty() {
        return Ok(());
    }
    bail!("{}", complaints.join("\n"));
}

fn walk(directory: &Path, complaints: &mut Vec<String>) -> Result<()> {
    let Ok(entries) = fs::read_dir(directory) else { return Ok(()) };
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "target" && name != "artifacts" {
                walk(&path, complaints)?;
            }
        } else if name == "mod.rs" {
            complaints.push(format!("{}: modules are foo.rs beside foo/, not mod.rs", path.display()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            inspect(&path, &fs::read_to_string(&path)?, complaints);
        }
    }
    Ok(())
}

fn inspect(path: &Path, text: &str, complaints: &mut Vec<String>) {
    let lines = text.lines().count();
    if lines > LONGEST {
        complaints.push(format!("{}: {lines} lines, {LONGEST} are allowed: split it", path.display()));
    }
    let begins_with_docs = text.trim_start().starts_with("//!");
    if !begins_with_docs && path.file_name().is_none_or(|name| name != "tests.rs") {
        complaints.push(format!("{}: begins without saying what it is (`//! ...`)", path.display()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_files_and_silent_files_are_named() {
        let mut complaints = Vec::new();
        inspect(Path::new("long.rs"), &"//! x\n".repeat(LONGEST + 1), &mut complaints);
        inspect(Path::new("silent.rs"), "fn main() {}\n", &mut complaints);
        inspect(Path::new("good.rs"), "//! Good.\n", &mut complaints);
        assert_eq!(complaints.len(), 2);
        assert!(complaints[0].contains("601 lines") && complaints[1].contains("silent.rs"));
    }
}
