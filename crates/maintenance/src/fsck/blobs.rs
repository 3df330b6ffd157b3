//! The stream of blobs: each is looked at, and read where that was asked for.

use wharfinger_oci::Digest;
use wharfinger_registry::blob::chunk_index::ChunkIndex;
use wharfinger_registry::layout::{self, Place, place};
use wharfinger_store::{Area, Result, StoreErrorKind};

use super::state::Stage;
use super::{Options, Site, Walk};
use crate::graph::{self, Blob, Form, Mark, State, mark};
use crate::prove::Pace;
use crate::{Finding, Kind, parallel, segments};

/// What a read of the whole blob told.
enum Read {
    /// It was not read.
    Not,
    /// Its digest is right; what is wrong with the chunk index beside it, if anything.
    Right(Option<(Kind, String)>),
    /// It is not what its digest says, or could not be read.
    Wrong,
}

impl Walk<'_> {
    pub(super) async fn look_at_blobs(&mut self) -> Result<()> {
        let step = if self.options.deep { "hashing blobs" } else { "looking at blobs" };
        self.watch.begin(step, None);
        let only = &self.options.only;
        if !only.is_empty() {
            let blobs =
                only.iter().filter(|digest| self.state.manifests.binary_search(&mark(digest)).is_err());
            self.look_at(blobs.copied().collect()).await;
            self.state.seen.sort_unstable();
            return Ok(());
        }
        if self.options.repositories.is_none() {
            self.look_at_listed_blobs().await?;
        }
        self.state.seen.sort_unstable();
        let seen: Vec<Mark> = self.state.seen.iter().map(|(mark, _)| *mark).collect();
        let missing = self.state.edges.missing_from(&seen);
        if !self.options.is_whole() {
            // Only what was new was listed: the others are found by the manifests that need them.
            self.look_at_needed(&missing).await?;
            return Ok(());
        }
        for mark in missing.into_iter().filter(|mark| self.state.manifests.binary_search(mark).is_err()) {
            self.state.suspects.entry(mark).or_default();
        }
        Ok(())
    }

    async fn look_at_listed_blobs(&mut self) -> Result<()> {
        let prefix = format!("{}/", layout::blobs());
        let Stage::Blobs(position) = &self.state.stage else { return Ok(()) };
        let (mut after, mut looked) = (position.clone().or_else(|| Some(prefix.clone())), 0);
        let before = position.as_ref().map_or(0.0, |position| share(position));
        while let Some(start) = after {
            let page = self.site.inventory.rows(Area::Objects, Some(&start)).await?;
            let all = page.rows.len();
            let (mut below, mut wanted) = (0, Vec::new());
            for row in page.rows.into_iter().take_while(|row| row.name.starts_with(&prefix)) {
                below += 1;
                let Some(Place::Blob(digest)) = place(&row.name) else { continue };
                // A manifest was read and hashed, unless it is a large object that was pushed as a blob once.
                let is_manifest = row.size > 0 && self.state.manifests.binary_search(&mark(&digest)).is_ok();
                if is_manifest {
                    self.state.seen.push((mark(&digest), row.size));
                } else if self.options.is_new(row.modified) {
                    wanted.push(digest);
                }
            }
            after = page.next.filter(|_| below == all);
            looked += wanted.len() as u64;
            if let Some(next) = &after {
                // Digests are spread evenly: where the page ends tells which share of all it is.
                let share = (share(next) - before).max(f64::EPSILON) / (1.0 - before).max(f64::EPSILON);
                self.watch.expect((looked as f64 / share) as u64);
            } else {
                self.watch.expect(looked);
            }
            self.look_at(wanted).await;
            if after.is_some() {
                self.keep(Stage::Blobs(after.clone())).await;
            }
        }
        self.keep(Stage::Listed).await;
        Ok(())
    }

    /// Looks at the blobs with these marks that repositories name.
    async fn look_at_needed(&mut self, marks: &[Mark]) -> Result<()> {
        let names = self.state.edges.users_of(marks.iter().copied());
        let wanted = marks.iter().copied().collect();
        let (graph, _) = self.graph_of(&names, wanted).await?;
        let digests = graph.blobs.keys().copied().collect();
        self.look_at(digests).await;
        self.state.seen.sort_unstable();
        Ok(())
    }

    async fn look_at(&mut self, wanted: Vec<Digest>) {
        let (site, options, pace) = (self.site, self.options, &self.pace);
        let looked = parallel::each(wanted, options.effort.parallel, self.watch, |digest| {
            Box::pin(async move {
                let blob = graph::read::blob(site.registry.store(), &digest).await;
                let read = read(site, options, pace, &digest, &blob).await;
                (digest, blob, read)
            })
        });
        for (digest, blob, read) in looked.await {
            self.note_blob(digest, &blob, &read);
        }
    }

    fn note_blob(&mut self, digest: Digest, blob: &Blob, read: &Read) {
        let mark = mark(&digest);
        if let Some(form) = &blob.form {
            segments::name(form, &mut self.state.named);
            if matches!(form, Form::Dynamic { recorded: None, .. }) {
                let reason = "a listing decides what it consists of, until it is read whole once";
                self.note(|| Finding::new(Kind::BlobUnlisted, digest, reason), Kind::BlobUnlisted);
            }
        }
        if blob.state != State::Missing {
            self.state.seen.push((mark, blob.size));
            self.state.counts.blobs.add(blob.size);
            if !self.state.edges.has(mark) {
                self.state.counts.unreferenced.add(blob.size);
            }
        }
        match read {
            Read::Wrong => drop(self.state.miscomputed.insert(digest)),
            Read::Right(index) => {
                self.state.counts.hashed.add(blob.size);
                match index {
                    Some((Kind::IndexWrong | Kind::Unreadable, reason)) => {
                        self.state.misindexed.insert(digest, reason.clone());
                    }
                    Some((_, reason)) => self.note_broken_index(digest, reason),
                    None => {}
                }
            }
            Read::Not => {}
        }
        let whole = matches!(blob.state, State::Whole { .. });
        if !whole || self.state.miscomputed.contains(&digest) || self.state.edges.disagree(mark, blob.size) {
            self.state.suspects.insert(mark, Some(digest));
        }
    }

    /// Notes once that a chunk index cannot be read as one.
    pub(super) fn note_broken_index(&mut self, digest: Digest, reason: &str) {
        if self.state.unindexed.insert(digest) {
            self.note(|| Finding::new(Kind::IndexBroken, digest, reason), Kind::IndexBroken);
        }
    }
}

