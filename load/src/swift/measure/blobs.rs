//! Layers: their time, CPU and memory, and one that no object can hold.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::content::Content;
use crate::figure::{Figure, Figures};
use crate::measure::bulk::{self, Moved};
use crate::measure::memory::watch;
use crate::peer::Kind;
use crate::swift::Bench;
use crate::swift::giant::Giant;
use crate::target::{PushStyle, Target};

/// Where bare requests put their objects.
const BARE: &str = "bare";

const MIB: f64 = (1 << 20) as f64;

/// Time and server CPU of blobs that were moved one after another.
pub(super) fn figures_of(moved: &Moved) -> Figures {
    let mut figures = Figures::default();
    figures.set(Figure::Seconds, moved.elapsed.as_secs_f64() / moved.blobs as f64);
    figures.set_some(Figure::CpuSPerGb, moved.cpu.map(|cpu| cpu.as_secs_f64() / (moved.bytes as f64 / 1e9)));
    figures
}

/// New layers, one after another, after one that is not counted; the last is pulled back.
pub(super) fn push(bench: &Bench, kind: Kind, style: PushStyle) -> Result<Figures> {
    if kind == Kind::Swift {
        return bare_push(bench);
    }
    let uploads = bench.uploads();
    bench.on_scratch(kind, |target, _| {
        target.push(&mut target.connect()?, &uploads.next(), style)?;
        Ok(figures_of(&bulk::push(target, uploads, style, 1, bench.sizes.repeats)?))
    })
}

/// The layer again and again, after once that is not counted.
pub(super) fn pull(bench: &Bench, kind: Kind) -> Result<Figures> {
    if kind == Kind::Swift {
        return bare_pull(bench);
    }
    let registry = bench.start_registry(kind, &bench.kept(kind))?;
    let layer = keep_layer(bench, &registry.target)?;
    bulk::pull(&registry.target, layer, 1, 1)?;
    Ok(figures_of(&bulk::pull(&registry.target, layer, 1, bench.sizes.repeats)?))
}

fn bare_push(bench: &Bench) -> Result<Figures> {
    bench.cloud.cluster().create_container(BARE);
    let uploads: Vec<_> = (0..=bench.sizes.repeats).map(|_| bench.uploads().next()).collect();
    let mut connection = bench.cloud.connect()?;
    let name = |number: usize| format!("push-{number}");
    let figures = bare_figures(bench, |number| {
        let bytes = uploads[number].part(0, uploads[number].size());
        bench.cloud.put(&mut connection, (BARE, &name(number)), &bytes)
    })?;
    let last = bench.sizes.repeats;
    let bytes = uploads[last].part(0, uploads[last].size());
    bench.cloud.get(&mut connection, (BARE, &name(last)), &bytes)?;
    bench.cloud.empty(BARE)?;
    Ok(figures)
}

fn bare_pull(bench: &Bench) -> Result<Figures> {
    bench.cloud.cluster().create_container(BARE);
    let (object, layer) = ((BARE, "layer"), bench.layer());
    let mut connection = bench.cloud.connect()?;
    bench.cloud.put(&mut connection, object, &[&layer.bytes])?;
    let figures = bare_figures(bench, |_| bench.cloud.get(&mut connection, object, &[&layer.bytes]))?;
    bench.cloud.empty(BARE)?;
    Ok(figures)
}

/// The time of `work`, done once without being counted and then as often as a registry does it.
fn bare_figures(bench: &Bench, mut work: impl FnMut(usize) -> Result<()>) -> Result<Figures> {
    work(0)?;
    let start = Instant::now();
    (1..=bench.sizes.repeats).try_for_each(&mut work)?;
    let mut figures = Figures::default();
    figures.set(Figure::Seconds, start.elapsed().as_secs_f64() / bench.sizes.repeats as f64);
    Ok(figures)
}

