//! `wharfinger compare`.

mod text;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::json;
use wharfinger_maintenance::Effort;
use wharfinger_maintenance::compare::{Options, Report, Side, Site, Sites, compare};

use crate::cli::{Compare, Output};
use crate::patterns;
use crate::progress::Progress;
use crate::storage::{Backend, peer};
use crate::wiring;

/// Whether the sites hold the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Verdict {
    /// They do.
    Same,
    /// They do but for what was written lately.
    InFlight,
    /// They do not.
    Different,
    /// It could not be told.
    Unknown,
}

/// What the command tells.
#[derive(Serialize)]
struct Told<'a> {
    verdict: Verdict,
    /// Where the data is, in a few words.
    places: Places,
    /// Within how many seconds a write is in flight.
    settle: u64,
    /// The pattern of the repositories of interest; none: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    repository: Option<String>,
    #[serde(flatten)]
    report: &'a Report,
}

/// Where the data is, in a few words.
#[derive(Clone, Debug, Serialize)]
struct Places {
    here: String,
    there: String,
}

pub(crate) fn run(arguments: &Compare) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(run_both(arguments))
}

async fn run_both(arguments: &Compare) -> Result<ExitCode> {
    let config = wiring::load_as_it_is(arguments.config.as_deref(), &[])?.config;
    let here = Backend::open_to_read(&config).context("here")?;
    let there = Backend::open_peer(&config, &arguments.with)?;
    let other = wiring::describe_driver(&peer(&config, &arguments.with)?);
    let places =
        Places { here: wiring::describe_store(&config), there: format!("{}, {other}", arguments.with) };
    let patterns = patterns::repositories(arguments.repository.as_deref())?;
    let matches = patterns.as_ref().map(|patterns| |name: &str| patterns.is_match(name));
    let options = Options {
        settle: arguments.settle,
        repositories: matches.as_ref().map(|matches| matches as &(dyn Fn(&str) -> bool + Sync)),
        effort: Effort { parallel: usize::from(arguments.parallel), rate: None },
        ..Options::default()
    };
    let site = |backend: &Backend| Site { store: backend.read_only(), inventory: backend.shared_inventory() };
    let sites = Sites { here: site(&here), there: site(&there) };
    let progress = Progress::new();
    let compared = compare(&sites, &options, &progress).await;
    progress.clear();
    let report = match compared {
        Ok(report) => report,
        Err(unreachable) => {
            let place = match unreachable.side {
                Side::Here => &places.here,
                Side::There => &places.there,
            };
            let error = format!("{unreachable} ({place}): {}", unreachable.source);
            if arguments.output == Output::Json {
                let unknown = [json!({ "side": unreachable.side, "error": error })];
                let told = json!({ "verdict": Verdict::Unknown, "places": places, "unknown": unknown });
                println!("{}", serde_json::to_string_pretty(&told)?);
            }
            anyhow::bail!(error);
        }
    };
    Ok(tell(arguments, places, &report)?.into())
}

fn tell(arguments: &Compare, places: Places, report: &Report) -> Result<Verdict> {
    let verdict = verdict(report);
    let (settle, repository) = (arguments.settle.as_secs(), arguments.repository.clone());
    let told = Told { verdict, places, settle, repository, report };
    match arguments.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&told)?),
        Output::Text => print!("{}", text::report(&told, &arguments.with, arguments.settle)),
    }
    Ok(verdict)
}

fn verdict(report: &Report) -> Verdict {
    match (report.unknown.is_empty(), report.is_same(), report.in_flight.is_empty()) {
        (false, ..) => Verdict::Unknown,
        (true, false, _) => Verdict::Different,
        (true, true, false) => Verdict::InFlight,
        (true, true, true) => Verdict::Same,
    }
}

impl From<Verdict> for ExitCode {
    fn from(verdict: Verdict) -> ExitCode {
        match verdict {
            Verdict::Same | Verdict::InFlight => ExitCode::SUCCESS,
            Verdict::Different => ExitCode::from(1),
            Verdict::Unknown => ExitCode::from(2),
        }
    }
}

/// A time in words: `10m`.
fn words(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}
