//! GET and HEAD of objects: which version a read sees, conditions, ranges, and what kind of object it is.

use bytes::Bytes;

use crate::body::ReplyBody;
use crate::clock::{Timestamp, http_date};
use crate::exchange::Exchange;
use crate::faults::{Due, Fault};
use crate::http::{Head, Reply, unquote};
use crate::options::Pipeline;
use crate::range::{Ranges, Selected};
use crate::state::{Object, State};
use crate::{dlo, slo};

/// `GET` or `HEAD /v1/ACCOUNT/CONTAINER/OBJECT`.
pub(crate) fn read(exchange: &Exchange, container: &str, name: &str) -> Reply {
    let mut state = exchange.cluster.state.lock();
    let object = seen(exchange, &state, container, name);
    read_as(exchange, &mut state, &exchange.head, container, name, object)
}

/// Answers a read of that object with the query and headers of `head`.
pub(crate) fn read_as(
    exchange: &Exchange,
    state: &mut State,
    head: &Head,
    container: &str,
    name: &str,
    object: Option<Object>,
) -> Reply {
    let Some(object) = object else {
        let any = head.header("if-match").is_some_and(|list| list.contains('*'));
        return if any { Reply::html(412, "") } else { Reply::status(404) };
    };
    let raw = head.parameter("multipart-manifest") == Some("get");
    let options = &exchange.cluster.options;
    if object.slo.is_some() && options.pipeline == Pipeline::Full {
        return match (raw, head.parameter("format")) {
            (true, format) => slo::manifest(head, &object, format == Some("raw")),
            (false, _) => slo::read(state, head, &object),
        };
    }
    match object.headers.get("x-object-manifest").filter(|_| !raw) {
        Some(manifest) => match unquote(manifest) {
            Some(manifest) => dlo::read(exchange, state, head, &object, &manifest),
            None => Reply::status(400),
        },
        None => plain(state, head, container, name, &object),
    }
}

/// The version that this read sees: what stands, or what a stale replica has.
fn seen(exchange: &Exchange, state: &State, container: &str, name: &str) -> Option<Object> {
    let slot = state.slot(container, name)?;
    let now = exchange.head.started;
    let stale = exchange.plan.find(|fault| match fault {
        Fault::Stale { within } => Some(within),
        _ => None,
    });
    if let Some((within, _)) = stale {
        let over = within.due(slot.changed, slot.changed_at);
        let reached = match over {
            Due::Request(_) => over.reached(Timestamp::default(), exchange.head.number),
            Due::Time(_) => over.reached(state.clocks.true_time(), 0),
        };
        if !reached {
            return slot.before.clone().filter(|object| !object.expired(now));
        }
    }
    slot.live(now).cloned()
}

/// A plain object, or the manifest object of a large one as it is stored.
fn plain(state: &mut State, head: &Head, container: &str, name: &str, object: &Object) -> Reply {
    let headers = describe(object);
    let etag = object.etag.clone();
    if let Some(refused) = conditions(head, &etag, &headers) {
        return refused;
    }
    let reply = answer(head, headers.header("Etag", etag), object.size(), |start, end| {
        object.content.slice(usize_of(start)..usize_of(end))
    });
    // The object server reads the whole file, and then finds that its MD5 is another.
    if object.damaged && head.method == http::Method::GET && reply.status == 200 {
        state.quarantine(container, name);
    }
    reply
}

/// The headers that every read of an object has, without ETag and length.
pub(crate) fn describe(object: &Object) -> Reply {
    let mut reply = Reply::bare(200)
        .header("Content-Type", &*object.content_type)
        .header("Last-Modified", http_date(object.changed.seconds_up()))
        .header("X-Timestamp", object.changed.to_string())
        .header("Accept-Ranges", "bytes");
    for (name, value) in &object.headers {
        reply = reply.header(name, &**value);
    }
    if let Some(at) = object.delete_at {
        reply = reply.header("X-Delete-At", at.to_string());
    }
    if object.slo.is_some() {
        reply = reply.header("X-Static-Large-Object", "True");
    }
    reply
}

/// The 412 or 304 that `If-Match` and `If-None-Match` call for; `etag` as answers show it.
pub(crate) fn conditions(head: &Head, etag: &str, described: &Reply) -> Option<Reply> {
    let bare = etag.trim_matches('"');
    let names = |list: &str| {
        list.split(',').any(|tag| {
            let tag = tag.trim();
            tag == "*" || tag.trim_start_matches("W/").trim_matches('"') == bare
        })
    };
    if head.header("if-none-match").is_some_and(names) {
        let mut reply = Reply::bare(304);
        reply.headers.clone_from(&described.headers);
        return Some(reply.header("Etag", etag));
    }
    if head.header("if-match").is_some_and(|list| !names(list)) {
        let mut reply = Reply::html(412, "");
        reply.headers.extend(described.headers.iter().filter(|(name, _)| name != "Content-Type").cloned());
        return Some(reply.header("Etag", etag));
    }
    None
}

/// Answers 200, 206 or 416 with those headers and the bytes that `slice` gives; HEAD without bytes.
pub(crate) fn answer(head: &Head, mut reply: Reply, size: u64, slice: impl Fn(u64, u64) -> Bytes) -> Reply {
    if head.method == http::Method::HEAD {
        return reply.with_body(ReplyBody::announced(Some(size)));
    }
    match Ranges::of(head).select(size) {
        Selected::Whole => reply.with_body(ReplyBody::whole(slice(0, size))),
        Selected::Part(start, end) => {
            reply.status = http::StatusCode::PARTIAL_CONTENT;
            reply
                .header("Content-Range", format!("bytes {start}-{}/{size}", end - 1))
                .with_body(ReplyBody::whole(slice(start, end)))
        }
        Selected::Several => several(reply, size, &Ranges::of(head).parts(size), slice),
        Selected::Unsatisfiable => unsatisfiable(&reply, size),
    }
}

/// `multipart/byteranges` (RFC 9110, section 14.6).
fn several(mut reply: Reply, size: u64, parts: &[(u64, u64)], slice: impl Fn(u64, u64) -> Bytes) -> Reply {
    const BOUNDARY: &str = "0123456789abcdef0123456789abcdef";
    let kind = reply.get("Content-Type").unwrap_or_default().to_owned();
    let mut body = Vec::new();
    for (start, end) in parts {
        let last = end - 1;
        let head = format!(
            "--{BOUNDARY}\r\nContent-Type: {kind}\r\nContent-Range: bytes {start}-{last}/{size}\r\n\r\n"
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(&slice(*start, *end));
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{BOUNDARY}--").as_bytes());
    reply.status = http::StatusCode::PARTIAL_CONTENT;
    reply.headers.retain(|(name, _)| name != "Content-Type");
    reply
        .header("Content-Type", format!("multipart/byteranges;boundary={BOUNDARY}"))
        .with_body(ReplyBody::whole(body.into()))
}

/// The 416 of an object of that size and with those headers.
pub(crate) fn unsatisfiable(described: &Reply, size: u64) -> Reply {
    let mut reply = Reply::status(416);
    reply.headers.clone_from(&described.headers);
    reply.header("Content-Range", format!("bytes */{size}"))
}

/// An offset into bytes that are in memory.
pub(crate) fn usize_of(offset: u64) -> usize {
    usize::try_from(offset).expect("an offset into bytes in memory")
}
