//! The rows of a listing, with the next page on its way while one is read.

use std::sync::Arc;

use tokio::sync::mpsc;
use wharfinger_store::{Area, Inventory, Key, Operation, Result, Row, Rows, StoreError, StoreErrorKind};

/// Pages that wait to be read, besides the one that is fetched.
const WAITING: usize = 1;

/// Rows in the order of their names.
pub(super) struct Ahead {
    pages: mpsc::Receiver<Result<Rows>>,
    page: std::vec::IntoIter<Row>,
    last: bool,
}

impl Ahead {
    /// Begins to list; what is not read any more is not fetched either.
    pub(super) fn new(inventory: Arc<dyn Inventory>, area: Area) -> Ahead {
        let (sender, pages) = mpsc::channel(WAITING);
        tokio::spawn(fetch(inventory, area, sender));
        Ahead { pages, page: Vec::new().into_iter(), last: false }
    }

    /// The next row; none after the last one.
    pub(super) async fn next(&mut self) -> Result<Option<Row>> {
        loop {
            if let Some(row) = self.page.next() {
                return Ok(Some(row));
            }
            if self.last {
                return Ok(None);
            }
            let Some(page) = self.pages.recv().await else {
                let broken = "the listing was given up before its end";
                return Err(StoreError::new(
                    StoreErrorKind::Unavailable,
                    Operation::List,
                    &Key::new("docker"),
                    broken,
                ));
            };
            let page = page?;
            self.last = page.next.is_none();
            self.page = page.rows.into_iter();
        }
    }
}

async fn fetch(inventory: Arc<dyn Inventory>, area: Area, pages: mpsc::Sender<Result<Rows>>) {
    let mut after = None;
    loop {
        let page = inventory.rows(area, after.as_deref()).await;
        let next = page.as_ref().ok().and_then(|page| page.next.clone());
        if pages.send(page).await.is_err() || next.is_none() {
            return;
        }
        after = next;
    }
}
