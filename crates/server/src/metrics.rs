//! Every metric, in one place.
//!
//! | name | labels | meaning |
//! |---|---|---|
//! | `registry_http_requests_total` | handler, code, method | requests answered, as Distribution counts them |
//! | `registry_http_request_duration_seconds` | handler, method | time to the end of the answer |
//! | `registry_http_request_size_bytes` | handler | announced sizes of request bodies |
//! | `registry_http_response_size_bytes` | handler | bytes of answers sent |
//! | `registry_http_in_flight_requests` | handler | requests being answered |
//! | `registry_storage_action_seconds` | driver, action | storage calls, by Distribution's names |
//! | `registry_storage_cache_total` | type | lookups of proved content in memory: Request, Hit, Miss |
//! | `wharfinger_request_seconds` | class | time to the end of the answer, by class of request |
//! | `wharfinger_bytes_total` | class | bytes of content received or sent |
//! | `wharfinger_storage_calls_total` | operation, result | storage calls by kind and result |
//! | `wharfinger_aborted_bodies_total` | class | answers that broke off |
//! | `wharfinger_uploads_in_flight` | | uploads that requests are writing to |
//! | `wharfinger_disk_cache_copies`, `wharfinger_disk_cache_bytes`, `wharfinger_disk_cache_capacity_bytes` | | what the disk cache holds and may hold |
//! | `wharfinger_disk_cache_events_total` | `type` | hits, misses, fills, damaged copies, copies that could not be kept |
//! | `wharfinger_pulls_without_store_total` | | links answered from memory while the store was down |
//! | `wharfinger_redis_bypassed` | | 1 while Redis does not answer and is bypassed |
//! | `wharfinger_redis_events_total` | `type` | what came of asking Redis: hit, miss, wrong, failed, refused, bypassed |
//! | `wharfinger_port_answers` | `address` | 1 while a port of `health.tcp` answers |
//! | `wharfinger_redirects_total` | result | pulls of blobs where redirects are on, by what came of them |
//! | `wharfinger_purges_total` | kind, result | changes told to caches in front |
//! | `wharfinger_purges_waiting` | | changes that caches in front have still to be told of |
//! | `wharfinger_scrub_oldest_unverified_seconds` | | for how long the blob that waits longest was not read and compared |
//! | `wharfinger_scrub_blobs_total` | result | blobs that the scrub read |
//! | `wharfinger_scrub_bytes_total` | | their bytes |
//! | `wharfinger_damaged_blobs` | | blobs that failed a check and are withheld |
//! | `wharfinger_store_healthy` | | 1 if the last probe wrote, read and deleted an object |
//! | `wharfinger_ready` | | 1 while a load balancer may send requests here |
//! | `wharfinger_buffer_held_bytes`, `wharfinger_buffer_capacity_bytes` | | bodies in memory, and what they may take |
//! | `wharfinger_certificate_seconds_left` | | time until the listener's certificate ends |
//! | `wharfinger_upload_sessions` | state | sessions that the last sweep of uploads left: open, abandoned |
//! | `wharfinger_upload_sweep_failed` | | 1 if the last sweep of uploads failed |

mod disk;
mod instance;
mod purges;
mod redirects;
mod scrub;
mod shared;

use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

use http::{Method, StatusCode};
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use wharfinger_oci::{Reference, Route};
use wharfinger_store::layer::Observer;
use wharfinger_store::{Operation, StoreError, StoreErrorKind};

use crate::health::Health;
use crate::recent::Recent;
use crate::scrub::Scrubbing;
use crate::throttle::Throttle;
use disk::DiskMetrics;
use instance::InstanceMetrics;
use purges::PurgeMetrics;
pub(crate) use purges::PurgeResult;
use redirects::RedirectMetrics;
pub(crate) use redirects::RedirectResult;
use scrub::ScrubMetrics;
use shared::SharedMetrics;

/// Classes of requests that operators watch apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// A manifest by digest.
    ManifestRead,
    /// A manifest by tag, a tag list.
    TagRead,
    /// A blob.
    BlobRead,
    /// A manifest or tag written or deleted.
    ManifestWrite,
    /// A blob written or deleted.
    BlobWrite,
    /// Everything else.
    Other,
}

impl Class {
    const ALL: [(Class, &str); 6] = [
        (Class::ManifestRead, "manifest_read"),
        (Class::TagRead, "tag_read"),
        (Class::BlobRead, "blob_read"),
        (Class::ManifestWrite, "manifest_write"),
        (Class::BlobWrite, "blob_write"),
        (Class::Other, "other"),
    ];

