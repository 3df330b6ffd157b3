//! What is said and asked about one object.

use std::time::{Duration, SystemTime};

use http::HeaderMap;

use crate::TransactionId;

/// What Swift says about an object.
#[derive(Clone, Debug)]
pub struct ObjectInfo {
    /// Size of the whole object in bytes, also where a range was read.
    pub size: u64,
    /// The ETag without quotes: MD5 in hex of the bytes, or of the segments' ETags for a large object.
    pub etag: Option<String>,
    /// When it was written, to the second.
    pub last_modified: Option<SystemTime>,
    /// When it was written (`X-Timestamp`), to 10 microseconds: what Swift orders writes by.
    pub timestamp: Option<SystemTime>,
    /// Its media type.
    pub content_type: Option<String>,
    /// What kind of large object it is; none for a plain one.
    pub manifest: Option<Manifest>,
    /// All headers.
    pub headers: HeaderMap,
    /// Swift's name for the request.
    pub transaction: Option<TransactionId>,
}

/// The kinds of large objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Manifest {
    /// A static one: its segments are listed in the object itself.
    Slo,
    /// A dynamic one: its segments are what a listing shows.
    Dlo {
        /// Container of the segments.
        container: String,
        /// What their names begin with.
        prefix: String,
    },
}

/// How to write an object.
#[derive(Clone, Debug, Default)]
pub struct Put {
    /// Media type. Default: `application/octet-stream`.
    pub content_type: Option<String>,
    /// Only where no object has the name. Two that race may both succeed.
    pub if_none_match: bool,
    /// The ETag that Swift has to find, MD5 in hex. Default: of a body in memory its MD5, of a stream nothing.
    pub etag: Option<String>,
    /// Neither compute nor send the MD5 of a body in memory (it costs 1.5 s for a gigabyte).
    pub skip_md5: bool,
    /// Gone after this time, in whole seconds.
    pub delete_after: Option<Duration>,
    /// Gone at this time, in seconds since 1970.
    pub delete_at: Option<u64>,
    /// `X-Object-Meta-*`, without that prefix.
    pub metadata: Vec<(String, String)>,
    /// Any other header.
    pub headers: HeaderMap,
}

/// How to read an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// Ask all replicas and take the newest (`X-Newest`): slower, for names that are overwritten.
    pub newest: bool,
    /// Not the whole object.
    pub range: Option<Range>,
    /// Only if its ETag is this one (without quotes).
    pub if_match: Option<String>,
    /// Of a large object the manifest itself (`multipart-manifest=get`).
    pub raw_manifest: bool,
}

/// A part of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// From this offset to the end.
    From(u64),
    /// From the first to the last offset, both included.
    Inclusive(u64, u64),
    /// So many bytes at the end.
    Last(u64),
}

/// How to delete an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delete {
    /// Only if its `X-Delete-At` is this (`X-If-Delete-At`), in seconds since 1970.
    pub if_delete_at: Option<u64>,
}

/// An object that Swift has stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its ETag without quotes.
    pub etag: Option<String>,
    /// Swift's name for the request.
    pub transaction: Option<TransactionId>,
}
