//! The registry: a store, what is remembered of it, and how it is configured.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use tokio::sync::OwnedSemaphorePermit;
use wharfinger_oci::{Digest, RepositoryName};
use wharfinger_shared::Shared;
use wharfinger_store::{Delete, Durability, Key, Shape, Store};

use crate::activity::Noted;
use crate::blob::Blob;
use crate::budget::{Budget, Held};
use crate::cache::Caches;
use crate::catalog::Catalog;
use crate::damaged::Damaged;
use crate::disk::DiskCache;
use crate::error::{Result, optional};
use crate::flights::Flights;
use crate::hashing::Hashing;
use crate::layout;
use crate::links::RecentLinks;
use crate::manifest::StoredManifest;
use crate::recall::{Lease, Recall};
use crate::turns::Turns;
use crate::upload::SessionId;
use crate::upload::hot::HotSessions;

/// What deleting a manifest by digest does to its tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum DeleteByDigest {
    /// They are deleted with it, as Distribution does.
    #[default]
    UntagAll,
    /// The request is refused while there are any.
    RefuseIfTagged,
}

/// Which manifests an index may name before they are there.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum IndexChildren {
    /// None: every child must have been pushed.
    #[default]
    All,
    /// Any: sparse indexes.
    None,
    /// Those of other platforms than these.
    Platforms(Vec<Platform>),
}

/// A platform in an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Platform {
    /// e.g. `linux`.
    pub os: String,
    /// e.g. `amd64`.
    pub architecture: String,
}

/// What may be written to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Mode {
    /// Nothing: the store belongs to another registry.
    Observe,
    /// What Distribution 2.8 finds, beside it; nothing of its tree is deleted.
    Trial,
    /// Everything.
    #[default]
    Adopted,
}

/// How a registry behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// What may be written to the store.
    pub mode: Mode,
    /// What deleting by digest does to tags.
    pub delete_by_digest: DeleteByDigest,
    /// Which children of an index must exist.
    pub index_children: IndexChildren,
    /// Whether an image's config and layers must exist.
    pub require_blobs: bool,
    /// Which addresses layers outside the registry may have; `None` allows any.
    pub layer_urls: Option<UrlPolicy>,
    /// Bytes that requests and answers may hold in memory together, beside what is small and fixed.
    pub buffer_bytes: usize,
    /// For how long pulls are answered from what links said, on a store that is asked over the network.
    pub lease: Lease,
    /// How long a request may still take effect at the store after it was given up.
    pub landing: Duration,
    /// For how long pulls of what the disk cache holds are answered from what links said before, while the store
    /// cannot be asked.
    pub stale_limit: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            mode: Mode::default(),
            delete_by_digest: DeleteByDigest::default(),
            index_children: IndexChildren::default(),
            require_blobs: true,
            layer_urls: None,
            buffer_bytes: 64 * 1024 * 1024,
            lease: Lease::default(),
            landing: Duration::from_secs(600),
            stale_limit: Duration::from_secs(3600),
        }
    }
}

/// Which addresses manifests may name for layers outside the registry.
#[derive(Clone, Debug, Default)]
pub struct UrlPolicy {
    /// One of these must match. None given: any address that is not denied, or with no list at all none.
    pub allow: Vec<regex::Regex>,
    /// None of these may match.
    pub deny: Vec<regex::Regex>,
}

impl UrlPolicy {
    pub(crate) fn allows(&self, url: &str) -> bool {
        let listed = |rules: &[regex::Regex]| rules.iter().any(|rule| rule.is_match(url));
        let allowed = if self.allow.is_empty() { !self.deny.is_empty() } else { listed(&self.allow) };
        allowed && !listed(&self.deny)
    }
}

/// Repositories in a store. Cheap to clone.
#[derive(Clone)]
pub struct Registry {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) options: Options,
    pub(crate) caches: Caches,
    pub(crate) catalog: Catalog,
    /// Layer links that this process wrote a moment ago.
    pub(crate) linked: RecentLinks,
    /// Sessions as this process wrote them last.
    pub(crate) sessions: HotSessions,
    /// Sessions that a request of this process is writing to.
    pub(crate) writing: Mutex<HashSet<SessionId>>,
    /// Blobs that failed a check: not offered until they are pushed again.
    pub(crate) damaged: Damaged,
    /// Whole-blob hashing that requests wait for, e.g. a range of a blob without an index.
    pub(crate) hashing: Hashing,
    /// The byte budget.
    pub(crate) budget: Budget,
    /// Blobs and manifests that pulls are looking for in a store elsewhere.
    pub(crate) blob_flights: Flights<Blob>,
    pub(crate) manifest_flights: Flights<Arc<StoredManifest>>,
    /// Looks at blobs in a store elsewhere, by the link of the repository.
    pub(crate) stats: Turns<Key, Option<u64>>,
    /// What suits the store.
    pub(crate) shape: Shape,
    /// Copies on a disk of this machine, where the store is elsewhere.
    pub(crate) disk: Option<DiskCache>,
    /// What links said before; not on a directory, where asking costs next to nothing.
    pub(crate) recall: Option<Recall>,
    /// What other instances know, where the store is elsewhere.
    pub(crate) shared: Option<Shared>,
    /// Who pushed and pulled lately.
    pub(crate) activity: Noted,
}

/// A share of the byte budget.
#[derive(Debug)]
pub struct Reserved {
    _share: OwnedSemaphorePermit,
}

