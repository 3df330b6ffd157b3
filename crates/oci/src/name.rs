//! Repository names, as the distribution specification's "Pulling manifests" section defines `<name>`.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The longest name accepted. Clients limit host and name together to 255 characters.
pub const MAX_NAME_LENGTH: usize = 255;

/// Why a text is not a repository name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Outside the grammar.
    #[error(
        "not a repository name: lower-case letters and digits, separated by `.`, `_`, `__`, `-` or `/`, e.g. team/app"
    )]
    Malformed,
    /// Longer than [`MAX_NAME_LENGTH`].
    #[error("a repository name has at most {MAX_NAME_LENGTH} characters, this one has {0}")]
    TooLong(usize),
}

/// A repository name such as `library/ubuntu`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RepositoryName(Arc<str>);

impl serde::Serialize for RepositoryName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> serde::Deserialize<'de> for RepositoryName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        RepositoryName::parse(&text).map_err(serde::de::Error::custom)
    }
}

impl RepositoryName {
    /// Checks `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*`.
    pub fn parse(text: &str) -> Result<RepositoryName, NameError> {
        if text.len() > MAX_NAME_LENGTH {
            return Err(NameError::TooLong(text.len()));
        }
        if text.split('/').all(is_component) {
            Ok(RepositoryName(text.into()))
        } else {
            Err(NameError::Malformed)
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One path component: runs of `[a-z0-9]` joined by `.`, `_`, `__` or any number of `-`.
fn is_component(component: &str) -> bool {
    let bytes = component.as_bytes();
    let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let (Some(&first), Some(&last)) = (bytes.first(), bytes.last()) else { return false };
    if !is_word(first) || !is_word(last) {
        return false;
    }
    let mut rest = bytes;
    while let Some(start) = rest.iter().position(|&b| !is_word(b)) {
        let length = rest[start..].iter().position(|&b| is_word(b)).unwrap_or(rest.len() - start);
        let separator = &rest[start..start + length];
        let legal = matches!(separator, b"." | b"_" | b"__") || separator.iter().all(|&b| b == b'-');
        if !legal {
            return false;
        }
        rest = &rest[start + length..];
    }
    true
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for RepositoryName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        RepositoryName::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_within_the_grammar_are_accepted() {
        for name in
            ["a", "0", "library/ubuntu", "a.b", "a_b", "a__b", "a-b", "a---b", "a/b/c/d", "blobs/uploads"]
        {
            assert!(RepositoryName::parse(name).is_ok(), "{name:?} was refused");
        }
        assert!(RepositoryName::parse(&"a".repeat(255)).is_ok());
    }

    #[test]
    fn names_outside_the_grammar_are_refused() {
        for name in [
            "", "/", "a/", "/a", "a//b", "A", "..", "a/..", ".", "a..b", "a___b", "_a", "a_", "-a", "a.-b",
            "%2e", "é",
        ] {
            assert!(RepositoryName::parse(name).is_err(), "{name:?} was accepted");
        }
        assert_eq!(RepositoryName::parse(&"a".repeat(256)), Err(NameError::TooLong(256)));
    }
}
