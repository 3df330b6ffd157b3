//! What is measured on Swift.

mod blobs;
mod images;
mod legacy;
mod lists;

use std::time::Duration;

use anyhow::Result;
use clap::ValueEnum;

use super::Bench;
use crate::figure::{Figure, Figures};
use crate::measure::{Settings, TAG, accept, small_requests};
use crate::peer::Kind;
use crate::target::PushStyle;

/// One measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Measure {
    /// Push of a small image by skopeo.
    PushImage,
    /// Its pull.
    PullImage,
    /// Push of an image of many layers by skopeo.
    PushManyLayers,
    /// Push of a layer as docker does it.
    PushPostPatchPut,
    /// Push of a layer in two requests.
    PushPostPut,
    /// Pull of a layer.
    Pull,
    /// Memory under one push.
    #[value(name = "memory-push-1")]
    MemoryPush1,
    /// Memory under four pushes.
    #[value(name = "memory-push-4")]
    MemoryPush4,
    /// Memory under eight pushes.
    #[value(name = "memory-push-8")]
    MemoryPush8,
    /// Memory under one pull.
    #[value(name = "memory-pull-1")]
    MemoryPull1,
    /// Memory under four pulls.
    #[value(name = "memory-pull-4")]
    MemoryPull4,
    /// Memory under eight pulls.
    #[value(name = "memory-pull-8")]
    MemoryPull8,
    /// Push of a blob that is larger than an object may be.
    GiantPush,
    /// Its pull.
    GiantPull,
    /// Pull of what docker-registry left as a dynamic large object, where Swift throttles these.
    Legacy,
    /// A page of the catalog.
    CatalogPage,
    /// A page of tags.
    TagsPage,
    /// GET of a manifest by tag.
    ManifestTag,
    /// HEAD of a blob.
    HeadBlob,
}

/// How much of everything.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sizes {
    /// Bytes of the layer that is pushed and pulled.
    pub(crate) layer: usize,
    /// Times that a layer is pushed or pulled in a round.
    pub(crate) repeats: usize,
    /// Layers of the image of many layers, each of 1 MB.
    pub(crate) layers: usize,
    /// Bytes of the giant.
    pub(crate) giant: u64,
    /// Segments of the legacy blob, each of 5 MiB.
    pub(crate) segments: usize,
    /// Repositories of the catalog.
    pub(crate) repositories: usize,
    /// Tags of the long list.
    pub(crate) tags: usize,
    /// Seconds of the small requests.
    pub(crate) seconds: f64,
}

/// Bytes of each layer of the images that skopeo pushes.
pub(crate) const IMAGE_LAYER: usize = 1_000_000;
/// Bytes of a segment of the legacy blob.
pub(crate) const SEGMENT: usize = 5 << 20;
/// Connections of the small requests.
pub(crate) const CONNECTIONS: usize = 8;

impl Sizes {
    /// What the goals speak of.
    pub(crate) fn full() -> Sizes {
        Sizes {
            layer: 200_000_000,
            repeats: 2,
            layers: 30,
            giant: 6 << 30,
            segments: 40,
            repositories: 1_000,
            tags: 10_000,
            seconds: 3.0,
        }
    }

    /// Enough to see that everything works.
    pub(crate) fn quick() -> Sizes {
        Sizes {
            layer: 40_000_000,
            repeats: 1,
            layers: 8,
            giant: 256 << 20,
            segments: 14,
            repositories: 200,
            tags: 400,
            seconds: 1.0,
        }
    }
}

