//! Big blobs down and up, by one client or several at once.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use crate::content::{Content, Upload, Uploads};
use crate::proc;
use crate::target::{PushStyle, Target};

/// Bytes moved, wall time and the server's CPU time, where its processes are known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moved {
    /// Bytes of blobs.
    pub(crate) bytes: u64,
    /// Blobs.
    pub(crate) blobs: u64,
    /// Wall time.
    pub(crate) elapsed: Duration,
    /// Server CPU time.
    pub(crate) cpu: Option<Duration>,
}

/// Runs `work` on `clients` threads; each gives the bytes and blobs that it moved.
fn together(
    target: &Target,
    clients: usize,
    work: impl Fn(usize) -> Result<(u64, u64)> + Sync,
) -> Result<Moved> {
    let cpu = |target: &Target| target.processes.as_ref().map(proc::ProcessTree::cpu).transpose();
    let before = cpu(target)?;
    let start = Instant::now();
    let results: Vec<Result<(u64, u64)>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..clients)
            .map(|index| {
                scope.spawn({
                    let work = &work;
                    move || work(index)
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap_or_else(|_| bail!("a client thread failed"))).collect()
    });
    let elapsed = start.elapsed();
    let after = cpu(target)?;
    let mut moved = Moved { bytes: 0, blobs: 0, elapsed, cpu: after.zip(before).map(|(a, b)| a - b) };
    for result in results {
        let (bytes, blobs) = result?;
        moved.bytes += bytes;
        moved.blobs += blobs;
    }
    Ok(moved)
}

/// Each of `clients` pulls `content` `times` times on one connection; every byte is compared.
pub(crate) fn pull(target: &Target, content: &Content, clients: usize, times: usize) -> Result<Moved> {
    let path = target.blob_path(&content.digest);
    together(target, clients, |_| {
        let mut connection = target.connect()?;
        for _ in 0..times {
            connection.download(&path, "", &[&content.bytes])?;
        }
        Ok(((times * content.bytes.len()) as u64, times as u64))
    })
}

/// Each of `clients` pushes `times` new blobs on one connection; afterwards the last of the first client is
/// pulled back and compared.
pub(crate) fn push(
    target: &Target,
    uploads: &Uploads,
    style: PushStyle,
    clients: usize,
    times: usize,
) -> Result<Moved> {
    let batches: Vec<Vec<_>> = (0..clients).map(|_| (0..times).map(|_| uploads.next()).collect()).collect();
    let moved = push_all(target, &batches, style)?;
    if let Some(upload) = batches.first().and_then(|batch| batch.last()) {
        pull_back(target, upload)?;
    }
    Ok(moved)
}

/// Pushes every batch on a connection of its own, at once.
pub(crate) fn push_all(target: &Target, batches: &[Vec<Upload>], style: PushStyle) -> Result<Moved> {
    together(target, batches.len(), |index| {
        let mut connection = target.connect()?;
        let mut bytes = 0;
        for upload in &batches[index] {
            target.push(&mut connection, upload, style)?;
            bytes += upload.size() as u64;
        }
        Ok((bytes, batches[index].len() as u64))
    })
}

/// Pulls a blob that was pushed and compares every byte.
pub(crate) fn pull_back(target: &Target, upload: &Upload) -> Result<()> {
    let path = target.blob_path(&upload.digest);
    target.connect()?.download(&path, "", &upload.part(0, upload.size()))
}

/// Pushes blobs from `clients` connections until `time` is over or `limit` blobs were pushed.
pub(crate) fn push_for(
    target: &Target,
    uploads: &Uploads,
    clients: usize,
    time: Duration,
    limit: u64,
) -> Result<Moved> {
    let pushed = AtomicU64::new(0);
    let start = Instant::now();
    let moved = together(target, clients, |_| {
        let mut connection = target.connect()?;
        let (mut bytes, mut blobs) = (0, 0);
        while start.elapsed() < time && pushed.fetch_add(1, Ordering::Relaxed) < limit {
            let upload = uploads.next();
            target.push(&mut connection, &upload, PushStyle::PostPut)?;
            bytes += upload.size() as u64;
            blobs += 1;
            if blobs == 1 {
                let path = target.blob_path(&upload.digest);
                connection.download(&path, "", &upload.part(0, upload.size()))?;
            }
        }
        Ok((bytes, blobs))
    })?;
    ensure!(moved.blobs > 0, "no blob was pushed");
    Ok(moved)
}

/// Latencies in nanoseconds of GETs of a manifest at a steady, modest rate: `clients` connections, one request
/// every `every`. With `busy`, two further clients push big blobs all the while.
pub(crate) fn steady_gets(
    target: &Target,
    manifest: (&str, &Content),
    (clients, every, time): (usize, Duration, Duration),
    busy: Option<&Uploads>,
) -> Result<Vec<u64>> {
    /// Bounds the space that the pushes take when a server is much faster than expected.
    const MOST_PUSHES: u64 = 60;
    let path = target.manifest_path(manifest.0);
    let headers = super::accept();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let pushers: Vec<_> = busy
            .into_iter()
            .flat_map(|uploads| [uploads; 2])
            .map(|uploads| {
                let stop = &stop;
                scope.spawn(move || -> Result<()> {
                    let mut connection = target.connect()?;
                    for _ in 0..MOST_PUSHES / 2 {
                        if stop.load(Ordering::Relaxed) {
                            break;
                        }
                        target.push(&mut connection, &uploads.next(), PushStyle::PostPut)?;
                    }
                    Ok(())
                })
            })
            .collect();
        let getters: Vec<_> = (0..clients)
            .map(|_| {
                let (path, headers) = (&path, &headers);
                scope.spawn(move || -> Result<Vec<u64>> {
                    let mut connection = target.connect()?;
                    let mut latencies = Vec::new();
                    let start = Instant::now();
                    let mut due = Duration::ZERO;
                    while start.elapsed() < time {
                        due = start.elapsed().max(due + every);
                        crate::pause(due.saturating_sub(start.elapsed()));
                        let sent = Instant::now();
                        let answer = connection.request("GET", path, headers, &[])?.expect(200, path)?;
                        latencies.push(u64::try_from(sent.elapsed().as_nanos()).unwrap_or(u64::MAX));
                        ensure!(
                            answer.body == **manifest.1.bytes,
                            "GET {path}: not the manifest that was pushed"
                        );
                    }
                    Ok(latencies)
                })
            })
            .collect();
        let results: Vec<_> = getters
            .into_iter()
            .map(|t| t.join().unwrap_or_else(|_| bail!("a client thread failed")))
            .collect();
        stop.store(true, Ordering::Relaxed);
        for pusher in pushers {
            pusher.join().unwrap_or_else(|_| bail!("a client thread failed"))?;
        }
        let mut all = Vec::new();
        for result in results {
            all.extend(result?);
        }
        Ok(all)
    })
}
