//! The measures of the cache as a section of the benchmarks page, as a table and as JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::Results;
use super::goals::{Row, rows};
use super::pulls::CONNECTIONS;
use crate::figure::number;
use crate::report::range;
use crate::report::terminal::columns;
use crate::stats::Spread;

/// The section; `notes` is what a person wrote about the results.
pub(crate) fn section(results: &Results, notes: Option<&str>) -> String {
    let mut text = String::from(
        "## With the disk cache before Swift\n\nwharfinger with `cache.directory` before a real Swift. Warm pulls and \
        herds are set against nginx that serves the same\nbytes as plain files, a first pull against a bare GET from \
        Swift.\n\n",
    );
    let rows = rows(results);
    let _ = writeln!(
        text,
        "{}. Values are the median of the rounds [lowest..highest]; ratios are taken within a round.\n",
        count(&rows)
    );
    text.push_str("| measure | figure | goal | wharfinger | | nginx or Swift | ratio |\n|---|---|---|---|---|---|---|\n");
    let mut last = "";
    for row in &rows {
        let name = if row.measure == last { "" } else { &row.measure };
        let _ = writeln!(text, "| {name} | {} |", cells(row, "**missed**").join(" | "));
        last = &row.measure;
    }
    for ((measure, kind), message) in &results.runs.failures {
        let title = measure.title(&results.sizes);
        let _ = writeln!(text, "\n{} failed: {title}: {}", kind.name(), message.replace('\n', " "));
    }
    if let Some(notes) = notes {
        let _ = write!(text, "\n### Remarks on the cache\n\n{}\n", notes.trim());
    }
    method(&mut text, results);
    text
}

fn method(text: &mut String, results: &Results) {
    text.push_str("\n### How the cache was measured\n\n");
    let _ = writeln!(text, "- {}; load average {:.1} at the start.", results.machine, results.load_before);
    for (name, version) in &results.versions {
        let _ = writeln!(text, "- {name}: {version}");
    }
    let (sizes, rounds, minutes) = (&results.sizes, results.rounds, results.elapsed.as_secs_f64() / 60.0);
    let (seconds, repeats, clients) = (number(sizes.seconds), sizes.repeats, sizes.clients);
    let layers: Vec<String> = sizes.image.iter().map(|size| number(*size as f64 / 1e6)).collect();
    let _ = write!(
        text,
        "- Swift as in the comparison on Swift; its objects, the cache and nginx's files are on tmpfs. Client, registry,
  nginx and Swift share the cores. {rounds} round(s), each beginning with another server; herds at most two rounds,
  slow pulls one. All of it took {minutes:.1} minutes.
- Warm: the measures and goals of the comparison on a directory, {CONNECTIONS} connections for {seconds} s. The registry is
  started anew on a filled cache for each; links and tags are Swift's business. Those that small requests depend on have
  stood for {} s; from a minute on they are leased.
- First pull: {repeats} in a round, each by way of a registry that was just started on an empty cache and has pulled one other
  blob. CPU is that of the registry until the copy stands. The bare GET is of one object with the same bytes, after one
  that is not counted.
- Herd: {clients} clients, each with one connection, ask for a tag, the config and layers of {} MB one after another, of a
  registry that was just started on an empty cache; every byte is compared. nginx gives the same bytes to the same
  clients. GETs are counted in the log of Swift's proxy, links left out. RSS is the peak of RssAnon and RssFile together
  every 5 ms.
- Redis: 1,000 GETs a second over four connections for {seconds} s while it is well, and again a second after it was ended,
  stopped, or put behind a proxy that holds up each answer for half a second. The longest is taken of all requests
  since then, also of those to the manifest by digest and to a blob of 1 KB.

```
cargo xtask bench --cache
```

These results came from

```
{}
```
",
        sizes.stand.as_secs(),
        layers.join(", "),
        results.command
    );
}

/// The rows as text for the terminal.
pub(crate) fn terminal(results: &Results) -> String {
    let rows = rows(results);
    let header = ["measure", "figure", "goal", "wharfinger", "", "nginx or Swift", "ratio"];
    let mut table = vec![header.map(str::to_owned).to_vec()];
    let mut last = "";
    for row in &rows {
        let name = if row.measure == last { String::new() } else { row.measure.clone() };
        table.push(std::iter::once(name).chain(cells(row, "MISSED")).collect());
        last = &row.measure;
    }
    let (machine, load, rounds) = (&results.machine, results.load_before, results.rounds);
    format!(
        "{machine}; load {load:.1} at the start; {rounds} round(s); {:.0} s.\n{}\n{}.\n",
        results.elapsed.as_secs_f64(),
        columns(&table),
        count(&rows)
    )
}

/// All figures as JSON.
pub(crate) fn json(results: &Results) -> Value {
    let runs = results.runs.figures.iter().map(|((measure, kind), rounds)| {
        let rounds = rounds.iter().map(|figures| {
            figures.0.iter().map(|(f, v)| (f.key(), json!(v))).collect::<serde_json::Map<_, _>>()
        });
        let rounds: Vec<_> = rounds.collect();
        json!({ "measure": crate::measure::name(measure), "server": kind.name(), "rounds": rounds })
    });
    json!({
        "machine": results.machine,
        "load_before": results.load_before,
        "command": results.command,
        "rounds": results.rounds,
        "runs": runs.collect::<Vec<_>>(),
        "rows": rows(results),
    })
}

fn count(rows: &[Row]) -> String {
    let met = rows.iter().filter(|row| row.met == Some(true)).count();
    let missed = rows.iter().filter(|row| row.met == Some(false)).count();
    format!("{met} met, {missed} missed")
}

/// A row without the name of its measure.
fn cells(row: &Row, missed: &str) -> Vec<String> {
    let text = |spread: Option<Spread>, unit| spread.map_or(String::new(), |spread| range(&spread, unit));
    let verdict = row.met.map_or("", |met| if met { "met" } else { missed });
    vec![
        row.figure.to_owned(),
        row.goal.clone(),
        text(row.wharfinger, ""),
        verdict.to_owned(),
        text(row.against, ""),
        text(row.ratio, " x"),
    ]
}
