//! URLs by which a client reads an object from the store itself.

use std::fmt;
use std::time::SystemTime;

use crate::Meta;

/// A URL that is good for whoever has it. `Debug` does not show its query.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedUrl {
    url: String,
    expires: SystemTime,
}

impl SignedUrl {
    /// Hides `url`, which is good until `expires`.
    pub fn new(url: String, expires: SystemTime) -> SignedUrl {
        SignedUrl { url, expires }
    }

    /// The URL itself: for the client that it was made for, never for a message.
    pub fn expose(&self) -> &str {
        &self.url
    }

    /// Until when it is good, by this machine's clock.
    pub fn expires(&self) -> SystemTime {
        self.expires
    }
}

impl fmt::Debug for SignedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = self.url.split('?').next().unwrap_or_default();
        f.debug_struct("SignedUrl").field("url", &format_args!("{plain}?[redacted]")).finish_non_exhaustive()
    }
}

/// What came of asking for a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signed {
    /// A URL of the object that has this size and age.
    Url(SignedUrl, Meta),
    /// None.
    Not(NoUrl),
}

/// Why an object has no URL of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoUrl {
    /// The store is not one that clients can read, or was not told that they may.
    NotAsked,
    /// The cluster does not offer temporary URLs, or none for GET.
    NotOffered,
    /// The cluster knows no key, and none may be set.
    NoKey,
    /// The cluster knows other keys than the one that is configured, and none may be set.
    OtherKey,
    /// The cluster does not take what was signed with a key that it knows: its clock or ours is wrong, or its path is
    /// another than the one that we use.
    NotTaken,
    /// Swift would answer what a listing shows, which is not all of the object, or not known to be.
    Incomplete,
}

impl fmt::Display for NoUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NoUrl::NotAsked => "nothing asks for temporary URLs",
            NoUrl::NotOffered => "the cluster offers no temporary URLs for GET (tempurl in its /info)",
            NoUrl::NoKey => "Swift has no key for temporary URLs, and none may be set",
            NoUrl::OtherKey => "Swift has other keys for temporary URLs than the one that is configured",
            NoUrl::NotTaken => {
                "Swift refuses what is signed with the key that it has: compare clocks and paths"
            }
            NoUrl::Incomplete => "what Swift would answer is not known to be the whole object",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_not_shown() {
        let url = "https://swift.example/v1/a/c/o?temp_url_sig=abc&temp_url_expires=1";
        let signed = SignedUrl::new(url.to_owned(), SystemTime::UNIX_EPOCH);
        let shown = format!("{signed:?} {signed:#?}");
        assert!(shown.contains("/v1/a/c/o?[redacted]") && !shown.contains("abc"), "{shown}");
        assert_eq!(signed.expose(), url);
    }
}
