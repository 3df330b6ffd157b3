//! The results as a table, as JSON and as the benchmarks page.

pub(crate) mod json;
pub(crate) mod markdown;
pub(crate) mod section;
pub(crate) mod terminal;

use crate::figure::{Figure, number};
use crate::measure::Measure;
use crate::peer::Kind;
use crate::results::Results;
use crate::stats::Spread;

/// One cell: the median, and below nginx's column the ratio to it with its range.
pub(crate) fn cell(results: &Results, measure: Measure, kind: Kind, figure: Figure) -> String {
    let Some(spread) = results.runs.spread(measure, kind, figure) else {
        let failed = results.runs.failed(measure, kind);
        return if failed { "failed".to_owned() } else { "-".to_owned() };
    };
    if figure == Figure::WholeListSent {
        return if spread.max > 0.0 { "yes".to_owned() } else { "no".to_owned() };
    }
    let value = number(spread.median);
    if kind == Kind::Nginx || !figure.has_ratio() {
        return value;
    }
    match results.runs.ratio(measure, kind, Kind::Nginx, figure) {
        Some(ratio) => format!("{value} ({})", range(&ratio, " x")),
        None => value,
    }
}

/// `median [min..max]`, the range only when there is one.
pub(crate) fn range(spread: &Spread, unit: &str) -> String {
    let median = number(spread.median);
    if spread.min == spread.max {
        return format!("{median}{unit}");
    }
    format!("{median}{unit} [{}..{}]", number(spread.min), number(spread.max))
}
