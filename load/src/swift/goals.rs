//! What wharfinger set itself on Swift, and every row of the table.

use serde::Serialize;

use super::Results;
use super::measure::Measure;
use crate::figure::Figure;
use crate::peer::Kind;
use crate::stats::{self, Spread};

/// A goal for wharfinger's figure.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Goal {
    /// At most that much.
    AtMost(f64),
    /// That many times better than docker-registry in the same round.
    Better(f64),
    /// At most that many times what the bare request to Swift took in the same round.
    Within(f64),
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
    /// docker-registry's.
    pub(crate) docker_registry: Option<Spread>,
    /// The bare request's.
    pub(crate) swift: Option<Spread>,
    /// How many times better than docker-registry, or for a goal against Swift itself how many times its time.
    pub(crate) ratio: Option<Spread>,
}

fn goal(measure: Measure, figure: Figure) -> Option<Goal> {
    use Figure as F;
    use Measure as M;
    Some(match (measure, figure) {
        (M::PushImage, F::SwiftRequests) => Goal::AtMost(24.0),
        (M::PushManyLayers, F::Seconds) => Goal::Better(4.0),
        (M::PushPostPatchPut | M::PushPostPut, F::Seconds) => Goal::Within(1.5),
        (M::PushPostPatchPut | M::PushPostPut, F::CpuSPerGb) => Goal::AtMost(1.3),
        (M::Pull, F::Seconds) => Goal::Within(1.2),
        (_, F::MibPerStream) => Goal::AtMost(6.0),
        (M::Legacy, F::Seconds) => Goal::Better(3.0),
        (M::CatalogPage | M::TagsPage, F::SwiftRequests) => Goal::AtMost(1.0),
        _ => return None,
    })
}

/// Every figure that was measured, with its goal and verdict.
pub(crate) fn rows(results: &Results) -> Vec<Row> {
    let measured = Measure::all().iter().filter(|measure| results.runs.has(**measure));
    measured
        .flat_map(|measure| {
            let figures = results.runs.figures(*measure);
            figures.into_iter().map(|figure| row(results, *measure, figure))
        })
        .collect()
}

fn row(results: &Results, measure: Measure, figure: Figure) -> Row {
    let goal = goal(measure, figure);
    let spread = |kind| results.runs.spread(measure, kind, figure);
    let wharfinger = spread(Kind::Wharfinger);
    let ratio = ratio(results, measure, figure, goal);
    let (text, met) = match goal {
        None => (String::new(), None),
        Some(Goal::AtMost(limit)) => (format!("<= {limit}"), wharfinger.map(|w| w.median <= limit)),
        Some(Goal::Better(limit)) => {
            (format!(">= {limit} x better than docker-registry"), ratio.map(|r| r.median >= limit))
        }
        Some(Goal::Within(limit)) => (format!("<= {limit} x Swift itself"), ratio.map(|r| r.median <= limit)),
    };
    Row {
        measure: measure.title(&results.sizes),
        figure: figure.title(),
        goal: text,
        met,
        wharfinger,
        docker_registry: spread(Kind::Docker),
        swift: spread(Kind::Swift),
        ratio,
    }
}

fn ratio(results: &Results, measure: Measure, figure: Figure, goal: Option<Goal>) -> Option<Spread> {
    let series = |kind| results.runs.series(measure, kind, figure);
    let ours = series(Kind::Wharfinger);
    if matches!(goal, Some(Goal::Within(_))) {
        return stats::ratio(&ours, &series(Kind::Swift));
    }
    let theirs = series(Kind::Docker);
    let ratio = if figure.is_rate() { stats::ratio(&ours, &theirs) } else { stats::ratio(&theirs, &ours) };
    // Nothing at all is not "0 times better".
    ratio.filter(|ratio| ratio.max > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::Figures;
    use crate::swift::Sizes;

    fn results(measure: Measure, figure: Figure, values: &[(Kind, f64)]) -> Results {
        let mut results = Results { sizes: Sizes::full(), ..Results::default() };
        for (kind, value) in values {
            let mut figures = Figures::default();
            figures.set(figure, *value);
            results.runs.add(measure, *kind, figures);
        }
        results
    }

    fn only_row(measure: Measure, figure: Figure, values: &[(Kind, f64)]) -> Row {
        rows(&results(measure, figure, values)).remove(0)
    }

    #[test]
    fn a_push_is_judged_against_the_bare_put() {
        let values = [(Kind::Wharfinger, 3.0), (Kind::Docker, 9.0), (Kind::Swift, 2.0)];
        let row = only_row(Measure::PushPostPut, Figure::Seconds, &values);
        assert_eq!((row.met, row.ratio.map(|r| r.median)), (Some(true), Some(1.5)));
    }

    #[test]
    fn better_is_less_time_or_more_requests() {
        let values = [(Kind::Wharfinger, 2.0), (Kind::Docker, 6.0)];
        let row = only_row(Measure::PushManyLayers, Figure::Seconds, &values);
        assert_eq!((row.met, row.ratio.map(|r| r.median)), (Some(false), Some(3.0)));
        let values = [(Kind::Wharfinger, 6.0), (Kind::Docker, 2.0)];
        let row = only_row(Measure::ManifestTag, Figure::RequestsPerSecond, &values);
        assert_eq!((row.met, row.ratio.map(|r| r.median)), (None, Some(3.0)));
    }

    #[test]
    fn what_was_not_measured_is_neither_met_nor_missed() {
        let row = only_row(Measure::PushImage, Figure::SwiftRequests, &[(Kind::Docker, 85.0)]);
        assert_eq!((row.met, row.ratio), (None, None));
        assert_eq!(row.goal, "<= 24");
    }
}
