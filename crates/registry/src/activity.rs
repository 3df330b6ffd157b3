//! Who pushed what, and who pulled it last: for whoever has to say whom damage hurts and who can push again.
//!
//! Requests only note it in memory. What was noted is written now and then, by each process to a record of its own for each
//! repository, so that no request waits for it and no two processes write one object. A process that is killed takes with it
//! what it noted since: at most what [`Registry::keep_activity`] had not written yet.

mod recent;
mod record;

use std::time::{Duration, SystemTime};

use futures::{StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;
use uuid::Uuid;
use wharfinger_oci::{Digest, Reference, RepositoryName, Tag};
use wharfinger_store::{Delete, Durability, Key, List, Store, StoreErrorKind};

use crate::error::Result;
use crate::layout;
use crate::registry::{Mode, Registry};
use recent::Recent;
pub use record::{Activity, Event, Happened};

/// Bytes of a record at most.
const LARGEST: usize = 4 * 1024 * 1024;
/// A record that was not written for so long is taken over by who writes next: its process is gone, or does nothing.
const TAKEN_OVER: Duration = Duration::from_secs(24 * 3600);
/// Repositories that are written side by side.
const PARALLEL: usize = 4;
/// Records that are read side by side.
const READS: usize = 16;

/// What happened lately, and by which name it is written down.
pub(crate) struct Noted {
    writer: Uuid,
    recent: Mutex<Recent>,
}

impl Default for Noted {
    fn default() -> Self {
        Noted { writer: Uuid::new_v4(), recent: Mutex::default() }
    }
}

/// What is to be written of one repository; it is due again where it was not, also where whoever writes it is stopped.
struct Due<'a> {
    recent: &'a Mutex<Recent>,
    name: RepositoryName,
    happened: Activity,
    written: bool,
}

impl Drop for Due<'_> {
    fn drop(&mut self) {
        if !self.written {
            self.recent.lock().put_back(&self.name, &self.happened);
        }
    }
}

impl Registry {
    /// Notes that a client asked for an image, `whole`, or only for what a tag points to. `who` is asked only where there is
    /// something new to be noted: pulls of one image by one tag are noted ten minutes apart; none: no pull is noted, and only
    /// counted for [`DiskCache::most_pulled`](crate::DiskCache::most_pulled).
    pub fn note_pull(
        &self,
        name: &RepositoryName,
        reference: &Reference,
        digest: &Digest,
        whole: bool,
        who: Option<impl FnOnce() -> Event>,
    ) {
        // What is never written would fill the memory that there is for it.
        let who = who.filter(|_| self.mode() != Mode::Observe);
        let now = SystemTime::now();
        let mut recent = self.inner.activity.recent.lock();
        let tag = match (whole, reference) {
            (false, Reference::Tag(tag)) => return recent.asked(name, digest, tag),
            (false, Reference::Digest(_)) => return,
            (true, _) => recent.pulled(name, reference, digest, now, who),
        };
        drop(recent);
        if let Some(cache) = self.disk_cache() {
            cache.count_pull(name, &tag.map_or_else(|| reference.clone(), Reference::Tag));
        }
    }

    /// Notes that a client pushed a manifest, and which tags it pointed to it.
    pub fn note_push(&self, name: &RepositoryName, tags: &[Tag], digest: &Digest, event: &Event) {
        self.inner.activity.recent.lock().pushed(name, tags, digest, event);
    }

    /// Writes down what happened in repositories where something was pushed since it was last written, or in `all`. Where
    /// nothing may be written nothing is. A repository whose record cannot be written is written the next time.
    pub async fn keep_activity(&self, all: bool) {
        if self.mode() == Mode::Observe {
            return;
        }
        let due = self.inner.activity.recent.lock().take(all);
        let recent = &self.inner.activity.recent;
        let mut writes = Vec::new();
        for (name, happened) in due {
            writes.push(self.write_due(Due { recent, name, happened, written: false }));
        }
        stream::iter(writes).buffer_unordered(PARALLEL).collect::<()>().await;
    }

