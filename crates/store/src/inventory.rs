//! Everything that lies in a store, as a listing shows it, and how one object is put together.
//!
//! For those who look at a store as a whole. A listing finds candidates; a read by name decides.

use std::time::SystemTime;

use async_trait::async_trait;

use crate::Result;

/// A part of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Area {
    /// Objects with a key.
    Objects,
    /// Segments of large objects, where the store keeps such.
    Segments,
    /// What else lies there: names that no key has.
    Others,
}

/// One line of an inventory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// In [`Area::Objects`] the text of the key, elsewhere the whole name.
    pub name: String,
    /// Bytes, as the listing tells; 0 for a dynamic large object.
    pub size: u64,
    /// When it was written, by the store's clock.
    pub modified: Option<SystemTime>,
    /// MD5 in hex of its bytes, where the listing has it. Of a dynamic large object that of nothing, of a static one
    /// what the store made of its manifest: never a proof of what a reader gets.
    pub etag: Option<String>,
}

/// A page of an inventory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// In byte order of their names.
    pub rows: Vec<Row>,
    /// Where the next page goes on; `None` after the last one.
    pub next: Option<String>,
}

/// A store that can be listed as a whole. Reads alone.
#[async_trait]
pub trait Inventory: Send + Sync + 'static {
    /// A page of what lies in `area` behind the name `after`, as large as suits the store.
    async fn rows(&self, area: Area, after: Option<&str>) -> Result<Rows>;
}

/// What an object consists of ([`crate::Store::inspect`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Structure {
    /// One object, or one file.
    Plain,
    /// A static large object of Swift: it lists its segments itself.
    Static {
        /// In order.
        segments: Vec<Piece>,
    },
    /// A dynamic large object of Swift: whatever a listing shows below a prefix.
    Dynamic {
        /// Where the segments lie.
        container: String,
        /// What their names begin with, before a slash.
        prefix: String,
        /// Exactly these, as the list beside the object says; `None` where there is no such list for this prefix.
        recorded: Option<Vec<Piece>>,
    },
}

/// One segment of a large object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The whole name.
    pub name: String,
    /// Bytes.
    pub size: u64,
}
