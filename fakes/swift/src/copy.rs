//! COPY and `X-Copy-From`: a GET of the newest, and a PUT of what it gave.

use std::collections::BTreeMap;

use http::{HeaderValue, Method};

use crate::exchange::{Exchange, Stop};
use crate::http::{Head, Reply, quote, unquote};
use crate::object::{Parts, begin, kept_headers, store};
use crate::read::read_as;
use crate::state::Slo;

/// `COPY` with `Destination`, or `PUT` with `X-Copy-From`.
pub(crate) async fn copy(exchange: &mut Exchange, container: &str, name: &str) -> Result<Reply, Stop> {
    let (source, target) = if exchange.head.method.as_str() == "COPY" {
        let Some(destination) = exchange.head.header("destination") else {
            return Ok(Reply::html(412, "Destination header required"));
        };
        let target = path(destination, "Destination")?;
        ((container.to_owned(), name.to_owned()), target)
    } else {
        if exchange.head.content_length().unwrap_or(0) > 0 {
            return Ok(Reply::message(400, "Copy requests require a zero byte body"));
        }
        let from = exchange.head.header("x-copy-from").unwrap_or_default();
        (path(from, "X-Copy-From")?, (container.to_owned(), name.to_owned()))
    };
    let read = read_source(exchange, &source);
    if !read.is_success() {
        return Ok(read);
    }
    begin(exchange, &target.0, &target.1)?;
    let modified = read.get("Last-Modified").unwrap_or_default().to_owned();
    let parts = parts(exchange, &source, read)?;
    let (kept, delete_at) = (parts.kept.clone(), parts.delete_at);
    let mut reply = store(exchange, &target.0, &target.1, parts).await?;
    if reply.status == 201 {
        reply = reply
            .header("X-Copied-From-Account", &*exchange.cluster.options.account)
            .header("X-Copied-From", quote(&format!("{}/{}", source.0, source.1)))
            .header("X-Copied-From-Last-Modified", modified);
        if let Some(at) = delete_at {
            reply = reply.header("X-Delete-At", at.to_string());
        }
        for (header, value) in kept.iter().filter(|(header, _)| header.starts_with("x-object-meta-")) {
            reply = reply.header(header, &**value);
        }
    }
    Ok(reply)
}

/// The path in a header: `/CONTAINER/OBJECT`, percent-encoded, with or without the first slash.
fn path(value: &str, header: &str) -> Result<(String, String), Reply> {
    let decoded = unquote(value).unwrap_or_default();
    match decoded.trim_start_matches('/').split_once('/') {
        Some((container, object)) if !container.is_empty() && !object.is_empty() => {
            Ok((container.to_owned(), object.to_owned()))
        }
        _ => {
            let text = format!("{header} header must be of the form <container name>/<object name>");
            Err(Reply::html(412, text))
        }
    }
}

/// The GET of the source: of the newest, with the ranges and conditions of the request.
fn read_source(exchange: &Exchange, source: &(String, String)) -> Reply {
    let mut state = exchange.cluster.state.lock();
    let head = &exchange.head;
    let object = state.live(&source.0, &source.1, head.started).cloned();
    let mut headers = head.headers.clone();
    headers.remove("if-none-match");
    headers.insert("x-newest", HeaderValue::from_static("true"));
    let get = Head {
        number: head.number,
        front_end: head.front_end,
        method: Method::GET,
        raw_path: head.raw_path.clone(),
        query: head.query.clone(),
        headers,
        started: head.started,
        transaction: head.transaction.clone(),
    };
    read_as(exchange, &mut state, &get, &source.0, &source.1, object)
}

/// What the copy stores: content and metadata of the source, with the headers of the request over them.
fn parts(exchange: &Exchange, source: &(String, String), read: Reply) -> Result<Parts, Stop> {
    let head = &exchange.head;
    if read.body.announced_length().is_none_or(|length| length > exchange.cluster.options.max_file_size) {
        return Err(Reply::status(413).into());
    }
    let raw = head.parameter("multipart-manifest") == Some("get");
    let mut kept: BTreeMap<String, String> = BTreeMap::new();
    let (mut content_type, mut delete_at) = (None, None);
    for (name, value) in &read.headers {
        let lower = name.to_ascii_lowercase();
        let taken = lower.starts_with("x-object-meta-")
            || ["content-encoding", "content-disposition"].contains(&lower.as_str())
            || (lower == "x-object-manifest" && raw);
        if lower == "content-type" {
            content_type = Some(value.clone());
        }
        if lower == "x-delete-at" && !head.says_yes("x-fresh-metadata") {
            delete_at = value.parse().ok();
        }
        if taken && !head.says_yes("x-fresh-metadata") {
            kept.insert(lower, value.clone());
        }
    }
    kept.extend(kept_headers(&head.headers));
    if let Some(own) = head.header("content-type").filter(|own| !own.is_empty()) {
        content_type = Some(own.to_owned());
    }
    let mut slo = None;
    let (mut content, clean) = read.body.collect();
    if !clean {
        return Err(Reply::status(499).into());
    }
    if raw {
        // The manifest itself: its stored form is what `format=raw` would put again.
        let state = exchange.cluster.state.lock();
        if let Some(object) =
            state.live(&source.0, &source.1, head.started).filter(|object| object.slo.is_some())
        {
            content = object.content.clone();
            slo = object.slo.as_ref().map(|slo| Slo { etag: slo.etag.clone(), size: slo.size });
            content_type = Some(object.content_type.clone());
        }
    }
    Ok(Parts { content, slo, kept, content_type, delete_at })
}
