//! `PUT ?multipart-manifest=put`: the list is checked, each segment is looked at, and then it is stored.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::body::ReplyBody;
use crate::exchange::{Exchange, Stop};
use crate::http::{Reply, md5_hex, quote, status_line, words, yes};
use crate::object::{Parts, begin, kept_headers, store};
use crate::range::{Ranges, Selected};
use crate::state::{Object, Slo, State};

/// Largest manifest, in bytes.
const MANIFEST_LIMIT: u64 = 8 * 1024 * 1024;

/// `PUT /v1/ACCOUNT/CONTAINER/OBJECT?multipart-manifest=put`.
pub(crate) async fn put(exchange: &mut Exchange, container: &str, name: &str) -> Result<Reply, Stop> {
    if exchange.head.content_length().is_none() && !exchange.head.chunked() {
        return Ok(Reply::status(411));
    }
    let body = exchange.read_body(MANIFEST_LIMIT).await?;
    let entries = parse(&body, container, name)?;
    let limit = exchange.cluster.options.max_slo_segments;
    if entries.iter().filter(|entry| entry.contains_key("path")).count() > limit {
        return Ok(Reply::message(413, format!("Number of object-backed segments must be <= {limit}")));
    }
    let heartbeat = exchange.head.parameter("heartbeat").is_some_and(yes);
    let json = exchange.head.header("accept").is_some_and(|accept| accept.contains("application/json"));
    let reply = match check(exchange, &entries) {
        Ok((stored, slo)) => finish(exchange, container, name, stored, slo).await?,
        Err(problems) => {
            let text = report(json, heartbeat.then(|| (400, words(400))), None, &problems);
            let kind = if json { "application/json" } else { "text/plain" };
            if !heartbeat {
                return Ok(Reply::status(400).text(text).header("Content-Type", kind));
            }
            return Ok(beat(kind, &text));
        }
    };
    if !heartbeat {
        return Ok(reply);
    }
    let kind = if json { "application/json" } else { "text/plain" };
    let status = reply.status.as_u16();
    let etag = reply.get("Etag").map(str::to_owned);
    let modified = reply.get("Last-Modified").map(str::to_owned);
    let stored = etag.zip(modified).filter(|_| status == 201);
    let (page, _) = reply.body.collect();
    let text = if status == 422 { words(status) } else { String::from_utf8_lossy(&page).into_owned() };
    Ok(beat(kind, &report(json, Some((status, text)), stored, &[])))
}

/// The answer of `heartbeat=on`: 202 at once, spaces, and the real status in the body.
fn beat(kind: &str, text: &str) -> Reply {
    let mut body = ReplyBody::announced(None);
    body.push(std::time::Duration::ZERO, bytes::Bytes::from_static(b" "));
    body.push(std::time::Duration::ZERO, format!("\r\n\r\n{text}").into());
    Reply::bare(202).header("Content-Type", kind).with_body(body)
}

/// Swift's body of an answer about many names (`swift.common.middleware.bulk.get_response_body`).
fn report(
    json: bool,
    response: Option<(u16, String)>,
    stored: Option<(String, String)>,
    problems: &[(String, String)],
) -> String {
    let mut fields: Vec<(&str, String)> = Vec::new();
    if let Some((etag, modified)) = stored {
        fields.push(("Etag", etag));
        fields.push(("Last Modified", modified));
    }
    if let Some((status, body)) = response {
        fields.push(("Response Body", body));
        fields.push(("Response Status", status_line(status)));
    }
    if json {
        let mut map: Map<String, Value> =
            fields.iter().map(|(key, value)| ((*key).into(), json!(value))).collect();
        map.insert("Errors".into(), json!(problems));
        return Value::Object(map).to_string();
    }
    let mut text: String = fields.iter().map(|(key, value)| format!("{key}: {value}\n")).collect();
    text.push_str("Errors:\n");
    text.extend(problems.iter().map(|(name, problem)| format!("{name}, {problem}\n")));
    text
}

