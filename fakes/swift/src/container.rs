//! Containers and their account: PUT, HEAD, GET (the listing), POST, DELETE.

use std::collections::BTreeMap;

use http::HeaderMap;
use serde_json::json;

use crate::clock::{Timestamp, http_date};
use crate::exchange::Exchange;
use crate::http::Reply;
use crate::listing::{Query, render};
use crate::state::{Container, Row, State};

/// Longest name of a container, in bytes.
const NAME_LIMIT: usize = 256;

/// Answers a request for a container.
pub(crate) fn answer(exchange: &Exchange, name: &str) -> Reply {
    let head = &exchange.head;
    let mut state = exchange.cluster.state.lock();
    match head.method.as_str() {
        "PUT" => create(&mut state, name, head.started, &head.headers),
        "HEAD" => match state.container(name) {
            Some(container) => {
                let mut reply = describe(container);
                reply.status = http::StatusCode::NO_CONTENT;
                reply.header("Content-Type", "text/plain; charset=utf-8")
            }
            None => Reply::status(404),
        },
        "GET" => list(exchange, &state, name),
        "POST" => match state.containers.get_mut(name) {
            Some(container) => {
                change(&mut container.metadata, &head.headers, "container");
                Reply::bare(204)
            }
            None => Reply::status(404),
        },
        "DELETE" => match remove(&mut state, name, head.started) {
            204 => Reply::bare(204),
            status => Reply::status(status),
        },
        _ => Reply::status(405).header("Allow", "GET, HEAD, PUT, POST, DELETE, OPTIONS"),
    }
}

fn create(state: &mut State, name: &str, started: Timestamp, headers: &HeaderMap) -> Reply {
    if name.len() > NAME_LIMIT {
        let text = format!("Container name length of {} longer than {NAME_LIMIT}", name.len());
        return Reply::html(400, text);
    }
    let status = if state.container(name).is_some() { 202 } else { 201 };
    let fresh = || Container { created: started, ..Container::default() };
    let container = state.containers.entry(name.to_owned()).or_insert_with(fresh);
    change(&mut container.metadata, headers, "container");
    Reply::status(status)
}

/// Deletes an empty container; gives the status.
pub(crate) fn remove(state: &mut State, name: &str, _started: Timestamp) -> u16 {
    match state.container(name) {
        None => 404,
        // What counts is what the listing shows.
        Some(container) if container.shown().next().is_some() => 409,
        Some(_) => {
            state.containers.remove(name);
            204
        }
    }
}

fn describe(container: &Container) -> Reply {
    let (objects, bytes) = container.statistics();
    let mut reply = Reply::bare(200)
        .header("X-Container-Object-Count", objects.to_string())
        .header("X-Container-Bytes-Used", bytes.to_string())
        .header("X-Timestamp", container.created.to_string())
        .header("X-Put-Timestamp", container.created.to_string())
        .header("Last-Modified", http_date(container.created.seconds_up()))
        .header("X-Storage-Policy", "Policy-0")
        .header("Accept-Ranges", "bytes");
    for (name, value) in &container.metadata {
        reply = reply.header(name, &**value);
    }
    reply
}

fn list(exchange: &Exchange, state: &State, name: &str) -> Reply {
    let query = match Query::of(&exchange.head, exchange.cluster.options.page_limit) {
        Ok(query) => query,
        Err(refused) => return refused,
    };
    let Some(container) = state.container(name) else { return Reply::status(404) };
    let page = query.page(container.shown());
    render(&exchange.head, describe(container), page, |name, row| describe_row(name, row))
}

fn describe_row(name: &str, row: &Row) -> serde_json::Value {
    let mut entry = json!({
        "name": name,
        "hash": row.hash,
        "bytes": row.bytes,
        "content_type": row.content_type,
        "last_modified": row.modified.iso(),
    });
    if let Some(etag) = &row.slo_etag {
        entry["slo_etag"] = json!(format!("\"{etag}\""));
    }
    entry
}

/// Applies the metadata headers of a PUT or POST to those that are kept. An empty value, or `X-Remove-...`, takes one
/// away.
pub(crate) fn change(metadata: &mut BTreeMap<String, String>, headers: &HeaderMap, resource: &str) {
    let meta = format!("x-{resource}-meta-");
    let system = [
        format!("x-{resource}-read"),
        format!("x-{resource}-write"),
        format!("x-{resource}-sync-to"),
        format!("x-{resource}-sync-key"),
    ];
    for (name, value) in headers {
        let name = name.as_str();
        let removed = name.strip_prefix("x-remove-").map(|rest| format!("x-{rest}"));
        let key = removed.clone().unwrap_or_else(|| name.to_owned());
        if !key.starts_with(&meta) && !system.contains(&key) {
            continue;
        }
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        if removed.is_some() || value.is_empty() {
            metadata.remove(&key);
        } else {
            metadata.insert(key, value);
        }
    }
}

/// Answers a request for the account.
pub(crate) fn answer_account(exchange: &Exchange) -> Reply {
    let head = &exchange.head;
    let mut state = exchange.cluster.state.lock();
    match head.method.as_str() {
        "HEAD" => {
            let mut reply = describe_account(&state);
            reply.status = http::StatusCode::NO_CONTENT;
            reply.header("Content-Type", "text/plain; charset=utf-8")
        }
        "GET" => list_containers(exchange, &state),
        "POST" => {
            change(&mut state.account, &head.headers, "account");
            Reply::bare(204)
        }
        _ => Reply::status(405).header("Allow", "GET, HEAD, POST, OPTIONS"),
    }
}

fn describe_account(state: &State) -> Reply {
    let statistics = state.containers.values().map(Container::statistics);
    let (objects, bytes) = statistics.fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1));
    let mut reply = Reply::bare(200)
        .header("X-Account-Container-Count", state.containers.len().to_string())
        .header("X-Account-Object-Count", objects.to_string())
        .header("X-Account-Bytes-Used", bytes.to_string());
    for (name, value) in &state.account {
        reply = reply.header(name, &**value);
    }
    reply
}

fn list_containers(exchange: &Exchange, state: &State) -> Reply {
    let query = match Query::of(&exchange.head, exchange.cluster.options.page_limit) {
        Ok(query) => query,
        Err(refused) => return refused,
    };
    let page = query.page(state.containers.iter());
    render(&exchange.head, describe_account(state), page, |name, container| {
        let (count, bytes) = container.statistics();
        json!({ "name": name, "count": count, "bytes": bytes, "last_modified": container.created.iso() })
    })
}
