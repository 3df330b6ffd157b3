//! What instances tell each other by way of Redis: content that proves itself, and records of uploads that are compared
//! with what the client says. Never evidence of anything ([`wharfinger_shared`]).

use std::time::Duration;

use bytes::Bytes;
use wharfinger_oci::{Digest, RepositoryName};
use wharfinger_shared::{Kind, Patience, Shared, Turn, TurnToken};

use crate::registry::Registry;
use crate::upload::session::{Session, SessionId, SessionRef};

/// The largest manifest that is shared.
const LARGEST: usize = 256 * 1024;
/// How long content is kept.
const CONTENT_LIFE: Duration = Duration::from_secs(3600);
/// The largest record of an upload that is shared: those with bytes of the blob in them are larger.
const LARGEST_RECORD: usize = 64 * 1024;
/// How long a record is kept: clients come back within seconds.
const RECORD_LIFE: Duration = Duration::from_secs(600);
/// How long an instance may read something for all.
const TURN: Duration = Duration::from_secs(2);
/// Between two looks at whether it has.
const LOOK_AGAIN: Duration = Duration::from_millis(8);

/// What Redis has of a manifest.
pub(crate) enum SharedContent {
    /// Its bytes, proved by the digest.
    Found(Bytes),
    /// Nothing. Who reads it from the store shares it, and then drops this.
    Missing(Option<ReadingForAll>),
}

/// The right to read something from the store while other instances wait, for a moment.
pub(crate) struct ReadingForAll {
    shared: Shared,
    key: String,
    token: Option<TurnToken>,
}

impl Drop for ReadingForAll {
    fn drop(&mut self) {
        if let Some(token) = self.token.take() {
            self.shared.give_back(&self.key, token);
        }
    }
}

/// Names carry the repository: what was deleted in one is not found by way of another.
fn content_key(name: &RepositoryName, digest: &Digest) -> String {
    format!("{name}@{digest}")
}

impl Registry {
    /// A manifest from Redis, or the right to read it from the store. Where another instance does that, this waits for
    /// it as long as a request may wait for Redis.
    pub(crate) async fn shared_content(&self, name: &RepositoryName, digest: &Digest) -> SharedContent {
        let Some(shared) = &self.inner.shared else { return SharedContent::Missing(None) };
        let (key, patience) = (content_key(name, digest), Patience::of_a_request());
        loop {
            if let Some(bytes) = shared.get(Kind::Content, &key, patience).await {
                if Digest::of(digest.algorithm(), &bytes) == *digest {
                    return SharedContent::Found(bytes);
                }
                tracing::warn!(%digest, repository = %name, "Redis held other bytes under this digest; removed");
                shared.distrust(Kind::Content, &key);
                return SharedContent::Missing(None);
            }
            match shared.turn(&key, TURN, patience).await {
                Turn::Ours(token) => {
                    let shared = shared.clone();
                    return SharedContent::Missing(Some(ReadingForAll { shared, key, token: Some(token) }));
                }
                Turn::Others if patience.left() > LOOK_AGAIN => tokio::time::sleep(LOOK_AGAIN).await,
                Turn::Others | Turn::Unknown => return SharedContent::Missing(None),
            }
        }
    }

    /// What Redis has of a manifest: its length, and whether it has the digest. Distrusts nothing.
    pub(crate) async fn look_at_shared(&self, name: &RepositoryName, digest: &Digest) -> Option<(u64, bool)> {
        let shared = self.inner.shared.as_ref()?;
        let bytes = shared.get(Kind::Content, &content_key(name, digest), Patience::of_a_request()).await?;
        Some((bytes.len() as u64, Digest::of(digest.algorithm(), &bytes) == *digest))
    }

    /// Shares a manifest that was proved.
    pub(crate) fn share_content(&self, name: &RepositoryName, digest: &Digest, bytes: &Bytes) {
        if let Some(shared) = &self.inner.shared
            && bytes.len() <= LARGEST
        {
            shared.keep(Kind::Content, &content_key(name, digest), bytes, CONTENT_LIFE);
        }
    }

    pub(crate) fn unshare_content(&self, name: &RepositoryName, digest: &Digest) {
        if let Some(shared) = &self.inner.shared {
            shared.forget(Kind::Content, &content_key(name, digest));
        }
    }

    /// The record of an upload session in the very state that the client names.
    pub(crate) async fn shared_session(&self, reference: SessionRef) -> Option<Session> {
        let (shared, generation) = (self.inner.shared.as_ref()?, reference.generation?);
        let key = reference.id.to_string();
        let record = shared.get(Kind::Upload, &key, Patience::of_a_request()).await?;
        let session = Session::decode(&record);
        if session.is_none() {
            shared.distrust(Kind::Upload, &key);
        }
        session.filter(|session| session.generation == generation && !session.ended)
    }

    /// Shares the record of an upload session that was written to the store.
    pub(crate) fn share_session(&self, id: SessionId, record: &Bytes) {
        if let Some(shared) = &self.inner.shared
            && record.len() <= LARGEST_RECORD
        {
            shared.keep(Kind::Upload, &id.to_string(), record, RECORD_LIFE);
        }
    }

    pub(crate) fn unshare_session(&self, id: SessionId) {
        if let Some(shared) = &self.inner.shared {
            shared.forget(Kind::Upload, &id.to_string());
        }
    }
}
