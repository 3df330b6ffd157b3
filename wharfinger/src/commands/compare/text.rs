//! The comparison for people.

use std::collections::HashMap;
use std::fmt::{self, Display, Write};
use std::time::Duration;

use wharfinger_maintenance::census::Tally;
use wharfinger_maintenance::compare::{Counts, Difference, Image, Report, Seen, Side};

use super::{Told, Verdict, words};
use crate::units::size;

/// Entries of one list; JSON has all.
const ENTRIES: usize = 20;
/// Differences told of one image.
const REASONS: usize = 5;

/// The report as text.
pub(super) fn report(told: &Told<'_>, site: &str, settle: Duration) -> String {
    let what = match &told.repository {
        Some(pattern) => format!("what {pattern} needs"),
        None => "every object that one site has".to_owned(),
    };
    let page = Page { told, site, settle, what };
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = page.write(&mut text);
    text
}

struct Page<'a> {
    told: &'a Told<'a>,
    site: &'a str,
    settle: Duration,
    /// What was compared.
    what: String,
}

impl Page<'_> {
    fn write(&self, out: &mut String) -> fmt::Result {
        let (told, report) = (self.told, self.told.report);
        writeln!(out, "here   {}\nthere  {}\n", told.places.here, told.places.there)?;
        counts(out, &report.here, &report.there)?;
        let by_key: HashMap<&str, &Difference> =
            report.differences.iter().chain(&report.in_flight).map(|one| (one.key.as_str(), one)).collect();
        let (late, early): (Vec<&Image>, Vec<&Image>) =
            report.images.iter().partition(|image| image.in_flight);
        self.images(out, "images that differ", &early, &by_key)?;
        let alone = |list: &'_ [Difference]| -> Vec<String> {
            list.iter().filter(|one| one.images.is_empty()).map(describe).collect()
        };
        list(out, "what no tag needs", &alone(&report.differences))?;
        let title = format!("in flight: written within the last {}", words(self.settle));
        self.images(out, &title, &late, &by_key)?;
        list(out, "in flight, and no tag needs it", &alone(&report.in_flight))?;
        let unknown: Vec<String> =
            report.unknown.iter().map(|unknown| format!("{}: {}", unknown.side, unknown.error)).collect();
        list(out, "what could not be looked at", &unknown)?;
        self.rest(out, report)?;
        writeln!(out, "\n{}", self.verdict())
    }

    fn images(
        &self,
        out: &mut String,
        title: &str,
        images: &[&Image],
        by_key: &HashMap<&str, &Difference>,
    ) -> fmt::Result {
        if images.is_empty() {
            return Ok(());
        }
        writeln!(out, "\n{title}: {}", images.len())?;
        for image in images.iter().take(ENTRIES) {
            let sides: Vec<&str> = image.cannot_be_pulled.iter().map(|side| side.as_str()).collect();
            let what = if sides.is_empty() {
                "is another at each site".to_owned()
            } else {
                let yet = if image.in_flight { " yet" } else { "" };
                format!("cannot be pulled {}{yet}", sides.join(" and "))
            };
            writeln!(out, "  {} {what}", image.image)?;
            for key in image.because.iter().take(REASONS) {
                if let Some(difference) = by_key.get(key.as_str()) {
                    writeln!(out, "    {}", describe(difference))?;
                }
            }
            more(out, "    ", image.because.len(), REASONS)?;
        }
        more(out, "  ", images.len(), ENTRIES)
    }

    fn rest(&self, out: &mut String, report: &Report) -> fmt::Result {
        for (side, left) in [(Side::Here, report.leftovers_here), (Side::There, report.leftovers_there)] {
            if left.objects > 0 {
                let (objects, bytes) = (left.objects, size(left.bytes));
                writeln!(
                    out,
                    "\nonly {side}: {objects} segments ({bytes}) that no blob names; nobody misses them"
                )?;
            }
        }
        match report.unseen {
            0 => Ok(()),
            unseen => writeln!(
                out,
                "\n{unseen} more names differ and were not looked at: these are hardly two copies of one registry"
            ),
        }
    }

    fn verdict(&self) -> String {
        let (site, report) = (self.site, self.told.report);
        match self.told.verdict {
            Verdict::Same => format!("the same: {} is at the other, with the same content", self.what),
            Verdict::InFlight => {
                let count = report.in_flight.len();
                format!("the same but for {count} objects in flight; compare again in {}", words(self.settle))
            }
            Verdict::Different => {
                let image = report.images.iter().find(|image| !image.in_flight).map(|image| &image.image);
                let next = match image {
                    Some(image) => format!("; next: wharfinger doctor {image} --with {site}"),
                    None => String::new(),
                };
                format!("they differ in {} objects{next}", report.differences.len())
            }
            Verdict::Unknown => "it could not be told whether they are the same".to_owned(),
        }
    }
}

