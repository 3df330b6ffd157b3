//! The trait that every backend implements.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::error::optional;
use crate::{Key, LocalFile, NoUrl, Result, Signed, Structure};

/// A kind of storage call, for errors, logs and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Read a small object.
    Get,
    /// Open an object for reading.
    Open,
    /// Read from an opened object.
    Read,
    /// Look at an object's size.
    Head,
    /// Write a small object.
    Put,
    /// Remove an object.
    Delete,
    /// List names.
    List,
    /// Add to a staged object.
    Stage,
    /// Make what was staged so far durable.
    Checkpoint,
    /// Make a staged object visible at its name.
    Publish,
}

impl Operation {
    /// Every operation, in the order of the enum.
    pub const ALL: [Operation; 10] = [
        Operation::Get,
        Operation::Open,
        Operation::Read,
        Operation::Head,
        Operation::Put,
        Operation::Delete,
        Operation::List,
        Operation::Stage,
        Operation::Checkpoint,
        Operation::Publish,
    ];

    /// The word in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Operation::Get => "get",
            Operation::Open => "open",
            Operation::Read => "read",
            Operation::Head => "head",
            Operation::Put => "put",
            Operation::Delete => "delete",
            Operation::List => "list",
            Operation::Stage => "stage",
            Operation::Checkpoint => "checkpoint",
            Operation::Publish => "publish",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is known of an object without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Length in bytes.
    pub size: u64,
    /// When it was last written, by the store's clock.
    pub modified: Option<SystemTime>,
}

/// An object opened for reading. It stays readable when the name is replaced or deleted meanwhile.
#[derive(Clone, Debug)]
pub struct Object {
    /// Length in bytes at the time it was opened.
    pub size: u64,
    /// Where the bytes come from.
    pub data: ObjectData,
}

/// Where an opened object's bytes come from.
#[derive(Clone, Debug)]
pub enum ObjectData {
    /// A file on this machine.
    File(Arc<LocalFile>),
    /// Already in memory.
    Bytes(Bytes),
    /// In a store elsewhere.
    Remote(Arc<dyn Remote>),
}

/// An opened object in a store elsewhere, read in order from any place.
#[async_trait]
pub trait Remote: fmt::Debug + Send + Sync {
    /// Begins to read `range`, which lies within the object.
    async fn read(&self, range: Range<u64>) -> Result<Box<dyn RemoteReader>>;

    /// When the object that was opened was written, by the store's clock, as [`Meta::modified`] says it.
    fn modified(&self) -> Option<SystemTime>;

    /// The caller has proved that these bytes are the right ones: keeps what is needed to read exactly them again
    /// without asking a listing. Idempotent; nothing to do for most objects.
    async fn remember(&self) -> Result<()> {
        Ok(())
    }
}

/// The bytes of a range, in order.
#[async_trait]
pub trait RemoteReader: Send {
    /// The next piece, a few tens of KiB; `None` after the last byte of the range. What ends early is an error:
    /// [`crate::StoreErrorKind::Invalid`] where the object itself is short, [`crate::StoreErrorKind::Unavailable`] where it
    /// was replaced meanwhile. After an error there is no more.
    async fn next(&mut self) -> Result<Option<Bytes>>;

    /// Where these bytes of the object, the last ones that were handed on, came from: for the message that they are
    /// wrong. Names what an operator of the store has to look for.
    async fn origin(&self, bytes: Range<u64>) -> String;
}

/// What suits a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Objects of at most this many bytes are better held in memory and written whole than staged.
    pub small: usize,
    /// Bytes between two checkpoints of a staged object.
    pub checkpoint_every: u64,
    /// Whether each call is a request over the network, so that many of them have to be avoided.
    pub remote: bool,
}

/// When a write is on stable storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Before the call returns: survives loss of power.
    Synced,
    /// Some time after: survives a crash of the process, perhaps not of the machine.
    Lazy,
}

/// How to delete.
#[derive(Clone, Copy, Debug, Default)]
pub struct Delete {
    /// On stores with directories: how many levels of parent directories to remove when that leaves them empty.
    pub prune_parents: u8,
}

/// What to list.
#[derive(Clone, Debug)]
pub struct List {
    /// Only names directly below the prefix: deeper ones are answered as one [`Entry::Prefix`].
    pub shallow: bool,
    /// Only names greater than this one (relative to the prefix).
    pub after: Option<String>,
    /// At most this many entries.
    pub limit: usize,
}

