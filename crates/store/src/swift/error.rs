//! What a failure of Swift means to the store.

use wharfinger_swift::{Error, ErrorKind};

use crate::{Key, Operation, StoreError, StoreErrorKind};

/// A failed request as a failed storage call; its text keeps Swift's transaction id.
pub(super) fn of(operation: Operation, key: &Key, error: Error) -> StoreError {
    let kind = match (error.kind(), operation) {
        // Twice other bytes than the ETag says: of a write that is an accident on the way, of a read it is damage.
        (ErrorKind::Checksum, Operation::Get | Operation::Open | Operation::Read) => StoreErrorKind::Invalid,
        (other, _) => kind(other),
    };
    StoreError::new(kind, operation, key, error)
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
