//! Many clients that pull one image at once, which the cache does not have yet.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use serde_json::json;
use wharfinger_test_support::ProxyRequest;

use super::Bench;
use crate::connection::connect;
use crate::content::{Content, MANIFEST_TYPE};
use crate::figure::{Figure, Figures};
use crate::http;
use crate::measure::{TAG, accept, memory};
use crate::peer::{Kind, Store};
use crate::target::Target;

/// A herd that takes longer has failed.
const LIMIT: Duration = Duration::from_secs(120);
const READ_SIZE: usize = 256 << 10;
const MIB: f64 = (1 << 20) as f64;

/// What the herd pulls: a tag, a config and layers.
pub(crate) struct Image {
    manifest: Content,
    /// Config and layers.
    blobs: Vec<Content>,
}

impl Image {
    /// An image with layers of these sizes.
    pub(crate) fn new(layers: [usize; 4]) -> Image {
        let config = Content::random(4_000, 300);
        let layers = layers.iter().zip(301..).map(|(size, seed)| Content::random(*size, seed));
        let blobs: Vec<Content> = std::iter::once(config).chain(layers).collect();
        let describe = |content: &Content, kind: &str| {
            json!({
                "mediaType": format!("application/vnd.oci.image.{kind}"),
                "digest": content.digest.to_string(),
                "size": content.bytes.len(),
            })
        };
        let layers = blobs[1..].iter().map(|blob| describe(blob, "layer.v1.tar+gzip"));
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": describe(&blobs[0], "config.v1+json"),
            "layers": layers.collect::<Vec<_>>(),
        });
        Image { manifest: Content::new(manifest.to_string().into_bytes()), blobs }
    }

    fn push(&self, target: &Target) -> Result<()> {
        let mut connection = target.connect()?;
        for blob in &self.blobs {
            target.put_blob(&mut connection, &blob.digest, &[&blob.bytes])?;
        }
        target.put_manifest(&mut connection, TAG, &self.manifest.bytes)
    }

    fn bytes(&self) -> usize {
        self.manifest.bytes.len() + self.blobs.iter().map(|blob| blob.bytes.len()).sum::<usize>()
    }

    /// What each client asks for, one after another.
    fn requests(&self, target: &Target) -> Vec<(String, &Content)> {
        let head = |path: &str| http::request_head("GET", path, &target.address.to_string(), &accept());
        let manifest = (head(&target.manifest_path(TAG)), &self.manifest);
        let blobs = self.blobs.iter().map(|blob| (head(&target.blob_path(&blob.digest)), blob));
        std::iter::once(manifest).chain(blobs).collect()
    }
}

/// The herd at a registry that was just started on an empty cache, or at nginx.
pub(super) fn run(bench: &mut Bench, kind: Kind) -> Result<Figures> {
    if kind == Kind::Nginx {
        let target = bench.nginx.start(Store::Corpus)?.0;
        bench.image().push(&target)?;
        let figures = measure(&target, bench.image(), bench.sizes.clients);
        bench.nginx.stop();
        return figures;
    }
    bench.image().push(&bench.start_plain()?.target)?;
    let directory = bench.cold_cache();
    let registry = bench.start_cached(&directory, |_| {})?;
    let mark = bench.cloud.cluster().mark();
    let mut figures = measure(&registry.target, bench.image(), bench.sizes.clients)?;
    bench.wait_for_copies(&registry, bench.image().blobs.len() as u64 + 1)?;
    drop(registry);
    std::fs::remove_dir_all(&directory).context("removing a cache")?;
    let requests = bench.cloud.cluster().since(mark);
    figures.set(
        Figure::SwiftRequests,
        requests.iter().filter(|request| request.source.is_none()).count() as f64,
    );
    figures.set(Figure::MostGets, most_gets(&requests) as f64);
    Ok(figures)
}

/// How often the object was read that was read most often; of links, which are no content, those do not count.
fn most_gets(requests: &[ProxyRequest]) -> usize {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for request in requests {
        if request.method == "GET" && request.source.is_none() && !request.path.ends_with("/link") {
            *counts.entry(&request.path).or_default() += 1;
        }
    }
    counts.into_values().max().unwrap_or(0)
}

fn measure(target: &Target, image: &Image, clients: usize) -> Result<Figures> {
    let processes = target.processes.as_ref().context("a server that was started here")?;
    let (cpu, begun) = (processes.cpu()?, Instant::now());
    let ((), peak) = memory::watch(Some(processes), || pull(target, image, clients))?;
    let elapsed = begun.elapsed();
    let cpu = processes.cpu()?.saturating_sub(cpu);
    let bytes = (image.bytes() * clients) as f64;
    let mut figures = Figures::default();
    figures.set(Figure::Seconds, elapsed.as_secs_f64());
    figures.set(Figure::MbPerSecond, bytes / 1e6 / elapsed.as_secs_f64());
    figures.set(Figure::CpuSPerGb, cpu.as_secs_f64() / (bytes / 1e9));
    figures.set(Figure::AnonymousMib, peak.anonymous as f64 / MIB);
    figures.set(Figure::ResidentMib, peak.resident as f64 / MIB);
    Ok(figures)
}

