//! Asks Redis while it answers in time, and nobody while it does not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use redis::aio::{MultiplexedConnection, PubSub};
use redis::{Cmd, FromRedisValue, RedisError};
use tokio::sync::Notify;

use crate::CHANNEL;
use crate::connect::Clients;

/// Between two looks at a Redis that is bypassed.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// Between two log lines that say that it is bypassed.
const SAY_AGAIN: Duration = Duration::from_secs(60);
/// How long one step of a walk over all names may take.
const STEP: Duration = Duration::from_secs(5);

/// What was done since the start. Counters that are shared: a clone goes on counting.
#[derive(Clone, Debug, Default)]
pub struct Counts(Arc<Numbers>);

#[derive(Debug, Default)]
struct Numbers {
    hits: AtomicU64,
    misses: AtomicU64,
    wrong: AtomicU64,
    failed: AtomicU64,
    refused: AtomicU64,
    bypassed: AtomicU64,
    longest: AtomicU64,
}

impl Counts {
    /// How often what, by name: `hit`, `miss`, `wrong` (found, but not what it has to be), `failed` (no answer, or not
    /// in time), `refused` (an error for an answer), `bypassed` (not asked).
    pub fn named(&self) -> [(&'static str, u64); 6] {
        let Numbers { hits, misses, wrong, failed, refused, bypassed, .. } = &*self.0;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        [
            ("hit", read(hits)),
            ("miss", read(misses)),
            ("wrong", read(wrong)),
            ("failed", read(failed)),
            ("refused", read(refused)),
            ("bypassed", read(bypassed)),
        ]
    }

    /// The longest that anybody waited for one answer.
    pub fn longest_wait(&self) -> Duration {
        Duration::from_micros(self.0.longest.load(Ordering::Relaxed))
    }

    pub(crate) fn looked(&self, found: bool) {
        let count = if found { &self.0.hits } else { &self.0.misses };
        count.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn distrusted(&self) {
        self.0.wrong.fetch_add(1, Ordering::Relaxed);
    }

    fn waited(&self, time: Duration) {
        let time = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.0.longest.fetch_max(time, Ordering::Relaxed);
    }
}

pub(crate) struct Breaker {
    clients: Clients,
    /// How long one answer may take.
    answer: Duration,
    connection: Mutex<Option<MultiplexedConnection>>,
    /// Whether Redis is asked.
    used: AtomicBool,
    failed: Notify,
    since: Mutex<Instant>,
    pub(crate) counts: Counts,
}

impl Breaker {
    pub(crate) fn start(clients: Clients, answer: Duration) -> Arc<Breaker> {
        let breaker = Arc::new(Breaker {
            clients,
            answer,
            connection: Mutex::new(None),
            used: AtomicBool::new(false),
            failed: Notify::new(),
            since: Mutex::new(Instant::now()),
            counts: Counts::default(),
        });
        tokio::spawn(watch(breaker.clone()));
        breaker
    }

    /// For how long Redis has been bypassed.
    pub(crate) fn bypassed(&self) -> Option<Duration> {
        (!self.used.load(Ordering::Relaxed)).then(|| self.since.lock().elapsed())
    }

    /// Sends a command, if Redis is asked at all, and waits for the answer at most so long.
    pub(crate) async fn ask<T: FromRedisValue>(&self, command: &Cmd, left: Duration) -> Option<T> {
        let limit = self.answer.min(left);
        let connection = self.used.load(Ordering::Relaxed).then(|| self.connection.lock().clone()).flatten();
        let Some(mut connection) = connection.filter(|_| !limit.is_zero()) else {
            self.counts.0.bypassed.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        let asked = Instant::now();
        let answer = tokio::time::timeout(limit, command.query_async(&mut connection)).await;
        self.counts.waited(asked.elapsed());
        match answer {
            Ok(Ok(value)) => Some(value),
            // It answers, but not this: a replica that takes no writes, or one that is full.
            Ok(Err(error)) if is_refusal(&error) => {
                self.counts.0.refused.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(%error, "Redis refused a command");
                None
            }
            Ok(Err(error)) => {
                self.give_up(&error.to_string());
                None
            }
            // The rest of a request's patience was not what an answer may take.
            Err(_) if limit < self.answer => None,
            Err(_) => {
                self.give_up(&format!("no answer within {} ms", self.answer.as_millis()));
                None
            }
        }
    }

    fn give_up(&self, why: &str) {
        self.counts.0.failed.fetch_add(1, Ordering::Relaxed);
        if self.used.swap(false, Ordering::Relaxed) {
            tracing::debug!(why, "Redis is bypassed");
            *self.since.lock() = Instant::now();
            self.failed.notify_one();
        }
    }

    fn connection(&self) -> Result<MultiplexedConnection, String> {
        let connection = self.connection.lock().clone().filter(|_| self.bypassed().is_none());
        connection.ok_or_else(|| "Redis does not answer and is bypassed".to_owned())
    }

    pub(crate) async fn announce(&self, message: &str) -> Result<u64, String> {
        let mut publish = Cmd::new();
        publish.arg("PUBLISH").arg(CHANNEL).arg(message);
        step(&publish, &mut self.connection()?).await
    }

    /// A connection that gets what is announced.
    pub(crate) async fn subscribe(&self) -> Result<PubSub, RedisError> {
        let mut listening = self.clients.listen().await?;
        listening.subscribe(CHANNEL).await?;
        Ok(listening)
    }

    /// Removes everything whose name has this form.
    pub(crate) async fn flush(&self, form: &str) -> Result<u64, String> {
        let mut connection = self.connection()?;
        let (mut cursor, mut removed) = (0u64, 0);
        loop {
            let mut scan = Cmd::new();
            scan.arg("SCAN").arg(cursor).arg("MATCH").arg(form).arg("COUNT").arg(1_000);
            let (next, names): (u64, Vec<Vec<u8>>) = step(&scan, &mut connection).await?;
            if !names.is_empty() {
                removed += step::<u64>(Cmd::new().arg("UNLINK").arg(names), &mut connection).await?;
            }
            cursor = next;
            if cursor == 0 {
                return Ok(removed);
            }
        }
    }
}

async fn step<T: FromRedisValue>(command: &Cmd, connection: &mut MultiplexedConnection) -> Result<T, String> {
    match tokio::time::timeout(STEP, command.query_async(connection)).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {} s", STEP.as_secs())),
    }
}

/// Whether Redis itself said no.
fn is_refusal(error: &RedisError) -> bool {
    error.code().is_some() && !error.is_connection_dropped()
}

/// Connects, and again after each failure.
async fn watch(breaker: Arc<Breaker>) {
    let mut said: Option<Instant> = None;
    let mut silent = true;
    loop {
        match breaker.clients.connect().await {
            Ok(connection) => {
                *breaker.connection.lock() = Some(connection);
                let bypassed_ms =
                    u64::try_from(breaker.since.lock().elapsed().as_millis()).unwrap_or(u64::MAX);
                breaker.used.store(true, Ordering::Relaxed);
                if !silent {
                    tracing::info!(bypassed_ms, "Redis is used again");
                    silent = true;
                }
                breaker.failed.notified().await;
                *breaker.connection.lock() = None;
            }
            Err(error) => {
                if said.is_none_or(|said| said.elapsed() >= SAY_AGAIN) {
                    said = Some(Instant::now());
                    silent = false;
                    tracing::warn!(
                        %error,
                        "Redis does not answer and is bypassed: shared manifests, upload state and turns at reading; \
                         the store is asked instead"
                    );
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        }
    }
}
