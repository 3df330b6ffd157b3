//! A client for OpenStack Swift.
#![doc = include_str!("../README.md")]
//! # Where to begin
//!
//! [`Client`] keeps the session with the cluster, [`Container`] is one container of its account and has the calls for
//! objects. [`Error`] says what failed, [`ErrorKind`] what can be done about it.

mod auth;
mod bulk;
mod call;
mod capabilities;
mod client;
mod container;
mod error;
mod large;
mod listing;
mod object;
mod options;
mod pace;
mod patience;
mod permits;
mod read;
mod retry;
mod secret;
mod temp_url;
mod tls;
mod transport;
mod url;
mod write;

pub use bulk::DeleteOutcome;
pub use capabilities::{Capabilities, SloLimits, TempUrlLimits};
pub use client::{AccountInfo, Client, Session};
pub use container::{Container, ContainerInfo};
pub use error::{Error, ErrorKind, TransactionId};
pub use large::SloSegment;
pub use listing::{Entry, Listing, Page};
pub use object::{Delete, Manifest, ObjectInfo, Put, Range, Read, Stored};
pub use options::{
    ApplicationCredential, Auth, Domain, Interface, Options, Project, Retry, Scope, Tenant, Timeouts, User,
    V3Method,
};
pub use read::ObjectReader;
pub use secret::Secret;
pub use temp_url::{TempUrlDigest, TempUrlKeys};
pub use write::ObjectWriter;

/// What every call of this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;
