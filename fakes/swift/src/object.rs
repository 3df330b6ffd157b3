//! PUT, POST and DELETE of objects, as the proxy and the object server do them.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::HeaderMap;

use crate::clock::{Timestamp, http_date};
use crate::exchange::{Exchange, Stop};
use crate::faults::Fault;
use crate::http::{Head, Reply, md5_hex, unquote};
use crate::options::Pipeline;
use crate::state::{Object, Slo};

/// Longest name of an object, in bytes.
const NAME_LIMIT: usize = 1024;

/// The latest time that Swift knows, in seconds; later ones are taken for it.
const LATEST: u64 = 9_999_999_999;

/// Headers besides user metadata that an object keeps.
const KEPT: [&str; 8] = [
    "content-disposition",
    "content-encoding",
    "content-language",
    "cache-control",
    "expires",
    "x-robots-tag",
    "x-object-manifest",
    "x-symlink-target",
];

/// `PUT /v1/ACCOUNT/CONTAINER/OBJECT`.
pub(crate) async fn put(exchange: &mut Exchange, container: &str, name: &str) -> Result<Reply, Stop> {
    begin(exchange, container, name)?;
    let head = &exchange.head;
    let limit = exchange.cluster.options.max_file_size;
    match head.content_length() {
        Some(length) if length > limit => {
            return Ok(Reply::message(413, "Your request is too large."));
        }
        None if !head.chunked() => return Ok(Reply::message(411, "Missing Content-Length header.")),
        _ => {}
    }
    let full = exchange.cluster.options.pipeline == Pipeline::Full;
    if full && head.header("x-static-large-object").is_some() {
        let text = "X-Static-Large-Object is a reserved header. To create a static large object add query param \
                    multipart-manifest=put.";
        return Ok(Reply::html(400, text));
    }
    if let Some(manifest) = head.header("x-object-manifest") {
        check_manifest(manifest)?;
    }
    let content = exchange.read_body(limit).await?;
    let kept = kept_headers(&exchange.head.headers);
    store(exchange, container, name, Parts { content, slo: None, kept, content_type: None, delete_at: None })
        .await
}

/// What a PUT stores besides what its own head says.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) content: Bytes,
    pub(crate) slo: Option<Slo>,
    pub(crate) kept: BTreeMap<String, String>,
    /// In place of the `Content-Type` of the request.
    pub(crate) content_type: Option<String>,
    /// Where the request says nothing of it.
    pub(crate) delete_at: Option<u64>,
}

/// What is checked before the body of a PUT is asked for.
pub(crate) fn begin(exchange: &Exchange, container: &str, name: &str) -> Result<(), Reply> {
    let head = &exchange.head;
    let wanted = head.header("if-none-match");
    if wanted.is_some_and(|value| value.trim() != "*") {
        return Err(Reply::message(400, "If-None-Match only supports *"));
    }
    let state = exchange.cluster.state.lock();
    if state.container(container).is_none() {
        return Err(Reply::status(404));
    }
    if name.len() > NAME_LIMIT {
        let text = format!("Object name length of {} longer than {NAME_LIMIT}", name.len());
        return Err(Reply::message(400, text));
    }
    delete_at(head)?;
    check_metadata(&head.headers)?;
    if wanted.is_some() && state.live(container, name, head.started).is_some() {
        return Err(Reply::status(412));
    }
    // Not stored: something of the same time or newer stands, be it a tombstone.
    if state.newest(container, name) >= head.started || exchange.plan.has(Fault::Superseded) {
        return Err(Reply::status(202));
    }
    Ok(())
}

