//! One container: its headers and what is done with its objects.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;

use crate::client::not_written;
use crate::{
    Client, Delete, Listing, ObjectInfo, ObjectReader, ObjectWriter, Page, Put, Read, Result, Stored,
    TransactionId,
};

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

    /// Makes the container with these headers, or sets them where it is there already.
    pub async fn create(&self, _headers: &HeaderMap) -> Result<()> {
        not_written()
    }

    /// Headers and counts.
    pub async fn info(&self) -> Result<ContainerInfo> {
        not_written()
    }

    /// Sets headers, e.g. `X-Container-Meta-*`.
    pub async fn set(&self, _headers: &HeaderMap) -> Result<()> {
        not_written()
    }

    /// Removes the empty container. False if there was none.
    pub async fn remove(&self) -> Result<bool> {
        not_written()
    }

    /// One page of the listing. Listings lag behind writes and may lack objects that can be read by name.
    pub async fn list(&self, _listing: &Listing) -> Result<Page> {
        not_written()
    }

    /// All pages of the listing from `listing.marker` on.
    pub fn pages(&self, _listing: Listing) -> impl futures::Stream<Item = Result<Page>> + Send + use<> {
        futures::stream::iter([not_written()])
    }

    /// Headers of an object.
    pub async fn head(&self, _name: &str, _read: &Read) -> Result<ObjectInfo> {
        not_written()
    }

    /// Opens an object for reading.
    pub async fn get(&self, _name: &str, _read: &Read) -> Result<ObjectReader> {
        not_written()
    }

    /// A whole small object, or a range of one, checked against its ETag where that is an MD5.
    pub async fn get_bytes(&self, _name: &str, _limit: usize, _read: &Read) -> Result<(ObjectInfo, Bytes)> {
        not_written()
    }

    /// Writes an object from memory.
    pub async fn put(&self, _name: &str, _bytes: Bytes, _put: &Put) -> Result<Stored> {
        not_written()
    }

    /// Begins to write an object piece by piece.
    pub async fn put_stream(&self, _name: &str, _length: Option<u64>, _put: &Put) -> Result<ObjectWriter> {
        not_written()
    }

    /// Replaces the metadata of an object.
    pub async fn post(&self, _name: &str, _headers: &HeaderMap) -> Result<()> {
        not_written()
    }

    /// Copies within the cluster.
    pub async fn copy(
        &self,
        _name: &str,
        _to: &Container,
        _to_name: &str,
        _raw_manifest: bool,
    ) -> Result<Stored> {
        not_written()
    }

    /// Deletes an object. False if there was none.
    pub async fn delete(&self, _name: &str, _delete: Delete) -> Result<bool> {
        not_written()
    }
}
