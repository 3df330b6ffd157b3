//! `wharfinger adopt`.

mod differences;
mod site;
mod text;

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use serde::Serialize;
use wharfinger_config::{self as config, Config, Diagnostic};
use wharfinger_maintenance::Effort;
use wharfinger_maintenance::adopt::survey::{self, Survey};

use crate::cli::{Adopt, Output};
use crate::progress::Progress;
use crate::storage::Backend;
use crate::wiring;

use differences::Difference;
use site::Site;

pub(crate) fn run(arguments: &Adopt) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let progress = Progress::new();
    let effort = Effort { parallel: usize::from(arguments.parallel), rate: arguments.rate };
    if arguments.dry_run {
        return runtime.block_on(dry_run(arguments, effort, &progress));
    }
    bail!("not there yet")
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
    Ok(ExitCode::from(match (survey.unknown.is_empty(), survey.findings.is_empty()) {
        (false, _) => 2,
        (true, false) => 1,
        (true, true) => 0,
    }))
}

/// A configuration, with everything that there is to say about it.
struct Loaded {
    config: Config,
    remarks: Vec<Diagnostic>,
}

/// Reads a configuration also where keys of it are not supported: these are among the remarks.
fn load_as_it_is(arguments: &Adopt) -> Result<Loaded> {
    let file = arguments.source.file.as_deref();
    let mut ignored = arguments.source.ignore_unsupported.clone();
    let refused = match config::load(file, std::env::vars(), &ignored) {
        Ok(loaded) => return Ok(Loaded { config: loaded.config, remarks: loaded.warnings }),
        Err(errors) => errors.0,
    };
    ignored.extend(refused.iter().filter(|error| !error.key.is_empty()).map(|error| error.key.clone()));
    // What is wrong for another reason stays wrong.
    let loaded = wiring::load(file, &ignored)?;
    let mut remarks = refused;
    let told = |warning: &Diagnostic| remarks.iter().any(|error| error.key == warning.key);
    let others: Vec<Diagnostic> = loaded.warnings.into_iter().filter(|warning| !told(warning)).collect();
    remarks.extend(others);
    Ok(Loaded { config: loaded.config, remarks })
}
