//! One request under way, and the faults put into effect: before the handler, while the body comes, on the answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::body::End;
use crate::cluster::Cluster;
use crate::faults::{Delay, Fault, Kind, Moment, Plan};
use crate::http::{Head, Reply};
use crate::state::RowFate;

/// Why a handler ends without a finished answer.
#[derive(Debug)]
pub(crate) enum Stop {
    /// This is the answer.
    Reply(Box<Reply>),
    /// The connection is reset.
    Reset,
    /// Nothing comes.
    Hang,
}

impl From<Reply> for Stop {
    fn from(reply: Reply) -> Stop {
        Stop::Reply(Box::new(reply))
    }
}

/// A request under way.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) head: Head,
    pub(crate) kind: Kind,
    pub(crate) plan: Plan,
    pub(crate) body: Option<Incoming>,
}

impl Exchange {
    /// Reads the body, at most `limit` bytes. One that ends early is answered with 499 and has no effect.
    pub(crate) async fn read_body(&mut self, limit: u64) -> Result<Bytes, Stop> {
        let mut all = Vec::new();
        if let Some(mut body) = self.body.take() {
            let mut first = true;
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|_| Reply::status(499))?;
                if let Some(data) = frame.data_ref() {
                    all.extend_from_slice(data);
                }
                if all.len() as u64 > limit {
                    return Err(Reply::status(413).into());
                }
                if std::mem::take(&mut first) {
                    strike(self, Moment::MidBody)?;
                }
            }
        }
        strike(self, Moment::AfterBody)?;
        Ok(all.into())
    }

    /// Lets the time pass that a fault puts between the start and the effect.
    pub(crate) async fn dawdle(&self) {
        if let Some((time, _)) = self.plan.find(slow) {
            tokio::time::sleep(time).await;
        }
    }

    /// What becomes of the row of this write.
    pub(crate) fn row_fate(&self) -> RowFate {
        let fate = self.plan.find(|fault| match fault {
            Fault::RowLate(delay) => Some(RowFate::Late(delay)),
            Fault::RowLost => Some(RowFate::Lost),
            _ => None,
        });
        fate.map_or(RowFate::Shown, |(fate, _)| fate)
    }

    /// Whether the effect is put off, and whether it then counts from later.
    pub(crate) fn late(&self) -> Option<(Delay, bool)> {
        let late = self.plan.find(|fault| match fault {
            Fault::Late { delay, restamp } => Some((delay, restamp)),
            _ => None,
        });
        late.map(|(late, _)| late)
    }
}

fn slow(fault: Fault) -> Option<Duration> {
    match fault {
        Fault::Slow(time) => Some(time),
        _ => None,
    }
}

/// What strikes before anything was done.
pub(crate) fn before(exchange: &Exchange) -> Result<(), Stop> {
    strike(exchange, Moment::BeforeBody)
}

/// What strikes at that moment.
fn strike(exchange: &Exchange, moment: Moment) -> Result<(), Stop> {
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
