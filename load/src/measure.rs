//! The measures: what each needs, does and gives.

pub(crate) mod bulk;
pub(crate) mod memory;
pub(crate) mod pages;
pub(crate) mod small;

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::ValueEnum;

use crate::content::{Content, Corpus, LARGE, MANIFEST_TYPE, SMALL, Uploads};
use crate::figure::{Figure, Figures};
use crate::proc::{self, ProcessTree};
use crate::stats::percentile;
use crate::target::{Layout, PushStyle, Target};

/// The tag under which the measured manifest is pushed.
pub(crate) const TAG: &str = "measured";

/// One measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Measure {
    /// GET of a manifest by tag
    ManifestTag,
    /// GET of a manifest by digest
    ManifestDigest,
    /// HEAD of a blob
    HeadBlob,
    /// GET of a blob of 1 KB
    #[value(name = "blob-1k")]
    Blob1k,
    /// GET of a blob of 100 MB by one client
    #[value(name = "blob-100m-x1")]
    Blob100mX1,
    /// GET of a blob of 100 MB by eight clients
    #[value(name = "blob-100m-x8")]
    Blob100mX8,
    /// Push of 100 MB: POST, PUT
    PushPostPut,
    /// Push of 100 MB: POST, PATCH, PUT
    PushPostPatchPut,
    /// Push of 100 MB: POST, a PATCH per 5 MB, PUT
    #[value(name = "push-chunks-5m")]
    PushChunks5m,
    /// Eight pushes of 100 MB at once
    #[value(name = "push-parallel-8")]
    PushParallel8,
    /// Pushes of blobs of 1 KB by four connections
    #[value(name = "push-1k")]
    Push1k,
    /// Page of 100 of 10,000 tags
    TagsPage,
    /// Page of 100 of 1,000 repositories
    CatalogPage,
    /// Peak memory under 200 pulls of 20 MB
    #[value(name = "memory-fast-200")]
    MemoryFast200,
    /// Peak memory under 1,000 slow pulls of 20 MB
    #[value(name = "memory-slow-1000")]
    MemorySlow1000,
    /// Latency of manifest GETs while blobs are pushed, against idle
    LatencyDuringPush,
    /// Start on an empty store until the first answer
    Ready,
}

/// What must be there before a measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// A running server with the corpus.
    Corpus,
    /// A server with the corpus that was just started, so that its memory is its own.
    CorpusAfterStart,
    /// A server that was just started on an empty store.
    EmptyStore,
    /// Nothing: the measure starts the server itself.
    Stopped,
}

/// How long and how often.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// Connections of the small-request measures.
    pub(crate) connections: usize,
    /// Length of a small-request measure.
    pub(crate) time: Duration,
}

