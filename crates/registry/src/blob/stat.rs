//! Whether a blob can be pulled, and its size.

use std::time::Instant;

use wharfinger_oci::{Algorithm, Digest, RepositoryName};
use wharfinger_store::{Meta, Operation, StoreErrorKind};

use super::HASHED_ON_LOOK;
use crate::damaged::Damage;
use crate::error::{Error, Result, optional};
use crate::layout;
use crate::registry::Registry;
use crate::turns::{Last, waited_in_vain};

impl Registry {
    /// The size of a blob in bytes, if it can be pulled from the repository. Looks at the store, not longer ago than a
    /// lease lasts, and does not offer a blob whose copy is known to be damaged or fails a cheap check: then a push
    /// mends it.
    ///
    /// Of several that ask at the same time one looks for all. Nobody takes an answer of a look that began before it
    /// asked: clients decide by it what they push.
    pub async fn stat_blob(&self, name: &RepositoryName, digest: &Digest) -> Result<u64> {
        let unknown = || Error::BlobUnknown(name.clone(), *digest);
        if !self.inner.shape.remote {
            return self.look_at_blob(name, digest).await?.ok_or_else(unknown);
        }
        let (arrived, link) = (Instant::now(), layout::layer_link(name, digest));
        if let Some(size) = self.leased_stat(&link, digest) {
            return Ok(size);
        }
        let mut turn = self.inner.stats.take(&link).await;
        if let Some(found) = turn.answer_since(arrived) {
            return found.ok_or_else(unknown);
        }
        if let Some(size) = self.leased_stat(&link, digest) {
            return Ok(size);
        }
        if turn.failed_lately() {
            drop(turn);
            waited_in_vain(arrived, Operation::Head, &link)?;
            return self.look_at_blob(name, digest).await?.ok_or_else(unknown);
        }
        let asked = Instant::now();
        let found = self.look_at_blob(name, digest).await;
        *turn = match &found {
            Ok(found) => Last::Answered { asked, answer: *found },
            Err(_) => Last::Failed { at: Instant::now() },
        };
        found?.ok_or_else(unknown)
    }

    /// As [`Registry::stat_blob`], by a look at the store now and by nobody else's.
    pub(crate) async fn look_at_blob(&self, name: &RepositoryName, digest: &Digest) -> Result<Option<u64>> {
        if digest.algorithm() != Algorithm::Sha256 {
            let Some(target) = self.linked(name, digest).await? else { return Ok(None) };
            return self.stat_data(&target).await;
        }
        let asked = Instant::now();
        if !self.has_link_now(&layout::layer_link(name, digest)).await? {
            return Ok(None);
        }
        let size = self.stat_data(digest).await?;
        if let Some(size) = size {
            self.note_look(digest, size, asked);
        }
        Ok(size)
    }

    /// The size of a blob's bytes, `None` where they are missing, damaged, or not of the size they must be.
    pub(crate) async fn stat_data(&self, digest: &Digest) -> Result<Option<u64>> {
        let damage = self.damage(digest);
        if damage == Some(Damage::Read(None)) {
            return Ok(None);
        }
        let Some(found) = self.look_at_data(digest).await? else { return Ok(None) };
        match damage {
            Some(damage) if !damage.is_mended_by(found.modified) => return Ok(None),
            Some(_) => self.mark_mended(digest),
            None => {}
        }
        Ok(Some(found.size))
    }

    async fn look_at_data(&self, digest: &Digest) -> Result<Option<Meta>> {
        let meta = match optional(self.store().check(&layout::blob_data(digest)).await) {
            Ok(Some(meta)) => meta,
            Ok(None) => return Ok(None),
            Err(error) if error.kind == StoreErrorKind::Invalid => {
                self.mark_damaged(digest, Damage::Look, &error.source.to_string());
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        let expected = if meta.size <= HASHED_ON_LOOK {
            match self.inner.caches.small_blobs.get(digest) {
                Some(bytes) if bytes.len() as u64 == meta.size => meta.size,
                // A wrong small blob would be found by the next pull; finding it here lets the push mend it.
                _ => match self.open_data(digest).await {
                    Ok(blob) => return Ok(blob.map(|blob| Meta { size: blob.size, ..meta })),
                    Err(Error::Damaged { .. }) => return Ok(None),
                    Err(error) => return Err(error),
                },
            }
        } else if meta.size <= self.small() {
            meta.size
        } else {
            self.index(digest).await?.map_or(meta.size, |index| index.size())
        };
        if expected == meta.size {
            return Ok(Some(meta));
        }
        let found = format!("it has {} bytes, not {expected}", meta.size);
        self.mark_damaged(digest, Damage::Look, &found);
        Ok(None)
    }
}
