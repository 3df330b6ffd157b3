//! HTTP in, HTTP out.
//!
//! [`listen`] accepts connections and drains them; [`app`] answers a request; [`v2`] is the distribution API, one
//! line per endpoint; [`respond`] has the only table from errors to statuses.

mod access_log;
pub mod admin;
pub mod app;
mod body;
mod connection;
pub mod debug;
pub mod health;
mod incoming;
pub mod instance;
pub mod listen;
pub mod metrics;
pub mod options;
mod patience;
pub mod purge;
mod recent;
mod record;
mod respond;
pub mod scrub;
pub mod throttle;
pub mod tls;
mod urls;
mod v2;

pub use app::App;
pub use options::{Options, Redirects};
pub use v2::action::required_action;
