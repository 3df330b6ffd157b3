//! Faults put into effect: before the handler, while the body comes, and on the answer.

use std::time::Duration;

use crate::body::End;
use crate::exchange::{Exchange, Stop};
use crate::faults::{Fault, Moment, Plan};
use crate::http::Reply;

/// What strikes before anything was done.
pub(crate) fn before(exchange: &Exchange) -> Result<(), Stop> {
    at(exchange, Moment::BeforeBody)
}

/// What strikes at that moment.
pub(crate) fn at(exchange: &Exchange, moment: Moment) -> Result<(), Stop> {
    let stop = exchange.plan.find(|fault| match fault {
        Fault::Refuse { status, retry_after, moment: when } if when == moment => {
            Some(Stop::from(refusal(status, retry_after)))
        }
        Fault::Reset(when) if when == moment => Some(Stop::Reset),
        Fault::Hang(when) if when == moment => Some(Stop::Hang),
        _ => None,
    });
    stop.map_or(Ok(()), |(stop, _)| Err(stop))
}

fn refusal(status: u16, retry_after: Option<u64>) -> Reply {
    let reply = Reply::status(status);
    let reply = match status {
        401 => reply.header("Www-Authenticate", "Swift realm=\"unknown\""),
        _ => reply,
    };
    match retry_after {
        Some(seconds) => reply.header("Retry-After", seconds.to_string()),
        None => reply,
    }
}

/// What strikes the body of a good answer.
pub(crate) fn after(plan: &Plan, mut reply: Reply) -> Reply {
    let length = reply.body.available();
    if !reply.is_success() || length == 0 {
        return reply;
    }
    let position = |at: Option<u64>, draw: u64| at.unwrap_or(draw % length).min(length - 1);
    let wrong = |fault| match fault {
        Fault::WrongByte { at } => Some(at),
        _ => None,
    };
    if let Some((at, draw)) = plan.find(wrong) {
        reply.body.flip(position(at, draw));
    }
    let cut = |fault| match fault {
        Fault::ShortBody { at } => Some((at, End::Cut)),
        Fault::HungBody { at } => Some((at, End::Hang)),
        _ => None,
    };
    if let Some(((at, end), draw)) = plan.find(cut) {
        reply.body.cut(position(at, draw), end);
    }
    reply
}

/// How long a request that hangs is kept before its connection is reset.
pub(crate) async fn hang(time: Duration) {
    tokio::time::sleep(time).await;
}
