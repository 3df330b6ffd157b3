//! A whole blob on its way into the cache: proved by its digest, and chunk by chunk where there is an index. Each piece is
//! hashed and handed on while the processor still has it at hand; whoever takes it may not believe it before its chunk has
//! ended. Takes nothing of the byte budget, which slow readers may hold.

use bytes::Bytes;
use wharfinger_oci::{Digest, Hasher};
use wharfinger_store::{RemoteReader, StoreError};

use super::Wanted;
use crate::blob::chunk_index::{CHUNK, ChunkIndex, ChunkIndexer};
use crate::blob::remote::{ended_early, read_failed};
use crate::blob::verified::BodyError;
use crate::damaged::Damage;
use crate::registry::Registry;

pub(super) struct Whole {
    registry: Registry,
    wanted: Wanted,
    reader: Option<Box<dyn RemoteReader>>,
    /// What came with the last piece and belongs to the next chunk.
    rest: Bytes,
    at: u64,
    hasher: Hasher,
    indexer: ChunkIndexer,
    /// The chunk index, once all was proved.
    made: Option<ChunkIndex>,
}

/// The next bytes.
pub(super) struct Came {
    pub(super) bytes: Bytes,
    /// Where a chunk ends with them and is good: its checksum.
    pub(super) checksum: Option<u32>,
}

impl Whole {
    pub(super) fn new(registry: &Registry, wanted: Wanted) -> Whole {
        let hasher = Hasher::new(wanted.digest.algorithm());
        let (registry, indexer) = (registry.clone(), ChunkIndexer::new());
        Whole { registry, wanted, reader: None, rest: Bytes::new(), at: 0, hasher, indexer, made: None }
    }

    fn digest(&self) -> Digest {
        self.wanted.digest
    }

    /// The next piece, which lies in one chunk; none after the last.
    pub(super) async fn next(&mut self) -> Result<Option<Came>, BodyError> {
        if self.at == self.wanted.size {
            return Ok(None);
        }
        let bytes = self
            .piece()
            .await
            .map_err(|source| read_failed(&self.registry, self.digest(), &*self.wanted.object, source))?;
        self.hasher.update(&bytes);
        self.indexer.update(&bytes);
        self.at += bytes.len() as u64;
        let ends = self.at.is_multiple_of(CHUNK) || self.at == self.wanted.size;
        let checksum = if ends { Some(self.end_chunk().await?) } else { None };
        Ok(Some(Came { bytes, checksum }))
    }

    async fn piece(&mut self) -> Result<Bytes, StoreError> {
        let size = self.wanted.size;
        if self.reader.is_none() {
            self.reader = Some(self.wanted.object.read(0..size).await?);
        }
        let Some(reader) = &mut self.reader else { unreachable!("was opened above") };
        while self.rest.is_empty() {
            self.rest = reader.next().await?.ok_or_else(ended_early)?;
        }
        let left = (CHUNK - self.at % CHUNK).min(size - self.at);
        let taken = usize::try_from(left).unwrap_or(usize::MAX).min(self.rest.len());
        Ok(self.rest.split_to(taken))
    }

    /// The checksum of the chunk that ends here, where the chunk is good as far as can be told: the last one proves all.
    async fn end_chunk(&mut self) -> Result<u32, BodyError> {
        let (digest, start) = (self.digest(), (self.at - 1) / CHUNK * CHUNK);
        let mut checksum = self.indexer.complete().last().copied();
        let mut good = true;
        if self.at == self.wanted.size {
            let index = std::mem::take(&mut self.indexer).finish();
            checksum = index.checksum(start / CHUNK);
            good = self.hasher.clone().finish() == digest;
            self.made = Some(index);
        }
        if let Some(index) = &self.wanted.index {
            good = good && index.checksum(start / CHUNK) == checksum;
        }
        let Some(checksum) = checksum.filter(|_| good) else {
            let origin = match &self.reader {
                Some(reader) => reader.origin(start..self.at).await,
                None => String::new(),
            };
            let damage = Damage::Read(self.wanted.object.modified());
            self.registry.mark_damaged(&digest, damage, &origin);
            return Err(BodyError::Damaged { digest, at: start });
        };
        if let (Some(index), None) = (&self.made, &self.wanted.index) {
            self.registry.keep_index_later(digest, index.clone(), Some(self.wanted.object.clone()));
        }
        Ok(checksum)
    }

    /// The chunk index of the blob, after the last piece.
    pub(super) fn finish(self) -> Option<ChunkIndex> {
        self.made
    }
}