async fn finish(
    exchange: &Exchange,
    container: &str,
    name: &str,
    stored: Vec<Value>,
    slo: Slo,
) -> Result<Reply, Stop> {
    let expected = exchange.head.header("etag").map(|value| value.trim_matches('"').to_owned());
    if expected.is_some_and(|expected| expected != slo.etag) {
        return Ok(Reply::status(422));
    }
    if let Err(refused) = begin(exchange, container, name) {
        return Ok(refused);
    }
    let content = serde_json::to_vec(&stored).expect("a list of maps").into();
    let kept = kept_headers(&exchange.head.headers);
    let parts = Parts { content, slo: Some(slo), kept, content_type: None, delete_at: None };
    store(exchange, container, name, parts).await
}

type Entry = Map<String, Value>;

/// Checks the list itself (`parse_and_validate_input`).
fn parse(body: &[u8], container: &str, name: &str) -> Result<Vec<Entry>, Reply> {
    let parsed: Value =
        serde_json::from_slice(body).map_err(|_| Reply::html(400, "Manifest must be valid JSON.\n"))?;
    let Value::Array(list) = parsed else {
        return Err(Reply::html(400, "Manifest must be a list.\n"));
    };
    let last = list.len().saturating_sub(1);
    let itself = format!("{container}/{name}");
    let mut errors = String::new();
    let mut entries = Vec::new();
    for (index, value) in list.into_iter().enumerate() {
        match parse_one(value, index == last, &itself) {
            Ok(entry) => entries.push(entry),
            Err(problem) => errors.push_str(&format!("Index {index}: {problem}\n")),
        }
    }
    if !entries.is_empty() && entries.iter().all(|entry| entry.contains_key("data")) {
        errors.push_str("Inline data segments require at least one object-backed segment.\n");
    }
    if errors.is_empty() { Ok(entries) } else { Err(Reply::message(400, errors)) }
}

fn parse_one(value: Value, last: bool, itself: &str) -> Result<Entry, String> {
    let Value::Object(entry) = value else { return Err("not a JSON object".into()) };
    let inline = entry.contains_key("data");
    if !inline && !entry.contains_key("path") {
        return Err("expected keys to include one of 'data' or 'path'".into());
    }
    let allowed: &[&str] = if inline { &["data"] } else { &["path", "range", "etag", "size_bytes"] };
    if let Some(extra) = entry.keys().find(|key| !allowed.contains(&key.as_str())) {
        return Err(format!("extraneous keys \"{extra}\""));
    }
    if inline {
        let decoded = entry["data"].as_str().and_then(|data| STANDARD.decode(data).ok());
        return match decoded {
            None => Err("data must be valid base64".into()),
            Some(bytes) if bytes.is_empty() => Err("too small; each segment must be at least 1 byte.".into()),
            Some(_) => Ok(entry),
        };
    }
    let Some(path) = entry["path"].as_str() else { return Err("\"path\" must be a string".into()) };
    if !path.trim_matches('/').contains('/') {
        return Err("path does not refer to an object. Path must be of the form /container/object.".into());
    }
    if path.trim_start_matches('/') == itself {
        return Err("manifest must not include itself as a segment".into());
    }
    match entry.get("etag") {
        None | Some(Value::Null | Value::String(_)) => {}
        Some(_) => return Err("\"etag\" must be a string or null (if provided)".into()),
    }
    match size(&entry) {
        Err(()) => return Err("invalid size_bytes".into()),
        Ok(Some(0)) if !last => return Err("too small; each segment must be at least 1 byte.".into()),
        Ok(_) => {}
    }
    if entry.get("range").and_then(Value::as_str).is_some_and(|range| ranges(range).is_none()) {
        return Err("invalid range".into());
    }
    Ok(entry)
}

/// `size_bytes`, which may be a number or a number in a string.
fn size(entry: &Entry) -> Result<Option<u64>, ()> {
    match entry.get("size_bytes") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => text.parse().map(Some).map_err(|_| ()),
        Some(value) => value.as_u64().map(Some).ok_or(()),
    }
}

