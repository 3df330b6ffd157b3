//! `wharfinger heal`.

use std::collections::BTreeSet;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use http::Method;
use serde::Serialize;
use serde_json::json;
use wharfinger_config::StorageMode;
use wharfinger_maintenance::fsck::{Report, Site, check};
use wharfinger_maintenance::heal::{self, Done, Options, Outcome, Repair, Step};
use wharfinger_maintenance::{Severity, finding};
use wharfinger_oci::Digest;
use wharfinger_registry::Registry;

use super::{fsck, sources};
use crate::admin_client;
use crate::audit::Action;
use crate::cli::{Heal, Output, Socket};
use crate::page::{Page, count};
use crate::progress::Progress;
use crate::storage::Backend;
use crate::wiring;

pub(crate) fn run(arguments: &Heal) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(mend(arguments))?;
    if !arguments.dry_run {
        tell_server(arguments, &outcome);
    }
    match arguments.walk.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&outcome)?),
        Output::Text => print!("{}", text(&outcome)),
    }
    Ok(verdict(&outcome))
}

/// What was or would be done.
#[derive(Serialize)]
struct Told {
    /// Whether nothing was changed.
    dry_run: bool,
    /// What was found.
    #[serde(flatten)]
    report: Report,
    /// What would be done; empty where it was.
    plan: Vec<Repair>,
    /// What was done.
    done: Vec<Done>,
}

async fn mend(arguments: &Heal) -> Result<Told> {
    let walk = &arguments.walk;
    let config = wiring::load_as_it_is(walk.config.as_deref(), &[])?.config;
    if config.storage.mode == StorageMode::Observe && !arguments.dry_run {
        bail!(
            "storage.mode is observe: nothing may be written to the store; --dry-run says what would be done"
        );
    }
    let progress = Progress::new();
    let backend = if arguments.dry_run { Backend::open_to_read(&config)? } else { Backend::open(&config)? };
    let store = if arguments.dry_run { backend.read_only() } else { backend.guarded(&config) };
    let registry = Registry::new(store, wiring::registry_options(&config)?);
    let sources = sources::open(&config, &arguments.scope.backups)?;
    let mut options = fsck::options(&arguments.scope, walk)?;
    let asked_for = digests(&arguments.digests)?;
    options.deep |= !asked_for.is_empty();
    options.only = asked_for;
    let site = Site { registry: &registry, inventory: backend.inventory() };
    let checked = check(site, &options, &progress).await;
    progress.clear();
    let mut report = checked.context("the store cannot be looked at")?;
    let how = Options { relink: arguments.relink, rate: walk.rate };
    let plan = heal::plan(&registry, &mut report, &sources, how, &progress).await;
    report.note_use(&registry, options.effort).await;
    let (plan, done) = match arguments.dry_run {
        true => (plan, Vec::new()),
        false => {
            let action = Action {
                config: &config,
                backend: &backend,
                name: "heal",
                what: match arguments.digests.is_empty() {
                    true => "everything".to_owned(),
                    false => arguments.digests.join(", "),
                },
                reason: arguments.reason.reason.as_deref(),
            };
            let healing = async { Ok(heal::heal(&registry, plan, &sources, how, &progress).await) };
            let told = |done: &Vec<Done>| (!done.is_empty()).then(|| summary(done));
            (Vec::new(), action.run(healing, told).await?)
        }
    };
    progress.clear();
    Ok(Told { dry_run: arguments.dry_run, report, plan, done })
}

fn summary(done: &[Done]) -> String {
    let mended = done.iter().filter(|done| is_mended(done.outcome)).count();
    format!("{mended} of {} mended", count(done.len() as u64, "finding"))
}

fn digests(texts: &[String]) -> Result<BTreeSet<Digest>> {
    let parse = |text: &String| Digest::parse(text).with_context(|| format!("--digest {text:?}"));
    texts.iter().map(parse).collect()
}

