//! One container: its headers, its counts and its container sync.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method};

use crate::call::{Call, SMALL, Target};
use crate::object::{header, number};
use crate::{Client, Error, ErrorKind, Result, Secret, TransactionId};

/// A container of the client's account. Clones are cheap.
#[derive(Clone, Debug)]
pub struct Container {
    pub(crate) client: Client,
    pub(crate) name: Arc<str>,
}

/// What Swift says about a container.
#[derive(Clone, Debug)]
pub struct ContainerInfo {
    /// Objects, as counted a while ago.
    pub objects: u64,
    /// Bytes, as counted a while ago; of a large object its manifest alone.
    pub bytes: u64,
    /// Where container sync copies it to (`X-Container-Sync-To`), seen by owners alone.
    pub sync_to: Option<String>,
    /// The storage policy, e.g. `Policy-0`.
    pub policy: Option<String>,
    /// All headers.
    pub headers: HeaderMap,
    /// Swift's name for the request.
    pub transaction: Option<TransactionId>,
}

impl Container {
    /// The container's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The client that it belongs to.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Makes the container with these headers, or sets them where it is there already. `X-Storage-Policy` can only be
    /// chosen for one that is not there.
    pub async fn create(&self, headers: &HeaderMap) -> Result<()> {
        let mut call = self.call(Method::PUT);
        call.headers = headers.clone();
        self.client.inner.fetch(&call, SMALL).await.map(drop)
    }

    /// Headers and counts.
    pub async fn info(&self) -> Result<ContainerInfo> {
        let answer = self.client.inner.fetch(&self.call(Method::HEAD), 0).await?;
        Ok(ContainerInfo {
            objects: number(&answer.headers, "x-container-object-count").unwrap_or_default(),
            bytes: number(&answer.headers, "x-container-bytes-used").unwrap_or_default(),
            sync_to: header(&answer.headers, "x-container-sync-to"),
            policy: header(&answer.headers, "x-storage-policy"),
            transaction: answer.transaction(),
            headers: answer.headers,
        })
    }

    /// Sets headers, e.g. `X-Container-Meta-*`, `X-Container-Read`. Others stay as they are; an empty value removes.
    pub async fn set(&self, headers: &HeaderMap) -> Result<()> {
        let mut call = self.call(Method::POST);
        call.headers = headers.clone();
        self.client.inner.fetch(&call, SMALL).await.map(drop)
    }

    /// Copies every change of the container to another cluster: `to` is `//realm/cluster/account/container`, `key` the
    /// secret that the other container was given too. Deletions are copied as well.
    ///
    /// Source: <https://docs.openstack.org/swift/latest/overview_container_sync.html>.
    pub async fn set_sync(&self, to: &str, key: &Secret) -> Result<()> {
        let mut headers = HeaderMap::new();
        headers.insert("x-container-sync-to", value("X-Container-Sync-To", to)?);
        let mut key = value("X-Container-Sync-Key", key.expose())?;
        key.set_sensitive(true);
        headers.insert("x-container-sync-key", key);
        self.set(&headers).await
    }

    /// Ends container sync from this container.
    pub async fn clear_sync(&self) -> Result<()> {
        let mut headers = HeaderMap::new();
        headers.insert("x-container-sync-to", HeaderValue::from_static(""));
        headers.insert("x-container-sync-key", HeaderValue::from_static(""));
        self.set(&headers).await
    }

    /// Removes the empty container. False if there was none.
    ///
    /// # Errors
    /// [`ErrorKind::NotEmpty`] where it has objects.
    pub async fn remove(&self) -> Result<bool> {
        match self.client.inner.fetch(&self.call(Method::DELETE), SMALL).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) if error.kind() == ErrorKind::Superseded => Err(error.of_kind(ErrorKind::NotEmpty)),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn call(&self, method: Method) -> Call {
        self.client.call(method, Target::Container(Arc::clone(&self.name)))
    }

    pub(crate) fn object_call(&self, method: Method, name: &str) -> Result<Call> {
        crate::url::check_object(name)?;
        Ok(self.client.call(method, Target::Object(Arc::clone(&self.name), name.to_owned())))
    }
}

/// Text as a header's value.
pub(crate) fn value(what: &str, text: &str) -> Result<HeaderValue> {
    HeaderValue::from_str(text)
        .map_err(|_| Error::new(ErrorKind::Invalid, format!("{what}: not a header's value")))
}