impl Measure {
    /// All of them, in the order of the report.
    pub(crate) fn all() -> &'static [Measure] {
        Measure::value_variants()
    }

    /// The description.
    pub(crate) fn title(self, sizes: &Sizes) -> String {
        use Measure as M;
        let layer = format!("{} MB", sizes.layer / 1_000_000);
        match self {
            M::PushImage => "skopeo pushes an image of one layer of 1 MB".to_owned(),
            M::PullImage => "skopeo pulls that image".to_owned(),
            M::PushManyLayers => format!("skopeo pushes {} layers of 1 MB", sizes.layers),
            M::PushPostPatchPut => format!("Push of {layer}: POST, PATCH, PUT"),
            M::PushPostPut => format!("Push of {layer}: POST, PUT"),
            M::Pull => format!("Pull of {layer}"),
            M::MemoryPush1 => format!("Memory under one push of {layer}"),
            M::MemoryPush4 => format!("Memory under four pushes of {layer}"),
            M::MemoryPush8 => format!("Memory under eight pushes of {layer}"),
            M::MemoryPull1 => format!("Memory under one pull of {layer}"),
            M::MemoryPull4 => format!("Memory under four pulls of {layer}"),
            M::MemoryPull8 => format!("Memory under eight pulls of {layer}"),
            M::GiantPush => format!("Push of one blob of {} MiB", sizes.giant >> 20),
            M::GiantPull => format!("Pull of one blob of {} MiB", sizes.giant >> 20),
            M::Legacy => {
                format!("Pull of a dynamic large object of {} segments, throttled", sizes.segments)
            }
            M::CatalogPage => format!("Page of 100 of {} repositories", sizes.repositories),
            M::TagsPage => format!("Page of 100 of {} tags", sizes.tags),
            M::ManifestTag => format!("GET of a manifest by tag, {CONNECTIONS} clients"),
            M::HeadBlob => format!("HEAD of a blob, {CONNECTIONS} clients"),
        }
    }

    /// Who takes part.
    pub(crate) fn kinds(self) -> &'static [Kind] {
        use Measure as M;
        match self {
            M::PushPostPatchPut | M::PushPostPut | M::Pull => &[Kind::Swift, Kind::Docker, Kind::Wharfinger],
            M::GiantPush | M::GiantPull => &[Kind::Wharfinger],
            _ => &[Kind::Docker, Kind::Wharfinger],
        }
    }

    /// How many of `rounds` it takes: the giant is moved once.
    pub(crate) fn rounds(self, rounds: usize) -> usize {
        if matches!(self, Measure::GiantPush | Measure::GiantPull) { 1 } else { rounds }
    }

    /// About how many seconds one run takes, for the time left.
    pub(crate) fn weight(self, sizes: &Sizes) -> f64 {
        use Measure as M;
        let layer = sizes.layer as f64 / 1e8;
        match self {
            M::PushImage | M::PullImage => 2.0,
            M::PushManyLayers => sizes.layers as f64 / 3.0,
            M::PushPostPatchPut | M::PushPostPut | M::Pull => layer * sizes.repeats as f64 * 2.0,
            M::MemoryPush1 | M::MemoryPull1 => 2.0 + layer,
            M::MemoryPush4 | M::MemoryPull4 => 2.0 + layer * 4.0,
            M::MemoryPush8 | M::MemoryPull8 => 2.0 + layer * 8.0,
            M::GiantPush | M::GiantPull => sizes.giant as f64 / 1e8,
            M::Legacy => sizes.segments as f64 / 2.0,
            M::CatalogPage => sizes.repositories as f64 / 25.0,
            M::TagsPage => 10.0 + sizes.tags as f64 / 500.0,
            M::ManifestTag | M::HeadBlob => 2.0 + sizes.seconds,
        }
    }

    /// Bytes that the measure needs on the disk at its height.
    pub(crate) fn space(self, sizes: &Sizes) -> u64 {
        let giant = matches!(self, Measure::GiantPush | Measure::GiantPull);
        if giant { sizes.giant + 2_000_000_000 } else { 12 * sizes.layer as u64 + 1_000_000_000 }
    }

    /// Runs the measure once for one of [`Measure::kinds`].
    pub(crate) fn run(self, bench: &mut Bench, kind: Kind, round: usize) -> Result<Figures> {
        use Measure as M;
        match self {
            M::PushImage => images::push(bench, kind, round, 1),
            M::PullImage => images::pull(bench, kind, round),
            M::PushManyLayers => images::push(bench, kind, round, bench.sizes.layers),
            M::PushPostPatchPut => blobs::push(bench, kind, PushStyle::PostPatchPut),
            M::PushPostPut => blobs::push(bench, kind, PushStyle::PostPut),
            M::Pull => blobs::pull(bench, kind),
            M::MemoryPush1 => blobs::push_memory(bench, kind, 1),
            M::MemoryPush4 => blobs::push_memory(bench, kind, 4),
            M::MemoryPush8 => blobs::push_memory(bench, kind, 8),
            M::MemoryPull1 => blobs::pull_memory(bench, kind, 1),
            M::MemoryPull4 => blobs::pull_memory(bench, kind, 4),
            M::MemoryPull8 => blobs::pull_memory(bench, kind, 8),
            M::GiantPush => blobs::giant_push(bench, kind),
            M::GiantPull => blobs::giant_pull(bench, kind),
            M::Legacy => legacy::pull(bench, kind, round),
            M::CatalogPage => lists::catalog(bench, kind),
            M::TagsPage => lists::tags(bench, kind),
            M::ManifestTag | M::HeadBlob => small(bench, kind, self),
        }
    }
}

/// Small requests to what was pushed before, and how many requests to Swift one more of them makes.
fn small(bench: &Bench, kind: Kind, measure: Measure) -> Result<Figures> {
    let (container, corpus) = (bench.kept(kind), bench.corpus());
    let registry = bench.start_registry(kind, &container)?;
    let target = &registry.target;
    crate::measure::Measure::ManifestTag.seed(target, corpus)?;
    let (method, path, content) = match measure {
        Measure::HeadBlob => ("HEAD", target.blob_path(&corpus.small.digest), &corpus.small),
        _ => ("GET", target.manifest_path(TAG), &corpus.manifest),
    };
    let time = Duration::from_secs_f64(bench.sizes.seconds);
    let settings = Settings { connections: CONNECTIONS, time };
    let mut figures = small_requests(target, &settings, method, path.clone(), content)?;
    figures.0.remove(&Figure::ClientCpuUsPerRequest);
    bench.cloud.wait_quiet(&container);
    let mark = bench.cloud.cluster().mark();
    target.connect()?.request(method, &path, &accept(), &[])?.expect(200, &path)?;
    figures.set(Figure::SwiftRequests, bench.cloud.requests_since(mark, &container) as f64);
    Ok(figures)
}
