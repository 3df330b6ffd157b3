//! What Distribution 2.8 remembers of blobs in Redis, held against the store.
//!
//! Its keys have no time to live, and its garbage collection does not touch them; so they tell of blobs and links that
//! were deleted since. Believing them it answers a push with "exists already".
//!
//! | key | holds |
//! |---|---|
//! | `blobs::<digest>` | hash: `digest`, `size`, `mediatype` |
//! | `repository::<name>::blobs` | set of the digests that the repository links |
//! | `repository::<name>::blobs::<digest>` | hash: `mediatype` |

use std::collections::BTreeSet;

use serde::Serialize;
use wharfinger_oci::{Digest, RepositoryName};
use wharfinger_registry::layout;
use wharfinger_shared::{Direct, Unanswered};
use wharfinger_store::{Store, StoreError};

use crate::{Effort, Watch, parallel};

/// Keys asked for at a time.
const COUNT: &str = "1000";

/// Something that Redis tells and that is not so.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Lie {
    /// The key.
    pub key: String,
    /// What it tells, and what is so.
    pub reason: String,
}

impl std::fmt::Display for Lie {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.key, self.reason)
    }
}

/// What the comparison found.
#[derive(Debug, Default, Serialize)]
pub struct Memory {
    /// Blobs that it tells of.
    pub blobs: u64,
    /// Blobs in repositories that it tells of.
    pub links: u64,
    /// What is not so.
    pub lies: Vec<Lie>,
    /// Whether these were deleted.
    pub flushed: bool,
    /// What could not be compared, and why.
    pub unknown: Vec<String>,
}

/// What Redis tells.
enum Claim {
    Blob { key: String, digest: Digest, size: Option<u64> },
    Link { name: RepositoryName, digest: Digest },
}

enum Verdict {
    True,
    Lie(Lie, Claim),
    Unknown(String),
}

/// Holds every key of Distribution against the store, by name; with `flush` deletes those that are not true. Deleting
/// one is safe at any time: Distribution looks at the store instead.
///
/// # Errors
/// Redis cannot be asked.
pub async fn compare(
    redis: &mut Direct,
    store: &dyn Store,
    flush: bool,
    effort: Effort,
    watch: &dyn Watch,
) -> Result<Memory, Unanswered> {
    watch.begin("reading Redis", None);
    let claims = claims(redis, watch).await?;
    let mut memory = Memory::default();
    for claim in &claims {
        match claim {
            Claim::Blob { .. } => memory.blobs += 1,
            Claim::Link { .. } => memory.links += 1,
        }
    }
    watch.begin("comparing with Redis", Some(claims.len() as u64));
    let verdicts = parallel::each(claims, effort.parallel, watch, |claim| {
        Box::pin(async move { judge(store, claim).await })
    });
    for verdict in verdicts.await {
        match verdict {
            Verdict::True => {}
            Verdict::Unknown(error) => memory.unknown.push(error),
            Verdict::Lie(lie, claim) => {
                if flush {
                    forget(redis, &claim).await?;
                }
                memory.lies.push(lie);
            }
        }
    }
    memory.flushed = flush;
    memory.lies.sort();
    memory.unknown.sort();
    Ok(memory)
}

/// Two fields of a hash.
type Fields = (Option<Vec<u8>>, Option<Vec<u8>>);

fn text(bytes: Option<&Vec<u8>>) -> Option<&str> {
    std::str::from_utf8(bytes?).ok()
}

async fn claims(redis: &mut Direct, watch: &dyn Watch) -> Result<Vec<Claim>, Unanswered> {
    let mut claims = Vec::new();
    for key in redis.scan(&["SCAN"], &["MATCH", "blobs::*", "COUNT", COUNT]).await? {
        watch.advance(1);
        let Some(digest) = key.strip_prefix("blobs::").and_then(|text| Digest::parse(text).ok()) else {
            continue;
        };
        let (stored, size): Fields = redis.ask(&["HMGET", &key, "digest", "size"]).await?;
        // Of content that was pushed under another algorithm it tells the SHA-256.
        let stored = text(stored.as_ref()).and_then(|text| Digest::parse(text).ok()).unwrap_or(digest);
        let size = text(size.as_ref()).and_then(|text| text.parse().ok());
        claims.push(Claim::Blob { key, digest: stored, size });
    }
    let mut links = BTreeSet::new();
    for key in redis.scan(&["SCAN"], &["MATCH", "repository::*::blobs*", "COUNT", COUNT]).await? {
        watch.advance(1);
        let Some((name, rest)) = key.strip_prefix("repository::").and_then(|rest| rest.split_once("::blobs"))
        else {
            continue;
        };
        let Ok(name) = RepositoryName::parse(name) else { continue };
        let members = match rest.strip_prefix("::") {
            Some(digest) => vec![digest.to_owned()],
            None => redis.scan(&["SSCAN", &key], &["COUNT", COUNT]).await?,
        };
        let digests = members.iter().filter_map(|member| Digest::parse(member).ok());
        links.extend(digests.map(|digest| (name.clone(), digest)));
    }
    claims.extend(links.into_iter().map(|(name, digest)| Claim::Link { name, digest }));
    Ok(claims)
}

async fn judge(store: &dyn Store, claim: Claim) -> Verdict {
    let wrong = match &claim {
        Claim::Blob { digest, size, .. } => match store.head(&layout::blob_data(digest)).await {
            Ok(meta) => match size {
                Some(size) if *size != meta.size => {
                    Some(format!("tells of {size} bytes, there are {}", meta.size))
                }
                _ => None,
            },
            Err(error) if error.is_not_found() => Some("tells of a blob that is not there".to_owned()),
            Err(error) => return unknown(&error),
        },
        Claim::Link { name, digest } => match store.head(&layout::layer_link(name, digest)).await {
            Ok(_) => None,
            Err(error) if error.is_not_found() => {
                Some("tells of a blob that the repository does not have".to_owned())
            }
            Err(error) => return unknown(&error),
        },
    };
    let key = match &claim {
        Claim::Blob { key, .. } => key.clone(),
        Claim::Link { name, digest } => format!("repository::{name}::blobs {digest}"),
    };
    match wrong {
        Some(reason) => Verdict::Lie(Lie { key, reason }, claim),
        None => Verdict::True,
    }
}

fn unknown(error: &StoreError) -> Verdict {
    Verdict::Unknown(error.to_string())
}

async fn forget(redis: &mut Direct, claim: &Claim) -> Result<(), Unanswered> {
    match claim {
        Claim::Blob { key, .. } => redis.ask(&["DEL", key]).await,
        Claim::Link { name, digest } => {
            let (set, digest) = (format!("repository::{name}::blobs"), digest.to_string());
            let () = redis.ask(&["SREM", &set, &digest]).await?;
            redis.ask(&["DEL", &format!("{set}::{digest}")]).await
        }
    }
}
