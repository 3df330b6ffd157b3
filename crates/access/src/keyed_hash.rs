//! HMAC-SHA256 under a key that never leaves the process: what credentials are cached and signed under.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::AccessError;

/// A secret key.
#[derive(Clone)]
pub(crate) struct Key([u8; 32]);

impl Key {
    /// A fresh one, for what need not outlive the process.
    pub(crate) fn random() -> Result<Key, AccessError> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(AccessError::Random)?;
        Ok(Key(bytes))
    }

    /// The same on every instance that shares `secret`, and of no use for any other purpose than `label`.
    pub(crate) fn derive(secret: &[u8], label: &str) -> Key {
        Key(hash(secret, &[label.as_bytes()]))
    }

    /// The hash of `parts`, each of which counts with its length: `a`+`bc` and `ab`+`c` differ.
    pub(crate) fn hash(&self, parts: &[&[u8]]) -> [u8; 32] {
        hash(&self.0, parts)
    }
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
fn hash(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length");
    for part in parts {
        mac.update(&(part.len() as u64).to_le_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}
