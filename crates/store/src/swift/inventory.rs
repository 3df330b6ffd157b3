//! The whole container, and what one object in it consists of.

use async_trait::async_trait;
use wharfinger_swift::{Entry, Listing, Manifest};

use super::segments::Segments;
use super::{Inner, error, legal};
use crate::{Area, Inventory, Key, Operation, Piece, Result, Row, Rows, Structure, Swift};

/// Sorts behind every name that begins with what stands before it.
const BEHIND: char = char::MAX;

impl Swift {
    /// The container, for questions that are not about objects.
    pub fn container(&self) -> &wharfinger_swift::Container {
        &self.inner.container
    }

    pub(super) async fn structure(&self, key: &Key) -> Result<Structure> {
        legal(Operation::Head, key)?;
        let inner: &Inner = &self.inner;
        let info = inner.look(&inner.names.object(key), true).await;
        let info = info.map_err(|error| error::of(Operation::Head, key, error))?;
        match info.manifest {
            None => Ok(Structure::Plain),
            Some(Manifest::Slo) => {
                let segments = inner.static_segments(Operation::Head, key).await?;
                Ok(Structure::Static { segments: pieces(&segments) })
            }
            Some(Manifest::Dlo { container, prefix }) => {
                let recorded = inner.recorded_segments(Operation::Head, key, &container, &prefix).await?;
                let recorded = recorded.map(|segments| pieces(&segments));
                Ok(Structure::Dynamic { container, prefix, recorded })
            }
        }
    }
}

fn pieces(segments: &Segments) -> Vec<Piece> {
    segments.list.iter().map(|s| Piece { name: s.name.clone(), size: s.size }).collect()
}

#[async_trait]
impl Inventory for Swift {
    async fn rows(&self, area: Area, after: Option<&str>) -> Result<Rows> {
        let (files, segments) = self.inner.names.areas();
        match area {
            Area::Objects => {
                let marker = after.map(|after| format!("{files}{after}"));
                let mut rows = self.inner.rows(&files, marker, None).await?;
                let names = rows.rows.iter_mut().map(|row| &mut row.name).chain(&mut rows.next);
                names.for_each(|name| drop(name.drain(..files.len())));
                Ok(rows)
            }
            Area::Segments => self.inner.rows(&segments, after.map(str::to_owned), None).await,
            Area::Others => self.others(after.unwrap_or_default(), [&files, &segments]).await,
        }
    }
}

impl Swift {
    /// What lies before, between and behind two prefixes.
    async fn others(&self, after: &str, known: [&str; 2]) -> Result<Rows> {
        let mut start = after.to_owned();
        for end in known.map(Some).into_iter().chain([None]) {
            if end.is_none_or(|end| start.as_str() < end) {
                let marker = Some(start.clone()).filter(|start| !start.is_empty());
                let mut found = self.inner.rows("", marker, end.map(str::to_owned)).await?;
                if let Some(last) = found.rows.last() {
                    // Perhaps nothing more in this gap, but in the next one.
                    found.next = Some(last.name.clone());
                    return Ok(found);
                }
            }
            if let Some(end) = end {
                start = start.max(format!("{end}{BEHIND}"));
            }
        }
        Ok(Rows::default())
    }
}

impl Inner {
    async fn rows(&self, prefix: &str, marker: Option<String>, end: Option<String>) -> Result<Rows> {
        let listing = Listing { prefix: prefix.to_owned(), marker, end_marker: end, ..Listing::default() };
        let page = self.container.list(&listing).await;
        let page = page.map_err(|failure| {
            let whole = Key::new(if prefix.is_empty() { "files" } else { prefix.trim_matches('/') });
            error::of(Operation::List, &whole, failure)
        })?;
        let row = |entry| match entry {
            Entry::Object { name, bytes, hash, last_modified, .. } => {
                Some(Row { name, size: bytes, modified: last_modified, etag: Some(hash) })
            }
            Entry::Subdir(_) => None,
        };
        let next = page.entries.last().filter(|_| page.more).map(|last| last.name().to_owned());
        Ok(Rows { rows: page.entries.into_iter().filter_map(row).collect(), next })
    }
}
