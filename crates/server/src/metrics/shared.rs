//! How things stand with Redis and with ports that are looked at, read when somebody asks for the metrics.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{TypeLabel, Word};
use crate::health::tcp::Ports;

pub(super) struct SharedMetrics {
    bypassed: Gauge,
    events: Family<TypeLabel, Counter>,
    ports: Family<AddressLabel, Gauge>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AddressLabel {
    address: String,
}

impl SharedMetrics {
    pub(super) fn new(registry: &mut Registry) -> SharedMetrics {
        let bypassed = Gauge::default();
        let help = "1 while Redis does not answer and is bypassed";
        registry.register("wharfinger_redis_bypassed", help, bypassed.clone());
        let events = Family::<TypeLabel, Counter>::default();
        registry.register("wharfinger_redis_events", "What came of asking Redis", events.clone());
        for name in ["hit", "miss", "wrong", "failed", "refused", "bypassed"] {
            let _ = events.get_or_create(&TypeLabel { r#type: Word(name) });
        }
        let ports = Family::<AddressLabel, Gauge>::default();
        registry.register("wharfinger_port_answers", "1 while a port of health.tcp answers", ports.clone());
        SharedMetrics { bypassed, events, ports }
    }

    pub(super) fn read(&self, registry: &wharfinger_registry::Registry, ports: &Ports) {
        for (address, answers) in ports.answering() {
            self.ports.get_or_create(&AddressLabel { address }).set(i64::from(answers));
        }
        let Some(status) = registry.shared().map(wharfinger_shared::Shared::status) else { return };
        self.bypassed.set(i64::from(status.bypassed.is_some()));
        for (name, now) in status.counts.named() {
            let counter = self.events.get_or_create(&TypeLabel { r#type: Word(name) });
            counter.inc_by(now.saturating_sub(counter.get()));
        }
    }
}