/// Stores what was read, now or later; the answer is that of a PUT.
pub(crate) async fn store(
    exchange: &Exchange,
    container: &str,
    name: &str,
    parts: Parts,
) -> Result<Reply, Stop> {
    let head = &exchange.head;
    let etag = md5_hex(&parts.content);
    let expected = head.header("etag").map(|value| value.trim_matches('"').to_ascii_lowercase());
    if parts.slo.is_none() && expected.is_some_and(|expected| expected != etag) {
        let modified = http_date(head.started.seconds_up());
        return Ok(Reply::status(422).header("Last-Modified", modified));
    }
    let content_type = parts.content_type.or_else(|| head.header("content-type").map(str::to_owned));
    let object = Object {
        timestamp: head.started,
        changed: head.started,
        etag: etag.clone(),
        content: parts.content,
        content_type: content_type.unwrap_or_else(|| "application/octet-stream".into()),
        headers: parts.kept,
        delete_at: delete_at(head)?.or(parts.delete_at),
        slo: parts.slo,
        damaged: false,
    };
    let shown = object.slo.as_ref().map_or(etag, |slo| format!("\"{}\"", slo.etag));
    exchange.dawdle().await;
    let mut state = exchange.cluster.state.lock();
    if let Some((delay, restamp)) = exchange.late() {
        let due = delay.due(state.clocks.true_time(), state.requests);
        let object = if restamp { Object { timestamp: Timestamp::default(), ..object } } else { object };
        state.later.put(due, container, name, object);
        return Err(Stop::Reset);
    }
    state.land(container, name, object, exchange.row_fate());
    Ok(Reply::status(201).header("Etag", shown).header("Last-Modified", http_date(head.started.seconds_up())))
}

/// `POST /v1/ACCOUNT/CONTAINER/OBJECT`: replaces what metadata there was.
pub(crate) async fn post(exchange: &Exchange, container: &str, name: &str) -> Result<Reply, Stop> {
    let head = &exchange.head;
    let expires = delete_at(head)?;
    check_metadata(&head.headers)?;
    exchange.dawdle().await;
    let mut state = exchange.cluster.state.lock();
    let fate = exchange.row_fate();
    let slot = state.containers.get_mut(container).and_then(|place| place.objects.get_mut(name));
    let Some(slot) = slot.filter(|slot| slot.live(head.started).is_some()) else {
        return Ok(Reply::status(404));
    };
    let Some(object) = &mut slot.object else { return Ok(Reply::status(404)) };
    if object.changed >= head.started {
        return Ok(Reply::status(202));
    }
    let before = object.clone();
    object.changed = head.started;
    object.headers = kept_headers(&head.headers);
    object.delete_at = expires;
    if let Some(content_type) = head.header("content-type") {
        content_type.clone_into(&mut object.content_type);
    }
    let row = object.row();
    slot.before = Some(before);
    let (now, number) = (state.clocks.true_time(), state.requests);
    if let Some(slot) = state.containers.get_mut(container).and_then(|place| place.objects.get_mut(name)) {
        (slot.changed, slot.changed_at) = (now, number);
    }
    state.report(container, name, row, fate);
    Ok(Reply::status(202))
}

/// `DELETE /v1/ACCOUNT/CONTAINER/OBJECT`, with `X-If-Delete-At`.
pub(crate) async fn delete(exchange: &Exchange, container: &str, name: &str) -> Result<Reply, Stop> {
    let condition = match exchange.head.header("x-if-delete-at") {
        None => None,
        Some(text) => match text.trim().parse::<u64>() {
            Ok(at) if at <= LATEST => Some(at),
            _ => return Ok(Reply::html(400, "Bad X-If-Delete-At header value")),
        },
    };
    exchange.dawdle().await;
    let started = exchange.head.started;
    let mut state = exchange.cluster.state.lock();
    if state.container(container).is_none() {
        return Ok(Reply::status(404));
    }
    if let Some((delay, restamp)) = exchange.late() {
        let due = delay.due(state.clocks.true_time(), state.requests);
        state.later.delete(due, container, name, (!restamp).then_some(started));
        return Err(Stop::Reset);
    }
    let newest = state.newest(container, name);
    let found = state.live(container, name, started).is_some();
    if let Some(condition) = condition {
        // Without an object or a tombstone nothing can be compared, and no tombstone is written.
        if newest == Timestamp::default() {
            return Ok(Reply::status(404));
        }
        if newest >= started {
            return Ok(Reply::status(409));
        }
        let stored = state.slot(container, name).and_then(|slot| slot.object.as_ref());
        if stored.and_then(|object| object.delete_at).unwrap_or(0) != condition {
            return Ok(Reply::html(412, "X-If-Delete-At and X-Delete-At do not match"));
        }
    }
    let status = match (found, condition) {
        (true, _) if newest >= started => 409,
        (true, _) | (false, Some(_)) => 204,
        (false, None) => 404,
    };
    state.bury(container, name, started, exchange.row_fate());
    if let Some((delay, _)) = exchange.plan.find(replay) {
        let due = delay.due(state.clocks.true_time(), state.requests);
        state.later.delete(due, container, name, None);
    }
    Ok(if status == 204 { Reply::bare(204) } else { Reply::status(status) })
}

