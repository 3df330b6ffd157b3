//! OpenStack Swift as store, as the configuration describes it.

use std::time::Duration;

use crate::Secret;
use crate::value::choice;

/// A container of OpenStack Swift. The keys are those of Distribution 2.8's driver, with its meanings, and ours.
#[derive(Clone, Debug, PartialEq)]
pub struct Swift {
    /// How a token is had.
    pub auth: SwiftAuth,
    /// The container that holds manifests and segments: 1 to 256 bytes, no slash.
    pub container: String,
    /// Region of the catalogue; none: its first endpoint.
    pub region: Option<String>,
    /// Which endpoint of the catalogue is used; of no effect with [`SwiftAuth::V1`].
    pub interface: SwiftInterface,
    /// URL of the account, in place of what authentication says.
    pub storage_url: Option<String>,
    /// Put before every object's name without its leading slashes. An object of a driver's path `/docker/...` is
    /// `<prefix>/files/docker/...`, and `files/docker/...` where this is empty. A slash at its end stays, as in
    /// Distribution.
    pub prefix: String,
    /// Whether any TLS certificate is taken.
    pub insecure_skip_verify: bool,
    /// Bytes of one segment of a large object: 1 MiB to 5 GiB.
    pub segment_size: u64,
    /// How large objects are put together.
    pub objects: LargeObjects,
    /// Most requests at a time; at least 1.
    pub concurrency: usize,
    /// Time that a connection may take.
    pub connect_timeout: Duration,
    /// Time that an answer may take to begin.
    pub response_timeout: Duration,
    /// What signs temporary URLs; none: what Swift knows, or a new key.
    pub temp_url_key: Option<Secret>,
    /// Whether a key of temporary URLs is set on the container; else on the account.
    pub temp_url_container_key: bool,
}

/// How a token is had.
#[derive(Clone, Debug, PartialEq)]
pub enum SwiftAuth {
    /// Swift's own (tempauth): `GET` with `X-Auth-User` and `X-Auth-Key`.
    V1 {
        /// The whole URL, such as `https://swift.example.org/auth/v1.0`.
        url: String,
        /// `account:user`.
        user: String,
        /// The user's key.
        key: Secret,
    },
    /// Keystone's Identity API v2.0.
    V2 {
        /// What `tokens` is appended to.
        url: String,
        /// The user's name.
        user: String,
        /// The user's password.
        password: Secret,
        /// Name of the project.
        tenant: Option<String>,
        /// Id of the project; wins over the name.
        tenant_id: Option<String>,
    },
    /// Keystone's Identity API v3.
    V3 {
        /// What `auth/tokens` is appended to.
        url: String,
        /// What is proved.
        credential: SwiftCredential,
        /// What the token is for.
        scope: SwiftScope,
    },
}

/// Who asks Keystone for a token.
#[derive(Clone, Debug, PartialEq)]
pub enum SwiftCredential {
    /// A user.
    Password {
        /// The user's name.
        user: String,
        /// The user's domain.
        domain: SwiftDomain,
        /// The user's password.
        password: Secret,
    },
    /// An application credential, by its id. It brings its project with it.
    ApplicationId {
        /// Its id.
        id: String,
        /// Its secret.
        secret: Secret,
    },
    /// An application credential, by its name and the user it belongs to.
    ApplicationName {
        /// Its name.
        name: String,
        /// The user's name.
        user: String,
        /// The user's domain.
        domain: SwiftDomain,
        /// Its secret.
        secret: Secret,
    },
}

/// A Keystone domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SwiftDomain {
    /// By name.
    Name(String),
    /// By id.
    Id(String),
}

/// What a Keystone v3 token is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SwiftScope {
    /// Nothing is asked for: the user's default project, or that of the application credential.
    Unscoped,
    /// A project by id.
    ProjectId(String),
    /// A project by name.
    Project {
        /// Its name.
        name: String,
        /// Its domain.
        domain: SwiftDomain,
    },
    /// A trust (OS-TRUST) by id.
    Trust(String),
}

choice! {
    /// Which endpoint of the catalogue is used.
    SwiftInterface {
        /// For everybody.
        Public = "public",
        /// Within the cloud.
        Internal = "internal",
        /// For administrators.
        Admin = "admin",
    }
}

choice! {
    /// How large objects are put together.
    LargeObjects {
        /// As static large objects where `/info` offers them, else dynamic ones.
        Auto = "auto",
        /// As static large objects, whatever `/info` says.
        Slo = "slo",
        /// As dynamic large objects, whatever `/info` says.
        Dlo = "dlo",
    }
}
