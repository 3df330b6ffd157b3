//! The record of an upload session: whatever another process needs to go on with it.

use std::fmt;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;
use wharfinger_oci::{Algorithm, Hasher, RepositoryName};
use wharfinger_store::Checkpoint;

/// Names an upload session: random, and good only together with its repository and identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SessionId(Uuid);

impl SessionId {
    pub(crate) fn random() -> SessionId {
        SessionId(Uuid::new_v4())
    }

    /// Reads an id as it stands in a path; anything but the form we write is no session of ours.
    pub fn parse(text: &str) -> Option<SessionId> {
        let id = Uuid::try_parse(text).ok()?;
        (id.hyphenated().to_string() == text).then_some(SessionId(id))
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// What is stored at [`crate::layout::upload_session`], as JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Session {
    /// Format of the record; readers refuse a newer one.
    pub(crate) version: u32,
    pub(crate) repository: String,
    /// Who began it: nobody else may go on.
    pub(crate) identity: String,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) started_at: OffsetDateTime,
    pub(crate) algorithm: String,
    /// How far the bytes are durable.
    pub(crate) checkpoint: Checkpoint,
    /// State of the hash at the checkpoint, hex ([`Hasher::midstate`]); empty at the beginning.
    pub(crate) midstate: String,
    /// Checksums of the whole chunks before the checkpoint, hex of 4 bytes each, little-endian.
    pub(crate) chunks: String,
}

const VERSION: u32 = 1;
/// Room for the checksums of 4 TiB.
pub(crate) const MAX_RECORD: usize = 40 * 1024 * 1024;

impl Session {
    pub(crate) fn new(repository: &RepositoryName, identity: &str, algorithm: Algorithm) -> Session {
        Session {
            version: VERSION,
            repository: repository.as_str().to_owned(),
            identity: identity.to_owned(),
            started_at: OffsetDateTime::now_utc(),
            algorithm: algorithm.as_str().to_owned(),
            checkpoint: Checkpoint::default(),
            midstate: String::new(),
            chunks: String::new(),
        }
    }

    /// Reads a record; `None` where it is torn or of a newer format.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Session> {
        let session: Session = serde_json::from_slice(bytes).ok()?;
        (session.version <= VERSION).then_some(session)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        // A struct of texts and numbers always serialises.
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub(crate) fn belongs_to(&self, repository: &RepositoryName, identity: &str) -> bool {
        self.repository == repository.as_str() && self.identity == identity
    }

    pub(crate) fn algorithm(&self) -> Algorithm {
        Algorithm::parse(&self.algorithm).unwrap_or(Algorithm::Sha256)
    }

    /// The hash at the checkpoint; `None` where the bytes must be read again.
    pub(crate) fn hasher(&self) -> Option<Hasher> {
        if self.checkpoint.length == 0 {
            return Some(Hasher::new(self.algorithm()));
        }
        Hasher::resume(&hex::decode(&self.midstate).ok()?).ok()
    }

    pub(crate) fn chunk_checksums(&self) -> Option<Vec<u32>> {
        let bytes = hex::decode(&self.chunks).ok()?;
        let (words, rest) = bytes.as_chunks::<4>();
        rest.is_empty().then(|| words.iter().map(|word| u32::from_le_bytes(*word)).collect())
    }

    pub(crate) fn set_chunk_checksums(&mut self, checksums: &[u32]) {
        let bytes: Vec<u8> = checksums.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.chunks = hex::encode(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ids_as_we_write_them_are_read() {
        let id = SessionId::random();
        assert_eq!(SessionId::parse(&id.to_string()), Some(id));
        let text = id.to_string();
        for foreign in ["", "..", "x", &text.to_uppercase(), &text.replace('-', ""), &format!("{text}/..")] {
            if foreign != text {
                assert_eq!(SessionId::parse(foreign), None, "{foreign}");
            }
        }
    }

    #[test]
    fn a_record_reads_back() {
        let repository = RepositoryName::parse("a/b").unwrap();
        let mut session = Session::new(&repository, "user:bob", Algorithm::Sha512);
        session.set_chunk_checksums(&[1, 0xffff_ffff]);
        let read = Session::decode(&session.encode()).unwrap();
        assert!(read.belongs_to(&repository, "user:bob"));
        assert!(!read.belongs_to(&repository, "anonymous"));
        assert_eq!(read.chunk_checksums().unwrap(), [1, 0xffff_ffff]);
        assert_eq!(read.algorithm(), Algorithm::Sha512);
        assert!(Session::decode(b"{").is_none());
    }
}
