//! Who may do what: who a request comes from ([`Access::identify`]) and whether they may ([`Access::authorize`]).
//!
//! The server asks in this order and maps the answers to statuses:
//!
//! 1. [`Access::identify`] reads the credentials. Wrong ones are [`Refused::Unauthenticated`] (401), none at all is
//!    [`Identity::Anonymous`].
//! 2. [`Access::authorize`] decides by [`Identity`], [`Resource`] and [`Action`](wharfinger_oci::Action), all parsed:
//!    no path is looked at here.
//! 3. On a 401, [`Access::challenge`] writes `WWW-Authenticate`.
//!
//! How the policy table is read stands at [`PolicyConfig`], why `/v2/` asks for credentials at [`Access::authorize`].

mod access;
mod basic;
mod challenge;
mod config;
mod der;
mod error;
mod htpasswd;
mod identity;
mod jwk;
mod keyed_hash;
mod login;
mod policy;
mod proxies;
mod proxy;
mod public_key;
mod redirects;
mod token;
mod watched;

pub use access::Access;
pub use config::{
    AccessConfig, DEFAULT_AUTOREDIRECT_PATH, Method, PolicyConfig, Rule, TokenConfig, TrustedProxyConfig,
    Who, WhoError,
};
pub use error::{AccessError, Refused};
pub use identity::{Grant, Identity, Resource};
pub use login::LoginToken;
pub use proxies::Proxies;
pub use redirects::{RedirectRule, RedirectRules, Redirected};
