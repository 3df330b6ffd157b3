//! Writing an object piece by piece.

use bytes::Bytes;

use crate::client::not_written;
use crate::{Result, Stored};

/// The body of an object that is being written. Dropped before [`finish`](ObjectWriter::finish) it leaves no object.
#[derive(Debug)]
pub struct ObjectWriter(());

impl ObjectWriter {
    /// Sends bytes; waits while Swift is slower than the caller.
    pub async fn write(&mut self, _bytes: Bytes) -> Result<()> {
        not_written()
    }

    /// Ends the body. The object is there only if this returns it.
    pub async fn finish(self) -> Result<Stored> {
        not_written()
    }
}
