//! `wharfinger`: the server and the operator's commands.

mod admin_client;
mod audit;
mod background;
mod cli;
mod commands;
mod logging;
mod mending;
mod page;
mod patterns;
mod progress;
mod scrubbing;
mod serve;
mod storage;
mod units;
mod wiring;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};

/// Exit codes: 0 done, 1 it failed or something is wrong, 2 it could not be tried (usage, configuration).
fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Config(command) => commands::config::run(&command),
        Command::Adopt(arguments) => commands::adopt::run(&arguments),
        Command::Audit(arguments) => commands::audit::run(&arguments),
        Command::Cache(command) => commands::cache::run(&command),
        Command::Compare(arguments) => commands::compare::run(&arguments),
        Command::Doctor(arguments) => commands::doctor::run(&arguments),
        Command::LogLevel(arguments) => commands::log_level::run(&arguments),
        Command::Status(arguments) => commands::status::run(&arguments),
        Command::Fsck(arguments) => commands::fsck::run(&arguments),
        Command::Heal(arguments) => commands::heal::run(&arguments),
        Command::Impact(arguments) => commands::impact::run(&arguments),
        Command::Uploads(command) => commands::uploads::run(&command),
        Command::Generate(command) => commands::generate::run(&command),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("wharfinger: {error:#}");
            ExitCode::from(2)
        }
    }
}
