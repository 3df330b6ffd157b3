//! The goals that wharfinger set itself, against what was measured.

use serde::Serialize;

use crate::figure::Figure;
use crate::measure::Measure;
use crate::peer::Kind;
use crate::results::Results;
use crate::stats::{self, Spread};

/// What a figure is set against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Against {
    /// Nothing: the figure itself.
    Absolute,
    /// The same figure of a peer in the same round.
    Peer(Kind),
    /// nginx's PUT and one SHA-256 of the same round.
    PushFloor,
}

/// A goal.
struct Goal {
    measure: Measure,
    figure: Figure,
    against: Against,
    /// Whether the limit is the most (else the least) that meets the goal.
    at_most: bool,
    limit: f64,
}

/// A goal with its outcome.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Verdict {
    /// What was measured.
    pub(crate) measure: String,
    /// Which figure, and against what.
    pub(crate) figure: String,
    /// The limit as text.
    pub(crate) goal: String,
    /// Wharfinger's value over the rounds.
    pub(crate) measured: Option<Spread>,
    /// docker-registry's value of the same figure.
    pub(crate) docker_registry: Option<Spread>,
    /// Whether the median meets the goal; `None` when it was not measured.
    pub(crate) met: Option<bool>,
}

/// Small requests against nginx: most CPU, fewest requests a second.
pub(crate) const SMALL: [(Measure, f64, f64); 4] = [
    (Measure::ManifestTag, 1.3, 0.70),
    (Measure::ManifestDigest, 1.1, 0.90),
    (Measure::HeadBlob, 1.2, 0.80),
    (Measure::Blob1k, 1.1, 0.85),
];
/// Their p99 against nginx's.
pub(crate) const SMALL_P99: f64 = 1.5;
/// CPU of pulls of 100 MB against nginx's.
pub(crate) const PULL_CPU: f64 = 1.3;
/// Most memory under fast and under slow pulls, in MiB.
pub(crate) const MEMORY: [(Measure, f64); 2] =
    [(Measure::MemoryFast200, 24.0), (Measure::MemorySlow1000, 64.0)];

fn goals() -> Vec<Goal> {
    use Against::{Absolute, Peer, PushFloor};
    use Figure as F;
    use Measure as M;
    let goal = |measure, figure, against, at_most, limit| Goal { measure, figure, against, at_most, limit };
    let nginx = Peer(Kind::Nginx);
    let docker = Peer(Kind::Docker);
    let mut goals = Vec::new();
    for (measure, cpu, requests) in SMALL {
        goals.push(goal(measure, F::CpuUsPerRequest, nginx, true, cpu));
        goals.push(goal(measure, F::RequestsPerSecond, nginx, false, requests));
        goals.push(goal(measure, F::P99Ms, nginx, true, SMALL_P99));
    }
    goals.extend([M::Blob100mX1, M::Blob100mX8].map(|m| goal(m, F::CpuSPerGb, nginx, true, PULL_CPU)));
    goals.extend(
        [M::PushPostPut, M::PushPostPatchPut, M::PushChunks5m]
            .map(|m| goal(m, F::CpuSPerGb, PushFloor, true, 1.25)),
    );
    goals.extend(MEMORY.map(|(measure, most)| goal(measure, F::AnonymousMib, Absolute, true, most)));
    goals.extend([
        goal(M::PushParallel8, F::MbPerSecond, docker, false, 2.5),
        goal(M::PushParallel8, F::CpuSPerGb, Absolute, true, 1.3),
        goal(M::Push1k, F::BlobsPerSecond, docker, false, 3.0),
        goal(M::Push1k, F::CpuMsPerBlob, Absolute, true, 0.3),
        goal(M::TagsPage, F::PageMs, Absolute, true, 2.0),
        goal(M::CatalogPage, F::PageMs, Absolute, true, 2.0),
        goal(M::Ready, F::ReadyMs, Absolute, true, 10.0),
        goal(M::LatencyDuringPush, F::BusyOverIdle, Absolute, true, 3.0),
    ]);
    goals
}

/// The verdict on every goal whose measure was run.
pub(crate) fn judge(results: &Results) -> Vec<Verdict> {
    let measured = results.measures();
    goals().iter().filter(|goal| measured.contains(&goal.measure)).map(|goal| goal.judge(results)).collect()
}

impl Goal {
    fn judge(&self, results: &Results) -> Verdict {
        let measured = self.value(results, Kind::Wharfinger);
        let met =
            measured.map(|s| if self.at_most { s.median <= self.limit } else { s.median >= self.limit });
        let sign = if self.at_most { "<=" } else { ">=" };
        let (against, times) = match self.against {
            Against::Absolute => ("", ""),
            Against::Peer(Kind::Docker) => (", against docker-registry", " x"),
            Against::Peer(_) => (", against nginx", " x"),
            Against::PushFloor => (", against nginx's PUT and one SHA-256", " x"),
        };
        Verdict {
            measure: self.measure.title(),
            figure: format!("{}{against}", self.figure.title()),
            goal: format!("{sign} {}{times}", self.limit),
            measured,
            docker_registry: self.value(results, Kind::Docker),
            met,
        }
    }

    fn value(&self, results: &Results, kind: Kind) -> Option<Spread> {
        match self.against {
            Against::Absolute => results.runs.spread(self.measure, kind, self.figure),
            // A peer is not set against itself.
            Against::Peer(base) if base == kind => results
                .runs
                .spread(self.measure, kind, self.figure)
                .map(|_| Spread { median: 1.0, min: 1.0, max: 1.0 }),
            Against::Peer(base) => results.runs.ratio(self.measure, kind, base, self.figure),
            Against::PushFloor => {
                let floor = results.push_floor(self.measure);
                stats::ratio(&results.runs.series(self.measure, kind, self.figure), &floor)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::Figures;

    fn add(results: &mut Results, kind: Kind, value: f64) {
        let mut figures = Figures::default();
        figures.set(Figure::CpuSPerGb, value);
        results.runs.add(Measure::PushPostPut, kind, figures);
    }

    #[test]
    fn a_push_is_judged_against_nginx_and_one_hash() {
        let mut results = Results::default();
        results.sha256.insert(Measure::PushPostPut, vec![0.5]);
        add(&mut results, Kind::Nginx, 0.5);
        add(&mut results, Kind::Wharfinger, 1.25);
        let verdicts = judge(&results);
        assert_eq!(verdicts.len(), 1);
        assert_eq!(verdicts[0].met, Some(true));
        add(&mut results, Kind::Docker, 3.0);
        assert_eq!(judge(&results)[0].docker_registry.map(|s| s.median), Some(3.0));
    }

    #[test]
    fn what_was_not_measured_is_neither_met_nor_missed() {
        let mut results = Results::default();
        add(&mut results, Kind::Nginx, 0.5);
        assert_eq!(judge(&results)[0].met, None);
    }
}
