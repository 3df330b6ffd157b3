//! The servers that run on a store, by the records that they write about themselves every few seconds.

use std::time::{Duration, SystemTime};

use futures::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;
use wharfinger_registry::layout;
use wharfinger_store::{Delete, Durability, Key, List, Result, Store, StoreErrorKind};

/// Between two records of one server.
pub const EVERY: Duration = Duration::from_secs(15);
/// A server whose record is older does not write any more, or its store does not take it.
const SILENT: Duration = Duration::from_secs(60);
/// Older records are of servers that nobody looks for any more.
const FORGOTTEN: Duration = Duration::from_secs(24 * 60 * 60);
/// Bytes of a record at most.
const LARGEST: usize = 64 * 1024;
/// Records that are read side by side.
const PARALLEL: usize = 16;

/// A running server, as it says itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    /// Of this process.
    pub id: Uuid,
    /// The machine.
    pub host: String,
    /// The process on it.
    pub pid: u32,
    /// Of the program.
    pub version: String,
    /// Where it listens.
    pub address: String,
    /// `storage.mode`.
    pub mode: String,
    /// `active`, or `read-only`.
    pub role: String,
    /// Since when it runs.
    #[serde(with = "time::serde::rfc3339")]
    pub started: OffsetDateTime,
    /// When it wrote this, by its own clock.
    #[serde(with = "time::serde::rfc3339")]
    pub written_at: OffsetDateTime,
    /// How it did then.
    pub health: Health,
}

/// How a server does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Health {
    /// Whether it takes requests.
    pub ready: bool,
    /// How the last probe of the store went: `ok`, `failing`, `unknown`.
    pub store: String,
    /// `used` or `bypassed`; none without Redis.
    pub redis: Option<String>,
    /// Per cent of what pulls asked the disk cache for that it had; none without one, and before the first pull.
    pub cache_hits_percent: Option<u64>,
    /// Blobs that it knows to be damaged.
    pub damaged_blobs: u64,
    /// Uploads that requests are writing to.
    pub uploads_in_flight: u64,
    /// How the scrub stands, where there is one.
    pub scrub: Option<Value>,
}

impl Health {
    /// What is wrong; nothing where all is well.
    pub fn complaints(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        if !self.ready {
            complaints.push("not ready".to_owned());
        }
        if self.store == "failing" {
            complaints.push("its store is failing".to_owned());
        }
        if self.damaged_blobs > 0 {
            complaints.push(format!("{} damaged blobs", self.damaged_blobs));
        }
        complaints
    }
}

impl Instance {
    fn age(&self) -> Duration {
        (OffsetDateTime::now_utc() - self.written_at).try_into().unwrap_or_default()
    }

    /// Whether it has not written for a while: it was killed, cut off, or its store fails.
    pub fn is_silent(&self) -> bool {
        self.age() > SILENT
    }

    /// What is wrong with it; nothing where all is well.
    pub fn complaints(&self) -> Vec<String> {
        if self.is_silent() { vec!["silent".to_owned()] } else { self.health.complaints() }
    }

    /// Writes the record anew.
    ///
    /// # Errors
    /// The store did not take it.
    pub async fn write(&self, store: &dyn Store) -> Result<()> {
        let key = layout::instance(&self.id);
        let text = serde_json::to_vec(self).unwrap_or_default();
        store.put(&key, text.into(), Durability::Lazy).await
    }
}

/// Removes the record of a server that stops.
///
/// # Errors
/// The store did not do it.
pub async fn remove(store: &dyn Store, id: &Uuid) -> Result<()> {
    store.delete(&layout::instance(id), Delete::default()).await.map(drop)
}

/// Every server that has a record.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Fleet {
    /// In the order of host and address.
    pub instances: Vec<Instance>,
    /// Records that tell nothing, and why.
    #[serde(default)]
    pub damaged: Vec<String>,
}

impl Fleet {
    /// Reads the records that a listing finds, each by name.
    ///
    /// # Errors
    /// The store cannot be listed or read.
    pub async fn look(store: &dyn Store) -> Result<Fleet> {
        let page =
            store.list(&layout::instances(), List { shallow: true, after: None, limit: usize::MAX }).await?;
        let ids: Vec<Uuid> =
            page.entries.iter().filter_map(|entry| Uuid::parse_str(entry.name()).ok()).collect();
        let mut reads = stream::iter(ids.into_iter().map(|id| read(store, id))).buffered(PARALLEL);
        let mut fleet = Fleet::default();
        while let Some(read) = reads.next().await {
            match read? {
                Some(Ok(instance)) => fleet.instances.push(instance),
                Some(Err(damaged)) => fleet.damaged.push(damaged),
                // It stopped since, or a listing shows it a while longer.
                None => {}
            }
        }
        fleet
            .instances
            .sort_by_key(|instance| (instance.host.clone(), instance.address.clone(), instance.started));
        Ok(fleet)
    }

    /// Those that are silent or not well.
    pub fn troubled(&self) -> usize {
        self.instances.iter().filter(|instance| !instance.complaints().is_empty()).count()
    }

    /// Whether every one is known and well.
    pub fn is_well(&self) -> bool {
        self.troubled() == 0 && self.damaged.is_empty()
    }

