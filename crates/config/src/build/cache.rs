//! `cache`.

use crate::config::cache::DiskCache;
use crate::read::Reader;
use crate::value::Size;

/// What a cache has at least.
const SMALLEST: u64 = 1 << 20;

pub(super) fn cache(reader: &mut Reader<'_, '_>) -> Option<DiskCache> {
    const SIZE: &str = "cache.size";
    let directory = reader.optional("cache.directory");
    let Size(size) = reader.value(SIZE);
    if directory.is_some() && size < SMALLEST {
        reader.error(SIZE, "has to be at least 1MiB");
    }
    Some(DiskCache { directory: directory?, size, stale_limit: reader.value("cache.stale_tag_limit") })
}
