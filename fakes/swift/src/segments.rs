//! The body of a large object, put together from its segments as the proxy does (`SegmentedIterable`).

use std::time::Duration;

use bytes::Bytes;

use crate::body::{End, ReplyBody};
use crate::clock::Timestamp;
use crate::http::Reply;
use crate::read::usize_of;
use crate::state::State;

/// How many segments come before any pause.
const FREE_SEGMENTS: usize = 10;

/// A part of a large object: a segment, or bytes that its manifest holds.
#[derive(Clone, Debug)]
pub(crate) enum Segment {
    /// Bytes of an object.
    Object {
        container: String,
        name: String,
        /// What the ETag must be, where the manifest says so.
        etag: Option<String>,
        /// What the size must be, where the manifest says so.
        size: Option<u64>,
        /// From here, up to but not including there; `None`: to its end.
        start: u64,
        end: Option<u64>,
    },
    /// Bytes of the manifest.
    Inline(Bytes),
}

/// The server that Swift's proxy runs in sends nothing, not even the head, before it has that many bytes.
const BUFFERED: u64 = 4096;

/// Puts the segments together. One that is missing or another ends the body early; it makes the answer 409 when it is
/// the first, and 500 when so little came before that no head was sent. What is found wrong only after the last byte
/// went out, as a corrupt last segment, is not noticed by the reader.
pub(crate) fn assemble(
    state: &mut State,
    now: Timestamp,
    segments: &[Segment],
    length: Option<u64>,
    pause: Option<Duration>,
) -> Result<ReplyBody, Reply> {
    let mut body = ReplyBody::announced(length);
    for (index, segment) in segments.iter().enumerate() {
        let pause = pause.filter(|_| index >= FREE_SEGMENTS).unwrap_or_default();
        match fetch(state, now, segment) {
            Fetched::Good(bytes) => body.push(pause, bytes),
            Fetched::Bad(bytes) => {
                body.push(pause, bytes);
                body.set_end(End::Cut);
                break;
            }
            Fetched::Nothing if index == 0 => return Err(Reply::status(409)),
            Fetched::Nothing => {
                body.set_end(End::Cut);
                break;
            }
        }
    }
    // Listed and real sizes may differ: never more than was announced, and never a clean end with less.
    if let Some(length) = length {
        if body.available() > length {
            body.cut(length, End::Cut);
        } else if body.available() < length {
            body.set_end(End::Cut);
        }
    }
    if length == Some(body.available()) {
        body.set_end(End::Clean);
    }
    if body.end() == End::Cut {
        match body.flushed(BUFFERED) {
            0 => return Err(Reply::message(500, "Traceback (most recent call last):\n  ...\n")),
            flushed => body.cut(flushed, End::Cut),
        }
    }
    Ok(body)
}

enum Fetched {
    Good(Bytes),
    /// All bytes were sent before it was found that they are wrong.
    Bad(Bytes),
    Nothing,
}

fn fetch(state: &mut State, now: Timestamp, segment: &Segment) -> Fetched {
    let (container, name, etag, size, start, end) = match segment {
        Segment::Inline(bytes) => return Fetched::Good(bytes.clone()),
        Segment::Object { container, name, etag, size, start, end } => {
            (container, name, etag, *size, *start, *end)
        }
    };
    let Some(object) = state.live(container, name, now) else { return Fetched::Nothing };
    let whole = start == 0 && end.is_none_or(|end| end >= object.size());
    if etag.as_ref().is_some_and(|etag| *etag != object.etag) {
        return Fetched::Nothing;
    }
    if whole && size.is_some_and(|size| size != object.size()) {
        return Fetched::Nothing;
    }
    if start >= object.size() && !whole {
        return Fetched::Nothing;
    }
    let end = end.unwrap_or(object.size()).min(object.size());
    let bytes = object.content.slice(usize_of(start)..usize_of(end));
    if whole && object.damaged {
        let (container, name) = (container.clone(), name.clone());
        state.quarantine(&container, &name);
        return Fetched::Bad(bytes);
    }
    Fetched::Good(bytes)
}
