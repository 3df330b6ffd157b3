//! Temporary URLs: which key signs them, whether Swift takes them, and for which objects they may be given out.
//!
//! A key is looked for on the container and then on the account, and tried: a URL that Swift would refuse is not given
//! out. It is looked at again every minute, so that a key that was changed is not used for long.

use std::time::{Duration, SystemTime};

use futures::stream::TryStreamExt;
use http::Method;
use tokio::time::Instant;
use uuid::Uuid;
use wharfinger_swift::{Entry, ErrorKind, Listing, Manifest, Secret, TempUrlDigest, TempUrlKeys};

use super::segments::{Segment, Segments};
use super::{Inner, error, modified};
use crate::{Key, Meta, NoUrl, Operation, Result, Signed, SignedUrl};

/// For how long a key is used without another look.
const BELIEVED: Duration = Duration::from_secs(60);
/// Between two looks where there is no key that can be used.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// How long a new key may be refused: Swift's proxies remember what they read of a container for a minute
/// (`recheck_container_existence`), and a request that runs beside the change can make them remember the old keys.
const SETTLING: Duration = Duration::from_secs(120);
/// The object that a key is tried on; it need not be there.
const TRIED: &str = "wharfinger/v1/temp-url";
/// How long the URL is good for that a key is tried with: clocks that differ by more are found out.
const TRIAL: Duration = Duration::from_secs(60);

/// How temporary URLs are made.
#[derive(Clone, Debug)]
pub struct Signing {
    /// The key; none: what Swift knows, or where writing is allowed a new one.
    pub key: Option<Secret>,
    /// Whether a key that Swift does not know is set on the container; else on the account.
    pub on_container: bool,
    /// Put in place of scheme and authority, without a slash at its end.
    pub base_url: Option<String>,
}

/// What signs, as found at the last look.
type Found = std::result::Result<(Secret, TempUrlDigest), NoUrl>;

#[derive(Debug)]
pub(super) struct Signer {
    how: Signing,
    last: tokio::sync::Mutex<Last>,
}

#[derive(Debug, Default)]
struct Last {
    found: Option<(Instant, Found)>,
    /// What the log says of it.
    told: Option<std::result::Result<(), NoUrl>>,
    /// When a key was set by this process: once is enough, or two of them would take turns.
    set: Option<Instant>,
    /// Whether the key is the former one.
    former: bool,
}

impl Signer {
    pub(super) fn new(how: Signing) -> Signer {
        Signer { how, last: tokio::sync::Mutex::default() }
    }

    /// What signs now.
    async fn ready(&self, inner: &Inner) -> std::result::Result<Found, wharfinger_swift::Error> {
        let mut last = self.last.lock().await;
        if let Some((at, found)) = &last.found
            && at.elapsed() < if found.is_ok() { BELIEVED } else { LOOK_AGAIN }
        {
            return Ok(found.clone());
        }
        let found = self.look(inner, &mut last).await?;
        last.found = Some((Instant::now(), found.clone()));
        let settling = last.set.is_some_and(|at| at.elapsed() < SETTLING);
        match &found {
            Err(NoUrl::NotTaken) if settling => {
                tracing::info!("Swift does not take the new key for temporary URLs yet; trying again");
            }
            _ => tell(&mut last.told, found.as_ref().map(drop).map_err(|none| *none)),
        }
        Ok(found)
    }

    async fn look(
        &self,
        inner: &Inner,
        last: &mut Last,
    ) -> std::result::Result<Found, wharfinger_swift::Error> {
        let known = inner.client.capabilities().await?;
        let offered = known.temp_url.as_ref().is_some_and(|limits| {
            limits.methods.is_empty() || limits.methods.iter().any(|method| method == "GET")
        });
        let Some(digest) = TempUrlDigest::choose(&known).filter(|_| offered) else {
            return Ok(Err(NoUrl::NotOffered));
        };
        let key = match self.key(inner, last).await? {
            Ok(key) => key,
            Err(none) => return Ok(Err(none)),
        };
        let name = inner.names.object(&Key::new(TRIED));
        let until = SystemTime::now() + TRIAL;
        let url = inner.container.temp_url(&Method::HEAD, &name, until, &key, digest).await?;
        Ok(if inner.client.takes_temp_url(&url).await? { Ok((key, digest)) } else { Err(NoUrl::NotTaken) })
    }

    /// The key that Swift knows, or is told now.
    async fn key(
        &self,
        inner: &Inner,
        last: &mut Last,
    ) -> std::result::Result<std::result::Result<Secret, NoUrl>, wharfinger_swift::Error> {
        if self.how.key.is_none() && !inner.options.writable {
            return Ok(Err(NoUrl::NoKey));
        }
        let of_container = inner.container.temp_url_keys().await?;
        // Somebody who may use the container alone is not told about the account.
        let of_account = match inner.client.temp_url_keys().await {
            Err(error) if error.kind() == ErrorKind::Forbidden => TempUrlKeys::default(),
            other => other?,
        };
        let Some(wanted) = &self.how.key else {
            if let Some(key) = of_container.current.or(of_account.current) {
                return Ok(Ok(key));
            }
            let fresh = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
            self.set(inner, last, &Secret::new(fresh)).await?;
            // Another server may have set one at the same time: the last one counts.
            let keys = self.keys(inner).await?;
            return Ok(keys.current.ok_or(NoUrl::NoKey));
        };
        let all = [&of_container, &of_account];
        if all.iter().any(|keys| keys.current.as_ref() == Some(wanted)) {
            last.former = false;
            return Ok(Ok(wanted.clone()));
        }
        if all.iter().any(|keys| keys.previous.as_ref() == Some(wanted)) {
            if !std::mem::replace(&mut last.former, true) {
                tracing::warn!(
                    "storage.swift.secretkey is the former key of temporary URLs: the next change in Swift ends them"
                );
            }
            return Ok(Ok(wanted.clone()));
        }
        if !inner.options.writable || last.set.is_some() {
            return Ok(Err(NoUrl::OtherKey));
        }
        self.set(inner, last, wanted).await?;
        Ok(Ok(wanted.clone()))
    }

