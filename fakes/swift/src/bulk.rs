//! Deletes of many names in one request: always 200, and the truth is in the body.

use serde_json::json;

use crate::exchange::{Exchange, Stop};
use crate::http::{Reply, quote, status_line, unquote};
use crate::slo;
use crate::state::{RowFate, State};

/// Longest body of a bulk delete, in bytes: 10000 names of the longest kind.
const BODY_LIMIT: u64 = 16 * 1024 * 1024;

#[derive(Debug, Default)]
struct Outcome {
    deleted: u64,
    missing: u64,
    failed: Vec<(String, String)>,
    refused: Option<(u16, String)>,
}

/// `POST /v1/ACCOUNT?bulk-delete`: one percent-encoded path a line.
pub(crate) async fn delete(exchange: &mut Exchange) -> Result<Reply, Stop> {
    let plain = exchange.head.header("content-type").is_none_or(|kind| kind.starts_with("text/plain"));
    if exchange.head.content_length().is_none() && !exchange.head.chunked() {
        let refused = Some((411, String::new()));
        return Ok(answer(exchange, &Outcome { refused, ..Outcome::default() }));
    }
    let body = exchange.read_body(BODY_LIMIT).await?;
    if !plain {
        let refused = Some((406, String::new()));
        return Ok(answer(exchange, &Outcome { refused, ..Outcome::default() }));
    }
    let text = String::from_utf8_lossy(&body).into_owned();
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let limit = exchange.cluster.options.max_bulk_deletes;
    if lines.len() > limit {
        let refused = Some((413, format!("Maximum Bulk Deletes: {limit} per request")));
        return Ok(answer(exchange, &Outcome { refused, ..Outcome::default() }));
    }
    exchange.dawdle().await;
    let mut outcome = Outcome::default();
    let mut state = exchange.cluster.state.lock();
    // Objects first, then the containers that may be empty by then.
    let is_object = |line: &&&str| line.trim_matches('/').contains('/');
    for line in lines.iter().filter(is_object).chain(lines.iter().filter(|line| !is_object(line))) {
        let Some(path) = unquote(line) else {
            outcome.failed.push(((*line).to_owned(), status_line(412)));
            continue;
        };
        let result = remove(&mut state, exchange, path.trim_start_matches('/'));
        count(&mut outcome, &path, result);
    }
    drop(state);
    Ok(answer(exchange, &outcome))
}

/// `DELETE /v1/ACCOUNT/CONTAINER/OBJECT?multipart-manifest=delete`: the segments, then the manifest.
pub(crate) async fn delete_slo(exchange: &Exchange, container: &str, name: &str) -> Result<Reply, Stop> {
    exchange.dawdle().await;
    let mut state = exchange.cluster.state.lock();
    let path = format!("/{container}/{name}");
    let mut outcome = Outcome::default();
    let object = state.live(container, name, exchange.head.started).cloned();
    match object {
        None => outcome.missing += 1,
        Some(object) if object.slo.is_none() => {
            outcome.failed.push((quote(&path), "Not an SLO manifest".to_owned()));
        }
        Some(object) => {
            for (container, name) in slo::named(&state, &exchange.head, &object, 0) {
                let path = format!("/{container}/{name}");
                let result = remove(&mut state, exchange, path.trim_start_matches('/'));
                count(&mut outcome, &path, result);
            }
            let result = remove(&mut state, exchange, path.trim_start_matches('/'));
            count(&mut outcome, &path, result);
        }
    }
    drop(state);
    Ok(answer(exchange, &outcome))
}

fn count(outcome: &mut Outcome, path: &str, status: u16) {
    match status {
        204 => outcome.deleted += 1,
        404 => outcome.missing += 1,
        other => outcome.failed.push((quote(path), status_line(other))),
    }
}

/// Deletes one name, as of the start of the request; gives the status that a DELETE would have.
fn remove(state: &mut State, exchange: &Exchange, path: &str) -> u16 {
    let started = exchange.head.started;
    let Some((container, name)) = path.split_once('/').filter(|(_, name)| !name.is_empty()) else {
        return crate::container::remove(state, path.trim_end_matches('/'), started);
    };
    let Some(slot) = state.slot(container, name) else {
        state.bury(container, name, started, RowFate::Shown);
        return 404;
    };
    let (newest, found) = (slot.timestamp(), slot.live(started).is_some());
    if found && newest >= started {
        return 409;
    }
    state.bury(container, name, started, exchange.row_fate());
    if found { 204 } else { 404 }
}

fn answer(exchange: &Exchange, outcome: &Outcome) -> Reply {
    let (status, body) = match &outcome.refused {
        Some((status, body)) => (*status, body.as_str()),
        None if !outcome.failed.is_empty() => (400, ""),
        None if outcome.deleted + outcome.missing == 0 => (400, "Invalid bulk delete."),
        None => (200, ""),
    };
    let status = status_line(status);
    let json = exchange.head.header("accept").is_some_and(|accept| accept.contains("application/json"));
    if json {
        let text = json!({
            "Response Status": status,
            "Response Body": body,
            "Number Deleted": outcome.deleted,
            "Number Not Found": outcome.missing,
            "Errors": outcome.failed,
        });
        return Reply::bare(200).header("Content-Type", "application/json").text(text.to_string());
    }
    let mut text = format!(
        "Number Deleted: {}\nNumber Not Found: {}\nResponse Body: {body}\nResponse Status: {status}\nErrors:\n",
        outcome.deleted, outcome.missing,
    );
    text.extend(outcome.failed.iter().map(|(name, status)| format!("{name}, {status}\n")));
    Reply::bare(200).header("Content-Type", "text/plain").text(text)
}
