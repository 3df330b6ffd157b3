//! Reads by name, of both sites, of what seems to differ.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use wharfinger_oci::{Algorithm, Digest};
use wharfinger_registry::layout::{self, Place};
use wharfinger_store::{Key, Store};

use super::merge::Candidate;
use super::report::{Kind, Seen, Unknown, rfc3339};
use super::{Options, Side, Sites};
use crate::graph::{Blob, Form, Link, State, read};
use crate::prove::Pace;
use crate::{Watch, parallel};

/// What differs for sure.
#[derive(Clone, Debug)]
pub(super) struct Different {
    pub(super) place: Place,
    pub(super) key: Key,
    pub(super) kind: Kind,
    pub(super) here: Option<Seen>,
    pub(super) there: Option<Seen>,
    /// When the newest of what differs was written.
    pub(super) newest: Option<SystemTime>,
}

#[derive(Debug, Default)]
pub(super) struct Confirmed {
    pub(super) different: Vec<Different>,
    pub(super) unknown: Vec<Unknown>,
}

/// The candidates, with the blobs whose segments differ.
pub(super) fn with_owners(
    mut candidates: Vec<Candidate>,
    mut blobs: HashMap<Digest, Option<SystemTime>>,
) -> Vec<Candidate> {
    for candidate in &mut candidates {
        if let Place::Blob(digest) = &candidate.place
            && let Some(newest) = blobs.remove(digest)
        {
            candidate.newest = candidate.newest.max(newest);
        }
    }
    let alone = |(digest, newest)| {
        let key = layout::blob_data(&digest);
        Candidate { key, place: Place::Blob(digest), other_bytes: false, newest }
    };
    candidates.extend(blobs.into_iter().map(alone));
    candidates
}

/// Looks at the candidates until they are the same or the waits are over.
pub(super) async fn confirm(
    sites: &Sites,
    candidates: Vec<Candidate>,
    options: &Options<'_>,
    watch: &dyn Watch,
) -> Confirmed {
    let mut confirmed = Confirmed::default();
    let mut open = candidates;
    let waits: Vec<Duration> = [Duration::ZERO].into_iter().chain(options.back_off.iter().copied()).collect();
    for (round, wait) in waits.iter().enumerate() {
        if open.is_empty() {
            break;
        }
        tokio::time::sleep(*wait).await;
        watch.begin("reading by name what differs", Some(open.len() as u64));
        let looking = Looking { sites, rate: options.effort.rate, last: round + 1 == waits.len() };
        let looking = &looking;
        let looked = parallel::each(open, options.effort.parallel, watch, |candidate| {
            Box::pin(async move {
                let found = looking.at(&candidate).await;
                (candidate, found)
            })
        });
        let mut again = Vec::new();
        for (candidate, found) in looked.await {
            match found {
                Found::Same => {}
                _ if !looking.last => again.push(candidate),
                Found::Different(different) => confirmed.different.push(*different),
                Found::Unknown(unknown) => confirmed.unknown.extend(unknown),
            }
        }
        open = again;
    }
    confirmed
}

/// What a look at both sites tells.
enum Found {
    Same,
    Different(Box<Different>),
    Unknown(Vec<Unknown>),
}

/// How to look.
struct Looking<'a> {
    sites: &'a Sites,
    rate: Option<u64>,
    /// Whether this look decides: then it may take long.
    last: bool,
}