/// One line of a listing, relative to the listed prefix.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Entry {
    /// Names below this component exist (shallow listings only); no trailing slash.
    Prefix(String),
    /// An object.
    Object(String),
}

impl Entry {
    /// The name, of whichever kind.
    pub fn name(&self) -> &str {
        match self {
            Entry::Prefix(name) | Entry::Object(name) => name,
        }
    }
}

/// A page of a listing.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Entries in byte order of their names.
    pub entries: Vec<Entry>,
    /// Whether there may be more after the last entry.
    pub more: bool,
}

/// How far a staged object is durable; kept by the caller in a record of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Bytes that are on stable storage.
    pub length: u64,
    /// The objects that hold them, on stores that stage in several; in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part>,
}

/// One of the objects that hold staged bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Length in bytes.
    pub size: u64,
    /// The entity tag that the store answered when it was written.
    pub etag: String,
}

/// An object being written, invisible until it is published.
#[async_trait]
pub trait Staged: Send + Sync {
    /// Bytes written so far, durable or not.
    fn length(&self) -> u64;

    /// Adds bytes at the end. May keep them in a bounded buffer. Not atomic: after an error the length is that of
    /// the last checkpoint.
    async fn write(&mut self, bytes: Bytes) -> Result<()>;

    /// Puts everything written so far on stable storage and says how far that is. Idempotent.
    async fn checkpoint(&mut self) -> Result<Checkpoint>;

    /// Opens what was written so far for reading.
    async fn open(&mut self) -> Result<Object>;

    /// Makes the object visible at `key`, whole, replacing what stood there. Atomic; durable when it returns
    /// (data and name). False where another writer's object stands there already: what was staged here stays, for
    /// [`Store::discard`]. Otherwise nothing staged is left.
    async fn publish(self: Box<Self>, key: &Key) -> Result<bool>;
}

/// An object of known length being written straight to its name. Dropped unfinished, it leaves what stood there.
#[async_trait]
pub trait Direct: Send + Sync {
    /// Adds bytes at the end; the last of them is held back. After an error the object is lost.
    async fn write(&mut self, bytes: Bytes) -> Result<()>;

    /// Sends the last byte: the object is visible and durable when this returns. Atomic.
    async fn finish(self: Box<Self>) -> Result<()>;
}