impl Measure {
    /// All of them, in the order of the report.
    pub(crate) fn all() -> &'static [Measure] {
        Measure::value_variants()
    }

    /// The name on the command line.
    pub(crate) fn name(self) -> String {
        name(&self)
    }

    /// The description.
    pub(crate) fn title(self) -> String {
        let value = self.to_possible_value();
        value.and_then(|value| value.get_help().map(ToString::to_string)).unwrap_or_default()
    }

    /// What must be there before.
    pub(crate) fn need(self) -> Need {
        use Measure as M;
        match self {
            M::MemoryFast200 | M::MemorySlow1000 => Need::CorpusAfterStart,
            M::Ready => Need::Stopped,
            M::LatencyDuringPush => Need::EmptyStore,
            _ if self.is_push() => Need::EmptyStore,
            _ => Need::Corpus,
        }
    }

    /// Whether the measure is a push of blobs.
    pub(crate) fn is_push(self) -> bool {
        use Measure as M;
        matches!(self, M::PushPostPut | M::PushPostPatchPut | M::PushChunks5m | M::PushParallel8 | M::Push1k)
    }

    /// Whether plain files can be measured so: they have no lists.
    pub(crate) fn fits(self, layout: Layout) -> bool {
        layout == Layout::Registry || !matches!(self, Measure::TagsPage | Measure::CatalogPage)
    }

    /// What of the answers is compared with what was pushed.
    pub(crate) fn verified(self) -> &'static str {
        use Measure as M;
        match self {
            M::HeadBlob => "status and Content-Length of every answer",
            M::TagsPage | M::CatalogPage => "the names of every answer",
            M::MemorySlow1000 => "every byte that came before the clients hung up",
            M::Ready => "the status of the first answer",
            _ if self.is_push() => {
                "the digest in every answer that has one; one blob of each connection (1 KB) or of each run (100 MB) is pulled back, every byte"
            }
            _ => "every byte of every body",
        }
    }

    /// About how many seconds one run takes, for the time left.
    pub(crate) fn weight(self, time: Duration) -> f64 {
        use Measure as M;
        match self {
            M::ManifestTag | M::ManifestDigest | M::HeadBlob | M::Blob1k => time.as_secs_f64() + 0.5,
            M::MemorySlow1000 | M::LatencyDuringPush => 9.0,
            M::MemoryFast200 | M::PushParallel8 | M::Push1k => 4.0,
            M::Blob100mX1 | M::Blob100mX8 => 1.5,
            M::TagsPage | M::CatalogPage | M::Ready => 1.0,
            _ => 2.5,
        }
    }

    /// Pushes what the measure reads.
    pub(crate) fn seed(self, target: &Target, corpus: &Corpus) -> Result<()> {
        use Measure as M;
        let mut connection = target.connect()?;
        let blob = |connection: &mut _, content: &Content| {
            target.put_blob(connection, &content.digest, &[&content.bytes])
        };
        match self {
            M::ManifestTag | M::ManifestDigest | M::LatencyDuringPush => {
                pages::seed_parts(target, &mut connection, corpus)?;
                target.put_manifest(&mut connection, TAG, &corpus.manifest.bytes)?;
                let digest = corpus.manifest.digest.to_string();
                target.put_manifest(&mut connection, &digest, &corpus.manifest.bytes)
            }
            M::HeadBlob | M::Blob1k => blob(&mut connection, &corpus.small),
            M::Blob100mX1 | M::Blob100mX8 => blob(&mut connection, &corpus.large),
            M::MemoryFast200 | M::MemorySlow1000 => blob(&mut connection, &corpus.medium),
            M::TagsPage => pages::seed_tags(target, corpus, 4),
            M::CatalogPage => pages::seed_catalog(target, corpus, 4),
            _ => Ok(()),
        }
    }

    /// Runs the measure once. [`Measure::Ready`] is not run so: it is the runner that starts servers.
    pub(crate) fn run(self, target: &Target, corpus: &Corpus, settings: &Settings) -> Result<Figures> {
        use Measure as M;
        let small = |method, path, content| small_requests(target, settings, method, path, content);
        match self {
            M::ManifestTag => small("GET", target.manifest_path(TAG), &corpus.manifest),
            M::ManifestDigest => {
                small("GET", target.manifest_path(&corpus.manifest.digest.to_string()), &corpus.manifest)
            }
            M::HeadBlob => small("HEAD", target.blob_path(&corpus.small.digest), &corpus.small),
            M::Blob1k => small("GET", target.blob_path(&corpus.small.digest), &corpus.small),
            M::Blob100mX1 => Ok(bulk_figures(bulk::pull(target, &corpus.large, 1, 8)?)),
            M::Blob100mX8 => Ok(bulk_figures(bulk::pull(target, &corpus.large, 8, 2)?)),
            M::PushPostPut => push(target, PushStyle::PostPut, 1, 4),
            M::PushPostPatchPut => push(target, PushStyle::PostPatchPut, 1, 4),
            M::PushChunks5m => push(target, PushStyle::Chunks, 1, 4),
            M::PushParallel8 => push(target, PushStyle::PostPut, 8, 1),
            M::Push1k => push_small(target, settings),
            M::TagsPage => list_pages(target, pages::List::Tags(pages::TAGS)),
            M::CatalogPage => list_pages(target, pages::List::Catalog(pages::REPOSITORIES)),
            M::MemoryFast200 => memory_figures(target, &corpus.medium, 200, None),
            M::MemorySlow1000 => {
                let pace = memory::Pace { rate: 100_000, time: Duration::from_secs(8) };
                memory_figures(target, &corpus.medium, 1_000, Some(pace))
            }
            M::LatencyDuringPush => latency_during_push(target, corpus),
            M::Ready => bail!("the start is measured by `compare` alone: it starts the servers"),
        }
    }
}

