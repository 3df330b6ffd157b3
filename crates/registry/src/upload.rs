//! Upload sessions: a blob on its way in. A session is a record in the store, so any process can go on with it.

pub(crate) mod session;
mod writer;

use std::sync::Arc;

use wharfinger_oci::{Algorithm, RepositoryName};
use wharfinger_store::{Delete, Durability};

use crate::error::{Error, Result, optional};
use crate::layout;
use crate::registry::{Inner, Registry};
pub use session::SessionId;
use session::{MAX_RECORD, Session};
pub use writer::{Closing, UploadWriter};

/// How far an upload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UploadStatus {
    /// The session.
    pub id: SessionId,
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
    ) -> Result<SessionId> {
        let id = SessionId::random();
        let record = Session::new(name, identity, algorithm).encode();
        // Nothing was acknowledged yet: a crash of the machine costs the client a new POST.
        self.store().put(&layout::upload_session(&id), record.into(), Durability::Lazy).await?;
        Ok(id)
    }

    /// How far a session is.
    ///
    /// # Errors
    /// [`Error::UploadUnknown`] for a session that is not there, or not of this repository and identity.
    pub async fn upload_status(
        &self,
        name: &RepositoryName,
        identity: &str,
        id: SessionId,
    ) -> Result<UploadStatus> {
        let session = self.session(name, identity, id).await?;
        Ok(UploadStatus { id, length: session.checkpoint.length })
    }

    /// Drops a session and its bytes.
    pub async fn cancel_upload(&self, name: &RepositoryName, identity: &str, id: SessionId) -> Result<()> {
        let _writing = Writing::begin(self, id)?;
        self.session(name, identity, id).await?;
        self.discard_upload(id).await
    }

    /// Opens a session for writing at its end.
    ///
    /// # Errors
    /// [`Error::UploadUnknown`], or [`Error::UploadBusy`] while another request of this process writes to it.
    pub async fn open_upload(
        &self,
        name: &RepositoryName,
        identity: &str,
        id: SessionId,
    ) -> Result<UploadWriter> {
        let writing = Writing::begin(self, id)?;
        let session = self.session(name, identity, id).await?;
        UploadWriter::resume(self.clone(), name.clone(), id, session, writing).await
    }

    /// Begins an upload that comes in one request; there is a record only if that request breaks off.
    pub fn single_upload(
        &self,
        name: &RepositoryName,
        identity: &str,
        algorithm: Algorithm,
    ) -> Result<UploadWriter> {
        let id = SessionId::random();
        let writing = Writing::begin(self, id)?;
        let session = Session::new(name, identity, algorithm);
        Ok(UploadWriter::fresh(self.clone(), name.clone(), id, session, writing, false))
    }

    async fn session(&self, name: &RepositoryName, identity: &str, id: SessionId) -> Result<Session> {
        let record = optional(self.store().get(&layout::upload_session(&id), MAX_RECORD).await)?;
        let session = record.as_deref().and_then(Session::decode).ok_or(Error::UploadUnknown)?;
        if session.belongs_to(name, identity) { Ok(session) } else { Err(Error::UploadUnknown) }
    }

    /// Removes the bytes, then the record: what is left of a crash in between is still found by its record.
    pub(crate) async fn discard_upload(&self, id: SessionId) -> Result<()> {
        self.store().discard(&layout::upload_data(&id)).await?;
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
    id: SessionId,
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
