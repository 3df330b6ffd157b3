//! Listings of a container.

use std::time::SystemTime;

/// What to list. Names come in the order of their bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Names that begin with this.
    pub prefix: String,
    /// Names that go on after `prefix` with this become one [`Entry::Subdir`].
    pub delimiter: Option<String>,
    /// Names after this one.
    pub marker: Option<String>,
    /// Names before this one.
    pub end_marker: Option<String>,
    /// Most entries of a page. Default: what Swift allows, mostly 10000.
    pub limit: Option<usize>,
    /// Backwards.
    pub reverse: bool,
}

/// One page of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// What is on it.
    pub entries: Vec<Entry>,
    /// Whether to ask again with the last entry's name as the marker.
    pub more: bool,
}

/// One line of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// An object.
    Object {
        /// Its name.
        name: String,
        /// Its size in bytes; 0 for a DLO, the whole size for an SLO.
        bytes: u64,
        /// MD5 in hex of its bytes; of a manifest, what Swift chose.
        hash: String,
        /// When it was written, to the microsecond.
        last_modified: Option<SystemTime>,
        /// Its media type.
        content_type: String,
    },
    /// What names have in common up to and with the delimiter.
    Subdir(String),
}

impl Entry {
    /// The name, or what names have in common.
    pub fn name(&self) -> &str {
        match self {
            Entry::Object { name, .. } | Entry::Subdir(name) => name,
        }
    }
}
