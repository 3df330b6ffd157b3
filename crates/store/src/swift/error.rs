//! What a failure of Swift means to the store.

use wharfinger_swift::{Error, ErrorKind};

use crate::{Key, Operation, StoreError, StoreErrorKind};

/// A failed request as a failed storage call; its text keeps Swift's transaction id.
pub(super) fn of(operation: Operation, key: &Key, error: Error) -> StoreError {
    StoreError::new(kind(error.kind()), operation, key, error)
}

fn kind(kind: ErrorKind) -> StoreErrorKind {
    match kind {
        ErrorKind::NotFound => StoreErrorKind::NotFound,
        ErrorKind::Full => StoreErrorKind::Full,
        ErrorKind::Unauthorized | ErrorKind::Forbidden => StoreErrorKind::Denied,
        ErrorKind::TooLarge | ErrorKind::Damaged | ErrorKind::Precondition | ErrorKind::Range => {
            StoreErrorKind::Invalid
        }
        _ => StoreErrorKind::Unavailable,
    }
}
