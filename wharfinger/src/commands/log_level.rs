//! `wharfinger log-level`.

use std::process::ExitCode;

use anyhow::Result;
use wharfinger_server::admin::LogLevelChange;

use crate::admin_client;
use crate::cli::{LogLevel, Output};

pub(crate) fn run(arguments: &LogLevel) -> Result<ExitCode> {
    let change = LogLevelChange {
        level: arguments.level.clone(),
        seconds: arguments.duration.as_secs(),
        repository: arguments.repository.clone(),
    };
    let body = serde_json::to_value(&change)?;
    let answer = admin_client::act(&arguments.socket, "/v1/log-level", Some(body), &arguments.reason)?;
    match arguments.output {
        Output::Json => println!("{answer}"),
        Output::Text => {
            let what = change.repository.map_or_else(String::new, |name| format!(" for repository {name}"));
            let how_long = humantime::format_duration(arguments.duration);
            println!("log level {}{what} for {how_long}, then it falls back by itself", change.level);
        }
    }
    Ok(ExitCode::SUCCESS)
}
