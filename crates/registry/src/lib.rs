//! The domain of a registry: repositories with their blobs, manifests, tags and upload sessions, kept in a
//! [`wharfinger_store::Store`].
//!
//! Knows nothing of HTTP and nothing of who asks. Every name it writes is in [`layout`]; the order of writes is
//! bytes, then links, then tags, so that a crash leaves nothing half-visible.

mod activity;
pub mod blob;
mod budget;
mod cache;
mod catalog;
mod damaged;
mod derive;
mod disk;
mod error;
mod flights;
mod flush;
mod hashing;
pub mod layout;
mod links;
mod look;
pub mod manifest;
mod probe;
mod purge;
mod recall;
mod referrers;
mod registry;
mod repair;
mod sharing;
mod tag;
mod turns;
pub mod upload;

pub use activity::{Activity, Event, Happened};
pub use blob::verified::{Frame, FrameKind, VerifiedBody};
pub use blob::{Blob, Kept};
pub use derive::SessionSummary;
pub use disk::{
    DiskCache, DiskError, DiskOptions, DiskStatus, Servable, Verified, Warmed, cached_copies, cached_copy,
};
pub use error::{Error, Result};
pub use flush::Flushed;
pub use look::{KeptCopy, Look};
pub use manifest::{PulledManifest, StoredManifest};
pub use purge::Purged;
pub use recall::Lease;
pub use referrers::ReferrersPage;
pub use registry::{DeleteByDigest, IndexChildren, Mode, Options, Platform, Registry, Reserved, UrlPolicy};
pub use tag::TagPage;
pub use upload::{Closing, SessionId, SessionRef, UploadStatus, UploadWriter};
