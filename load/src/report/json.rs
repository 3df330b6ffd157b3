//! All figures as JSON, for whoever computes further.

use serde_json::{Map, Value, json};

use crate::figure::Figure;
use crate::goals;
use crate::measure::Measure;
use crate::peer::Kind;
use crate::results::Results;

/// The results as a JSON document.
pub(crate) fn render(results: &Results) -> Value {
    let versions: Map<String, Value> =
        results.versions.iter().map(|(kind, version)| (kind.name().to_owned(), json!(version))).collect();
    let failures: Vec<Value> = results
        .runs.failures
        .iter()
        .map(|((measure, kind), message)| json!({"measure": measure.name(), "peer": kind.name(), "message": message}))
        .collect();
    let measures: Vec<Value> = results.measures().into_iter().map(|m| measure(results, m)).collect();
    json!({
        "machine": results.machine,
        "load_before": results.load_before,
        "command": results.command,
        "versions": versions,
        "rounds": results.rounds,
        "connections": results.connections,
        "seconds": results.seconds,
        "measures": measures,
        "goals": goals::judge(results),
        "failures": failures,
    })
}

fn measure(results: &Results, measure: Measure) -> Value {
    let mut figures = Map::new();
    for figure in results.runs.figures(measure) {
        let peers: Map<String, Value> = results
            .peers()
            .into_iter()
            .filter(|kind| !results.runs.series(measure, *kind, figure).is_empty())
            .map(|kind| (kind.name().to_owned(), peer(results, measure, kind, figure)))
            .collect();
        figures.insert(figure.key(), json!({"unit": figure.title(), "peers": peers}));
    }
    json!({
        "name": measure.name(),
        "title": measure.title(),
        "verified": measure.verified(),
        "sha256_cpu_s_per_gb": results.sha256.get(&measure),
        "figures": figures,
    })
}

fn peer(results: &Results, measure: Measure, kind: Kind, figure: Figure) -> Value {
    json!({
        "rounds": results.runs.series(measure, kind, figure),
        "over_rounds": results.runs.spread(measure, kind, figure),
        "ratio_to_nginx": figure.has_ratio().then(|| results.runs.ratio(measure, kind, Kind::Nginx, figure)).flatten(),
    })
}
