//! The handle that a test holds.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::auth::Tokens;
use crate::clock::{Clocks, Timestamp};
use crate::cluster::{Cluster, Received};
use crate::faults::{Event, Fault, Faults, Rule};
use crate::later::Later;
use crate::options::Options;
use crate::state::{Container, RowFate, State};

/// A running cluster. Dropping it ends it, whatever is under way.
#[derive(Debug)]
pub struct FakeSwift {
    cluster: Arc<Cluster>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// An object as it is stored, seen without a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peek {
    /// The stored bytes: of an SLO or DLO, its manifest.
    pub content: Bytes,
    /// The MD5 that was computed when it was written.
    pub etag: String,
    /// Its type.
    pub content_type: String,
    /// Metadata and the like, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// When it expires, in seconds since 1970.
    pub delete_at: Option<u64>,
    /// Whether it is the manifest of an SLO.
    pub is_slo: bool,
    /// The start of the PUT that wrote it.
    pub timestamp: Timestamp,
}

impl FakeSwift {
    /// Starts a cluster.
    ///
    /// # Panics
    /// When no loopback port can be had.
    pub fn start(options: Options) -> FakeSwift {
        let bind = |_| std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free loopback port");
        let listeners: Vec<std::net::TcpListener> = options.front_ends_ms.iter().map(bind).collect();
        let addresses: Vec<SocketAddr> =
            listeners.iter().map(|listener| listener.local_addr().expect("its own address")).collect();
        let cluster = Arc::new(Cluster {
            state: Mutex::new(State {
                clocks: Clocks::new(&options.front_ends_ms),
                tokens: Tokens::new(options.seed),
                account: BTreeMap::new(),
                containers: BTreeMap::new(),
                later: Later::default(),
                requests: 0,
            }),
            faults: Mutex::new(Faults::new(options.seed)),
            received: Mutex::new(Vec::new()),
            addresses,
            options,
        });
        let (stop, stopped) = oneshot::channel();
        let serving = Arc::clone(&cluster);
        let body = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                for (front_end, listener) in listeners.into_iter().enumerate() {
                    listener.set_nonblocking(true).expect("a listener that does not block");
                    let listener = TcpListener::from_std(listener).expect("a listener of the runtime");
                    tokio::spawn(Arc::clone(&serving).listen(listener, front_end));
                }
                let _ = stopped.await;
            });
        };
        let thread = std::thread::Builder::new().name("fake-swift".into()).spawn(body).expect("a thread");
        FakeSwift { cluster, stop: Some(stop), thread: Some(thread) }
    }

    /// The storage URL of the first front end: `http://127.0.0.1:PORT/v1/ACCOUNT`.
    pub fn url(&self) -> String {
        self.cluster.url(0)
    }

    /// The URL for auth v1 of the first front end: `http://127.0.0.1:PORT/auth/v1.0`.
    pub fn auth_url(&self) -> String {
        self.auth_url_of(0)
    }

    /// The URL for auth v1 of a front end; its answers name the storage URL of the same.
    pub fn auth_url_of(&self, front_end: usize) -> String {
        format!("http://{}/auth/v1.0", self.cluster.addresses[front_end])
    }

    /// The port of the first front end.
    pub fn port(&self) -> u16 {
        self.port_of(0)
    }

    /// The port of a front end.
    pub fn port_of(&self, front_end: usize) -> u16 {
        self.cluster.addresses[front_end].port()
    }

    /// The name of the account.
    pub fn account(&self) -> &str {
        &self.cluster.options.account
    }

    /// Adds a rule for faults.
    pub fn inject(&self, rule: Rule) {
        self.cluster.faults.lock().add(rule);
    }

    /// Adds a rule that strikes the next request it fits, once.
    pub fn inject_once(&self, fault: Fault) {
        self.inject(Rule::new(fault).next(1));
    }

    /// Ends all rules. What was put off still comes; lost rows stay lost.
    pub fn clear_faults(&self) {
        self.cluster.faults.lock().clear();
    }

    /// What was injected so far, in order.
    pub fn events(&self) -> Vec<Event> {
        self.cluster.faults.lock().events()
    }

    /// Makes all listings show what is stored: late and lost rows arrive.
    pub fn heal_listings(&self) {
        self.cluster.state.lock().heal_listings();
    }

    /// Carries out at once all that was put off: late rows, late requests, replays.
    pub fn settle(&self) {
        self.cluster.state.lock().settle();
    }

    /// How many effects were put off and are still to come.
    pub fn pending(&self) -> usize {
        self.cluster.state.lock().later.len()
    }

    /// Forgets all tokens, as a restarted memcached does: the next request with one is answered 401.
    pub fn expire_tokens(&self) {
        self.cluster.state.lock().tokens.forget();
    }

    /// Moves all clocks on: delays by time, tokens and objects that expire follow.
    pub fn advance(&self, time: Duration) {
        let mut state = self.cluster.state.lock();
        state.clocks.advance(time);
        state.catch_up();
    }

    /// Changes how far the clock of a front end is off, in milliseconds.
    pub fn set_skew(&self, front_end: usize, skew_ms: i64) {
        self.cluster.state.lock().clocks.set_skew(front_end, skew_ms);
    }

    /// Deletes the objects whose time is over, from listings too, as Swift's expirer does in the end.
    pub fn run_expirer(&self) {
        let mut state = self.cluster.state.lock();
        let now = state.clocks.true_time();
        let over: Vec<(String, String)> = state
            .containers
            .iter()
            .flat_map(|(container, place)| {
                let expired = place
                    .objects
                    .iter()
                    .filter(move |(_, slot)| slot.object.as_ref().is_some_and(|object| object.expired(now)));
                expired.map(|(name, _)| (container.clone(), name.clone()))
            })
            .collect();
        for (container, name) in over {
            let timestamp = state.newest(&container, &name).max(now);
            let timestamp = Timestamp(timestamp.0 + 1);
            state.bury(&container, &name, timestamp, RowFate::Shown);
        }
    }

    /// What came in so far, in the order of arrival.
    pub fn requests(&self) -> Vec<Received> {
        self.cluster.received.lock().clone()
    }

    /// How many requests came in so far: the number of the last one.
    pub fn request_count(&self) -> u64 {
        self.cluster.state.lock().requests
    }

    /// The object of that name that a read of the newest would see.
    pub fn peek(&self, container: &str, object: &str) -> Option<Peek> {
        let mut state = self.cluster.state.lock();
        state.catch_up();
        let now = state.clocks.true_time();
        state.live(container, object, now).map(|object| Peek {
            content: object.content.clone(),
            etag: object.etag.clone(),
            content_type: object.content_type.clone(),
            headers: object.headers.clone(),
            delete_at: object.delete_at,
            is_slo: object.slo.is_some(),
            timestamp: object.timestamp,
        })
    }

    /// The names of all objects that are really there, whatever listings show.
    pub fn objects(&self, container: &str) -> Vec<String> {
        let mut state = self.cluster.state.lock();
        state.catch_up();
        let now = state.clocks.true_time();
        let place = state.container(container);
        let live = place.into_iter().flat_map(|place| place.objects.iter());
        live.filter(|(_, slot)| slot.live(now).is_some()).map(|(name, _)| name.clone()).collect()
    }

    /// The names that a complete listing shows.
    pub fn listed(&self, container: &str) -> Vec<String> {
        let mut state = self.cluster.state.lock();
        state.catch_up();
        state
            .container(container)
            .into_iter()
            .flat_map(Container::shown)
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// Flips one byte on the disk; ETag and size stay. Whoever reads all of it gets the wrong bytes once, and then the
    /// object is set aside.
    ///
    /// # Panics
    /// When there is no such object, or not that many bytes.
    pub fn corrupt(&self, container: &str, object: &str, position: usize) {
        let mut state = self.cluster.state.lock();
        let slot = state.containers.get_mut(container).and_then(|place| place.objects.get_mut(object));
        let stored = slot.and_then(|slot| slot.object.as_mut()).expect("an object to corrupt");
        let mut content = stored.content.to_vec();
        content[position] ^= 0xff;
        stored.content = content.into();
        stored.damaged = true;
    }

    /// Loses an object on the disk: no tombstone, and its row stays.
    pub fn remove(&self, container: &str, object: &str) {
        self.cluster.state.lock().quarantine(container, object);
    }

    /// Hides the row of an object until listings are healed, or the object is written again.
    pub fn hide_row(&self, container: &str, object: &str) {
        let mut state = self.cluster.state.lock();
        if let Some(place) = state.containers.get_mut(container)
            && let Some(row) = place.rows.remove(object)
        {
            place.lost.insert(object.to_owned(), row);
        }
    }
}

impl Drop for FakeSwift {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