fn ranges(range: &str) -> Option<Ranges> {
    Ranges::parse(&format!("bytes={range}")).filter(|ranges| ranges.count() == 1)
}

type Problems = Vec<(String, String)>;

/// Looks at each segment: what is stored, or what is wrong.
fn check(exchange: &Exchange, entries: &[Entry]) -> Result<(Vec<Value>, Slo), Problems> {
    let state = exchange.cluster.state.lock();
    let smallest = exchange.cluster.options.min_slo_segment;
    let (mut stored, mut problems) = (Vec::new(), Vec::new());
    let (mut total, mut hashes) = (0, String::new());
    for (index, entry) in entries.iter().enumerate() {
        if let Some(data) = entry.get("data") {
            let bytes = data.as_str().and_then(|data| STANDARD.decode(data).ok()).unwrap_or_default();
            total += bytes.len() as u64;
            hashes.push_str(&md5_hex(&bytes));
            stored.push(json!({ "data": STANDARD.encode(&bytes) }));
            continue;
        }
        let last = index + 1 == entries.len();
        match look(&state, exchange, entry, smallest, last) {
            Ok(segment) => {
                total += segment.length;
                hashes.push_str(&segment.hash);
                stored.push(segment.entry);
            }
            Err(wrong) => {
                let path = quote(entry["path"].as_str().unwrap_or_default());
                problems.extend(wrong.into_iter().map(|problem| (path.clone(), problem)));
            }
        }
    }
    if problems.is_empty() {
        Ok((stored, Slo { etag: md5_hex(hashes.as_bytes()), size: total }))
    } else {
        Err(problems)
    }
}

struct Looked {
    length: u64,
    /// What goes into the ETag of the whole.
    hash: String,
    entry: Value,
}

fn look(
    state: &State,
    exchange: &Exchange,
    entry: &Entry,
    smallest: u64,
    last: bool,
) -> Result<Looked, Vec<String>> {
    let path = entry["path"].as_str().unwrap_or_default().trim_start_matches('/');
    let (container, name) = path.split_once('/').unwrap_or_default();
    let Some(object) = state.live(container, name, exchange.head.started) else {
        return Err(vec![status_line(404)]);
    };
    let mut problems = Vec::new();
    let (whole, hash) = whole_of(object);
    let (mut length, mut range) = (whole, None);
    if let Some(wanted) = entry.get("range").and_then(Value::as_str).and_then(ranges) {
        match wanted.select(whole) {
            Selected::Part(start, end) if (start, end) != (0, whole) => {
                range = Some(format!("{start}-{}", end - 1));
                length = end - start;
            }
            Selected::Unsatisfiable => problems.push("Unsatisfiable Range".to_owned()),
            _ => {}
        }
    }
    if length < smallest && !last {
        let unit = if smallest == 1 { "byte" } else { "bytes" };
        problems.push(format!("Too small; each segment must be at least {smallest} {unit}."));
    }
    if size(entry).ok().flatten().is_some_and(|size| size != whole) {
        problems.push("Size Mismatch".to_owned());
    }
    if entry.get("etag").and_then(Value::as_str).is_some_and(|etag| etag != hash) {
        problems.push("Etag Mismatch".to_owned());
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut stored = json!({
        "name": format!("/{path}"),
        "bytes": whole,
        "hash": hash,
        "content_type": object.content_type,
        "last_modified": object.changed.iso(),
    });
    if object.slo.is_some() {
        stored["sub_slo"] = json!(true);
    }
    let mut hash = hash;
    if let Some(range) = range {
        hash = format!("{hash}:{range};");
        stored["range"] = json!(range);
    }
    Ok(Looked { length, hash, entry: stored })
}

/// Size and ETag as a HEAD gives them.
fn whole_of(object: &Object) -> (u64, String) {
    match &object.slo {
        Some(slo) => (slo.size, slo.etag.clone()),
        None => (object.size(), object.etag.clone()),
    }
}
