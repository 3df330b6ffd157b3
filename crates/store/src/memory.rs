//! A store in memory, for tests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use md5::{Digest as _, Md5};
use parking_lot::Mutex;

use crate::{
    Area, Checkpoint, Delete, Durability, Entry, Inventory, Key, List, Meta, Object, ObjectData, Operation,
    Page, Result, Row, Rows, Staged, Store, StoreError, StoreErrorKind,
};

type Objects = Arc<Mutex<BTreeMap<String, (Bytes, SystemTime)>>>;

/// Objects in a map. Nothing survives the process.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    objects: Objects,
}

impl Memory {
    /// An empty store.
    pub fn new() -> Memory {
        Memory::default()
    }

    fn find(&self, operation: Operation, key: &Key) -> Result<(Bytes, SystemTime)> {
        let found = self.objects.lock().get(key.as_str()).cloned();
        found.ok_or_else(|| StoreError::new(StoreErrorKind::NotFound, operation, key, "no such object"))
    }
}

#[async_trait]
impl Store for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    async fn get(&self, key: &Key, limit: usize) -> Result<Bytes> {
        let (bytes, _) = self.find(Operation::Get, key)?;
        if bytes.len() > limit {
            let reason = format!("{} bytes, expected at most {limit}", bytes.len());
            return Err(StoreError::new(StoreErrorKind::Invalid, Operation::Get, key, reason));
        }
        Ok(bytes)
    }

    async fn open(&self, key: &Key) -> Result<Object> {
        let (bytes, _) = self.find(Operation::Open, key)?;
        Ok(Object { size: bytes.len() as u64, data: ObjectData::Bytes(bytes) })
    }

    async fn head(&self, key: &Key) -> Result<Meta> {
        let (bytes, modified) = self.find(Operation::Head, key)?;
        Ok(Meta { size: bytes.len() as u64, modified: Some(modified) })
    }

    async fn put(&self, key: &Key, bytes: Bytes, _durability: Durability) -> Result<()> {
        self.objects.lock().insert(key.as_str().to_owned(), (bytes, SystemTime::now()));
        Ok(())
    }

    async fn delete(&self, key: &Key, _options: Delete) -> Result<bool> {
        Ok(self.objects.lock().remove(key.as_str()).is_some())
    }

    async fn list(&self, prefix: &Key, options: List) -> Result<Page> {
        let start = format!("{prefix}/");
        let objects = self.objects.lock();
        let below = objects.range(start.clone()..).take_while(|(name, _)| name.starts_with(&start));
        let entries: BTreeSet<(String, bool)> = below
            .map(|(name, _)| match name[start.len()..].split_once('/') {
                Some((head, _)) if options.shallow => (head.to_owned(), true),
                _ => (name[start.len()..].to_owned(), false),
            })
            .collect();
        let after = |name: &str| options.after.as_deref().is_none_or(|after| name > after);
        let mut rest = entries.into_iter().filter(|(name, _)| after(name));
        let entries = rest.by_ref().take(options.limit);
        let entries = entries
            .map(|(name, is_prefix)| if is_prefix { Entry::Prefix(name) } else { Entry::Object(name) });
        let page = Page { entries: entries.collect(), more: rest.next().is_some() };
        Ok(page)
    }

    async fn stage(&self, key: &Key, resume: Option<&Checkpoint>) -> Result<Box<dyn Staged>> {
        let mut data = BytesMut::new();
        if let Some(checkpoint) = resume {
            let (bytes, _) = self.find(Operation::Stage, key)?;
            data.extend_from_slice(
                &bytes[..usize::try_from(checkpoint.length).unwrap_or(0).min(bytes.len())],
            );
        }
        Ok(Box::new(MemoryStage { objects: self.objects.clone(), key: key.clone(), data }))
    }

    async fn discard(&self, key: &Key, _checkpoint: &Checkpoint, _published: Option<&Key>) -> Result<()> {
        self.objects.lock().remove(key.as_str());
        Ok(())
    }
}

#[async_trait]
impl Inventory for Memory {
    async fn rows(&self, area: Area, after: Option<&str>) -> Result<Rows> {
        if area != Area::Objects {
            return Ok(Rows::default());
        }
        let objects = self.objects.lock();
        let behind = objects.iter().filter(|(name, _)| after.is_none_or(|after| name.as_str() > after));
        let row = |(name, (bytes, modified)): (&String, &(Bytes, SystemTime))| Row {
            name: name.clone(),
            size: bytes.len() as u64,
            modified: Some(*modified),
            etag: Some(hex::encode(Md5::digest(bytes))),
        };
        Ok(Rows { rows: behind.map(row).collect(), next: None })
    }
}

struct MemoryStage {
    objects: Objects,
    key: Key,
    data: BytesMut,
}

#[async_trait]
impl Staged for MemoryStage {
    fn length(&self) -> u64 {
        self.data.len() as u64
    }

    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.data.extend_from_slice(&bytes);
        Ok(())
    }

    async fn checkpoint(&mut self) -> Result<Checkpoint> {
        let copy = Bytes::copy_from_slice(&self.data);
        self.objects.lock().insert(self.key.as_str().to_owned(), (copy, SystemTime::now()));
        Ok(Checkpoint { length: self.length(), parts: Vec::new() })
    }

    async fn open(&mut self) -> Result<Object> {
        let data = ObjectData::Bytes(Bytes::copy_from_slice(&self.data));
        Ok(Object { size: self.length(), data })
    }

    async fn publish(self: Box<Self>, key: &Key) -> Result<bool> {
        let mut objects = self.objects.lock();
        objects.remove(self.key.as_str());
        objects.insert(key.as_str().to_owned(), (self.data.freeze(), SystemTime::now()));
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn memory_passes_the_suite() {
        crate::conformance::run(&Memory::new()).await;
    }
}
