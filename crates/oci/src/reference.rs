//! What names a manifest in a repository: a tag or a digest.

use std::fmt;
use std::sync::Arc;

use crate::{Digest, DigestError};

/// A text is not a tag.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a tag: 1 to 128 letters, digits, `_`, `.` or `-`, not starting with `.` or `-`")]
pub struct TagError;

/// A tag, `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}` (distribution-spec, "Pulling manifests"). Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(Arc<str>);

impl Tag {
    /// Checks the grammar.
    pub fn parse(text: &str) -> Result<Tag, TagError> {
        let bytes = text.as_bytes();
        let Some((&first, rest)) = bytes.split_first() else { return Err(TagError) };
        let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let legal = bytes.len() <= 128
            && is_word(first)
            && rest.iter().all(|&b| is_word(b) || b == b'.' || b == b'-');
        if legal { Ok(Tag(text.into())) } else { Err(TagError) }
    }

    /// The tag as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A tag or a digest: the last part of a manifest's path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reference {
    /// By tag: may move.
    Tag(Tag),
    /// By digest: never changes.
    Digest(Digest),
}

/// Why a text is neither a tag nor a digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// It has a colon, so it is meant as a digest.
    #[error(transparent)]
    Digest(#[from] DigestError),
    /// It has none, so it is meant as a tag.
    #[error(transparent)]
    Tag(#[from] TagError),
}

impl Reference {
    /// A colon makes it a digest, otherwise it is a tag.
    pub fn parse(text: &str) -> Result<Reference, ReferenceError> {
        if text.contains(':') {
            Ok(Reference::Digest(Digest::parse(text)?))
        } else {
            Ok(Reference::Tag(Tag::parse(text)?))
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reference::Tag(tag) => tag.fmt(f),
            Reference::Digest(digest) => digest.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_follow_the_grammar() {
        for tag in ["latest", "v1.0", "_x", "A", "1-2_3.4", &"a".repeat(128)] {
            assert!(Tag::parse(tag).is_ok(), "{tag:?} was refused");
        }
        for tag in ["", ".a", "-a", "a/b", "a b", "a:b", "ä", &"a".repeat(129)] {
            assert!(Tag::parse(tag).is_err(), "{tag:?} was accepted");
        }
    }

    #[test]
    fn a_colon_makes_a_digest() {
        assert!(matches!(Reference::parse("latest"), Ok(Reference::Tag(_))));
        assert!(matches!(Reference::parse("sha256:bad"), Err(ReferenceError::Digest(_))));
    }
}
