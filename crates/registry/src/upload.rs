//! Upload sessions: a blob on its way in. A session is a record in the store, so any process can go on with it.

pub(crate) mod hot;
pub(crate) mod session;
mod writer;

use std::sync::Arc;

use wharfinger_oci::{Algorithm, RepositoryName};
use wharfinger_store::{Delete, Durability};

use crate::error::{Error, Result, optional};
use crate::layout;
use crate::registry::{Inner, Registry};
use session::{MAX_RECORD, Session};
pub use session::{SessionId, SessionRef};
pub use writer::{Closing, UploadWriter};

/// How far an upload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UploadStatus {
    /// The session, as of this state.
    pub session: SessionRef,
    /// Bytes that are durable: the next chunk begins here.
    pub length: u64,
}

impl Registry {
    /// Begins an upload. `identity` is who may go on with it; `algorithm` is what will be hashed on the way.
    pub async fn start_upload(
        &self,
        name: &RepositoryName,
        identity: &str,
        algorithm: Algorithm,
    ) -> Result<SessionRef> {
        let id = SessionId::random();
        let mut session = Session::new(name, identity, algorithm);
        let reference = SessionRef::new(id, session.generation, 0);
        // Nothing was acknowledged yet: a crash of the machine costs the client a new POST.
        let record = session.encode();
        self.store().put(&layout::upload_session(&id), record, Durability::Lazy).await?;
        self.inner.sessions.keep(id, session, None);
        Ok(reference)
    }

    /// How far a session is.
    ///
    /// # Errors
    /// [`Error::UploadUnknown`] for a session that is not there, or not of this repository and identity.
    pub async fn upload_status(
        &self,
        name: &RepositoryName,
        identity: &str,
        reference: impl Into<SessionRef>,
    ) -> Result<UploadStatus> {
        let id = reference.into().id;
        let session = self.session(name, identity, id).await?;
        let length = session.length();
        Ok(UploadStatus { session: SessionRef::new(id, session.generation, length), length })
    }

    /// Drops a session and its bytes.
    pub async fn cancel_upload(
        &self,
        name: &RepositoryName,
        identity: &str,
        reference: impl Into<SessionRef>,
    ) -> Result<()> {
        let id = reference.into().id;
        let _writing = Writing::begin(self, id)?;
        let session = self.session(name, identity, id).await?;
        self.discard_upload(id, &session).await
    }

    /// Opens a session for writing at its end.
    ///
    /// # Errors
    /// [`Error::UploadUnknown`], or [`Error::UploadBusy`] while another request of this process writes to it.
    pub async fn open_upload(
        &self,
        name: &RepositoryName,
        identity: &str,
        reference: impl Into<SessionRef>,
    ) -> Result<UploadWriter> {
        let reference = reference.into();
        let writing = Writing::begin(self, reference.id)?;
        let remembered = self.inner.sessions.take(reference);
        let (session, share) = match remembered {
            Some((session, _)) if !session.belongs_to(name, identity) => return Err(Error::UploadUnknown),
            Some(remembered) => remembered,
            None => match self.shared_session(reference).await {
                Some(session) if session.belongs_to(name, identity) => (session, None),
                _ => (self.session(name, identity, reference.id).await?, None),
            },
        };
        UploadWriter::resume(self.clone(), name.clone(), session, share, writing).await
    }

    /// Begins an upload that comes in one request.
    pub fn single_upload(
        &self,
        name: &RepositoryName,
        identity: &str,
        algorithm: Algorithm,
    ) -> Result<UploadWriter> {
        let writing = Writing::begin(self, SessionId::random())?;
        let session = Session::new(name, identity, algorithm);
        Ok(UploadWriter::fresh(self.clone(), name.clone(), session, writing))
    }

    async fn session(&self, name: &RepositoryName, identity: &str, id: SessionId) -> Result<Session> {
        let session = self.read_session(id).await?.ok_or(Error::UploadUnknown)?;
        if session.belongs_to(name, identity) && !session.ended {
            Ok(session)
        } else {
            Err(Error::UploadUnknown)
        }
    }

    /// The record of a session; `None` where there is none, or none that can be read.
    pub(crate) async fn read_session(&self, id: SessionId) -> Result<Option<Session>> {
        let record = self.store().get_newest(&layout::upload_session(&id), MAX_RECORD).await;
        Ok(optional(record)?.and_then(|(record, _)| Session::decode(&record)))
    }

    /// Ends a session. Its bytes go at once, unless a request that nobody waits for any more may still make a blob of
    /// them: then they are left to the purge.
    pub(crate) async fn discard_upload(&self, id: SessionId, session: &Session) -> Result<()> {
        self.inner.sessions.forget(id);
        self.unshare_session(id);
        if !self.may_become_a_blob(id, session).await? {
            return self.remove_upload(id, session).await;
        }
        let ended = session.ended().encode();
        self.store().put(&layout::upload_session(&id), ended, Durability::Synced).await?;
        Ok(())
    }

    /// Whether a session was being published as a blob that does not consist of its bytes, or not yet.
    pub(crate) async fn may_become_a_blob(&self, id: SessionId, session: &Session) -> Result<bool> {
        let Some(digest) = session.publishing.filter(|_| self.inner.shape.remote) else { return Ok(false) };
        Ok(!self.store().consists_of(&layout::blob_data(&digest), &layout::upload_data(&id)).await?)
    }

    /// Removes the bytes, then the record: what is left of a crash in between is still found by its record.
    pub(crate) async fn remove_upload(&self, id: SessionId, session: &Session) -> Result<()> {
        self.inner.sessions.forget(id);
        self.unshare_session(id);
        let published = session.publishing.as_ref().map(layout::blob_data);
        let data = layout::upload_data(&id);
        self.store().discard(&data, &session.checkpoint, published.as_ref()).await?;
        self.store().delete(&layout::upload_session(&id), Delete { prune_parents: 1 }).await?;
        Ok(())
    }

    /// Uploads that requests of this process write to now.
    pub fn uploads_in_flight(&self) -> usize {
        self.inner.writing.lock().len()
    }
}

/// The right to write to a session, for one request of this process at a time.
pub(crate) struct Writing {
    inner: Arc<Inner>,
    pub(crate) id: SessionId,
}

impl Writing {
    pub(crate) fn begin(registry: &Registry, id: SessionId) -> Result<Writing> {
        if registry.inner.writing.lock().insert(id) {
            Ok(Writing { inner: registry.inner.clone(), id })
        } else {
            Err(Error::UploadBusy)
        }
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.inner.writing.lock().remove(&self.id);
    }
}
