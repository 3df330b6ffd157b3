//! The cluster, and two instances of the registry on it: each with a client, a front end and threads of its own.

use std::collections::HashSet;
use std::future::{pending, poll_fn};
use std::sync::{Arc, mpsc};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use wharfinger_fake_swift::{Delay, FakeSwift, Fault, Kind, Moment, Options, Pipeline, Rule};
use wharfinger_registry::{Lease, Registry};
use wharfinger_store::Swift;
use wharfinger_store::swift::{LargeObjects, SwiftOptions};
use wharfinger_swift::{Auth, Client, Retry, Secret, Timeouts};

pub(crate) const CONTAINER: &str = "registry";
/// What the names of all objects begin with.
pub(crate) const PREFIX: &str = "site";
/// No call takes longer than that: each of its requests has its own, much shorter limits.
const PATIENCE: Duration = Duration::from_secs(60);

/// How one run is set up; everything follows from its seed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) seed: u64,
    pub(crate) pipeline: Pipeline,
    /// Whether bytes change, on their way and on the disk. Without, nothing may ever be called damaged.
    pub(crate) rot: bool,
    /// How far the clock of the second front end is ahead.
    pub(crate) skew: Duration,
}

impl Setup {
    pub(crate) fn new(seed: u64, pipeline: Pipeline) -> Setup {
        let skew = Duration::from_millis([0, 40, 300_000][(seed / 3 % 3) as usize]);
        Setup { seed, pipeline, rot: seed % 3 == 2, skew }
    }

    pub(crate) fn cluster(self) -> FakeSwift {
        let skew = i64::try_from(self.skew.as_millis()).unwrap();
        FakeSwift::start(Options {
            seed: self.seed,
            pipeline: self.pipeline,
            front_ends_ms: vec![0, skew],
            page_limit: 50,
            hang: Duration::from_secs(5),
            ..Options::default()
        })
    }

    /// Everything that may go wrong all the time. Not there: requests that take effect long after they were sent, in an
    /// order of their own. Nothing holds on a store that does that.
    pub(crate) fn rules(self) -> Vec<Rule> {
        let refuse = |status, retry_after, moment| Fault::Refuse { status, retry_after, moment };
        let late = |requests| Fault::RowLate(Delay::Requests(requests));
        let stale = |requests| Fault::Stale { within: Delay::Requests(requests) };
        let mut faults = vec![
            refuse(429, Some(0), Moment::BeforeBody),
            refuse(498, None, Moment::BeforeBody),
            refuse(500, None, Moment::AfterBody),
            refuse(507, None, Moment::BeforeBody),
            Fault::AnswerLost,
            Fault::ShortBody { at: None },
            stale(4),
            Fault::Superseded,
            late(3),
            late(100),
            Fault::RowLost,
            Fault::Slow(Duration::from_millis(8)),
        ];
        let moments = [Moment::BeforeBody, Moment::MidBody, Moment::AfterBody];
        faults.extend(moments.map(Fault::Reset));
        let mut rules: Vec<Rule> = faults.into_iter().map(|fault| Rule::new(fault).chance(0.007)).collect();
        // Not of the authentication itself: there it would say that the password is wrong.
        let kinds =
            [Kind::Put, Kind::SloPut, Kind::Get, Kind::Head, Kind::Delete, Kind::BulkDelete, Kind::Listing];
        let denied = moments.map(|moment| Rule::new(refuse(401, None, moment)).on(&kinds).chance(0.005));
        rules.extend(denied);
        let unavailable = refuse(503, None, Moment::BeforeBody);
        rules.push(Rule::new(unavailable).burst(0.004, 4));
        if self.rot {
            rules.push(Rule::new(Fault::WrongByte { at: None }).chance(0.01));
        }
        if self.skew.is_zero() {
            // Ordered by its start, so later writes win; with two clocks that is not so.
            let fault = Fault::Late { delay: Delay::Requests(3), restamp: false };
            rules.push(Rule::new(fault).chance(0.005));
        }
        // Where it hurts most.
        let reads = [Kind::Get, Kind::Head];
        rules.extend([
            Rule::new(stale(400)).on(&reads).named("/segments/").chance(0.4),
            Rule::new(stale(40)).on(&reads).named("current/link").chance(0.3),
            Rule::new(stale(20)).on(&reads).named("/blobs/").chance(0.1),
            Rule::new(stale(20)).on(&reads).named("/uploads/").chance(0.1),
            Rule::new(Fault::RowLost).named("/segments/").chance(0.1),
            Rule::new(Fault::AnswerLost).on(&[Kind::Put]).named("/segments/").chance(0.04),
            Rule::new(Fault::AnswerLost).on(&[Kind::SloPut]).chance(0.1),
            Rule::new(refuse(503, None, Moment::BeforeBody))
                .on(&[Kind::Delete])
                .named("/session")
                .burst(0.02, 5),
            Rule::new(Fault::Superseded).on(&[Kind::Put]).named("/link").chance(0.01),
        ]);
        rules
    }
}

/// How a call ends before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interrupt {
    Never,
    /// The request goes away after the call was polled so many times.
    Cancel(u32),
    /// The process goes away after the call was polled so many times.
    Crash(u32),
}

