//! The reports for people.

use wharfinger_maintenance::adopt::back::Session;
use wharfinger_maintenance::adopt::derive::Derived;
use wharfinger_maintenance::adopt::memory::Memory;
use wharfinger_maintenance::adopt::survey::Survey;
use wharfinger_maintenance::census::Tally;

use super::site::{Cluster, Site};
use super::{Report, WayBack};
use crate::page::{Page, count, orphan};
use crate::units::size;

pub(super) fn dry_run(report: &Report) -> String {
    let mut page = Page::new();
    let Report { site, survey, differences, next } = report;
    place(&mut page, site, survey);
    holdings(&mut page, survey);
    damage(&mut page, survey);
    leftovers(&mut page, survey);
    page.title("What will be different");
    let told = |difference: &super::Difference| match &difference.place {
        Some(place) => format!("{place}: {}", difference.text),
        None => difference.text.clone(),
    };
    page.list(differences.iter().map(told));
    page.title("Next");
    page.list(next.iter().enumerate().map(|(at, step)| format!("{}. {step}", at + 1)));
    page.finish()
}

fn place(page: &mut Page, site: &Site, survey: &Survey) {
    page.title(&site.place);
    let Some(swift) = &site.swift else { return };
    let yes_no = |yes: bool| if yes { "yes" } else { "no" };
    if !swift.prefix.is_empty() {
        page.line(format_args!("  prefix                {}", swift.prefix));
    }
    page.line(format_args!(
        "  Swift                 {}",
        swift.version.as_deref().unwrap_or("does not tell")
    ));
    page.line(format_args!("  static large objects  {}", yes_no(swift.static_large_objects)));
    page.line(format_args!("  bulk delete           {}", yes_no(swift.bulk_delete)));
    let temp_urls = match swift.temp_url_methods.is_empty() {
        true => "no".to_owned(),
        false => format!("{} ({})", swift.temp_url_methods.join(" "), swift.temp_url_digests.join(" ")),
    };
    page.line(format_args!("  temporary URLs        {temp_urls}"));
    if let Some(policy) = &swift.policy {
        page.line(format_args!("  storage policy        {policy}"));
    }
    page.line(format_args!("  counted by Swift      {} objects, {}", swift.objects, size(swift.bytes)));
    sync(page, swift, survey);
}

/// Container sync, and what follows from it.
fn sync(page: &mut Page, swift: &Cluster, survey: &Survey) {
    let sync = &swift.sync;
    match (&sync.to, sync.accepts) {
        (None, false) => page.line("  container sync        off"),
        (None, true) => page.line("  container sync        accepts copies from another container"),
        (Some(to), _) => page.line(format_args!("  container sync        to {to}")),
    }
    if sync.to.is_some() {
        page.line(
            "    every delete here is replayed there, also one by mistake; turn it off before anything is",
        );
        page.line("    deleted here (swift post -t '' -k '' CONTAINER)");
        let own = format!("/{}", swift.container);
        if !sync.to.as_deref().unwrap_or_default().ends_with(&own) {
            page.line("    its name differs from this container's: dynamic large objects name the container of their");
            page.line("    segments, so their copies there resolve to nothing");
        }
    }
    if sync.accepts {
        page.line("    deletes on the other side are replayed here");
    }
    for other in &survey.other_containers {
        page.line(format_args!(
            "  segments also in      container {other}, as headers of dynamic large objects say"
        ));
    }
}

