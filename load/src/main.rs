//! `wharfinger-load`: drives any registry of this machine by URL, and compares registries with nginx's plain
//! files in one run. Every answer is compared with what was pushed.

mod address;
mod children;
mod cli;
mod compare;
mod connection;
mod content;
mod figure;
mod goals;
mod http;
mod measure;
mod peer;
mod proc;
mod progress;
mod report;
mod results;
mod stats;
mod target;

use std::fs;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser as _;

use crate::cli::{Cli, Command, CompareArgs, DriveArgs};
use crate::compare::Comparison;
use crate::content::Corpus;
use crate::measure::Settings;
use crate::peer::Kind;
use crate::target::Target;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = end_children_when_interrupted().and_then(|()| match cli.command {
        Command::Compare(args) => compare(&args),
        Command::Drive(args) => drive(&args),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("wharfinger-load: {e:#}");
            ExitCode::FAILURE
        }
    }
}

/// Sleeps; every thread here is a client of its own, without a reactor.
#[expect(clippy::disallowed_methods, reason = "no reactor runs on the threads that measure")]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// On SIGINT or SIGTERM, ends the servers that were started and removes their stores before leaving.
fn end_children_when_interrupted() -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let (mut interrupt, mut terminate) = {
        let _entered = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
        children::clean_up();
        std::process::exit(130);
    });
    Ok(())
}

fn compare(args: &CompareArgs) -> Result<()> {
    let peers = [
        (Kind::Nginx, Some(args.nginx.clone())),
        (Kind::Docker, Some(args.docker_registry.clone())),
        (Kind::Wharfinger, args.wharfinger.clone()),
    ];
    let mut found = Vec::new();
    for (kind, binary) in peers {
        let Some(binary) = binary else { continue };
        if args.skip.iter().any(|name| name == kind.name()) {
            continue;
        }
        let binary = fs::canonicalize(&binary).with_context(|| {
            format!(
                "{}: no such program (needed for {}; leave it out with --skip)",
                binary.display(),
                kind.name()
            )
        })?;
        found.push((kind, binary));
    }
    anyhow::ensure!(!found.is_empty(), "every server is left out");
    let settings = Settings { connections: args.connections, time: Duration::from_secs_f64(args.seconds()) };
    let comparison = Comparison {
        peers: found,
        measures: compare::select(args.only.as_deref())?,
        rounds: args.rounds(),
        settings,
        directory: args.stores.clone(),
        command: cli::command_line(),
    };
    let results = comparison.run()?;
    print!("{}", report::terminal::render(&results));
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&report::json::render(&results))?;
        fs::write(path, text + "\n").with_context(|| format!("writing {}", path.display()))?;
    }
    if let Some(path) = &args.markdown {
        let notes = fs::read_to_string(&args.notes).ok();
        let page = report::markdown::render(&results, notes.as_deref());
        fs::write(path, page).with_context(|| format!("writing {}", path.display()))?;
    }
    // Another server's failure is a result; ours is an error.
    let failed = results.failures.keys().filter(|(_, kind)| *kind == Kind::Wharfinger).count();
    anyhow::ensure!(failed == 0, "wharfinger failed {failed} measure(s), see above");
    Ok(())
}

fn drive(args: &DriveArgs) -> Result<()> {
    let address = address::parse_loopback_url(&args.url)?;
    proc::raise_open_files(4_096)?;
    let target = Target {
        address,
        layout: args.layout,
        repository: args.repository.clone(),
        processes: args.pid.map(proc::ProcessTree::of).transpose()?,
    };
    let corpus = Corpus::new();
    let settings = Settings { connections: args.connections, time: Duration::from_secs_f64(args.seconds) };
    for measure in &args.measure {
        anyhow::ensure!(measure.fits(target.layout), "plain files have no {}", measure.name());
        if !args.no_seed {
            measure
                .seed(&target, &corpus)
                .with_context(|| format!("pushing what {} reads", measure.name()))?;
        }
        let figures = measure.run(&target, &corpus, &settings).with_context(|| measure.name())?;
        println!("{} ({}; verified: {})", measure.name(), measure.title(), measure.verified());
        for (figure, value) in &figures.0 {
            println!("  {:24} {}", figure.title(), figure::number(*value));
        }
    }
    if target.processes.is_none() {
        eprintln!("No CPU and memory figures: give the server's process id with --pid.");
    }
    Ok(())
}
