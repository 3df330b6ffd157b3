//! The segments of a large object, each with its size and ETag, so that exactly these are read.
//!
//! Of a dynamic large object Swift knows only a prefix, and a listing decides what a reader gets. Its exact list is
//! written beside it: at once for objects of ours, after the first proof of their content for those of Distribution.
//! Without a list, the listing's numbers and their gaps are looked up by name.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, StreamExt, TryStreamExt};
use md5::{Digest as _, Md5};
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};
use wharfinger_swift::{Entry, ErrorKind, Listing, ObjectInfo, Put, Read};

use super::names::segment;
use super::{Inner, PARALLEL, error};
use crate::{Key, Operation, Part, Result, StoreError, StoreErrorKind};

/// Waits before a segment that was not found is believed to be missing: a replica may lag.
const BELIEVE_AFTER: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(300)];
/// Numbers looked at behind the last segment that is known: a listing may lack the last ones.
const LOOKS_BEHIND: u64 = 2;
/// Lists remembered.
const REMEMBERED: usize = 10_000;
/// The list of an object of a million segments.
const LARGEST_LIST: usize = 128 * 1024 * 1024;
/// Digits of a segment's number in its name.
const DIGITS: usize = 16;

/// What a large object consists of, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Segments {
    version: u32,
    /// Where they lie.
    container: String,
    /// What their names begin with, as the header of the dynamic large object says.
    prefix: String,
    pub(super) list: Vec<Segment>,
    /// Whether this came from a listing and its content was not proved yet.
    #[serde(skip)]
    pub(super) unproved: bool,
}

/// One segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Segment {
    pub(super) name: String,
    pub(super) size: u64,
    pub(super) etag: String,
}

const VERSION: u32 = 1;

/// Lists that were read or made, by the name of the header object.
pub(super) struct SegmentLists(Cache<String, Arc<Segments>>);

impl Default for SegmentLists {
    fn default() -> Self {
        SegmentLists(Cache::new(REMEMBERED))
    }
}

impl Segments {
    pub(super) fn new(container: &str, prefix: &str, list: Vec<Segment>) -> Segments {
        let (container, prefix) = (container.to_owned(), prefix.to_owned());
        Segments { version: VERSION, container, prefix, list, unproved: false }
    }

    /// What is staged at a key.
    pub(super) fn staged(inner: &Inner, key: &Key, parts: &[Part]) -> Segments {
        let prefix = inner.names.segments(key);
        let of = |(number, part): (u64, &Part)| Segment {
            name: segment(&prefix, number),
            size: part.size,
            etag: part.etag.clone(),
        };
        let list = (1..).zip(parts).map(of).collect();
        Segments::new(&inner.options.container, &prefix, list)
    }

    pub(super) fn size(&self) -> u64 {
        self.list.iter().map(|segment| segment.size).sum()
    }

    /// The ETag that a static large object of these segments has.
    pub(super) fn etag(&self) -> String {
        let mut md5 = Md5::new();
        self.list.iter().for_each(|segment| md5.update(&segment.etag));
        hex::encode(md5.finalize())
    }

    pub(super) fn container(&self) -> &str {
        &self.container
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    fn is_of(&self, container: &str, prefix: &str) -> bool {
        self.version == VERSION && self.container == container && self.prefix == prefix
    }
}

impl Inner {
    /// The segments of the dynamic large object at `key`, whose header names `container` and `prefix`.
    pub(super) async fn segments(
        &self,
        operation: Operation,
        key: &Key,
        container: &str,
        prefix: &str,
    ) -> Result<Arc<Segments>> {
        match self.recorded_segments(operation, key, container, prefix).await? {
            Some(exact) => Ok(exact),
            None => Ok(Arc::new(self.listed_segments(operation, key, container, prefix).await?)),
        }
    }

