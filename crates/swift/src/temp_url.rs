//! Temporary URLs: a signature in place of a token.

use std::time::SystemTime;

use http::{Method, Uri};

use crate::client::not_written;
use crate::{Capabilities, Container, Result, Secret};

/// The hash under a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TempUrlDigest {
    /// For clusters that know nothing else.
    Sha1,
    /// The usual one.
    Sha256,
    /// The long one.
    Sha512,
}

impl TempUrlDigest {
    /// The best digest that the cluster accepts: SHA-256, else SHA-512, else SHA-1. None without temporary URLs.
    pub fn choose(_capabilities: &Capabilities) -> Option<TempUrlDigest> {
        None
    }
}

/// The two keys of a container or an account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TempUrlKeys {
    /// What new URLs are signed with (`Temp-Url-Key`).
    pub current: Option<Secret>,
    /// What older URLs were signed with (`Temp-Url-Key-2`); also accepted.
    pub previous: Option<Secret>,
}

impl Container {
    /// A URL by which anyone can do `method` to the object until `expires`.
    pub async fn temp_url(
        &self,
        _method: &Method,
        _name: &str,
        _expires: SystemTime,
        _key: &Secret,
        _digest: TempUrlDigest,
    ) -> Result<Uri> {
        not_written()
    }

    /// The keys of the container.
    pub async fn temp_url_keys(&self) -> Result<TempUrlKeys> {
        not_written()
    }

    /// Makes `key` the current key and the current one the previous one.
    pub async fn rotate_temp_url_key(&self, _key: &Secret) -> Result<TempUrlKeys> {
        not_written()
    }
}
