//! Why a configuration is unusable, and why a request is refused.

use std::path::PathBuf;

/// Why access control cannot start. Every message names the setting, the file and, where there is one, the line.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The htpasswd file cannot be read.
    #[error(
        "auth.htpasswd.path: cannot read {path}: {source}; make it with: htpasswd -Bc {path} USER",
        path = path.display()
    )]
    Htpasswd {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A line of the htpasswd file is not `user:hash`.
    #[error("{path}:{line}: expected USER:HASH as htpasswd -B writes it", path = path.display())]
    HtpasswdLine {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
    /// A file of token keys cannot be read.
    #[error("{key}: cannot read {path}: {source}", path = path.display())]
    KeyFile {
        /// The setting.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file of token keys holds something unusable.
    #[error("{key}: {path}: {reason}", path = path.display())]
    Key {
        /// The setting.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with which key.
        reason: String,
    },
    /// Tokens without any key to verify them.
    #[error(
        "auth.token: no key to verify tokens with; set rootcertbundle (PEM certificates) or jwks (a key set)"
    )]
    NoKeys,
    /// A setting must not be empty.
    #[error("{0}: must not be empty")]
    Empty(&'static str),
    /// An algorithm that is unknown, or that would let a public key forge tokens.
    #[error("auth.token.signingalgorithms: {name}: {reason}")]
    Algorithm {
        /// As configured.
        name: String,
        /// Why not.
        reason: &'static str,
    },
    /// A rule that can never apply, or means more than it says.
    #[error("policy.rules[{rule}]: {reason}")]
    Rule {
        /// Counted from 0, in the order of the file.
        rule: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A rule of redirects with a pattern that cannot be read.
    #[error("storage.redirect.rules.{rule}.repositories: {reason}")]
    Redirect {
        /// Counted from 0, in the order of the file.
        rule: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// The system gave no random bytes.
    #[error("no random bytes from the system: {0}")]
    Random(getrandom::Error),
}

/// Why a request may not go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// 401: the credentials are wrong, or other ones may help. Answer with [`Access::challenge`](crate::Access::challenge).
    #[error("{reason}")]
    Unauthenticated {
        /// For the log and for the caller; holds no secret.
        reason: String,
        /// The `error` of the challenge (RFC 6750, section 3.1): `invalid_token`, `insufficient_scope`.
        error: Option<&'static str>,
    },
    /// 403: the caller is known and may not, or no log-in is configured.
    #[error("{reason}")]
    Denied {
        /// For the log and for the caller.
        reason: String,
    },
}

impl Refused {
    /// What to tell the caller.
    pub fn reason(&self) -> &str {
        match self {
            Refused::Unauthenticated { reason, .. } | Refused::Denied { reason } => reason,
        }
    }

    /// What to hand to [`Access::challenge`](crate::Access::challenge) as `error`.
    pub fn challenge_error(&self) -> Option<&'static str> {
        match self {
            Refused::Unauthenticated { error, .. } => *error,
            Refused::Denied { .. } => None,
        }
    }

    pub(crate) fn unauthenticated(reason: impl Into<String>) -> Refused {
        Refused::Unauthenticated { reason: reason.into(), error: None }
    }

    pub(crate) fn invalid_token(reason: impl Into<String>) -> Refused {
        Refused::Unauthenticated { reason: reason.into(), error: Some("invalid_token") }
    }
}
