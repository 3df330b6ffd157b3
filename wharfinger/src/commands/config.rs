//! `wharfinger config check` and `sample`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;
use wharfinger_config::Diagnostic;

use crate::cli::{Config, Output};

pub(crate) fn run(command: &Config) -> Result<ExitCode> {
    match command {
        Config::Sample => {
            print!("{}", wharfinger_config::sample());
            Ok(ExitCode::SUCCESS)
        }
        Config::Check { source, output } => {
            Ok(check(source.file.as_deref(), &source.ignore_unsupported, *output))
        }
    }
}

fn check(file: Option<&Path>, ignore_unsupported: &[String], output: Output) -> ExitCode {
    let loaded = wharfinger_config::load(file, std::env::vars(), ignore_unsupported);
    let (errors, warnings) = match loaded {
        Ok(loaded) => (Vec::new(), loaded.warnings),
        Err(errors) => (errors.0, Vec::new()),
    };
    match output {
        Output::Json => {
            let list = |list: &[Diagnostic]| -> Vec<_> {
                let line = |d: &Diagnostic| json!({ "where": d.origin.to_string(), "key": d.key, "message": d.message });
                list.iter().map(line).collect()
            };
            println!("{}", json!({ "errors": list(&errors), "warnings": list(&warnings) }));
        }
        Output::Text => {
            for error in &errors {
                println!("error: {error}");
            }
            for warning in &warnings {
                println!("warning: {warning}");
            }
            match errors.len() {
                0 => println!("the configuration is usable, {} warnings", warnings.len()),
                count => println!("the configuration is not usable, {count} errors"),
            }
        }
    }
    if errors.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) }
}
