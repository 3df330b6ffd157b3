//! Static large objects: reads by the stored list of segments, each checked.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::body::ReplyBody;
use crate::http::{Head, Reply, md5_hex};
use crate::range::{Ranges, Selected};
use crate::read::{conditions, describe, unsatisfiable};
use crate::segments::{Segment, assemble};
use crate::state::{Object, State};

/// How deep SLOs may be nested.
const DEPTH: usize = 10;

/// A read of the whole that an SLO stands for.
pub(crate) fn read(state: &mut State, head: &Head, object: &Object) -> Reply {
    let Some(slo) = &object.slo else { return Reply::status(404) };
    let mut reply = describe(object).header("X-Manifest-Etag", &*object.etag);
    let etag = format!("\"{}\"", slo.etag);
    if let Some(refused) = conditions(head, &etag, &reply) {
        return refused;
    }
    reply = reply.header("Etag", etag);
    if head.method == http::Method::HEAD {
        return reply.with_body(ReplyBody::announced(Some(slo.size)));
    }
    let (start, end) = match Ranges::of(head).select(slo.size) {
        Selected::Whole | Selected::Several => (0, slo.size),
        Selected::Part(start, end) => {
            reply.status = http::StatusCode::PARTIAL_CONTENT;
            reply = reply.header("Content-Range", format!("bytes {start}-{}/{}", end - 1, slo.size));
            (start, end)
        }
        Selected::Unsatisfiable => return unsatisfiable(&reply, slo.size),
    };
    let entries = parse(object);
    let mut segments = Vec::new();
    let sound = select(state, head, &entries, (start, end), 0, &mut segments);
    if !sound && segments.is_empty() {
        return Reply::status(409);
    }
    match assemble(state, head.started, &segments, Some(end - start), None) {
        Ok(body) => reply.with_body(body),
        Err(refused) => refused,
    }
}

/// An entry of a stored manifest.
#[derive(Clone, Debug)]
struct Part {
    container: String,
    name: String,
    hash: String,
    bytes: u64,
    /// The part of the segment that counts: from, up to but not including.
    range: Option<(u64, u64)>,
    nested: bool,
    inline: Option<bytes::Bytes>,
}

impl Part {
    fn length(&self) -> u64 {
        match (&self.inline, self.range) {
            (Some(bytes), _) => bytes.len() as u64,
            (None, Some((start, end))) => end - start,
            (None, None) => self.bytes,
        }
    }
}

fn parse(object: &Object) -> Vec<Part> {
    let list: Vec<Value> = serde_json::from_slice(&object.content).unwrap_or_default();
    list.iter().map(parse_one).collect()
}

fn parse_one(entry: &Value) -> Part {
    let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
    let path = text("name");
    let (container, name) = path.trim_start_matches('/').split_once('/').unwrap_or_default();
    let range = entry["range"].as_str().and_then(|range| range.split_once('-'));
    Part {
        container: container.to_owned(),
        name: name.to_owned(),
        hash: text("hash"),
        bytes: entry["bytes"].as_u64().unwrap_or(0),
        range: range.and_then(|(first, last)| Some((first.parse().ok()?, last.parse::<u64>().ok()? + 1))),
        nested: entry["sub_slo"] == json!(true),
        inline: entry["data"].as_str().and_then(|data| STANDARD.decode(data).ok()).map(Into::into),
    }
}

/// Collects the segments of the bytes from `wanted.0` up to `wanted.1`; false where a nested manifest cannot be read.
fn select(
    state: &State,
    head: &Head,
    parts: &[Part],
    wanted: (u64, u64),
    depth: usize,
    segments: &mut Vec<Segment>,
) -> bool {
    let mut offset = 0;
    for part in parts {
        let (first, last) = (offset, offset + part.length());
        offset = last;
        if last <= wanted.0 || first >= wanted.1 {
            continue;
        }
        // Within the segment.
        let skipped = part.range.map_or(0, |(start, _)| start);
        let start = wanted.0.saturating_sub(first) + skipped;
        let end = wanted.1.min(last) - first + skipped;
        if let Some(bytes) = &part.inline {
            let slice = bytes.slice(crate::read::usize_of(start)..crate::read::usize_of(end));
            segments.push(Segment::Inline(slice));
        } else if part.nested {
            let nested = state.live(&part.container, &part.name, head.started);
            let Some(nested) = nested.filter(|object| object.slo.is_some() && depth < DEPTH) else {
                return false;
            };
            if !select(state, head, &parse(nested), (start, end), depth + 1, segments) {
                return false;
            }
        } else {
            segments.push(Segment::Object {
                container: part.container.clone(),
                name: part.name.clone(),
                etag: Some(part.hash.clone()),
                size: Some(part.bytes),
                start,
                end: (end < part.bytes).then_some(end),
            });
        }
    }
    true
}

/// `?multipart-manifest=get`: the list as it is stored, or, with `format=raw`, as it was put.
pub(crate) fn manifest(head: &Head, object: &Object, raw: bool) -> Reply {
    let headers = describe(object);
    if let Some(refused) = conditions(head, &object.etag, &headers) {
        return refused;
    }
    if raw && head.method == http::Method::HEAD {
        // Swift 2.30 looks for the list in the body that a HEAD does not have.
        return Reply::message(500, "An error occurred");
    }
    let mut reply = headers;
    let content = if raw { as_put(object) } else { object.content.to_vec() };
    let etag = if raw { md5_hex(&content) } else { object.etag.clone() };
    if !raw {
        reply.headers.retain(|(name, _)| name != "Content-Type");
        reply = reply.header("Content-Type", "application/json; charset=utf-8");
    }
    let size = content.len() as u64;
    let content = bytes::Bytes::from(content);
    crate::read::answer(head, reply.header("Etag", etag), size, |start, end| {
        content.slice(crate::read::usize_of(start)..crate::read::usize_of(end))
    })
}

/// The list with the keys of a PUT.
fn as_put(object: &Object) -> Vec<u8> {
    let list: Vec<Map<String, Value>> = serde_json::from_slice(&object.content).unwrap_or_default();
    let convert = |mut entry: Map<String, Value>| {
        if entry.contains_key("data") {
            return entry;
        }
        for gone in ["content_type", "last_modified", "sub_slo"] {
            entry.remove(gone);
        }
        for (from, to) in [("name", "path"), ("bytes", "size_bytes"), ("hash", "etag")] {
            let value = entry.remove(from).unwrap_or(Value::Null);
            entry.insert(to.to_owned(), value);
        }
        entry
    };
    let list: Vec<Map<String, Value>> = list.into_iter().map(convert).collect();
    serde_json::to_vec(&list).expect("a list of maps")
}

/// The segments that a stored manifest names, nested ones with their own before them, for a delete.
pub(crate) fn named(state: &State, head: &Head, object: &Object, depth: usize) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for part in parse(object).into_iter().filter(|part| part.inline.is_none()) {
        let nested = state.live(&part.container, &part.name, head.started);
        if let Some(nested) = nested.filter(|_| part.nested && depth < DEPTH) {
            all.extend(named(state, head, nested, depth + 1));
        }
        all.push((part.container, part.name));
    }
    all
}
