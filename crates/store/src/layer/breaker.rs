//! Answers at once while a store is down, instead of letting every caller find out by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;

use crate::{
    Checkpoint, Delete, Direct, Durability, Key, List, Meta, Object, Operation, Page, Result, Shape, Signed,
    Staged, Store, StoreError, StoreErrorKind, Structure,
};

/// Failures in a row after which the store itself is looked at.
const FAILURES: u32 = 3;
/// Between two looks at a store that is down.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How long a look may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// A store behind a circuit breaker. Calls that fail as [`StoreErrorKind::Unavailable`] several times in a row are
/// followed by a look at a name of its own; only where that fails too, every call is refused at once, until a look
/// succeeds. An object that cannot be read therefore never keeps others from being read.
pub struct Breaker {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn Store>,
    looked_at: Key,
    failures: AtomicU32,
    looking: AtomicBool,
    down: AtomicBool,
    since: Mutex<Option<Instant>>,
}

/// Why a call was refused.
#[derive(Debug, thiserror::Error)]
#[error("the store has not answered for {0} s; it is asked again every second")]
struct Down(u64);

impl Breaker {
    /// Puts a breaker before `store`, which is looked at by a HEAD of `looked_at`; there need not be such an object.
    pub fn new(store: Arc<dyn Store>, looked_at: Key) -> Breaker {
        let (failures, looking) = (AtomicU32::new(0), AtomicBool::new(false));
        let (down, since) = (AtomicBool::new(false), Mutex::new(None));
        Breaker { inner: Arc::new(Inner { store, looked_at, failures, looking, down, since }) }
    }
}

impl Inner {
    fn ask(&self, operation: Operation, key: &Key) -> Result<()> {
        if !self.down.load(Ordering::Relaxed) {
            return Ok(());
        }
        let since = self.since.lock().map_or(Duration::ZERO, |since| since.elapsed());
        let down = Down(since.as_secs());
        Err(StoreError::new(StoreErrorKind::Unavailable, operation, key, down))
    }

    fn note<T>(self: &Arc<Inner>, result: Result<T>) -> Result<T> {
        match &result {
            Err(error) if error.kind == StoreErrorKind::Unavailable => {
                if self.failures.fetch_add(1, Ordering::Relaxed) + 1 >= FAILURES
                    && !self.looking.swap(true, Ordering::Relaxed)
                {
                    tokio::spawn(look_until_up(self.clone()));
                }
            }
            _ => self.failures.store(0, Ordering::Relaxed),
        }
        result
    }

    async fn is_up(&self) -> bool {
        let look = tokio::time::timeout(PATIENCE, self.store.head(&self.looked_at)).await;
        match look {
            Ok(Err(error)) => error.kind != StoreErrorKind::Unavailable,
            Ok(Ok(_)) => true,
            Err(_) => false,
        }
    }
}