    /// The class of a request.
    pub fn of(method: &Method, route: Option<&Route>) -> Class {
        let read = *method == Method::GET || *method == Method::HEAD;
        match route {
            Some(Route::Manifest(_, Reference::Digest(_))) if read => Class::ManifestRead,
            Some(Route::Manifest(_, Reference::Tag(_)) | Route::Tags(_)) if read => Class::TagRead,
            Some(Route::Manifest(..)) => Class::ManifestWrite,
            Some(Route::Blob(..)) if read => Class::BlobRead,
            Some(Route::Blob(..) | Route::Uploads(_) | Route::Upload(..)) => Class::BlobWrite,
            _ => Class::Other,
        }
    }

    fn name(self) -> &'static str {
        Class::ALL[self as usize].1
    }
}

/// Distribution's names of handlers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Handler {
    Base,
    Catalog,
    Tags,
    Manifest,
    Blob,
    BlobUpload,
    BlobUploadChunk,
    Referrers,
}

impl Handler {
    const NAMES: [&str; 8] =
        ["base", "catalog", "tags", "manifest", "blob", "blob_upload", "blob_upload_chunk", "referrers"];

    pub(crate) fn of(route: &Route) -> Handler {
        match route {
            Route::Base => Handler::Base,
            Route::Catalog => Handler::Catalog,
            Route::Tags(_) => Handler::Tags,
            Route::Manifest(..) => Handler::Manifest,
            Route::Blob(..) => Handler::Blob,
            Route::Uploads(_) => Handler::BlobUpload,
            Route::Upload(..) => Handler::BlobUploadChunk,
            Route::Referrers(..) => Handler::Referrers,
        }
    }
}

/// Label values that are known when the program is built.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Word(&'static str);

