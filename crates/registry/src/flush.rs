//! Forgetting what is cached, here or by all instances that share a Redis.

use serde::{Deserialize, Serialize};
use wharfinger_oci::Digest;
use wharfinger_shared::Kind;

use crate::registry::Registry;

/// What was forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flushed {
    /// Copies in this instance's disk cache.
    pub copies: u64,
    /// Names in Redis; none where there is no Redis.
    pub shared: Option<u64>,
    /// Instances that were told, this one among them; none where only this one was asked.
    pub instances: Option<u64>,
}

/// What instances announce to each other.
#[derive(Debug, Serialize, Deserialize)]
struct Announcement {
    /// The digest to forget; null: everything.
    flush: Option<String>,
}

impl Registry {
    /// Forgets the content of one digest, or everything, in memory, on this machine's disk and in Redis; on request
    /// other instances do the same with their memory and disks.
    ///
    /// # Errors
    /// A message for the operator: Redis does not answer, or there is none by which others could be told. What can be
    /// forgotten here is forgotten all the same.
    pub async fn flush_caches(&self, digest: Option<&Digest>, everywhere: bool) -> Result<Flushed, String> {
        let mut flushed = Flushed { copies: self.flush_here(digest).await, ..Flushed::default() };
        let Some(shared) = self.shared() else {
            return match everywhere {
                false => Ok(flushed),
                true => Err("instances are told by way of Redis, and none is in use (redis.addr)".to_owned()),
            };
        };
        let failed = |error: String| format!("what is cached here was dropped; Redis: {error}");
        let names = match digest {
            None => shared.flush().await,
            Some(digest) => shared.flush_ending(Kind::Content, &format!("@{digest}")).await,
        };
        flushed.shared = Some(names.map_err(failed)?);
        if everywhere {
            let announcement = Announcement { flush: digest.map(ToString::to_string) };
            let message = serde_json::to_string(&announcement).map_err(|error| error.to_string())?;
            flushed.instances = Some(shared.announce(&message).await.map_err(failed)?);
        }
        Ok(flushed)
    }

    async fn flush_here(&self, digest: Option<&Digest>) -> u64 {
        match digest {
            None => self.inner.caches.clear(),
            Some(digest) => self.inner.caches.forget(digest),
        }
        match (&self.inner.disk, digest) {
            (None, _) => 0,
            (Some(cache), None) => cache.flush().await,
            (Some(cache), Some(digest)) => u64::from(cache.forget(digest).await),
        }
    }

    /// Does what other instances announce, for as long as the process lives.
    pub async fn follow_announcements(self) {
        let Some(mut announced) = self.shared().map(wharfinger_shared::Shared::listen) else { return };
        while let Some(message) = announced.recv().await {
            let announcement = serde_json::from_slice::<Announcement>(&message);
            let digest = announcement.map(|announcement| announcement.flush.as_deref().map(Digest::parse));
            match digest {
                Ok(None) => drop(self.flush_here(None).await),
                Ok(Some(Ok(digest))) => drop(self.flush_here(Some(&digest)).await),
                Ok(Some(Err(_))) | Err(_) => continue,
            }
            tracing::info!("caches were flushed, as announced by an instance");
        }
    }
}
