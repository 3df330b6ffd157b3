//! What must hold for any bytes that a client, a file or an operator hands us.
//!
//! Each module has one `check`, which panics when its promise is broken. libFuzzer calls it with what it makes up
//! (`cargo xtask fuzz`), the tests below with every kept file of `fuzz/corpus/<module>/`.

pub mod chunk_index;
pub mod config;
pub mod digest_name;
pub mod manifest;
pub mod midstate;
pub mod range;
pub mod route;

/// A check, given the input.
pub type Check = fn(&[u8]);

/// Every target's name with its check.
pub const TARGETS: [(&str, Check); 7] = [
    ("chunk_index", chunk_index::check),
    ("config", config::check),
    ("digest_name", digest_name::check),
    ("manifest", manifest::check),
    ("midstate", midstate::check),
    ("range", range::check),
    ("route", route::check),
];

/// The first `N` bytes as a head and the rest, zeros standing in for bytes that are not there.
pub(crate) fn head<const N: usize>(data: &[u8]) -> ([u8; N], &[u8]) {
    let mut head = [0; N];
    let taken = data.len().min(N);
    head[..taken].copy_from_slice(&data[..taken]);
    (head, &data[taken..])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::panic;
    use std::path::{Path, PathBuf};

    use super::*;

    fn fuzz(directory: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(directory)
    }

    fn files(directory: &Path) -> Vec<PathBuf> {
        let entries =
            fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    fn stems(directory: &str) -> BTreeSet<String> {
        let stem = |path: PathBuf| path.file_stem().unwrap().to_string_lossy().into_owned();
        files(&fuzz(directory)).into_iter().map(stem).collect()
    }

    fn replay(target: &str) {
        let (_, check) = TARGETS.iter().find(|(name, _)| *name == target).unwrap();
        let files = files(&fuzz("corpus").join(target));
        assert!(files.len() >= 10, "only {} files for {target}", files.len());
        for file in files {
            let data = fs::read(&file).unwrap();
            let outcome = panic::catch_unwind(|| check(&data));
            assert!(outcome.is_ok(), "{} breaks the promise of {target}", file.display());
        }
    }

    #[test]
    fn every_target_has_a_check_and_a_corpus() {
        let names: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(stems("fuzz_targets"), names);
        assert_eq!(stems("corpus"), names);
    }

    #[test]
    fn the_kept_chunk_indexes_pass() {
        replay("chunk_index");
    }

    #[test]
    fn the_kept_configurations_pass() {
        replay("config");
    }

    #[test]
    fn the_kept_digests_and_names_pass() {
        replay("digest_name");
    }

    #[test]
    fn the_kept_manifests_pass() {
        replay("manifest");
    }

    #[test]
    fn the_kept_midstates_pass() {
        replay("midstate");
    }

    #[test]
    fn the_kept_ranges_pass() {
        replay("range");
    }

    #[test]
    fn the_kept_routes_pass() {
        replay("route");
    }
}
