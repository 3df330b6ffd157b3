//! Dynamic large objects: whatever the listing of a prefix shows at the time of the read.

use std::time::Duration;

use md5::{Digest, Md5};

use crate::body::ReplyBody;
use crate::exchange::Exchange;
use crate::http::{Head, Reply};
use crate::range::{Ranges, Selected};
use crate::read::{conditions, describe, unsatisfiable};
use crate::segments::{Segment, assemble};
use crate::state::{Object, State};

/// A read of an object whose `X-Object-Manifest` is `manifest`. Segments that the listing does not show are silently
/// left out.
pub(crate) fn read(
    exchange: &Exchange,
    state: &mut State,
    head: &Head,
    object: &Object,
    manifest: &str,
) -> Reply {
    let Some((container, prefix)) = manifest.split_once('/') else { return Reply::status(400) };
    let Some(place) = state.container(container) else { return Reply::status(404) };
    let limit = exchange.cluster.options.page_limit;
    let shown = place.shown().filter(|(name, _)| name.starts_with(prefix));
    let rows: Vec<(String, u64, String)> =
        shown.map(|(name, row)| (name.clone(), row.bytes, row.hash.clone())).collect();
    // Size and ETag are computed of the first page alone, or not at all when there are more.
    let complete = rows.len() < limit;
    let page = &rows[..rows.len().min(limit)];
    let size: u64 = page.iter().map(|(_, bytes, _)| bytes).sum();
    let ranges = Ranges::of(head);
    let mut selected = Selected::Whole;
    if ranges.count() == 1 && (complete || ranges.last_byte().is_some_and(|last| last < size)) {
        selected = ranges.select(size);
    }
    if selected == Selected::Unsatisfiable {
        return unsatisfiable(&Reply::status(416).header("Accept-Ranges", "bytes"), size);
    }
    let mut reply = describe(object);
    let etag = hashed(page.iter().map(|(_, _, hash)| hash.as_str()));
    let tag = if complete { format!("\"{etag}\"") } else { object.etag.clone() };
    if let Some(refused) = conditions(head, &tag, &reply) {
        return refused;
    }
    reply = reply.header("Etag", tag);
    let (start, end, length) = match selected {
        Selected::Part(start, end) => (start, end, Some(end - start)),
        _ if complete => (0, u64::MAX, Some(size)),
        _ => (0, u64::MAX, None),
    };
    if head.method == http::Method::HEAD {
        return reply.with_body(ReplyBody::announced(complete.then_some(size)));
    }
    if let Selected::Part(start, end) = selected {
        reply.status = http::StatusCode::PARTIAL_CONTENT;
        reply = reply.header("Content-Range", format!("bytes {start}-{}/{size}", end - 1));
    }
    let pause =
        exchange.cluster.options.dlo_segments_per_second.map(|rate| Duration::from_secs_f64(1.0 / rate));
    let segments = cut(container, &rows, start, end);
    match assemble(state, head.started, &segments, length, pause) {
        Ok(body) => reply.with_body(body),
        Err(refused) => refused,
    }
}

/// The segments that hold the bytes from `start` up to `end`, by the sizes that the listing says.
fn cut(container: &str, rows: &[(String, u64, String)], start: u64, end: u64) -> Vec<Segment> {
    let mut offset = 0_u64;
    let mut segments = Vec::new();
    for (name, bytes, _) in rows {
        let (first, last) = (offset, offset + bytes);
        offset = last;
        if last <= start || first >= end {
            continue;
        }
        segments.push(Segment::Object {
            container: container.to_owned(),
            name: name.clone(),
            etag: None,
            size: None,
            start: start.saturating_sub(first),
            end: (end < last).then(|| end - first),
        });
    }
    segments
}

/// The MD5 of hashes in hex, one after the other: the ETag of a large object.
pub(crate) fn hashed<'a>(hashes: impl Iterator<Item = &'a str>) -> String {
    let mut digest = Md5::new();
    for hash in hashes {
        digest.update(hash.as_bytes());
    }
    hex::encode(digest.finalize())
}
