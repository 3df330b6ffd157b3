//! What a walk found, by image.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::Serialize;
use time::OffsetDateTime;

use wharfinger_oci::{RepositoryName, Tag};
use wharfinger_registry::layout;
use wharfinger_store::Store;

use super::Walk;
use crate::census::Tally;
use crate::segments::Orphans;
use crate::{Finding, Kind, Severity};

/// What was looked at.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Counts {
    /// Repositories that have something in them.
    pub repositories: u64,
    /// Tags.
    pub tags: u64,
    /// Manifests, counted in each repository that has them.
    pub manifests: u64,
    /// Links that were read.
    pub links: u64,
    /// Blobs, each once.
    pub blobs: Tally,
    /// Of these, those whose digest was computed.
    pub hashed: Tally,
    /// Of these, those that no repository has a link to or needs.
    pub unreferenced: Tally,
    /// Segments of large objects.
    pub segments: Tally,
    /// Objects that are ours alone.
    pub ours: Tally,
    /// Upload sessions of ours.
    pub sessions: u64,
    /// Things that could not be looked at.
    pub unknown: usize,
}

/// An image that cannot be pulled rightly.
#[derive(Clone, Debug, Serialize)]
pub struct Image {
    /// `repository:tag`, or `repository@digest`.
    pub image: String,
    /// What of it is damaged: digests, or keys of links.
    pub damaged: Vec<String>,
    /// Whether something of it has no copy that is known: it has to be pushed again.
    pub republish: bool,
    /// When its tag was pushed, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pushed_at: Option<String>,
    /// Who pushed it, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pushed_by: Option<String>,
}

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// When the walk began, RFC 3339.
    pub started_at: String,
    /// Seconds that it took.
    pub seconds: f64,
    /// Whether blobs were read and their digests computed.
    pub deep: bool,
    /// What was looked at.
    pub counts: Counts,
    /// Everything that is wrong, or of note, or could not be told.
    pub findings: Vec<Finding>,
    /// How many notes of each kind there are; of each, the first thousand are findings.
    pub notes: BTreeMap<Kind, u64>,
    /// Images that are hit.
    pub images: Vec<Image>,
    /// Segments that no object names.
    pub orphans: Vec<Orphans>,
}

impl Report {
    /// Findings of that severity.
    pub fn of(&self, severity: Severity) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(move |finding| finding.kind.severity() == severity)
    }

    /// Notes when the tags of the images were pushed, where the store says so.
    pub async fn date(&mut self, store: &dyn Store) {
        for image in &mut self.images {
            let Some((name, tag)) = image.image.rsplit_once(':') else { continue };
            let (Ok(name), Ok(tag)) = (RepositoryName::parse(name), Tag::parse(tag)) else { continue };
            let modified =
                store.head(&layout::tag_current(&name, &tag)).await.ok().and_then(|meta| meta.modified);
            image.pushed_at = modified.map(rfc3339);
        }
    }

    /// Groups the findings by image. To be called again when copies were found.
    pub fn group(&mut self) {
        let known: BTreeMap<String, Image> =
            self.images.drain(..).map(|image| (image.image.clone(), image)).collect();
        let mut images: BTreeMap<&str, Image> = BTreeMap::new();
        for finding in self.findings.iter().filter(|finding| finding.kind.severity() == Severity::Damage) {
            for name in &finding.images {
                let image = images.entry(name).or_insert_with(|| Image {
                    image: name.clone(),
                    damaged: Vec::new(),
                    republish: false,
                    pushed_at: known.get(name).and_then(|image| image.pushed_at.clone()),
                    pushed_by: known.get(name).and_then(|image| image.pushed_by.clone()),
                });
                image.damaged.push(finding.what.clone());
                image.republish |= finding.needs_a_push();
            }
        }
        self.images = images.into_values().collect();
    }
}

impl Finding {
    /// Whether nothing but a push mends it, as far as is known.
    pub fn needs_a_push(&self) -> bool {
        let of_bytes = matches!(
            self.kind,
            Kind::BlobMissing
                | Kind::BlobDamaged
                | Kind::ManifestMissing
                | Kind::ManifestDamaged
                | Kind::ManifestUnreadable
        );
        of_bytes && self.copy.is_none()
    }
}

fn rfc3339(time: SystemTime) -> String {
    let whole = OffsetDateTime::from(time).replace_nanosecond(0);
    let text = whole.map(|time| time.format(&time::format_description::well_known::Rfc3339));
    text.ok().and_then(Result::ok).unwrap_or_default()
}

impl Walk<'_> {
    pub(super) fn report(mut self, started: SystemTime) -> Report {
        self.findings.sort();
        self.findings.dedup();
        let mut report = Report {
            started_at: rfc3339(started),
            seconds: started.elapsed().unwrap_or_default().as_secs_f64(),
            deep: self.options.deep,
            counts: self.counts,
            findings: self.findings,
            notes: self.notes,
            images: Vec::new(),
            orphans: self.orphans,
        };
        report.group();
        report
    }
}
