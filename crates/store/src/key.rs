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
        let bytes = self.0.as_bytes();
        let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
        // Hardly any component begins with a dot; only where one does, or is empty, each is looked at.
        let odd = |byte: u8, next: u8| (byte == 0) | ((byte == b'/') & ((next == b'/') | (next == b'.')));
        let pairs = bytes.iter().zip(&bytes[1..]);
        let ends = matches!(first, b'/' | b'.') | matches!(last, b'/' | 0);
        !pairs.fold(ends, |found, (byte, next)| found | odd(*byte, *next)) || self.has_plain_components()
    }

    #[cold]
    fn has_plain_components(&self) -> bool {
        let plain = |part: &str| !matches!(part, "" | "." | "..");
        !self.0.contains('\0') && self.0.split('/').all(plain)
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
        for key in ["a", "a/b", "a/..b/c.", "...", ".a", "a.", "a/.b", "a/b..c"] {
            assert!(Key(key.to_owned()).is_legal(), "{key:?}");
        }
        for key in [
            "", "/", "/a", "a/", "a//b", ".", "a/.", "a/./b", "..", "a/..", "../a", "./a", "a\0b", "a\0",
            "\0",
        ] {
            assert!(!Key(key.to_owned()).is_legal(), "{key:?}");
        }
    }
}
