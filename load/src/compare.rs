//! Starts the peers, gives them the same content and measures them in turn, round by round.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use clap::ValueEnum;

use crate::children;
use crate::content::Corpus;
use crate::figure::{Figure, Figures};
use crate::measure::{self, Measure, Need, Settings};
use crate::peer::{Kind, Peer, Store};
use crate::proc;
use crate::progress::Progress;
use crate::results::Results;
use crate::stats::Spread;

/// What to compare.
pub(crate) struct Comparison {
    /// The servers and their binaries.
    pub(crate) peers: Vec<(Kind, PathBuf)>,
    /// The measures.
    pub(crate) measures: Vec<Measure>,
    /// Rounds.
    pub(crate) rounds: usize,
    /// Length of the small-request measures.
    pub(crate) settings: Settings,
    /// Where the stores go.
    pub(crate) directory: PathBuf,
    /// The command line, for the report.
    pub(crate) command: String,
}

/// Memory that the pushes of one measure use in tmpfs.
const PUSH_SPACE: usize = 1_000_000_000;
/// Free space that the stores need: three corpora and one scratch store of pushes.
const NEEDED_SPACE: u64 = 8_000_000_000;
/// A start takes milliseconds: several are measured each round.
const STARTS: usize = 5;

impl Comparison {
    /// Runs everything. A peer that fails a measure is left out of it and noted.
    pub(crate) fn run(&self) -> Result<Results> {
        proc::raise_open_files(4_096)?;
        check_space(&self.directory, NEEDED_SPACE)?;
        let stores = tempfile::Builder::new()
            .prefix("wharfinger-load-")
            .tempdir_in(&self.directory)
            .with_context(|| format!("making a directory in {}", self.directory.display()))?;
        children::remove_when_interrupted(stores.path().to_owned());
        let mut peers = Vec::new();
        for (kind, binary) in &self.peers {
            peers.push(Peer::new(*kind, binary.clone(), stores.path())?);
        }
        let mut results = Results {
            versions: peers.iter().map(|peer| (peer.kind, peer.version())).collect(),
            rounds: self.rounds,
            connections: self.settings.connections,
            seconds: self.settings.time.as_secs_f64(),
            machine: proc::machine(),
            load_before: proc::load_average(),
            command: self.command.clone(),
            ..Results::default()
        };
        let mut progress = Progress::new(self.weight(&peers));
        let corpus = Corpus::new();
        for measure in &self.measures {
            self.run_measure(*measure, &mut peers, &corpus, &mut results, &mut progress);
        }
        progress.end();
        Ok(results)
    }

    fn run_measure(
        &self,
        measure: Measure,
        peers: &mut [Peer],
        corpus: &Corpus,
        results: &mut Results,
        progress: &mut Progress,
    ) {
        let weight = measure.weight(self.settings.time);
        for round in 0..self.rounds {
            if measure.is_push() {
                results.sha256.entry(measure).or_default().push(measure::sha256_cpu_s_per_gb(&corpus.large));
            }
            // Each round begins with another peer, so that none always runs after the heaviest.
            peers.rotate_left(1);
            for peer in peers.iter_mut().filter(|peer| measure.fits(peer.kind.layout())) {
                if results.runs.failed(measure, peer.kind) {
                    continue;
                }
                let step = format!("{}, round {} of {}", peer.kind.name(), round + 1, self.rounds);
                progress.step(&measure.name(), &step);
                match self.run_once(measure, peer, corpus, round == 0) {
                    Ok(figures) => results.runs.add(measure, peer.kind, figures),
                    Err(e) => {
                        progress.note(&format!("{}: {} failed: {e:#}", measure.name(), peer.kind.name()));
                        results.runs.fail(measure, peer.kind, format!("{e:#}"));
                        peer.stop();
                    }
                }
                progress.finished(weight);
            }
        }
    }

