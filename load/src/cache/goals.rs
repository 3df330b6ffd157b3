//! What wharfinger set itself for its cache, and every row of the table.

use serde::Serialize;

use super::Results;
use super::measure::Measure;
use crate::figure::Figure;
use crate::goals::{MEMORY, PULL_CPU, SMALL, SMALL_P99};
use crate::peer::Kind;
use crate::stats::Spread;

/// A goal for wharfinger's figure.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Goal {
    /// At most that much.
    AtMost(f64),
    /// At most that many times the reference's figure of the same round.
    Within(f64),
    /// At least that many times the reference's figure of the same round.
    Reaches(f64),
}

/// A figure of a measure with everybody's values.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    /// What was measured.
    pub(crate) measure: String,
    /// Which figure.
    pub(crate) figure: &'static str,
    /// The goal as text; empty where there is none.
    pub(crate) goal: String,
    /// Whether the median meets the goal; `None` without a goal or when it was not measured.
    pub(crate) met: Option<bool>,
    /// Wharfinger's value over the rounds.
    pub(crate) wharfinger: Option<Spread>,
    /// Whom it is set against.
    pub(crate) reference: Option<&'static str>,
    /// That one's value.
    pub(crate) against: Option<Spread>,
    /// The first over the second, within a round.
    pub(crate) ratio: Option<Spread>,
}

fn goal(measure: Measure, figure: Figure) -> Option<Goal> {
    use Figure as F;
    use Measure as M;
    let small = SMALL.iter().find(|(warm, ..)| measure.warm() == Some(*warm));
    let memory = MEMORY.iter().find(|(warm, _)| measure.warm() == Some(*warm));
    Some(match (measure, figure, small, memory) {
        (_, F::CpuUsPerRequest, Some((_, most, _)), _) => Goal::Within(*most),
        (_, F::RequestsPerSecond, Some((_, _, least)), _) => Goal::Reaches(*least),
        (_, F::P99Ms, Some(_), _) => Goal::Within(SMALL_P99),
        (_, F::AnonymousMib, _, Some((_, most))) => Goal::AtMost(*most),
        (M::Blob100mX1 | M::Blob100mX8, F::CpuSPerGb, ..) => Goal::Within(PULL_CPU),
        (M::ColdPull, F::Seconds, ..) => Goal::Within(1.25),
        (M::ColdPull, F::CpuSPerGb, ..) => Goal::AtMost(1.2),
        (M::Herd, F::MostGets, ..) => Goal::AtMost(1.0),
        (M::Herd, F::Seconds, ..) => Goal::Within(1.5),
        (M::Herd, F::ResidentMib, ..) => Goal::AtMost(96.0),
        (_, F::OverHealthy, ..) => Goal::AtMost(1.1),
        (_, F::LongestWaitMs, ..) => Goal::AtMost(100.0),
        _ => return None,
    })
}

/// Every figure that was measured, with its goal and verdict.
pub(crate) fn rows(results: &Results) -> Vec<Row> {
    let measured = Measure::all().iter().filter(|measure| results.runs.has(**measure));
    measured
        .flat_map(|measure| {
            let figures = results.runs.figures(*measure);
            let told = figures.into_iter().filter(|figure| *figure != Figure::ClientCpuUsPerRequest);
            told.map(|figure| row(results, *measure, figure))
        })
        .collect()
}

fn row(results: &Results, measure: Measure, figure: Figure) -> Row {
    let goal = goal(measure, figure);
    let wharfinger = results.runs.spread(measure, Kind::Wharfinger, figure);
    let base = measure.kinds().iter().find(|kind| **kind != Kind::Wharfinger).copied();
    let against = base.and_then(|base| results.runs.spread(measure, base, figure));
    let ratio = base.and_then(|base| results.runs.ratio(measure, Kind::Wharfinger, base, figure));
    let reference = base.filter(|_| against.is_some()).map(Kind::name);
    let name = base.map_or("", Kind::name);
    let (text, met) = match goal {
        None => (String::new(), None),
        Some(Goal::AtMost(most)) => (format!("<= {most}"), wharfinger.map(|w| w.median <= most)),
        Some(Goal::Within(most)) => (format!("<= {most} x {name}"), ratio.map(|r| r.median <= most)),
        Some(Goal::Reaches(least)) => (format!(">= {least} x {name}"), ratio.map(|r| r.median >= least)),
    };
    Row {
        measure: measure.title(&results.sizes),
        figure: figure.title(),
        goal: text,
        met,
        wharfinger,
        reference,
        against,
        ratio,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::Sizes;
    use crate::figure::Figures;

    fn only_row(measure: Measure, figure: Figure, values: &[(Kind, f64)]) -> Row {
        let mut results = Results { sizes: Sizes::full(), ..Results::default() };
        for (kind, value) in values {
            let mut figures = Figures::default();
            figures.set(figure, *value);
            results.runs.add(measure, *kind, figures);
        }
        rows(&results).remove(0)
    }

    #[test]
    fn a_cold_pull_is_judged_against_the_bare_get() {
        let values = [(Kind::Wharfinger, 1.2), (Kind::Swift, 1.0)];
        let row = only_row(Measure::ColdPull, Figure::Seconds, &values);
        assert_eq!((row.met, &*row.goal), (Some(true), "<= 1.25 x Swift itself"));
        let row = only_row(Measure::ColdPull, Figure::CpuSPerGb, &[(Kind::Wharfinger, 1.3)]);
        assert_eq!((row.met, row.reference), (Some(false), None));
    }

    #[test]
    fn warm_pulls_have_the_goals_of_a_directory() {
        let values = [(Kind::Wharfinger, 60.0), (Kind::Nginx, 100.0)];
        let row = only_row(Measure::ManifestTag, Figure::RequestsPerSecond, &values);
        assert_eq!((row.met, &*row.goal), (Some(false), ">= 0.7 x nginx"));
        let row = only_row(Measure::MemoryFast200, Figure::AnonymousMib, &[(Kind::Wharfinger, 24.0)]);
        assert_eq!(row.met, Some(true));
    }

    #[test]
    fn a_herd_reads_each_object_once() {
        assert_eq!(only_row(Measure::Herd, Figure::MostGets, &[(Kind::Wharfinger, 1.0)]).met, Some(true));
        assert_eq!(only_row(Measure::Herd, Figure::MostGets, &[(Kind::Wharfinger, 2.0)]).met, Some(false));
    }
}
