//! Which faults there are, when they strike, and what was injected.

use std::time::Duration;

use crate::clock::Timestamp;

/// How long something is put off: until so many more requests began, or by time (the movable one).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delay {
    /// Until that many more requests of any kind have begun.
    Requests(u64),
    /// By the cluster's own time.
    Time(Duration),
}

impl Delay {
    pub(crate) fn due(self, now: Timestamp, request: u64) -> Due {
        match self {
            Delay::Requests(count) => Due::Request(request + count),
            Delay::Time(time) => Due::Time(now.after(time)),
        }
    }
}

/// When something that was put off comes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Due {
    Request(u64),
    Time(Timestamp),
}

impl Due {
    pub(crate) fn reached(self, now: Timestamp, request: u64) -> bool {
        match self {
            Due::Request(due) => request > due,
            Due::Time(due) => now >= due,
        }
    }
}

/// What a request is, for choosing which ones a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// `GET /auth/v1.0`.
    Auth,
    /// `GET /info`.
    Info,
    /// GET, HEAD, POST of the account.
    Account,
    /// `POST /v1/ACCOUNT?bulk-delete`.
    BulkDelete,
    /// GET of a container: a listing.
    Listing,
    /// HEAD of a container.
    ContainerHead,
    /// PUT, POST, DELETE of a container.
    ContainerWrite,
    /// PUT of an object, DLO manifests included.
    Put,
    /// PUT of an SLO.
    SloPut,
    /// COPY, or PUT with `X-Copy-From`.
    Copy,
    /// GET of an object.
    Get,
    /// HEAD of an object.
    Head,
    /// POST of an object.
    Post,
    /// DELETE of an object.
    Delete,
    /// DELETE of an SLO with its segments.
    SloDelete,
    /// Everything else.
    Other,
}

impl Kind {
    /// Whether the request takes a body that counts.
    fn has_body(self) -> bool {
        matches!(self, Kind::Put | Kind::SloPut | Kind::BulkDelete)
    }

    /// Whether the request changes what is stored.
    fn writes(self) -> bool {
        use Kind::{BulkDelete, ContainerWrite, Copy, Delete, Post, Put, SloDelete, SloPut};
        matches!(self, BulkDelete | ContainerWrite | Put | SloPut | Copy | Post | Delete | SloDelete)
    }
}

/// At which moment of a request a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// After the head, before anything of the body was read: no `100 Continue` was sent.
    BeforeBody,
    /// After the first piece of the body. Only requests with a body are struck.
    MidBody,
    /// After the whole body. Only requests with a body are struck.
    AfterBody,
}

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is done, and that is the answer: 401, 429 and 498 with `Retry-After`, 500, 503, 507, ...
    Refuse {
        /// The status.
        status: u16,
        /// Seconds for a `Retry-After`.
        retry_after: Option<u64>,
        /// When the answer goes out.
        moment: Moment,
    },
    /// Nothing is done, and the connection is reset.
    Reset(Moment),
    /// Nothing is done, and no answer comes until [`crate::Options::hang`] is over; then the connection is reset.
    Hang(Moment),
    /// It is done, but instead of the answer comes a reset.
    AnswerLost,
    /// It is done, but the answer does not come.
    AnswerHung,
    /// The body of the answer ends early, with the connection; at that byte, or at a random one.
    ShortBody {
        /// How many bytes come.
        at: Option<u64>,
    },
    /// The body of the answer stops, and the connection stays open; at that byte, or at a random one.
    HungBody {
        /// How many bytes come.
        at: Option<u64>,
    },
    /// One byte of the body of the answer is another; that one, or a random one.
    WrongByte {
        /// Which byte.
        at: Option<u64>,
    },
    /// A read that does not ask for the newest sees what was there before the last change (absence, older content,
    /// or a deleted object), if the change is no longer ago than that.
    Stale {
        /// How long a replica may stay behind.
        within: Delay,
    },
    /// A PUT is answered with 202 and not stored, as if something newer stood there.
    Superseded,
    /// So much time passes between the start of a request, which orders it, and its effect.
    Slow(Duration),
    /// The connection is reset, and a PUT or DELETE takes effect later.
    Late {
        /// When it takes effect.
        delay: Delay,
        /// Whether it is ordered by that later moment, as if a proxy in front had held it, and not by its start.
        restamp: bool,
    },
    /// A DELETE is carried out once more, later, ordered by that later moment.
    Replay(Delay),
    /// The row of a write shows in listings later.
    RowLate(Delay),
    /// The row of a write shows in listings only after [`crate::FakeSwift::heal_listings`].
    RowLost,
}