    async fn write_due(&self, mut due: Due<'_>) {
        match self.write_activity(&due.name, &due.happened).await {
            Ok(()) => due.written = true,
            Err(error) => {
                let repository = &due.name;
                tracing::debug!(%error, %repository, "who pushed and pulled could not be written down");
            }
        }
    }

    /// Adds to this process's record of a repository, and takes over records that nobody writes any more.
    async fn write_activity(&self, name: &RepositoryName, happened: &Activity) -> Result<()> {
        let (store, mine) = (self.store(), layout::activity_record(name, &self.inner.activity.writer));
        let mut known = match read(store, &mine).await? {
            Some((known, _)) => known,
            None => Activity::default(),
        };
        known.merge(happened);
        let left = self.left_behind(name, &mine).await;
        for (_, other) in &left {
            known.merge(other);
        }
        known.trim();
        store.put(&mine, known.encode().into(), Durability::Synced).await?;
        for (key, _) in left {
            // Where nothing may be deleted it stays, and is merged again.
            let _ = store.delete(&key, Delete::default()).await;
        }
        Ok(())
    }

    /// Records of a repository that were not written for long. Only what would be saved is lost where it cannot be told.
    async fn left_behind(&self, name: &RepositoryName, mine: &Key) -> Vec<(Key, Activity)> {
        let old = |modified: Option<SystemTime>| {
            modified.and_then(|at| at.elapsed().ok()).is_some_and(|age| age > TAKEN_OVER)
        };
        let all = records(self.store(), name).await.unwrap_or_default();
        let others = all.into_iter().filter(|(key, ..)| key != mine);
        others.filter(|(_, _, modified)| old(*modified)).map(|(key, activity, _)| (key, activity)).collect()
    }

    /// Who pushed and pulled in a repository: what all processes wrote down, and what this one has not written yet.
    ///
    /// # Errors
    /// The records cannot be listed or read.
    pub async fn activity(&self, name: &RepositoryName) -> Result<Activity> {
        let mut activity = Activity::default();
        for (_, record, _) in records(self.store(), name).await? {
            activity.merge(&record);
        }
        self.inner.activity.recent.lock().add_to(name, &mut activity);
        Ok(activity)
    }
}

/// A record, where it lies, and when it was written.
type Named = (Key, Activity, Option<SystemTime>);

/// All records of a repository that a listing finds, each read by name.
async fn records(store: &dyn Store, name: &RepositoryName) -> Result<Vec<Named>> {
    let below = layout::activity(name);
    let page = store.list(&below, List { shallow: true, after: None, limit: usize::MAX }).await?;
    let keys: Vec<Key> = page.entries.iter().map(|entry| below.join(entry.name())).collect();
    let reads = keys.into_iter().map(|key| read_named(store, key));
    let read: Vec<Option<Named>> = stream::iter(reads).buffered(READS).try_collect().await?;
    Ok(read.into_iter().flatten().collect())
}

async fn read_named(store: &dyn Store, key: Key) -> Result<Option<Named>> {
    let read = read(store, &key).await?;
    Ok(read.map(|(activity, modified)| (key, activity, modified)))
}