    /// Removes the records of servers that are long gone, and those that `me` took the place of: of the same machine and
    /// address. Says how many there were.
    ///
    /// # Errors
    /// The store did not do it.
    pub async fn sweep(&self, store: &dyn Store, me: &Instance) -> Result<usize> {
        let replaced = |other: &Instance| {
            other.id != me.id
                && other.host == me.host
                && other.address == me.address
                && other.written_at < me.started
        };
        let gone: Vec<&Instance> =
            self.instances.iter().filter(|other| other.age() > FORGOTTEN || replaced(other)).collect();
        for instance in &gone {
            remove(store, &instance.id).await?;
        }
        Ok(gone.len())
    }
}

/// One record; none where there is none.
async fn read(store: &dyn Store, id: Uuid) -> Result<Option<std::result::Result<Instance, String>>> {
    let key = layout::instance(&id);
    let told = |why: String| format!("{key}: {why}");
    match store.get_newest(&key, LARGEST).await {
        Ok((bytes, _)) => match serde_json::from_slice::<Instance>(&bytes) {
            Ok(instance) => Ok(Some(Ok(instance))),
            // Nobody writes it any more: it goes the way of all old records.
            Err(_) if is_forgotten(store, &key).await? => {
                // Where nothing may be deleted it stays.
                let _ = remove(store, &id).await;
                Ok(None)
            }
            Err(error) => Ok(Some(Err(told(error.to_string())))),
        },
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) if error.kind == StoreErrorKind::Invalid => Ok(Some(Err(told(error.source.to_string())))),
        Err(error) => Err(error),
    }
}

async fn is_forgotten(store: &dyn Store, key: &Key) -> Result<bool> {
    let modified: Option<SystemTime> = match store.head(key).await {
        Ok(found) => found.modified,
        Err(error) if error.is_not_found() => None,
        Err(error) => return Err(error),
    };
    Ok(modified.and_then(|modified| modified.elapsed().ok()).is_some_and(|age| age > FORGOTTEN))
}

/// How many blobs are marked as damaged in the store.
///
/// # Errors
/// The store cannot be listed.
pub async fn damaged_marks(store: &dyn Store) -> Result<usize> {
    let everything = List { shallow: false, after: None, limit: usize::MAX };
    Ok(store.list(&layout::all_damaged(), everything).await?.entries.len())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use wharfinger_store::Memory;

    use super::*;

    fn instance(address: &str, age: Duration) -> Instance {
        let written_at = OffsetDateTime::now_utc() - age;
        Instance {
            id: Uuid::new_v4(),
            host: "reg1".into(),
            pid: 7,
            version: "1".into(),
            address: address.into(),
            mode: "adopted".into(),
            role: "active".into(),
            started: written_at - Duration::from_secs(100),
            written_at,
            health: Health { ready: true, store: "ok".into(), ..Health::default() },
        }
    }

    #[tokio::test]
    async fn servers_are_well_silent_or_forgotten_by_the_age_of_their_record() {
        let store = Memory::new();
        let ages = [20, 61, 86_000, 86_500];
        for (port, age) in ages.iter().enumerate() {
            instance(&port.to_string(), Duration::from_secs(*age)).write(&store).await.unwrap();
        }
        let fleet = Fleet::look(&store).await.unwrap();
        let silent: Vec<bool> = fleet.instances.iter().map(Instance::is_silent).collect();
        assert_eq!(silent, [false, true, true, true]);
        assert_eq!((fleet.troubled(), fleet.is_well()), (3, false));
        let me = Instance { started: OffsetDateTime::now_utc(), ..instance("2", Duration::ZERO) };
        me.write(&store).await.unwrap();
        assert_eq!(fleet.sweep(&store, &me).await.unwrap(), 2, "one of a day ago, one that was replaced");
        let addresses: Vec<(String, bool)> = Fleet::look(&store)
            .await
            .unwrap()
            .instances
            .iter()
            .map(|instance| (instance.address.clone(), instance.is_silent()))
            .collect();
        assert_eq!(addresses, [("0".into(), false), ("1".into(), true), ("2".into(), false)]);
        remove(&store, &me.id).await.unwrap();
        assert_eq!(Fleet::look(&store).await.unwrap().instances.len(), 2);
    }

    #[tokio::test]
    async fn what_tells_nothing_is_told_and_what_is_unwell_says_why() {
        let store = Memory::new();
        let mut unwell = instance("0", Duration::ZERO);
        unwell.health =
            Health { ready: false, store: "failing".into(), damaged_blobs: 2, ..Health::default() };
        unwell.write(&store).await.unwrap();
        let key = layout::instance(&Uuid::new_v4());
        store.put(&key, Bytes::new(), Durability::Synced).await.unwrap();
        let fleet = Fleet::look(&store).await.unwrap();
        assert_eq!(fleet.instances[0].complaints(), ["not ready", "its store is failing", "2 damaged blobs"]);
        assert!(
            fleet.damaged.len() == 1 && fleet.damaged[0].starts_with(key.as_str()),
            "{:?}",
            fleet.damaged
        );
    }

    #[test]
    fn records_of_older_and_newer_versions_are_read() {
        let mut record = serde_json::to_value(instance("0", Duration::ZERO)).unwrap();
        record["from_the_future"] = 1.into();
        record["health"] = serde_json::json!({ "ready": true });
        let read: Instance = serde_json::from_value(record).unwrap();
        assert_eq!(read.complaints(), Vec::<String>::new());
    }
}
