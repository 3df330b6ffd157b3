//! The proof that the store works: an object written, read back and deleted. A listing would prove nothing.

use bytes::Bytes;
use wharfinger_store::{Delete, Durability, List, StoreError, StoreErrorKind};

use crate::error::Result;
use crate::layout;
use crate::registry::{Mode, Registry};

impl Registry {
    /// Writes, reads and deletes one small object. Where nothing may be written, looks at one that is there.
    ///
    /// # Errors
    /// The first storage call that failed.
    pub async fn probe(&self) -> Result<()> {
        if self.inner.options.mode == Mode::Observe {
            return self.probe_reading().await;
        }
        let id = uuid::Uuid::new_v4();
        let key = layout::probe(&id);
        let content = Bytes::from(id.to_string());
        self.store().put(&key, content.clone(), Durability::Synced).await?;
        let read = self.store().get(&key, 64).await;
        self.store().delete(&key, Delete::default()).await?;
        if read? == content {
            return Ok(());
        }
        let operation = wharfinger_store::Operation::Get;
        Err(StoreError::new(StoreErrorKind::Invalid, operation, &key, "other bytes than were written").into())
    }

    async fn probe_reading(&self) -> Result<()> {
        let one = List { shallow: false, after: None, limit: 1 };
        let place = layout::repositories();
        if let Some(found) = self.store().list(&place, one).await?.entries.first() {
            self.store().head(&place.join(found.name())).await?;
        }
        Ok(())
    }
}
