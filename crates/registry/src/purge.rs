//! Purging uploads that nobody went on with: ours, and those that Distribution left.

use std::time::{Duration, SystemTime};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use wharfinger_oci::RepositoryName;
use wharfinger_store::{Delete, Entry, List};

use crate::error::{Result, optional};
use crate::layout;
use crate::registry::Registry;
use crate::upload::{SessionId, Writing};

/// What a purge did, or would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Uploads dropped.
    pub uploads: usize,
    /// Uploads that are younger, or that a request is writing to.
    pub kept: usize,
}

impl Registry {
    /// Drops uploads on which nothing happened for `age`. With `dry_run` it only counts them.
    pub async fn purge_uploads(&self, age: Duration, dry_run: bool) -> Result<Purged> {
        self.inner.sessions.sweep();
        let mut purged = self.purge_sessions(age, dry_run).await?;
        for name in self.repository_names().await?.iter() {
            let foreign = self.purge_foreign(name, age, dry_run).await?;
            purged.uploads += foreign.uploads;
            purged.kept += foreign.kept;
        }
        Ok(purged)
    }

    async fn purge_sessions(&self, age: Duration, dry_run: bool) -> Result<Purged> {
        let mut purged = Purged::default();
        for entry in self.store().list(&layout::uploads(), everything(true)).await?.entries {
            let Some(id) = SessionId::parse(entry.name()) else { continue };
            // The record is rewritten at every checkpoint; without one, the bytes alone tell the age.
            let mut touched = None;
            for key in [layout::upload_session(&id), layout::upload_data(&id)] {
                let meta = optional(self.store().head(&key).await)?;
                touched = touched.max(meta.and_then(|meta| meta.modified));
            }
            if touched.is_none() && self.inner.shape.remote {
                // A listing shows a session for a while after it was closed.
                continue;
            }
            let idle = touched.map_or(Duration::MAX, |at| at.elapsed().unwrap_or_default());
            match Writing::begin(self, id) {
                Ok(_writing) if self.purge_session(id, idle, age, dry_run).await? => purged.uploads += 1,
                _ => purged.kept += 1,
            }
        }
        Ok(purged)
    }

    /// Drops a session on which nothing happened for so long, by its record; without one, whatever lies at its place.
    /// On a store elsewhere that may be what a blob consists of by now, so there it stays, and so does for a while what
    /// may become one. Says whether the session was, or would be, dropped.
    async fn purge_session(
        &self,
        id: SessionId,
        idle: Duration,
        age: Duration,
        dry_run: bool,
    ) -> Result<bool> {
        let landing = self.inner.options.landing;
        if idle < age.min(landing) {
            return Ok(false);
        }
        let session = self.read_session(id).await?;
        let ended = session.as_ref().is_some_and(|session| session.ended);
        if idle < age && !(ended && idle >= landing) {
            return Ok(false);
        }
        if let Some(session) = &session
            && idle < landing
            && self.may_become_a_blob(id, session).await?
        {
            return Ok(false);
        }
        if dry_run {
            return Ok(true);
        }
        match session {
            Some(session) => self.remove_upload(id, &session).await?,
            None if self.inner.shape.remote => return Ok(false),
            None => {
                let nothing = wharfinger_store::Checkpoint::default();
                self.store().discard(&layout::upload_data(&id), &nothing, None).await?;
                self.store().delete(&layout::upload_session(&id), Delete { prune_parents: 1 }).await?;
            }
        }
        Ok(true)
    }

    /// Distribution's uploads tell their age in `startedat`; one without it is as old as its newest object.
    async fn purge_foreign(&self, name: &RepositoryName, age: Duration, dry_run: bool) -> Result<Purged> {
        let mut purged = Purged::default();
        let prefix = layout::foreign_uploads(name);
        for entry in self.store().list(&prefix, everything(true)).await?.entries {
            let Entry::Prefix(upload) = entry else { continue };
            let place = prefix.join(&upload);
            let started = optional(self.store().get(&place.join("startedat"), 64).await)?;
            let started = started
                .and_then(|text| {
                    OffsetDateTime::parse(std::str::from_utf8(&text).ok()?.trim(), &Rfc3339).ok()
                })
                .map(SystemTime::from);
            let objects = self.store().list(&place, everything(false)).await?.entries;
            let mut touched = started;
            if touched.is_none() {
                for object in &objects {
                    let meta = optional(self.store().head(&place.join(object.name())).await)?;
                    touched = touched.max(meta.and_then(|meta| meta.modified));
                }
            }
            if touched.is_some_and(|at| at.elapsed().unwrap_or_default() < age) {
                purged.kept += 1;
                continue;
            }
            purged.uploads += 1;
            if !dry_run {
                for object in &objects {
                    let depth = 1 + object.name().matches('/').count() as u8;
                    self.store().delete(&place.join(object.name()), Delete { prune_parents: depth }).await?;
                }
            }
        }
        Ok(purged)
    }
}

fn everything(shallow: bool) -> List {
    List { shallow, after: None, limit: usize::MAX }
}
