//! Objects in one container of OpenStack Swift, named as Distribution 2.8's driver names them.
//!
//! What is written small is a plain object; what is staged becomes segments under a prefix of its own and, at the end, a
//! static large object, or where the cluster has none a dynamic one with an exact list of its segments beside it
//! ([`segments`]). No read and no delete depends on a listing being complete.

mod error;
mod inventory;
mod list;
mod names;
mod remote;
mod segments;
mod signer;
mod stage;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use http::HeaderMap;
use wharfinger_swift::{Client, Container, ErrorKind, Manifest, ObjectInfo, Put, Read};

use crate::error::optional;
use crate::{
    Checkpoint, Delete, Direct, Durability, Key, List, Meta, Object, ObjectData, Operation, Page, Remote,
    Result, Shape, Signed, Staged, Store, StoreError, StoreErrorKind, Structure,
};
use names::Names;
use remote::{Content, SwiftObject};
use segments::{SegmentLists, Segments};
use signer::Signer;
pub use signer::Signing;

/// Requests of one call that go side by side, e.g. looks at many segments.
const PARALLEL: usize = 8;
/// Objects of at most this many bytes are held in memory and written whole.
const SMALL: usize = 4 * 1024 * 1024;
/// Bytes of the largest plain object, where `/info` does not say.
const LARGEST_OBJECT: u64 = 5 * 1024 * 1024 * 1024;

/// How staged objects are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum LargeObjects {
    /// Static where `/info` offers it, else dynamic.
    #[default]
    Auto,
    /// Static (SLO).
    Static,
    /// Dynamic (DLO).
    Dynamic,
}

/// Where and how objects are written.
#[derive(Clone, Debug)]
pub struct SwiftOptions {
    /// The container.
    pub container: String,
    /// Put before all names, as Distribution's `prefix`.
    pub prefix: String,
    /// Bytes of a segment.
    pub segment_size: u64,
    /// How staged objects are put together.
    pub large: LargeObjects,
    /// Whether anything may be written at all.
    pub writable: bool,
    /// How temporary URLs are made; none: not at all.
    pub signing: Option<Signing>,
}

/// A container as a store. Cheap to clone.
#[derive(Clone)]
pub struct Swift {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    client: Client,
    container: Container,
    names: Names,
    options: SwiftOptions,
    lists: SegmentLists,
    signer: Option<Signer>,
    /// Set once the container was seen.
    prepared: AtomicBool,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Swift").field("container", &self.options.container).finish_non_exhaustive()
    }
}

impl Swift {
    /// A store in a container. No request is made: the cluster may be down.
    ///
    /// # Errors
    /// A name that no container can have.
    pub fn new(client: Client, options: SwiftOptions) -> Result<Swift, wharfinger_swift::Error> {
        let container = client.container(&options.container)?;
        let names = Names::new(&options.prefix);
        let signer = options.signing.clone().map(Signer::new);
        let inner = Inner {
            client,
            container,
            names,
            options,
            lists: SegmentLists::default(),
            signer,
            prepared: AtomicBool::new(false),
        };
        Ok(Swift { inner: Arc::new(inner) })
    }

    /// Makes sure that the container is there, and makes it where that is allowed, as Distribution does at its start.
    /// The first write does so by itself.
    pub async fn prepare(&self) -> Result<(), wharfinger_swift::Error> {
        self.inner.prepare().await
    }
}

