//! Where else the bytes of a digest may lie: the other site, a disk cache, a backup.

use std::sync::Arc;

use bytes::Bytes;
use wharfinger_oci::Digest;
use wharfinger_oci::manifest::MAX_MANIFEST_SIZE;
use wharfinger_registry::{Registry, cached_copy, layout};
use wharfinger_store::{Key, Object, ObjectData, Operation, RemoteReader, Store, StoreError, StoreErrorKind};

use crate::prove::{Pace, hash};

/// Bytes of a file that are read at a time.
const BLOCK: u64 = 1024 * 1024;

/// A place that may have an intact copy.
#[derive(Clone)]
pub struct Source {
    /// What it is called in reports.
    pub name: String,
    store: Arc<dyn Store>,
    key: fn(&Digest) -> Key,
}

impl Source {
    /// A store in the registry's own layout: the other site, or a backup.
    pub fn registry(name: impl Into<String>, store: Arc<dyn Store>) -> Source {
        Source { name: name.into(), store, key: layout::blob_data }
    }

    /// The directory of a disk cache.
    pub fn cache(name: impl Into<String>, store: Arc<dyn Store>) -> Source {
        Source { name: name.into(), store, key: cached_copy }
    }

    /// The store, to ask for links: caches have none.
    pub fn links(&self) -> Option<&dyn Store> {
        let has_links = std::ptr::fn_addr_eq(self.key, layout::blob_data as fn(&Digest) -> Key);
        has_links.then_some(&*self.store)
    }

    /// Whether it has a copy that is what the digest says; reads it whole.
    pub async fn is_intact(&self, digest: &Digest, pace: &Pace) -> bool {
        let key = (self.key)(digest);
        let Ok(object) = self.store.open(&key).await else { return false };
        let hashed = hash(&key, &object, digest.algorithm(), pace).await;
        hashed.is_ok_and(|(found, _)| found == *digest)
    }

    /// Opens the copy; what it holds is to be proved by whoever reads it.
    pub(crate) async fn open(&self, digest: &Digest) -> Result<Object, StoreError> {
        self.store.open(&(self.key)(digest)).await
    }

    /// The bytes of a manifest, if this place has them and they are what the digest says.
    pub(crate) async fn manifest(&self, digest: &Digest) -> Option<Bytes> {
        let bytes = self.store.get(&(self.key)(digest), MAX_MANIFEST_SIZE).await.ok()?;
        (Digest::of(digest.algorithm(), &bytes) == *digest).then_some(bytes)
    }
}

/// The first of several places that has an intact copy.
pub async fn find<'a>(sources: &'a [Source], digest: &Digest, pace: &Pace) -> Option<&'a Source> {
    for source in sources {
        if source.is_intact(digest, pace).await {
            return Some(source);
        }
    }
    None
}

/// The bytes of an object, in order.
pub(crate) struct Pieces {
    object: Object,
    reader: Option<Box<dyn RemoteReader>>,
    at: u64,
}

impl Pieces {
    pub(crate) fn of(object: Object) -> Pieces {
        Pieces { object, reader: None, at: 0 }
    }

    /// The next bytes; none after the last.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        if self.at >= self.object.size {
            return Ok(None);
        }
        let size = self.object.size;
        let piece = match &self.object.data {
            ObjectData::Bytes(bytes) => bytes.clone(),
            ObjectData::File(file) => {
                let (file, at) = (file.clone(), self.at);
                let length = usize::try_from(BLOCK.min(size - at)).unwrap_or(usize::MAX);
                let read = move || {
                    let mut buffer = vec![0; length];
                    file.read_exact_at(&mut buffer, at).map(|()| Bytes::from(buffer))
                };
                let read = tokio::task::spawn_blocking(read).await;
                let read = read.unwrap_or_else(|panic| Err(std::io::Error::other(panic)));
                read.map_err(|error| StoreError::io(Operation::Read, &layout::blobs(), error))?
            }
            ObjectData::Remote(remote) => {
                if self.reader.is_none() {
                    self.reader = Some(remote.read(0..size).await?);
                }
                let next = match &mut self.reader {
                    Some(reader) => reader.next().await?,
                    None => None,
                };
                next.ok_or_else(|| {
                    let reason = "the copy ended early";
                    StoreError::new(StoreErrorKind::Invalid, Operation::Read, &layout::blobs(), reason)
                })?
            }
        };
        self.at += piece.len() as u64;
        Ok(Some(piece))
    }
}

/// Who uploads what is healed: an upload session has to belong to somebody.
const IDENTITY: &str = "wharfinger heal";

/// Copies a blob into the registry as a push would: hashed on its way, visible only when its digest is right.
///
/// # Errors
/// The copy could not be read or is not what the digest says, or the store could not be written.
pub(crate) async fn copy_blob(
    source: &Source,
    registry: &Registry,
    name: &wharfinger_oci::RepositoryName,
    digest: &Digest,
    pace: &Pace,
) -> wharfinger_registry::Result<u64> {
    let object = source.open(digest).await?;
    let size = object.size;
    // Whatever stands there is not taken for the blob.
    registry.withhold(digest).await?;
    let mut upload = registry.single_upload(name, IDENTITY, digest.algorithm())?;
    upload.announce(*digest, size);
    let mut pieces = Pieces::of(object);
    loop {
        match pieces.next().await {
            Ok(Some(piece)) => {
                pace.spend(piece.len() as u64).await;
                upload.write(piece).await?;
            }
            Ok(None) => break,
            Err(error) => {
                upload.abandon().await?;
                return Err(error.into());
            }
        }
    }
    upload.finish(*digest).await?;
    Ok(size)
}
