//! Tells an observer how each storage call went.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;

use crate::{
    Checkpoint, Delete, Direct, Durability, Key, List, Meta, Object, Operation, Page, Result, Shape, Signed,
    Staged, Store, StoreError, Structure,
};

/// Is told of every storage call. Called on the request's path: must be quick.
pub trait Observer: Send + Sync + 'static {
    /// `operation` took `elapsed`; `error` is given where it failed for another reason than absence.
    fn observe(&self, operation: Operation, elapsed: Duration, error: Option<&StoreError>);
}

/// A store whose calls are observed.
pub struct Observed {
    inner: Arc<dyn Store>,
    observer: Arc<dyn Observer>,
}

impl Observed {
    /// Observes `inner`.
    pub fn new(inner: Arc<dyn Store>, observer: Arc<dyn Observer>) -> Observed {
        Observed { inner, observer }
    }
}

fn report<T>(
    observer: &dyn Observer,
    operation: Operation,
    key: &Key,
    started: Instant,
    result: Result<T>,
) -> Result<T> {
    let elapsed = started.elapsed();
    let error = result.as_ref().err();
    observer.observe(operation, elapsed, error.filter(|error| !error.is_not_found()));
    let found = !error.is_some_and(StoreError::is_not_found);
    tracing::debug!(%operation, %key, ?elapsed, found, "storage call");
    result
}

/// Awaits a call of the inner store and reports it.
macro_rules! observed {
    ($self:ident, $operation:ident, $key:expr, $call:expr) => {{
        let started = Instant::now();
        let result = $call.await;
        report(&*$self.observer, Operation::$operation, $key, started, result)
    }};
}

#[async_trait]
impl Store for Observed {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn shape(&self) -> Shape {
        self.inner.shape()
    }

    async fn get(&self, key: &Key, limit: usize) -> Result<Bytes> {
        observed!(self, Get, key, self.inner.get(key, limit))
    }

    async fn get_newest(&self, key: &Key, limit: usize) -> Result<(Bytes, Option<SystemTime>)> {
        observed!(self, Get, key, self.inner.get_newest(key, limit))
    }

    async fn open(&self, key: &Key) -> Result<Object> {
        observed!(self, Open, key, self.inner.open(key))
    }

    async fn head(&self, key: &Key) -> Result<Meta> {
        observed!(self, Head, key, self.inner.head(key))
    }

    async fn check(&self, key: &Key) -> Result<Meta> {
        observed!(self, Head, key, self.inner.check(key))
    }

    async fn inspect(&self, key: &Key) -> Result<Structure> {
        observed!(self, Head, key, self.inner.inspect(key))
    }

    async fn signed_url(&self, key: &Key, life: Duration) -> Result<Signed> {
        observed!(self, Head, key, self.inner.signed_url(key, life))
    }

    async fn put(&self, key: &Key, bytes: Bytes, durability: Durability) -> Result<()> {
        observed!(self, Put, key, self.inner.put(key, bytes, durability))
    }

    async fn put_new(&self, key: &Key, bytes: Bytes, durability: Durability) -> Result<bool> {
        observed!(self, Put, key, self.inner.put_new(key, bytes, durability))
    }

    async fn delete(&self, key: &Key, options: Delete) -> Result<bool> {
        observed!(self, Delete, key, self.inner.delete(key, options))
    }

    async fn list(&self, prefix: &Key, options: List) -> Result<Page> {
        observed!(self, List, prefix, self.inner.list(prefix, options))
    }

    async fn list_holding(&self, prefix: &Key, leaf: &str, options: List) -> Result<Page> {
        observed!(self, List, prefix, self.inner.list_holding(prefix, leaf, options))
    }

    async fn sizes(&self, keys: &[Key]) -> Result<Vec<Option<u64>>> {
        match keys.first() {
            Some(first) => observed!(self, Head, first, self.inner.sizes(keys)),
            None => Ok(Vec::new()),
        }
    }

    async fn write(&self, key: &Key, length: u64) -> Result<Option<Box<dyn Direct>>> {
        let inner = observed!(self, Stage, key, self.inner.write(key, length))?;
        Ok(inner.map(|inner| {
            Box::new(ObservedDirect { inner, key: key.clone(), observer: self.observer.clone() }) as _
        }))
    }

    async fn stage(&self, key: &Key, resume: Option<&Checkpoint>) -> Result<Box<dyn Staged>> {
        let inner = observed!(self, Stage, key, self.inner.stage(key, resume))?;
        Ok(Box::new(ObservedStage { inner, key: key.clone(), observer: self.observer.clone() }))
    }

    async fn consists_of(&self, published: &Key, key: &Key) -> Result<bool> {
        observed!(self, Head, published, self.inner.consists_of(published, key))
    }

    async fn discard(&self, key: &Key, checkpoint: &Checkpoint, published: Option<&Key>) -> Result<()> {
        observed!(self, Delete, key, self.inner.discard(key, checkpoint, published))
    }
}

struct ObservedDirect {
    inner: Box<dyn Direct>,
    key: Key,
    observer: Arc<dyn Observer>,
}

#[async_trait]
impl Direct for ObservedDirect {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        observed!(self, Stage, &self.key, self.inner.write(bytes))
    }

    async fn finish(self: Box<Self>) -> Result<()> {
        observed!(self, Publish, &self.key, self.inner.finish())
    }
}

struct ObservedStage {
    inner: Box<dyn Staged>,
    key: Key,
    observer: Arc<dyn Observer>,
}

#[async_trait]
impl Staged for ObservedStage {
    fn length(&self) -> u64 {
        self.inner.length()
    }

    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        observed!(self, Stage, &self.key, self.inner.write(bytes))
    }

    async fn checkpoint(&mut self) -> Result<Checkpoint> {
        observed!(self, Checkpoint, &self.key, self.inner.checkpoint())
    }

    async fn open(&mut self) -> Result<Object> {
        observed!(self, Open, &self.key, self.inner.open())
    }

    async fn publish(self: Box<Self>, key: &Key) -> Result<bool> {
        observed!(self, Publish, key, self.inner.publish(key))
    }
}
