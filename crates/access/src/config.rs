//! What an operator can set, as plain structs.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use http::HeaderName;
use ipnet::IpNet;
use wharfinger_oci::Action;

/// The path of the token service on this host when `autoredirect` is on and no path is given, as in Distribution.
pub const DEFAULT_AUTOREDIRECT_PATH: &str = "/auth/token";

/// Everything this crate needs to know.
#[derive(Clone, Debug)]
pub struct AccessConfig {
    /// How callers prove who they are.
    pub method: Method,
    /// Who may do what.
    pub policy: PolicyConfig,
    /// A proxy in front that has already authenticated the caller.
    pub trusted_proxy: Option<TrustedProxyConfig>,
}

impl AccessConfig {
    /// No credentials, no rules: everyone may do everything.
    pub fn open() -> AccessConfig {
        AccessConfig { method: Method::Anonymous, policy: PolicyConfig::default(), trusted_proxy: None }
    }
}

/// How callers prove who they are.
#[derive(Clone, Debug)]
pub enum Method {
    /// Not at all: `Authorization` is ignored.
    Anonymous,
    /// HTTP Basic against a file that `htpasswd -B` wrote.
    Htpasswd {
        /// The realm of the challenge, shown by some clients.
        realm: String,
        /// The file: `user:bcrypt-hash` lines, read again when it changes.
        path: PathBuf,
    },
    /// JSON Web Tokens of an outside issuer (Distribution's "Token Authentication Specification").
    Token(TokenConfig),
}

/// The outside token issuer and the keys it signs with.
#[derive(Clone, Debug, Default)]
pub struct TokenConfig {
    /// URL of the token service, where the challenge sends clients. Ignored with `autoredirect`.
    pub realm: String,
    /// The name of this registry at the issuer: the token's `aud`.
    pub service: String,
    /// The token's `iss`, compared exactly.
    pub issuer: String,
    /// PEM certificates whose public keys may sign tokens. Read again when it changes.
    pub rootcertbundle: Option<PathBuf>,
    /// A JSON Web Key Set (RFC 7517) of keys that may sign tokens. Read again when it changes.
    pub jwks: Option<PathBuf>,
    /// Accepted `alg` values. Empty: every supported asymmetric algorithm. `none` and `HS*` are never accepted.
    pub signing_algorithms: Vec<String>,
    /// Send clients to this host instead of `realm`.
    pub autoredirect: bool,
    /// The path on this host with `autoredirect`; [`DEFAULT_AUTOREDIRECT_PATH`] when absent.
    pub autoredirect_path: Option<String>,
}

/// The policy table.
///
/// **Without rules** the method decides: [`Method::Anonymous`] lets everyone do everything, [`Method::Htpasswd`] lets
/// every user who logged in do everything, [`Method::Token`] lets each token do what its `access` claim grants.
///
/// **With rules** nothing is allowed but what a rule allows (and, with [`Method::Token`], what the token grants).
/// For one repository and one action, *the first pattern of the table that matches the repository, among the rules
/// that list the action, decides*: the action is open to those whom the rules with that very pattern and action
/// name, and to nobody else. Later patterns are not looked at, so specific rules stand above general ones.
///
/// ```yaml
/// rules:
///   - { repositories: ["restricted/*"], who: ["user:deploy", "user:ci"], actions: [pull] }
///   - { repositories: ["restricted/*"], who: ["user:ci"],                actions: [push, delete] }
///   - { repositories: ["team/*"],       who: ["user:alice"],             actions: [push, delete] }
///   - { repositories: ["*"],            who: ["anonymous"],              actions: [pull] }
/// ```
///
/// | request | decided by | answer |
/// |---|---|---|
/// | anonymous pulls `restricted/a/b` | `restricted/*` | refused, although `*` would allow it |
/// | `deploy` pushes `restricted/a` | `restricted/*` (push) | refused: only `ci` |
/// | anonymous pulls `team/app` | `*`, as no `team/*` rule lists `pull` | allowed |
/// | `bob` pushes `team/app` | `team/*` | refused |
/// | `alice` pushes `other/app` | nothing | refused |
///
/// Patterns are globs over the whole name: `*` is any run of characters **including `/`** (a private prefix stays
/// private however deep the name), `?` one character, `[ab]` one of a set, `{a,b}` either. `team/*` does not match
/// the repository `team` itself.
#[derive(Clone, Debug, Default)]
pub struct PolicyConfig {
    /// The rows of the table, in order.
    pub rules: Vec<Rule>,
    /// Who may list all repositories (`/v2/_catalog`). Empty: as the method decides while there are no rules,
    /// nobody once there are. A token's `registry:catalog:*` grant always suffices.
    pub catalog: Vec<Who>,
}

/// One row of the policy table.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Globs of repository names.
    pub repositories: Vec<String>,
    /// Whom the row is for.
    pub who: Vec<Who>,
    /// What they may do: pull, push, delete.
    pub actions: Vec<Action>,
}

/// Whom a rule is for. As text: `anonymous`, `authenticated`, `user:NAME`, `token:SUBJECT`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    /// Everyone, logged in or not.
    Anonymous,
    /// Everyone who proved who they are: a user, or a token with a subject.
    Authenticated,
    /// This user, by password or named by a trusted proxy.
    User(String),
    /// Tokens with this `sub`.
    Token(String),
}

/// A text that names nobody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not anonymous, authenticated, user:NAME or token:SUBJECT")]
pub struct WhoError(String);

impl FromStr for Who {
    type Err = WhoError;

    fn from_str(text: &str) -> Result<Who, WhoError> {
        match text.split_once(':') {
            None if text == "anonymous" => Ok(Who::Anonymous),
            None if text == "authenticated" => Ok(Who::Authenticated),
            Some(("user", name)) if !name.is_empty() => Ok(Who::User(name.to_owned())),
            Some(("token", subject)) if !subject.is_empty() => Ok(Who::Token(subject.to_owned())),
            _ => Err(WhoError(text.to_owned())),
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Who::Anonymous => f.write_str("anonymous"),
            Who::Authenticated => f.write_str("authenticated"),
            Who::User(name) => write!(f, "user:{name}"),
            Who::Token(subject) => write!(f, "token:{subject}"),
        }
    }
}

/// A proxy that authenticates callers and names them in a header.
#[derive(Clone, Debug)]
pub struct TrustedProxyConfig {
    /// Where the proxy connects from. The header of any other peer is ignored.
    pub addresses: Vec<IpNet>,
    /// The header with the user's name. The proxy must remove it from what clients send.
    pub user_header: HeaderName,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_read_back_as_it_was_written() {
        for text in ["anonymous", "authenticated", "user:bob", "token:ci:main", "user:a:b"] {
            let who: Who = text.parse().unwrap();
            assert_eq!(who.to_string(), text);
        }
    }

    #[test]
    fn who_refuses_what_names_nobody() {
        for text in ["", "user", "user:", "token:", "Anonymous", "group:x", "anonymous:x"] {
            assert!(text.parse::<Who>().is_err(), "{text:?} was accepted");
        }
    }
}
