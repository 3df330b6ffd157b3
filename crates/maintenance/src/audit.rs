//! What operators did: one small object for each action, written once and never changed.
//!
//! Where nothing may be written, or the store does not take it, the same is a log line.

use std::time::Duration;

use futures::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{Date, OffsetDateTime};
use uuid::Uuid;
use wharfinger_registry::{Mode, layout};
use wharfinger_store::{Durability, Entry as Listed, Key, List, Result, Store, StoreErrorKind};

/// Bytes of an entry at most.
const LARGEST: usize = 64 * 1024;
/// How long an action waits for its entry to be written; then it is a log line.
const PATIENCE: Duration = Duration::from_secs(5);
/// Entries that are read side by side.
const PARALLEL: usize = 16;
/// Before an entry that seems damaged is read again.
const BACK_OFF: Duration = Duration::from_millis(300);

const DAY: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]");
const TIME: &[BorrowedFormatItem<'_>] = format_description!("[hour][minute][second].[subsecond digits:6]");

/// One action of an operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When it was over.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// The operator's Unix user.
    pub who: String,
    /// The machine it was done on.
    pub host: String,
    /// The command, as `cache flush`.
    pub action: String,
    /// On what: a digest, an image, `everything`.
    pub what: String,
    /// What the operator gave as the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What was done; `failed: ...` where it was not.
    pub result: String,
}

impl Entry {
    /// Something that is over now, on this machine. An error becomes the result `failed: ...`.
    pub fn now(
        who: String,
        action: &str,
        what: impl Into<String>,
        why: Option<String>,
        result: std::result::Result<String, String>,
    ) -> Entry {
        Entry {
            at: OffsetDateTime::now_utc(),
            who,
            host: host(),
            action: action.to_owned(),
            what: what.into(),
            why,
            result: result.unwrap_or_else(|error| format!("failed: {error}")),
        }
    }

    /// Its name; none for a time that no calendar of four digits has.
    fn key(&self) -> Option<Key> {
        let at = self.at.to_offset(time::UtcOffset::UTC);
        Some(layout::audit_entry(&at.format(DAY).ok()?, &at.format(TIME).ok()?, &Uuid::new_v4()))
    }

    fn log(&self, unwritten: &str) {
        let Entry { who, host, action, what, why, result, .. } = self;
        tracing::info!(who, host, action, what, why, result, unwritten, "an operator changed something");
    }
}

/// Writes an entry down; where that is not allowed or fails, it is a log line. Waits at most a few seconds. Says whether
/// it is in the store.
pub async fn record(store: &dyn Store, mode: Mode, entry: &Entry) -> bool {
    if mode == Mode::Observe {
        entry.log("storage.mode is observe");
        return false;
    }
    let (Some(key), Ok(text)) = (entry.key(), serde_json::to_vec(entry)) else {
        entry.log("it cannot be written as JSON");
        return false;
    };
    let put = store.put(&key, text.into(), Durability::Synced);
    let failure = match tokio::time::timeout(PATIENCE, put).await {
        Ok(Ok(())) => return true,
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("the store did not take it within {} s", PATIENCE.as_secs()),
    };
    entry.log(&failure);
    false
}

/// What operators did, newest first.
#[derive(Debug, Default, Serialize)]
pub struct Trail {
    /// The actions.
    pub entries: Vec<Entry>,
    /// Entries that tell nothing, and why.
    pub damaged: Vec<Damaged>,
}

/// An entry that tells nothing.
#[derive(Debug, Serialize)]
pub struct Damaged {
    /// Its name in the store.
    pub key: String,
    /// What is wrong with it.
    pub why: String,
}

/// Reads what was done since a time (by the names of the entries), newest first, at most so many.
///
/// # Errors
/// The store cannot be listed or read. A damaged entry is none: it is told beside the others.
pub async fn read(store: &dyn Store, since: Option<OffsetDateTime>, limit: usize) -> Result<Trail> {
    let since = since.map(|since| since.to_offset(time::UtcOffset::UTC));
    let mut trail = Trail::default();
    let mut days: Vec<String> = names(store, &layout::audit(), true).await?;
    days.retain(|day| Date::parse(day, DAY).is_ok_and(|day| since.is_none_or(|since| day >= since.date())));
    let earliest =
        since.and_then(|since| Some(format!("{}/{}", since.format(DAY).ok()?, since.format(TIME).ok()?)));
    for day in days.iter().rev() {
        let below = layout::audit().join(day);
        let mut times = names(store, &below, false).await?;
        times.retain(|time| earliest.as_ref().is_none_or(|earliest| format!("{day}/{time}") >= *earliest));
        let keys = times.iter().rev().map(|time| below.join(time));
        let mut reads = stream::iter(keys.map(|key| entry(store, key))).buffered(PARALLEL);
        while let Some(read) = reads.next().await {
            if trail.entries.len() >= limit {
                return Ok(trail);
            }
            match read? {
                Ok(entry) => trail.entries.push(entry),
                Err(damaged) => trail.damaged.push(damaged),
            }
        }
    }
    Ok(trail)
}

/// One entry. What seems damaged is read again before it is called so.
async fn entry(store: &dyn Store, key: Key) -> Result<std::result::Result<Entry, Damaged>> {
    match read_one(store, &key).await? {
        Ok(entry) => return Ok(Ok(entry)),
        Err(_) => tokio::time::sleep(BACK_OFF).await,
    }
    Ok(read_one(store, &key).await?.map_err(|why| Damaged { key: key.to_string(), why }))
}