/// Bytes by key.
///
/// Names are independent of each other; there are no directories, though backends may need some. A write is
/// visible to every later read by name once it has returned.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// The backend's name, for logs and metrics: `filesystem`, `memory`, `swift`.
    fn name(&self) -> &'static str;

    /// What suits this store.
    fn shape(&self) -> Shape {
        Shape { small: 64 * 1024, checkpoint_every: 64 * 1024 * 1024, remote: false }
    }

    /// Reads a whole object of at most `limit` bytes; a larger one is [`crate::StoreErrorKind::Invalid`].
    async fn get(&self, key: &Key, limit: usize) -> Result<Bytes>;

    /// Reads as [`Store::get`], and surely what was written last: for names whose content changes. Where copies
    /// may lag behind one another this asks all of them. With when it was written, by the store's clock, where the
    /// store says so.
    async fn get_newest(&self, key: &Key, limit: usize) -> Result<(Bytes, Option<SystemTime>)> {
        Ok((self.get(key, limit).await?, None))
    }

    /// Opens an object for reading.
    async fn open(&self, key: &Key) -> Result<Object>;

    /// Looks at an object, surely at what was written last.
    async fn head(&self, key: &Key) -> Result<Meta>;

    /// Looks at an object and, where it consists of several, at each of them by name: what a reader would miss is
    /// [`crate::StoreErrorKind::Invalid`]. Reads no content.
    async fn check(&self, key: &Key) -> Result<Meta> {
        self.head(key).await
    }

    /// What an object consists of. Looks at the object itself, surely as it was written last, and not at its segments:
    /// that is what [`Store::check`] does.
    async fn inspect(&self, key: &Key) -> Result<Structure> {
        self.head(key).await.map(|_| Structure::Plain)
    }

    /// A URL by which whoever has it can read the object, or ranges of it, from the store itself for `life` from now on.
    /// Looks at the object and its segments as [`Store::check`] does, surely as they were written last, and reads no
    /// content; there is none where the store would answer less than the whole object. Changes no object; the first call
    /// may give the store a key to sign with, which is durable. The URL shows what stands at the name when it is used,
    /// is good also after the object was replaced, and cannot be taken back.
    async fn signed_url(&self, _key: &Key, _life: Duration) -> Result<Signed> {
        Ok(Signed::Not(NoUrl::NotAsked))
    }

    /// Writes a whole object, replacing what stood there. Atomic: readers see the old bytes or the new. Idempotent.
    async fn put(&self, key: &Key, bytes: Bytes, durability: Durability) -> Result<()>;

    /// Writes a whole object where none has the name; false where one has, which stays as it is. Atomic and durable as
    /// [`Store::put`]. Two that race may both write, and a write whose answer was lost may find itself.
    async fn put_new(&self, key: &Key, bytes: Bytes, durability: Durability) -> Result<bool> {
        if optional(self.head(key).await)?.is_some() {
            return Ok(false);
        }
        self.put(key, bytes, durability).await.map(|()| true)
    }

    /// Removes an object; says whether there was one. Idempotent, durable.
    async fn delete(&self, key: &Key, options: Delete) -> Result<bool>;

    /// Names below `prefix/`, in order. A listing finds candidates; a read by name decides. No such prefix is an
    /// empty page.
    async fn list(&self, prefix: &Key, options: List) -> Result<Page>;

    /// Names directly below `prefix/` below which an object `leaf` exists, in order; as a shallow [`Store::list`]
    /// otherwise.
    async fn list_holding(&self, prefix: &Key, leaf: &str, options: List) -> Result<Page> {
        let mut holding = Page { entries: Vec::new(), more: options.limit > 0 };
        let mut after = options.after;
        while holding.more && holding.entries.len() < options.limit {
            let limit = options.limit - holding.entries.len();
            let listed = self.list(prefix, List { shallow: true, after: after.clone(), limit }).await?;
            holding.more = listed.more;
            after = listed.entries.last().map(|entry| entry.name().to_owned());
            let candidates: Vec<Entry> =
                listed.entries.into_iter().filter(|entry| matches!(entry, Entry::Prefix(_))).collect();
            let leaves: Vec<Key> =
                candidates.iter().map(|entry| prefix.join(entry.name()).join(leaf)).collect();
            let exist = self.exist(&leaves).await?;
            holding
                .entries
                .extend(candidates.into_iter().zip(exist).filter_map(|(e, exists)| exists.then_some(e)));
        }
        Ok(holding)
    }

    /// Looks at many objects, surely at what was written last: the size of each that exists, in the order of the keys.
    async fn sizes(&self, keys: &[Key]) -> Result<Vec<Option<u64>>> {
        let mut sizes = Vec::with_capacity(keys.len());
        for key in keys {
            sizes.push(optional(self.head(key).await)?.map(|found| found.size));
        }
        Ok(sizes)
    }

    /// Which of the keys exist, in their order.
    async fn exist(&self, keys: &[Key]) -> Result<Vec<bool>> {
        Ok(self.sizes(keys).await?.iter().map(Option::is_some).collect())
    }

    /// Begins to write an object of `length` bytes straight to `key`, where that is better than staging it; `None`
    /// where it is not. Only for names that nothing can be deleting: on some stores a write counts from its start.
    async fn write(&self, _key: &Key, _length: u64) -> Result<Option<Box<dyn Direct>>> {
        Ok(None)
    }

    /// Begins a staged object with `key` as its private place, or goes on with one at its checkpoint; bytes
    /// behind the checkpoint are dropped.
    async fn stage(&self, key: &Key, resume: Option<&Checkpoint>) -> Result<Box<dyn Staged>>;

    /// Whether the object at `published` consists of what was staged at `key`, surely as it was written last. Never, on
    /// stores that move what they publish.
    async fn consists_of(&self, published: &Key, key: &Key) -> Result<bool> {
        let _ = (published, key);
        Ok(false)
    }

    /// Removes what is staged at `key`, as far as the checkpoint tells and whatever was staged behind it.
    /// Idempotent. What was published already stays: `published` is the name that may have it.
    async fn discard(&self, key: &Key, checkpoint: &Checkpoint, published: Option<&Key>) -> Result<()>;
}
