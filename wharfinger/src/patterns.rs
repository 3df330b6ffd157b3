//! `--repository GLOB`: which repositories a command is about. The same patterns as in `access.policy`.

use anyhow::{Context, Result};
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// Names that one of the patterns matches; none where there are no patterns.
pub(crate) fn repositories<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Result<Option<GlobSet>> {
    let mut globs = GlobSetBuilder::new();
    let mut any = false;
    for pattern in patterns {
        let glob = GlobBuilder::new(pattern).literal_separator(false).build();
        globs.add(glob.with_context(|| format!("--repository {pattern:?} is no pattern"))?);
        any = true;
    }
    let globs = globs.build().context("--repository")?;
    Ok(any.then_some(globs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_the_whole_name_and_slashes_too() {
        let patterns = repositories(["team/*-?", "a.b"]).unwrap().unwrap();
        for (name, expected) in [
            ("team/a/b-1", true),
            ("team/a-12", false),
            ("my/team/a-1", false),
            ("a.b", true),
            ("a-b", false),
        ] {
            assert_eq!(patterns.is_match(name), expected, "{name}");
        }
        assert!(repositories([]).unwrap().is_none());
        assert!(repositories(["[a"]).unwrap_err().to_string().contains("\"[a\" is no pattern"));
    }
}
