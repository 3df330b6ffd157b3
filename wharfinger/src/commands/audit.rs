//! `wharfinger audit`.

use std::process::ExitCode;

use anyhow::{Context, Result};
use time::OffsetDateTime;
use time::macros::format_description;
use wharfinger_maintenance::audit::{self, Entry, Trail};

use crate::cli::{Audit, Output};
use crate::storage::Backend;
use crate::wiring;

/// 0 told, 1 an entry is damaged, 2 the store could not be read.
pub(crate) fn run(arguments: &Audit) -> Result<ExitCode> {
    let config = wiring::load(arguments.config.as_deref(), &[])?.config;
    let backend = Backend::open_to_read(&config)?;
    let since = arguments.since.map(|since| OffsetDateTime::now_utc() - since);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let store = backend.read_only();
    let trail = runtime
        .block_on(audit::read(&*store, since, arguments.limit))
        .with_context(|| format!("what was done cannot be read from {}", wiring::describe_store(&config)))?;
    match arguments.output {
        Output::Json => println!("{}", serde_json::to_string(&trail)?),
        Output::Text => print!("{}", text(&trail)?),
    }
    for damaged in &trail.damaged {
        eprintln!("damaged, and left out: {}: {}", damaged.key, damaged.why);
    }
    Ok(if trail.damaged.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn text(trail: &Trail) -> Result<String> {
    let mut page = String::new();
    for entry in &trail.entries {
        let Entry { at, who, host, action, what, why, result } = entry;
        let at = at.format(format_description!("[year]-[month]-[day] [hour]:[minute]:[second]Z"))?;
        page += &format!("{at}  {who} on {host}: {action}: {what}\n");
        page += &format!("{:22}{result}\n", "");
        if let Some(why) = why {
            page += &format!("{:22}because: {why}\n", "");
        }
    }
    if trail.entries.is_empty() {
        page += "nothing was done\n";
    }
    Ok(page)
}
