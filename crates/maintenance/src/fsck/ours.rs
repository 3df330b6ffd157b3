//! What is ours beside Distribution's tree: chunk indexes, the referrers index, upload sessions. All of it can be derived
//! or begun again, so that little of it can hurt.

use wharfinger_oci::{Descriptor, Digest, RepositoryName};
use wharfinger_registry::SessionId;
use wharfinger_registry::blob::chunk_index::ChunkIndex;
use wharfinger_registry::layout::{self, Place, place};
use wharfinger_store::{Area, Key, Result, Row, StoreErrorKind};

use super::Walk;
use crate::graph::mark;
use crate::{Finding, Kind, audit};

/// A descriptor with annotations.
const LARGEST: usize = 4 * 1024 * 1024;

impl Walk<'_> {
    pub(super) async fn look_at_ours(&mut self) -> Result<()> {
        self.watch.begin("looking at indexes and sessions", None);
        let prefix = format!("{}/", layout::OURS);
        let mut after = Some(prefix.clone());
        while let Some(start) = after {
            let page = self.site.inventory.rows(Area::Objects, Some(&start)).await?;
            let all = page.rows.len();
            let rows: Vec<Row> =
                page.rows.into_iter().take_while(|row| row.name.starts_with(&prefix)).collect();
            after = page.next.filter(|_| rows.len() == all);
            self.watch.advance(rows.len() as u64);
            for row in rows {
                self.look_at_row(row).await;
            }
        }
        Ok(())
    }

    async fn look_at_row(&mut self, row: Row) {
        self.state.counts.ours.add(row.size);
        match place(&row.name) {
            Some(Place::ChunkIndex(digest)) => self.look_at_index(&digest, row.size).await,
            Some(Place::Session(id)) => self.look_at_session(id).await,
            Some(Place::Audit) => self.look_at_audit(Key::new(row.name)).await,
            Some(Place::Referrer(name, digest)) => self.look_at_referrer(&name, &digest, row.name).await,
            _ => {}
        }
    }

    /// By its length alone, as long as that is right: a deep walk compares what is in it.
    async fn look_at_index(&mut self, digest: &Digest, length: u64) {
        let Some(size) = self.size_of(mark(digest)) else {
            return self.look_at_stale_index(digest).await;
        };
        let expected = ChunkIndex::encoded_size(size) as u64;
        if length == expected || self.state.misindexed.contains_key(digest) {
            return;
        }
        let limit = ChunkIndex::encoded_size(size).max(usize::try_from(length).unwrap_or(0)) + 1024;
        let read = self.site.registry.store().get_newest(&layout::chunk_index(digest), limit).await;
        match read.map(|(bytes, _)| ChunkIndex::decode(&bytes)) {
            Ok(Some(index)) if index.size() != size => {
                let reason = format!("its chunk index is that of {} bytes, it has {size}", index.size());
                self.state.misindexed.insert(*digest, reason);
            }
            Ok(None) => {
                let reason = "its chunk index cannot be read as one and is taken as absent";
                self.note_broken_index(*digest, reason);
            }
            Ok(Some(_)) | Err(_) => {}
        }
    }

    async fn look_at_stale_index(&mut self, digest: &Digest) {
        let (store, key) = (self.site.registry.store(), layout::chunk_index(digest));
        let gone = store.head(&layout::blob_data(digest)).await.is_err_and(|error| error.is_not_found());
        if gone && store.head(&key).await.is_ok() {
            let reason = "it is a chunk index, and the blob is not there";
            self.note(|| Finding::new(Kind::IndexStale, &key, reason), Kind::IndexStale);
        }
    }

    async fn look_at_session(&mut self, id: SessionId) {
        let registry = self.site.registry;
        let key = layout::upload_session(&id);
        match registry.session_summary(id).await {
            Ok(Some(_)) => {
                self.state.counts.sessions += 1;
                self.state.named.session(id);
            }
            Ok(None) => {
                // What it staged is nobody else's: it is not told to belong to no one.
                self.state.named.session(id);
                if registry.store().head(&key).await.is_ok() {
                    let reason = "the record of an upload cannot be read; its client begins again";
                    self.note(|| Finding::new(Kind::SessionBroken, &key, reason), Kind::SessionBroken);
                }
            }
            Err(error) => {
                self.state.named.session(id);
                self.state.findings.push(Finding::new(Kind::Unreadable, &key, error));
            }
        }
    }

    async fn look_at_audit(&mut self, key: Key) {
        match audit::read_one(self.site.registry.store(), &key).await {
            Ok(Ok(_)) => {}
            Ok(Err(reason)) => {
                self.note(|| Finding::new(Kind::AuditBroken, &key, reason), Kind::AuditBroken);
            }
            Err(error) if error.is_not_found() => {}
            Err(error) => self.state.findings.push(Finding::new(Kind::Unreadable, &key, error)),
        }
    }

    async fn look_at_referrer(&mut self, name: &RepositoryName, digest: &Digest, key: String) {
        let (store, key) = (self.site.registry.store(), Key::new(key));
        let read = store.get_newest(&key, LARGEST).await;
        let told = match read {
            Ok((bytes, _)) => serde_json::from_slice::<Descriptor>(&bytes).ok(),
            Err(error) if error.is_not_found() => return,
            Err(error) if error.kind == StoreErrorKind::Invalid => None,
            Err(error) => return self.state.findings.push(Finding::new(Kind::Unreadable, &key, error)),
        };
        let stale = if told.is_none_or(|told| told.digest != *digest) {
            Some("the entry does not describe the referrer")
        } else {
            let link = store.head(&layout::revision_link(name, digest)).await;
            link.is_err_and(|error| error.is_not_found())
                .then_some("the referrer is not in the repository any more")
        };
        if let Some(reason) = stale {
            let finding = || Finding::new(Kind::ReferrerStale, &key, reason).within(name);
            self.note(finding, Kind::ReferrerStale);
        }
    }
}
