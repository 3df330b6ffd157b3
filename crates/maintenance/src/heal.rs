//! Putting right what [`crate::fsck`] found, from the best intact copy, and proving each repair by reading it back.
//!
//! Nothing is deleted. What is well is not written; a repair that somebody else made meanwhile is found and left alone.

mod repair;

use serde::Serialize;
use wharfinger_oci::{Digest, RepositoryName, Tag};
use wharfinger_registry::layout::{Place, place};
use wharfinger_registry::{Registry, layout};
use wharfinger_store::Store;

use crate::copies::{self, Source};
use crate::fsck::Report;
use crate::prove::Pace;
use crate::{Finding, Kind, Severity, Watch};

/// What may be done beyond what is safe by itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Write links again that manifests need and that are not there: they may have been deleted on purpose.
    pub relink: bool,
    /// Bytes a second that are read; `None` for as fast as it goes.
    pub rate: Option<u64>,
}

/// One repair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "repair", rename_all = "kebab-case")]
pub enum Step {
    /// Copy the bytes of a blob.
    CopyBlob {
        /// Which.
        digest: String,
        /// From where.
        from: String,
        /// The repository that it is pushed to.
        repository: String,
    },
    /// Copy the bytes of a manifest.
    CopyManifest {
        /// Which.
        digest: String,
        /// From where.
        from: String,
    },
    /// Write a link to a manifest or blob, which its name tells.
    WriteLink {
        /// Its key.
        key: String,
        /// What it leads to.
        digest: String,
    },
    /// Point a tag to a manifest.
    PointTag {
        /// `repository:tag`.
        image: String,
        /// The manifest.
        digest: String,
        /// What it points to now, where that is a digest.
        #[serde(skip_serializing_if = "Option::is_none")]
        wrong: Option<String>,
        /// Why this one.
        because: String,
    },
    /// Read a blob and write its chunk index anew.
    WriteIndex {
        /// Whose.
        digest: String,
    },
    /// Withhold a blob of which no intact copy is known, so that a push of it is accepted.
    Mark {
        /// Which.
        digest: String,
    },
}

/// What will be done about one finding.
#[derive(Clone, Debug, Serialize)]
pub struct Repair {
    /// What is wrong.
    pub finding: Finding,
    /// What will be done; none where nothing here mends it.
    pub step: Option<Step>,
    /// What an operator has to do where this does not mend it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// How a repair ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was made, and read back.
    Mended,
    /// Somebody else had made it.
    MendedBefore,
    /// It was marked, and waits for a push.
    Marked,
    /// It failed.
    Failed,
    /// Nothing here mends it.
    Left,
}

/// What was done about one finding.
#[derive(Clone, Debug, Serialize)]
pub struct Done {
    /// The repair.
    #[serde(flatten)]
    pub repair: Repair,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Decides what to do about every finding that is damage. Reads alone.
pub async fn plan(
    registry: &Registry,
    report: &mut Report,
    sources: &[Source],
    options: Options,
    watch: &dyn Watch,
) -> Vec<Repair> {
    let pace = Pace::new(options.rate);
    // An index that cannot be read hurts nobody, and is written anew all the same.
    let mended = |kind: Kind| kind.severity() == Severity::Damage || kind == Kind::IndexBroken;
    let damage: Vec<usize> =
        (0..report.findings.len()).filter(|at| mended(report.findings[*at].kind)).collect();
    watch.begin("looking for copies", Some(damage.len() as u64));
    let mut repairs = Vec::new();
    for at in damage {
        let planner = Planner { registry, sources, options, pace: &pace };
        let repair = planner.plan(&report.findings[at]).await;
        if let Some(Step::CopyBlob { from, .. } | Step::CopyManifest { from, .. }) = &repair.step {
            report.findings[at].copy = Some(from.clone());
        }
        repairs.push(repair);
        watch.advance(1);
    }
    report.group();
    // Bytes before the links that lead to them.
    repairs.sort_by_key(|repair| {
        !matches!(repair.step, Some(Step::CopyBlob { .. } | Step::CopyManifest { .. }))
    });
    repairs
}

/// Names where an intact copy of each damaged blob or manifest lies. Reads the copies whole.
pub async fn name_copies(report: &mut Report, sources: &[Source], rate: Option<u64>, watch: &dyn Watch) {
    let pace = Pace::new(rate);
    watch.begin("looking for copies", Some(report.findings.len() as u64));
    for finding in &mut report.findings {
        watch.advance(1);
        if let Some(digest) = finding.digest().filter(|_| finding.needs_a_push()) {
            finding.copy = copies::find(sources, &digest, &pace).await.map(|source| source.name.clone());
        }
    }
    report.group();
}

/// Makes the repairs, one after the other. Each is durable before the next begins; a run that is stopped leaves the rest
/// for the next one.
pub async fn heal(
    registry: &Registry,
    repairs: Vec<Repair>,
    sources: &[Source],
    options: Options,
    watch: &dyn Watch,
) -> Vec<Done> {
    let pace = Pace::new(options.rate);
    watch.begin("mending", Some(repairs.len() as u64));
    let mut done = Vec::new();
    for repair in repairs {
        let (outcome, error) = match &repair.step {
            None => (Outcome::Left, None),
            Some(step) => match repair::apply(registry, step, sources, &pace).await {
                Ok(outcome) => (outcome, None),
                Err(error) => (Outcome::Failed, Some(error.to_string())),
            },
        };
        done.push(Done { repair, outcome, error });
        watch.advance(1);
    }
    done
}

struct Planner<'a> {
    registry: &'a Registry,
    sources: &'a [Source],
    options: Options,
    pace: &'a Pace,
}

