//! The names of all repositories, kept in order.
//!
//! On a remote store that is ours alone each repository leaves its name at a place where one listing finds a page of
//! them ([`index`]). Elsewhere the tree is walked in the background and remembered: repositories that this process makes appear at once. Those that another writer makes on the same store appear
//! within [`FRESH`] and one request, at the latest after [`STALE`].

mod index;

use std::cmp::Ordering;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use wharfinger_oci::RepositoryName;
use wharfinger_store::{Entry, List};

use crate::error::Result;
use crate::layout;
use crate::registry::Registry;

/// Younger than this the list is answered as it is.
const FRESH: Duration = Duration::from_secs(5);
/// Older than this a request waits for a new walk; in between it starts one and takes the old list.
const STALE: Duration = Duration::from_secs(60);

#[derive(Default)]
pub(crate) struct Catalog {
    state: Mutex<State>,
    walking: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Default)]
struct State {
    names: Arc<Vec<RepositoryName>>,
    walked: Option<Instant>,
    /// Made here since the last walk began; a walk that missed them does not drop them.
    added: Vec<RepositoryName>,
    /// Names that this process wrote, or saw, at their place.
    written: HashSet<RepositoryName>,
    /// Whether the names of all repositories are at their place.
    complete: bool,
}

/// Distribution's order: component by component, so `a/b` comes before `a-b`.
fn order(a: &str, b: &str) -> Ordering {
    a.split('/').cmp(b.split('/'))
}

impl Catalog {
    /// Remembers a repository that was just written to.
    pub(crate) fn note(&self, name: &RepositoryName) {
        let mut state = self.state.lock();
        if let Err(at) = state.names.binary_search_by(|known| order(known.as_str(), name.as_str())) {
            Arc::make_mut(&mut state.names).insert(at, name.clone());
            state.added.push(name.clone());
        }
    }
}

impl Catalog {
    /// Takes over what a walk found.
    fn walked(&self, mut names: Vec<RepositoryName>) {
        let mut state = self.state.lock();
        names.append(&mut state.added);
        names.sort_by(|a, b| order(a.as_str(), b.as_str()));
        names.dedup();
        state.names = Arc::new(names);
        state.walked = Some(Instant::now());
    }
}

impl Registry {
    /// At most `limit` repository names after `last` (exclusive; it need not exist), and whether there are more.
    pub async fn catalog(&self, last: Option<&str>, limit: usize) -> Result<(Vec<RepositoryName>, bool)> {
        if self.has_catalog_index() && self.catalog_is_complete().await? {
            return self.indexed_catalog(last, limit).await;
        }
        let names = self.repository_names().await?;
        let start = last
            .map_or(0, |last| names.partition_point(|name| order(name.as_str(), last) != Ordering::Greater));
        let page: Vec<RepositoryName> = names[start..].iter().take(limit).cloned().collect();
        let more = start + page.len() < names.len();
        Ok((page, more))
    }

    /// All names, in order, as fresh as the module's limits say.
    pub(crate) async fn repository_names(&self) -> Result<Arc<Vec<RepositoryName>>> {
        let age = self.inner.catalog.state.lock().walked.map(|at| at.elapsed());
        match age {
            Some(age) if age < FRESH => {}
            Some(age) if age < STALE => {
                if let Ok(guard) = self.inner.catalog.walking.clone().try_lock_owned() {
                    let registry = self.clone();
                    tokio::spawn(async move {
                        if let Err(error) = registry.walk_repositories(guard).await {
                            tracing::warn!(%error, "listing the repositories failed; the catalog stays as it was");
                        }
                    });
                }
            }
            _ => {
                let guard = self.inner.catalog.walking.clone().lock_owned().await;
                let done = self.inner.catalog.state.lock().walked.is_some_and(|at| at.elapsed() < FRESH);
                if !done {
                    self.walk_repositories(guard).await?;
                }
            }
        }
        Ok(self.inner.catalog.state.lock().names.clone())
    }

    async fn walk_repositories(&self, _only_one: tokio::sync::OwnedMutexGuard<()>) -> Result<()> {
        self.inner.catalog.state.lock().added.clear();
        let mut names = Vec::new();
        let mut open = vec![String::new()];
        while let Some(parent) = open.pop() {
            let prefix = if parent.is_empty() { layout::repositories() } else { layout::repository(&parent) };
            let everything = List { shallow: true, after: None, limit: usize::MAX };
            let mut is_repository = false;
            for entry in self.store().list(&prefix, everything).await?.entries {
                match entry {
                    Entry::Prefix(part) if part == "_layers" || part == "_manifests" => is_repository = true,
                    Entry::Prefix(part) if !part.starts_with('_') => {
                        open.push(if parent.is_empty() { part } else { format!("{parent}/{part}") });
                    }
                    _ => {}
                }
            }
            if is_repository && let Ok(name) = RepositoryName::parse(&parent) {
                names.push(name);
            }
        }
        self.inner.catalog.walked(names);
        self.complete_catalog().await
    }
}