fn counts(out: &mut String, here: &Counts, there: &Counts) -> fmt::Result {
    writeln!(out, "{:<28}{:>22}{:>22}", "", "here", "there")?;
    writeln!(out, "{:<28}{:>22}{:>22}", "tags", here.tags, there.tags)?;
    for (name, here, there) in [
        ("links", here.links, there.links),
        ("blobs and manifests", here.blobs, there.blobs),
        ("segments", here.segments, there.segments),
        ("uploads (not compared)", here.uploads, there.uploads),
        ("derived (not compared)", here.derived, there.derived),
        ("foreign (not compared)", here.foreign, there.foreign),
    ] {
        let cell = |tally: Tally| format!("{} ({})", tally.objects, size(tally.bytes));
        writeln!(out, "{name:<28}{:>22}{:>22}", cell(here), cell(there))?;
    }
    Ok(())
}

fn list(out: &mut String, title: &str, lines: &[String]) -> fmt::Result {
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{title}: {}", lines.len())?;
    for line in lines.iter().take(ENTRIES) {
        writeln!(out, "  {line}")?;
    }
    more(out, "  ", lines.len(), ENTRIES)
}

fn more(out: &mut String, indent: &str, all: usize, shown: usize) -> fmt::Result {
    match all.saturating_sub(shown) {
        0 => Ok(()),
        more => writeln!(out, "{indent}and {more} more (--output json has all)"),
    }
}

/// `blob sha256:... missing there; here 5242880 bytes, written 2026-11-29T21:00:00Z`.
fn describe(one: &Difference) -> String {
    let mut text = one.object.as_str().to_owned();
    let parts = [&one.tag, &one.digest, &one.repository];
    let joints = [" ", " ", " of "];
    for (part, joint) in parts.into_iter().zip(joints) {
        if let Some(part) = part {
            text.push_str(joint);
            text.push_str(part);
        }
    }
    text.push(' ');
    text.push_str(one.kind.as_str());
    for (side, seen) in [(Side::Here, &one.here), (Side::There, &one.there)] {
        if let Some(seen) = seen {
            let _ = write!(text, "; {side} {}", AtSite(seen, one.digest.as_deref()));
        }
    }
    text
}

/// What a site has, of an object whose digest was told.
struct AtSite<'a>(&'a Seen, Option<&'a str>);

impl Display for AtSite<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Seen { size, digest, modified, damage } = self.0;
        match (damage, digest, size) {
            (Some(damage), ..) => f.write_str(damage)?,
            (_, Some(digest), _) if self.1 == Some(digest.as_str()) => f.write_str("as it should be")?,
            (_, Some(digest), _) => f.write_str(digest)?,
            (_, _, Some(size)) => write!(f, "{size} bytes")?,
            _ => f.write_str("present")?,
        }
        match modified {
            Some(modified) => write!(f, ", written {modified}"),
            None => Ok(()),
        }
    }
}