impl Planner<'_> {
    async fn plan(&self, finding: &Finding) -> Repair {
        let (step, next) = match finding.kind {
            Kind::BlobMissing | Kind::BlobDamaged => self.blob(finding).await,
            Kind::ManifestMissing | Kind::ManifestDamaged => self.manifest(finding).await,
            Kind::IndexWrong | Kind::IndexBroken => {
                (Some(Step::WriteIndex { digest: finding.what.clone() }), None)
            }
            Kind::LinkBroken => self.link(finding).await,
            Kind::ManifestUnlinked | Kind::BlobUnlinked => self.unlinked(finding).await,
            _ => (None, Some(push_again(finding))),
        };
        Repair { finding: finding.clone(), step, next }
    }

    async fn blob(&self, finding: &Finding) -> (Option<Step>, Option<String>) {
        let Some(digest) = finding.digest() else { return (None, None) };
        let repository = self.repository_for(finding, &digest).await;
        let Some(repository) = repository else {
            return (None, Some("no image needs it: nothing to do".to_owned()));
        };
        match copies::find(self.sources, &digest, self.pace).await {
            Some(source) => {
                let from = source.name.clone();
                (Some(Step::CopyBlob { digest: digest.to_string(), from, repository }), None)
            }
            None if finding.kind == Kind::BlobMissing => (None, Some(push_again(finding))),
            None => (Some(Step::Mark { digest: digest.to_string() }), Some(push_again(finding))),
        }
    }

    /// A repository that needs the blob, one that has a link to it before others.
    async fn repository_for(&self, finding: &Finding, digest: &Digest) -> Option<String> {
        let mut names: Vec<RepositoryName> =
            finding.images.iter().filter_map(|image| repository_of(image)).collect();
        names.dedup();
        for name in &names {
            if self.registry.store().head(&layout::layer_link(name, digest)).await.is_ok() {
                return Some(name.to_string());
            }
        }
        names.first().map(ToString::to_string)
    }

    /// A tag that points to what it was never pointed to: its link is wrong, and not what it leads to.
    async fn astray(&self, finding: &Finding) -> Option<Step> {
        let (name, tag) = finding.images.first()?.rsplit_once(':')?;
        let (name, tag) = (RepositoryName::parse(name).ok()?, Tag::parse(tag).ok()?);
        let store = self.registry.store();
        let link = crate::graph::read::link(store, &layout::tag_current(&name, &tag)).await;
        let wrong = link.target()?;
        let history = store.head(&layout::tag_index_link(&name, &tag, &wrong)).await;
        if !history.is_err_and(|error| error.is_not_found()) {
            return None;
        }
        let (digest, _) = self.target(&name, &tag).await?;
        Some(Step::PointTag {
            image: format!("{name}:{tag}"),
            digest: digest.to_string(),
            wrong: Some(wrong.to_string()),
            because: format!("it was never pointed to {wrong}"),
        })
    }

    async fn manifest(&self, finding: &Finding) -> (Option<Step>, Option<String>) {
        let Some(digest) = finding.digest() else { return (None, None) };
        if let Some(step) = self.astray(finding).await {
            return (Some(step), None);
        }
        match copies::find(self.sources, &digest, self.pace).await {
            Some(source) => {
                let from = source.name.clone();
                (Some(Step::CopyManifest { digest: digest.to_string(), from }), None)
            }
            None => (None, Some(push_again(finding))),
        }
    }

    /// A link that is there and does not hold a digest: its name tells what it has to hold, or the history of the tag.
    async fn link(&self, finding: &Finding) -> (Option<Step>, Option<String>) {
        let write =
            |digest: &Digest| Step::WriteLink { key: finding.what.clone(), digest: digest.to_string() };
        match place(&finding.what) {
            Some(
                Place::LayerLink(_, digest) | Place::RevisionLink(_, digest) | Place::TagIndex(_, _, digest),
            ) if digest.algorithm() == wharfinger_oci::Algorithm::Sha256 => (Some(write(&digest)), None),
            Some(Place::TagCurrent(name, tag)) => match self.target(&name, &tag).await {
                Some((digest, because)) => {
                    let (image, digest) = (format!("{name}:{tag}"), digest.to_string());
                    (Some(Step::PointTag { image, digest, wrong: None, because }), None)
                }
                None => (None, Some(push_again(finding))),
            },
            _ => (None, Some(push_again(finding))),
        }
    }

    /// Where a tag pointed: as the other site says, else where it was pointed last.
    async fn target(&self, name: &RepositoryName, tag: &Tag) -> Option<(Digest, String)> {
        let own = self.last_target(self.registry.store(), name, tag).await;
        for source in self.sources {
            let Some(store) = source.links() else { continue };
            let key = layout::tag_current(name, tag);
            let crate::graph::Link::To(digest) = crate::graph::read::link(store, &key).await else {
                continue;
            };
            // A site that lags behind does not know better than the history here.
            if own.is_none_or(|own| own == digest) && self.is_there(name, &digest).await {
                return Some((digest, format!("{} says so", source.name)));
            }
        }
        let digest = own?;
        self.is_there(name, &digest).await.then(|| (digest, "it was pointed there last".to_owned()))
    }

    /// The newest entry of the tag's history.
    async fn last_target(&self, store: &dyn Store, name: &RepositoryName, tag: &Tag) -> Option<Digest> {
        let prefix = layout::tag_index(name, tag);
        let all = wharfinger_store::List { shallow: false, after: None, limit: 10_000 };
        let mut newest = None;
        for entry in store.list(&prefix, all).await.ok()?.entries {
            let key = prefix.join(entry.name());
            let Some(Place::TagIndex(_, _, digest)) = place(key.as_str()) else { continue };
            let Ok(meta) = store.head(&key).await else { continue };
            if newest.is_none_or(|(modified, _)| meta.modified > modified) {
                newest = Some((meta.modified, digest));
            }
        }
        newest.map(|(_, digest)| digest)
    }

    async fn is_there(&self, name: &RepositoryName, digest: &Digest) -> bool {
        self.registry.manifest(name, &wharfinger_oci::Reference::Digest(*digest)).await.is_ok()
    }

    async fn unlinked(&self, finding: &Finding) -> (Option<Step>, Option<String>) {
        let (Some(digest), Some(Ok(name))) =
            (finding.digest(), finding.repository.as_deref().map(RepositoryName::parse))
        else {
            return (None, None);
        };
        let key = match finding.kind {
            Kind::ManifestUnlinked => layout::revision_link(&name, &digest),
            _ => layout::layer_link(&name, &digest),
        };
        if let Some(step) = self.astray(finding).await {
            return (Some(step), None);
        }
        let copied = copies::find(self.sources, &digest, self.pace).await.is_some();
        let there = self.registry.store().check(&layout::blob_data(&digest)).await.is_ok();
        if !there && !copied {
            return (None, Some(push_again(finding)));
        }
        if !self.options.relink {
            let next = format!(
                "the link may have been deleted on purpose: wharfinger heal --relink writes it again, or {}",
                push_again(finding)
            );
            return (None, Some(next));
        }
        (Some(Step::WriteLink { key: key.to_string(), digest: digest.to_string() }), None)
    }
}

/// What only a push mends.
fn push_again(finding: &Finding) -> String {
    match finding.images.first() {
        None => "nothing needs it".to_owned(),
        Some(_) => format!("push again: {}", crate::finding::named(&finding.images)),
    }
}

/// The repository of an image.
pub fn repository_of(image: &str) -> Option<RepositoryName> {
    let name = image.split_once('@').or_else(|| image.rsplit_once(':'))?.0;
    RepositoryName::parse(name).ok()
}
