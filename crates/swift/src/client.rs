//! The session with a cluster.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;

use crate::{Capabilities, Container, Error, ErrorKind, Options, Result, TransactionId};

/// A client of one account. Clones share the session, the connections and the budget of retries.
#[derive(Clone, Debug)]
pub struct Client(Arc<Options>);

/// A session with the cluster.
#[derive(Clone, Debug)]
pub struct Session {
    /// Where the account is, e.g. `https://swift.example.org/v1/AUTH_account`.
    pub storage_url: String,
    /// How long the token lives from now on. None if Swift did not say.
    pub expires_in: Option<Duration>,
}

/// What Swift says about an account.
#[derive(Clone, Debug)]
pub struct AccountInfo {
    /// Containers, as counted a while ago.
    pub containers: u64,
    /// Objects, as counted a while ago.
    pub objects: u64,
    /// Bytes, as counted a while ago.
    pub bytes: u64,
    /// All headers.
    pub headers: HeaderMap,
    /// Swift's name for the request.
    pub transaction: Option<TransactionId>,
}

/// How the deletion of one of many objects ended.
#[derive(Clone, Debug)]
pub enum DeleteOutcome {
    /// It is not there any more, or never was.
    Gone,
    /// It may still be there.
    Failed(Error),
}

pub(crate) fn not_written<T>() -> Result<T> {
    Err(Error::new(ErrorKind::Invalid, "not written"))
}

impl Client {
    /// Checks the options. No request is made and nothing waits: a cluster that is down is found by the first call.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for URLs, headers and certificates that cannot be read.
    pub fn new(options: Options) -> Result<Client> {
        Ok(Client(Arc::new(options)))
    }

    /// What the cluster can do. Remembered for ten minutes; a failure is not remembered.
    pub async fn capabilities(&self) -> Result<Arc<Capabilities>> {
        not_written()
    }

    /// Makes sure that there is a session. Every other call does so by itself.
    pub async fn authenticate(&self) -> Result<Session> {
        not_written()
    }

    /// A container by name; no request is made.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] unless the name has 1 to 256 bytes and no `/`.
    pub fn container(&self, name: &str) -> Result<Container> {
        Ok(Container { client: self.clone(), name: name.into() })
    }

    /// Deletes objects of one container: by bulk delete where the cluster has it, else one by one. The answer has one
    /// outcome per name, in the order of `names`.
    pub async fn bulk_delete(
        &self,
        _container: &str,
        _names: &[String],
    ) -> Result<Vec<(String, DeleteOutcome)>> {
        not_written()
    }

    /// Headers and counts of the account.
    pub async fn account_head(&self) -> Result<AccountInfo> {
        not_written()
    }

    /// Sets headers of the account, e.g. `X-Account-Meta-Temp-Url-Key`.
    pub async fn account_post(&self, _headers: &HeaderMap) -> Result<()> {
        not_written()
    }
}