fn replay(fault: Fault) -> Option<crate::faults::Delay> {
    match fault {
        Fault::Replay(delay) => Some(delay),
        _ => None,
    }
}

/// The headers of a request that its object keeps.
pub(crate) fn kept_headers(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut kept = BTreeMap::new();
    for (name, value) in headers {
        let name = name.as_str();
        let user = name.starts_with("x-object-meta-");
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        if (user || KEPT.contains(&name)) && !value.is_empty() {
            kept.insert(name.to_owned(), value);
        }
    }
    kept
}

/// `X-Delete-After`, or else `X-Delete-At`, in seconds since 1970.
pub(crate) fn delete_at(head: &Head) -> Result<Option<u64>, Reply> {
    let now = head.started.seconds();
    if let Some(text) = head.header("x-delete-after") {
        let after: i64 = text.parse().map_err(|_| Reply::message(400, "Non-integer X-Delete-After"))?;
        let after = u64::try_from(after).ok().filter(|after| *after > 0);
        let after = after.ok_or_else(|| Reply::message(400, "X-Delete-After in past"))?;
        return Ok(Some((now + after).min(LATEST)));
    }
    let Some(text) = head.header("x-delete-at") else { return Ok(None) };
    let at: i64 = text.parse().map_err(|_| Reply::message(400, "Non-integer X-Delete-At"))?;
    match u64::try_from(at) {
        Ok(at) if at > now => Ok(Some(at.min(LATEST))),
        _ => Err(Reply::message(400, "X-Delete-At in past")),
    }
}

/// Swift's limits on user metadata (`swift/common/constraints.py`).
fn check_metadata(headers: &HeaderMap) -> Result<(), Reply> {
    let (mut count, mut size) = (0, 0);
    for (name, value) in headers {
        let Some(key) = name.as_str().strip_prefix("x-object-meta-") else { continue };
        if key.is_empty() {
            return Err(Reply::message(400, "Metadata name cannot be empty"));
        }
        if key.len() > 128 {
            return Err(Reply::message(400, format!("Metadata name too long: X-Object-Meta-{key}")));
        }
        if value.len() > 256 {
            return Err(Reply::message(400, format!("Metadata value longer than 256: X-Object-Meta-{key}")));
        }
        count += 1;
        size += key.len() + value.len();
    }
    if count > 90 {
        return Err(Reply::message(400, "Too many metadata items; max 90"));
    }
    if size > 4096 {
        return Err(Reply::message(400, "Total metadata too large; max 4096"));
    }
    Ok(())
}

/// `X-Object-Manifest` must be `CONTAINER/PREFIX`.
fn check_manifest(value: &str) -> Result<(), Reply> {
    match value.split_once('/') {
        Some((container, prefix))
            if !container.is_empty()
                && !prefix.is_empty()
                && !prefix.starts_with('/')
                && !value.contains(['?', '&'])
                && unquote(value).is_some() =>
        {
            Ok(())
        }
        _ => Err(Reply::html(400, "X-Object-Manifest must be in the format container/prefix")),
    }
}
