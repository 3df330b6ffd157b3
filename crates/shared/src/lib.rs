//! What the instances of a registry share: bytes by name in Redis, behind a circuit breaker.
//!
//! Nothing here is ever needed. Redis may be lost, stale, slow or hung at any moment; then [`Shared`] finds nothing and
//! keeps nothing, within the time that its caller has left ([`Patience`]). Everything has a time to live. What is found
//! is a hint, which the caller proves by itself. An operator's command that wants to know what Redis holds asks it
//! [directly](Direct).

mod breaker;
mod connect;
mod direct;
mod later;
mod listen;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use redis::{Cmd, FromRedisValue};
use uuid::Uuid;

use breaker::Breaker;
pub use breaker::Counts;
pub use direct::{Direct, Unanswered};
use later::Later;

/// What all names in Redis begin with.
pub const NAMESPACE: &str = "wharfinger:v1:";
/// Where instances announce something to each other.
const CHANNEL: &str = "wharfinger:v1:instances";

/// How long one request of a client may wait for Redis in all.
const PER_REQUEST: Duration = Duration::from_millis(100);

/// Where Redis is, and how long it may take.
#[derive(Clone)]
pub struct Options {
    /// `host:port`; of several, the first that answers.
    pub addresses: Vec<String>,
    /// User of an access list; none: the default user.
    pub user: Option<String>,
    /// Password, if it asks for one.
    pub password: Option<String>,
    /// Number of the database.
    pub database: i64,
    /// How to speak TLS; none: plain.
    pub tls: Option<Tls>,
    /// How long connecting may take. At most 1 s; nobody waits for it.
    pub connect: Duration,
    /// How long one answer may take. At most the 100 ms that a request may wait in all.
    pub answer: Duration,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Options({}/{})", self.addresses.join(","), self.database)
    }
}

/// Certificates, as PEM.
#[derive(Clone, Default)]
pub struct Tls {
    /// Authorities that may have signed Redis's certificate; none: those of the system.
    pub roots: Option<Vec<u8>>,
    /// Our certificate and its key, if Redis asks for one.
    pub client: Option<(Vec<u8>, Vec<u8>)>,
}

/// Why Redis cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address is not `host:port`.
    #[error("{0:?} is not an address of the form host:port")]
    Address(String),
    /// The certificates do not fit.
    #[error("TLS to Redis: {0}")]
    Tls(String),
}

/// What is kept; part of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Manifests and small blobs, by repository and digest.
    Content,
    /// Records of upload sessions, by their id.
    Upload,
    /// What links said last, by their name in the store.
    Link,
    /// Who is reading something from the store for all.
    Turn,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Content => "content",
            Kind::Upload => "upload",
            Kind::Link => "link",
            Kind::Turn => "turn",
        }
    }
}

fn name(kind: Kind, key: &str) -> String {
    format!("{NAMESPACE}{}:{key}", kind.name())
}

/// How long a request may still wait for Redis.
#[derive(Clone, Copy, Debug)]
pub struct Patience(Instant);

impl Patience {
    /// That of a request which has not waited yet: 100 ms.
    pub fn of_a_request() -> Patience {
        Patience(Instant::now() + PER_REQUEST)
    }

    /// What is left.
    pub fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}

/// How an attempt to get a turn ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It is ours until it is given back or its time is over.
    Ours(TurnToken),
    /// Another instance has it.
    Others,
    /// Redis did not say.
    Unknown,
}

/// Who has a turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnToken(String);

/// How things stand.
#[derive(Clone, Debug)]
pub struct Status {
    /// For how long Redis has been bypassed; none while it is used.
    pub bypassed: Option<Duration>,
    /// What was done since the start.
    pub counts: Counts,
}

/// A Redis. Cheap to clone.
#[derive(Clone)]
pub struct Shared {
    breaker: Arc<Breaker>,
    later: Later,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }
}

/// Gives a turn back only to those who still have it.
const GIVE_BACK: &str =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";

impl Shared {
    /// Begins to connect in the background; call it within a runtime.
    ///
    /// # Errors
    /// Addresses or certificates that can never do.
    pub fn new(options: &Options) -> Result<Shared, Error> {
        let breaker = Breaker::start(connect::Clients::new(options)?, options.answer.min(PER_REQUEST));
        let later = Later::start(breaker.clone());
        Ok(Shared { breaker, later })
    }

    async fn ask<T: FromRedisValue>(&self, command: &Cmd, patience: Patience) -> Option<T> {
        self.breaker.ask(command, patience.left()).await
    }

    /// What is kept under a name; nothing also where Redis does not say in time.
    pub async fn get(&self, kind: Kind, key: &str, patience: Patience) -> Option<Bytes> {
        let found: Option<Vec<u8>> = self.ask(Cmd::new().arg("GET").arg(name(kind, key)), patience).await?;
        self.breaker.counts.looked(found.is_some());
        found.map(Bytes::from)
    }

    /// What was found is not what it has to be: it is removed.
    pub fn distrust(&self, kind: Kind, key: &str) {
        self.breaker.counts.distrusted();
        self.forget(kind, key);
    }

    /// Keeps bytes for so long, some time soon; at the latest when nobody asks any more.
    pub fn keep(&self, kind: Kind, key: &str, bytes: &[u8], life: Duration) {
        self.later.set(name(kind, key), bytes, life);
    }

    /// Forgets what is kept under a name, some time soon.
    pub fn forget(&self, kind: Kind, key: &str) {
        self.later.delete(name(kind, key));
    }

    /// Tries to become the one who reads something for all, for so long at most.
    pub async fn turn(&self, key: &str, life: Duration, patience: Patience) -> Turn {
        let token = Uuid::new_v4().to_string();
        let mut set = Cmd::new();
        set.arg("SET").arg(name(Kind::Turn, key)).arg(&token).arg("NX").arg("PX").arg(milliseconds(life));
        match self.ask::<Option<String>>(&set, patience).await {
            Some(Some(_)) => Turn::Ours(TurnToken(token)),
            Some(None) => Turn::Others,
            None => Turn::Unknown,
        }
    }

    /// Gives a turn back, some time soon.
    pub fn give_back(&self, key: &str, token: TurnToken) {
        self.later.run(GIVE_BACK, name(Kind::Turn, key), token.0);
    }

    /// Removes everything of ours. Says how many names were removed.
    ///
    /// # Errors
    /// Redis does not answer.
    pub async fn flush(&self) -> Result<u64, String> {
        self.breaker.flush(&format!("{NAMESPACE}*")).await
    }

    /// Removes what is kept of one kind under names that end like this.
    ///
    /// # Errors
    /// Redis does not answer.
    pub async fn flush_ending(&self, kind: Kind, end: &str) -> Result<u64, String> {
        self.breaker.flush(&name(kind, &format!("*{end}"))).await
    }

    /// Says something to all instances that listen, this one too. Says how many there are.
    ///
    /// # Errors
    /// Redis does not answer.
    pub async fn announce(&self, message: &str) -> Result<u64, String> {
        self.breaker.announce(message).await
    }

    /// What instances announce from now on, as long as Redis is there; an announcement while it is not is lost.
    pub fn listen(&self) -> tokio::sync::mpsc::Receiver<Bytes> {
        listen::start(self.breaker.clone())
    }

    /// How things stand.
    pub fn status(&self) -> Status {
        Status { bypassed: self.breaker.bypassed(), counts: self.breaker.counts.clone() }
    }
}

fn milliseconds(life: Duration) -> u64 {
    u64::try_from(life.as_millis()).unwrap_or(u64::MAX).max(1)
}
