//! Auth v1 as tempauth does it: users with keys, tokens with a life.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::{TICKS, Timestamp};
use crate::http::{Head, Reply};
use crate::options::User;

/// The tokens that were given out.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    given: BTreeMap<String, Token>,
    count: u64,
    /// Mixed into tokens, so that two clusters do not take each other's.
    seed: u64,
}

#[derive(Clone, Debug)]
struct Token {
    user: usize,
    expires: Timestamp,
}

impl Tokens {
    /// None yet.
    pub(crate) fn new(seed: u64) -> Tokens {
        Tokens { given: BTreeMap::new(), count: 0, seed }
    }

    /// The index of the user of a token that still lives.
    pub(crate) fn user(&self, token: &str, now: Timestamp) -> Option<usize> {
        self.given.get(token).filter(|token| token.expires > now).map(|token| token.user)
    }

    /// Forgets all tokens, as a restarted memcached does.
    pub(crate) fn forget(&mut self) {
        self.given.clear();
    }

    /// A token of that user: the one that still lives, or another one.
    fn give(&mut self, user: usize, now: Timestamp, life: Duration) -> (String, Timestamp) {
        let alive = self.given.iter().find(|(_, token)| token.user == user && token.expires > now);
        if let Some((name, token)) = alive {
            return (name.clone(), token.expires);
        }
        self.count += 1;
        let name = format!("AUTH_tk{:016x}{:016x}", self.seed, self.count);
        let expires = now.after(life);
        self.given.insert(name.clone(), Token { user, expires });
        (name, expires)
    }
}

/// What a request may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Permission {
    /// Everything in the account.
    All,
    /// Reads alone.
    ReadOnly,
}

/// `GET /auth/v1.0`.
pub(crate) fn give_token(
    head: &Head,
    users: &[User],
    life: Duration,
    tokens: &mut Tokens,
    storage_url: &str,
    now: Timestamp,
) -> Reply {
    let name = head.header("x-auth-user").or_else(|| head.header("x-storage-user"));
    let key = head.header("x-auth-key").or_else(|| head.header("x-storage-pass"));
    let Some(user) = users.iter().position(|user| Some(&*user.name) == name && Some(&*user.key) == key)
    else {
        return Reply::status(401).header("Www-Authenticate", "Swift realm=\"unknown\"");
    };
    let (token, expires) = tokens.give(user, now, life);
    let left = (expires.0 - now.0) / TICKS;
    Reply::bare(200)
        .header("X-Storage-Url", storage_url)
        .header("X-Auth-Token", &*token)
        .header("X-Auth-Token-Expires", left.to_string())
        .header("X-Storage-Token", token)
        .header("Content-Type", "text/html; charset=UTF-8")
}