/// The name of a measure on the command line.
pub(crate) fn name<M: ValueEnum>(measure: &M) -> String {
    measure.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

/// The header line that asks for our manifest's type; docker-registry converts without it.
pub(crate) fn accept() -> String {
    format!("Accept: {MANIFEST_TYPE}\r\n")
}

fn cpu(target: &Target) -> Result<Option<Duration>> {
    target.processes.as_ref().map(ProcessTree::cpu).transpose()
}

/// GETs or HEADs of one path, as many as the server answers in the time.
pub(crate) fn small_requests(
    target: &Target,
    settings: &Settings,
    method: &str,
    path: String,
    content: &Content,
) -> Result<Figures> {
    let headers = accept();
    let mut load = small::Load {
        address: target.address,
        method,
        path,
        headers: &headers,
        expected: &content.bytes,
        connections: settings.connections,
        time: Duration::from_millis(300),
        max_requests: 10_000_000,
    };
    load.run()?;
    load.time = settings.time;
    let (server, own) = (cpu(target)?, proc::own_cpu());
    let mut outcome = load.run()?;
    let own = proc::own_cpu().saturating_sub(own);
    let server = cpu(target)?.zip(server).map(|(after, before)| after.saturating_sub(before));
    let requests = outcome.requests.max(1) as f64;
    let mut figures = Figures::default();
    figures.set(Figure::RequestsPerSecond, outcome.requests as f64 / outcome.elapsed.as_secs_f64());
    figures.set(Figure::P50Ms, percentile(&mut outcome.latencies, 50.0) as f64 / 1e6);
    figures.set(Figure::P99Ms, percentile(&mut outcome.latencies, 99.0) as f64 / 1e6);
    figures.set_some(Figure::CpuUsPerRequest, server.map(|cpu| cpu.as_secs_f64() * 1e6 / requests));
    figures.set(Figure::ClientCpuUsPerRequest, own.as_secs_f64() * 1e6 / requests);
    Ok(figures)
}

fn bulk_figures(moved: bulk::Moved) -> Figures {
    let mut figures = Figures::default();
    figures.set(Figure::MbPerSecond, moved.bytes as f64 / 1e6 / moved.elapsed.as_secs_f64());
    figures.set_some(Figure::CpuSPerGb, moved.cpu.map(|cpu| cpu.as_secs_f64() / (moved.bytes as f64 / 1e9)));
    figures
}

fn push(target: &Target, style: PushStyle, clients: usize, times: usize) -> Result<Figures> {
    let uploads = Uploads::new(LARGE);
    // One that is not counted: buffers, the repository's directories, the connection's window.
    target.push(&mut target.connect()?, &uploads.next(), style)?;
    Ok(bulk_figures(bulk::push(target, &uploads, style, clients, times)?))
}

fn push_small(target: &Target, settings: &Settings) -> Result<Figures> {
    let uploads = Uploads::new(SMALL);
    bulk::push_for(target, &uploads, 4, Duration::from_millis(300), 100_000)?;
    let moved = bulk::push_for(target, &uploads, 4, settings.time, 100_000)?;
    let mut figures = Figures::default();
    figures.set(Figure::BlobsPerSecond, moved.blobs as f64 / moved.elapsed.as_secs_f64());
    let cpu = moved.cpu.map(|cpu| cpu.as_secs_f64() * 1e3 / moved.blobs.max(1) as f64);
    figures.set_some(Figure::CpuMsPerBlob, cpu);
    Ok(figures)
}

fn list_pages(target: &Target, list: pages::List) -> Result<Figures> {
    // The first answers fill caches: the measure is of a warm list.
    pages::run(target, list, 3, Duration::from_secs(10))?;
    let before = cpu(target)?;
    let mut pages = pages::run(target, list, 25, Duration::from_secs(5))?;
    let server = cpu(target)?.zip(before).map(|(after, before)| after.saturating_sub(before));
    let count = pages.latencies.len().max(1) as f64;
    let mut figures = Figures::default();
    figures.set(Figure::PageMs, percentile(&mut pages.latencies, 50.0) as f64 / 1e6);
    figures.set_some(Figure::CpuMsPerPage, server.map(|cpu| cpu.as_secs_f64() * 1e3 / count));
    figures.set(Figure::WholeListSent, f64::from(u8::from(pages.ignores_n)));
    Ok(figures)
}

fn memory_figures(
    target: &Target,
    content: &Content,
    clients: usize,
    pace: Option<memory::Pace>,
) -> Result<Figures> {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let start = Instant::now();
    let before = cpu(target)?;
    let peak = memory::run(target, content, clients, pace)?;
    let server = cpu(target)?.zip(before).map(|(after, before)| after.saturating_sub(before));
    let mut figures = Figures::default();
    if target.processes.is_some() {
        figures.set(Figure::AnonymousMib, mib(peak.anonymous));
        figures.set(Figure::FileMib, mib(peak.file));
    }
    figures.set(Figure::TcpMib, mib(peak.tcp));
    if pace.is_some() {
        figures.set(Figure::StarvedClients, peak.starved as f64);
    }
    if pace.is_none() {
        let bytes = (clients * content.bytes.len()) as f64;
        figures.set(Figure::MbPerSecond, bytes / 1e6 / start.elapsed().as_secs_f64());
        figures.set_some(Figure::CpuSPerGb, server.map(|cpu| cpu.as_secs_f64() / (bytes / 1e9)));
    }
    Ok(figures)
}

/// 1,000 GETs a second over four connections, alone and then beside two clients that push 100 MB blobs.
fn latency_during_push(target: &Target, corpus: &Corpus) -> Result<Figures> {
    let rate = (4, Duration::from_millis(4), Duration::from_secs(3));
    let uploads = Uploads::new(LARGE);
    let manifest = (TAG, &corpus.manifest);
    let mut idle = bulk::steady_gets(target, manifest, rate, None)?;
    let mut busy = bulk::steady_gets(target, manifest, rate, Some(&uploads))?;
    let (idle, busy) = (percentile(&mut idle, 99.0) as f64 / 1e6, percentile(&mut busy, 99.0) as f64 / 1e6);
    let mut figures = Figures::default();
    figures.set(Figure::IdleP99Ms, idle);
    figures.set(Figure::BusyP99Ms, busy);
    figures.set(Figure::BusyOverIdle, busy / idle.max(1e-6));
    Ok(figures)
}

/// CPU seconds that one SHA-256 of a gigabyte takes here and now, on one core.
pub(crate) fn sha256_cpu_s_per_gb(content: &Content) -> f64 {
    let start = proc::thread_cpu();
    for _ in 0..2 {
        std::hint::black_box(wharfinger_oci::Digest::sha256(&content.bytes));
    }
    let bytes = 2.0 * content.bytes.len() as f64;
    proc::thread_cpu().saturating_sub(start).as_secs_f64() / (bytes / 1e9)
}