impl Looking<'_> {
    async fn at(&self, candidate: &Candidate) -> Found {
        let found = match &candidate.place {
            Place::Blob(digest) => self.blob(digest, candidate.other_bytes).await,
            place => self.link(place, &candidate.key).await,
        };
        let (kind, here, there) = match found {
            Ok(None) => return Found::Same,
            Ok(Some(different)) => different,
            Err(unknown) => return Found::Unknown(unknown),
        };
        let (place, key, newest) = (candidate.place.clone(), candidate.key.clone(), candidate.newest);
        let mut different = Different { place, key, kind, here, there, newest };
        if self.last {
            self.date(&mut different).await;
        }
        Found::Different(Box::new(different))
    }

    /// When both were written.
    async fn date(&self, different: &mut Different) {
        for side in Side::BOTH {
            let seen = match side {
                Side::Here => &mut different.here,
                Side::There => &mut different.there,
            };
            let Some(seen) = seen else { continue };
            // A large object that is not whole has no head; then the listing has to do.
            if let Ok(meta) = self.sites.store(side).head(&different.key).await {
                seen.modified = meta.modified.and_then(rfc3339);
                different.newest = different.newest.max(meta.modified);
            }
        }
    }

    async fn link(&self, place: &Place, key: &Key) -> Result<Option<Pair>, Vec<Unknown>> {
        let [here, there] = self.both(|store| read::link(store, key)).await;
        let unknown = unknown([&here, &there], |link| match link {
            Link::Unknown(error) => Some(error),
            _ => None,
        });
        if !unknown.is_empty() {
            return Err(unknown);
        }
        if here == there {
            return Ok(None);
        }
        let expected = target(place);
        let wrong = |link: &Link| match (link, expected) {
            (Link::Broken(_), _) => true,
            (Link::To(found), Some(expected)) => found != expected,
            _ => false,
        };
        let kind = match (&here, &there) {
            (Link::Missing, _) => Kind::MissingHere,
            (_, Link::Missing) => Kind::MissingThere,
            (here, there) if wrong(there) && !wrong(here) => Kind::DamagedThere,
            (here, there) if wrong(here) && !wrong(there) => Kind::DamagedHere,
            _ => Kind::Differs,
        };
        let seen = |link: &Link| match link {
            Link::Missing | Link::Unknown(_) => None,
            Link::To(digest) => Some(Seen { digest: Some(digest.to_string()), ..Seen::default() }),
            Link::Broken(length) => {
                let damage = Some(format!("its {length} bytes are no digest"));
                Some(Seen { damage, ..Seen::default() })
            }
        };
        Ok(Some((kind, seen(&here), seen(&there))))
    }

    async fn blob(&self, digest: &Digest, other_bytes: bool) -> Result<Option<Pair>, Vec<Unknown>> {
        let [mut here, mut there] = self.both(|store| read::blob(store, digest)).await;
        let plain = |blob: &Blob| blob.form == Some(Form::Plain);
        if other_bytes && self.last && plain(&here) && plain(&there) && here.size == there.size {
            // Both are whole as far as their length tells: the digest says which of them is right.
            let [ours, theirs] = self.both(|store| hashed(store, digest, self.rate)).await;
            (here.state, there.state) = (ours, theirs);
        }
        let unknown = unknown([&here.state, &there.state], |state| match state {
            State::Unknown(error) => Some(error),
            _ => None,
        });
        if !unknown.is_empty() {
            return Err(unknown);
        }
        let kind = match (&here.state, &there.state) {
            (State::Missing, State::Missing) => return Ok(None),
            (State::Missing, _) => Kind::MissingHere,
            (_, State::Missing) => Kind::MissingThere,
            (State::Damaged(_), State::Damaged(_)) => Kind::Differs,
            (State::Damaged(_), _) => Kind::DamagedHere,
            (_, State::Damaged(_)) => Kind::DamagedThere,
            // Until the last look only the listing says that their bytes differ.
            _ if here.size == there.size && (self.last || !other_bytes) => return Ok(None),
            _ => Kind::Differs,
        };
        let seen = |blob: &Blob| match &blob.state {
            State::Missing | State::Unknown(_) => None,
            State::Whole { .. } => Some(Seen { size: Some(blob.size), ..Seen::default() }),
            State::Damaged(reason) => Some(Seen { damage: Some(reason.clone()), ..Seen::default() }),
        };
        Ok(Some((kind, seen(&here), seen(&there))))
    }

    /// Asks both sites at a time.
    async fn both<'s, T, F>(&'s self, ask: impl Fn(&'s dyn Store) -> F) -> [T; 2]
    where
        F: Future<Output = T>,
    {
        let (here, there) =
            futures::join!(ask(self.sites.store(Side::Here)), ask(self.sites.store(Side::There)));
        [here, there]
    }
}

/// How they differ, and what they are here and there.
type Pair = (Kind, Option<Seen>, Option<Seen>);

fn unknown<T>(found: [&T; 2], error: impl Fn(&T) -> Option<&String>) -> Vec<Unknown> {
    let sides = Side::BOTH.into_iter().zip(found);
    sides.filter_map(|(side, found)| Some(Unknown { side, error: error(found)?.clone() })).collect()
}

async fn hashed(store: &dyn Store, digest: &Digest, rate: Option<u64>) -> State {
    let proved = read::proved(store, digest, &Pace::new(rate)).await;
    proved.map_or_else(|state| state, |_| State::Whole { hashed: true })
}

/// The digest that a link has to hold. Under another algorithm than SHA-256 it may be another.
fn target(place: &Place) -> Option<&Digest> {
    match place {
        Place::LayerLink(_, digest) | Place::RevisionLink(_, digest) | Place::TagIndex(_, _, digest) => {
            Some(digest).filter(|digest| digest.algorithm() == Algorithm::Sha256)
        }
        _ => None,
    }
}
