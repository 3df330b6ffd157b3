//! Names of repositories at a place of their own, so that a page of the catalog is one listing.
//!
//! Derivable: a walk writes what is missing. Written by every push to a repository that this process had not seen, and
//! complete once one walk has written the rest. Not used while another registry writes too.

use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use wharfinger_oci::RepositoryName;
use wharfinger_store::{Durability, Key, List};

use crate::error::{Result, optional};
use crate::layout;
use crate::registry::{Mode, Registry};

/// Names written side by side.
const PARALLEL: usize = 8;

impl Registry {
    /// Whether names are kept at their place: where a walk would be many requests, and nobody else writes.
    pub(crate) fn has_catalog_index(&self) -> bool {
        self.inner.shape.remote && self.inner.options.mode == Mode::Adopted
    }

    /// Makes sure that a repository's name is at its place, before anything in it can be pulled.
    pub(crate) async fn note_repository(&self, name: &RepositoryName) -> Result<()> {
        self.inner.catalog.note(name);
        if !self.has_catalog_index() || self.inner.catalog.state.lock().written.contains(name) {
            return Ok(());
        }
        self.put_catalog_name(name).await?;
        self.inner.catalog.state.lock().written.insert(name.clone());
        Ok(())
    }

    /// Where a repository's name is.
    pub(crate) fn catalog_key(&self, name: &RepositoryName) -> Key {
        layout::catalog_names().join(&layout::catalog_name(name.as_str()))
    }

    async fn put_catalog_name(&self, name: &RepositoryName) -> Result<()> {
        let key = self.catalog_key(name);
        Ok(self.store().put(&key, Bytes::new(), Durability::Synced).await?)
    }

    pub(super) async fn catalog_is_complete(&self) -> Result<bool> {
        if self.inner.catalog.state.lock().complete {
            return Ok(true);
        }
        let complete = optional(self.store().head(&layout::catalog_complete()).await)?.is_some();
        self.inner.catalog.state.lock().complete = complete;
        Ok(complete)
    }

    /// Writes the names that a walk found.
    pub(super) async fn complete_catalog(&self) -> Result<()> {
        if !self.has_catalog_index() || self.inner.catalog.state.lock().complete {
            return Ok(());
        }
        let names = self.inner.catalog.state.lock().names.clone();
        let writes: Vec<futures::future::BoxFuture<'_, Result<()>>> =
            names.iter().map(|name| Box::pin(self.put_catalog_name(name)) as _).collect();
        stream::iter(writes).buffer_unordered(PARALLEL).try_collect::<()>().await?;
        self.store().put(&layout::catalog_complete(), Bytes::new(), Durability::Synced).await?;
        self.inner.catalog.state.lock().complete = true;
        Ok(())
    }

    pub(super) async fn indexed_catalog(
        &self,
        last: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<RepositoryName>, bool)> {
        let options = List { shallow: false, after: last.map(layout::catalog_name), limit };
        let page = self.store().list(&layout::catalog_names(), options).await?;
        let names = page.entries.iter().map(|entry| layout::catalog_repository(entry.name()));
        Ok((names.filter_map(|name| RepositoryName::parse(&name).ok()).collect(), page.more))
    }
}
