//! Names of objects: those of Distribution 2.8's Swift driver, with segments and lists of ours beside them.
//!
//! | name | what |
//! |---|---|
//! | `<prefix>/files/<key>` | an object |
//! | `<prefix>/files/wharfinger/v1/segments/<key>` | the exact segments of the dynamic large object at `<key>` |
//! | `<prefix>/segments/<key>/<16 digits>` | a segment of what is staged at `<key>`, counted from 1 |
//!
//! Slashes at the beginning are dropped, so with an empty prefix names begin with `files/` and `segments/`.

use crate::Key;

#[derive(Clone, Debug)]
pub(super) struct Names {
    prefix: String,
}

impl Names {
    pub(super) fn new(prefix: &str) -> Names {
        Names { prefix: prefix.to_owned() }
    }

    fn of(&self, below: &str, rest: &str) -> String {
        let name = format!("{}/{below}/{rest}", self.prefix);
        name.trim_start_matches('/').to_owned()
    }

    /// What the names of all objects begin with, and those of all segments; in their order.
    pub(super) fn areas(&self) -> (String, String) {
        (self.of("files", ""), self.of("segments", ""))
    }

    /// The object of a key.
    pub(super) fn object(&self, key: &Key) -> String {
        self.of("files", key.as_str())
    }

    /// The list of the segments of a key's object.
    pub(super) fn segment_list(&self, key: &Key) -> String {
        self.of("files/wharfinger/v1/segments", key.as_str())
    }

    /// What the names of the segments staged at a key begin with; no slash at the end.
    pub(super) fn segments(&self, key: &Key) -> String {
        self.of("segments", key.as_str())
    }
}

/// A segment's name. Numbers begin at 1.
pub(super) fn segment(prefix: &str, number: u64) -> String {
    format!("{prefix}/{number:016}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_distribution() {
        let key = Key::new("docker/registry/v2/blobs/sha256/aa/aabb/data");
        for (prefix, expected) in [
            ("", "files/docker/registry/v2/blobs/sha256/aa/aabb/data"),
            ("site", "site/files/docker/registry/v2/blobs/sha256/aa/aabb/data"),
            ("/site/a", "site/a/files/docker/registry/v2/blobs/sha256/aa/aabb/data"),
            ("site/", "site//files/docker/registry/v2/blobs/sha256/aa/aabb/data"),
        ] {
            assert_eq!(Names::new(prefix).object(&key), expected);
            let (files, segments) = Names::new(prefix).areas();
            assert!(expected.starts_with(&files) && files < segments && segments.ends_with("segments/"));
        }
        assert_eq!(segment(&Names::new("").segments(&Key::new("a/b")), 1), "segments/a/b/0000000000000001");
    }
}
