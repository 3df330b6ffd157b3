//! Content digests: `algorithm:hex`, as the OCI image specification's "Digests" section defines them.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use sha2::digest::common::hazmat::SerializableState;
use sha2::{Digest as _, Sha256, Sha512};

/// A digest algorithm that the image specification registers and we compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// `sha256`: 32 bytes, the canonical algorithm.
    Sha256,
    /// `sha512`: 64 bytes.
    Sha512,
}

impl Algorithm {
    /// The name before the colon.
    pub fn as_str(self) -> &'static str {
        match self {
            Algorithm::Sha256 => "sha256",
            Algorithm::Sha512 => "sha512",
        }
    }

    /// The algorithm of that name, if we compute it.
    pub fn parse(name: &str) -> Option<Algorithm> {
        match name {
            "sha256" => Some(Algorithm::Sha256),
            "sha512" => Some(Algorithm::Sha512),
            _ => None,
        }
    }

    /// Length of the raw digest in bytes.
    pub fn size(self) -> usize {
        match self {
            Algorithm::Sha256 => 32,
            Algorithm::Sha512 => 64,
        }
    }
}

/// Why a text is not a digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// No `algorithm:encoded` shape, or characters outside the grammar.
    #[error("not a digest: expected `algorithm:hex`, e.g. sha256 and 64 lower-case hex digits")]
    Malformed,
    /// Well formed, but of an algorithm that this registry does not compute.
    #[error("digest algorithm {0:?} is not supported (supported: sha256, sha512)")]
    UnsupportedAlgorithm(String),
    /// The hex part is not as long as the algorithm's output, or not lower-case hex.
    #[error("a {algorithm} digest has {expected} lower-case hex digits")]
    BadHex {
        /// The algorithm's name.
        algorithm: &'static str,
        /// Hex digits that were expected.
        expected: usize,
    },
}

/// A parsed content digest. Cheap to copy and to hash.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest {
    algorithm: Algorithm,
    bytes: [u8; 64],
}

impl Digest {
    /// Parses `algorithm:hex`; the hex digits must be lower case (image-spec, "Registered algorithms").
    pub fn parse(text: &str) -> Result<Digest, DigestError> {
        // What nearly every digest is; whatever is wrong with another is told below.
        if let Some(encoded) = text.strip_prefix("sha256:")
            && let Ok(digest) = Self::from_hex(Algorithm::Sha256, encoded)
        {
            return Ok(digest);
        }
        let (name, encoded) = text.split_once(':').ok_or(DigestError::Malformed)?;
        if !is_algorithm_grammar(name) || encoded.is_empty() || !encoded.bytes().all(is_encoded_char) {
            return Err(DigestError::Malformed);
        }
        let algorithm = Algorithm::parse(name)
            .ok_or_else(|| DigestError::UnsupportedAlgorithm(name.chars().take(64).collect()))?;
        Self::from_hex(algorithm, encoded)
    }

    /// A digest from its algorithm and lower-case hex digits.
    pub fn from_hex(algorithm: Algorithm, encoded: &str) -> Result<Digest, DigestError> {
        let expected = algorithm.size() * 2;
        let bad = DigestError::BadHex { algorithm: algorithm.as_str(), expected };
        if encoded.len() != expected {
            return Err(bad);
        }
        let (mut bytes, mut seen) = ([0u8; 64], 0);
        for (slot, pair) in bytes.iter_mut().zip(encoded.as_bytes().chunks_exact(2)) {
            let (high, low) = (HEX_VALUES[usize::from(pair[0])], HEX_VALUES[usize::from(pair[1])]);
            seen |= high | low;
            *slot = high << 4 | low & 15;
        }
        if seen & NO_HEX == 0 { Ok(Digest { algorithm, bytes }) } else { Err(bad) }
    }

    /// Hashes `content` with `algorithm`.
    pub fn of(algorithm: Algorithm, content: &[u8]) -> Digest {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(content);
        hasher.finish()
    }

