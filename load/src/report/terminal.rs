//! The table on the terminal.

use super::{cell, range};
use crate::goals;
use crate::results::Results;

/// The results and the verdicts as text.
pub(crate) fn render(results: &Results) -> String {
    let peers = results.peers();
    let mut rows = Vec::new();
    let mut header = vec!["measure".to_owned(), "figure".to_owned()];
    header.extend(peers.iter().map(|peer| peer.name().to_owned()));
    rows.push(header);
    for measure in results.measures() {
        let mut name = measure.name();
        for figure in results.runs.figures(measure) {
            let mut row = vec![std::mem::take(&mut name), figure.title().to_owned()];
            row.extend(peers.iter().map(|peer| cell(results, measure, *peer, figure)));
            rows.push(row);
        }
    }
    let mut text = format!(
        "{}; load {:.1} at the start; {} round(s).\nMedian of the rounds; in brackets the ratio to nginx in the same round: median [min..max].\n\n",
        results.machine, results.load_before, results.rounds
    );
    text.push_str(&columns(&rows));
    let verdicts = goals::judge(results);
    if verdicts.iter().any(|v| v.met.is_some()) {
        let mut rows = vec![["goal", "limit", "measured", "verdict"].map(str::to_owned).to_vec()];
        for verdict in verdicts {
            let measured = verdict.measured.map_or("-".to_owned(), |spread| range(&spread, ""));
            let met = verdict.met.map_or("not measured", |met| if met { "met" } else { "MISSED" });
            let name = format!("{}: {}", verdict.measure, verdict.figure);
            rows.push(vec![name, verdict.goal, measured, met.to_owned()]);
        }
        text.push('\n');
        text.push_str(&columns(&rows));
    }
    for ((measure, kind), message) in &results.runs.failures {
        text.push_str(&format!("\n{} failed at {}: {message}\n", kind.name(), measure.name()));
    }
    text.push_str("\nVerified: ");
    let mut verified: Vec<(&str, Vec<String>)> = Vec::new();
    for measure in results.measures() {
        match verified.iter_mut().find(|(what, _)| *what == measure.verified()) {
            Some((_, names)) => names.push(measure.name()),
            None => verified.push((measure.verified(), vec![measure.name()])),
        }
    }
    let verified: Vec<String> =
        verified.iter().map(|(what, names)| format!("{what} ({})", names.join(", "))).collect();
    text.push_str(&verified.join("; "));
    text.push_str(".\n");
    text
}

/// Pads every column to its widest cell.
pub(crate) fn columns(rows: &[Vec<String>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..count)
        .map(|column| {
            rows.iter().filter_map(|row| row.get(column)).map(|c| c.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [vec!["a".to_owned(), "bb".to_owned()], vec!["ccc".to_owned(), "d".to_owned()]];
        assert_eq!(columns(&rows), "a    bb\nccc  d\n");
    }
}
