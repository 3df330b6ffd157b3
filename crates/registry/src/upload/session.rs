//! The record of an upload session: whatever another process needs to go on with it.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;
use wharfinger_oci::{Algorithm, Digest, Hasher, RepositoryName};
use wharfinger_store::Checkpoint;

use crate::blob::chunk_index::ChunkIndexer;

/// Names an upload session: random, and good only together with its repository and identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SessionId(Uuid);

impl SessionId {
    pub(crate) fn random() -> SessionId {
        SessionId(Uuid::new_v4())
    }

    /// Reads an id as it stands in a record's name; anything but the form we write is no session of ours.
    pub fn parse(text: &str) -> Option<SessionId> {
        let id = Uuid::try_parse(text).ok()?;
        (id.hyphenated().to_string() == text).then_some(SessionId(id))
    }
}

/// A session as a client was told of it: which one, and as of which state of its record.
///
/// An instance that remembers that very state need not read the record. The state is part of the path, since some
/// clients drop the query of a `Location`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionRef {
    /// The session.
    pub id: SessionId,
    /// The number of its record's state; `None` where the client does not say.
    pub generation: Option<u64>,
    /// How many bytes it had; `None` where the client does not say.
    pub length: Option<u64>,
}

impl SessionRef {
    pub(crate) fn new(id: SessionId, generation: u64, length: u64) -> SessionRef {
        SessionRef { id, generation: Some(generation), length: Some(length) }
    }

    /// Reads `<uuid>` or `<uuid>.<generation>.<length>`.
    pub fn parse(text: &str) -> Option<SessionRef> {
        let Some((id, state)) = text.split_once('.') else { return Some(SessionId::parse(text)?.into()) };
        let number = |text: &str| text.parse().ok().filter(|number: &u64| number.to_string() == text);
        let (generation, length) = state.split_once('.')?;
        Some(SessionRef::new(SessionId::parse(id)?, number(generation)?, number(length)?))
    }
}

impl From<SessionId> for SessionRef {
    fn from(id: SessionId) -> SessionRef {
        SessionRef { id, generation: None, length: None }
    }
}

impl fmt::Display for SessionRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id.fmt(f)?;
        match (self.generation, self.length) {
            (Some(generation), Some(length)) => write!(f, ".{generation}.{length}"),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// What is stored at [`crate::layout::upload_session`]: one line of JSON, then the bytes that are held.
///
/// A reader ignores fields that it does not know and refuses a newer `version`: instances of two versions share
/// sessions as long as the newer one writes nothing that the older must understand.
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
    /// Grows with each writing of the record, by chance: two instances that go on from the same record, which only
    /// a request that outlived its instance can cause, make two states with different numbers.
    #[serde(default)]
    pub(crate) generation: u64,
    /// How far the staged bytes are durable.
    pub(crate) checkpoint: Checkpoint,
    /// Whether anything was ever staged: perhaps more than the checkpoint tells.
    #[serde(default)]
    pub(crate) staging: bool,
    /// State of the hash after all bytes, hex ([`Hasher::midstate`]); empty at the beginning.
    pub(crate) midstate: String,
    /// Checksums of the whole chunks, hex of 4 bytes each, little-endian.
    pub(crate) chunks: String,
    /// State of the checksum of the chunk that is not whole.
    #[serde(default)]
    pub(crate) open_chunk: u64,
    /// The blob that the staged bytes are being published as: they may be its own by now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) publishing: Option<Digest>,
    /// Nobody can go on with it: what it staged waits for the purge.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) ended: bool,
    /// How many held bytes follow the JSON.
    #[serde(default)]
    held_length: usize,
    /// Bytes after the staged ones, too few to stage.
    #[serde(skip)]
    pub(crate) held: Bytes,
}

const VERSION: u32 = 1;
/// Room for the checksums of 4 TiB, its segments, and held bytes.
pub(crate) const MAX_RECORD: usize = 64 * 1024 * 1024;

impl Session {
    pub(crate) fn new(repository: &RepositoryName, identity: &str, algorithm: Algorithm) -> Session {
        Session {
            version: VERSION,
            repository: repository.as_str().to_owned(),
            identity: identity.to_owned(),
            started_at: OffsetDateTime::now_utc(),
            algorithm: algorithm.as_str().to_owned(),
            generation: 0,
            checkpoint: Checkpoint::default(),
            staging: false,
            midstate: String::new(),
            chunks: String::new(),
            open_chunk: 0,
            publishing: None,
            ended: false,
            held_length: 0,
            held: Bytes::new(),
        }
    }

    /// Reads a record; `None` where it is torn or of a newer format.
    pub(crate) fn decode(record: &Bytes) -> Option<Session> {
        let mut values = serde_json::Deserializer::from_slice(record).into_iter::<Session>();
        let mut session = values.next()?.ok()?;
        if session.version > VERSION {
            return None;
        }
        if session.held_length > 0 {
            let start = values.byte_offset() + 1;
            let end = start.checked_add(session.held_length).filter(|end| *end == record.len())?;
            session.held = record.slice(start..end);
        }
        Some(session)
    }

