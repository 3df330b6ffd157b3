//! How this instance does: whether it is ready, what its memory, its certificate and its uploads are at.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{StateLabel, Word};
use crate::health::Health;

/// A gauge that is not told before something is known: 0 would be a lie.
#[derive(Clone, Debug, Default)]
pub(super) struct Late {
    gauge: Gauge,
    known: Arc<AtomicBool>,
}

impl Late {
    pub(super) fn set(&self, value: i64) {
        self.gauge.set(value);
        self.known.store(true, Ordering::Relaxed);
    }
}

impl EncodeMetric for Late {
    fn encode(&self, encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        self.gauge.encode(encoder)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Gauge
    }

    fn is_empty(&self) -> bool {
        !self.known.load(Ordering::Relaxed)
    }
}

pub(super) struct InstanceMetrics {
    ready: Gauge,
    store_healthy: Late,
    buffers_held: Gauge,
    buffers: Gauge,
    certificate: Late,
    sessions: Family<StateLabel, Gauge>,
    sweep_failed: Gauge,
}

impl InstanceMetrics {
    pub(super) fn new(registry: &mut Registry) -> InstanceMetrics {
        let mut gauge = |name, help| {
            let gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        let ready = gauge("wharfinger_ready", "1 while a load balancer may send requests here");
        let buffers_held = gauge("wharfinger_buffer_held_bytes", "Bytes of bodies that are held in memory");
        let buffers = gauge("wharfinger_buffer_capacity_bytes", "Bytes of bodies that may be held in memory");
        let help = "1 if the last sweep of abandoned uploads failed";
        let sweep_failed = gauge("wharfinger_upload_sweep_failed", help);
        let store_healthy = Late::default();
        let help = "1 if the last probe of the store succeeded";
        registry.register("wharfinger_store_healthy", help, store_healthy.clone());
        let certificate = Late::default();
        let help = "Time until the certificate of the listener ends";
        registry.register("wharfinger_certificate_seconds_left", help, certificate.clone());
        let sessions = Family::<StateLabel, Gauge>::default();
        let help = "Upload sessions that the last sweep left";
        registry.register("wharfinger_upload_sessions", help, sessions.clone());
        let metrics = InstanceMetrics {
            ready,
            store_healthy,
            buffers_held,
            buffers,
            certificate,
            sessions,
            sweep_failed,
        };
        metrics.swept(Some((0, 0)));
        metrics
    }

    pub(super) fn store_probed(&self, healthy: bool) {
        self.store_healthy.set(i64::from(healthy));
    }

    /// What a sweep of uploads left: those that are still young, and those that it found abandoned and did not remove.
    pub(super) fn swept(&self, left: Option<(u64, u64)>) {
        self.sweep_failed.set(i64::from(left.is_none()));
        let Some((open, abandoned)) = left else { return };
        for (state, count) in [("open", open), ("abandoned", abandoned)] {
            self.sessions.get_or_create(&StateLabel { state: Word(state) }).set(number(count));
        }
    }

    pub(super) fn read(&self, registry: &wharfinger_registry::Registry, health: &Health) {
        self.ready.set(i64::from(health.is_ready()));
        let (held, all) = registry.buffers();
        self.buffers_held.set(number(held));
        self.buffers.set(number(all));
        if let Some(seconds) = health.certificate_seconds_left() {
            self.certificate.set(seconds);
        }
    }
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
