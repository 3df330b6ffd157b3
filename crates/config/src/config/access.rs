//! Who may do what: the policy table.

use ipnet::IpNet;
use wharfinger_oci::Action;

use crate::value::{FromScalar, quoted};

/// The policy table. Without one, whoever passes `auth` may do everything, as in Distribution.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Access {
    /// Rules, in order: the first pattern that matches the repository, among the rules that list the action,
    /// decides. Empty: there is no table (an empty list in the file is refused).
    pub policy: Vec<Rule>,
    /// Who may list all repositories. Empty: nobody where there is a policy, else whoever passes `auth`.
    pub catalog: Vec<Who>,
    /// A proxy in front that authenticates users and names them in a header.
    pub trusted_proxy: Option<TrustedProxy>,
}

/// One line of the policy table.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Globs over repository names; `*` matches slashes too.
    pub repositories: Vec<String>,
    /// Who it is for.
    pub who: Vec<Who>,
    /// What they may do: pull, push or delete.
    pub actions: Vec<Action>,
}

/// Whom a rule is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// Everyone, with or without credentials.
    Anonymous,
    /// Everyone with valid credentials.
    Authenticated,
    /// The user of that name (htpasswd or trusted proxy).
    User(String),
    /// The bearer of a token with that subject.
    TokenSubject(String),
}

/// A proxy in front that authenticates users.
#[derive(Clone, Debug, PartialEq)]
pub struct TrustedProxy {
    /// Addresses of the proxies; the header of anyone else is ignored.
    pub addresses: Vec<IpNet>,
    /// The header that names the user.
    pub user_header: String,
}

impl FromScalar for Who {
    fn from_scalar(text: &str) -> Result<Self, String> {
        match (text, text.split_once(':')) {
            ("anonymous", _) => Ok(Who::Anonymous),
            ("authenticated", _) => Ok(Who::Authenticated),
            (_, Some(("user", name))) if !name.is_empty() => Ok(Who::User(name.to_owned())),
            (_, Some(("token", subject))) if !subject.is_empty() => Ok(Who::TokenSubject(subject.to_owned())),
            _ => Err(format!(
                "has to be anonymous, authenticated, user:NAME or token:SUBJECT, not {}",
                quoted(text)
            )),
        }
    }
}

/// An action in the policy table: `pull`, `push` or `delete`.
pub(crate) struct PolicyAction(pub(crate) Action);

impl FromScalar for PolicyAction {
    fn from_scalar(text: &str) -> Result<Self, String> {
        [Action::Pull, Action::Push, Action::Delete]
            .into_iter()
            .find(|action| action.as_str() == text)
            .map(PolicyAction)
            .ok_or_else(|| crate::value::not_one_of(text, &["pull", "push", "delete"]))
    }
}

/// A glob over repository names.
pub(crate) struct Glob(pub(crate) String);

impl FromScalar for Glob {
    fn from_scalar(text: &str) -> Result<Self, String> {
        let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-/*?[]{}!,".contains(c);
        match text.chars().find(|c| !known(*c)) {
            _ if text.is_empty() => {
                Err("an empty pattern matches no repository; for all of them write \"*\"".into())
            }
            Some(c) => Err(format!("no repository name contains {c:?}, so {} can never match", quoted(text))),
            None if text.starts_with('/') => {
                Err(format!("repository names do not begin with /: {}", quoted(text)))
            }
            None => Ok(Glob(text.to_owned())),
        }
    }
}

impl FromScalar for IpNet {
    fn from_scalar(text: &str) -> Result<Self, String> {
        let wrong = || format!("has to be an address or network such as 10.0.0.0/8, not {}", quoted(text));
        match text.parse::<IpNet>() {
            Ok(net) => Ok(net),
            Err(_) => text.parse::<std::net::IpAddr>().map(IpNet::from).map_err(|_| wrong()),
        }
    }
}
