//! Peak memory while many clients pull one blob at once, fast or slowly.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

use crate::connection::connect;
use crate::content::Content;
use crate::http;
use crate::pause;
use crate::proc::{self, ProcessTree};
use crate::target::Target;

/// The highest values seen, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Peak {
    /// Anonymous memory.
    pub(crate) anonymous: u64,
    /// Mapped files.
    pub(crate) file: u64,
    /// The two together.
    pub(crate) resident: u64,
    /// Kernel TCP buffers above what they were before.
    pub(crate) tcp: u64,
    /// Slow clients that got no byte of the body.
    pub(crate) starved: usize,
}

/// How slow pulls are made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Bytes per second that a client reads.
    pub(crate) rate: u64,
    /// When the clients hang up.
    pub(crate) time: Duration,
}

struct Pull {
    stream: TcpStream,
    head: Vec<u8>,
    /// Body bytes that came; `None` until the head did.
    body: Option<usize>,
}

/// `clients` pulls of `content` at once. Without a pace each reads to the end as fast as it can.
pub(crate) fn run(target: &Target, content: &Content, clients: usize, pace: Option<Pace>) -> Result<Peak> {
    let (starved, peak) = watch(target.processes.as_ref(), || {
        open(target, content, clients).and_then(|pulls| match pace {
            None => pull_fast(pulls, content).map(|()| 0),
            Some(pace) => pull_slowly(pulls, content, pace),
        })
    })?;
    Ok(Peak { starved, ..peak })
}

/// Does `work` and tells what the memory rose to meanwhile.
pub(crate) fn watch<T>(
    processes: Option<&ProcessTree>,
    work: impl FnOnce() -> Result<T>,
) -> Result<(T, Peak)> {
    let before = proc::tcp_memory()?;
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let sampler = scope.spawn(|| sample(processes, before, &stop));
        let done = work();
        stop.store(true, Ordering::Relaxed);
        let peak = sampler.join().unwrap_or_else(|_| bail!("the memory sampler failed"));
        Ok((done?, peak?))
    })
}

/// Looks every 5 ms until told to stop.
fn sample(processes: Option<&ProcessTree>, before: u64, stop: &AtomicBool) -> Result<Peak> {
    let mut peak = Peak::default();
    while !stop.load(Ordering::Relaxed) {
        if let Some(processes) = processes {
            let now = processes.memory()?;
            peak.anonymous = peak.anonymous.max(now.anonymous);
            peak.file = peak.file.max(now.file);
            peak.resident = peak.resident.max(now.anonymous + now.file);
        }
        peak.tcp = peak.tcp.max(proc::tcp_memory()?.saturating_sub(before));
        pause(Duration::from_millis(5));
    }
    Ok(peak)
}

fn open(target: &Target, content: &Content, clients: usize) -> Result<Vec<Pull>> {
    let path = target.blob_path(&content.digest);
    let request = http::request_head("GET", &path, &target.address.to_string(), "");
    let mut pulls = Vec::with_capacity(clients);
    for _ in 0..clients {
        let mut stream = connect(target.address)?;
        stream.write_all(request.as_bytes())?;
        stream.set_nonblocking(true)?;
        pulls.push(Pull { stream, head: Vec::new(), body: None });
    }
    Ok(pulls)
}

/// No pull of 20 MB on loopback may take longer than this.
const FAST_LIMIT: Duration = Duration::from_secs(120);

fn pull_fast(mut pulls: Vec<Pull>, content: &Content) -> Result<()> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    for (index, pull) in pulls.iter().enumerate() {
        epoll::add(&epoll, &pull.stream, epoll::EventData::new_u64(index as u64), epoll::EventFlags::IN)?;
    }
    let mut buffer = vec![0; 256 << 10];
    let mut events = Vec::with_capacity(pulls.len());
    let tick = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
    let start = Instant::now();
    let mut left = pulls.len();
    while left > 0 {
        ensure!(start.elapsed() < FAST_LIMIT, "{left} pulls were not finished after two minutes");
        events.clear();
        match epoll::wait(&epoll, spare_capacity(&mut events), Some(&tick)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e).context("epoll"),
        }
        for event in &events {
            let Ok(index) = usize::try_from(event.data.u64()) else { continue };
            let pull = &mut pulls[index];
            pull.read(&mut buffer, content)?;
            if pull.body == Some(content.bytes.len()) {
                epoll::delete(&epoll, &pull.stream)?;
                left -= 1;
            }
        }
    }
    Ok(())
}

fn pull_slowly(mut pulls: Vec<Pull>, content: &Content, pace: Pace) -> Result<usize> {
    let mut buffer = vec![0; 64 << 10];
    let start = Instant::now();
    while start.elapsed() < pace.time {
        let due = (pace.rate as f64 * start.elapsed().as_secs_f64()) as usize;
        for pull in &mut pulls {
            let allowance = due.saturating_sub(pull.body.unwrap_or(0)).min(buffer.len());
            if allowance > 0 {
                pull.read(&mut buffer[..allowance], content)?;
            }
        }
        pause(Duration::from_millis(50));
    }
    // A measure, not an error: the kernel or the server may be out of memory for so many.
    Ok(pulls.iter().filter(|pull| pull.body.unwrap_or(0) == 0).count())
}

impl Pull {
    /// Reads once and compares what came with the content.
    fn read(&mut self, buffer: &mut [u8], content: &Content) -> Result<()> {
        let read = match self.stream.read(buffer) {
            Ok(0) => bail!("the server closed a pull after {:?} bytes", self.body),
            Ok(read) => read,
            Err(e)
                if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::Interrupted) =>
            {
                return Ok(());
            }
            Err(e) => return Err(e).context("reading a blob"),
        };
        if self.body.is_some() {
            return self.compare(&buffer[..read], content);
        }
        self.head.extend_from_slice(&buffer[..read]);
        let Some(head) = http::parse_head(&self.head, false)? else { return Ok(()) };
        if head.status != 200 || head.content_length != Some(content.bytes.len() as u64) {
            bail!("GET of a blob: status {}, Content-Length {:?}", head.status, head.content_length);
        }
        let size = head.size;
        self.body = Some(0);
        let first = self.head.split_off(size);
        self.compare(&first, content)
    }

    fn compare(&mut self, part: &[u8], content: &Content) -> Result<()> {
        let offset = self.body.unwrap_or(0);
        let same = content.bytes.get(offset..offset + part.len()).is_some_and(|expected| expected == part);
        ensure!(same, "a pulled blob differs from what was pushed at or after byte {offset}");
        self.body = Some(offset + part.len());
        Ok(())
    }
}