impl Inner {
    async fn prepare(&self) -> Result<(), wharfinger_swift::Error> {
        // Those who find Swift down do not wait for one another: each has its own time limit.
        if self.prepared.load(Ordering::Relaxed) {
            return Ok(());
        }
        match self.container.info().await {
            Err(error) if error.kind() == ErrorKind::NotFound && self.options.writable => {
                self.container.create(&HeaderMap::new()).await?;
            }
            other => drop(other?),
        }
        self.prepared.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// A name that can be read: without the container every object would seem to be absent.
    async fn readable(&self, operation: Operation, key: &Key) -> Result<()> {
        legal(operation, key)?;
        self.prepare().await.map_err(|failure| match failure.kind() {
            ErrorKind::NotFound => StoreError::new(StoreErrorKind::Denied, operation, key, failure),
            _ => error::of(operation, key, failure),
        })
    }

    /// Writes a whole object; the outer error is of what comes before.
    async fn put(&self, key: &Key, bytes: Bytes, how: &Put) -> Result<Result<(), wharfinger_swift::Error>> {
        legal(Operation::Put, key)?;
        self.prepare().await.map_err(|error| error::of(Operation::Put, key, error))?;
        let stored = self.container.put(&self.names.object(key), bytes, how).await;
        Ok(stored.map(drop))
    }

    /// Looks at an object; where it is not found, once more at all its copies.
    async fn look(&self, name: &str, newest: bool) -> Result<ObjectInfo, wharfinger_swift::Error> {
        match self.container.head(name, &Read { newest, ..Read::default() }).await {
            Err(error) if error.kind() == ErrorKind::NotFound && !newest => {
                self.container.head(name, &Read { newest: true, ..Read::default() }).await
            }
            other => other,
        }
    }

    /// What an object consists of.
    async fn content(
        self: &Arc<Inner>,
        operation: Operation,
        key: &Key,
        info: &ObjectInfo,
    ) -> Result<(u64, Content)> {
        match &info.manifest {
            Some(Manifest::Dlo { container, prefix }) => {
                let segments = self.segments(operation, key, container, prefix).await?;
                Ok((segments.size(), Content::Segments(segments)))
            }
            Some(Manifest::Slo) => Ok((info.size, Content::Static { etag: info.etag.clone() })),
            None => Ok((info.size, Content::Plain { etag: info.etag.clone() })),
        }
    }

    /// Reads a small object whole.
    async fn read_small(
        self: &Arc<Inner>,
        operation: Operation,
        key: &Key,
        limit: usize,
        newest: bool,
    ) -> Result<(Bytes, Option<SystemTime>)> {
        let name = self.names.object(key);
        let mut read = Read { newest, ..Read::default() };
        let mut result = self.container.get_bytes(&name, limit, &read).await;
        if !newest && matches!(&result, Err(error) if error.kind() == ErrorKind::NotFound) {
            read.newest = true;
            result = self.container.get_bytes(&name, limit, &read).await;
        }
        let (info, bytes) = result.map_err(|error| error::of(operation, key, error))?;
        // What Swift answered for a dynamic large object is what a listing showed.
        let Some(Manifest::Dlo { .. }) = &info.manifest else { return Ok((bytes, modified(&info))) };
        let (size, content) = self.content(operation, key, &info).await?;
        if size > limit as u64 {
            return Err(too_large(operation, key, size, limit));
        }
        let object = SwiftObject::new(self.clone(), key.clone(), content, modified(&info));
        let mut whole = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        let mut reader = object.read(0..size).await?;
        while let Some(piece) = reader.next().await? {
            whole.extend_from_slice(&piece);
        }
        Ok((whole.into(), modified(&info)))
    }

    fn meta(info: &ObjectInfo, size: u64) -> Meta {
        Meta { size, modified: modified(info) }
    }

    /// Whether staged objects become static large objects.
    async fn writes_static(&self, segments: usize) -> Result<bool, wharfinger_swift::Error> {
        let limits = match self.options.large {
            LargeObjects::Dynamic => return Ok(false),
            LargeObjects::Static => return Ok(true),
            LargeObjects::Auto => self.client.capabilities().await?.slo,
        };
        Ok(limits.is_some_and(|limits| segments <= limits.max_segments))
    }
}

fn modified(info: &ObjectInfo) -> Option<SystemTime> {
    info.timestamp.or(info.last_modified)
}

fn too_large(operation: Operation, key: &Key, size: u64, limit: usize) -> StoreError {
    let reason = format!("it has {size} bytes, expected at most {limit}");
    StoreError::new(StoreErrorKind::Invalid, operation, key, reason)
}

fn legal(operation: Operation, key: &Key) -> Result<()> {
    match key.is_legal() {
        true => Ok(()),
        false => Err(StoreError::new(StoreErrorKind::Invalid, operation, key, "not a name of an object")),
    }
}

#[async_trait]
impl Store for Swift {
    fn name(&self) -> &'static str {
        "swift"
    }

    fn shape(&self) -> Shape {
        Shape { small: SMALL, checkpoint_every: self.inner.options.segment_size, remote: true }
    }

    async fn get(&self, key: &Key, limit: usize) -> Result<Bytes> {
        self.inner.readable(Operation::Get, key).await?;
        Ok(self.inner.read_small(Operation::Get, key, limit, false).await?.0)
    }

    async fn get_newest(&self, key: &Key, limit: usize) -> Result<(Bytes, Option<SystemTime>)> {
        self.inner.readable(Operation::Get, key).await?;
        self.inner.read_small(Operation::Get, key, limit, true).await
    }

    async fn open(&self, key: &Key) -> Result<Object> {
        self.inner.readable(Operation::Open, key).await?;
        let info = self.inner.look(&self.inner.names.object(key), false).await;
        let info = info.map_err(|error| error::of(Operation::Open, key, error))?;
        let (size, content) = self.inner.content(Operation::Open, key, &info).await?;
        let object = SwiftObject::new(self.inner.clone(), key.clone(), content, modified(&info));
        Ok(Object { size, data: ObjectData::Remote(Arc::new(object)) })
    }

    async fn head(&self, key: &Key) -> Result<Meta> {
        self.inner.readable(Operation::Head, key).await?;
        let info = self.inner.look(&self.inner.names.object(key), true).await;
        let info = info.map_err(|error| error::of(Operation::Head, key, error))?;
        let size = match &info.manifest {
            Some(Manifest::Dlo { .. }) => self.inner.content(Operation::Head, key, &info).await?.0,
            _ => info.size,
        };
        Ok(Inner::meta(&info, size))
    }