    async fn keys(&self, inner: &Inner) -> std::result::Result<TempUrlKeys, wharfinger_swift::Error> {
        match self.how.on_container {
            true => inner.container.temp_url_keys().await,
            false => inner.client.temp_url_keys().await,
        }
    }

    async fn set(
        &self,
        inner: &Inner,
        last: &mut Last,
        key: &Secret,
    ) -> std::result::Result<(), wharfinger_swift::Error> {
        match self.how.on_container {
            true => inner.container.rotate_temp_url_key(key).await?,
            false => inner.client.rotate_temp_url_key(key).await?,
        };
        last.set = Some(Instant::now());
        let on = if self.how.on_container { "the container" } else { "the account" };
        tracing::info!(on, "set a key for temporary URLs; the one before stays good beside it");
        Ok(())
    }

    fn outside(&self, url: &http::Uri) -> String {
        let rest = url.path_and_query().map_or("", http::uri::PathAndQuery::as_str);
        match &self.how.base_url {
            Some(base) => format!("{base}{rest}"),
            None => url.to_string(),
        }
    }
}

/// Says once whether clients can be redirected, and again when that changes.
fn tell(told: &mut Option<std::result::Result<(), NoUrl>>, now: std::result::Result<(), NoUrl>) {
    if told.replace(now) == Some(now) {
        return;
    }
    match now {
        Ok(()) => tracing::info!("clients can be redirected to Swift"),
        Err(why) => {
            let keys = "storage.redirect, storage.swift.secretkey";
            tracing::warn!(reason = %why, keys, "no client is redirected to Swift; every byte is sent from here");
        }
    }
}

impl super::Swift {
    /// Finds out whether temporary URLs can be made, and says so in the log. Nothing where none are asked for.
    pub async fn prepare_signing(&self) -> std::result::Result<(), wharfinger_swift::Error> {
        match &self.inner.signer {
            Some(signer) => signer.ready(&self.inner).await.map(drop),
            None => Ok(()),
        }
    }

    pub(super) async fn sign(&self, key: &Key, life: Duration) -> Result<Signed> {
        let inner = &self.inner;
        let failed = |failure| error::of(Operation::Head, key, failure);
        let Some(signer) = &inner.signer else { return Ok(Signed::Not(NoUrl::NotAsked)) };
        let (secret, digest) = match signer.ready(inner).await.map_err(failed)? {
            Ok(ready) => ready,
            Err(none) => return Ok(Signed::Not(none)),
        };
        let name = inner.names.object(key);
        let info = inner.look(&name, true).await.map_err(failed)?;
        let size = match &info.manifest {
            None => Some(info.size),
            Some(Manifest::Slo) => {
                let segments = inner.static_segments(Operation::Head, key).await?;
                inner.whole(key, &segments).await?.then_some(info.size)
            }
            Some(Manifest::Dlo { container, prefix }) => {
                let segments = inner.segments(Operation::Head, key, container, prefix).await?;
                let shown = !segments.unproved && inner.lists_exactly(key, prefix, &segments).await?;
                let whole = shown && inner.whole(key, &segments).await?;
                whole.then_some(segments.size())
            }
        };
        let Some(size) = size else { return Ok(Signed::Not(NoUrl::Incomplete)) };
        let expires = SystemTime::now() + life;
        let url =
            inner.container.temp_url(&Method::GET, &name, expires, &secret, digest).await.map_err(failed)?;
        let meta = Meta { size, modified: modified(&info) };
        Ok(Signed::Url(SignedUrl::new(signer.outside(&url), expires), meta))
    }
}

impl Inner {
    /// Whether a signature for the object lets its segments be read: it is good for one container. Each is looked at by
    /// its name.
    async fn whole(&self, key: &Key, segments: &Segments) -> Result<bool> {
        self.compare(Operation::Head, key, segments).await?;
        Ok(segments.container() == self.options.container)
    }

    /// Whether the listing, from which Swift puts a dynamic large object together, shows exactly these segments.
    async fn lists_exactly(&self, key: &Key, prefix: &str, segments: &Segments) -> Result<bool> {
        let pages = self.container.pages(Listing { prefix: prefix.to_owned(), ..Listing::default() });
        let pages: Vec<_> =
            pages.try_collect().await.map_err(|failure| error::of(Operation::Head, key, failure))?;
        let listed: Vec<Entry> = pages.into_iter().flat_map(|page| page.entries).collect();
        Ok(listed.len() == segments.list.len()
            && listed.iter().zip(&segments.list).all(|(entry, segment)| is(entry, segment)))
    }
}

fn is(entry: &Entry, segment: &Segment) -> bool {
    match entry {
        Entry::Object { name, bytes, hash, .. } => {
            *name == segment.name
                && *bytes == segment.size
                && (segment.etag.is_empty() || *hash == segment.etag)
        }
        Entry::Subdir { .. } => false,
    }
}
