//! Pages made from the program's own definitions, for packages and docs.

use std::fmt::Write;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::{Cli, Generate};

pub(crate) fn run(command: &Generate) -> Result<ExitCode> {
    match command {
        Generate::Man { directory } => {
            std::fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
            clap_mangen::generate_to(Cli::command(), directory)?;
        }
        Generate::Completions { directory } => {
            std::fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
            for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
                clap_complete::generate_to(shell, &mut Cli::command(), "wharfinger", directory)?;
            }
        }
        Generate::ConfigReference => print!("{}", wharfinger_config::reference_markdown()),
        Generate::CommandReference => print!("{}", command_reference()),
    }
    Ok(ExitCode::SUCCESS)
}

/// `--help` of every command, as Markdown.
fn command_reference() -> String {
    let mut page = String::from("# Commands\n");
    let mut root = Cli::command();
    root.build();
    describe(&mut root, &mut page);
    page
}

fn describe(command: &mut clap::Command, page: &mut String) {
    let help = command.render_long_help();
    // Writing to a String cannot fail.
    let _ = write!(
        page,
        "\n## `{}`\n\n```text\n{}\n```\n",
        command.get_bin_name().unwrap_or("wharfinger"),
        help.to_string().trim_end()
    );
    for sub in command.get_subcommands_mut().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help") {
        describe(sub, page);
    }
}
