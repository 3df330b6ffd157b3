//! Who a request comes from, and what it is about.

use std::fmt;
use std::sync::Arc;

use wharfinger_oci::{Action, RepositoryName};

/// Who a request comes from. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// Nobody in particular.
    Anonymous,
    /// A user, by password or named by a trusted proxy.
    User(Arc<str>),
    /// The bearer of a token of the outside issuer.
    Token {
        /// The token's `sub`; empty where the issuer names nobody.
        subject: Arc<str>,
        /// The token's `access` claim.
        grants: Arc<[Grant]>,
    },
}

impl Identity {
    /// The user's name or the token's subject, for logs.
    pub fn name(&self) -> Option<&str> {
        match self {
            Identity::Anonymous => None,
            Identity::User(name) => Some(name),
            Identity::Token { subject, .. } => (!subject.is_empty()).then_some(subject.as_ref()),
        }
    }

    /// A stable text that upload sessions are bound to: `anonymous`, `user:bob`, `token:subject`.
    ///
    /// Two tokens of one subject are one identity: clients renew tokens in the middle of an upload.
    pub fn key(&self) -> String {
        match self {
            Identity::Anonymous => "anonymous".to_owned(),
            Identity::User(name) => format!("user:{name}"),
            Identity::Token { subject, .. } => format!("token:{subject}"),
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Identity::Anonymous => f.write_str("an anonymous caller"),
            Identity::User(name) => write!(f, "user {name}"),
            Identity::Token { subject, .. } if subject.is_empty() => f.write_str("this token"),
            Identity::Token { subject, .. } => write!(f, "the token of {subject}"),
        }
    }
}

/// What a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource<'a> {
    /// The registry as a whole: `/v2/` and `/v2/_catalog`.
    Registry,
    /// One repository.
    Repository(&'a RepositoryName),
}

impl fmt::Display for Resource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Resource::Registry => f.write_str("the registry"),
            Resource::Repository(name) => name.fmt(f),
        }
    }
}

/// One entry of a token's `access` claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// `None`: the catalog.
    repository: Option<Box<str>>,
    actions: ActionSet,
}

impl Grant {
    /// May do `actions` in the repository of exactly this name.
    pub fn repository(name: &str, actions: &[Action]) -> Grant {
        Grant { repository: Some(name.into()), actions: actions.iter().copied().collect() }
    }

    /// May list the catalog.
    pub fn catalog() -> Grant {
        Grant { repository: None, actions: ActionSet::from_iter([Action::Catalog]) }
    }

    /// Whether this entry allows `action` on `resource`.
    pub fn allows(&self, resource: Resource<'_>, action: Action) -> bool {
        let same = match (resource, &self.repository) {
            (Resource::Registry, None) => true,
            (Resource::Repository(name), Some(granted)) => name.as_str() == granted.as_ref(),
            _ => false,
        };
        same && self.actions.contains(action)
    }
}

/// A set of actions, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ActionSet(u8);

impl ActionSet {
    pub(crate) fn contains(self, action: Action) -> bool {
        self.0 & bit(action) != 0
    }
}

impl FromIterator<Action> for ActionSet {
    fn from_iter<I: IntoIterator<Item = Action>>(actions: I) -> ActionSet {
        ActionSet(actions.into_iter().fold(0, |bits, action| bits | bit(action)))
    }
}

fn bit(action: Action) -> u8 {
    match action {
        Action::Pull => 1,
        Action::Push => 2,
        Action::Delete => 4,
        Action::Catalog => 8,
    }
}
