//! `wharfinger-load`: drives any registry of this machine by URL, and compares registries with nginx's plain
//! files in one run. Every answer is compared with what was pushed.

mod address;
mod cache;
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
mod swift;
mod target;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser as _;

use crate::cli::{CacheArgs, Cli, Command, CompareArgs, DriveArgs, SwiftArgs};
use crate::compare::Comparison;
use crate::content::Corpus;
use crate::measure::Settings;
use crate::peer::Kind;
use crate::target::Target;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = end_children_when_interrupted().and_then(|()| match cli.command {
        Command::Compare(args) => compare(&args),
        Command::Swift(args) => swift(&args),
        Command::Cache(args) => cache(&args),
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
        found.push((kind, find(kind, &binary).context("it may be left out with --skip")?));
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
        write_json(path, &report::json::render(&results))?;
    }
    if let Some(path) = &args.markdown {
        let notes = fs::read_to_string(&args.notes).ok();
        let old = fs::read_to_string(path).unwrap_or_default();
        let page = report::section::keep(report::markdown::render(&results, notes.as_deref()), &old);
        fs::write(path, page).with_context(|| format!("writing {}", path.display()))?;
    }
    // Another server's failure is a result; ours is an error.
    let failed = results.runs.failures.keys().filter(|(_, kind)| *kind == Kind::Wharfinger).count();
    anyhow::ensure!(failed == 0, "wharfinger failed {failed} measure(s), see above");
    Ok(())
}

/// The program's full path: servers are started in directories of their own.
fn find(kind: Kind, binary: &Path) -> Result<PathBuf> {
    fs::canonicalize(binary)
        .with_context(|| format!("{}: no such program (needed for {})", binary.display(), kind.name()))
}

fn write_json(path: &Path, value: &serde_json::Value) -> Result<()> {
    let text = serde_json::to_string_pretty(value)?;
    fs::write(path, text + "\n").with_context(|| format!("writing {}", path.display()))
}

fn swift(args: &SwiftArgs) -> Result<()> {
    let peers = [(Kind::Docker, &args.docker_registry), (Kind::Wharfinger, &args.wharfinger)];
    let binaries = peers.into_iter().map(|(kind, binary)| Ok((kind, find(kind, binary)?)));
    let plan = swift::Plan {
        binaries: binaries.collect::<Result<_>>()?,
        measures: compare::select(args.only.as_deref())?,
        rounds: args.rounds(),
        sizes: args.sizes(),
        directory: args.stores.clone(),
        command: cli::command_line(),
    };
    let results = plan.run()?;
    print!("{}", swift::report::terminal(&results));
    if let Some(path) = &args.json {
        write_json(path, &swift::report::json(&results))?;
    }
    if let Some(path) = &args.markdown {
        let section = |notes: Option<&str>| swift::report::section(&results, notes);
        report::section::SWIFT.write(path, &args.notes, section)?;
    }
    let failed = results.runs.failures.keys().filter(|(_, kind)| *kind == Kind::Wharfinger).count();
    anyhow::ensure!(failed == 0, "wharfinger failed {failed} measure(s), see above");
    Ok(())
}

fn cache(args: &CacheArgs) -> Result<()> {
    let plan = cache::Plan {
        wharfinger: find(Kind::Wharfinger, &args.wharfinger)?,
        nginx: find(Kind::Nginx, &args.nginx)?,
        measures: compare::select(args.only.as_deref())?,
        rounds: args.rounds(),
        sizes: args.sizes(),
        directory: args.stores.clone(),
        command: cli::command_line(),
    };
    let results = plan.run()?;
    print!("{}", cache::report::terminal(&results));
    if let Some(path) = &args.json {
        write_json(path, &cache::report::json(&results))?;
    }
    if let Some(path) = &args.markdown {
        let section = |notes: Option<&str>| cache::report::section(&results, notes);
        report::section::CACHE.write(path, &args.notes, section)?;
    }
    let failed = results.runs.failures.keys().filter(|(_, kind)| *kind == Kind::Wharfinger).count();
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
