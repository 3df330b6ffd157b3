//! What is measured with the cache before Swift.

use std::time::Duration;

use anyhow::Result;
use clap::ValueEnum;

use super::{Bench, herd, pulls, redis};
use crate::figure::Figures;
use crate::measure::Measure as Warm;
use crate::peer::Kind;

/// One measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Measure {
    /// GET of a manifest by tag.
    ManifestTag,
    /// GET of a manifest by digest.
    ManifestDigest,
    /// HEAD of a blob.
    HeadBlob,
    /// GET of a small blob.
    #[value(name = "blob-1k")]
    Blob1k,
    /// GET of a large blob by one client.
    #[value(name = "blob-100m-x1")]
    Blob100mX1,
    /// GET of a large blob by eight clients.
    #[value(name = "blob-100m-x8")]
    Blob100mX8,
    /// Memory under many fast pulls.
    #[value(name = "memory-fast-200")]
    MemoryFast200,
    /// Memory under many slow pulls.
    #[value(name = "memory-slow-1000")]
    MemorySlow1000,
    /// The first pull of a layer.
    ColdPull,
    /// Many clients that pull an image for the first time, at once.
    Herd,
    /// Manifests with nobody at Redis's address.
    RedisRefused,
    /// Manifests with a Redis that takes connections and does not answer.
    RedisHung,
    /// Manifests with a Redis that answers late.
    RedisSlow,
}

/// How much of everything.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sizes {
    /// Bytes of the layer that is pulled cold.
    pub(crate) layer: usize,
    /// Times that it is pulled in a round.
    pub(crate) repeats: usize,
    /// Clients of the herd.
    pub(crate) clients: usize,
    /// Bytes of the layers of the herd's image.
    pub(crate) image: [usize; 4],
    /// Seconds of the small requests.
    pub(crate) seconds: f64,
    /// How long the links stand that small requests depend on: those of the last minute are not leased.
    pub(crate) stand: Duration,
}

impl Sizes {
    /// What the goals speak of.
    pub(crate) fn full() -> Sizes {
        let image = [70_000_000, 25_000_000, 4_000_000, 1_000_000];
        let stand = Duration::from_secs(62);
        Sizes { layer: 200_000_000, repeats: 2, clients: 500, image, seconds: 2.0, stand }
    }

    /// Enough to see that everything works.
    pub(crate) fn quick() -> Sizes {
        let image = [14_000_000, 5_000_000, 800_000, 200_000];
        Sizes { layer: 40_000_000, repeats: 1, clients: 50, image, seconds: 1.0, stand: Duration::ZERO }
    }

    /// Bytes of all layers of the herd's image.
    pub(crate) fn image_bytes(&self) -> usize {
        self.image.iter().sum()
    }
}

impl Measure {
    /// All of them, in the order of the report.
    pub(crate) fn all() -> &'static [Measure] {
        Measure::value_variants()
    }

    /// The measure of the directory benchmark that it is, from a cache that is filled.
    pub(crate) fn warm(self) -> Option<Warm> {
        use Measure as M;
        Some(match self {
            M::ManifestTag => Warm::ManifestTag,
            M::ManifestDigest => Warm::ManifestDigest,
            M::HeadBlob => Warm::HeadBlob,
            M::Blob1k => Warm::Blob1k,
            M::Blob100mX1 => Warm::Blob100mX1,
            M::Blob100mX8 => Warm::Blob100mX8,
            M::MemoryFast200 => Warm::MemoryFast200,
            M::MemorySlow1000 => Warm::MemorySlow1000,
            M::ColdPull | M::Herd | M::RedisRefused | M::RedisHung | M::RedisSlow => return None,
        })
    }

    /// The description.
    pub(crate) fn title(self, sizes: &Sizes) -> String {
        use Measure as M;
        let mb = |bytes: usize| bytes / 1_000_000;
        match self {
            M::ColdPull => format!("First pull of a layer of {} MB", mb(sizes.layer)),
            M::Herd => {
                let (clients, size) = (sizes.clients, mb(sizes.image_bytes()));
                format!("{clients} clients pull a cold image of {size} MB at once")
            }
            M::RedisRefused => "GET of a manifest by tag, Redis is gone".to_owned(),
            M::RedisHung => "GET of a manifest by tag, Redis hangs".to_owned(),
            M::RedisSlow => format!("GET of a manifest by tag, Redis takes {} ms", redis::SLOW.as_millis()),
            _ => self.warm().map_or_else(String::new, Warm::title),
        }
    }

    /// Whether it goes by how fast links are answered.
    pub(super) fn is_small(self) -> bool {
        use Measure as M;
        matches!(self, M::ManifestTag | M::ManifestDigest | M::HeadBlob | M::Blob1k)
            || matches!(self, M::RedisRefused | M::RedisHung | M::RedisSlow)
    }

    /// Who takes part.
    pub(crate) fn kinds(self) -> &'static [Kind] {
        use Measure as M;
        match self {
            M::ColdPull => &[Kind::Swift, Kind::Wharfinger],
            M::MemoryFast200 | M::MemorySlow1000 => &[Kind::Wharfinger],
            M::RedisRefused | M::RedisHung | M::RedisSlow => &[Kind::Wharfinger],
            _ => &[Kind::Nginx, Kind::Wharfinger],
        }
    }

    /// How many of `rounds` it takes: the long ones take fewer.
    pub(crate) fn rounds(self, rounds: usize) -> usize {
        match self {
            Measure::MemorySlow1000 => 1,
            Measure::Herd => rounds.min(2),
            _ => rounds,
        }
    }

    /// About how many seconds one run takes, for the time left.
    pub(crate) fn weight(self, sizes: &Sizes) -> f64 {
        use Measure as M;
        match self {
            M::ColdPull => 1.0 + sizes.repeats as f64 * sizes.layer as f64 / 2e8,
            M::Herd => 2.0 + sizes.clients as f64 * sizes.image_bytes() as f64 / 2e9,
            M::RedisRefused | M::RedisHung | M::RedisSlow => 2.5 + 2.0 * sizes.seconds,
            M::MemorySlow1000 => 11.0,
            M::MemoryFast200 => 4.0,
            M::Blob100mX1 | M::Blob100mX8 => 2.0,
            _ => 1.0 + sizes.seconds,
        }
    }

    /// Runs the measure once for one of [`Measure::kinds`].
    pub(crate) fn run(self, bench: &mut Bench, kind: Kind) -> Result<Figures> {
        use Measure as M;
        if self.is_small() && kind == Kind::Wharfinger {
            pulls::fill_and_let_stand(bench)?;
        }
        match (self, self.warm()) {
            (_, Some(warm)) => pulls::warm(bench, kind, warm),
            (M::ColdPull, _) => pulls::cold(bench, kind),
            (M::Herd, _) => herd::run(bench, kind),
            (M::RedisRefused, _) => redis::run(bench, redis::Fault::Refused),
            (M::RedisHung, _) => redis::run(bench, redis::Fault::Hung),
            _ => redis::run(bench, redis::Fault::Slow),
        }
    }
}
