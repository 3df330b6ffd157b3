//! Repositories, some at a time.

use wharfinger_oci::RepositoryName;
use wharfinger_registry::layout::{self, Place, place};
use wharfinger_store::{Area, Inventory, Result, Row};

use super::Census;

/// Links after which a batch is full.
const FULL: usize = 5_000;

/// Lists all repositories, so many at a time as fit in memory easily. Each is whole: what a repository holds lies in one
/// piece of the listing, because it begins with an underscore and names below it do not.
pub struct Batches<'a> {
    inventory: &'a dyn Inventory,
    prefix: String,
    after: Option<String>,
    open: Census,
    held: usize,
}

/// Whole repositories.
pub struct Batch {
    /// What the listing shows of them.
    pub census: Census,
    /// Rows that were listed for it.
    pub rows: u64,
}

impl<'a> Batches<'a> {
    /// From the beginning.
    pub fn new(inventory: &'a dyn Inventory) -> Batches<'a> {
        Batches::behind(inventory, None)
    }

    /// Behind a [`Batches::position`]; none is the beginning.
    pub fn behind(inventory: &'a dyn Inventory, position: Option<String>) -> Batches<'a> {
        let prefix = format!("{}/", layout::repositories());
        let after = position.or_else(|| Some(prefix.clone()));
        Batches { inventory, after, prefix, open: Census::default(), held: 0 }
    }

    /// Where a walk goes on that has done with all batches so far; none after the last.
    pub fn position(&self) -> Option<String> {
        let begun = || self.open.repositories.keys().next();
        // What is listed of a repository that goes on is listed again.
        self.after.as_ref().map(|after| {
            begun().map_or_else(|| after.clone(), |name| format!("{}/_", layout::repository(name.as_str())))
        })
    }

    /// How many rows there are to come.
    ///
    /// # Errors
    /// The listing failed.
    pub async fn count(&self) -> Result<u64> {
        let (mut after, mut count) = (self.position(), 0);
        while let Some(start) = after {
            let page = self.inventory.rows(Area::Objects, Some(&start)).await?;
            let below = page.rows.iter().take_while(|row| row.name.starts_with(&self.prefix)).count();
            count += below as u64;
            after = page.next.filter(|_| below == page.rows.len());
        }
        Ok(count)
    }

    /// The next batch, of those rows that are wanted; none after the last.
    ///
    /// # Errors
    /// The listing failed.
    pub async fn next(&mut self, wanted: impl Fn(&Row) -> bool) -> Result<Option<Batch>> {
        while let Some(start) = self.after.take() {
            let page = self.inventory.rows(Area::Objects, Some(&start)).await?;
            let all = page.rows.len();
            let (mut below, mut last) = (0, None);
            for row in page.rows.into_iter().take_while(|row| row.name.starts_with(&self.prefix)) {
                below += 1;
                last = repository_of(&row);
                if wanted(&row) {
                    self.open.count(row);
                }
            }
            self.held += below;
            self.after = page.next.filter(|_| below == all);
            if self.after.is_some() && self.held < FULL {
                continue;
            }
            // The last one may go on on the next page.
            let going_on = last.filter(|_| self.after.is_some());
            let open = going_on.and_then(|name| self.open.repositories.remove_entry(&name));
            let census = std::mem::take(&mut self.open);
            let rows = std::mem::take(&mut self.held) as u64;
            self.open.repositories.extend(open);
            return Ok(Some(Batch { census, rows }));
        }
        Ok(None)
    }
}

fn repository_of(row: &Row) -> Option<RepositoryName> {
    match place(&row.name)? {
        Place::LayerLink(name, _)
        | Place::RevisionLink(name, _)
        | Place::SignatureLink(name)
        | Place::TagCurrent(name, _)
        | Place::TagIndex(name, ..)
        | Place::ForeignUpload(name, ..) => Some(name),
        _ => None,
    }
}
