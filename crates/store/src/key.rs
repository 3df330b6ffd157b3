//! Names of objects.

use std::fmt;

/// The name of an object: components joined by `/`, no empty component, no `.` and no `..`.
///
/// Keys are made by the registry's layout table only, from parts that were parsed before.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(String);

impl Key {
    /// A key from text that the caller built from parsed parts.
    ///
    /// # Panics
    /// In debug builds, if a component is empty, `.` or `..`; backends refuse such a key in every build.
    pub fn new(text: impl Into<String>) -> Key {
        let key = Key(text.into());
        debug_assert!(key.is_legal(), "illegal key {:?}", key.0);
        key
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// This key with `/` and `rest` after it.
    pub fn join(&self, rest: &str) -> Key {
        Key::new(format!("{}/{rest}", self.0))
    }

    /// Whether every component is a plain name.
    pub fn is_legal(&self) -> bool {
        let mut start = 0;
        let bytes = self.0.as_bytes();
        let plain = |part: &[u8]| !matches!(part, b"" | b"." | b"..");
        for (at, byte) in bytes.iter().enumerate() {
            match byte {
                0 => return false,
                b'/' if !plain(&bytes[start..at]) => return false,
                b'/' => start = at + 1,
                _ => {}
            }
        }
        plain(&bytes[start..])
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_components_are_legal() {
        for key in ["a", "a/b", "a/..b/c.", "..."] {
            assert!(Key(key.to_owned()).is_legal(), "{key:?}");
        }
        for key in ["", "/a", "a/", "a//b", ".", "a/./b", "..", "a/..", "../a", "a\0b"] {
            assert!(!Key(key.to_owned()).is_legal(), "{key:?}");
        }
    }
}
