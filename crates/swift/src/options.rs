//! How to reach a cluster, as whom, and how patiently.

use std::time::Duration;

use crate::Secret;

/// Everything a [`Client`](crate::Client) needs to know. Begin with [`Options::new`] and change what differs.
#[derive(Clone, Debug)]
pub struct Options {
    /// Who we are and who vouches for it.
    pub auth: Auth,
    /// Region of the catalogue's endpoint (Keystone). Default: none, the first endpoint that fits.
    pub region: Option<String>,
    /// Interface of the catalogue's endpoint (Keystone). Default: public.
    pub interface: Interface,
    /// Used in place of the storage URL that the authentication answers, e.g.
    /// `https://swift.example.org/v1/AUTH_account`. Default: none.
    pub storage_url: Option<String>,
    /// Accept any certificate. Default: false. For tests: whoever is on the path can read and change everything.
    pub insecure_skip_verify: bool,
    /// Certificates (PEM) to trust beside those of the system. Default: none.
    pub extra_roots: Option<Vec<u8>>,
    /// `User-Agent` of every request. Default: name and version of this crate.
    pub user_agent: String,
    /// How long to wait for what.
    pub timeouts: Timeouts,
    /// When to try again.
    pub retry: Retry,
    /// Most requests that wait for Swift at a time. Default: 64. A body that streams at the caller's pace is not
    /// counted.
    pub connections: usize,
    /// Most idle connections kept per host. Default: 32.
    pub idle_connections: usize,
}

impl Options {
    /// The defaults with this authentication.
    pub fn new(auth: Auth) -> Options {
        Options {
            auth,
            region: None,
            interface: Interface::default(),
            storage_url: None,
            insecure_skip_verify: false,
            extra_roots: None,
            user_agent: concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")).to_owned(),
            timeouts: Timeouts::default(),
            retry: Retry::default(),
            connections: 64,
            idle_connections: 32,
        }
    }
}

/// A way to get a token.
#[derive(Clone, Debug)]
pub enum Auth {
    /// TempAuth and its kin (`GET URL` with `X-Auth-User` and `X-Auth-Key`).
    V1 {
        /// E.g. `https://swift.example.org/auth/v1.0`.
        url: String,
        /// `account:user`.
        user: String,
        /// The user's key.
        key: Secret,
    },
    /// Keystone's second protocol (`POST URL/tokens`), gone from Keystone since Queens.
    V2 {
        /// E.g. `https://keystone.example.org/v2.0`.
        url: String,
        /// Name of the user.
        user: String,
        /// The user's password.
        password: Secret,
        /// The project. Default: the user's own.
        tenant: Option<Tenant>,
    },
    /// Keystone (`POST URL/auth/tokens`).
    V3 {
        /// E.g. `https://keystone.example.org/v3`.
        url: String,
        /// What proves who we are.
        method: V3Method,
        /// What the token is for.
        scope: Scope,
    },
}

/// The project of [`Auth::V2`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tenant {
    /// By id.
    Id(String),
    /// By name.
    Name(String),
}

/// How Keystone knows us.
#[derive(Clone, Debug)]
pub enum V3Method {
    /// A user and a password.
    Password {
        /// The user.
        user: User,
        /// The password.
        password: Secret,
    },
    /// An application credential. It is scoped by itself: use [`Scope::Unscoped`].
    ApplicationCredential {
        /// Which one.
        credential: ApplicationCredential,
        /// Its secret.
        secret: Secret,
    },
}

/// A user of Keystone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum User {
    /// By id, which is unique over all domains.
    Id(String),
    /// By name within a domain.
    Name {
        /// The name.
        name: String,
        /// Its domain.
        domain: Domain,
    },
}

/// A domain of Keystone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Domain {
    /// By id, e.g. `default`.
    Id(String),
    /// By name, e.g. `Default`.
    Name(String),
}

/// Which application credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApplicationCredential {
    /// By id.
    Id(String),
    /// By name, of a user.
    Name {
        /// The credential's name.
        name: String,
        /// Whose it is.
        user: User,
    },
}

/// What a token of Keystone is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// What Keystone chooses: the user's default project, or the application credential's.
    Unscoped,
    /// A project.
    Project(Project),
    /// A trust, by id.
    Trust(String),
}

/// A project of Keystone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Project {
    /// By id.
    Id(String),
    /// By name within a domain.
    Name {
        /// The name.
        name: String,
        /// Its domain.
        domain: Domain,
    },
}

/// Which of the endpoints in Keystone's catalogue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Interface {
    /// For everybody.
    #[default]
    Public,
    /// Within the cloud.
    Internal,
    /// For administrators.
    Admin,
}

/// How long to wait. Nothing limits a whole body: a body may take as long as it makes progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// TCP and TLS. Default: 2 s.
    pub connect: Duration,
    /// From the end of the request to the head of the answer, and for a small answer to its end. Default: 4 s.
    pub head: Duration,
    /// Without one byte of a body moving. Default: 10 s.
    pub progress: Duration,
    /// In place of `head` where Swift works long: SLO manifests, copies, bulk deletes. Default: 60 s.
    pub large: Duration,
    /// For `100 Continue`, after which a body is sent without it; then it has no more than the rest of `head` without
    /// moving, since a server that hangs takes what there is room for on the way. Default: 1 s.
    pub go_ahead: Duration,
}

impl Timeouts {
    /// What is left of `head` for a body that was sent without `100 Continue`, at least half of it.
    pub(crate) fn unwanted(&self, head: Duration) -> Duration {
        head.saturating_sub(self.go_ahead).max(head / 2)
    }
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            connect: Duration::from_secs(2),
            head: Duration::from_secs(4),
            progress: Duration::from_secs(10),
            large: Duration::from_secs(60),
            go_ahead: Duration::from_secs(1),
        }
    }
}

/// When to try again what may succeed the next time: lost connections, time-outs, 408, 429, 498, 499, 500, 502, 503
/// and 504. Waits double from `first_delay` to `longest_delay` with full jitter; `Retry-After` is a lower bound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Retry {
    /// Most attempts, the first one included. Default: 5.
    pub attempts: u32,
    /// Before the second attempt. Default: 100 ms.
    pub first_delay: Duration,
    /// Between any two. Default: 2 s.
    pub longest_delay: Duration,
    /// After this time no new attempt begins; time in which our body was on its way is not counted. Default: 4 s.
    pub budget: Duration,
    /// Retries that the whole client may do beyond one for each ten successes, so that an outage is not made worse.
    /// Default: 100.
    pub tokens: u32,
}

impl Default for Retry {
    fn default() -> Retry {
        Retry {
            attempts: 5,
            first_delay: Duration::from_millis(100),
            longest_delay: Duration::from_secs(2),
            budget: Duration::from_secs(4),
            tokens: 100,
        }
    }
}