    pub(crate) fn encode(&mut self) -> Bytes {
        self.held_length = self.held.len();
        // A struct of texts and numbers always serialises.
        let mut record = serde_json::to_vec(self).unwrap_or_default();
        if !self.held.is_empty() {
            record.push(b'\n');
            record.extend_from_slice(&self.held);
        }
        record.into()
    }

    /// The record is about to be written.
    pub(crate) fn next_generation(&mut self) {
        let chance = Uuid::new_v4().as_u128() as u16;
        self.generation += 1 + u64::from(chance);
    }

    /// The record of this session from when nobody can go on with it.
    pub(crate) fn ended(&self) -> Session {
        let mut session = Session { ended: true, held: Bytes::new(), ..self.clone() };
        session.next_generation();
        session
    }

    /// Bytes that another process can go on after.
    pub(crate) fn length(&self) -> u64 {
        self.checkpoint.length + self.held.len() as u64
    }

    pub(crate) fn belongs_to(&self, repository: &RepositoryName, identity: &str) -> bool {
        self.repository == repository.as_str() && self.identity == identity
    }

    pub(crate) fn algorithm(&self) -> Algorithm {
        Algorithm::parse(&self.algorithm).unwrap_or(Algorithm::Sha256)
    }

    /// The hash and the chunk checksums after all bytes; `None` where the bytes must be read again.
    pub(crate) fn proofs(&self) -> Option<(Hasher, ChunkIndexer)> {
        if self.length() == 0 {
            return Some((Hasher::new(self.algorithm()), ChunkIndexer::new()));
        }
        let hasher = Hasher::resume(&hex::decode(&self.midstate).ok()?).ok()?;
        let bytes = hex::decode(&self.chunks).ok()?;
        let (words, rest) = bytes.as_chunks::<4>();
        let checksums = words.iter().map(|word| u32::from_le_bytes(*word)).collect();
        let indexer = ChunkIndexer::resume(self.length(), checksums, self.open_chunk)?;
        rest.is_empty().then_some((hasher, indexer))
    }

    /// Keeps the state of the hash and of the chunk checksums.
    pub(crate) fn set_proofs(&mut self, hasher: &Hasher, indexer: &ChunkIndexer) {
        self.midstate = hex::encode(hasher.midstate());
        let bytes: Vec<u8> = indexer.complete().iter().flat_map(|word| word.to_le_bytes()).collect();
        self.chunks = hex::encode(bytes);
        self.open_chunk = indexer.open_state();
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
    fn a_reference_tells_the_state_of_the_record() {
        let id = SessionId::random();
        for reference in [id.into(), SessionRef::new(id, 0, 0), SessionRef::new(id, 17, 1 << 40)] {
            assert_eq!(SessionRef::parse(&reference.to_string()), Some(reference));
        }
        for foreign in [
            ".1",
            "x.1",
            &format!("{id}."),
            &format!("{id}.01"),
            &format!("{id}.-1"),
            &format!("{id}.1"),
            &format!("{id}.1.02"),
            &format!("{id}.1.2.3"),
            &format!("{id}.0.ab"),
        ] {
            assert_eq!(SessionRef::parse(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn a_record_reads_back_with_the_bytes_that_it_holds() {
        let repository = RepositoryName::parse("a/b").unwrap();
        for held in [&b""[..], b"{", b"\n\n{}", &[0, 255, 10]] {
            let mut session = Session::new(&repository, "user:bob", Algorithm::Sha512);
            session.held = Bytes::copy_from_slice(held);
            let (mut hasher, mut indexer) = (Hasher::new(Algorithm::Sha512), ChunkIndexer::new());
            hasher.update(held);
            indexer.update(held);
            session.set_proofs(&hasher, &indexer);
            let record = session.encode();
            let read = Session::decode(&record).unwrap();
            assert!(read.belongs_to(&repository, "user:bob") && !read.belongs_to(&repository, "anonymous"));
            assert_eq!((&read.held[..], read.length()), (held, held.len() as u64));
            let (resumed, _) = read.proofs().unwrap();
            assert_eq!(resumed.finish(), Digest::of(Algorithm::Sha512, held));
            assert!(held.is_empty() || Session::decode(&record.slice(..record.len() - 1)).is_none(), "torn");
        }
        assert!(Session::decode(&Bytes::from_static(b"{")).is_none());
    }

    #[test]
    fn records_without_the_younger_fields_are_read() {
        let record = r#"{"version":1,"repository":"a","identity":"anonymous","started_at":"2026-11-24T00:00:00Z",
            "algorithm":"sha256","checkpoint":{"length":7},"midstate":"","chunks":"","from_the_future":{"x":1}}"#;
        let session = Session::decode(&Bytes::from(record)).unwrap();
        assert_eq!((session.length(), session.generation), (7, 0));
        assert!(Session::decode(&Bytes::from(record.replace("\"version\":1", "\"version\":2"))).is_none());
    }
}