/// A link is a digest as text; anything much longer is not one.
const MAX_LINK: usize = 256;

impl Registry {
    /// A registry over `store`.
    pub fn new(store: Arc<dyn Store>, options: Options) -> Registry {
        Registry::with_caches(store, options, None, None)
    }

    /// A registry over `store` with copies in a directory of this machine, and with what other instances share. On a
    /// store that is itself a directory neither is used.
    pub fn with_caches(
        store: Arc<dyn Store>,
        options: Options,
        disk: Option<DiskCache>,
        shared: Option<Shared>,
    ) -> Registry {
        let disk = disk.filter(|_| store.shape().remote);
        let shared = shared.filter(|_| store.shape().remote);
        let stale_limit = disk.as_ref().map_or(Duration::ZERO, |_| options.stale_limit);
        let recall = store.shape().remote.then(|| Recall::new(options.lease, stale_limit, shared.clone()));
        let budget = Budget::new(options.buffer_bytes);
        let inner = Inner {
            shape: store.shape(),
            store,
            options,
            caches: Caches::new(),
            catalog: Catalog::default(),
            linked: RecentLinks::default(),
            sessions: HotSessions::default(),
            writing: Mutex::default(),
            damaged: Damaged::default(),
            hashing: Hashing::new(2),
            blob_flights: Flights::default(),
            manifest_flights: Flights::default(),
            stats: Turns::default(),
            budget,
            recall,
            disk,
            shared,
            activity: Noted::default(),
        };
        Registry { inner: Arc::new(inner) }
    }

    /// Takes `bytes` from the byte budget ([`Options::buffer_bytes`]) until the result is dropped. Waits in turn until
    /// others have given back enough; what is larger than the whole budget takes all of it.
    pub async fn reserve(&self, bytes: usize) -> Reserved {
        Reserved { _share: self.share_of_budget(bytes as u64).await }
    }

    /// The store underneath.
    pub fn store(&self) -> &dyn Store {
        &*self.inner.store
    }

    /// What may be written to the store.
    pub fn mode(&self) -> Mode {
        self.inner.options.mode
    }

    /// How many bytes of the byte budget are held, and how many there are.
    pub fn buffers(&self) -> (u64, u64) {
        self.inner.budget.held()
    }

    /// Waits for a share of the byte budget; those who wait are served in turn.
    pub(crate) async fn share_of_budget(&self, bytes: u64) -> OwnedSemaphorePermit {
        self.inner.budget.share(bytes).await
    }

    /// A share of the byte budget, if there is one at once.
    pub(crate) fn try_share_of_budget(&self, bytes: u64) -> Option<OwnedSemaphorePermit> {
        self.inner.budget.try_share(bytes)
    }

    /// A share of the byte budget for an upload, if there is one at once: what others left behind gives way.
    pub(crate) fn try_hold(&self, bytes: u64) -> Option<Held> {
        self.inner.budget.try_hold(bytes).or_else(|| {
            self.inner.sessions.sweep();
            self.inner.budget.try_hold(bytes)
        })
    }

    /// Whether a link stands at `key`. Links are few bytes and are read by name each time.
    pub(crate) async fn has_link(&self, key: &Key) -> Result<bool> {
        Ok(optional(self.store().head(key).await)?.is_some())
    }

    pub(crate) async fn put_link(&self, key: &Key, digest: &Digest) -> Result<()> {
        Ok(self.store().put(key, digest.to_string().into(), Durability::Synced).await?)
    }

    /// The digest in a link; `None` where there is no link, or where it was left empty or broken.
    pub(crate) async fn read_link(&self, key: &Key) -> Result<Option<Digest>> {
        Ok(self.read_link_with_age(key).await?.map(|(digest, _)| digest))
    }

    /// As [`Registry::read_link`], with when the link was written, where the store says so.
    pub(crate) async fn read_link_with_age(&self, key: &Key) -> Result<Option<(Digest, Option<SystemTime>)>> {
        let found = optional(self.store().get_newest(key, MAX_LINK).await)?;
        let Some((bytes, modified)) = found else { return Ok(None) };
        let digest = std::str::from_utf8(&bytes).ok().and_then(|text| Digest::parse(text.trim()).ok());
        if digest.is_none() {
            tracing::warn!(key = %key, bytes = bytes.len(), "a link does not hold a digest; taken as absent");
        }
        Ok(digest.map(|digest| (digest, modified)))
    }

    /// Removes a link and the directory that held it.
    pub(crate) async fn delete_link(&self, key: &Key) -> Result<bool> {
        let deleted = self.store().delete(key, Delete { prune_parents: 1 }).await?;
        self.forget_link(key);
        Ok(deleted)
    }

    /// Whether anything was ever pushed to the repository.
    pub async fn exists(&self, name: &RepositoryName) -> Result<bool> {
        let one = wharfinger_store::List { shallow: true, after: None, limit: 1 };
        for prefix in [layout::manifests(name), layout::layers(name)] {
            if !self.store().list(&prefix, one.clone()).await?.entries.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The copies on a disk of this machine, if any are kept.
    pub fn disk_cache(&self) -> Option<&DiskCache> {
        self.inner.disk.as_ref()
    }

    /// What is shared with other instances, if anything is.
    pub fn shared(&self) -> Option<&Shared> {
        self.inner.shared.as_ref()
    }

    /// Lookups of proved content in memory since the start: hits and misses.
    pub fn cache_lookups(&self) -> (u64, u64) {
        self.inner.caches.lookups()
    }
}
