//! `wharfinger-load cache`: wharfinger with its disk cache before a real OpenStack Swift, beside nginx with the same
//! bytes as plain files and beside bare requests to Swift.

mod goals;
mod herd;
mod measure;
mod pulls;
mod redis;
pub(crate) mod report;

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use wharfinger_oci::Digest;
use wharfinger_test_support::{Pipeline, SwiftCluster};

pub(crate) use self::measure::{Measure, Sizes};
use crate::compare::check_space;
use crate::content::{Content, Corpus};
use crate::peer::{Kind, Peer, version};
use crate::proc;
use crate::progress::Progress;
use crate::results::Runs;
use crate::swift::cloud::Cloud;
use crate::swift::registry::Registry;
use crate::swift::{package_version, swift_version};

/// What to measure.
pub(crate) struct Plan {
    /// The wharfinger program.
    pub(crate) wharfinger: PathBuf,
    /// The nginx program.
    pub(crate) nginx: PathBuf,
    /// The measures.
    pub(crate) measures: Vec<Measure>,
    /// Rounds.
    pub(crate) rounds: usize,
    /// How much of everything.
    pub(crate) sizes: Sizes,
    /// Where the objects and the cache go.
    pub(crate) directory: PathBuf,
    /// The command line, for the report.
    pub(crate) command: String,
}

/// What came of it.
#[derive(Default)]
pub(crate) struct Results {
    /// What the rounds gave.
    pub(crate) runs: Runs<Measure>,
    /// Versions of those that took part, by name.
    pub(crate) versions: BTreeMap<&'static str, String>,
    /// How much of everything.
    pub(crate) sizes: Sizes,
    /// Rounds.
    pub(crate) rounds: usize,
    /// How long all of it took.
    pub(crate) elapsed: Duration,
    /// The machine.
    pub(crate) machine: String,
    /// One-minute load average before the first measure.
    pub(crate) load_before: f64,
    /// The command that gave these results.
    pub(crate) command: String,
}

/// Swift, nginx and what was put into them so far.
pub(crate) struct Bench {
    wharfinger: PathBuf,
    nginx: Peer,
    sizes: Sizes,
    cloud: Cloud,
    corpus: OnceCell<Corpus>,
    layer: OnceCell<Content>,
    image: OnceCell<herd::Image>,
    /// What the cache that stays filled was filled with.
    warmed: BTreeSet<Digest>,
    /// When the links were written that small requests depend on, until they have stood long enough.
    linked: Option<Instant>,
    /// Caches that were begun: each has a directory of its own.
    caches: usize,
    // Last: the files go when the servers have.
    work: TempDir,
}

/// The container that holds what pulls read.
const CONTAINER: &str = "kept";
/// A directory for the cache that stays filled from one measure to the next.
const WARM: &str = "cache-warm";
/// Bytes that Swift, nginx and the caches take at their height.
const NEEDED_SPACE: u64 = 5_000_000_000;

impl Plan {
    /// Runs everything. A server that fails a measure is left out of it and noted.
    pub(crate) fn run(&self) -> Result<Results> {
        proc::raise_open_files(4_096)?;
        check_space(&self.directory, NEEDED_SPACE)?;
        tempfile::env::override_temp_dir(&self.directory)
            .map_err(|taken| anyhow::anyhow!("files already go to {}", taken.display()))?;
        let mut results = Results {
            versions: BTreeMap::from([
                ("nginx", version(Kind::Nginx, &self.nginx)),
                ("OpenStack Swift (Debian)", swift_version()),
                ("redis-server (Debian)", package_version("redis-server")),
                ("wharfinger", version(Kind::Wharfinger, &self.wharfinger)),
            ]),
            sizes: self.sizes,
            rounds: self.rounds,
            machine: proc::machine(),
            load_before: proc::load_average(),
            command: self.command.clone(),
            ..Results::default()
        };
        let begun = Instant::now();
        let mut bench = Bench::start(self)?;
        let mut progress = Progress::new(self.weight());
        for measure in &self.measures {
            self.run_measure(*measure, &mut bench, &mut results, &mut progress);
        }
        progress.end();
        results.elapsed = begun.elapsed();
        Ok(results)
    }

