//! One image, walked from its tag to its layers, and everybody in the system asked about each object: fronts, the
//! server's caches, Redis, the store, other sites.
//!
//! Content proves itself by its digest, and a tag is what its link in the store says. Whoever says something else is
//! wrong; the first liar is the innermost one: the one who is wrong while what it stands on is right. What looks wrong
//! is asked again, in its newest copy, after a while, and only counts if it still is. Reads alone.

mod copy;
mod exam;
mod memory;
mod object;
mod report;
mod site;
mod walk;
mod witness;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use wharfinger_oci::{Reference, RepositoryName, Tag};
use wharfinger_registry::{IndexChildren, layout};
use wharfinger_store::{Entry, List, Result, Store};

use crate::{Pace, Watch, parallel};
use exam::Exam;
pub use memory::DistributionRedis;
pub use object::{Image, Object, Platform, Role};
pub use report::{Answer, ImageReport, Node, Report, Said, Verdict};
pub use site::Site;
use walk::Branch;
pub use witness::{Claim, Station, Testimony, Witness};

/// Blobs of less than this in all are read whole unless something else is asked for.
pub const DEEP_BELOW: u64 = 1 << 30;
/// Names on one page of a listing.
const PAGE: usize = 1_000;
/// How often an image is walked again that moved meanwhile.
const WALKS: usize = 3;
/// Bytes that progress counts as one.
const MIB: u64 = 1 << 20;

/// How to look.
#[derive(Clone, Debug)]
pub struct Options {
    /// Of an index only this platform.
    pub platform: Option<Platform>,
    /// Whether to read blobs whole; none: where they are less than [`DEEP_BELOW`].
    pub deep: Option<bool>,
    /// Objects that are looked at side by side.
    pub parallel: usize,
    /// What an index may name that is not here.
    pub index_children: IndexChildren,
    /// Whether nothing may be written to the store.
    pub observe: bool,
    /// What the store is called.
    pub store: String,
    /// What names the configuration in commands that are told: ` --config FILE`, or nothing.
    pub config: String,
    /// Who is not asked, and why.
    pub not_asked: Vec<String>,
}

/// Somebody who looks at images.
pub struct Doctor<'a> {
    store: &'a dyn Store,
    /// From the client inwards.
    witnesses: &'a [Box<dyn Witness>],
    options: &'a Options,
    watch: &'a dyn Watch,
    pace: Pace,
    exams: Mutex<HashMap<String, Arc<Exam>>>,
    bytes: AtomicU64,
}

/// Walks images and asks everybody. `witnesses` come in the order from the client inwards.
pub async fn examine(
    store: &dyn Store,
    witnesses: &[Box<dyn Witness>],
    images: &[Image],
    options: &Options,
    watch: &dyn Watch,
) -> Report {
    let doctor = Doctor {
        store,
        witnesses,
        options,
        watch,
        pace: Pace::new(None),
        exams: Mutex::default(),
        bytes: AtomicU64::new(0),
    };
    doctor.run(images).await
}

/// The images that the tags of a repository name, as a listing shows them.
///
/// # Errors
/// The listing failed.
pub async fn images_of(store: &dyn Store, repository: &RepositoryName) -> Result<Vec<Image>> {
    let (mut images, mut after) = (Vec::new(), None);
    loop {
        let options = List { shallow: true, after, limit: PAGE };
        let page = store.list(&layout::tags(repository), options).await?;
        after = page.entries.last().map(|entry| entry.name().to_owned());
        for entry in page.entries {
            if let Entry::Prefix(name) = entry
                && let Ok(tag) = Tag::parse(&name)
            {
                images.push(Image { repository: repository.clone(), reference: Reference::Tag(tag) });
            }
        }
        if !page.more || after.is_none() {
            return Ok(images);
        }
    }
}

impl Doctor<'_> {
    async fn run(&self, images: &[Image]) -> Report {
        self.watch.begin("walking images", Some(images.len() as u64));
        let walks = parallel::each(images.to_vec(), self.options.parallel, self.watch, |image| {
            Box::pin(async move {
                let branch = self.walk(Object::root(&image)).await;
                (image, branch)
            })
        });
        let mut walked = walks.await;
        walked.sort_by_key(|(image, _)| images.iter().position(|other| other == image));
        let blobs = self.blobs(walked.iter().map(|(_, branch)| branch));
        let deep = self.options.deep.unwrap_or_else(|| self.cost(&blobs) < DEEP_BELOW);
        self.look_at(blobs, deep).await;
        for (image, branch) in &mut walked {
            self.walk_again_if_moved(image, branch, deep).await;
        }
        let several = images.len() > 1;
        // A listing of tags may show what was deleted.
        walked.retain(|(_, branch)| !several || !self.is_gone(branch));
        let unknown = match walked.is_empty() && several {
            true => vec!["no tag that is listed is there by name".to_owned()],
            false => Vec::new(),
        };
        self.report(
            deep,
            unknown,
            walked.into_iter().map(|(image, branch)| (image.to_string(), branch)).collect(),
        )
    }

    /// Bytes that have to be read to hash blobs wherever their bytes can be had.
    fn cost(&self, blobs: &[Object]) -> u64 {
        let reads = |station: Station| matches!(station, Station::Front | Station::Site);
        let readers = 1 + self.witnesses.iter().filter(|witness| reads(witness.station())).count() as u64;
        blobs.iter().filter_map(|blob| blob.size).fold(0, u64::saturating_add).saturating_mul(readers)
    }

    async fn look_at(&self, blobs: Vec<Object>, deep: bool) {
        if deep {
            let total: u64 = blobs.iter().filter_map(|blob| blob.size).sum();
            self.bytes.store(0, Ordering::Relaxed);
            self.watch.begin("reading blobs, MiB", Some(total / MIB));
        } else {
            self.watch.begin("looking at blobs", Some(blobs.len() as u64));
        }
        let counted: &dyn Watch = if deep { &crate::Unwatched } else { self.watch };
        let exams = parallel::each(blobs, self.options.parallel, counted, |blob| {
            Box::pin(async move {
                let exam = self.settle(&blob, deep).await;
                (blob.path(), Arc::new(exam))
            })
        });
        let exams = exams.await;
        self.exams.lock().extend(exams);
    }

    /// Hears of bytes that were read from the store.
    fn read(&self, bytes: u64) {
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.watch.advance((before + bytes) / MIB - before / MIB);
    }

    /// What was found out about an object.
    fn known(&self, object: &Object) -> Option<Arc<Exam>> {
        self.exams.lock().get(&object.path()).cloned()
    }

    /// Where something is wrong in an image that is another one now, that is no damage: it was pushed or deleted
    /// meanwhile.
    async fn walk_again_if_moved(&self, image: &Image, branch: &mut Branch, deep: bool) {
        for _ in 0..WALKS {
            if !self.is_wrong(branch) {
                return;
            }
            let root = Object::root(image);
            let before = self.known(&root).map(|exam| (exam.copy.target, exam.copy.absent));
            let now = self.settle(&root, false).await;
            if before == Some((now.copy.target, now.copy.absent)) {
                return;
            }
            self.forget(branch);
            *branch = self.walk(root).await;
            let blobs = self.blobs([&*branch]);
            self.look_at(blobs, deep).await;
        }
    }
}
