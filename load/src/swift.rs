//! `wharfinger-load swift`: wharfinger and docker-registry on the same real OpenStack Swift, in turn, beside bare
//! requests to it.

pub(crate) mod cloud;
mod giant;
mod goals;
mod measure;
pub(crate) mod registry;
pub(crate) mod report;

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use serde_json::Value;
use tempfile::TempDir;
use wharfinger_test_support::{Pipeline, SwiftCluster};

use self::cloud::Cloud;
use self::giant::Giant;
pub(crate) use self::measure::{Measure, Sizes};
use self::registry::Registry;
use crate::compare::check_space;
use crate::content::{Content, Corpus, Uploads};
use crate::peer::{Kind, version};
use crate::proc;
use crate::progress::Progress;
use crate::results::Runs;
use crate::target::Target;

/// What to compare.
pub(crate) struct Plan {
    /// The registries and their binaries.
    pub(crate) binaries: BTreeMap<Kind, PathBuf>,
    /// The measures.
    pub(crate) measures: Vec<Measure>,
    /// Rounds.
    pub(crate) rounds: usize,
    /// How much of everything.
    pub(crate) sizes: Sizes,
    /// Where the clusters keep their objects.
    pub(crate) directory: PathBuf,
    /// The command line, for the report.
    pub(crate) command: String,
}

/// What came of it.
#[derive(Default)]
pub(crate) struct Results {
    /// What the rounds gave.
    pub(crate) runs: Runs<Measure>,
    /// Versions of those that took part.
    pub(crate) versions: BTreeMap<Kind, String>,
    /// How much of everything.
    pub(crate) sizes: Sizes,
    /// Rounds.
    pub(crate) rounds: usize,
    /// The machine.
    pub(crate) machine: String,
    /// One-minute load average before the first measure.
    pub(crate) load_before: f64,
    /// The command that gave these results.
    pub(crate) command: String,
}

/// The clusters and what was put into them so far.
pub(crate) struct Bench {
    binaries: BTreeMap<Kind, PathBuf>,
    sizes: Sizes,
    cloud: Cloud,
    /// With Swift's default limit on dynamic large objects; started when it is first needed.
    throttled: Option<Cloud>,
    /// Containers that were prepared.
    prepared: BTreeSet<String>,
    corpus: OnceCell<Corpus>,
    layer: OnceCell<Content>,
    uploads: OnceCell<Uploads>,
    /// The giant that lies in the scratch container of who pushed it.
    giant: Option<Giant>,
    /// The legacy blob of the round.
    legacy: Option<Content>,
    // Last: the registries' files go when the clusters have.
    work: TempDir,
}

impl Plan {
    /// Runs everything. A server that fails a measure is left out of it and noted.
    pub(crate) fn run(&self) -> Result<Results> {
        proc::raise_open_files(4_096)?;
        let space = self.measures.iter().map(|measure| measure.space(&self.sizes)).max().unwrap_or(0);
        check_space(&self.directory, space)?;
        tempfile::env::override_temp_dir(&self.directory)
            .map_err(|taken| anyhow::anyhow!("files already go to {}", taken.display()))?;
        let mut versions: BTreeMap<Kind, String> =
            self.binaries.iter().map(|(kind, binary)| (*kind, version(*kind, binary))).collect();
        versions.insert(Kind::Swift, swift_version());
        let mut results = Results {
            runs: Runs::default(),
            versions,
            sizes: self.sizes,
            rounds: self.rounds,
            machine: proc::machine(),
            load_before: proc::load_average(),
            command: self.command.clone(),
        };
        let mut bench = Bench::start(self)?;
        let mut progress = Progress::new(self.weight());
        for measure in &self.measures {
            self.run_measure(*measure, &mut bench, &mut results, &mut progress);
        }
        progress.end();
        Ok(results)
    }