/// One record; none where there is none, or where it tells nothing.
async fn read(store: &dyn Store, key: &Key) -> Result<Option<(Activity, Option<SystemTime>)>> {
    match store.get_newest(key, LARGEST).await {
        Ok((bytes, modified)) => Ok(Some((Activity::decode(&bytes).unwrap_or_default(), modified))),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) if error.kind == StoreErrorKind::Invalid => Ok(Some((Activity::default(), None))),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use time::OffsetDateTime;
    use wharfinger_store::Memory;

    use super::*;
    use crate::registry::Options;

    fn event(user: &str, at: i64) -> Event {
        let at = OffsetDateTime::from_unix_timestamp(at).unwrap();
        Event { at, user: Some(user.to_owned()), address: None }
    }

    fn name() -> RepositoryName {
        RepositoryName::parse("team/app").unwrap()
    }

    fn tag() -> Tag {
        Tag::parse("v1").unwrap()
    }

    #[tokio::test]
    async fn what_one_process_wrote_the_next_one_knows() {
        let store = Arc::new(Memory::new());
        let (digest, other) = (Digest::sha256(b"x"), Digest::sha256(b"y"));
        let first = Registry::new(store.clone(), Options::default());
        first.note_push(&name(), &[tag()], &digest, &event("ci", 100));
        first.keep_activity(false).await;
        let second = Registry::new(store.clone(), Options::default());
        second.note_pull(&name(), &Reference::Tag(tag()), &digest, true, Some(|| event("node", 200)));
        second.note_push(&name(), &[tag()], &other, &event("someone", 300));
        for registry in [&first, &second] {
            registry.keep_activity(true).await;
        }
        let known = Registry::new(store, Options::default()).activity(&name()).await.unwrap();
        let of_tag = known.of_tag(&tag());
        assert_eq!(of_tag.pushed.unwrap().user.as_deref(), Some("someone"));
        assert_eq!(of_tag.pulled.unwrap().user.as_deref(), Some("node"));
        assert_eq!(known.of_digest(&digest).pushed.unwrap().user.as_deref(), Some("ci"));
    }

    #[tokio::test]
    async fn pulls_alone_wait_until_all_is_written_and_pushes_do_not() {
        let store = Arc::new(Memory::new());
        let registry = Registry::new(store.clone(), Options::default());
        let digest = Digest::sha256(b"x");
        registry.note_pull(&name(), &Reference::Digest(digest), &digest, true, Some(|| event("node", 200)));
        registry.keep_activity(false).await;
        let written = || async { records(&*store, &name()).await.unwrap().len() };
        assert_eq!(written().await, 0);
        assert!(registry.activity(&name()).await.unwrap().of_digest(&digest).pulled.is_some());
        registry.note_push(&name(), &[], &digest, &event("ci", 100));
        registry.keep_activity(false).await;
        assert_eq!(written().await, 1);
    }

    #[tokio::test]
    async fn what_was_being_written_when_the_writer_was_stopped_is_written_the_next_time() {
        let store = Arc::new(Memory::new());
        let registry = Registry::new(store.clone(), Options::default());
        let digest = Digest::sha256(b"x");
        registry.note_push(&name(), &[tag()], &digest, &event("ci", 100));
        let stopped = async {
            let taken = registry.inner.activity.recent.lock().take(false);
            let recent = &registry.inner.activity.recent;
            let due =
                taken.into_iter().map(|(name, happened)| Due { recent, name, happened, written: false });
            let _due: Vec<Due<'_>> = due.collect();
            std::future::pending::<()>().await;
        };
        assert!(tokio::time::timeout(Duration::from_millis(1), stopped).await.is_err());
        registry.keep_activity(false).await;
        assert_eq!(records(&*store, &name()).await.unwrap().len(), 1);
        assert!(
            registry.inner.activity.recent.lock().take(true).is_empty(),
            "what is written is not due again"
        );
    }

    #[tokio::test]
    async fn where_nothing_may_be_written_nothing_is() {
        let store = Arc::new(Memory::new());
        let options = Options { mode: Mode::Observe, ..Options::default() };
        let registry = Registry::new(store.clone(), options);
        registry.note_push(&name(), &[tag()], &Digest::sha256(b"x"), &event("ci", 100));
        registry.keep_activity(true).await;
        assert!(records(&*store, &name()).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_record_that_tells_nothing_is_as_good_as_none() {
        let store = Arc::new(Memory::new());
        let registry = Registry::new(store.clone(), Options::default());
        let broken = layout::activity_record(&name(), &Uuid::new_v4());
        store.put(&broken, "{".into(), Durability::Synced).await.unwrap();
        let digest = Digest::sha256(b"x");
        registry.note_push(&name(), &[tag()], &digest, &event("ci", 100));
        registry.keep_activity(false).await;
        assert!(registry.activity(&name()).await.unwrap().of_tag(&tag()).pushed.is_some());
    }
}