    async fn check(&self, key: &Key) -> Result<Meta> {
        self.inner.readable(Operation::Head, key).await?;
        let info = self.inner.look(&self.inner.names.object(key), true).await;
        let info = info.map_err(|error| error::of(Operation::Head, key, error))?;
        let (size, content) = self.inner.content(Operation::Head, key, &info).await?;
        let segments = match content {
            Content::Plain { .. } => return Ok(Inner::meta(&info, size)),
            Content::Static { .. } => Arc::new(self.inner.static_segments(Operation::Head, key).await?),
            Content::Segments(segments) => segments,
        };
        self.inner.compare(Operation::Head, key, &segments).await?;
        Ok(Inner::meta(&info, size))
    }

    async fn inspect(&self, key: &Key) -> Result<Structure> {
        self.structure(key).await
    }

    async fn signed_url(&self, key: &Key, life: Duration) -> Result<Signed> {
        self.inner.readable(Operation::Head, key).await?;
        self.sign(key, life).await
    }

    async fn put(&self, key: &Key, bytes: Bytes, _durability: Durability) -> Result<()> {
        let stored = self.inner.put(key, bytes, &Put::default()).await?;
        stored.map_err(|error| error::of(Operation::Put, key, error))
    }

    async fn put_new(&self, key: &Key, bytes: Bytes, _durability: Durability) -> Result<bool> {
        match self.inner.put(key, bytes, &Put { if_none_match: true, ..Put::default() }).await? {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::Precondition => Ok(false),
            Err(error) => Err(error::of(Operation::Put, key, error)),
        }
    }

    async fn delete(&self, key: &Key, _options: Delete) -> Result<bool> {
        legal(Operation::Delete, key)?;
        let name = self.inner.names.object(key);
        let deleted = self.inner.container.delete(&name, wharfinger_swift::Delete::default()).await;
        deleted.map_err(|error| error::of(Operation::Delete, key, error))
    }

    async fn list(&self, prefix: &Key, options: List) -> Result<Page> {
        self.inner.readable(Operation::List, prefix).await?;
        self.page(prefix, &options).await
    }

    async fn list_holding(&self, prefix: &Key, leaf: &str, options: List) -> Result<Page> {
        self.inner.readable(Operation::List, prefix).await?;
        self.page_holding(prefix, leaf, &options).await
    }

    async fn sizes(&self, keys: &[Key]) -> Result<Vec<Option<u64>>> {
        let looks =
            keys.iter().map(|key| async move { Ok(optional(self.head(key).await)?.map(|found| found.size)) });
        // Named, since the compiler cannot see that the futures of a borrowed iterator are `Send`.
        let looks: Vec<futures::future::BoxFuture<'_, Result<Option<u64>>>> =
            looks.map(|look| Box::pin(look) as _).collect();
        stream::iter(looks).buffered(PARALLEL).try_collect().await
    }

    async fn write(&self, key: &Key, length: u64) -> Result<Option<Box<dyn Direct>>> {
        legal(Operation::Put, key)?;
        let failed = |failure| error::of(Operation::Put, key, failure);
        self.inner.prepare().await.map_err(failed)?;
        let largest = self.inner.client.capabilities().await.ok().and_then(|known| known.max_file_size);
        if length > largest.unwrap_or(LARGEST_OBJECT) {
            return Ok(None);
        }
        let name = self.inner.names.object(key);
        let writer = self.inner.container.put_stream(&name, Some(length), &Put::default()).await;
        Ok(Some(Box::new(stage::SwiftDirect::new(key.clone(), writer.map_err(failed)?))))
    }

    async fn stage(&self, key: &Key, resume: Option<&Checkpoint>) -> Result<Box<dyn Staged>> {
        legal(Operation::Stage, key)?;
        let parts = resume.map(|checkpoint| checkpoint.parts.clone()).unwrap_or_default();
        let length: u64 = parts.iter().map(|part| part.size).sum();
        let expected = resume.map_or(0, |checkpoint| checkpoint.length);
        if length != expected {
            let reason = format!("its segments hold {length} bytes, its checkpoint says {expected}");
            return Err(StoreError::new(StoreErrorKind::Invalid, Operation::Stage, key, reason));
        }
        if !parts.is_empty() {
            // One look by name: a session whose segments were swept has nothing to go on with.
            let last = Segments::staged(&self.inner, key, &parts);
            self.inner.compare_last(Operation::Stage, key, &last).await?;
        }
        self.inner.prepare().await.map_err(|failure| error::of(Operation::Stage, key, failure))?;
        Ok(Box::new(stage::SwiftStage::new(self.inner.clone(), key.clone(), parts)))
    }

    async fn consists_of(&self, published: &Key, key: &Key) -> Result<bool> {
        legal(Operation::Head, published)?;
        self.inner.consists_of(published, key).await
    }

    async fn discard(&self, key: &Key, checkpoint: &Checkpoint, published: Option<&Key>) -> Result<()> {
        legal(Operation::Delete, key)?;
        self.inner.discard(key, checkpoint, published).await
    }
}
