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
        !self.0.contains('\0') && self.0.split('/').all(|part| !matches!(part, "" | "." | ".."))
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
