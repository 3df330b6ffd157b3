//! Keeps a store from being written to, or from losing what another registry wrote.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;

use crate::{
    Checkpoint, Delete, Direct, Durability, Key, List, Meta, Object, Operation, Page, Result, Shape, Signed,
    Staged, Store, StoreError, StoreErrorKind, Structure,
};

/// What a guarded store lets through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Permit {
    /// Everything.
    All,
    /// Every write, but deletes only below this prefix.
    DeleteBelow(String),
    /// Reads alone.
    ReadOnly,
}

/// A store that refuses what its permit does not allow, as [`StoreErrorKind::Denied`].
pub struct Guarded {
    inner: Arc<dyn Store>,
    permit: Permit,
}

impl Guarded {
    /// Guards `inner`.
    pub fn new(inner: Arc<dyn Store>, permit: Permit) -> Guarded {
        Guarded { inner, permit }
    }

    fn writable(&self, operation: Operation, key: &Key) -> Result<()> {
        match self.permit {
            Permit::ReadOnly => {
                Err(refused(operation, key, "nothing is written to this store (storage.mode)"))
            }
            _ => Ok(()),
        }
    }

    fn deletable(&self, key: &Key) -> Result<()> {
        self.writable(Operation::Delete, key)?;
        match &self.permit {
            Permit::DeleteBelow(prefix) if !key.as_str().starts_with(prefix.as_str()) => {
                Err(refused(Operation::Delete, key, "nothing is deleted from this store (storage.mode)"))
            }
            _ => Ok(()),
        }
    }
}

fn refused(operation: Operation, key: &Key, reason: &'static str) -> StoreError {
    StoreError::new(StoreErrorKind::Denied, operation, key, reason)
}

#[async_trait]
impl Store for Guarded {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn shape(&self) -> Shape {
        self.inner.shape()
    }

    async fn get(&self, key: &Key, limit: usize) -> Result<Bytes> {
        self.inner.get(key, limit).await
    }

    async fn get_newest(&self, key: &Key, limit: usize) -> Result<(Bytes, Option<SystemTime>)> {
        self.inner.get_newest(key, limit).await
    }

    async fn open(&self, key: &Key) -> Result<Object> {
        self.inner.open(key).await
    }

    async fn head(&self, key: &Key) -> Result<Meta> {
        self.inner.head(key).await
    }

    async fn check(&self, key: &Key) -> Result<Meta> {
        self.inner.check(key).await
    }

    async fn inspect(&self, key: &Key) -> Result<Structure> {
        self.inner.inspect(key).await
    }

    async fn signed_url(&self, key: &Key, life: Duration) -> Result<Signed> {
        self.inner.signed_url(key, life).await
    }

    async fn put(&self, key: &Key, bytes: Bytes, durability: Durability) -> Result<()> {
        self.writable(Operation::Put, key)?;
        self.inner.put(key, bytes, durability).await
    }

    async fn put_new(&self, key: &Key, bytes: Bytes, durability: Durability) -> Result<bool> {
        self.writable(Operation::Put, key)?;
        self.inner.put_new(key, bytes, durability).await
    }

    async fn delete(&self, key: &Key, options: Delete) -> Result<bool> {
        self.deletable(key)?;
        self.inner.delete(key, options).await
    }

    async fn list(&self, prefix: &Key, options: List) -> Result<Page> {
        self.inner.list(prefix, options).await
    }

    async fn list_holding(&self, prefix: &Key, leaf: &str, options: List) -> Result<Page> {
        self.inner.list_holding(prefix, leaf, options).await
    }

    async fn sizes(&self, keys: &[Key]) -> Result<Vec<Option<u64>>> {
        self.inner.sizes(keys).await
    }

    async fn write(&self, key: &Key, length: u64) -> Result<Option<Box<dyn Direct>>> {
        self.writable(Operation::Put, key)?;
        self.inner.write(key, length).await
    }

    async fn stage(&self, key: &Key, resume: Option<&Checkpoint>) -> Result<Box<dyn Staged>> {
        self.writable(Operation::Stage, key)?;
        self.inner.stage(key, resume).await
    }

    async fn consists_of(&self, published: &Key, key: &Key) -> Result<bool> {
        self.inner.consists_of(published, key).await
    }

    async fn discard(&self, key: &Key, checkpoint: &Checkpoint, published: Option<&Key>) -> Result<()> {
        self.deletable(key)?;
        self.inner.discard(key, checkpoint, published).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Memory;

    fn key(text: &str) -> Key {
        Key::new(text)
    }

    #[tokio::test]
    async fn a_store_for_everything_passes_the_suite() {
        crate::conformance::run(&Guarded::new(Arc::new(Memory::new()), Permit::All)).await;
    }

    #[tokio::test]
    async fn nothing_is_written_to_a_store_that_is_only_read() {
        let memory = Memory::new();
        memory.put(&key("a"), Bytes::from_static(b"x"), Durability::Synced).await.unwrap();
        let guarded = Guarded::new(Arc::new(memory.clone()), Permit::ReadOnly);
        let denied = |error: StoreError| assert_eq!(error.kind, StoreErrorKind::Denied);
        denied(guarded.put(&key("b"), Bytes::new(), Durability::Lazy).await.unwrap_err());
        denied(guarded.delete(&key("a"), Delete::default()).await.unwrap_err());
        denied(guarded.stage(&key("c"), None).await.map(drop).unwrap_err());
        denied(guarded.discard(&key("a"), &Checkpoint::default(), None).await.unwrap_err());
        assert_eq!(guarded.get(&key("a"), 9).await.unwrap(), "x");
    }

    #[tokio::test]
    async fn a_trial_deletes_only_its_own() {
        let guarded = Guarded::new(Arc::new(Memory::new()), Permit::DeleteBelow("ours/".to_owned()));
        for name in ["ours/a", "theirs/a"] {
            guarded.put(&key(name), Bytes::new(), Durability::Synced).await.unwrap();
        }
        assert!(guarded.delete(&key("ours/a"), Delete::default()).await.unwrap());
        assert_eq!(
            guarded.delete(&key("theirs/a"), Delete::default()).await.unwrap_err().kind,
            StoreErrorKind::Denied
        );
        assert!(guarded.head(&key("theirs/a")).await.is_ok());
    }
}