/// A running server looks again at what was mended, and withholds what was marked. Others find it in the store.
fn tell_server(arguments: &Heal, told: &Told) {
    let socket = Socket { socket: arguments.walk.socket.clone(), config: arguments.walk.config.clone() };
    for done in &told.done {
        let digest = match (&done.outcome, &done.repair.step) {
            (
                Outcome::Mended | Outcome::MendedBefore | Outcome::Marked,
                Some(
                    Step::CopyBlob { digest, .. }
                    | Step::CopyManifest { digest, .. }
                    | Step::WriteIndex { digest }
                    | Step::Mark { digest },
                ),
            ) => digest,
            _ => continue,
        };
        // No server may be running, and then there is nobody to tell.
        let _ =
            admin_client::request(&socket, Method::POST, "/v1/look-again", Some(json!({ "digest": digest })));
    }
}

/// 0 nothing is damaged any more, 1 something still is, 2 something could not be looked at or mended.
fn verdict(told: &Told) -> ExitCode {
    let failed = told.done.iter().any(|done| done.outcome == Outcome::Failed);
    let unknown = told.report.of(Severity::Unknown).next().is_some();
    let left = match told.dry_run {
        true => !told.plan.is_empty(),
        false => told.done.iter().any(|done| !is_mended(done.outcome)),
    };
    ExitCode::from(match (failed || unknown, left) {
        (_, true) if !failed => 1,
        (true, _) => 2,
        (false, _) => u8::from(left),
    })
}

fn is_mended(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Mended | Outcome::MendedBefore)
}

fn text(told: &Told) -> String {
    let mut page = Page::new();
    let repairs: Vec<&Repair> = match told.dry_run {
        true => told.plan.iter().collect(),
        false => told.done.iter().map(|done| &done.repair).collect(),
    };
    if repairs.is_empty() {
        page.line("Nothing is damaged: nothing to mend");
    } else if told.dry_run {
        let mended = repairs.iter().filter(|repair| repair.step.is_some()).count();
        let all = count(repairs.len() as u64, "finding");
        page.line(format_args!("{mended} of {all} would be mended; nothing was changed"));
    } else {
        page.line(summary(&told.done));
    }
    let mut lines = Vec::new();
    for (at, repair) in repairs.iter().enumerate() {
        lines.push(fsck::finding(&repair.finding));
        if !repair.finding.images.is_empty() {
            lines.push(format!("  hits  {}", finding::named(&repair.finding.images)));
        }
        let outcome = told.done.get(at).map(|done| (done.outcome, done.error.as_deref()));
        lines.push(format!("  {}", line(repair, outcome)));
        if let Some(next) =
            repair.next.as_ref().filter(|_| outcome.is_none_or(|(outcome, _)| !is_mended(outcome)))
        {
            lines.push(format!("  next  {next}"));
        }
    }
    page.list(lines.into_iter());
    let unknown: Vec<_> = told.report.of(Severity::Unknown).map(fsck::finding).collect();
    if !unknown.is_empty() {
        page.title("Could not be looked at");
        page.list(unknown.into_iter());
    }
    page.finish()
}

fn line(repair: &Repair, outcome: Option<(Outcome, Option<&str>)>) -> String {
    let step = match &repair.step {
        None => "nothing here mends it".to_owned(),
        Some(Step::CopyBlob { from, repository, .. }) => format!("copy it from {from} into {repository}"),
        Some(Step::CopyManifest { from, .. }) => format!("copy it from {from}"),
        Some(Step::WriteLink { digest, .. }) => format!("write the link to {digest}"),
        Some(Step::PointTag { digest, because, .. }) => format!("point the tag to {digest}: {because}"),
        Some(Step::WriteIndex { .. }) => "read it whole and write its chunk index anew".to_owned(),
        Some(Step::Mark { .. }) => "withhold it, so that a push of it is accepted".to_owned(),
    };
    match outcome {
        None => format!("plan  {step}"),
        Some((Outcome::Mended, _)) => format!("done  {step}; read back and right"),
        Some((Outcome::MendedBefore, _)) => "done  it was right already".to_owned(),
        Some((Outcome::Marked, _)) => format!("done  {step}"),
        Some((Outcome::Left, _)) => format!("left  {step}"),
        Some((Outcome::Failed, error)) => format!("FAILED  {step}: {}", error.unwrap_or("?")),
    }
}