fn holdings(page: &mut Page, survey: &Survey) {
    page.title(format_args!(
        "Holds {}, {}, {}, {}",
        count(survey.repositories as u64, "repository"),
        count(survey.tags as u64, "tag"),
        count(survey.manifests as u64, "manifest"),
        count(survey.blobs as u64, "blob"),
    ));
    let held = &survey.holdings;
    let mut row = |what: &str, tally: Tally| {
        if tally.objects > 0 {
            page.line(format_args!("  {what:<34}{:>10}  {:>11}", tally.objects, size(tally.bytes)));
        }
    };
    row("manifests", held.manifests);
    row("blobs, plain", held.plain);
    row("blobs, static large objects", held.r#static);
    row("blobs, dynamic large objects", held.dynamic);
    row("  of all blobs, in no manifest", survey.unreferenced);
    row("segments", held.segments);
    row("links", held.links);
    row("uploads in progress", held.uploads);
    row("Wharfinger's own", held.ours);
    row("other names", survey.foreign.tally);
    if survey.hashed.objects > 0 {
        row("hashed now", survey.hashed);
    }
}

fn damage(page: &mut Page, survey: &Survey) {
    match survey.findings.len() {
        0 if survey.unknown.is_empty() => page.title("Damaged: nothing"),
        0 => page.title("Damaged: nothing of what could be read"),
        damaged => page.title(format_args!("Damaged: {damaged}")),
    }
    page.list(survey.findings.iter());
    if !survey.unknown.is_empty() {
        page.title(format_args!("Could not be looked at: {}", survey.unknown.len()));
        page.list(survey.unknown.iter());
    }
}

fn leftovers(page: &mut Page, survey: &Survey) {
    if !survey.uploads.is_empty() {
        page.title(format_args!("Uploads of Distribution in progress: {}", survey.uploads.len()));
        page.list(survey.uploads.iter().map(|upload| {
            let started = upload.started.as_deref().unwrap_or("an unknown time");
            format!("{} {} since {started}, {}", upload.repository, upload.id, size(upload.bytes))
        }));
    }
    if !survey.orphans.is_empty() {
        let bytes = survey.orphans.iter().map(|orphans| orphans.bytes).sum();
        let uploads = count(survey.orphans.len() as u64, "upload");
        page.title(format_args!("Segments that no object names: of {uploads}, {}", size(bytes)));
        page.list(survey.orphans.iter().map(orphan));
    }
    if survey.foreign.tally.objects > 0 {
        page.title(format_args!(
            "Names that are neither Distribution's nor Wharfinger's: {}",
            survey.foreign.tally.objects
        ));
        page.list(survey.foreign.examples.iter());
    }
    if survey.empty_tags > 0 {
        page.title(format_args!(
            "{} without a link, left by a delete",
            count(survey.empty_tags as u64, "tag")
        ));
    }
}

/// What was derived.
pub(super) fn adopted(place: &str, derived: &Derived) -> String {
    let mut page = Page::new();
    page.title(place);
    let mut row = |what: &str, count: u64, bytes: Option<u64>| {
        let bytes = bytes.map(size).unwrap_or_default();
        page.line(format!("  {what:<46}{count:>10}  {bytes:>11}").trim_end());
    };
    row("blobs hashed and proved", derived.proved.objects, Some(derived.proved.bytes));
    row("  chunk indexes written", derived.indexed, None);
    row("  exact lists of segments written", derived.segment_lists, None);
    row("blobs that needed nothing", derived.as_they_are.objects, Some(derived.as_they_are.bytes));
    row("referrers entered", derived.referrers, None);
    row("referrers that were entered already", derived.known_referrers, None);
    row("repositories entered into the catalog", derived.catalogued as u64, None);
    if derived.findings.is_empty() && derived.unknown.is_empty() {
        page.title("Everything is proved. Nothing was moved or deleted.");
        return page.finish();
    }
    if !derived.findings.is_empty() {
        page.title(format_args!("Could not be proved, since damaged: {}", derived.findings.len()));
        page.list(derived.findings.iter());
        page.line(
            "  Which images need them: wharfinger adopt CONFIG --dry-run --deep. Pushing one again mends it.",
        );
    }
    if !derived.unknown.is_empty() {
        page.title(format_args!("Could not be read: {}. Run it again to go on.", derived.unknown.len()));
        page.list(derived.unknown.iter());
    }
    page.finish()
}

/// What was derived, in one line; nothing where nothing was written.
pub(super) fn adopted_in_short(derived: &Derived) -> Option<String> {
    let Derived { proved, referrers, catalogued, findings, unknown, .. } = derived;
    if proved.objects == 0 && *referrers == 0 && *catalogued == 0 {
        return None;
    }
    let (blobs, bytes) = (proved.objects, size(proved.bytes));
    let (damaged, unknown) = (findings.len(), unknown.len());
    Some(format!(
        "proved {blobs} blobs ({bytes}), entered {referrers} referrers and {catalogued} repositories; \
         {damaged} damaged, {unknown} not readable"
    ))
}

/// What became of Redis, in one line; nothing where nothing was deleted.
pub(super) fn flushed_in_short(memory: &Memory) -> Option<String> {
    let (lies, unknown) = (memory.lies.len(), memory.unknown.len());
    let deleted = memory.flushed && lies > 0;
    deleted.then(|| format!("deleted {lies} keys that were not true; {unknown} could not be compared"))
}

/// Whether Distribution could take over.
pub(super) fn back(place: &str, report: &WayBack) -> String {
    let (mut page, back) = (Page::new(), &report.back);
    page.title(place);
    page.line(format_args!("  {:<46}{:>10}", "tags that lead to a manifest it reads", back.tags));
    page.line(format_args!("  {:<46}{:>10}", "manifests that it reads", back.manifests));
    let mut row = |what: &str, tally: Tally| {
        page.line(format_args!("  {what:<46}{:>10}  {:>11}", tally.objects, size(tally.bytes)));
    };
    row("blobs, plain", back.plain);
    row("blobs, static large objects", back.r#static);
    row("blobs, dynamic, listed exactly as they are", back.dynamic);
    let mut list = |title: &str, lines: Vec<String>| {
        if !lines.is_empty() {
            page.title(format_args!("{title}: {}", lines.len()));
            page.list(lines.into_iter());
        }
    };
    list("Damaged, for whichever registry", back.findings.iter().map(ToString::to_string).collect());
    list("Distribution cannot serve", back.obstacles.iter().map(ToString::to_string).collect());
    list("Could not be looked at", back.unknown.clone());
    let session = |session: &Session| {
        let repository = session.repository.as_deref().unwrap_or("an unknown repository");
        format!("{repository}, session {}, {}", session.id, size(session.bytes))
    };
    list("Uploads in progress here; their clients begin again", back.sessions.iter().map(session).collect());
    if let Some(memory) = &report.redis {
        page.title(format_args!(
            "Redis tells of {} and {} from repositories to them",
            count(memory.blobs, "blob"),
            count(memory.links, "link"),
        ));
        match (memory.lies.len(), memory.flushed) {
            (0, _) => page.line("  all of it is so"),
            (lies, true) => page.line(format_args!("  not so, and deleted: {lies}")),
            (lies, false) => {
                page.line(format_args!("  not so: {lies} (--flush-redis deletes these keys alone)"));
            }
        }
        page.list(memory.lies.iter());
        page.list(memory.unknown.iter());
    }
    page.title(match report.clear {
        true => "Distribution 2.8 can take over. Stop Wharfinger first, so that nothing changes in between.",
        false => "Distribution 2.8 cannot take over as it is: see above.",
    });
    page.finish()
}
