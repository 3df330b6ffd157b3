//! What the scrub found, read when somebody asks for the metrics.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{ResultLabel, Word};
use crate::scrub::{Scrubbed, Scrubbing};

pub(super) struct ScrubMetrics {
    oldest: Gauge,
    blobs: Family<ResultLabel, Counter>,
    bytes: Counter,
}

impl ScrubMetrics {
    pub(super) fn new(registry: &mut Registry) -> ScrubMetrics {
        let oldest = Gauge::default();
        let help = "For how long the blob that waits longest was not read and compared with its digest";
        registry.register("wharfinger_scrub_oldest_unverified_seconds", help, oldest.clone());
        let blobs = Family::<ResultLabel, Counter>::default();
        registry.register("wharfinger_scrub_blobs", "Blobs that the scrub read", blobs.clone());
        for name in Scrubbed::NAMES {
            let _ = blobs.get_or_create(&ResultLabel { result: Word(name) });
        }
        let bytes = Counter::default();
        registry.register("wharfinger_scrub_bytes", "Bytes that the scrub read", bytes.clone());
        ScrubMetrics { oldest, blobs, bytes }
    }

    pub(super) fn read(&self, scrubbing: &Scrubbing) {
        let seconds = scrubbing.oldest_unverified().map_or(0, |oldest| oldest.as_secs());
        self.oldest.set(i64::try_from(seconds).unwrap_or(i64::MAX));
        for (name, now) in scrubbing.blobs() {
            let counter = self.blobs.get_or_create(&ResultLabel { result: Word(name) });
            counter.inc_by(now.saturating_sub(counter.get()));
        }
        self.bytes.inc_by(scrubbing.bytes().saturating_sub(self.bytes.get()));
    }
}