    /// The exact list beside the dynamic large object at `key`, if it is there and for this prefix.
    pub(super) async fn recorded_segments(
        &self,
        operation: Operation,
        key: &Key,
        container: &str,
        prefix: &str,
    ) -> Result<Option<Arc<Segments>>> {
        let name = self.names.segment_list(key);
        if let Some(known) = self.lists.0.get(&name).filter(|known| known.is_of(container, prefix)) {
            return Ok(Some(known));
        }
        let read = Read { newest: true, ..Read::default() };
        let stored = match self.container.get_bytes(&name, LARGEST_LIST, &read).await {
            Ok((_, bytes)) => serde_json::from_slice::<Segments>(&bytes).ok(),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error::of(operation, key, error)),
        };
        let exact = stored.filter(|stored| stored.is_of(container, prefix)).map(Arc::new);
        if let Some(exact) = &exact {
            self.lists.0.insert(name, exact.clone());
        }
        Ok(exact)
    }

    /// What a listing shows, with every gap looked up by name, up to the first number that is surely absent.
    async fn listed_segments(
        &self,
        operation: Operation,
        key: &Key,
        container: &str,
        prefix: &str,
    ) -> Result<Segments> {
        let failed = |error| error::of(operation, key, error);
        let place = self.client.container(container).map_err(failed)?;
        let pages = place.pages(Listing { prefix: format!("{prefix}/"), ..Listing::default() });
        let entries: Vec<Entry> = pages
            .map_ok(|page| stream::iter(page.entries).map(Ok))
            .try_flatten()
            .try_collect()
            .await
            .map_err(failed)?;
        let mut found = BTreeMap::new();
        for entry in entries {
            if let Entry::Object { name, bytes, hash, .. } = entry
                && let Some(number) = number_of(&name, prefix)
            {
                found.insert(number, Segment { name, size: bytes, etag: hash });
            }
        }
        // A resumed plain object became number 0, after which Distribution goes on with 2.
        let skipped = if found.contains_key(&0) { Some(1) } else { None };
        let (mut number, mut behind) = (1, 0);
        while behind < LOOKS_BEHIND {
            let listed_later = found.range(number..).next().is_some();
            if !found.contains_key(&number) && Some(number) != skipped {
                let name = segment(prefix, number);
                // At the end one look at all copies has to do: every reader waits for it.
                let patience = if listed_later { &BELIEVE_AFTER[..] } else { &[] };
                match look_again(&place, &name, patience).await.map_err(failed)? {
                    Some(info) => {
                        let etag = info.etag.clone().unwrap_or_default();
                        found.insert(number, Segment { name, size: info.size, etag });
                        if behind > 0 {
                            let missing = segment(prefix, number - 1);
                            return Err(damaged(operation, key, &format!("segment {missing} is missing")));
                        }
                    }
                    None if listed_later => {
                        return Err(damaged(operation, key, &format!("segment {name} is missing")));
                    }
                    None => behind += 1,
                }
            }
            number += 1;
        }
        let list = found.into_values().collect();
        Ok(Segments { unproved: true, ..Segments::new(container, prefix, list) })
    }

    /// The segments of a static large object, as its manifest lists them.
    pub(super) async fn static_segments(&self, operation: Operation, key: &Key) -> Result<Segments> {
        let read = Read { newest: true, ..Read::default() };
        let listed = self.container.slo_segments(&self.names.object(key), &read).await;
        let listed = listed.map_err(|error| error::of(operation, key, error))?;
        let container =
            listed.first().map_or(self.options.container.as_str(), |s| s.container.as_str()).to_owned();
        let of = |s: wharfinger_swift::SloSegment| Segment {
            name: s.name,
            size: s.size,
            etag: s.etag.unwrap_or_default(),
        };
        Ok(Segments::new(&container, "", listed.into_iter().map(of).collect()))
    }

    /// Looks at every segment by name.
    pub(super) async fn compare(&self, operation: Operation, key: &Key, segments: &Segments) -> Result<()> {
        let place = self.client.container(segments.container());
        let place = place.map_err(|error| error::of(operation, key, error))?;
        let looks = segments.list.iter().map(|segment| self.compare_one(operation, key, &place, segment));
        let looks: Vec<futures::future::BoxFuture<'_, Result<()>>> =
            looks.map(|look| Box::pin(look) as _).collect();
        stream::iter(looks).buffer_unordered(PARALLEL).try_collect::<()>().await
    }

