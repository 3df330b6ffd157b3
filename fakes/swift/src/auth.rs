//! Auth v1 as tempauth does it: users with keys, tokens with a life.

use std::collections::BTreeMap;
use std::time::Duration;

use http::Method;

use crate::clock::{TICKS, Timestamp};
use crate::exchange::Exchange;
use crate::http::Reply;
use crate::options::User;
use crate::route::Target;
use crate::temp_url;

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

/// `GET /auth/v1.0`.
pub(crate) fn log_in(exchange: &Exchange) -> Reply {
    let (head, options) = (&exchange.head, &exchange.cluster.options);
    let name = head.header("x-auth-user").or_else(|| head.header("x-storage-user"));
    let key = head.header("x-auth-key").or_else(|| head.header("x-storage-pass"));
    let known = |user: &User| Some(&*user.name) == name && Some(&*user.key) == key;
    let Some(user) = options.users.iter().position(known) else {
        let account = name.and_then(|name| name.split_once(':')).map_or("unknown", |(account, _)| account);
        return Reply::status(401).header("Www-Authenticate", format!("Swift realm=\"{account}\""));
    };
    let mut state = exchange.cluster.state.lock();
    let now = state.clocks.true_time();
    let (token, expires) = state.tokens.give(user, now, options.token_life);
    Reply::bare(200)
        .header("X-Storage-Url", exchange.cluster.url(head.front_end))
        .header("X-Auth-Token", &*token)
        .header("X-Auth-Token-Expires", ((expires.0 - now.0) / TICKS).to_string())
        .header("X-Storage-Token", token)
        .header("Content-Type", "text/html; charset=UTF-8")
}

/// Lets a request pass, or refuses it with 401 or 403.
pub(crate) fn authorize(exchange: &Exchange, target: &Target) -> Result<(), Reply> {
    let Some(account) = target.account() else { return Ok(()) };
    let head = &exchange.head;
    let options = &exchange.cluster.options;
    if temp_url::is_asked(head) {
        return temp_url::authorize(exchange, target);
    }
    let realm = format!("Swift realm=\"{account}\"");
    let refuse = || Reply::status(401).header("Www-Authenticate", realm.clone());
    let token = head.header("x-auth-token").or_else(|| head.header("x-storage-token")).ok_or_else(refuse)?;
    let state = exchange.cluster.state.lock();
    let now = state.clocks.true_time();
    let user = &options.users[state.tokens.user(token, now).ok_or_else(refuse)?];
    let reads = matches!(head.method, Method::GET | Method::HEAD);
    if account != options.account || (user.read_only && !reads) {
        return Err(Reply::status(403));
    }
    Ok(())
}
