//! What this instance keeps of one digest, for operators. Changes nothing.

use wharfinger_oci::{Digest, RepositoryName};

use crate::registry::Registry;

/// A copy that is proved again whenever it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptCopy {
    /// Its length in bytes.
    pub bytes: u64,
    /// Whether it has the digest.
    pub good: bool,
}

/// What is kept of a digest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Whether its content is in memory, where it was put after it was proved.
    pub memory: bool,
    /// The copy in the disk cache.
    pub disk: Option<KeptCopy>,
    /// What Redis has of the manifest, if it answers.
    pub redis: Option<KeptCopy>,
    /// Whether the blob is withheld, since its copy in the store failed a check.
    pub withheld: bool,
}

impl Registry {
    /// Looks at what is kept of a digest, as it is asked for in a repository; computes the digest of every copy. The disk
    /// cache is only looked at where that is asked for: its copy may be large.
    pub async fn look(&self, name: &RepositoryName, digest: &Digest, disk: bool) -> Look {
        let disk = match self.disk_cache().filter(|_| disk) {
            Some(cache) => cache.look(digest).await.map(|(bytes, good)| KeptCopy { bytes, good }),
            None => None,
        };
        let redis = self.look_at_shared(name, digest).await;
        let redis = redis.map(|(bytes, good)| KeptCopy { bytes, good });
        let (memory, withheld) = (self.inner.caches.has(digest), self.damage(digest).is_some());
        Look { memory, disk, redis, withheld }
    }
}
