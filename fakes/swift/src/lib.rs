//! An OpenStack Swift in the test's own process, with faults on demand.
//!
//! [`FakeSwift`] listens on free loopback ports with threads of its own, so that blocking tests can use it, and ends
//! when it is dropped. It answers as Swift 2.30 does where a client of objects can tell, and in particular in what hurts:
//!
//! - a PUT is ordered by its *start*: one that is overtaken by a DELETE or another PUT answers 201 and is not there,
//!   one that begins behind what stands answers 202 and is not stored;
//! - objects and the rows of listings are two things; a DLO is whatever the listing shows;
//! - a segment of an SLO that is missing or another makes 409 or breaks the body off;
//! - what is corrupted on the disk is served once, with its good ETag, and then set aside.
//!
//! [`Rule`]s inject faults, drawn from [`Options::seed`]: the same seed, rules and sequence of requests give the same
//! faults. [`FakeSwift::events`] says what was injected, [`FakeSwift::requests`] what came in.
//!
//! Not there: Keystone, ACLs, versioning, symlinks, container sync, several ranges of an SLO, dates as conditions,
//! content types guessed from names.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "it runs in tests alone, where a broken invariant has to be loud"
)]

mod auth;
mod body;
mod bulk;
mod clock;
mod cluster;
mod container;
mod copy;
mod dlo;
mod exchange;
mod fake;
mod faults;
mod http;
mod later;
mod listing;
mod object;
mod options;
mod range;
mod read;
mod route;
mod segments;
mod slo;
mod slo_put;
mod state;
mod temp_url;

pub use clock::Timestamp;
pub use cluster::Received;
pub use fake::{FakeSwift, Peek};
pub use faults::{Delay, Event, Fault, Kind, Moment, Rule};
pub use options::{Options, Pipeline, User};
