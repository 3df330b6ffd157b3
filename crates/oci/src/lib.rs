//! What the OCI distribution and image specifications say, as types made at the edge and trusted inside.
//!
//! Nothing here does IO. Every type is parsed once ([`Digest::parse`], [`RepositoryName::parse`],
//! [`Manifest::parse`], [`Route::parse`]) and needs no second check afterwards.

pub mod action;
pub mod descriptor;
pub mod digest;
pub mod error_code;
pub mod manifest;
pub mod media_type;
pub mod name;
pub mod range;
pub mod reference;
pub mod route;

pub use action::Action;
pub use descriptor::Descriptor;
pub use digest::{Algorithm, Digest, DigestError, Hasher};
pub use error_code::ErrorCode;
pub use manifest::{Manifest, ManifestError, ManifestKind};
pub use name::{NameError, RepositoryName};
pub use range::{ByteRange, ContentRange, RangeError};
pub use reference::{Reference, Tag, TagError};
pub use route::{Route, RouteError};
