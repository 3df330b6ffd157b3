//! What can go wrong in a store, by meaning rather than by backend.

use std::io;

use crate::{Key, Operation};

/// What a failure means to the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StoreErrorKind {
    /// There is no object of that name.
    NotFound,
    /// The store has no room left.
    Full,
    /// The object is larger than the caller was ready to hold, or otherwise not what it must be.
    Invalid,
    /// The store refused us: permissions or credentials.
    Denied,
    /// Anything else; trying again later may help.
    Unavailable,
}

/// A failed storage call: what was tried, on which object, and why it failed.
#[derive(Debug, thiserror::Error)]
#[error("{operation} of {key} failed: {source}")]
pub struct StoreError {
    /// What it means.
    pub kind: StoreErrorKind,
    /// The call that failed.
    pub operation: Operation,
    /// The object, or the prefix of a listing.
    pub key: Key,
    /// The backend's own error.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

impl StoreError {
    /// An error of a call on `key`.
    pub fn new(
        kind: StoreErrorKind,
        operation: Operation,
        key: &Key,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> StoreError {
        StoreError { kind, operation, key: key.clone(), source: source.into() }
    }

    /// An error of the operating system, classified.
    pub fn io(operation: Operation, key: &Key, error: io::Error) -> StoreError {
        let kind = match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => StoreErrorKind::NotFound,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                StoreErrorKind::Full
            }
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => StoreErrorKind::Denied,
            io::ErrorKind::InvalidFilename | io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof => {
                StoreErrorKind::Invalid
            }
            _ => StoreErrorKind::Unavailable,
        };
        StoreError::new(kind, operation, key, error)
    }

    /// Whether the object does not exist.
    pub fn is_not_found(&self) -> bool {
        self.kind == StoreErrorKind::NotFound
    }
}

/// Turns "there is no such object" into `None`.
pub(crate) fn optional<T>(result: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}
