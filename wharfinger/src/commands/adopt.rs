//! `wharfinger adopt`.

mod differences;
mod site;
mod text;

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use serde::Serialize;
use wharfinger_config as config;
use wharfinger_maintenance::Effort;
use wharfinger_maintenance::adopt::back::{self, Back};
use wharfinger_maintenance::adopt::derive;
use wharfinger_maintenance::adopt::memory::{self, Memory};
use wharfinger_maintenance::adopt::survey::{self, Survey};
use wharfinger_registry::{self as registry, Registry};
use wharfinger_shared::{self as shared, Direct};

use crate::audit::Action;
use crate::cli::{Adopt, Output};
use crate::progress::Progress;
use crate::storage::Backend;
use crate::wiring::{self, AsItIs};

use differences::Difference;
use site::Site;

pub(crate) fn run(arguments: &Adopt) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let progress = Progress::new();
    let effort = Effort { parallel: usize::from(arguments.parallel), rate: arguments.rate };
    runtime.block_on(async {
        if arguments.dry_run {
            dry_run(arguments, effort, &progress).await
        } else if arguments.back {
            back(arguments, effort, &progress).await
        } else {
            adopt(arguments, effort, &progress).await
        }
    })
}

/// 0 all is well, 1 something is wrong, 2 it could not be told.
fn verdict(known: bool, well: bool) -> ExitCode {
    ExitCode::from(match (known, well) {
        (false, _) => 2,
        (true, false) => 1,
        (true, true) => 0,
    })
}

/// What `--dry-run` tells.
#[derive(Serialize)]
struct Report {
    /// Where the data is.
    site: Site,
    /// What was found.
    #[serde(flatten)]
    survey: Survey,
    /// What will be different.
    differences: Vec<Difference>,
    /// What to do next.
    next: Vec<String>,
}

async fn dry_run(arguments: &Adopt, effort: Effort, progress: &Progress) -> Result<ExitCode> {
    let loaded = load_as_it_is(arguments)?;
    let config = &loaded.config;
    let backend = Backend::open_to_read(config)?;
    let site = Site::look(config, &backend).await.context("the store cannot be looked at")?;
    let options = survey::Options { deep: arguments.deep, effort };
    let store = backend.read_only();
    let container = site.container();
    let surveyed = survey::survey(&*store, backend.inventory(), container, options, progress).await;
    progress.clear();
    let survey = surveyed.context("the store cannot be looked at")?;
    let differences = differences::differences(config, &loaded.remarks, &survey);
    let next = differences::next(arguments.source.file.as_deref(), config, &survey);
    let report = Report { site, survey, differences, next };
    match arguments.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&report)?),
        Output::Text => print!("{}", text::dry_run(&report)),
    }
    let survey = &report.survey;
    Ok(verdict(survey.unknown.is_empty(), survey.findings.is_empty()))
}

async fn adopt(arguments: &Adopt, effort: Effort, progress: &Progress) -> Result<ExitCode> {
    let config = load_as_it_is(arguments)?.config;
    if config.storage.mode != config::StorageMode::Adopted {
        let mode = config.storage.mode.as_str();
        bail!(
            "storage.mode is {mode}: adoption writes to the store, which {mode} does not allow; look with --dry-run"
        );
    }
    let backend = Backend::open(&config)?;
    let registry = Registry::new(backend.guarded(&config), wiring::registry_options(&config)?);
    let action = Action {
        config: &config,
        backend: &backend,
        name: "adopt",
        what: wiring::describe_store(&config),
        reason: arguments.reason.reason.as_deref(),
    };
    let deriving = async {
        let derived = derive::derive(&registry, backend.inventory(), effort, progress).await;
        derived.context("the store cannot be looked at")
    };
    let derived = action.run(deriving, text::adopted_in_short).await;
    progress.clear();
    let derived = derived?;
    match arguments.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&derived)?),
        Output::Text => print!("{}", text::adopted(&wiring::describe_store(&config), &derived)),
    }
    Ok(verdict(derived.unknown.is_empty(), derived.findings.is_empty()))
}

/// What `--back --check` tells.
#[derive(Serialize)]
struct WayBack {
    #[serde(flatten)]
    back: Back,
    /// What Distribution remembers; none where the configuration names no Redis.
    #[serde(skip_serializing_if = "Option::is_none")]
    redis: Option<Memory>,
    /// Whether Distribution can take over.
    clear: bool,
}

async fn back(arguments: &Adopt, effort: Effort, progress: &Progress) -> Result<ExitCode> {
    let config = load_as_it_is(arguments)?.config;
    if arguments.flush_redis && config.redis.is_none() {
        bail!("--flush-redis: the configuration names no Redis (redis.addr)");
    }
    let backend = Backend::open_to_read(&config)?;
    let site = Site::look(&config, &backend).await.context("the store cannot be looked at")?;
    let options = registry::Options { mode: registry::Mode::Observe, ..registry::Options::default() };
    let reading = Registry::new(backend.read_only(), options);
    let checked = back::check(&reading, backend.inventory(), site.container(), effort, progress).await;
    progress.clear();
    let back = checked.context("the store cannot be looked at")?;
    let redis = match wiring::shared_options(&config)? {
        None => None,
        Some(options) => {
            let comparing = compare_redis(&options, &reading, arguments.flush_redis, effort, progress);
            let compared = if arguments.flush_redis {
                let action = Action {
                    config: &config,
                    backend: &backend,
                    name: "adopt --back --check --flush-redis",
                    what: format!("Redis {}", options.addresses.join(", ")),
                    reason: arguments.reason.reason.as_deref(),
                };
                action.run(comparing, text::flushed_in_short).await
            } else {
                comparing.await
            };
            progress.clear();
            Some(compared?)
        }
    };
    let lies = redis.as_ref().is_some_and(|memory| !memory.lies.is_empty() && !memory.flushed);
    let known = back.unknown.is_empty() && redis.as_ref().is_none_or(|memory| memory.unknown.is_empty());
    let clear = back.is_clear() && known && !lies;
    let report = WayBack { back, redis, clear };
    match arguments.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&report)?),
        Output::Text => print!("{}", text::back(&site.place, &report)),
    }
    Ok(verdict(known, clear))
}

async fn compare_redis(
    options: &shared::Options,
    reading: &Registry,
    flush: bool,
    effort: Effort,
    progress: &Progress,
) -> Result<Memory> {
    let mut redis = Direct::connect(options).await?;
    Ok(memory::compare(&mut redis, reading.store(), flush, effort, progress).await?)
}

fn load_as_it_is(arguments: &Adopt) -> Result<AsItIs> {
    wiring::load_as_it_is(arguments.source.file.as_deref(), &arguments.source.ignore_unsupported)
}
