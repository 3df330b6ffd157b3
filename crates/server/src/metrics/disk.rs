//! What the disk cache holds and did, read when somebody asks for the metrics.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{TypeLabel, Word};

pub(super) struct DiskMetrics {
    copies: Gauge,
    bytes: Gauge,
    capacity: Gauge,
    events: Family<TypeLabel, Counter>,
    recalled: Counter,
}

impl DiskMetrics {
    pub(super) fn new(registry: &mut Registry) -> DiskMetrics {
        let mut gauge = |name, help| {
            let gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        let copies = gauge("wharfinger_disk_cache_copies", "Copies in the disk cache");
        let bytes = gauge("wharfinger_disk_cache_bytes", "Bytes of the copies");
        let capacity = gauge("wharfinger_disk_cache_capacity_bytes", "Bytes that the copies may take");
        let events = Family::<TypeLabel, Counter>::default();
        registry.register("wharfinger_disk_cache_events", "What happened in the disk cache", events.clone());
        for name in ["hit", "miss", "fill", "damaged", "refused"] {
            let _ = events.get_or_create(&TypeLabel { r#type: Word(name) });
        }
        let recalled = Counter::default();
        let help = "Links answered from memory while the store was down";
        registry.register("wharfinger_pulls_without_store", help, recalled.clone());
        DiskMetrics { copies, bytes, capacity, events, recalled }
    }

    pub(super) fn read(&self, registry: &wharfinger_registry::Registry) {
        let Some(status) = registry.disk_cache().map(wharfinger_registry::DiskCache::status) else { return };
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.copies.set(number(status.copies));
        self.bytes.set(number(status.bytes));
        self.capacity.set(number(status.capacity));
        let events = [
            ("hit", status.hits),
            ("miss", status.misses),
            ("fill", status.fills),
            ("damaged", status.damaged),
            ("refused", status.refused),
        ];
        for (name, now) in events {
            let counter = self.events.get_or_create(&TypeLabel { r#type: Word(name) });
            counter.inc_by(now.saturating_sub(counter.get()));
        }
        self.recalled.inc_by(registry.recalled_answers().saturating_sub(self.recalled.get()));
    }
}
