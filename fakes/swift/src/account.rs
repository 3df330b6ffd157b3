//! The account: HEAD, GET (the listing of containers), POST.

use serde_json::json;

use crate::container::change;
use crate::exchange::Exchange;
use crate::http::Reply;
use crate::listing::{Query, render};
use crate::state::State;

/// Answers a request for the account.
pub(crate) fn answer(exchange: &Exchange) -> Reply {
    let head = &exchange.head;
    let mut state = exchange.cluster.state.lock();
    match head.method.as_str() {
        "HEAD" => {
            let mut reply = describe(&state);
            reply.status = http::StatusCode::NO_CONTENT;
            reply.header("Content-Type", "text/plain; charset=utf-8")
        }
        "GET" => list(exchange, &state),
        "POST" => {
            change(&mut state.account, &head.headers, "account");
            Reply::bare(204)
        }
        _ => Reply::status(405).header("Allow", "GET, HEAD, POST, OPTIONS"),
    }
}

fn describe(state: &State) -> Reply {
    let statistics = state.containers.values().map(crate::state::Container::statistics);
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

fn list(exchange: &Exchange, state: &State) -> Reply {
    let query = match Query::of(&exchange.head, exchange.cluster.options.page_limit) {
        Ok(query) => query,
        Err(refused) => return refused,
    };
    let page = query.page(state.containers.iter());
    render(&exchange.head, describe(state), page, |name, container| {
        let (count, bytes) = container.statistics();
        json!({ "name": name, "count": count, "bytes": bytes, "last_modified": container.created.iso() })
    })
}
