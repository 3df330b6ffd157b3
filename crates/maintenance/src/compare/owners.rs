//! Whose the segments are in which the listings differ.
//!
//! A segment's name tells the upload that wrote it and not the blob; the blobs of that upload's repository are asked
//! first, all others only where that does not help.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::SystemTime;

use wharfinger_oci::{Digest, RepositoryName};
use wharfinger_registry::layout::{self, Place, place};
use wharfinger_store::{Entry, Key, List, StoreError};

use super::merge::{Group, below_prefix};
use super::report::Unknown;
use super::{Side, Sites};
use crate::census::Tally;
use crate::graph::{self, Form};
use crate::segments::{Origin, origin};
use crate::{Effort, Watch, parallel};

/// Names of one page of a listing.
const PAGE: usize = 10_000;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Owned {
    /// Blobs that consist of such segments, with when the newest of these was written.
    pub(super) blobs: HashMap<Digest, Option<SystemTime>>,
    /// Segments that neither a blob nor an upload has, on each side.
    pub(super) leftovers: [Tally; 2],
    pub(super) unknown: Vec<Unknown>,
}

pub(super) async fn owners(
    sites: &Sites,
    groups: BTreeMap<String, Group>,
    effort: Effort,
    watch: &dyn Watch,
) -> Owned {
    let mut search =
        Search { sites, effort, watch, open: groups, seen: HashSet::new(), owned: Owned::default() };
    search.ask_repositories().await;
    search.drop_uploads().await;
    search.ask_all().await;
    for group in search.open.values() {
        for (leftover, on) in search.owned.leftovers.iter_mut().zip(group.on) {
            leftover.objects += on.objects;
            leftover.bytes += on.bytes;
        }
    }
    search.owned
}

struct Search<'a> {
    sites: &'a Sites,
    effort: Effort,
    watch: &'a dyn Watch,
    /// Nobody's so far.
    open: BTreeMap<String, Group>,
    seen: HashSet<(Side, Digest)>,
    owned: Owned,
}

impl Search<'_> {
    /// Asks the blobs of the repositories that segments were uploaded to.
    async fn ask_repositories(&mut self) {
        let repository = |prefix: &String| match origin(prefix) {
            Origin::Distribution { repository, .. } => RepositoryName::parse(&repository).ok(),
            Origin::Session(_) | Origin::Other => None,
        };
        let names: BTreeSet<RepositoryName> = self.open.keys().filter_map(repository).collect();
        for name in names {
            self.ask_below(&layout::layers(&name)).await;
        }
    }

    /// Asks every blob.
    async fn ask_all(&mut self) {
        self.ask_below(&layout::blobs()).await;
    }

    /// Asks the blobs that lie below this prefix, or whose links do, at both sites.
    async fn ask_below(&mut self, prefix: &Key) {
        for side in Side::BOTH {
            let mut after = None;
            while !self.open.is_empty() {
                let options = List { shallow: false, after: after.take(), limit: PAGE };
                let page = match self.sites.store(side).list(prefix, options).await {
                    Ok(page) => page,
                    Err(error) => {
                        self.fails(side, &error);
                        break;
                    }
                };
                after = page.entries.last().map(|entry| entry.name().to_owned());
                let digest = |entry: &Entry| match place(prefix.join(entry.name()).as_str()) {
                    Some(Place::Blob(digest) | Place::LayerLink(_, digest)) => Some(digest),
                    _ => None,
                };
                self.ask(side, page.entries.iter().filter_map(digest).collect()).await;
                if !page.more {
                    break;
                }
            }
        }
    }

    async fn ask(&mut self, side: Side, digests: Vec<Digest>) {
        let unseen: Vec<Digest> =
            digests.into_iter().filter(|digest| self.seen.insert((side, *digest))).collect();
        self.watch.begin("looking for the blobs of segments", Some(unseen.len() as u64));
        let store = self.sites.store(side);
        let asked = parallel::each(unseen, self.effort.parallel, self.watch, |digest| {
            Box::pin(async move { (digest, store.inspect(&layout::blob_data(&digest)).await) })
        });
        for (digest, structure) in asked.await {
            let prefixes = match structure.map(graph::form) {
                Ok(Form::Plain) => Vec::new(),
                Ok(Form::Static(prefixes)) => prefixes,
                Ok(Form::Dynamic { prefix, .. }) => vec![prefix],
                Err(error) if error.is_not_found() => Vec::new(),
                Err(error) => {
                    self.fails(side, &error);
                    Vec::new()
                }
            };
            for prefix in prefixes {
                if let Some(group) = self.open.remove(below_prefix(&prefix)) {
                    let newest = self.owned.blobs.entry(digest).or_default();
                    *newest = (*newest).max(group.newest);
                }
            }
        }
    }

    /// Uploads in progress are not compared.
    async fn drop_uploads(&mut self) {
        let record = |prefix: &String| match origin(prefix) {
            Origin::Distribution { repository, upload } => {
                let name = RepositoryName::parse(&repository).ok()?;
                Some(layout::foreign_uploads(&name).join(&upload).join("startedat"))
            }
            Origin::Session(session) => Some(layout::upload_session(&session)),
            Origin::Other => None,
        };
        let records = self.open.keys().filter_map(|prefix| Some((prefix.clone(), record(prefix)?)));
        let records: Vec<(String, Key)> = records.collect();
        let sites = self.sites;
        let looked = parallel::each(records, self.effort.parallel, self.watch, |(prefix, key)| {
            Box::pin(async move {
                let found = futures::join!(sites.here.store.head(&key), sites.there.store.head(&key));
                (prefix, found.0.is_ok() || found.1.is_ok())
            })
        });
        for (prefix, in_progress) in looked.await {
            if in_progress {
                self.open.remove(&prefix);
            }
        }
    }

    fn fails(&mut self, side: Side, error: &StoreError) {
        self.owned.unknown.push(Unknown { side, error: error.to_string() });
    }
}