impl Fault {
    /// Whether this can strike a request of that kind at all.
    fn fits(self, kind: Kind, newest: bool) -> bool {
        match self {
            Fault::Refuse { moment, .. } | Fault::Reset(moment) | Fault::Hang(moment) => {
                moment == Moment::BeforeBody || kind.has_body()
            }
            Fault::AnswerLost | Fault::AnswerHung => true,
            Fault::ShortBody { .. } | Fault::HungBody { .. } => matches!(kind, Kind::Get | Kind::Listing),
            Fault::WrongByte { .. } => kind == Kind::Get,
            Fault::Stale { .. } => matches!(kind, Kind::Get | Kind::Head) && !newest,
            Fault::Superseded => matches!(kind, Kind::Put | Kind::SloPut | Kind::Copy),
            Fault::Slow(_) => kind.writes(),
            Fault::Late { .. } => matches!(kind, Kind::Put | Kind::SloPut | Kind::Copy | Kind::Delete),
            Fault::Replay(_) => kind == Kind::Delete,
            Fault::RowLate(_) | Fault::RowLost => {
                matches!(kind, Kind::Put | Kind::SloPut | Kind::Copy | Kind::Delete)
            }
        }
    }
}

/// How often a rule strikes among the requests that it fits.
#[derive(Clone, Copy, Debug, PartialEq)]
enum When {
    Next { skip: u64, count: u64 },
    Chance(f64),
    Burst { chance: f64, length: u64, left: u64 },
}

/// A fault, which requests it fits, and how often it strikes. Without more it strikes all that it can.
#[derive(Clone, Debug)]
pub struct Rule {
    fault: Fault,
    kinds: Vec<Kind>,
    name: Option<String>,
    when: When,
}

impl Rule {
    /// That fault, on every request that it can strike.
    pub fn new(fault: Fault) -> Rule {
        Rule { fault, kinds: Vec::new(), name: None, when: When::Next { skip: 0, count: u64::MAX } }
    }

    /// A rule for everything that can go wrong without anybody being slow, each with that chance; bursts of 503 are of
    /// three. Hung requests, slow ones and skewed clocks have to be added.
    pub fn every_fault(chance: f64) -> Vec<Rule> {
        let refuse = |status, retry_after, moment| Fault::Refuse { status, retry_after, moment };
        let (few, more) = (Delay::Requests(3), Delay::Requests(12));
        let mut faults = vec![
            refuse(429, Some(0), Moment::BeforeBody),
            refuse(498, None, Moment::BeforeBody),
            refuse(500, None, Moment::AfterBody),
            refuse(507, None, Moment::BeforeBody),
            Fault::AnswerLost,
            Fault::ShortBody { at: None },
            Fault::WrongByte { at: None },
            Fault::Stale { within: few },
            Fault::Superseded,
            Fault::Late { delay: few, restamp: false },
            Fault::Late { delay: few, restamp: true },
            Fault::Replay(few),
            Fault::RowLate(few),
            Fault::RowLate(more),
            Fault::RowLost,
        ];
        for moment in [Moment::BeforeBody, Moment::MidBody, Moment::AfterBody] {
            faults.extend([refuse(401, None, moment), Fault::Reset(moment)]);
        }
        let burst = Rule::new(refuse(503, None, Moment::BeforeBody)).burst(chance, 3);
        let single = faults.into_iter().map(|fault| Rule::new(fault).chance(chance));
        single.chain([burst]).collect()
    }

    /// On requests of these kinds alone.
    #[must_use]
    pub fn on(mut self, kinds: &[Kind]) -> Rule {
        self.kinds = kinds.to_vec();
        self
    }

    /// On requests alone whose decoded path contains that text.
    #[must_use]
    pub fn named(mut self, part: &str) -> Rule {
        self.name = Some(part.to_owned());
        self
    }

    /// On the next `count` requests that fit.
    #[must_use]
    pub fn next(self, count: u64) -> Rule {
        self.after(0, count)
    }

