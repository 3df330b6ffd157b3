//! Large objects: static (SLO) and dynamic (DLO).

use crate::client::not_written;
use crate::{Container, Put, Read, Result, Stored};

/// One segment of a static large object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SloSegment {
    /// Container of the segment.
    pub container: String,
    /// Name of the segment.
    pub name: String,
    /// Its ETag (MD5 in hex), which Swift compares. None: not compared.
    pub etag: Option<String>,
    /// Its size in bytes, which Swift compares.
    pub size: u64,
}

impl Container {
    /// Writes the manifest of a static large object.
    pub async fn put_slo(&self, _name: &str, _segments: &[SloSegment], _put: &Put) -> Result<Stored> {
        not_written()
    }

    /// The segments of a static large object, as its manifest says.
    pub async fn slo_segments(&self, _name: &str, _read: &Read) -> Result<Vec<SloSegment>> {
        not_written()
    }

    /// Deletes a static large object with its segments. False if there was none.
    pub async fn delete_slo(&self, _name: &str) -> Result<bool> {
        not_written()
    }

    /// Writes the header of a dynamic large object: all objects of `segment_container` whose names begin with
    /// `segment_prefix`, in the order of their names.
    pub async fn put_dlo(
        &self,
        _name: &str,
        _segment_container: &str,
        _segment_prefix: &str,
        _put: &Put,
    ) -> Result<Stored> {
        not_written()
    }
}
