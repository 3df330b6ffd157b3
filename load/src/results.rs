//! Everything that a comparison measured, by measure, peer, figure and round.

use std::collections::BTreeMap;

use crate::figure::{Figure, Figures};
use crate::measure::Measure;
use crate::peer::Kind;
use crate::stats::{self, Spread};

/// What the rounds of every measure gave, for every server.
pub(crate) struct Runs<M> {
    /// One entry per round; a peer that failed in any round has none.
    pub(crate) figures: BTreeMap<(M, Kind), Vec<Figures>>,
    /// What did not work.
    pub(crate) failures: BTreeMap<(M, Kind), String>,
}

/// The results of a comparison.
#[derive(Default)]
pub(crate) struct Results {
    /// What the rounds gave.
    pub(crate) runs: Runs<Measure>,
    /// CPU s/GB of one SHA-256 on one core, per round of a push measure.
    pub(crate) sha256: BTreeMap<Measure, Vec<f64>>,
    /// Versions of the peers that took part.
    pub(crate) versions: BTreeMap<Kind, String>,
    /// Rounds asked for.
    pub(crate) rounds: usize,
    /// Connections of the small-request measures.
    pub(crate) connections: usize,
    /// Seconds of a small-request measure.
    pub(crate) seconds: f64,
    /// The machine.
    pub(crate) machine: String,
    /// One-minute load average before the first measure.
    pub(crate) load_before: f64,
    /// The command that gave these results.
    pub(crate) command: String,
}

impl<M> Default for Runs<M> {
    fn default() -> Runs<M> {
        Runs { figures: BTreeMap::new(), failures: BTreeMap::new() }
    }
}

impl<M: Copy + Ord> Runs<M> {
    /// Adds a round.
    pub(crate) fn add(&mut self, measure: M, kind: Kind, figures: Figures) {
        self.figures.entry((measure, kind)).or_default().push(figures);
    }

    /// Notes a failure: the peer's other rounds of this measure no longer count.
    pub(crate) fn fail(&mut self, measure: M, kind: Kind, message: String) {
        self.figures.remove(&(measure, kind));
        self.failures.entry((measure, kind)).or_insert(message);
    }

    /// Whether that peer failed at that measure.
    pub(crate) fn failed(&self, measure: M, kind: Kind) -> bool {
        self.failures.contains_key(&(measure, kind))
    }

    /// A figure of a peer, round by round; empty when it was not measured.
    pub(crate) fn series(&self, measure: M, kind: Kind, figure: Figure) -> Vec<f64> {
        let rounds = self.figures.get(&(measure, kind)).map_or(&[][..], Vec::as_slice);
        rounds.iter().filter_map(|figures| figures.0.get(&figure).copied()).collect()
    }

    /// The spread of a figure.
    pub(crate) fn spread(&self, measure: M, kind: Kind, figure: Figure) -> Option<Spread> {
        Spread::of(&self.series(measure, kind, figure))
    }

    /// A peer's figure over `base`'s of the same round.
    pub(crate) fn ratio(&self, measure: M, kind: Kind, base: Kind, figure: Figure) -> Option<Spread> {
        stats::ratio(&self.series(measure, kind, figure), &self.series(measure, base, figure))
    }

    /// Whether there is any result or failure of that measure.
    pub(crate) fn has(&self, measure: M) -> bool {
        self.figures.keys().chain(self.failures.keys()).any(|(m, _)| *m == measure)
    }

    /// The figures that any peer gave for a measure, in order.
    pub(crate) fn figures(&self, measure: M) -> Vec<Figure> {
        let runs = self.figures.iter().filter(|((m, _), _)| *m == measure);
        let mut figures: Vec<Figure> =
            runs.flat_map(|(_, rounds)| rounds.iter().flat_map(|f| f.0.keys().copied())).collect();
        figures.sort_unstable();
        figures.dedup();
        figures
    }
}

impl Results {
    /// What a hashing push costs at least, round by round: nginx's PUT and one SHA-256, in CPU s/GB.
    pub(crate) fn push_floor(&self, measure: Measure) -> Vec<f64> {
        let put = self.runs.series(measure, Kind::Nginx, Figure::CpuSPerGb);
        let hash = self.sha256.get(&measure).map_or(&[][..], Vec::as_slice);
        put.iter().zip(hash).map(|(put, hash)| put + hash).collect()
    }

    /// The measures that have any result or failure, in order.
    pub(crate) fn measures(&self) -> Vec<Measure> {
        Measure::all().iter().filter(|measure| self.runs.has(**measure)).copied().collect()
    }

    /// The peers, in order.
    pub(crate) fn peers(&self) -> Vec<Kind> {
        self.versions.keys().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(rounds: &[(f64, f64, f64)]) -> Results {
        let mut results = Results::default();
        for (nginx, ours, hash) in rounds {
            for (kind, value) in [(Kind::Nginx, *nginx), (Kind::Wharfinger, *ours)] {
                let mut figures = Figures::default();
                figures.set(Figure::CpuSPerGb, value);
                results.runs.add(Measure::PushPostPut, kind, figures);
            }
            results.sha256.entry(Measure::PushPostPut).or_default().push(*hash);
        }
        results
    }

    #[test]
    fn the_push_floor_is_summed_within_each_round() {
        let results = results(&[(0.5, 1.2, 0.5), (0.7, 1.3, 0.6)]);
        let floor = results.push_floor(Measure::PushPostPut);
        assert!((floor[0] - 1.0).abs() < 1e-9 && (floor[1] - 1.3).abs() < 1e-9);
    }

    #[test]
    fn a_failed_peer_has_no_figures() {
        let mut results = results(&[(0.5, 1.2, 0.5)]);
        results.runs.fail(Measure::PushPostPut, Kind::Wharfinger, "500".to_owned());
        assert!(
            results
                .runs
                .ratio(Measure::PushPostPut, Kind::Wharfinger, Kind::Nginx, Figure::CpuSPerGb)
                .is_none()
        );
        assert_eq!(results.measures(), [Measure::PushPostPut]);
    }
}
