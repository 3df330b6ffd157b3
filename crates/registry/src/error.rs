//! Outcomes that a caller can act on. The server has the only table from these to HTTP answers.

use wharfinger_oci::{Digest, ManifestError, Reference, RepositoryName, Tag};
use wharfinger_store::{Key, StoreError};

/// What every call of the registry returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a request could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The repository has nothing in it.
    #[error("repository {0} does not exist")]
    NameUnknown(RepositoryName),
    /// No such manifest in the repository.
    #[error("manifest {1} is not in repository {0}")]
    ManifestUnknown(RepositoryName, Reference),
    /// No such blob in the repository.
    #[error("blob {1} is not in repository {0}")]
    BlobUnknown(RepositoryName, Digest),
    /// The repository has the blob, and its bytes are not in the store.
    #[error("blob {1} of repository {0} is lost from the store: push the image again to mend it")]
    BlobLost(RepositoryName, Digest),
    /// The repository has the manifest, and its bytes are not in the store.
    #[error("manifest {1} of repository {0} is lost from the store: push the image again to mend it")]
    ManifestLost(RepositoryName, Digest),
    /// No such upload session, or it is not the caller's.
    #[error("no such upload session in this repository: start the upload again")]
    UploadUnknown,
    /// Another request is writing to the session.
    #[error("another request is still writing to this upload session")]
    UploadBusy,
    /// A chunk does not begin where the upload stands.
    #[error("the chunk begins at byte {found}, the upload stands at byte {expected}")]
    OutOfOrder {
        /// Bytes that are there.
        expected: u64,
        /// Where the chunk begins.
        found: u64,
    },
    /// A body is not as long as was said.
    #[error("the body has {found} bytes, {expected} were announced")]
    SizeMismatch {
        /// Bytes announced.
        expected: u64,
        /// Bytes that came.
        found: u64,
    },
    /// Content does not have the digest it was pushed under.
    #[error("the content's digest is {found}, not {expected}")]
    DigestMismatch {
        /// Digest in the request.
        expected: Box<Digest>,
        /// Digest of the bytes.
        found: Box<Digest>,
    },
    /// Not a manifest that is stored.
    #[error(transparent)]
    ManifestInvalid(#[from] ManifestError),
    /// A manifest names things that are not in the repository.
    #[error("the manifest refers to content that is not in repository {repository}: push it first")]
    ManifestBlobUnknown {
        /// The repository.
        repository: RepositoryName,
        /// What is missing.
        missing: Vec<Digest>,
    },
    /// A manifest has layers elsewhere whose addresses the configuration does not allow.
    #[error("layer address {0:?} is not allowed by validation.manifests.urls")]
    UrlRefused(String),
    /// Deleting by digest is refused while tags point to the manifest.
    #[error("the manifest is still tagged: delete these tags first")]
    StillTagged(Vec<Tag>),
    /// A manifest in the store is not what its digest says.
    #[error("{digest} is damaged in the store: push it again to mend it")]
    Damaged {
        /// What is damaged.
        digest: Digest,
    },
    /// What was written is not there.
    #[error("{0} was written and cannot be read back: push it again")]
    NotReadBack(Key),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Turns "there is no such object" into `None`.
pub(crate) fn optional<T>(result: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}
