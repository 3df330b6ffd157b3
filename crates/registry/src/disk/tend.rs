//! What an operator does with the cache: verify it, empty it, fill it before it is needed, ask what it is worth.

use std::collections::HashSet;

use bytes::Bytes;
use wharfinger_oci::{Digest, Manifest, Reference, RepositoryName};
use wharfinger_store::{Delete, Durability, Key, ObjectData, Store, StoreError};

use super::{DiskCache, Filling, Progress, data};
use crate::error::{Error, Result};
use crate::registry::Registry;

/// Most manifests below one image; beyond that it is no image.
const MOST: usize = 10_000;

/// How a look at every copy ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Copies that are what they were filled with.
    pub good: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Copies that were not, and were dropped.
    pub dropped: u64,
}

/// What filling the cache with an image did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Warmed {
    /// Manifests and blobs of the image.
    pub objects: u64,
    /// Those that were fetched now.
    pub fetched: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// Those that are not kept: larger than the cache allows, or the disk refused.
    pub refused: u64,
}

/// Of the images that were pulled lately, how many could be pulled without the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Servable {
    /// Images that were pulled by a tag or digest that is still in mind.
    pub images: u64,
    /// Those of which everything is at hand.
    pub whole: u64,
}

impl DiskCache {
    fn digests(&self) -> Vec<Digest> {
        self.inner.entries.lock().iter().map(|(digest, _)| *digest).collect()
    }

    /// Whether the directory takes a file and gives it back.
    ///
    /// # Errors
    /// What the disk said.
    pub async fn try_write(&self) -> std::result::Result<(), StoreError> {
        let (store, key) = (self.store(), Key::new("probe").join(&uuid::Uuid::new_v4().to_string()));
        store.put(&key, Bytes::from_static(b"written to see whether it can be"), Durability::Lazy).await?;
        store.get(&key, 64).await?;
        store.delete(&key, Delete { prune_parents: 1 }).await.map(drop)
    }

    /// Reads every copy and drops what is damaged.
    pub async fn verify(&self) -> Verified {
        let mut verified = Verified::default();
        for digest in self.digests() {
            let Some(size) = self.size_of(&digest) else { continue };
            if self.is_good(&digest, size).await {
                verified.good += 1;
                verified.bytes += size;
            } else if self.has(&digest) {
                self.drop_damaged(&digest).await;
                verified.dropped += 1;
            }
        }
        verified
    }

    /// By its digest: the copy of a large blob has checksums too, but nobody waits here.
    async fn is_good(&self, digest: &Digest, size: u64) -> bool {
        let Ok(opened) = self.store().open(&data(digest)).await else { return false };
        let ObjectData::File(file) = opened.data else { return false };
        let digest = *digest;
        let hash = move || {
            let mut hasher = wharfinger_oci::Hasher::new(digest.algorithm());
            crate::blob::verified::read_pieces(&file, 0, size, |piece| hasher.update(piece))?;
            std::io::Result::Ok(file.size() == size && hasher.finish() == digest)
        };
        tokio::task::spawn_blocking(hash).await.is_ok_and(|hashed| hashed.unwrap_or(false))
    }

    /// The length of the copy of a digest, and whether its bytes have that digest; none where there is no copy. Drops
    /// nothing.
    pub(crate) async fn look(&self, digest: &Digest) -> Option<(u64, bool)> {
        let size = self.size_of(digest)?;
        let good = self.is_good(digest, size).await;
        // What was dropped meanwhile is no damage.
        self.size_of(digest).map(|_| (size, good))
    }

    /// Drops every copy. Says how many there were.
    pub async fn flush(&self) -> u64 {
        let mut dropped = 0;
        for digest in self.digests() {
            dropped += u64::from(self.forget(&digest).await);
        }
        dropped
    }
}

impl Registry {
    /// Fetches an image into the disk cache: its manifest, those below it, config and layers.
    ///
    /// # Errors
    /// [`crate::Error::ManifestUnknown`], [`crate::Error::BlobUnknown`]; [`crate::Error::Store`] where the store fails.
    pub async fn warm(&self, name: &RepositoryName, reference: &Reference) -> Result<Warmed> {
        let Some(cache) = self.disk_cache().cloned() else { return Ok(Warmed::default()) };
        let mut warmed = Warmed::default();
        let mut waiting = vec![reference.clone()];
        let mut seen = HashSet::new();
        while let Some(reference) = waiting.pop() {
            let pulled = self.pull_manifest(name, &reference).await;
            if let Err(Error::ManifestUnknown(..)) = &pulled {
                cache.forget_pulls(name, &reference);
            }
            let manifest = pulled?.manifest;
            if !seen.insert(manifest.digest) || seen.len() > MOST {
                continue;
            }
            let fresh = !cache.has(&manifest.digest);
            cache.keep_bytes(&manifest.digest, manifest.bytes.clone()).await;
            warmed.add(&cache, &manifest.digest, fresh, manifest.bytes.len() as u64);
            let Ok(parsed) = Manifest::parse_stored(&manifest.bytes) else { continue };
            waiting.extend(parsed.manifests.iter().map(|child| Reference::Digest(child.digest)));
            for blob in parsed.required_blobs().filter(|blob| seen.insert(blob.digest)) {
                let fresh = !cache.has(&blob.digest);
                if fresh {
                    self.warm_blob(&cache, name, &blob.digest).await?;
                }
                warmed.add(&cache, &blob.digest, fresh, blob.size);
            }
        }
        Ok(warmed)
    }

    async fn warm_blob(&self, cache: &DiskCache, name: &RepositoryName, digest: &Digest) -> Result<()> {
        let blob = self.blob(name, digest).await?;
        if let Some(bytes) = blob.in_memory() {
            cache.keep_bytes(digest, bytes).await;
            return Ok(());
        }
        let Filling::UnderWay(fill) = self.fill_blob(&blob) else { return Ok(()) };
        let mut progress = fill.watch();
        let ended = |progress: &Progress| matches!(progress, Progress::Kept(_) | Progress::GivenUp);
        // The fetch lives as long as this handle.
        let _ = progress.wait_for(ended).await;
        Ok(())
    }

    /// How many of the images that were pulled lately could be pulled with the store gone.
    pub async fn servable(&self) -> Servable {
        let mut servable = Servable::default();
        let (Some(cache), Some(recall)) = (self.disk_cache(), &self.inner.recall) else { return servable };
        for digest in recall.pulled_manifests() {
            servable.images += 1;
            servable.whole += u64::from(self.is_whole(cache, digest).await);
        }
        servable
    }

    /// Whether a manifest and everything below it is at hand; of an index, whatever was pulled of it.
    async fn is_whole(&self, cache: &DiskCache, digest: Digest) -> bool {
        let Some(bytes) = cache.read_copy(&digest, wharfinger_oci::manifest::MAX_MANIFEST_SIZE).await else {
            return false;
        };
        let Ok(manifest) = Manifest::parse_stored(&bytes) else { return false };
        if !manifest.manifests.is_empty() {
            return manifest.manifests.iter().any(|child| cache.has(&child.digest));
        }
        manifest.required_blobs().all(|blob| cache.has(&blob.digest))
    }
}

impl Warmed {
    fn add(&mut self, cache: &DiskCache, digest: &Digest, fresh: bool, size: u64) {
        self.objects += 1;
        if !cache.has(digest) {
            self.refused += 1;
        } else if fresh {
            self.fetched += 1;
            self.bytes += size;
        }
    }
}
