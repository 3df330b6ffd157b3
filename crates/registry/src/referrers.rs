//! Referrers: which manifests of a repository name another one as their subject (distribution-spec, "Listing
//! Referrers"). An index of ours, written at push; images that clients tied to their subject by a tag
//! (`sha256-<hex>`, "Referrers Tag Schema") are found as well.

use std::collections::BTreeMap;

use wharfinger_oci::manifest::MAX_MANIFEST_SIZE;
use wharfinger_oci::{Descriptor, Digest, Manifest, Reference, RepositoryName, Tag};
use wharfinger_store::{Delete, Durability, List};

use crate::error::{Error, Result, optional};
use crate::layout;
use crate::registry::Registry;

/// Most descriptors looked at for one page.
const PAGE: usize = 1_000;
/// A descriptor with annotations; the whole manifest it came from was smaller than this.
const MAX_ENTRY: usize = MAX_MANIFEST_SIZE;
/// A page stays below what clients accept as a manifest.
const MAX_PAGE_BYTES: usize = 3 * 1024 * 1024;

/// A page of referrers.
#[derive(Debug, Default)]
pub struct ReferrersPage {
    /// In the order of their digests.
    pub descriptors: Vec<Descriptor>,
    /// Where the next page begins, if there is one.
    pub next: Option<Digest>,
}

impl Registry {
    /// Manifests that refer to `subject`, after `last`, filtered by type. A subject that is not there has none.
    pub async fn referrers(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        artifact_type: Option<&str>,
        last: Option<&Digest>,
    ) -> Result<ReferrersPage> {
        let prefix = layout::referrers(name, subject);
        let after = last.map(|digest| format!("{}/{}", digest.algorithm().as_str(), digest.hex()));
        let listed = self.store().list(&prefix, List { shallow: false, after, limit: PAGE }).await?;
        let mut found = BTreeMap::new();
        for entry in &listed.entries {
            let Some(bytes) = optional(self.store().get(&prefix.join(entry.name()), MAX_ENTRY).await)? else {
                continue;
            };
            match serde_json::from_slice::<Descriptor>(&bytes) {
                Ok(descriptor) => drop(found.insert(descriptor.digest, descriptor)),
                Err(error) => {
                    tracing::warn!(%subject, entry = entry.name(), %error, "a referrers entry is damaged");
                }
            }
        }
        if last.is_none() {
            for descriptor in self.referrers_by_tag(name, subject).await? {
                found.entry(descriptor.digest).or_insert(descriptor);
            }
        }
        let mut page = self.page_of(name, artifact_type, found).await?;
        if listed.more && page.next.is_none() {
            page.next = listed.entries.last().and_then(|entry| entry_digest(entry.name()));
        }
        Ok(page)
    }

    /// Keeps what still exists and has the type asked for, up to the size of a page.
    async fn page_of(
        &self,
        name: &RepositoryName,
        artifact_type: Option<&str>,
        found: BTreeMap<Digest, Descriptor>,
    ) -> Result<ReferrersPage> {
        let links: Vec<_> = found.keys().map(|digest| layout::revision_link(name, digest)).collect();
        let exist = self.store().exist(&links).await?;
        let mut page = ReferrersPage::default();
        let mut bytes = 0;
        for (descriptor, exists) in found.into_values().zip(exist) {
            let wanted =
                artifact_type.is_none_or(|wanted| descriptor.artifact_type.as_deref() == Some(wanted));
            if !exists || !wanted {
                continue;
            }
            bytes += serde_json::to_vec(&descriptor).map_or(0, |text| text.len());
            if bytes > MAX_PAGE_BYTES && !page.descriptors.is_empty() {
                page.next = page.descriptors.last().map(|last| last.digest);
                break;
            }
            page.descriptors.push(descriptor);
        }
        Ok(page)
    }

    /// What clients of a registry without this API left in an index tagged after the subject.
    async fn referrers_by_tag(&self, name: &RepositoryName, subject: &Digest) -> Result<Vec<Descriptor>> {
        let text = format!("{}-{}", subject.algorithm().as_str(), subject.hex());
        let Ok(tag) = Tag::parse(&text) else { return Ok(Vec::new()) };
        match self.manifest(name, &Reference::Tag(tag)).await {
            Ok(manifest) => {
                Ok(Manifest::parse_stored(&manifest.bytes).map(|m| m.manifests).unwrap_or_default())
            }
            Err(
                Error::ManifestUnknown(..)
                | Error::ManifestLost(..)
                | Error::ManifestInvalid(_)
                | Error::Damaged { .. },
            ) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    pub(crate) async fn put_referrer(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        digest: &Digest,
        size: u64,
        manifest: &Manifest,
    ) -> Result<()> {
        let descriptor = Descriptor {
            media_type: manifest.kind.media_type().to_owned(),
            digest: *digest,
            size,
            urls: Vec::new(),
            artifact_type: manifest.referrer_artifact_type().map(str::to_owned),
            annotations: manifest.annotations.clone(),
            platform: None,
        };
        let entry = serde_json::to_vec(&descriptor).map_err(wharfinger_oci::ManifestError::from)?;
        let key = layout::referrer(name, subject, digest);
        Ok(self.store().put(&key, entry.into(), Durability::Synced).await?)
    }

    pub(crate) async fn delete_referrer(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        digest: &Digest,
    ) -> Result<()> {
        self.store().delete(&layout::referrer(name, subject, digest), Delete { prune_parents: 2 }).await?;
        Ok(())
    }
}

/// `sha256/<hex>` as a digest.
fn entry_digest(name: &str) -> Option<Digest> {
    Digest::parse(&name.replacen('/', ":", 1)).ok()
}