    /// The SHA-256 digest of `content`.
    pub fn sha256(content: &[u8]) -> Digest {
        Digest::of(Algorithm::Sha256, content)
    }

    /// The algorithm before the colon.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The hex digits after the colon, lower case.
    pub fn hex(&self) -> String {
        let mut text = String::with_capacity(self.algorithm.size() * 2);
        self.push_hex(&mut text);
        text
    }

    /// Appends the hex digits to `out`, for building keys without an extra allocation.
    pub fn push_hex(&self, out: &mut String) {
        let mut digits = [0; 128];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(self.as_bytes()) {
            pair.copy_from_slice(&HEX_PAIRS[usize::from(*byte)]);
        }
        // Digits are text.
        out.push_str(std::str::from_utf8(&digits[..self.algorithm.size() * 2]).unwrap_or_default());
    }

    /// The raw digest, 32 or 64 bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.algorithm.size()]
    }

    fn from_raw(algorithm: Algorithm, raw: &[u8]) -> Digest {
        let mut bytes = [0u8; 64];
        bytes[..raw.len()].copy_from_slice(raw);
        Digest { algorithm, bytes }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(8 + self.algorithm.size() * 2);
        text.push_str(self.algorithm.as_str());
        text.push(':');
        self.push_hex(&mut text);
        f.write_str(&text)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        Digest::parse(text)
    }
}

impl serde::Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Digest::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// `algorithm-component *( [+._-] algorithm-component )`.
fn is_algorithm_grammar(name: &str) -> bool {
    !name.is_empty()
        && name.split(['+', '.', '_', '-']).all(|part| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        })
}

fn is_encoded_char(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'=' | b'_' | b'-')
}

/// Both digits of every byte.
const HEX_PAIRS: [[u8; 2]; 256] = {
    let digits = b"0123456789abcdef";
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        pairs[byte] = [digits[byte >> 4], digits[byte & 15]];
        byte += 1;
    }
    pairs
};

/// In [`HEX_VALUES`]: no digit.
const NO_HEX: u8 = 0x80;

/// The value of every lower-case digit.
const HEX_VALUES: [u8; 256] = {
    let digits = b"0123456789abcdef";
    let mut values = [NO_HEX; 256];
    let mut value = 0;
    while value < 16 {
        values[digits[value] as usize] = value as u8;
        value += 1;
    }
    values
};

/// A running hash whose state can be written down and taken up again by another process.
#[derive(Clone)]
pub enum Hasher {
    /// SHA-256 in progress.
    Sha256(Sha256),
    /// SHA-512 in progress.
    Sha512(Sha512),
}

/// A saved hash state did not decode; the caller re-reads the content instead.
#[derive(Debug, thiserror::Error)]
#[error("the saved hash state does not decode")]
pub struct MidstateError;

/// Bytes before the state: format number and algorithm. Raise the number when `sha2` changes its encoding.
const MIDSTATE_FORMAT: u8 = 1;

/// Whole blocks that a believable state has hashed at most (2^56 bytes or more). From a state that claims more,
/// `sha2` would overflow its count of bits.
const MAX_BLOCKS: u128 = 1 << 50;

impl Hasher {
    /// An empty hash.
    pub fn new(algorithm: Algorithm) -> Hasher {
        match algorithm {
            Algorithm::Sha256 => Hasher::Sha256(Sha256::new()),
            Algorithm::Sha512 => Hasher::Sha512(Sha512::new()),
        }
    }