    fn run_once(&self, measure: Measure, peer: &mut Peer, corpus: &Corpus, first: bool) -> Result<Figures> {
        match measure.need() {
            Need::Stopped => start_times(peer),
            Need::EmptyStore => {
                peer.wipe()?;
                warm_memory(&self.directory, PUSH_SPACE)?;
                let (target, _) = peer.start(Store::Scratch)?;
                measure.seed(&target, corpus)?;
                let figures = measure.run(&target, corpus, &self.settings);
                peer.wipe()?;
                figures
            }
            need => {
                let mut target = peer.running_on(Store::Corpus)?;
                if first {
                    measure.seed(&target, corpus)?;
                }
                if need == Need::CorpusAfterStart {
                    target = peer.start(Store::Corpus)?.0;
                }
                let figures = measure.run(&target, corpus, &self.settings);
                if need == Need::CorpusAfterStart {
                    peer.stop();
                }
                figures
            }
        }
    }

    fn weight(&self, peers: &[Peer]) -> f64 {
        let weigh = |measure: &Measure| {
            let fitting = peers.iter().filter(|peer| measure.fits(peer.kind.layout())).count();
            measure.weight(self.settings.time) * (fitting * self.rounds) as f64
        };
        self.measures.iter().map(weigh).sum()
    }
}

fn start_times(peer: &mut Peer) -> Result<Figures> {
    let mut times = Vec::new();
    for _ in 0..STARTS {
        times.push(peer.start(Store::Scratch)?.1.as_secs_f64() * 1e3);
    }
    peer.wipe()?;
    let mut figures = Figures::default();
    figures.set_some(Figure::ReadyMs, Spread::of(&times).map(|spread| spread.median));
    Ok(figures)
}

/// Writes and removes a file, so that the kernel (and a hypervisor below it) has the memory at hand: the first
/// use of a page would otherwise be paid by whichever peer comes first.
pub(crate) fn warm_memory(directory: &Path, bytes: usize) -> Result<()> {
    let path = directory.join(format!("wharfinger-load-warm-{}", std::process::id()));
    let written = (|| -> std::io::Result<()> {
        let mut file = File::create(&path)?;
        let block = vec![1u8; 4 << 20];
        for _ in 0..bytes.div_ceil(block.len()) {
            file.write_all(&block)?;
        }
        Ok(())
    })();
    let removed = fs::remove_file(&path);
    written.and(removed).with_context(|| format!("touching memory through {}", path.display()))
}

/// Refuses a directory with less than `needed` bytes free.
pub(crate) fn check_space(directory: &Path, needed: u64) -> Result<()> {
    let stat = rustix::fs::statvfs(directory)
        .with_context(|| format!("{}: no such directory", directory.display()))?;
    let free = stat.f_bavail * stat.f_frsize;
    if free < needed {
        bail!(
            "{} has {} MB free and the stores need {} MB: give another directory with --stores",
            directory.display(),
            free / 1_000_000,
            needed / 1_000_000
        );
    }
    Ok(())
}

/// The measures whose names contain one of the comma-separated `patterns`; all without patterns.
pub(crate) fn select<M: ValueEnum + Clone>(patterns: Option<&str>) -> Result<Vec<M>> {
    let all = M::value_variants();
    let Some(patterns) = patterns else { return Ok(all.to_vec()) };
    let matches = |measure: &&M| patterns.split(',').any(|p| measure::name(*measure).contains(p.trim()));
    let selected: Vec<M> = all.iter().filter(matches).cloned().collect();
    let names = || all.iter().map(measure::name).collect::<Vec<_>>().join(", ");
    ensure!(!selected.is_empty(), "no measure's name contains {patterns:?}; there are: {}", names());
    Ok(selected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_are_selected_by_parts_of_their_names() {
        assert_eq!(select::<Measure>(Some("push-1k,ready")).unwrap(), [Measure::Push1k, Measure::Ready]);
        assert_eq!(
            select::<Measure>(Some("manifest")).unwrap(),
            [Measure::ManifestTag, Measure::ManifestDigest]
        );
        assert_eq!(select::<Measure>(None).unwrap().len(), Measure::all().len());
        assert!(select::<Measure>(Some("nothing")).is_err());
    }
}