/// One running registry.
pub(crate) struct Instance {
    auth_url: String,
    /// Bytes that it may hold.
    budget: usize,
    runtime: Option<Runtime>,
    registry: Registry,
    /// Which of its lives this is.
    pub(crate) life: u64,
    /// Links that it wrote, and takes to be there for a while: repository and content or document.
    pub(crate) linked: HashSet<(usize, usize)>,
}

impl Instance {
    /// With a small budget nearly everything is staged, with a large one only what is above 4 MiB.
    pub(crate) fn start(fake: &FakeSwift, front_end: usize, budget: usize) -> Instance {
        let auth_url = fake.auth_url_of(front_end);
        let (runtime, registry) = boot(&auth_url, budget, true);
        let runtime = Some(runtime);
        Instance { auth_url, budget, runtime, registry, life: 0, linked: HashSet::new() }
    }

    /// Begins a call.
    pub(crate) fn begin<T, F>(&self, interrupt: Interrupt, call: impl FnOnce(Registry) -> F) -> Running<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let (sender, receiver) = mpsc::channel();
        let future = call(self.registry.clone());
        self.runtime.as_ref().unwrap().spawn(async move {
            let mut future = Box::pin(future);
            let mut left = match interrupt {
                Interrupt::Never => u32::MAX,
                Interrupt::Cancel(polls) | Interrupt::Crash(polls) => polls,
            };
            let ended = poll_fn(|context| {
                let Some(rest) = left.checked_sub(1) else { return Poll::Ready(None) };
                left = rest;
                future.as_mut().poll(context).map(Some)
            })
            .await;
            if ended.is_none() && matches!(interrupt, Interrupt::Crash(_)) {
                // Nothing of it may run, not even what ends it: it goes with its runtime.
                let _ = sender.send(None);
                return pending().await;
            }
            drop(future);
            let _ = sender.send(ended);
        });
        Running { receiver }
    }

    /// Makes a call and waits for its end.
    pub(crate) fn run<T, F>(&self, call: impl FnOnce(Registry) -> F) -> T
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        self.begin(Interrupt::Never, call).wait().unwrap()
    }

    /// Ends the process, whatever is under way, and starts it again.
    pub(crate) fn restart(&mut self, budget: usize) {
        self.stop();
        self.budget = budget;
        let (runtime, registry) = boot(&self.auth_url, self.budget, true);
        (self.runtime, self.registry) = (Some(runtime), registry);
        self.life += 1;
        self.linked.clear();
    }

    /// As [`Instance::restart`], patient and with nothing else that is particular to tests.
    pub(crate) fn restart_calm(&mut self) {
        self.stop();
        let (runtime, registry) = boot(&self.auth_url, 64 * 1024 * 1024, false);
        (self.runtime, self.registry) = (Some(runtime), registry);
        self.life += 1;
    }

    fn stop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(10));
        }
    }

    /// Waits until nothing that was given up is still being put away.
    pub(crate) fn wait_idle(&self, writers: usize) {
        let begun = Instant::now();
        while self.registry.uploads_in_flight() > writers {
            assert!(begun.elapsed() < PATIENCE, "an upload that was given up is never put away");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub(crate) fn damaged_count(&self) -> usize {
        self.registry.damaged_count()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A call under way.
pub(crate) struct Running<T> {
    receiver: mpsc::Receiver<Option<T>>,
}

impl<T> Running<T> {
    /// What it returned; nothing if it was interrupted.
    #[track_caller]
    pub(crate) fn wait(self) -> Option<T> {
        match self.receiver.recv_timeout(PATIENCE) {
            Ok(ended) => ended,
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("a call hangs"),
            Err(mpsc::RecvTimeoutError::Disconnected) => panic!("a call panicked"),
        }
    }
}

fn boot(auth_url: &str, budget: usize, hasty: bool) -> (Runtime, Registry) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let auth = Auth::V1 { url: auth_url.to_owned(), user: "test:tester".into(), key: Secret::new("testing") };
    let mut options = wharfinger_swift::Options::new(auth);
    if hasty {
        let (limit, go_ahead) = (Duration::from_millis(1_500), Duration::from_millis(500));
        options.timeouts = Timeouts { connect: limit, head: limit, progress: limit, large: limit, go_ahead };
        options.retry = Retry {
            attempts: 4,
            first_delay: Duration::from_millis(1),
            longest_delay: Duration::from_millis(4),
            budget: Duration::from_secs(3),
            tokens: 1_000_000,
        };
    } else {
        let limit = Duration::from_secs(30);
        options.timeouts = Timeouts { head: limit, progress: limit, ..options.timeouts };
    }
    let store = SwiftOptions {
        container: CONTAINER.to_owned(),
        prefix: PREFIX.to_owned(),
        segment_size: 1024 * 1024,
        large: LargeObjects::Auto,
        writable: true,
        signing: None,
    };
    let store = Arc::new(Swift::new(Client::new(options).unwrap(), store).unwrap());
    let lease = Lease { life: Duration::from_millis(20), settled: Duration::ZERO };
    let mut options = wharfinger_registry::Options { buffer_bytes: budget, lease, ..Default::default() };
    if !hasty {
        options.landing = Duration::ZERO;
    }
    let registry = {
        let _inside = runtime.enter();
        Registry::new(store, options)
    };
    (runtime, registry)
}