    /// The algorithm being computed.
    pub fn algorithm(&self) -> Algorithm {
        match self {
            Hasher::Sha256(_) => Algorithm::Sha256,
            Hasher::Sha512(_) => Algorithm::Sha512,
        }
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Hasher::Sha256(hash) => hash.update(bytes),
            Hasher::Sha512(hash) => hash.update(bytes),
        }
    }

    /// The digest of everything added.
    pub fn finish(self) -> Digest {
        match self {
            Hasher::Sha256(hash) => Digest::from_raw(Algorithm::Sha256, &hash.finalize()),
            Hasher::Sha512(hash) => Digest::from_raw(Algorithm::Sha512, &hash.finalize()),
        }
    }

    /// The state in the middle of the content, so that hashing can go on elsewhere.
    pub fn midstate(&self) -> Vec<u8> {
        let (tag, state): (u8, &[u8]) = match self {
            Hasher::Sha256(hash) => (1, &hash.serialize()),
            Hasher::Sha512(hash) => (2, &hash.serialize()),
        };
        let mut out = vec![MIDSTATE_FORMAT, tag];
        out.extend_from_slice(state);
        out
    }

    /// Takes up a state written by [`Hasher::midstate`].
    pub fn resume(saved: &[u8]) -> Result<Hasher, MidstateError> {
        match saved {
            [MIDSTATE_FORMAT, 1, state @ ..] => {
                check_blocks(state, 32..40)?;
                let state = state.try_into().map_err(|_| MidstateError)?;
                Ok(Hasher::Sha256(Sha256::deserialize(state).map_err(|_| MidstateError)?))
            }
            [MIDSTATE_FORMAT, 2, state @ ..] => {
                check_blocks(state, 64..80)?;
                let state = state.try_into().map_err(|_| MidstateError)?;
                Ok(Hasher::Sha512(Sha512::deserialize(state).map_err(|_| MidstateError)?))
            }
            _ => Err(MidstateError),
        }
    }
}

/// Refuses a state whose count of blocks, little-endian at `place` behind the chaining value, is beyond belief.
fn check_blocks(state: &[u8], place: Range<usize>) -> Result<(), MidstateError> {
    let count = state.get(place).ok_or(MidstateError)?;
    let blocks = count.iter().rev().fold(0u128, |sum, byte| sum << 8 | u128::from(*byte));
    if blocks <= MAX_BLOCKS { Ok(()) } else { Err(MidstateError) }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hasher({})", self.algorithm().as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn a_digest_prints_as_it_was_parsed() {
        assert_eq!(Digest::parse(EMPTY).unwrap().to_string(), EMPTY);
        assert_eq!(Digest::sha256(b"").to_string(), EMPTY);
        let long = Digest::of(Algorithm::Sha512, b"abc").to_string();
        assert_eq!(Digest::parse(&long).unwrap().to_string(), long);
    }

    #[test]
    fn malformed_digests_are_refused() {
        for text in ["", ":", "sha256", "sha256:", "sha256:xyz", ":abc", "SHA256:00", "sha256:..", "a b:cd"] {
            assert!(Digest::parse(text).is_err(), "{text:?} was accepted");
        }
        let upper = EMPTY.to_uppercase().replace("SHA256", "sha256");
        assert!(matches!(Digest::parse(&upper), Err(DigestError::BadHex { .. })));
        assert!(matches!(Digest::parse("md5:abcd"), Err(DigestError::UnsupportedAlgorithm(_))));
    }

    #[test]
    fn a_midstate_goes_on_where_it_stopped() {
        let content: Vec<u8> = (0..1_000_003u32).map(|i| i as u8).collect();
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            for cut in [0, 1, 63, 64, 65, 777_777] {
                let mut first = Hasher::new(algorithm);
                first.update(&content[..cut]);
                let mut second = Hasher::resume(&first.midstate()).unwrap();
                second.update(&content[cut..]);
                assert_eq!(second.finish(), Digest::of(algorithm, &content));
            }
        }
        let mut far = Hasher::new(Algorithm::Sha256).midstate();
        far[2 + 39] = 0xff;
        assert!(Hasher::resume(&far).is_err(), "a state of 2^62 bytes was taken up");
        assert!(Hasher::resume(b"").is_err());
        assert!(Hasher::resume(&[9, 1, 0]).is_err());
        assert!(Hasher::resume(&[1, 1, 0]).is_err());
    }
}