async fn look_until_up(inner: Arc<Inner>) {
    while !inner.is_up().await {
        if !inner.down.swap(true, Ordering::Relaxed) {
            *inner.since.lock() = Some(Instant::now());
            tracing::info!(
                store = inner.store.name(),
                "the store does not answer; what needs it is refused at once"
            );
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    inner.failures.store(0, Ordering::Relaxed);
    if inner.down.swap(false, Ordering::Relaxed) {
        let down_seconds = inner.since.lock().take().map(|since| since.elapsed().as_secs());
        tracing::info!(store = inner.store.name(), down_seconds, "the store answers again");
    }
    inner.looking.store(false, Ordering::Relaxed);
}

/// Makes a call unless the store is down, and notes how it went.
macro_rules! guarded {
    ($self:ident, $operation:ident, $key:expr, $method:ident ( $($argument:expr),* )) => {{
        $self.inner.ask(Operation::$operation, $key)?;
        $self.inner.note($self.inner.store.$method($($argument),*).await)
    }};
}

#[async_trait]
impl Store for Breaker {
    fn name(&self) -> &'static str {
        self.inner.store.name()
    }

    fn shape(&self) -> Shape {
        self.inner.store.shape()
    }

    async fn get(&self, key: &Key, limit: usize) -> Result<Bytes> {
        guarded!(self, Get, key, get(key, limit))
    }

    async fn get_newest(&self, key: &Key, limit: usize) -> Result<(Bytes, Option<SystemTime>)> {
        guarded!(self, Get, key, get_newest(key, limit))
    }

    async fn open(&self, key: &Key) -> Result<Object> {
        guarded!(self, Open, key, open(key))
    }

    async fn head(&self, key: &Key) -> Result<Meta> {
        guarded!(self, Head, key, head(key))
    }

    async fn check(&self, key: &Key) -> Result<Meta> {
        guarded!(self, Head, key, check(key))
    }

    async fn inspect(&self, key: &Key) -> Result<Structure> {
        guarded!(self, Head, key, inspect(key))
    }

    async fn signed_url(&self, key: &Key, life: Duration) -> Result<Signed> {
        guarded!(self, Head, key, signed_url(key, life))
    }

    async fn put(&self, key: &Key, bytes: Bytes, durability: Durability) -> Result<()> {
        guarded!(self, Put, key, put(key, bytes, durability))
    }

    async fn put_new(&self, key: &Key, bytes: Bytes, durability: Durability) -> Result<bool> {
        guarded!(self, Put, key, put_new(key, bytes, durability))
    }

    async fn delete(&self, key: &Key, options: Delete) -> Result<bool> {
        guarded!(self, Delete, key, delete(key, options))
    }

    async fn list(&self, prefix: &Key, options: List) -> Result<Page> {
        guarded!(self, List, prefix, list(prefix, options))
    }

    async fn list_holding(&self, prefix: &Key, leaf: &str, options: List) -> Result<Page> {
        guarded!(self, List, prefix, list_holding(prefix, leaf, options))
    }

    async fn sizes(&self, keys: &[Key]) -> Result<Vec<Option<u64>>> {
        match keys.first() {
            Some(first) => guarded!(self, Head, first, sizes(keys)),
            None => Ok(Vec::new()),
        }
    }

    async fn write(&self, key: &Key, length: u64) -> Result<Option<Box<dyn Direct>>> {
        guarded!(self, Stage, key, write(key, length))
    }

    async fn stage(&self, key: &Key, resume: Option<&Checkpoint>) -> Result<Box<dyn Staged>> {
        guarded!(self, Stage, key, stage(key, resume))
    }

    async fn consists_of(&self, published: &Key, key: &Key) -> Result<bool> {
        guarded!(self, Head, published, consists_of(published, key))
    }

    async fn discard(&self, key: &Key, checkpoint: &Checkpoint, published: Option<&Key>) -> Result<()> {
        guarded!(self, Delete, key, discard(key, checkpoint, published))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Memory;

    /// A store of which some names, or all, cannot be reached.
    #[derive(Clone, Default)]
    struct Failing {
        memory: Memory,
        asked: Arc<AtomicU32>,
        all: Arc<AtomicBool>,
    }

    #[async_trait]
    impl Store for Failing {
        fn name(&self) -> &'static str {
            "failing"
        }

        async fn get(&self, key: &Key, limit: usize) -> Result<Bytes> {
            self.head(key).await?;
            self.memory.get(key, limit).await
        }

        async fn open(&self, key: &Key) -> Result<Object> {
            self.memory.open(key).await
        }

        async fn head(&self, key: &Key) -> Result<Meta> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            if self.all.load(Ordering::Relaxed) || key.as_str() == "bad" {
                return Err(StoreError::new(StoreErrorKind::Unavailable, Operation::Head, key, "no answer"));
            }
            self.memory.head(key).await
        }

        async fn put(&self, key: &Key, bytes: Bytes, durability: Durability) -> Result<()> {
            self.memory.put(key, bytes, durability).await
        }

        async fn delete(&self, key: &Key, options: Delete) -> Result<bool> {
            self.memory.delete(key, options).await
        }

        async fn list(&self, prefix: &Key, options: List) -> Result<Page> {
            self.memory.list(prefix, options).await
        }

        async fn stage(&self, key: &Key, resume: Option<&Checkpoint>) -> Result<Box<dyn Staged>> {
            self.memory.stage(key, resume).await
        }

        async fn discard(&self, key: &Key, checkpoint: &Checkpoint, published: Option<&Key>) -> Result<()> {
            self.memory.discard(key, checkpoint, published).await
        }
    }

    async fn settle() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    #[tokio::test]
    async fn a_store_that_is_well_passes_the_suite() {
        crate::conformance::run(&Breaker::new(Arc::new(Memory::new()), Key::new("looked-at"))).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_is_down_is_asked_once_a_second_and_used_when_it_is_back() {
        let failing = Failing::default();
        let breaker = Breaker::new(Arc::new(failing.clone()), Key::new("looked-at"));
        failing.all.store(true, Ordering::Relaxed);
        for _ in 0..FAILURES {
            breaker.head(&Key::new("a")).await.unwrap_err();
        }
        settle().await;
        let before = failing.asked.load(Ordering::Relaxed);
        for _ in 0..100 {
            let error = breaker.get(&Key::new("a"), 9).await.unwrap_err();
            assert_eq!(error.kind, StoreErrorKind::Unavailable);
        }
        assert_eq!(failing.asked.load(Ordering::Relaxed), before);
        tokio::time::sleep(10 * LOOK_AGAIN).await;
        let looks = failing.asked.load(Ordering::Relaxed) - before;
        assert!((9..=11).contains(&looks), "{looks} looks in ten seconds");
        failing.all.store(false, Ordering::Relaxed);
        tokio::time::sleep(LOOK_AGAIN).await;
        assert!(breaker.head(&Key::new("a")).await.unwrap_err().is_not_found());
    }

    #[tokio::test(start_paused = true)]
    async fn an_object_that_cannot_be_read_keeps_nobody_from_the_others() {
        let breaker = Breaker::new(Arc::new(Failing::default()), Key::new("looked-at"));
        for _ in 0..10 * FAILURES {
            breaker.head(&Key::new("bad")).await.unwrap_err();
            settle().await;
            assert!(breaker.head(&Key::new("good")).await.unwrap_err().is_not_found());
        }
    }
}