impl EncodeLabelValue for Word {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        EncodeLabelValue::encode(&self.0, encoder)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    handler: Word,
    code: u16,
    method: Word,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MethodLabels {
    handler: Word,
    method: Word,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HandlerLabel {
    handler: Word,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClassLabel {
    class: Word,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ActionLabels {
    driver: Word,
    action: Word,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    operation: Word,
    result: Word,
}

/// Bounds of latency histograms, in seconds.
const SECONDS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 5.0, 30.0, 120.0];
/// Bounds of size histograms, in bytes.
const BYTES: [f64; 6] = [1024.0, 65_536.0, 1_048_576.0, 16_777_216.0, 268_435_456.0, 4_294_967_296.0];

fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}

fn bytes() -> Histogram {
    Histogram::new(BYTES)
}

/// The counters of one class, looked up once.
struct PerClass {
    seconds: Histogram,
    bytes: Counter,
    aborted: Counter,
}

/// The counters of one handler, looked up once.
struct PerHandler {
    in_flight: Gauge,
    request_size: Histogram,
    response_size: Histogram,
    methods: [PerMethod; METHODS.len()],
}

/// The counters of one handler's method, looked up when they are first needed.
#[derive(Default)]
struct PerMethod {
    duration: OnceLock<Histogram>,
    /// Answers with 200, by far the most.
    ok: OnceLock<Counter>,
}

/// All metrics of a server.
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    durations: Family<MethodLabels, Histogram, fn() -> Histogram>,
    handlers: Vec<PerHandler>,
    classes: Vec<PerClass>,
    actions: Vec<Histogram>,
    calls: Family<CallLabels, Counter>,
    calls_ok: Vec<Counter>,
    store_errors: Throttle<(Option<Operation>, StoreErrorKind)>,
    cache: Family<TypeLabel, Counter>,
    uploads_in_flight: Gauge,
    damaged: Gauge,
    instance: InstanceMetrics,
    recent: Recent,
    disk: DiskMetrics,
    shared: SharedMetrics,
    redirects: RedirectMetrics,
    purges: PurgeMetrics,
    scrub: ScrubMetrics,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TypeLabel {
    r#type: Word,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    state: Word,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: Word,
}

impl Metrics {
    /// Nothing counted yet. `driver` is the store's name.
    pub fn new(driver: &'static str) -> Metrics {
        let mut registry = Registry::default();
        let requests = Family::<RequestLabels, Counter>::default();
        registry.register("registry_http_requests", "Requests answered", requests.clone());
        let durations = Family::<MethodLabels, Histogram, fn() -> Histogram>::new_with_constructor(seconds);
        let help = "Time to the end of the answer";
        registry.register("registry_http_request_duration_seconds", help, durations.clone());
        let handlers = Self::handlers(&mut registry);
        let classes = Self::classes(&mut registry);
        let storage = Family::<ActionLabels, Histogram, fn() -> Histogram>::new_with_constructor(seconds);
        registry.register("registry_storage_action_seconds", "Time of storage calls", storage.clone());
        let action = |operation| {
            let labels = ActionLabels { driver: Word(driver), action: Word(distribution_action(operation)) };
            storage.get_or_create(&labels).clone()
        };
        let actions = Operation::ALL.into_iter().map(action).collect();
        let calls = Family::<CallLabels, Counter>::default();
        registry.register("wharfinger_storage_calls", "Storage calls by kind and result", calls.clone());
        let ok = |operation: Operation| {
            let labels = CallLabels { operation: Word(operation.as_str()), result: Word("ok") };
            calls.get_or_create(&labels).clone()
        };
        let calls_ok = Operation::ALL.into_iter().map(ok).collect();
        let cache = Family::<TypeLabel, Counter>::default();
        registry.register("registry_storage_cache", "Lookups of proved content in memory", cache.clone());
        let mut gauge = |name, help| {
            let gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        let uploads_in_flight = gauge("wharfinger_uploads_in_flight", "Uploads that requests are writing to");
        let damaged = gauge("wharfinger_damaged_blobs", "Blobs that failed a check and are withheld");
        let instance = InstanceMetrics::new(&mut registry);
        let disk = DiskMetrics::new(&mut registry);
        let shared = SharedMetrics::new(&mut registry);
        let redirects = RedirectMetrics::new(&mut registry);
        let purges = PurgeMetrics::new(&mut registry);
        let scrub = ScrubMetrics::new(&mut registry);
        let store_errors = Throttle::new(Duration::from_secs(10));
        Metrics {
            registry,
            requests,
            durations,
            handlers,
            classes,
            actions,
            calls,
            calls_ok,
            store_errors,
            cache,
            uploads_in_flight,
            damaged,
            instance,
            recent: Recent::default(),
            disk,
            shared,
            redirects,
            purges,
            scrub,
        }
    }

    fn handlers(registry: &mut Registry) -> Vec<PerHandler> {
        let in_flight = Family::<HandlerLabel, Gauge>::default();
        registry.register("registry_http_in_flight_requests", "Requests being answered", in_flight.clone());
        let sizes = || Family::<HandlerLabel, Histogram, fn() -> Histogram>::new_with_constructor(bytes);
        let (request_sizes, response_sizes) = (sizes(), sizes());
        let help = "Announced sizes of request bodies";
        registry.register("registry_http_request_size_bytes", help, request_sizes.clone());
        registry.register(
            "registry_http_response_size_bytes",
            "Bytes of answers sent",
            response_sizes.clone(),
        );
        let per_handler = |name| {
            let label = HandlerLabel { handler: Word(name) };
            PerHandler {
                in_flight: in_flight.get_or_create(&label).clone(),
                request_size: request_sizes.get_or_create(&label).clone(),
                response_size: response_sizes.get_or_create(&label).clone(),
                methods: Default::default(),
            }
        };
        Handler::NAMES.into_iter().map(per_handler).collect()
    }

    fn classes(registry: &mut Registry) -> Vec<PerClass> {
        let times = Family::<ClassLabel, Histogram, fn() -> Histogram>::new_with_constructor(seconds);
        registry.register("wharfinger_request_seconds", "Time to the end of the answer", times.clone());
        let moved = Family::<ClassLabel, Counter>::default();
        registry.register("wharfinger_bytes", "Bytes of content received or sent", moved.clone());
        let aborted = Family::<ClassLabel, Counter>::default();
        registry.register("wharfinger_aborted_bodies", "Answers that broke off", aborted.clone());
        let per_class = |(class, _): (Class, &str)| {
            let label = ClassLabel { class: Word(class.name()) };
            PerClass {
                seconds: times.get_or_create(&label).clone(),
                bytes: moved.get_or_create(&label).clone(),
                aborted: aborted.get_or_create(&label).clone(),
            }
        };
        Class::ALL.into_iter().map(per_class).collect()
    }

    pub(crate) fn request_began(&self, handler: Handler, size: Option<u64>) {
        let counters = &self.handlers[handler as usize];
        counters.in_flight.inc();
        counters.request_size.observe(size.unwrap_or(0) as f64);
    }

    pub(crate) fn request_ended(
        &self,
        handler: Handler,
        method: &Method,
        status: StatusCode,
        elapsed: Duration,
        sent: u64,
    ) {
        let counters = &self.handlers[handler as usize];
        counters.in_flight.dec();
        counters.response_size.observe(sent as f64);
        let (place, method) = method_word(method);
        let (handler, method) = (Word(Handler::NAMES[handler as usize]), Word(method));
        let known = &counters.methods[place];
        let duration = known.duration.get_or_init(|| {
            let labels = MethodLabels { handler: handler.clone(), method: method.clone() };
            self.durations.get_or_create(&labels).clone()
        });
        duration.observe(elapsed.as_secs_f64());
        let count = || {
            let labels = RequestLabels { handler, code: status.as_u16(), method };
            self.requests.get_or_create(&labels).clone()
        };
        if status == StatusCode::OK {
            known.ok.get_or_init(count).inc();
        } else {
            count().inc();
        }
    }

    pub(crate) fn class_ended(&self, class: Class, elapsed: Duration, moved: u64, aborted: bool) {
        let counters = &self.classes[class as usize];
        counters.seconds.observe(elapsed.as_secs_f64());
        counters.bytes.inc_by(moved);
        if aborted {
            counters.aborted.inc();
        }
    }

    pub(crate) fn redirect(&self, result: RedirectResult) {
        self.redirects.count(result);
    }

    /// What the caches in front were told.
    pub(crate) fn purges(&self) -> &PurgeMetrics {
        &self.purges
    }

    pub(crate) fn store_probed(&self, healthy: bool) {
        self.instance.store_probed(healthy);
    }

    /// What a sweep of uploads left, open and abandoned; `None` where it failed.
    pub fn uploads_swept(&self, left: Option<(u64, u64)>) {
        self.instance.swept(left);
    }

    /// What was asked in the last seconds, for the status.
    pub(crate) fn recent(&self) -> &Recent {
        &self.recent
    }

    /// All metrics in the OpenMetrics text format, which Prometheus reads.
    pub(crate) fn encode(
        &self,
        registry: &wharfinger_registry::Registry,
        health: &Health,
        scrub: &Scrubbing,
    ) -> String {
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        self.uploads_in_flight.set(count(registry.uploads_in_flight()));
        self.damaged.set(count(registry.damaged_count()));
        self.disk.read(registry);
        self.shared.read(registry, &health.ports);
        self.scrub.read(scrub);
        self.instance.read(registry, health);
        let (hits, misses) = registry.cache_lookups();
        for (name, now) in [("Request", hits + misses), ("Hit", hits), ("Miss", misses)] {
            let counter = self.cache.get_or_create(&TypeLabel { r#type: Word(name) });
            counter.inc_by(now.saturating_sub(counter.get()));
        }
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}

impl Observer for Metrics {
    fn observe(&self, operation: Operation, elapsed: Duration, error: Option<&StoreError>) {
        let index = operation as usize;
        self.actions[index].observe(elapsed.as_secs_f64());
        let Some(error) = error else {
            self.calls_ok[index].inc();
            return;
        };
        let result = match error.kind {
            StoreErrorKind::NotFound => "not_found",
            StoreErrorKind::Full => "full",
            StoreErrorKind::Invalid => "invalid",
            StoreErrorKind::Denied => "denied",
            StoreErrorKind::Unavailable => "unavailable",
        };
        self.calls
            .get_or_create(&CallLabels { operation: Word(operation.as_str()), result: Word(result) })
            .inc();
        // A store that is away fails in everything: that is one thing to tell.
        let apart = Some(operation).filter(|_| error.kind != StoreErrorKind::Unavailable);
        if let Some(held_back) = self.store_errors.admit((apart, error.kind)) {
            tracing::error!(%error, held_back, "a storage call failed");
        }
    }
}

fn distribution_action(operation: Operation) -> &'static str {
    match operation {
        Operation::Get => "GetContent",
        Operation::Open | Operation::Read => "Reader",
        Operation::Head => "Stat",
        Operation::Put => "PutContent",
        Operation::Delete => "Delete",
        Operation::List => "List",
        Operation::Stage | Operation::Checkpoint => "Writer",
        Operation::Publish => "Move",
    }
}

/// Names of methods in labels.
const METHODS: [&str; 7] = ["get", "head", "post", "put", "patch", "delete", "unknown"];

/// A method's place in [`METHODS`], and its name there.
fn method_word(method: &Method) -> (usize, &'static str) {
    let place = match *method {
        Method::GET => 0,
        Method::HEAD => 1,
        Method::POST => 2,
        Method::PUT => 3,
        Method::PATCH => 4,
        Method::DELETE => 5,
        _ => 6,
    };
    (place, METHODS[place])
}
