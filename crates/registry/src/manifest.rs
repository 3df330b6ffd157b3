//! Manifests: small blobs with structure, kept byte for byte.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use wharfinger_oci::manifest::MAX_MANIFEST_SIZE;
use wharfinger_oci::{
    Algorithm, Descriptor, Digest, Manifest, ManifestError, Reference, RepositoryName, Tag, media_type,
};
use wharfinger_store::{Durability, Key, List, Operation};

use crate::error::{Error, Result, optional};
use crate::layout;
use crate::registry::{DeleteByDigest, IndexChildren, Registry};
use crate::sharing::SharedContent;
use crate::turns::waited_in_vain;

/// A manifest as it was pushed.
#[derive(Clone, Debug)]
pub struct StoredManifest {
    /// Its digest.
    pub digest: Digest,
    /// Its media type.
    pub media_type: &'static str,
    /// Its bytes, proved by the digest.
    pub bytes: Bytes,
}

/// A manifest that is pulled.
#[derive(Clone, Debug)]
pub struct PulledManifest {
    /// The manifest.
    pub manifest: Arc<StoredManifest>,
    /// How long ago the store was asked for it last, where it could not be asked now.
    pub age: Option<Duration>,
}

/// A manifest to be pushed.
#[derive(Clone, Debug)]
pub struct Push<'a> {
    /// Digest in the path of the request; its content must have it.
    pub digest: Option<Digest>,
    /// Tags to point to it.
    pub tags: Vec<Tag>,
    /// The request's Content-Type.
    pub content_type: Option<&'a str>,
    /// At most [`MAX_MANIFEST_SIZE`] bytes.
    pub bytes: Bytes,
}

/// A manifest that was pushed.
#[derive(Clone, Debug)]
pub struct Pushed {
    /// Its digest.
    pub digest: Digest,
    /// The manifest that it refers to.
    pub subject: Option<Digest>,
}

/// What a delete took along.
#[derive(Clone, Debug, Default)]
pub struct Removed {
    /// The tags that pointed to a manifest deleted by digest.
    pub tags: Vec<Tag>,
    /// The manifest that it referred to.
    pub subject: Option<Digest>,
}

impl Registry {
    /// The manifest that a tag or digest names. Its link is read by name.
    pub async fn manifest(
        &self,
        name: &RepositoryName,
        reference: &Reference,
    ) -> Result<Arc<StoredManifest>> {
        let unknown = || Error::ManifestUnknown(name.clone(), reference.clone());
        let digest = match reference {
            Reference::Digest(digest) if self.has_link(&layout::revision_link(name, digest)).await? => {
                *digest
            }
            Reference::Digest(_) => return Err(unknown()),
            // A tag is itself a reference to the manifest.
            Reference::Tag(tag) => self.resolve(name, tag).await?.ok_or_else(unknown)?,
        };
        self.manifest_content(name, &digest).await?.ok_or_else(unknown)
    }

    /// The bytes of a manifest, proved.
    async fn manifest_bytes(&self, name: &RepositoryName, digest: &Digest) -> Result<Option<Bytes>> {
        if let Some(cache) = &self.inner.disk
            && let Some(bytes) = cache.read_copy(digest, MAX_MANIFEST_SIZE).await
        {
            return Ok(Some(bytes));
        }
        let turn = match self.shared_content(name, digest).await {
            SharedContent::Found(bytes) => {
                self.keep_copy(digest, &bytes);
                return Ok(Some(bytes));
            }
            SharedContent::Missing(turn) => turn,
        };
        let bytes = self.store().get(&layout::blob_data(digest), MAX_MANIFEST_SIZE).await;
        let Some(bytes) = optional(bytes)? else { return Ok(None) };
        let bytes = self.prove(digest, bytes, None)?;
        self.share_content(name, digest, &bytes);
        drop(turn);
        self.keep_copy(digest, &bytes);
        Ok(Some(bytes))
    }

    /// As [`Registry::manifest`], for a pull: while the store cannot be asked, by what the link said last.
    ///
    /// # Errors
    /// As [`Registry::manifest`]; [`Error::Store`] also where the content is not at hand while the store is down.
    pub async fn pull_manifest(
        &self,
        name: &RepositoryName,
        reference: &Reference,
    ) -> Result<PulledManifest> {
        let (digest, age) = match reference {
            Reference::Digest(digest) => {
                let link = self.recall_link(&layout::revision_link(name, digest)).await?;
                (link.value.then_some(*digest), link.age)
            }
            Reference::Tag(tag) => {
                let link = self.recall_digest(&layout::tag_current(name, tag)).await?;
                if let (Some(digest), None) = (&link.value, link.age) {
                    self.recall_tagged(name, digest);
                }
                (link.value, link.age)
            }
        };
        let digest = digest.ok_or_else(|| Error::ManifestUnknown(name.clone(), reference.clone()))?;
        let lost = || Error::ManifestLost(name.clone(), digest);
        let manifest = self.manifest_content(name, &digest).await?.ok_or_else(lost)?;
        Ok(PulledManifest { manifest, age })
    }