/// Which share of all blobs comes before this name.
fn share(name: &str) -> f64 {
    match place(name) {
        Some(Place::Blob(digest)) => mark(&digest) as f64 / Mark::MAX as f64,
        _ => 0.0,
    }
}

/// Reads a blob that seems whole, where that is asked for and was not done before.
async fn read(site: Site<'_>, options: &Options, pace: &Pace, digest: &Digest, blob: &Blob) -> Read {
    let proven = options.proven.as_ref();
    let whole = matches!(blob.state, State::Whole { .. });
    if !options.deep || !whole || proven.is_some_and(|proven| proven.has(mark(digest))) {
        return Read::Not;
    }
    match graph::read::proved(site.registry.store(), digest, pace).await {
        Ok(index) => {
            if let Some(proven) = proven {
                proven.add(mark(digest)).await;
            }
            Read::Right(compare(site, digest, &index).await)
        }
        Err(State::Missing) => Read::Not,
        Err(_) => Read::Wrong,
    }
}

/// What is wrong with the chunk index that lies beside a blob.
pub(super) async fn compare(site: Site<'_>, digest: &Digest, right: &ChunkIndex) -> Option<(Kind, String)> {
    let broken = "its chunk index cannot be read as one and is taken as absent";
    let limit = ChunkIndex::encoded_size(right.size()) * 2 + 64;
    match site.registry.store().get_newest(&layout::chunk_index(digest), limit).await {
        Ok((bytes, _)) => match ChunkIndex::decode(&bytes) {
            Some(index) if index == *right => None,
            Some(_) => Some((Kind::IndexWrong, "its chunk index is that of other bytes".to_owned())),
            None => Some((Kind::IndexBroken, broken.to_owned())),
        },
        // None is needed, or the next whole read writes it.
        Err(error) if error.is_not_found() => None,
        Err(error) if error.kind == StoreErrorKind::Invalid => Some((Kind::IndexBroken, broken.to_owned())),
        // Who pulls the blob fails as well: its bytes go out by the index.
        Err(error) => Some((Kind::Unreadable, error.to_string())),
    }
}
