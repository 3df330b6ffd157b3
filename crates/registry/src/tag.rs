//! Tags: names that point to manifests.

use futures::future::try_join_all;
use wharfinger_oci::{Digest, RepositoryName, Tag};
use wharfinger_store::{Delete, Durability, List};

use crate::error::{Error, Result};
use crate::layout;
use crate::registry::Registry;

/// Links read side by side when all tags of a repository are looked at.
const PARALLEL: usize = 16;

/// A page of a repository's tags.
#[derive(Debug)]
pub struct TagPage {
    /// In byte order.
    pub tags: Vec<Tag>,
    /// Whether there may be more after the last.
    pub more: bool,
}

impl Registry {
    /// The digest that a tag points to. The link is read by name each time: never a stale tag.
    pub(crate) async fn resolve(&self, name: &RepositoryName, tag: &Tag) -> Result<Option<Digest>> {
        self.read_link(&layout::tag_current(name, tag)).await
    }

    /// Points a tag to a manifest that is already in the repository. Says whether it may have pointed to another one.
    pub(crate) async fn set_tag(&self, name: &RepositoryName, tag: &Tag, digest: &Digest) -> Result<bool> {
        self.put_link(&layout::tag_index_link(name, tag, digest), digest).await?;
        let link = layout::tag_current(name, tag);
        let text = || digest.to_string().into();
        let new = self.leases_links() && self.store().put_new(&link, text(), Durability::Synced).await?;
        if !new {
            self.put_link(&link, digest).await?;
        }
        self.forget_link(&link);
        // Another push may have moved it on; that it is not there at all means that nothing was stored.
        match self.resolve(name, tag).await? {
            Some(_) => Ok(!new),
            None => Err(Error::NotReadBack(layout::tag_current(name, tag))),
        }
    }

    /// At most `limit` tags after `last` (exclusive; it need not exist).
    ///
    /// # Errors
    /// [`Error::NameUnknown`] where nothing was ever pushed to the repository.
    pub async fn tags(&self, name: &RepositoryName, last: Option<&str>, limit: usize) -> Result<TagPage> {
        // A tag without a current link is the rest of a delete, or not yet written.
        let options = List { shallow: true, after: last.map(str::to_owned), limit };
        let listed = self.store().list_holding(&layout::tags(name), layout::TAG_CURRENT, options).await?;
        let tags = listed.entries.iter().filter_map(|entry| Tag::parse(entry.name()).ok()).collect();
        let page = TagPage { tags, more: listed.more };
        if page.tags.is_empty() && !self.exists(name).await? {
            return Err(Error::NameUnknown(name.clone()));
        }
        Ok(page)
    }

    /// The tags that point to a manifest now.
    pub(crate) async fn tags_of(&self, name: &RepositoryName, digest: &Digest) -> Result<Vec<Tag>> {
        let all = List { shallow: true, after: None, limit: usize::MAX };
        let entries = self.store().list(&layout::tags(name), all).await?.entries;
        let mut tags: Vec<Tag> = entries.iter().filter_map(|entry| Tag::parse(entry.name()).ok()).collect();
        if self.inner.shape.remote {
            // What was tagged a moment ago a listing may not show yet, and whoever tagged it noted it.
            let noted = self.activity(name).await.unwrap_or_default();
            tags.extend(noted.tags_of(digest).cloned());
            tags.sort_unstable();
            tags.dedup();
        }
        let mut found = Vec::new();
        for some in tags.chunks(PARALLEL) {
            let targets = try_join_all(some.iter().map(|tag| self.resolve(name, tag))).await?;
            let pointing = some.iter().zip(targets).filter(|(_, target)| *target == Some(*digest));
            found.extend(pointing.map(|(tag, _)| tag.clone()));
        }
        Ok(found)
    }

    /// Deletes a tag and what it pointed to in the past; the manifest stays. Says whether there was one.
    pub(crate) async fn delete_tag(&self, name: &RepositoryName, tag: &Tag) -> Result<bool> {
        let existed =
            self.store().delete(&layout::tag_current(name, tag), Delete { prune_parents: 1 }).await?;
        self.forget_link(&layout::tag_current(name, tag));
        let index = layout::tag_index(name, tag);
        let all = List { shallow: false, after: None, limit: usize::MAX };
        for entry in self.store().list(&index, all).await?.entries {
            // The link lies in index/<alg>/<hex>/ below the tag: four directories.
            self.store().delete(&index.join(entry.name()), Delete { prune_parents: 4 }).await?;
        }
        // Again, for the tag's own directory, now empty.
        self.store().delete(&layout::tag_current(name, tag), Delete { prune_parents: 2 }).await?;
        Ok(existed)
    }
}
