//! The session with a cluster.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::auth::Authenticator;
use crate::call::{Call, Target};
use crate::object::number;
use crate::permits::Permits;
use crate::retry::Bucket;
use crate::transport::Transport;
use crate::url::{Base, check_container};
use crate::{Capabilities, Container, Options, Result, TransactionId};

/// For how long `/info` is believed.
const INFO_LIFE: Duration = Duration::from_secs(600);
/// Most bytes of `/info`.
const INFO_SIZE: usize = 1024 * 1024;

/// A client of one account. Clones share the session, the connections and the budget of retries.
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) options: Options,
    pub(crate) transport: Arc<Transport>,
    pub(crate) auth: Arc<Authenticator>,
    pub(crate) permits: Permits,
    pub(crate) bucket: Arc<Bucket>,
    info: Mutex<Option<(Instant, Arc<Capabilities>)>>,
}

/// A session with the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
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

impl Client {
    /// Checks the options. No request is made and nothing waits: a cluster that is down is found by the first call.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) for URLs, headers and certificates that cannot be read.
    pub fn new(options: Options) -> Result<Client> {
        let transport = Arc::new(Transport::new(&options)?);
        let bucket = Arc::new(Bucket::new(options.retry.tokens));
        let auth = Authenticator::new(&options, Arc::clone(&transport), Arc::clone(&bucket))?;
        let permits = Permits::new(options.connections);
        let info = Mutex::default();
        Ok(Client { inner: Arc::new(Inner { options, transport, auth, permits, bucket, info }) })
    }

    /// Makes sure that there is a session. Every other call does so by itself.
    ///
    /// # Errors
    /// [`Unauthorized`](crate::ErrorKind::Unauthorized) where the credentials are wrong; the message says where and as
    /// whom.
    pub async fn authenticate(&self) -> Result<Session> {
        let token = self.inner.auth.token().await?;
        Ok(Session {
            storage_url: token.storage.to_string(),
            expires_in: token.expires.map(|expires| expires.saturating_duration_since(Instant::now())),
        })
    }

    /// What the cluster can do. Remembered for ten minutes; a failure is not remembered.
    pub async fn capabilities(&self) -> Result<Arc<Capabilities>> {
        if let Some((at, info)) = &*self.inner.info.lock()
            && at.elapsed() < INFO_LIFE
        {
            return Ok(Arc::clone(info));
        }
        let call = self.call(Method::GET, Target::Info);
        let answer = self.inner.fetch(&call, INFO_SIZE).await?;
        let info = Capabilities::parse(&answer.body).map_err(|error| call.name(error))?;
        let info = Arc::new(info);
        *self.inner.info.lock() = Some((Instant::now(), Arc::clone(&info)));
        Ok(info)
    }

    /// A container by name; no request is made.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) unless the name has 1 to 256 bytes and no `/`.
    pub fn container(&self, name: &str) -> Result<Container> {
        check_container(name)?;
        Ok(Container { client: self.clone(), name: name.into() })
    }

    /// Headers and counts of the account.
    pub async fn account_head(&self) -> Result<AccountInfo> {
        let call = self.call(Method::HEAD, Target::Account);
        let answer = self.inner.fetch(&call, 0).await?;
        let count = |name: &str| number(&answer.headers, name).unwrap_or_default();
        Ok(AccountInfo {
            containers: count("x-account-container-count"),
            objects: count("x-account-object-count"),
            bytes: count("x-account-bytes-used"),
            transaction: answer.transaction(),
            headers: answer.headers,
        })
    }

    /// Sets headers of the account, e.g. `X-Account-Meta-Temp-Url-Key`. Others stay as they are; an empty value
    /// removes.
    pub async fn account_post(&self, headers: &HeaderMap) -> Result<()> {
        let mut call = self.call(Method::POST, Target::Account);
        call.headers = headers.clone();
        self.inner.fetch(&call, crate::call::SMALL).await.map(drop)
    }

    /// A call with the usual time.
    pub(crate) fn call(&self, method: Method, target: Target) -> Call {
        let limit = self.inner.options.timeouts.head;
        Call { method, target, query: String::new(), headers: HeaderMap::new(), body: Bytes::new(), limit }
    }

    /// Where the account is.
    pub(crate) async fn storage(&self) -> Result<Base> {
        self.inner.auth.token().await.map(|token| token.storage.clone())
    }
}
