//! What the caches in front were told.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::Word;
use crate::purge::Kind;

/// How a change was told.
#[derive(Clone, Copy, Debug)]
pub(crate) enum PurgeResult {
    /// The cache has let go of it.
    Ok,
    /// It answered that it does not do that; it is tried again.
    Refused,
    /// It did not answer; it is tried again.
    Failed,
    /// It will not be told: too many waited before.
    Dropped,
}

impl PurgeResult {
    fn as_str(self) -> &'static str {
        match self {
            PurgeResult::Ok => "ok",
            PurgeResult::Refused => "refused",
            PurgeResult::Failed => "failed",
            PurgeResult::Dropped => "dropped",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    kind: Word,
    result: Word,
}

/// The counters of purges.
pub(crate) struct PurgeMetrics {
    purges: Family<Labels, Counter>,
    waiting: Gauge,
}

impl PurgeMetrics {
    pub(super) fn new(registry: &mut Registry) -> PurgeMetrics {
        let purges = Family::<Labels, Counter>::default();
        registry.register("wharfinger_purges", "Changes told to caches in front", purges.clone());
        let waiting = Gauge::default();
        let help = "Changes that caches in front have still to be told of";
        registry.register("wharfinger_purges_waiting", help, waiting.clone());
        let metrics = PurgeMetrics { purges, waiting };
        for kind in Kind::ALL {
            for result in [PurgeResult::Ok, PurgeResult::Failed] {
                drop(metrics.purges.get_or_create(&labels(kind, result)));
            }
        }
        metrics
    }

    pub(crate) fn count(&self, kind: Kind, result: PurgeResult) {
        self.purges.get_or_create(&labels(kind, result)).inc();
    }

    pub(crate) fn waiting(&self, more: i64) {
        self.waiting.inc_by(more);
    }
}

fn labels(kind: Kind, result: PurgeResult) -> Labels {
    Labels { kind: Word(kind.as_str()), result: Word(result.as_str()) }
}
