//! `wharfinger uploads purge`.

use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;
use wharfinger_registry::{Options, Purged, Registry};

use crate::audit::Action;
use crate::cli::{Output, Uploads};
use crate::storage::Backend;
use crate::wiring;

pub(crate) fn run(command: &Uploads) -> Result<ExitCode> {
    let Uploads::Purge { source, older_than, dry_run, reason, output } = command;
    let config = wiring::load(source.file.as_deref(), &source.ignore_unsupported)?.config;
    let age = older_than.unwrap_or(config.storage.upload_purging.age);
    let backend = Backend::open(&config)?;
    let registry = Registry::new(backend.guarded(&config), Options::default());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let purge = async { Ok(registry.purge_uploads(age, *dry_run).await?) };
    let purged = runtime.block_on(async {
        if *dry_run {
            return purge.await;
        }
        let action = Action {
            config: &config,
            backend: &backend,
            name: "uploads purge",
            what: format!("uploads older than {}", humantime::format_duration(age)),
            reason: reason.reason.as_deref(),
        };
        let told = |purged: &Purged| {
            (purged.uploads > 0).then(|| format!("dropped {}, kept {}", purged.uploads, purged.kept))
        };
        action.run(purge, told).await
    })?;
    match output {
        Output::Json => {
            println!("{}", json!({ "purged": purged.uploads, "kept": purged.kept, "dry_run": dry_run }));
        }
        Output::Text => {
            let verb = if *dry_run { "would drop" } else { "dropped" };
            let age = humantime::format_duration(age);
            println!("{verb} {} uploads older than {age}, kept {}", purged.uploads, purged.kept);
        }
    }
    Ok(ExitCode::SUCCESS)
}
