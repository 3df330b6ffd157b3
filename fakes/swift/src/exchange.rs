//! One request under way: its head, its body, its faults, and the cluster that it came to.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::cluster::Cluster;
use crate::faults::{Delay, Fault, Kind, Moment, Plan};
use crate::http::{Head, Reply};
use crate::inject;
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
                    inject::at(self, Moment::MidBody)?;
                }
            }
        }
        inject::at(self, Moment::AfterBody)?;
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