    fn run_measure(
        &self,
        measure: Measure,
        bench: &mut Bench,
        results: &mut Results,
        progress: &mut Progress,
    ) {
        let mut kinds: Vec<Kind> = self.kinds(measure);
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
                match measure.run(bench, *kind, round) {
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

    fn kinds(&self, measure: Measure) -> Vec<Kind> {
        let there = |kind: &&Kind| **kind == Kind::Swift || self.binaries.contains_key(kind);
        measure.kinds().iter().filter(there).copied().collect()
    }

    fn weight(&self) -> f64 {
        let weigh = |measure: &Measure| {
            let runs = self.kinds(*measure).len() * measure.rounds(self.rounds);
            measure.weight(&self.sizes) * runs as f64
        };
        self.measures.iter().map(weigh).sum()
    }
}

impl Bench {
    fn start(plan: &Plan) -> Result<Bench> {
        let work = tempfile::Builder::new().prefix("wharfinger-load-").tempdir()?;
        crate::children::remove_when_interrupted(work.path().to_owned());
        let cluster = SwiftCluster::builder().pipeline(Pipeline::Full).start();
        Ok(Bench {
            binaries: plan.binaries.clone(),
            sizes: plan.sizes,
            cloud: Cloud::new(cluster),
            throttled: None,
            prepared: BTreeSet::new(),
            corpus: OnceCell::new(),
            layer: OnceCell::new(),
            uploads: OnceCell::new(),
            giant: None,
            legacy: None,
            work,
        })
    }

    /// The container for pushes, empty before and after each.
    fn scratch(&self, kind: Kind) -> String {
        format!("scratch-{}", kind.name())
    }

    /// The container that holds what pulls read.
    fn kept(&self, kind: Kind) -> String {
        format!("kept-{}", kind.name())
    }

    /// Starts a registry on a container of the cluster without limits.
    fn start_registry(&self, kind: Kind, container: &str) -> Result<Registry> {
        self.start_on(&self.cloud, kind, container, None)
    }

    /// Does `work` with a registry on its scratch container, which is emptied afterwards.
    fn on_scratch<T>(&self, kind: Kind, work: impl FnOnce(&Target, &str) -> Result<T>) -> Result<T> {
        let container = self.scratch(kind);
        let registry = self.start_registry(kind, &container)?;
        let done = work(&registry.target, &container);
        drop(registry);
        self.cloud.empty(&container)?;
        done
    }

    /// Starts a registry on a container of the throttled cluster.
    fn start_legacy(&self, kind: Kind, container: &str, chunk: Option<usize>) -> Result<Registry> {
        let cloud = self.throttled.as_ref().context("the throttled cluster was started")?;
        self.start_on(cloud, kind, container, chunk)
    }

    fn start_on(&self, cloud: &Cloud, kind: Kind, container: &str, chunk: Option<usize>) -> Result<Registry> {
        let binary = self.binaries.get(&kind).with_context(|| format!("no {}", kind.name()))?;
        let change = |config: &mut Value| {
            if let Some(chunk) = chunk {
                config["storage"]["swift"]["chunksize"] = chunk.into();
            }
        };
        Registry::start((kind, binary), self.work.path(), cloud, container, change)
    }

    fn start_throttled(&mut self) {
        let start = || Cloud::new(SwiftCluster::builder().pipeline(Pipeline::Wikimedia).start());
        self.throttled.get_or_insert_with(start);
    }

    /// Whether whoever asks has to prepare that container: the first one has.
    fn prepares(&mut self, container: &str) -> bool {
        self.prepared.insert(container.to_owned())
    }

    fn corpus(&self) -> &Corpus {
        self.corpus.get_or_init(Corpus::new)
    }

    /// The layer that is pulled.
    fn layer(&self) -> &Content {
        self.layer.get_or_init(|| Content::random(self.sizes.layer, 4))
    }

    /// Layers to push, each unlike any other.
    fn uploads(&self) -> &Uploads {
        self.uploads.get_or_init(|| Uploads::new(self.sizes.layer))
    }
}

/// The version of Debian's Swift.
pub(crate) fn swift_version() -> String {
    package_version("swift-proxy")
}

/// The version of a Debian package.
pub(crate) fn package_version(name: &str) -> String {
    let mut query = Command::new("dpkg-query");
    let output = query.args(["-W", "-f=${Version}", name]).stdin(Stdio::null()).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.ok().filter(|text| !text.is_empty()).unwrap_or_else(|| "unknown".to_owned())
}