pub(crate) async fn read_one(store: &dyn Store, key: &Key) -> Result<std::result::Result<Entry, String>> {
    let bytes = match store.get_newest(key, LARGEST).await {
        Ok((bytes, _)) if bytes.is_empty() => return Ok(Err("it is empty".to_owned())),
        Ok((bytes, _)) => bytes,
        Err(error) if error.is_not_found() => return Ok(Err("it is listed and not there".to_owned())),
        Err(error) if error.kind == StoreErrorKind::Invalid => return Ok(Err(error.source.to_string())),
        Err(error) => return Err(error),
    };
    Ok(serde_json::from_slice(&bytes).map_err(|error| format!("it does not say what was done: {error}")))
}

/// Names below a prefix, in order.
async fn names(store: &dyn Store, prefix: &Key, shallow: bool) -> Result<Vec<String>> {
    let page = store.list(prefix, List { shallow, after: None, limit: usize::MAX }).await?;
    let wanted = |entry: &Listed| matches!(entry, Listed::Prefix(_)) == shallow;
    Ok(page.entries.iter().filter(|entry| wanted(entry)).map(|entry| entry.name().to_owned()).collect())
}

/// The name of this machine.
pub fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "?".to_owned() } else { name.to_owned() }
}

/// The name of a Unix user, as `/etc/passwd` has it; else the number.
pub fn user(uid: u32) -> String {
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    named(&users, uid).unwrap_or_else(|| format!("uid {uid}"))
}

fn named(users: &str, uid: u32) -> Option<String> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use time::macros::datetime;
    use wharfinger_store::Memory;
    use wharfinger_store::layer::{Guarded, Permit};

    use super::*;

    fn done(at: OffsetDateTime, what: &str) -> Entry {
        let entry = Entry::now("ann".into(), "cache flush", what, Some("a test".into()), Ok("done".into()));
        Entry { at, ..entry }
    }

    #[tokio::test]
    async fn what_was_done_is_read_newest_first_with_a_limit_and_since_a_time() {
        let store = Memory::new();
        let times = [
            datetime!(2026-11-28 23:59:59.999999 UTC),
            datetime!(2026-11-29 00:00 UTC),
            datetime!(2026-11-29 13:00:00.5 +01:00),
            datetime!(2026-11-30 07:00 UTC),
        ];
        let entries: Vec<Entry> = times.iter().map(|at| done(*at, &at.to_string())).collect();
        for entry in [&entries[2], &entries[0], &entries[3], &entries[1]] {
            assert!(record(&store, Mode::Trial, entry).await);
        }
        let all: Vec<Entry> = entries.iter().rev().cloned().collect();
        let read_all = async |since, limit| read(&store, since, limit).await.unwrap().entries;
        assert_eq!(read_all(None, 99).await, all);
        assert_eq!(read_all(None, 2).await, all[..2]);
        assert_eq!(read_all(None, 0).await, []);
        assert_eq!(read_all(Some(times[1]), 99).await, all[..3]);
        assert_eq!(read_all(Some(times[2]), 99).await, all[..2]);
        assert_eq!(read_all(Some(datetime!(2027-01-01 0:00 UTC)), 99).await, []);
    }

    #[tokio::test(start_paused = true)]
    async fn a_damaged_entry_is_told_and_hides_no_other() {
        let store = Memory::new();
        record(&store, Mode::Adopted, &done(datetime!(2026-11-29 01:00 UTC), "a")).await;
        let id = Uuid::new_v4();
        for (time, content) in [("000000.000000", ""), ("020000.000000", "{\"at\":"), ("030000.000000", "{}")]
        {
            let key = layout::audit_entry("2026-11-29", time, &id);
            store.put(&key, Bytes::from(content), Durability::Synced).await.unwrap();
        }
        // Neither a day nor an entry of ours.
        for name in ["x/000000.000000-y", "README"] {
            store
                .put(&layout::audit().join(name), Bytes::from_static(b"?"), Durability::Synced)
                .await
                .unwrap();
        }
        let trail = read(&store, None, 99).await.unwrap();
        assert_eq!(trail.entries.len(), 1);
        let told: Vec<&str> = trail.damaged.iter().map(|damaged| damaged.why.as_str()).collect();
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(told[0].contains("missing field") && told[1].contains("EOF"), "{told:?}");
        assert_eq!(told[2], "it is empty");
        assert!(trail.damaged[2].key.starts_with("wharfinger/v1/audit/2026-11-29/000000.000000-"));
    }

    #[tokio::test]
    async fn nothing_is_written_where_nothing_may_be() {
        let memory = Memory::new();
        let entry = done(datetime!(2026-11-29 01:00 UTC), "a");
        assert!(!record(&memory, Mode::Observe, &entry).await);
        let guarded = Guarded::new(Arc::new(memory.clone()), Permit::ReadOnly);
        assert!(!record(&guarded, Mode::Adopted, &entry).await);
        assert_eq!(read(&memory, None, 99).await.unwrap().entries, []);
    }

    #[test]
    fn users_have_the_names_of_passwd() {
        let users = "root:x:0:0:root:/root:/bin/bash\nbroken\nann:x:1000:1000::/home/ann:/bin/sh\n";
        assert_eq!(named(users, 0).as_deref(), Some("root"));
        assert_eq!(named(users, 1000).as_deref(), Some("ann"));
        assert_eq!(named(users, 7), None);
    }
}
