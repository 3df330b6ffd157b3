//! Tokens of our own, given for a password, for the one client that cannot do without.
//!
//! Docker's engine decides by the answer to `GET /v2/` whether it sends credentials at all. After a Basic challenge it
//! refuses to go on without a stored password ("no basic auth credentials"), after a 200 it never sends one. Only a
//! Bearer challenge serves both anonymous pulls and pushes by users: the client fetches a token, with its password or
//! without. So where the policy opens something to everyone, htpasswd users log in here.
//!
//! A token says who, not what: the policy table decides at each request. It is void as soon as the user's line in the
//! htpasswd file changes, for that line is part of what is signed.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;

use crate::keyed_hash::Key;

/// How long a token is accepted, in seconds. Clients renew it by themselves.
const LIFETIME: u64 = 15 * 60;
/// Tells our tokens from others.
const PREFIX: &str = "wharfinger1";

/// A token that stands for a user's password until it expires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginToken {
    /// What the client sends as `Authorization: Bearer`.
    pub token: String,
    /// Seconds from now.
    pub expires_in: u64,
}

impl LoginToken {
    /// The body of the token endpoint's answer ("Token Authentication Specification", "Token Response Fields").
    pub fn to_json(&self) -> String {
        let LoginToken { token, expires_in } = self;
        format!(r#"{{"token":"{token}","access_token":"{token}","expires_in":{expires_in}}}"#)
    }
}

/// The endpoint and what it signs with.
pub(crate) struct Login {
    pub(crate) path: String,
    key: Key,
}

impl Login {
    pub(crate) fn new(path: String, key: Key) -> Login {
        Login { path, key }
    }

    /// A token for `user`; the empty name stands for anonymous callers. `line` is the user's in the htpasswd file.
    pub(crate) fn issue(&self, user: &str, line: &str) -> LoginToken {
        let expires = now() + LIFETIME;
        let signature = URL_SAFE_NO_PAD.encode(self.sign(user, expires, line));
        let user = URL_SAFE_NO_PAD.encode(user);
        LoginToken { token: format!("{PREFIX}.{expires}.{user}.{signature}"), expires_in: LIFETIME }
    }

    /// Splits a token; nothing is verified yet. `None`: not a token of ours.
    pub(crate) fn parse(token: &str) -> Option<UnverifiedLogin> {
        let mut parts = token.strip_prefix(PREFIX)?.strip_prefix('.')?.split('.');
        let expires = parts.next()?.parse().ok()?;
        let user = String::from_utf8(URL_SAFE_NO_PAD.decode(parts.next()?).ok()?).ok()?;
        let signature = URL_SAFE_NO_PAD.decode(parts.next()?).ok()?;
        parts.next().is_none().then_some(UnverifiedLogin { user, expires, signature })
    }

    /// Why the token is not to be believed.
    pub(crate) fn check(&self, login: &UnverifiedLogin, line: &str) -> Result<(), &'static str> {
        let expected = self.sign(&login.user, login.expires, line);
        if !bool::from(expected.ct_eq(&login.signature)) {
            return Err("the token was not made here, or the password has changed since");
        }
        if now() > login.expires {
            return Err("the token has expired");
        }
        Ok(())
    }

    fn sign(&self, user: &str, expires: u64, line: &str) -> [u8; 32] {
        self.key.hash(&[user.as_bytes(), &expires.to_le_bytes(), line.as_bytes()])
    }
}

/// A token taken apart.
pub(crate) struct UnverifiedLogin {
    /// Empty for anonymous callers.
    pub(crate) user: String,
    expires: u64,
    signature: Vec<u8>,
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login() -> Login {
        Login::new("/auth/token".to_owned(), Key::derive(b"secret", "test"))
    }

    #[test]
    fn a_token_is_good_until_it_expires_or_the_users_line_changes() {
        let login = login();
        let parsed = Login::parse(&login.issue("bob", "hash").token).unwrap();
        assert_eq!(parsed.user, "bob");
        assert_eq!(login.check(&parsed, "hash"), Ok(()));
        assert!(login.check(&parsed, "other hash").is_err());
        let past = now() - 1;
        let signature = login.sign("bob", past, "hash").to_vec();
        let expired = UnverifiedLogin { user: "bob".to_owned(), expires: past, signature };
        assert_eq!(login.check(&expired, "hash"), Err("the token has expired"));
    }

    #[test]
    fn instances_that_share_a_secret_accept_each_others_tokens_and_no_others() {
        let token = Login::parse(&login().issue("bob", "hash").token).unwrap();
        assert_eq!(login().check(&token, "hash"), Ok(()));
        let other = Login::new(String::new(), Key::derive(b"other", "test"));
        assert!(other.check(&token, "hash").is_err());
    }

    #[test]
    fn a_changed_token_is_refused() {
        let login = login();
        let token = login.issue("bob", "hash").token;
        for (from, to) in [("Ym9i", "ZXZl"), ("wharfinger1.1", "wharfinger1.9")] {
            let forged = Login::parse(&token.replacen(from, to, 1)).unwrap();
            assert!(login.check(&forged, "hash").is_err(), "{to}");
        }
        for text in ["", "wharfinger1", "wharfinger1.x.y.z", "wharfinger1.1.Ym9i", "a.b.c"] {
            assert!(Login::parse(text).is_none(), "{text:?} was taken apart");
        }
        assert!(Login::parse(&format!("{token}.x")).is_none());
    }
}
