//! Pulls from a cache that is filled, and the first pull of a layer.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::Bench;
use crate::compare::warm_memory;
use crate::content::Content;
use crate::figure::{Figure, Figures};
use crate::measure::{Measure as Warm, Settings};
use crate::peer::{Kind, Store};
use crate::swift::registry::Registry;
use crate::target::Target;

/// Connections of the small requests, as in the comparison on a directory.
pub(super) const CONNECTIONS: usize = 32;
/// Where bare requests put their objects.
const BARE: &str = "bare";

/// A measure of the directory benchmark, from the cache or from plain files.
pub(super) fn warm(bench: &mut Bench, kind: Kind, measure: Warm) -> Result<Figures> {
    let time = Duration::from_secs_f64(bench.sizes.seconds);
    let settings = Settings { connections: CONNECTIONS, time };
    if kind == Kind::Nginx {
        let target = bench.nginx.running_on(Store::Corpus)?;
        measure.seed(&target, bench.corpus())?;
        return measure.run(&target, bench.corpus(), &settings);
    }
    fill(bench, measure)?;
    // Its memory is its own: it did not fill.
    let registry = bench.start_cached(&bench.warm_cache(), |_| {})?;
    measure.run(&registry.target, bench.corpus(), &settings)
}

/// Makes sure that Swift has what the measure reads, and the cache that stays filled too.
fn fill(bench: &mut Bench, measure: Warm) -> Result<()> {
    let corpus = bench.corpus().clone();
    let content = match measure {
        Warm::Blob100mX1 | Warm::Blob100mX8 => &corpus.large,
        Warm::MemoryFast200 | Warm::MemorySlow1000 => &corpus.medium,
        _ => &corpus.manifest,
    };
    if !bench.warmed.insert(content.digest) {
        return Ok(());
    }
    let registry = bench.start_cached(&bench.warm_cache(), |_| {})?;
    if content.digest == corpus.manifest.digest {
        Warm::ManifestTag.seed(&registry.target, &corpus)?;
        bench.linked = Some(Instant::now());
        return Ok(());
    }
    keep(&registry.target, content)?;
    let before = bench.copies(&registry)?;
    registry.target.connect()?.download(
        &registry.target.blob_path(&content.digest),
        "",
        &[&content.bytes],
    )?;
    bench.wait_for_copies(&registry, before + 1)
}

/// Makes sure that what small requests read is there, by links that have stood as long as those of most images.
pub(super) fn fill_and_let_stand(bench: &mut Bench) -> Result<()> {
    fill(bench, Warm::ManifestTag)?;
    if let Some(linked) = bench.linked.take() {
        crate::pause(bench.sizes.stand.saturating_sub(linked.elapsed()));
    }
    Ok(())
}

/// The content, in the server's store: pushed unless it is there.
fn keep(target: &Target, content: &Content) -> Result<()> {
    let mut connection = target.connect()?;
    if connection.request("HEAD", &target.blob_path(&content.digest), "", &[])?.status == 404 {
        target.patch_blob(&mut connection, &content.digest, &[&content.bytes])?;
    }
    Ok(())
}

/// The layer, that no cache has: from Swift itself, or by way of a registry whose cache is empty.
pub(super) fn cold(bench: &mut Bench, kind: Kind) -> Result<Figures> {
    let samples: Vec<Sample> = match kind {
        Kind::Swift => bare(bench)?,
        _ => (0..bench.sizes.repeats).map(|_| first_pull(bench)).collect::<Result<_>>()?,
    };
    let count = samples.len().max(1) as f64;
    let mean = |value: fn(&Sample) -> Option<f64>| -> Option<f64> {
        Some(samples.iter().map(value).sum::<Option<f64>>()? / count)
    };
    let bytes = bench.sizes.layer as f64;
    let mut figures = Figures::default();
    figures.set_some(Figure::Seconds, mean(|sample| Some(sample.elapsed.as_secs_f64())));
    let cpu = mean(|sample| sample.cpu.map(|cpu| cpu.as_secs_f64()));
    figures.set_some(Figure::CpuSPerGb, cpu.map(|cpu| cpu / (bytes / 1e9)));
    Ok(figures)
}

struct Sample {
    elapsed: Duration,
    cpu: Option<Duration>,
}

/// One object, again and again, after once that is not counted.
fn bare(bench: &Bench) -> Result<Vec<Sample>> {
    bench.cloud.cluster().create_container(BARE);
    let (object, layer) = ((BARE, "layer"), bench.layer());
    let mut connection = bench.cloud.connect()?;
    bench.cloud.put(&mut connection, object, &[&layer.bytes])?;
    bench.cloud.get(&mut connection, object, &[&layer.bytes])?;
    let samples = (0..bench.sizes.repeats).map(|_| {
        let begun = Instant::now();
        bench.cloud.get(&mut connection, object, &[&layer.bytes])?;
        Ok(Sample { elapsed: begun.elapsed(), cpu: None })
    });
    let samples = samples.collect();
    bench.cloud.empty(BARE)?;
    samples
}

/// The layer by way of a registry that was just started on an empty cache, after another blob that is not counted. The
/// registry's CPU is counted until the copy stands.
fn first_pull(bench: &mut Bench) -> Result<Sample> {
    {
        let plain = bench.start_plain()?;
        keep(&plain.target, &bench.corpus().medium)?;
        keep(&plain.target, bench.layer())?;
    }
    let directory = bench.cold_cache();
    warm_memory(bench.work.path(), 2 * bench.sizes.layer)?;
    let registry = bench.start_cached(&directory, |_| {})?;
    let (medium, layer) = (&bench.corpus().medium, bench.layer());
    let mut connection = registry.target.connect()?;
    connection.download(&registry.target.blob_path(&medium.digest), "", &[&medium.bytes])?;
    bench.wait_for_copies(&registry, 1)?;
    let cpu = cpu_of(&registry)?;
    let begun = Instant::now();
    connection.download(&registry.target.blob_path(&layer.digest), "", &[&layer.bytes])?;
    let elapsed = begun.elapsed();
    bench.wait_for_copies(&registry, 2)?;
    let cpu = cpu_of(&registry)?.saturating_sub(cpu);
    drop(registry);
    std::fs::remove_dir_all(&directory).context("removing a cache")?;
    Ok(Sample { elapsed, cpu: Some(cpu) })
}

fn cpu_of(registry: &Registry) -> Result<Duration> {
    registry.target.processes.as_ref().context("a server that was started here")?.cpu()
}