    fn run_measure(
        &self,
        measure: Measure,
        bench: &mut Bench,
        results: &mut Results,
        progress: &mut Progress,
    ) {
        let mut kinds = measure.kinds().to_vec();
        let rounds = measure.rounds(self.rounds);
        for round in 0..rounds {
            // Each round begins with another server, so that none always runs after the heaviest.
            kinds.rotate_left(1);
            for kind in &kinds {
                if results.runs.failed(measure, *kind) {
                    continue;
                }
                let name = crate::measure::name(&measure);
                progress.step(&name, &format!("{}, round {} of {rounds}", kind.name(), round + 1));
                match measure.run(bench, *kind) {
                    Ok(figures) => results.runs.add(measure, *kind, figures),
                    Err(e) => {
                        progress.note(&format!("{name}: {} failed: {e:#}", kind.name()));
                        results.runs.fail(measure, *kind, format!("{e:#}"));
                    }
                }
                progress.finished(measure.weight(&self.sizes));
            }
        }
    }

    fn weight(&self) -> f64 {
        let weigh = |measure: &Measure| {
            measure.weight(&self.sizes) * (measure.kinds().len() * measure.rounds(self.rounds)) as f64
        };
        self.measures.iter().map(weigh).sum()
    }
}

impl Bench {
    fn start(plan: &Plan) -> Result<Bench> {
        let work = tempfile::Builder::new().prefix("wharfinger-load-").tempdir()?;
        crate::children::remove_when_interrupted(work.path().to_owned());
        Ok(Bench {
            wharfinger: plan.wharfinger.clone(),
            nginx: Peer::new(Kind::Nginx, plan.nginx.clone(), work.path())?,
            sizes: plan.sizes,
            cloud: Cloud::new(SwiftCluster::builder().pipeline(Pipeline::Full).start()),
            corpus: OnceCell::new(),
            layer: OnceCell::new(),
            image: OnceCell::new(),
            warmed: BTreeSet::new(),
            linked: None,
            caches: 0,
            work,
        })
    }

    /// Starts wharfinger without a cache, to push what others are to find in Swift.
    fn start_plain(&self) -> Result<Registry> {
        self.start_with(|_| {})
    }

    /// Starts wharfinger with the cache in that directory.
    fn start_cached(&self, directory: &Path, change: impl FnOnce(&mut Value)) -> Result<Registry> {
        self.start_with(|config| {
            config["cache"] = json!({ "directory": directory, "size": "4GiB" });
            change(config);
        })
    }

    fn start_with(&self, change: impl FnOnce(&mut Value)) -> Result<Registry> {
        let program = (Kind::Wharfinger, &*self.wharfinger);
        Registry::start(program, self.work.path(), &self.cloud, CONTAINER, change)
    }

    fn warm_cache(&self) -> PathBuf {
        self.work.path().join(WARM)
    }

    /// A directory for a cache that holds nothing.
    fn cold_cache(&mut self) -> PathBuf {
        self.caches += 1;
        self.work.path().join(format!("cache-{}", self.caches))
    }

    /// How many copies the cache holds.
    fn copies(&self, registry: &Registry) -> Result<u64> {
        let mut command = Command::new(&self.wharfinger);
        command.args(["cache", "status", "--output", "json", "--socket"]).arg(&registry.socket);
        let output = command.output().context("asking for the cache's status")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "wharfinger cache status: {}", said.trim());
        let status: Value = serde_json::from_slice(&output.stdout).context("the cache's status")?;
        status["copies"].as_u64().context("the number of copies")
    }

    /// Waits until the cache holds at least so many copies: a reader may have everything before the copy stands.
    fn wait_for_copies(&self, registry: &Registry, least: u64) -> Result<()> {
        let begun = Instant::now();
        while self.copies(registry)? < least {
            ensure!(
                begun.elapsed() < Duration::from_secs(20),
                "the cache does not come to hold {least} copies"
            );
            crate::pause(Duration::from_millis(10));
        }
        Ok(())
    }

    fn corpus(&self) -> &Corpus {
        self.corpus.get_or_init(Corpus::new)
    }

    /// The layer that is pulled cold.
    fn layer(&self) -> &Content {
        self.layer.get_or_init(|| Content::random(self.sizes.layer, 4))
    }

    fn image(&self) -> &herd::Image {
        self.image.get_or_init(|| herd::Image::new(self.sizes.image))
    }
}
