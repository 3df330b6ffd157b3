//! The whole directory, with sizes.

use std::io;

use async_trait::async_trait;

use super::{Root, TEMPORARY};
use crate::{Area, Entry, Filesystem, Inventory, Key, List, Operation, Page, Result, Row, Rows};

/// Files of one page.
const PAGE: usize = 10_000;

#[async_trait]
impl Inventory for Filesystem {
    async fn rows(&self, area: Area, after: Option<&str>) -> Result<Rows> {
        if area != Area::Objects {
            return Ok(Rows::default());
        }
        let after = after.map(str::to_owned);
        let whole = Key::new("docker");
        self.blocking(Operation::List, &whole, move |root, _| root.rows(after)).await
    }
}

impl Root {
    fn rows(&self, after: Option<String>) -> io::Result<Rows> {
        let mut page = Page::default();
        self.walk(&self.path, "", &List { shallow: false, after, limit: PAGE }, &mut page)?;
        let next = page.entries.last().filter(|_| page.more).map(|last| last.name().to_owned());
        let mut rows = Vec::with_capacity(page.entries.len());
        for entry in page.entries {
            let Entry::Object(name) = entry else { continue };
            let half_written = name.strip_prefix(TEMPORARY).is_some_and(|rest| rest.starts_with('/'));
            let key = Key::new(name);
            match self.stat(&key) {
                Ok(_) if half_written => {}
                Ok(meta) => {
                    rows.push(Row {
                        name: key.as_str().to_owned(),
                        size: meta.size,
                        modified: meta.modified,
                        etag: None,
                    });
                }
                // Deleted since, or a socket.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                // Whoever reads it by name is told what is wrong with it.
                Err(_) => {
                    let name = key.as_str().to_owned();
                    rows.push(Row { name, size: 0, modified: None, etag: None });
                }
            }
        }
        Ok(Rows { rows, next })
    }
}