    /// A manifest by its digest. Of several that want it at the same time one reads it.
    async fn manifest_content(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<Arc<StoredManifest>>> {
        let known = || self.inner.caches.manifests.get(digest);
        if let Some(manifest) = known() {
            return Ok(Some(manifest));
        }
        if !self.inner.shape.remote {
            return self.read_manifest(name, digest).await;
        }
        let (arrived, flight) = (Instant::now(), self.inner.manifest_flights.join(*digest));
        // A look that ended a moment ago has left it in memory.
        let look = async {
            match known() {
                Some(manifest) => Ok(Some(manifest)),
                None => self.read_manifest(name, digest).await,
            }
        };
        match flight.share(look).await {
            Some(found) => found,
            None => {
                waited_in_vain(arrived, Operation::Get, &layout::blob_data(digest))?;
                self.read_manifest(name, digest).await
            }
        }
    }

    async fn read_manifest(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<Arc<StoredManifest>>> {
        let Some(bytes) = self.manifest_bytes(name, digest).await? else { return Ok(None) };
        let media_type = match Manifest::parse_stored(&bytes) {
            Ok(manifest) => manifest.kind.media_type(),
            // Not accepted any more, but an old registry may have left some.
            Err(ManifestError::Schema1) => media_type::DOCKER_SCHEMA1_SIGNED,
            Err(error) => return Err(error.into()),
        };
        let manifest = Arc::new(StoredManifest { digest: *digest, media_type, bytes });
        self.inner.caches.manifests.insert(*digest, manifest.clone());
        Ok(Some(manifest))
    }

    /// Stores a manifest and points tags to it: bytes, then a look at everything that it names, then the link, then
    /// the referrers entry, then the tags.
    pub async fn push_manifest(&self, name: &RepositoryName, push: Push<'_>) -> Result<Pushed> {
        let manifest = Manifest::parse(push.content_type, &push.bytes)?;
        let algorithm = push.digest.map_or(Algorithm::Sha256, |digest| digest.algorithm());
        let digest = Digest::of(algorithm, &push.bytes);
        if let Some(expected) = push.digest.filter(|expected| *expected != digest) {
            return Err(Error::DigestMismatch { expected: expected.into(), found: digest.into() });
        }
        self.check_urls(&manifest)?;
        let size = push.bytes.len() as u64;
        self.put_manifest_bytes(&digest, push.bytes).await?;
        // After the bytes, before anything shows them: what is found here is as late as it can be.
        self.check_children(name, &manifest).await?;
        self.make_visible_to_old_gc(name, &digest, &manifest).await?;
        self.note_repository(name).await?;
        self.put_link(&layout::revision_link(name, &digest), &digest).await?;
        if let Some(subject) = &manifest.subject {
            self.put_referrer(name, &subject.digest, &digest, size, &manifest).await?;
        }
        let mut moved = false;
        for tag in &push.tags {
            moved |= self.set_tag(name, tag, &digest).await?;
        }
        if moved {
            self.outlast_leases().await;
        }
        Ok(Pushed { digest, subject: manifest.subject.map(|subject| subject.digest) })
    }

    pub(crate) async fn put_manifest_bytes(&self, digest: &Digest, bytes: Bytes) -> Result<()> {
        let key = layout::blob_data(digest);
        let size = bytes.len() as u64;
        self.inner.caches.forget(digest);
        self.store().put(&key, bytes, Durability::Synced).await?;
        let written = self.store().head(&key).await?.size;
        if written != size {
            return Err(Error::SizeMismatch { expected: size, found: written });
        }
        self.mark_mended(digest);
        Ok(())
    }

    /// Distribution 2.8's garbage collection visits only repositories that have a layer link, and takes the
    /// manifests of the others. A manifest without blobs here leaves a link to itself.
    async fn make_visible_to_old_gc(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        manifest: &Manifest,
    ) -> Result<()> {
        let one = List { shallow: true, after: None, limit: 1 };
        if manifest.required_blobs().next().is_none()
            && self.store().list(&layout::layers(name), one).await?.entries.is_empty()
        {
            self.put_link(&layout::layer_link(name, digest), digest).await?;
        }
        Ok(())
    }

    fn check_urls(&self, manifest: &Manifest) -> Result<()> {
        let Some(policy) = &self.inner.options.layer_urls else { return Ok(()) };
        let mut urls = manifest.layers.iter().flat_map(|layer| &layer.urls);
        match urls.find(|url| !policy.allows(url)) {
            Some(url) => Err(Error::UrlRefused(url.clone())),
            None => Ok(()),
        }
    }

    /// Everything the manifest names must be in this repository, and its bytes in the store.
    async fn check_children(&self, name: &RepositoryName, manifest: &Manifest) -> Result<()> {
        let blobs = manifest.required_blobs().filter(|_| self.inner.options.require_blobs);
        let blobs = blobs.map(|child| (child, layout::layer_link(name, &child.digest)));
        let required = manifest.manifests.iter().filter(|child| self.must_exist(child));
        let manifests = required.map(|child| (child, layout::revision_link(name, &child.digest)));
        let children: Vec<(&Descriptor, Key)> = blobs.chain(manifests).collect();
        let data = children.iter().map(|(child, _)| layout::blob_data(&child.digest));
        let unknown = children.iter().map(|(_, link)| link).filter(|link| !self.inner.linked.has(link));
        let keys: Vec<Key> = data.chain(unknown.cloned()).collect();
        let sizes = self.store().sizes(&keys).await?;
        let found: HashMap<&Key, Option<u64>> = keys.iter().zip(sizes).collect();
        let mut missing = Vec::new();
        for (child, link) in &children {
            let digest = &child.digest;
            let linked = found.get(link) != Some(&None);
            let size = found.get(&layout::blob_data(digest)).copied().flatten();
            let aliased = linked
                && digest.algorithm() != Algorithm::Sha256
                && matches!(self.look_at_blob(name, digest).await, Ok(Some(_)));
            // Where the size is another, the descriptor may be wrong, or what is stored; and what was damaged was
            // perhaps mended by way of another instance.
            let doubtful = size.is_some_and(|size| size != child.size) || self.damage(digest).is_some();
            let damaged = doubtful && self.stat_data(digest).await?.is_none();
            if !(linked && size.is_some() || aliased) || damaged {
                missing.push(*digest);
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        Err(Error::ManifestBlobUnknown { repository: name.clone(), missing })
    }

    fn must_exist(&self, child: &wharfinger_oci::Descriptor) -> bool {
        if !child.urls.is_empty() {
            return false;
        }
        match &self.inner.options.index_children {
            IndexChildren::All => true,
            IndexChildren::None => false,
            IndexChildren::Platforms(platforms) => {
                let field = |name: &str| child.platform.as_ref()?.get(name)?.as_str();
                let (os, architecture) = (field("os"), field("architecture"));
                platforms.iter().any(|p| Some(&*p.os) == os && Some(&*p.architecture) == architecture)
            }
        }
    }

    /// Deletes a tag (the manifest stays), or a manifest and, by configuration, its tags.
    pub async fn delete_manifest(&self, name: &RepositoryName, reference: &Reference) -> Result<Removed> {
        let unknown = || Error::ManifestUnknown(name.clone(), reference.clone());
        let digest = match reference {
            Reference::Tag(tag) => {
                let existed = self.delete_tag(name, tag).await?;
                self.outlast_leases().await;
                return if existed { Ok(Removed::default()) } else { Err(unknown()) };
            }
            Reference::Digest(digest) => digest,
        };
        let link = layout::revision_link(name, digest);
        if !self.has_link(&link).await? {
            return Err(unknown());
        }
        let tags = self.tags_of(name, digest).await?;
        if !tags.is_empty() && self.inner.options.delete_by_digest == DeleteByDigest::RefuseIfTagged {
            return Err(Error::StillTagged(tags));
        }
        for tag in &tags {
            self.delete_tag(name, tag).await?;
        }
        let mut removed = Removed { tags, subject: None };
        if let Ok(Some(manifest)) = self.manifest_content(name, digest).await
            && let Ok(manifest) = Manifest::parse_stored(&manifest.bytes)
            && let Some(subject) = manifest.subject
        {
            self.delete_referrer(name, &subject.digest, digest).await?;
            removed.subject = Some(subject.digest);
        }
        let existed = self.delete_link(&link).await?;
        self.unshare_content(name, digest);
        self.outlast_leases().await;
        if existed { Ok(removed) } else { Err(unknown()) }
    }
}
