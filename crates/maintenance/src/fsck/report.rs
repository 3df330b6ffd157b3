//! What a walk found, by image.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use wharfinger_registry::{Happened, Registry};

use super::Walk;
use crate::census::Tally;
use crate::segments::Orphans;
use crate::{Effort, Finding, Kind, Severity, used};

/// What was looked at.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
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
    /// Its last push and pull, where they are known.
    #[serde(flatten)]
    pub happened: Happened,
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

    /// Notes who pushed the images and who pulled them last.
    pub async fn note_use(&mut self, registry: &Registry, effort: Effort) {
        let images = self.images.iter().map(|image| image.image.clone()).collect();
        let mut known = used::of_images(registry, images, effort.parallel).await;
        for image in &mut self.images {
            image.happened = known.remove(&image.image).unwrap_or_default();
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
                    happened: known.get(name).map(|image| image.happened.clone()).unwrap_or_default(),
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
        self.state.findings.sort();
        self.state.findings.dedup();
        let mut report = Report {
            started_at: rfc3339(started),
            seconds: started.elapsed().unwrap_or_default().as_secs_f64(),
            deep: self.options.deep,
            counts: self.state.counts,
            findings: self.state.findings,
            notes: self.state.notes,
            images: Vec::new(),
            orphans: self.orphans,
        };
        report.group();
        report
    }
}
