//! Manifests while Redis is out of order.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use std::net::{SocketAddr, TcpStream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::Bench;
use crate::children::Running;
use crate::content::Corpus;
use crate::figure::{Figure, Figures};
use crate::measure::bulk::steady_gets;
use crate::measure::{Measure as Warm, Settings, TAG, small};
use crate::peer::free_address;
use crate::stats::percentile;
use crate::target::Target;

/// How late a slow Redis answers.
pub(super) const SLOW: Duration = Duration::from_millis(500);
/// After a fault, before the p99 is taken: time for a breaker to open.
const SETTLE: Duration = Duration::from_secs(1);
/// For each kind of request that is asked for beside, as long as the fault lasts.
const BESIDE: Duration = Duration::from_millis(300);
/// A Redis that does not answer within this time has failed to start.
const START_LIMIT: Duration = Duration::from_secs(10);

/// What is wrong with Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nobody listens.
    Refused,
    /// It is stopped (SIGSTOP): connections are taken and never answered.
    Hung,
    /// Each answer is [`SLOW`] late.
    Slow,
}

/// Steady GETs of a manifest by tag while Redis is well, then with the fault.
pub(super) fn run(bench: &mut Bench, fault: Fault) -> Result<Figures> {
    let redis = Redis::start()?;
    let slow = SlowProxy::start(redis.address)?;
    let address = if fault == Fault::Slow { slow.address } else { redis.address };
    let registry = bench.start_cached(&bench.warm_cache(), |config| {
        config["redis"]["addr"] = address.to_string().into();
        config["storage"]["cache"]["blobdescriptor"] = "redis".into();
    })?;
    let (target, corpus) = (&registry.target, bench.corpus());
    // What was measured before may have moved the tag.
    Warm::ManifestTag.seed(target, corpus)?;
    let time = Duration::from_secs_f64(bench.sizes.seconds);
    steady(target, corpus, SETTLE / 2)?;
    beside(target, corpus)?;
    let mut healthy = steady(target, corpus, time)?;
    let redis = redis.break_down(fault, &slow)?;
    let mut longest = steady(target, corpus, SETTLE)?;
    longest.extend(beside(target, corpus)?);
    let mut broken = steady(target, corpus, time)?;
    drop(redis);
    let longest = longest.iter().chain(&broken).max().copied().unwrap_or(0);
    let ms = |nanoseconds: u64| nanoseconds as f64 / 1e6;
    let (median, well) = (percentile(&mut healthy, 50.0), percentile(&mut healthy, 99.0));
    let ill = percentile(&mut broken, 99.0);
    let mut figures = Figures::default();
    figures.set(Figure::P99Ms, ms(ill));
    figures.set(Figure::HealthyP99Ms, ms(well));
    figures.set(Figure::OverHealthy, ill as f64 / well.max(1) as f64);
    figures.set(Figure::LongestWaitMs, ms(longest.saturating_sub(median)));
    Ok(figures)
}

/// Latencies of 1,000 GETs a second over four connections.
fn steady(target: &Target, corpus: &Corpus, time: Duration) -> Result<Vec<u64>> {
    steady_gets(target, (TAG, &corpus.manifest), (4, Duration::from_millis(4), time), None)
}

/// Latencies of other requests, one at a time: what each of them may ask Redis is not known here.
fn beside(target: &Target, corpus: &Corpus) -> Result<Vec<u64>> {
    let digest = target.manifest_path(&corpus.manifest.digest.to_string());
    let blob = target.blob_path(&corpus.small.digest);
    let asked = [
        ("GET", digest, &corpus.manifest),
        ("HEAD", blob.clone(), &corpus.small),
        ("GET", blob, &corpus.small),
    ];
    let mut all = Vec::new();
    for (method, path, content) in asked {
        let settings = Settings { connections: 1, time: BESIDE };
        let headers = crate::measure::accept();
        let load = small::Load {
            address: target.address,
            method,
            path,
            headers: &headers,
            expected: &content.bytes,
            connections: settings.connections,
            time: settings.time,
            max_requests: 100_000,
        };
        all.extend(load.run()?.latencies);
    }
    Ok(all)
}

/// Debian's Redis on a loopback port, without persistence.
struct Redis {
    running: Option<Running>,
    address: SocketAddr,
}

impl Redis {
    fn start() -> Result<Redis> {
        let address = free_address()?;
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--port", &address.port().to_string()]);
        command.args(["--save", "", "--appendonly", "no"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let running = Running::start(&mut command).context("Debian's package redis-server has it")?;
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            ensure!(begun.elapsed() < START_LIMIT, "redis-server does not answer on {address}");
            crate::pause(Duration::from_millis(5));
        }
        Ok(Redis { running: Some(running), address })
    }

    /// Puts it, or the way to it, out of order; what is returned ends with the process, if there still is one.
    fn break_down(mut self, fault: Fault, slow: &SlowProxy) -> Result<Redis> {
        match fault {
            Fault::Refused => self.running = None,
            Fault::Hung => self.signal(Signal::STOP)?,
            Fault::Slow => slow.delay.store(SLOW.as_millis() as u64, Ordering::Relaxed),
        }
        Ok(self)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.running.as_ref().and_then(|running| Pid::from_raw(running.pid().cast_signed()));
        kill_process(pid.context("Redis runs")?, signal).context("signalling Redis")
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // One that is stopped cannot end when it is asked to.
        let _ = self.signal(Signal::CONT);
    }
}

/// Passes connections on, and answers late once told to.
struct SlowProxy {
    address: SocketAddr,
    /// In milliseconds.
    delay: Arc<AtomicU64>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl SlowProxy {
    fn start(upstream: SocketAddr) -> Result<SlowProxy> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build()?;
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))?;
        let (address, delay) = (listener.local_addr()?, Arc::new(AtomicU64::new(0)));
        let lag = delay.clone();
        runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass_on(client, upstream, lag.clone()));
            }
        });
        Ok(SlowProxy { address, delay, runtime: Some(runtime) })
    }
}

impl Drop for SlowProxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn pass_on(client: tokio::net::TcpStream, upstream: SocketAddr, delay: Arc<AtomicU64>) {
    let Ok(server) = tokio::net::TcpStream::connect(upstream).await else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let questions = async {
        let _ = tokio::io::copy(&mut from_client, &mut to_server).await;
    };
    let answers = async {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(read @ 1..) = from_server.read(&mut buffer).await {
            tokio::time::sleep(Duration::from_millis(delay.load(Ordering::Relaxed))).await;
            if to_client.write_all(&buffer[..read]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = questions => {}
        () = answers => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    #[test]
    fn answers_are_late_once_the_proxy_was_told_so() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = SlowProxy::start(listener.local_addr().unwrap()).unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut byte = [0];
            while stream.read_exact(&mut byte).is_ok() {
                stream.write_all(&byte).unwrap();
            }
        });
        let mut stream = TcpStream::connect(proxy.address).unwrap();
        let mut ask = || {
            let begun = Instant::now();
            stream.write_all(b"x").unwrap();
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            (byte, begun.elapsed())
        };
        assert_eq!(ask().0, *b"x");
        proxy.delay.store(50, Ordering::Relaxed);
        assert!(ask().1 >= Duration::from_millis(50));
    }
}
