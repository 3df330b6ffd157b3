//! Where the bytes of a blob are read: memory, the disk cache, a fetch that is under way, or the store.

use std::sync::Arc;
use std::time::Instant;

use wharfinger_oci::Digest;
use wharfinger_store::Operation;

use super::{Blob, Content, HASHED_ON_LOOK, Readable};
use crate::error::Result;
use crate::layout;
use crate::registry::Registry;
use crate::turns::waited_in_vain;

impl Registry {
    /// A blob for a pull. Many who ask at once for what is not at hand make the store be asked once.
    pub(super) async fn find_data(&self, digest: &Digest) -> Result<Option<Blob>> {
        if let Some(blob) = self.at_hand(digest).await {
            return Ok(Some(blob));
        }
        if !self.inner.shape.remote {
            return self.open_data(digest).await;
        }
        let (arrived, flight) = (Instant::now(), self.inner.blob_flights.join(*digest));
        let look = async {
            match self.at_hand(digest).await {
                Some(blob) => Ok(Some(blob)),
                None => self.open_data(digest).await,
            }
        };
        match flight.share(look).await {
            Some(found) => Ok(found?.map(|blob| Blob { flight: Some(flight), ..blob })),
            None => {
                waited_in_vain(arrived, Operation::Open, &layout::blob_data(digest))?;
                self.open_data(digest).await
            }
        }
    }

    /// A blob that the store need not be asked for.
    async fn at_hand(&self, digest: &Digest) -> Option<Blob> {
        if let Some(bytes) = self.inner.caches.small_blobs.get(digest) {
            return Some(Blob::new(*digest, bytes.len() as u64, Content::Memory(bytes)));
        }
        match self.open_cached(digest).await {
            None => self.open_filling(digest),
            found => found,
        }
    }

    /// The copy in the disk cache.
    pub(super) async fn open_cached(&self, digest: &Digest) -> Option<Blob> {
        let cache = self.inner.disk.as_ref()?;
        let size = cache.size_of(digest)?;
        if size > HASHED_ON_LOOK {
            let copy = cache.open_copy(digest).await?;
            return Some(Blob::new(*digest, size, Content::Cached(copy)));
        }
        let bytes = cache.read_copy(digest, self.inner.shape.small).await?;
        self.inner.caches.small_blobs.insert(*digest, bytes.clone());
        Some(Blob::new(*digest, bytes.len() as u64, Content::Memory(bytes)))
    }

    /// What is on its way into the disk cache, as the store showed it when that began.
    fn open_filling(&self, digest: &Digest) -> Option<Blob> {
        let fill = self.inner.disk.as_ref()?.fills().under_way(digest)?;
        let readable = Readable::Remote(fill.object.clone());
        let content = match &fill.index {
            Some(index) => Content::Indexed(readable, Arc::clone(index)),
            None => Content::Unindexed(readable),
        };
        Some(Blob::new(*digest, fill.size, content))
    }
}
