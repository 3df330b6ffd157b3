//! Reading an object.

use bytes::Bytes;

use crate::client::not_written;
use crate::{ObjectInfo, Result};

/// The body of an object as it comes. It ends only when every byte has come: what breaks is resumed where it broke, and
/// what cannot be resumed is an error.
#[derive(Debug)]
pub struct ObjectReader(ObjectInfo);

impl ObjectReader {
    /// What Swift said about the object.
    pub fn info(&self) -> &ObjectInfo {
        &self.0
    }

    /// The next bytes, or none at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        not_written()
    }
}