struct Client {
    stream: TcpStream,
    /// The request that is being answered.
    step: usize,
    head: Vec<u8>,
    /// Body bytes that came; `None` until the head did.
    body: Option<usize>,
}

/// Every client pulls the whole image over one connection; every byte is compared.
fn pull(target: &Target, image: &Image, clients: usize) -> Result<()> {
    let requests = image.requests(target);
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut herd = Vec::with_capacity(clients);
    for index in 0..clients {
        let stream = connect(target.address)?;
        stream.set_nonblocking(true)?;
        epoll::add(&epoll, &stream, epoll::EventData::new_u64(index as u64), epoll::EventFlags::IN)?;
        herd.push(Client { stream, step: 0, head: Vec::new(), body: None });
    }
    for client in &mut herd {
        client.ask(&requests)?;
    }
    let mut buffer = vec![0; READ_SIZE];
    let mut events = Vec::with_capacity(clients);
    let tick = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
    let (begun, mut left) = (Instant::now(), clients);
    while left > 0 {
        ensure!(begun.elapsed() < LIMIT, "{left} clients were not done after {LIMIT:?}");
        events.clear();
        match epoll::wait(&epoll, spare_capacity(&mut events), Some(&tick)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e).context("epoll"),
        }
        for event in &events {
            let Ok(index) = usize::try_from(event.data.u64()) else { continue };
            let client = &mut herd[index];
            client.read(&mut buffer, &requests)?;
            if client.step == requests.len() {
                epoll::delete(&epoll, &client.stream)?;
                left -= 1;
            }
        }
    }
    Ok(())
}

impl Client {
    fn ask(&mut self, requests: &[(String, &Content)]) -> Result<()> {
        let Some((request, _)) = requests.get(self.step) else { return Ok(()) };
        let written = self.stream.write(request.as_bytes()).context("sending a request")?;
        ensure!(written == request.len(), "the server takes no request");
        Ok(())
    }

    /// Reads once, compares what came, and asks for the next when an answer is whole.
    fn read(&mut self, buffer: &mut [u8], requests: &[(String, &Content)]) -> Result<()> {
        let read = match self.stream.read(buffer) {
            Ok(0) => {
                bail!("the server closed a connection in step {} after {:?} bytes", self.step, self.body)
            }
            Ok(read) => read,
            Err(e)
                if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::Interrupted) =>
            {
                return Ok(());
            }
            Err(e) => return Err(e).context("reading an image"),
        };
        let expected = &requests[self.step].1.bytes;
        if let Some(done) = self.body {
            self.compare(done, &buffer[..read], expected)?;
        } else {
            self.head.extend_from_slice(&buffer[..read]);
            let Some(head) = http::parse_head(&self.head, false)? else { return Ok(()) };
            if head.status != 200 || head.content_length != Some(expected.len() as u64) {
                let said = String::from_utf8_lossy(&self.head).into_owned();
                bail!("step {}: expected 200 and {} bytes, got {said}", self.step, expected.len());
            }
            let size = head.size;
            let first = self.head.split_off(size);
            self.compare(0, &first, expected)?;
        }
        if self.body == Some(expected.len()) {
            (self.step, self.body) = (self.step + 1, None);
            self.head.clear();
            self.ask(requests)?;
        }
        Ok(())
    }

    fn compare(&mut self, done: usize, part: &[u8], expected: &[u8]) -> Result<()> {
        let same = expected.get(done..done + part.len()).is_some_and(|expected| expected == part);
        ensure!(same, "step {}: the body differs from what was pushed at or after byte {done}", self.step);
        self.body = Some(done + part.len());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_object_that_was_read_most_counts_and_links_do_not() {
        let request = |method: &str, path: &str, source: Option<&str>| ProxyRequest {
            method: method.to_owned(),
            path: path.to_owned(),
            status: 200,
            received: 0,
            sent: 0,
            transaction: String::new(),
            source: source.map(str::to_owned),
            agent: String::new(),
        };
        let requests = [
            request("GET", "/v1/a/c/blob/data", None),
            request("HEAD", "/v1/a/c/blob/data", None),
            request("GET", "/v1/a/c/other/data", None),
            request("GET", "/v1/a/c/other/data", None),
            request("GET", "/v1/a/c/other/data", Some("SLO")),
            request("GET", "/v1/a/c/tag/link", None),
            request("GET", "/v1/a/c/tag/link", None),
            request("GET", "/v1/a/c/tag/link", None),
        ];
        assert_eq!(most_gets(&requests), 2);
        assert_eq!(most_gets(&[]), 0);
    }
}
