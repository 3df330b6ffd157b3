//! `wharfinger fsck`.

mod text;

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use wharfinger_config::Config;
use wharfinger_maintenance::fsck::checkpoint::Checkpoint;
use wharfinger_maintenance::fsck::proven::Proven;
use wharfinger_maintenance::fsck::{Filter, Options, Report, Site, check};
use wharfinger_maintenance::{Effort, Severity, heal};
use wharfinger_registry::Registry;

use super::sources;
use crate::cli::{self, Fsck, Output};
use crate::patterns;
use crate::progress::Progress;
use crate::storage::Backend;
use crate::wiring;

pub(super) use text::{finding, used};

/// Between two times that it is kept how far a run is.
const KEEP_EVERY: Duration = Duration::from_secs(30);

pub(crate) fn run(arguments: &Fsck) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(fsck(arguments))
}

async fn fsck(arguments: &Fsck) -> Result<ExitCode> {
    let walk = &arguments.walk;
    let config = wiring::load_as_it_is(walk.config.as_deref(), &[])?.config;
    let progress = Progress::new();
    let backend = Backend::open_to_read(&config)?;
    let registry = Registry::new(backend.read_only(), wiring::registry_options(&config)?);
    let mut options = options(&arguments.scope, walk)?;
    resume(arguments, &config, &mut options).await;
    let site = Site { registry: &registry, inventory: backend.inventory() };
    let checked = check(site, &options, &progress).await;
    progress.clear();
    let mut report = checked.context("the store cannot be looked at")?;
    if let Err(error) = finish(&mut options).await {
        eprintln!("wharfinger: how far the run was could not be noted: {error}");
    }
    let sources = sources::open(&config, &arguments.scope.backups)?;
    heal::name_copies(&mut report, &sources, walk.rate, &progress).await;
    report.note_use(&registry, options.effort).await;
    progress.clear();
    match walk.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&report)?),
        Output::Text => print!("{}", text::report(&report)),
    }
    Ok(verdict(&report))
}

/// How to look, as the command line says.
pub(super) fn options(scope: &cli::Scope, walk: &cli::Walk) -> Result<Options> {
    let since =
        scope.since.map(|since| SystemTime::now().checked_sub(since).unwrap_or(SystemTime::UNIX_EPOCH));
    Ok(Options {
        deep: scope.deep,
        since,
        repositories: filter(&scope.repositories)?,
        proven: None,
        checkpoint: None,
        only: BTreeSet::new(),
        effort: Effort { parallel: usize::from(walk.parallel), rate: walk.rate },
    })
}

fn filter(patterns: &[String]) -> Result<Option<Filter>> {
    let globs = patterns::repositories(patterns.iter().map(String::as_str))?;
    Ok(globs.map(|globs| -> Filter { Box::new(move |name| globs.is_match(name.as_str())) }))
}

/// Goes on where a run of the same scope was stopped. Where that cannot be noted the run is only longer.
async fn resume(arguments: &Fsck, config: &Config, options: &mut Options) {
    let place = wiring::describe_store(config);
    let scope = &arguments.scope;
    let Some(state) = arguments.state.clone().or_else(|| default_state(&place)) else { return };
    // What is new since a moment is little, and the moment is another one each time.
    if scope.since.is_none() {
        let about = format!("{place} deep={} repositories={:?}", scope.deep, scope.repositories);
        let checkpoint = Checkpoint::new(&state.with_extension("walk"), &about, KEEP_EVERY);
        if checkpoint.is_there().await {
            eprintln!("going on where a run was stopped");
        }
        options.checkpoint = Some(checkpoint);
    }
    if scope.deep {
        options.proven = take_up(&state, &place).await;
    }
}

/// The next run begins anew.
async fn finish(options: &mut Options) -> std::io::Result<()> {
    if let Some(checkpoint) = options.checkpoint.take() {
        checkpoint.finish().await?;
    }
    if let Some(proven) = options.proven.take() {
        proven.finish().await?;
    }
    Ok(())
}

/// What a run that was stopped has proved.
async fn take_up(path: &Path, place: &str) -> Option<Proven> {
    match Proven::open(path, place).await {
        Ok(proven) => {
            if proven.taken_up() > 0 {
                eprintln!("going on where a run was stopped: {} blobs are proved", proven.taken_up());
            }
            Some(proven)
        }
        Err(error) => {
            eprintln!("wharfinger: {} cannot be used to go on later: {error}", path.display());
            None
        }
    }
}

fn default_state(place: &str) -> Option<PathBuf> {
    let base = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    let base = base.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/state")))?;
    let mut hasher = DefaultHasher::new();
    (place, std::env::current_dir().ok()).hash(&mut hasher);
    Some(base.join(format!("wharfinger/fsck-{:016x}", hasher.finish())))
}

/// 0 nothing is damaged, 1 something is, 2 something could not be looked at.
pub(super) fn verdict(report: &Report) -> ExitCode {
    let any = |severity| report.of(severity).next().is_some();
    ExitCode::from(match (any(Severity::Damage), any(Severity::Unknown)) {
        (true, _) => 1,
        (false, true) => 2,
        (false, false) => 0,
    })
}
