//! Bytes by key.
//!
//! [`Store`] is the small, object-safe trait that every backend implements; it knows nothing of registries.
//! [`Filesystem`] keeps objects as files, [`Swift`] in a container of OpenStack Swift, [`Memory`] in a map (for tests). [`layer`] decorates any of
//! them, and [`conformance`] is the one suite that all of them pass.

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod error;
pub mod filesystem;
mod inventory;
mod key;
pub mod layer;
mod memory;
mod signed;
mod store;
pub mod swift;

pub use error::{StoreError, StoreErrorKind};
pub use filesystem::{Filesystem, LocalFile};
pub use inventory::{Area, Inventory, Piece, Row, Rows, Structure};
pub use key::Key;
pub use memory::Memory;
pub use signed::{NoUrl, Signed, SignedUrl};
pub use store::{
    Checkpoint, Delete, Direct, Durability, Entry, List, Meta, Object, ObjectData, Operation, Page, Part,
    Remote, RemoteReader, Shape, Staged, Store,
};
pub use swift::Swift;

/// What every storage call returns.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;