    /// Looks at the last segment by name.
    pub(super) async fn compare_last(
        &self,
        operation: Operation,
        key: &Key,
        segments: &Segments,
    ) -> Result<()> {
        let Some(last) = segments.list.last() else { return Ok(()) };
        self.compare_one(operation, key, &self.container, last).await
    }

    async fn compare_one(
        &self,
        operation: Operation,
        key: &Key,
        place: &wharfinger_swift::Container,
        segment: &Segment,
    ) -> Result<()> {
        let found = look_again(place, &segment.name, &BELIEVE_AFTER).await;
        let problem = match found.map_err(|error| error::of(operation, key, error))? {
            None => format!("segment {} is missing", segment.name),
            Some(info) => {
                let same = segment.etag.is_empty() || info.etag.as_deref() == Some(segment.etag.as_str());
                if info.size == segment.size && same {
                    return Ok(());
                }
                let transaction =
                    info.transaction.map(|id| format!(" (transaction {id})")).unwrap_or_default();
                let (found, expected) = (info.size, segment.size);
                format!(
                    "segment {} has {found} bytes or other content, not its {expected}{transaction}",
                    segment.name
                )
            }
        };
        Err(damaged(operation, key, &problem))
    }

    /// Writes the exact list of the segments of a dynamic large object, and remembers it.
    pub(super) async fn keep_segments(
        &self,
        operation: Operation,
        key: &Key,
        segments: &Segments,
    ) -> Result<()> {
        let name = self.names.segment_list(key);
        let exact = Segments { unproved: false, ..segments.clone() };
        if self.options.writable {
            let failed = |error| StoreError::new(StoreErrorKind::Invalid, operation, key, error);
            let bytes = serde_json::to_vec(&exact).map_err(failed)?;
            let stored = self.container.put(&name, bytes.into(), &Put::default()).await;
            stored.map_err(|error| error::of(operation, key, error))?;
        }
        self.lists.0.insert(name, Arc::new(exact));
        Ok(())
    }
}

/// An object by name, from its newest copy; absent only when it still was after these waits.
async fn look_again(
    place: &wharfinger_swift::Container,
    name: &str,
    waits: &[Duration],
) -> Result<Option<ObjectInfo>, wharfinger_swift::Error> {
    let read = Read { newest: true, ..Read::default() };
    for wait in waits.iter().copied().map(Some).chain([None]) {
        match place.head(name, &read).await {
            Ok(info) => return Ok(Some(info)),
            Err(error) if error.kind() == ErrorKind::NotFound => match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None => return Ok(None),
            },
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

pub(super) fn damaged(operation: Operation, key: &Key, problem: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Invalid, operation, key, problem.to_owned())
}

/// The number of a segment that Distribution, or this store, wrote below a prefix.
fn number_of(name: &str, prefix: &str) -> Option<u64> {
    let digits = name.strip_prefix(prefix)?.strip_prefix('/')?;
    let plain = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_segments_are_taken_for_segments() {
        assert_eq!(number_of("segments/2f6/46/0000000000000017", "segments/2f6/46"), Some(17));
        for other in [
            "segments/2f6/46",
            "segments/2f6/46/17",
            "segments/2f6/46/000000000000001x",
            "x/0000000000000001",
        ] {
            assert_eq!(number_of(other, "segments/2f6/46"), None, "{other}");
        }
    }

    #[test]
    fn a_list_is_good_only_for_the_header_that_it_was_made_for() {
        let list = vec![Segment { name: "p/1".into(), size: 3, etag: "e".into() }];
        let segments = Segments::new("c", "p", list);
        let read: Segments = serde_json::from_slice(&serde_json::to_vec(&segments).unwrap()).unwrap();
        assert_eq!((&read, read.size()), (&segments, 3));
        assert!(read.is_of("c", "p") && !read.is_of("c", "q") && !read.is_of("d", "p"));
    }
}
