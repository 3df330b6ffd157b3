//! The report for people.

use wharfinger_maintenance::fsck::{Counts, Report};
use wharfinger_maintenance::{Finding, Kind, Severity};
use wharfinger_registry::Happened;

use crate::page::{Page, count, orphan};
use crate::units::size;

pub(super) fn report(report: &Report) -> String {
    let mut page = Page::new();
    looked_at(&mut page, report);
    findings(&mut page, report);
    leftovers(&mut page, report);
    republish(&mut page, report);
    page.title("Next");
    page.list(next(report).iter());
    page.finish()
}

fn looked_at(page: &mut Page, report: &Report) {
    let Counts { repositories, tags, manifests, blobs, hashed, .. } = report.counts;
    page.line(format_args!(
        "Looked at {}, {}, {} and {} ({}) in {:.1} s",
        count(repositories, "repository"),
        count(tags, "tag"),
        count(manifests, "manifest"),
        count(blobs.objects, "blob"),
        size(blobs.bytes),
        report.seconds,
    ));
    if report.deep {
        page.line(format_args!(
            "Read {} ({}) and computed the digests",
            count(hashed.objects, "blob"),
            size(hashed.bytes)
        ));
    }
}

/// What is damaged, by image, then what hits no image, and what could not be read.
fn findings(page: &mut Page, report: &Report) {
    if report.of(Severity::Damage).next().is_none() {
        page.title("Nothing is damaged");
    }
    if !report.images.is_empty() {
        page.title(format_args!("Damaged: {}", count(report.images.len() as u64, "image")));
        let mut lines = Vec::new();
        for image in &report.images {
            lines.push(image.image.clone());
            let hits = |found: &&Finding| found.images.contains(&image.image);
            lines.extend(
                report.of(Severity::Damage).filter(hits).map(|found| format!("  {}", finding(found))),
            );
        }
        page.list(lines.into_iter());
    }
    let mut list = |title: &str, found: Vec<String>| {
        if !found.is_empty() {
            page.title(title);
            page.list(found.into_iter());
        }
    };
    let unneeded = report.of(Severity::Damage).filter(|found| found.images.is_empty());
    list("Damaged, and no image needs it", unneeded.map(finding).collect());
    let unknown = report.of(Severity::Unknown).map(|found| match found.images.is_empty() {
        true => finding(found),
        false => format!(
            "{} (needed by {})",
            finding(found),
            wharfinger_maintenance::finding::named(&found.images)
        ),
    });
    list("Could not be looked at", unknown.collect());
}

/// One line about what is wrong, and where a copy lies.
pub(in crate::commands) fn finding(found: &Finding) -> String {
    let within = found.repository.as_ref().map_or(String::new(), |name| format!(" in {name}"));
    let copy = found.copy.as_ref().map_or(String::new(), |copy| format!("; intact copy: {copy}"));
    format!("{} {}{within}: {}{copy}", found.kind, found.what, found.reason)
}

fn leftovers(page: &mut Page, report: &Report) {
    let mut lines = Vec::new();
    for (kind, number) in &report.notes {
        lines.push(format!("{number:>6} {kind:<16} {}", meaning(*kind)));
    }
    let unreferenced = report.counts.unreferenced;
    if unreferenced.objects > 0 {
        let bytes = size(unreferenced.bytes);
        lines.push(format!(
            "{:>6} unreferenced     blobs that no repository has a link to, {bytes}",
            unreferenced.objects
        ));
    }
    for orphans in &report.orphans {
        lines.push(format!("segments that no object names: {}", orphan(orphans)));
    }
    if !lines.is_empty() {
        page.title("Of note; nothing is hurt by it");
        page.list(lines.into_iter());
    }
}

fn meaning(kind: Kind) -> &'static str {
    match kind {
        Kind::BlobUnlisted => {
            "large objects of Distribution whose segments a listing decides, until they are read whole once"
        }
        Kind::LinkLost => "links that a listing shows and that are not there: deleted a moment ago, or lost",
        Kind::LinkDangling => "links to blobs that are not there; no manifest needs them",
        Kind::IndexBroken => {
            "chunk indexes that cannot be read; the next whole read of the blob writes them anew"
        }
        Kind::IndexStale => "chunk indexes of blobs that are not there",
        Kind::ReferrerStale => "entries of the referrers index that lead to nothing",
        Kind::SessionBroken => "records of uploads that cannot be read; their clients begin again",
        Kind::AuditBroken => "audit records that cannot be read",
        _ => "",
    }
}

/// What only a push mends.
fn republish(page: &mut Page, report: &Report) {
    let lost: Vec<String> = report
        .images
        .iter()
        .filter(|image| image.republish)
        .map(|image| used(&image.image, &image.happened))
        .collect();
    if !lost.is_empty() {
        page.title("No intact copy is known: push again");
        page.list(lost.into_iter());
    }
}

/// An image, who pushed it, and who pulled it last.
pub(in crate::commands) fn used(image: &str, happened: &Happened) -> String {
    let pushed = happened.pushed.as_ref().map(|event| format!("pushed {event}"));
    let pulled = happened.pulled.as_ref().map(|event| format!("last pulled {event}"));
    let known: Vec<String> = [pushed, pulled].into_iter().flatten().collect();
    if known.is_empty() { image.to_owned() } else { format!("{image}  {}", known.join("; ")) }
}

fn next(report: &Report) -> Vec<String> {
    let mut next = Vec::new();
    if report.of(Severity::Damage).next().is_some() {
        next.push("wharfinger heal --dry-run: what would be done about each".to_owned());
    }
    if report.of(Severity::Unknown).next().is_some() {
        next.push("wharfinger status: whether the store answers; then fsck again".to_owned());
    }
    if next.is_empty() {
        next.push(match report.deep {
            true => "nothing to do".to_owned(),
            false => "nothing to do; --deep also reads every blob".to_owned(),
        });
    }
    next
}