/// The layer, in the server's store: pushed unless it is there.
fn keep_layer<'b>(bench: &'b Bench, target: &Target) -> Result<&'b Content> {
    let layer = bench.layer();
    let mut connection = target.connect()?;
    if connection.request("HEAD", &target.blob_path(&layer.digest), "", &[])?.status == 404 {
        target.patch_blob(&mut connection, &layer.digest, &[&layer.bytes])?;
    }
    Ok(layer)
}

/// What memory rises to above idle, for each of so many pushes at once, in a server that was just started.
pub(super) fn push_memory(bench: &Bench, kind: Kind, streams: usize) -> Result<Figures> {
    let batches: Vec<_> = (0..streams).map(|_| vec![bench.uploads().next()]).collect();
    bench.on_scratch(kind, |target, _| {
        let push = || bulk::push_all(target, &batches, PushStyle::PostPatchPut).map(drop);
        let figures = memory(target, streams, push)?;
        batches.iter().try_for_each(|batch| bulk::pull_back(target, &batch[0]))?;
        Ok(figures)
    })
}

/// As [`push_memory`], for pulls of one layer.
pub(super) fn pull_memory(bench: &Bench, kind: Kind, streams: usize) -> Result<Figures> {
    let container = bench.kept(kind);
    let layer = keep_layer(bench, &bench.start_registry(kind, &container)?.target)?;
    let registry = bench.start_registry(kind, &container)?;
    let target = &registry.target;
    memory(target, streams, || bulk::pull(target, layer, streams, 1).map(drop))
}

fn memory(target: &Target, streams: usize, work: impl FnOnce() -> Result<()>) -> Result<Figures> {
    let processes = target.processes.as_ref().context("a server that was started here")?;
    let idle = processes.memory()?.anonymous;
    let ((), peak) = watch(Some(processes), work)?;
    let risen = peak.anonymous.saturating_sub(idle) as f64 / MIB;
    let mut figures = Figures::default();
    figures.set(Figure::MibPerStream, risen / streams as f64);
    figures.set(Figure::AnonymousMib, peak.anonymous as f64 / MIB);
    Ok(figures)
}

/// One blob that no object can hold, in. It stays for [`giant_pull`].
pub(super) fn giant_push(bench: &mut Bench, kind: Kind) -> Result<Figures> {
    let (container, giant) = (bench.scratch(kind), Giant::new(bench.sizes.giant, 1));
    let registry = bench.start_registry(kind, &container)?;
    let figures = giant_figures(&registry.target, &giant, |target| {
        target.patch_blob(&mut target.connect()?, &giant.digest, &giant.parts())
    });
    drop(registry);
    if figures.is_ok() {
        bench.giant = Some(giant);
    } else {
        bench.cloud.empty(&container)?;
    }
    figures
}

/// And out again.
pub(super) fn giant_pull(bench: &mut Bench, kind: Kind) -> Result<Figures> {
    if bench.giant.is_none() {
        giant_push(bench, kind)?;
    }
    let giant = bench.giant.take().context("the giant was pushed")?;
    bench.on_scratch(kind, |target, _| {
        giant_figures(target, &giant, |target| {
            target.connect()?.download(&target.blob_path(&giant.digest), "", &giant.parts())
        })
    })
}

fn giant_figures(
    target: &Target,
    giant: &Giant,
    work: impl FnOnce(&Target) -> Result<()>,
) -> Result<Figures> {
    let processes = target.processes.as_ref().context("a server that was started here")?;
    let (cpu, start) = (processes.cpu()?, Instant::now());
    let ((), peak) = watch(Some(processes), || work(target))?;
    let (elapsed, cpu): (Duration, _) = (start.elapsed(), processes.cpu()?.saturating_sub(cpu));
    let mut figures = figures_of(&Moved { bytes: giant.size(), blobs: 1, elapsed, cpu: Some(cpu) });
    figures.set(Figure::AnonymousMib, peak.anonymous as f64 / MIB);
    Ok(figures)
}
