//! The Swift comparison as a section of the benchmarks page, as a table and as JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::Results;
use super::goals::{Row, rows};
use super::measure::CONNECTIONS;
use crate::figure::{Figure, number};
use crate::peer::Kind;
use crate::report::range;
use crate::report::terminal::columns;
use crate::stats::Spread;

/// The section; `notes` is what a person wrote about the results.
pub(crate) fn section(results: &Results, notes: Option<&str>) -> String {
    let mut text = String::from(
        "## On OpenStack Swift\n\nwharfinger and Debian's docker-registry on the same real Swift, in the same run; \
        for single layers beside a bare\nPUT or GET of the same bytes.\n\n",
    );
    let rows = rows(results);
    let _ = writeln!(
        text,
        "{}. Values are the median of the rounds [lowest..highest]. The ratio is taken within a round: how many\n\
        times better than docker-registry or, where the goal is set against Swift itself, how many times its time.\n",
        count(&rows)
    );
    text.push_str("| measure | figure | goal | wharfinger | | docker-registry | Swift itself | ratio |\n");
    text.push_str("|---|---|---|---|---|---|---|---|\n");
    let mut last = "";
    for row in &rows {
        let name = if row.measure == last { "" } else { &row.measure };
        let _ = writeln!(
            text,
            "| {name} | {} | {} | {} | {} | {} | {} | {} |",
            row.figure,
            row.goal,
            cell(row, row.wharfinger),
            verdict(row, "**missed**"),
            cell(row, row.docker_registry),
            cell(row, row.swift),
            ratio(row),
        );
        last = &row.measure;
    }
    for ((measure, kind), message) in &results.runs.failures {
        let title = measure.title(&results.sizes);
        let _ = writeln!(text, "\n{} failed: {title}: {}", kind.name(), message.replace('\n', " "));
    }
    if let Some(notes) = notes {
        let _ = write!(text, "\n### Remarks on Swift\n\n{}\n", notes.trim());
    }
    method(&mut text, results);
    text
}

fn method(text: &mut String, results: &Results) {
    text.push_str("\n### Machine and method\n\n");
    let _ = writeln!(text, "- {}; load average {:.1} at the start.", results.machine, results.load_before);
    for (kind, version) in &results.versions {
        let name = if *kind == Kind::Swift { "OpenStack Swift (Debian)" } else { kind.name() };
        let _ = writeln!(text, "- {name}: {version}");
    }
    let (rounds, seconds, repeats) = (results.rounds, number(results.sizes.seconds), results.sizes.repeats);
    let _ = write!(
        text,
        "- One replica, one proxy, one account, one container and one object server, tempauth, memcached; objects on
  tmpfs, so no disk is in the figures. Client, registry and Swift share the cores. SLO and bulk are in the pipeline
  and dynamic large objects are not throttled, except in the measure that says so.
- Both registries run with the same configuration: no redirects, descriptors in memory, no access log, no probe of
  the store, no purge. Each is started anew for each run and has pushed a little image before. {rounds} round(s), each
  beginning with another server; the blob beyond 5 GiB is moved once.
- Requests are counted in the proxy's log, without those that Swift's own middleware makes for a client.
- Layers: one that is not counted, then {repeats} by one client. CPU is user and system time of the registry. Everything
  that is pulled is compared byte for byte; of the pushed layers the last is pulled back.
- Memory: peak RssAnon every 5 ms less what it was before, divided by the streams.
- Lists: the first page and one in the middle in turn, after one of each that is not counted; the links were put into
  Swift directly, and both registries read the same container.
- Small requests: {CONNECTIONS} connections for {seconds} s. 1 MB is 10^6 bytes, 1 MiB is 2^20.

```
cargo xtask bench --swift
```

These results came from

```
{}
```
",
        results.command
    );
}

/// The rows as text for the terminal.
pub(crate) fn terminal(results: &Results) -> String {
    let rows = rows(results);
    let header = ["measure", "figure", "goal", "wharfinger", "", "docker-registry", "Swift itself", "ratio"];
    let mut table = vec![header.map(str::to_owned).to_vec()];
    let mut last = "";
    for row in &rows {
        let name = if row.measure == last { String::new() } else { row.measure.clone() };
        table.push(vec![
            name,
            row.figure.to_owned(),
            row.goal.clone(),
            cell(row, row.wharfinger),
            verdict(row, "MISSED").to_owned(),
            cell(row, row.docker_registry),
            cell(row, row.swift),
            ratio(row),
        ]);
        last = &row.measure;
    }
    let load = results.load_before;
    let (machine, rounds) = (&results.machine, results.rounds);
    format!(
        "{machine}; load {load:.1} at the start; {rounds} round(s).\n{}\n{}.\n",
        columns(&table),
        count(&rows)
    )
}

/// All figures as JSON.
pub(crate) fn json(results: &Results) -> Value {
    let runs: Vec<Value> = results
        .runs
        .figures
        .iter()
        .map(|((measure, kind), rounds)| {
            let rounds: Vec<_> = rounds
                .iter()
                .map(|figures| {
                    figures.0.iter().map(|(f, v)| (f.key(), json!(v))).collect::<serde_json::Map<_, _>>()
                })
                .collect();
            json!({ "measure": crate::measure::name(measure), "server": kind.name(), "rounds": rounds })
        })
        .collect();
    json!({
        "machine": results.machine,
        "load_before": results.load_before,
        "command": results.command,
        "rounds": results.rounds,
        "runs": runs,
        "rows": rows(results),
    })
}

fn count(rows: &[Row]) -> String {
    let met = rows.iter().filter(|row| row.met == Some(true)).count();
    let missed = rows.iter().filter(|row| row.met == Some(false)).count();
    format!("{met} met, {missed} missed")
}

fn verdict<'a>(row: &Row, missed: &'a str) -> &'a str {
    row.met.map_or("", |met| if met { "met" } else { missed })
}

fn cell(row: &Row, spread: Option<Spread>) -> String {
    match spread {
        None => "-".to_owned(),
        Some(spread) if row.figure == Figure::WholeListSent.title() => {
            if spread.max > 0.0 {
                "yes".to_owned()
            } else {
                "no".to_owned()
            }
        }
        Some(spread) => range(&spread, ""),
    }
}

fn ratio(row: &Row) -> String {
    let tells = row.figure != Figure::WholeListSent.title();
    row.ratio.filter(|_| tells).map_or_else(String::new, |ratio| range(&ratio, " x"))
}