    /// On the `count` requests that fit after `skip` that fit as well.
    #[must_use]
    pub fn after(mut self, skip: u64, count: u64) -> Rule {
        self.when = When::Next { skip, count };
        self
    }

    /// On each request that fits with that chance, between 0 and 1.
    #[must_use]
    pub fn chance(mut self, chance: f64) -> Rule {
        self.when = When::Chance(chance);
        self
    }

    /// As [`Rule::chance`], and once it struck, on the `length - 1` that follow too.
    #[must_use]
    pub fn burst(mut self, chance: f64, length: u64) -> Rule {
        self.when = When::Burst { chance, length, left: 0 };
        self
    }
}

/// A fault that was injected.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The number of the request, from 1.
    pub request: u64,
    /// Method of the request.
    pub method: String,
    /// Path of the request, percent-decoded.
    pub path: String,
    /// What was injected.
    pub fault: Fault,
}

/// The faults of one request, each with a number drawn for its details.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    struck: Vec<(Fault, u64)>,
}

impl Plan {
    /// What `choose` finds in the first fault for which it finds something, and the number drawn with it.
    pub(crate) fn find<T>(&self, choose: impl Fn(Fault) -> Option<T>) -> Option<(T, u64)> {
        self.struck.iter().find_map(|(fault, draw)| Some((choose(*fault)?, *draw)))
    }

    /// Whether that very fault struck.
    pub(crate) fn has(&self, fault: Fault) -> bool {
        self.struck.iter().any(|(struck, _)| *struck == fault)
    }
}

/// The rules in force and what they did.
#[derive(Debug)]
pub(crate) struct Faults {
    seed: u64,
    added: u64,
    rules: Vec<(Rule, Random)>,
    events: Vec<Event>,
}

impl Faults {
    pub(crate) fn new(seed: u64) -> Faults {
        Faults { seed, added: 0, rules: Vec::new(), events: Vec::new() }
    }

    /// Adds a rule, with random numbers of its own.
    pub(crate) fn add(&mut self, rule: Rule) {
        self.added += 1;
        let random = Random(self.seed ^ self.added.wrapping_mul(0xa076_1d64_78bd_642f));
        self.rules.push((rule, random));
    }

    /// Ends all rules; what was put off stays.
    pub(crate) fn clear(&mut self) {
        self.rules.clear();
    }

    /// What was injected so far.
    pub(crate) fn events(&self) -> Vec<Event> {
        self.events.clone()
    }

    /// Draws the faults of a request and writes them down.
    pub(crate) fn decide(
        &mut self,
        request: u64,
        kind: Kind,
        newest: bool,
        method: &str,
        path: &str,
    ) -> Plan {
        let mut plan = Plan::default();
        for (rule, random) in &mut self.rules {
            let named = rule.name.as_ref().is_none_or(|part| path.contains(part.as_str()));
            let chosen = rule.kinds.is_empty() || rule.kinds.contains(&kind);
            if named && chosen && rule.fault.fits(kind, newest) && strikes(&mut rule.when, random) {
                plan.struck.push((rule.fault, random.draw()));
                let (method, path) = (method.to_owned(), path.to_owned());
                self.events.push(Event { request, method, path, fault: rule.fault });
            }
        }
        plan
    }
}

fn strikes(when: &mut When, random: &mut Random) -> bool {
    match when {
        When::Next { skip, count } => {
            if *skip > 0 {
                *skip -= 1;
                return false;
            }
            let strikes = *count > 0;
            *count = count.saturating_sub(1);
            strikes
        }
        When::Chance(chance) => random.happens(*chance),
        When::Burst { left, .. } if *left > 0 => {
            *left -= 1;
            true
        }
        When::Burst { chance, length, left } => {
            let strikes = random.happens(*chance);
            if strikes {
                *left = length.saturating_sub(1);
            }
            strikes
        }
    }
}

/// Random numbers that a seed repeats: SplitMix64.
#[derive(Clone, Debug)]
struct Random(u64);

impl Random {
    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn happens(&mut self, chance: f64) -> bool {
        // 53 bits are what a f64 holds exactly.
        let unit = (self.draw() >> 11) as f64 / (1_u64 << 53) as f64;
        unit < chance
    }
}
