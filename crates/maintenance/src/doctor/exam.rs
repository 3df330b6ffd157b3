//! One object: what everybody says of it, held against the store, and who lies first.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::future::join_all;
use wharfinger_oci::{Digest, Reference};
use wharfinger_store::Store;

use super::copy::{Copy, How, look};
use super::report::{Answer, Said};
use super::witness::{Claim, Station, Testimony, Witness};
use super::{Doctor, Object};

/// Waits before what looks wrong is looked at once more: replicas and listings may lag, caches may be about to ask.
const LOOK_AGAIN: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(2)];

/// What everybody says of an object.
#[derive(Clone, Debug)]
pub(super) struct Exam {
    /// From the client inwards; other sites at the end.
    pub(super) said: Vec<Said>,
    /// What the store has.
    pub(super) copy: Copy,
    /// The bytes of a manifest, from whoever has them right.
    pub(super) bytes: Option<Bytes>,
}

impl Exam {
    pub(super) fn is_wrong(&self) -> bool {
        self.said.iter().any(|said| said.answer == Answer::Wrong)
    }

    fn is_doubtful(&self) -> bool {
        self.is_wrong() || self.copy.answer == Answer::Unknown
    }

    /// Since when what is wrong may be so, where that is known.
    pub(super) fn since(&self) -> Option<SystemTime> {
        self.copy.modified
    }
}

impl Doctor<'_> {
    /// Asks everybody; what looks wrong only counts if it still is after a while.
    pub(super) async fn settle(&self, object: &Object, deep: bool) -> Exam {
        let mut exam = self.exam(object, deep, false).await;
        for wait in LOOK_AGAIN {
            if !exam.is_doubtful() {
                break;
            }
            tokio::time::sleep(wait).await;
            exam = self.exam(object, deep, true).await;
        }
        exam
    }

    async fn exam(&self, object: &Object, deep: bool, confirm: bool) -> Exam {
        let mut copy = self.look(self.store, object, deep, confirm).await;
        let asked: Vec<&dyn Witness> = match copy.answer {
            Answer::Nothing => Vec::new(),
            _ => self.witnesses.iter().map(|witness| &**witness).collect(),
        };
        let testimonies = join_all(asked.iter().map(|witness| witness.ask(object, deep))).await;
        let withheld = testimonies.iter().zip(&asked).any(|(testimony, witness)| {
            witness.station() == Station::Server && matches!(testimony, Testimony::Broken(_))
        });
        if withheld && copy.answer == Answer::Right && !copy.proved && object.is_blob() {
            // Only its bytes tell who is right.
            copy = self.look(self.store, object, true, confirm).await;
        }
        let mut bytes = copy.bytes.clone();
        let mut said = Vec::new();
        let mut sites = Vec::new();
        for (witness, testimony) in asked.into_iter().zip(testimonies) {
            if let Testimony::Has(claim) = &testimony
                && claim.hashed.is_some()
                && claim.hashed == object.digest()
            {
                bytes = bytes.or_else(|| claim.bytes.clone());
            }
            let told = judge(object, &copy, witness, testimony);
            if told.station == Station::Site { sites.push(told) } else { said.push(told) }
        }
        said.extend(self.of_store(object, &copy));
        said.extend(sites);
        mark(&mut said);
        Exam { said, copy, bytes }
    }

    async fn look(&self, store: &dyn Store, object: &Object, deep: bool, confirm: bool) -> Copy {
        let tell = |bytes| self.read(bytes);
        look(store, object, How { deep, confirm, pace: &self.pace, tell: &tell }).await
    }

    /// What the store says itself.
    fn of_store(&self, object: &Object, copy: &Copy) -> impl Iterator<Item = Said> {
        let said = |station, (answer, text): (Answer, String), proved| Said {
            who: match station {
                Station::ChunkIndex => "chunk index".to_owned(),
                _ => self.options.store.clone(),
            },
            station,
            answer,
            text,
            proved,
            first_liar: false,
            mend: match object.digest() {
                Some(digest) => format!("wharfinger heal --digest {digest}{}", self.options.config),
                None => String::new(),
            },
        };
        let own = said(Station::Store, (copy.answer, copy.text.clone()), copy.proved);
        let index = copy.index.clone().map(|index| said(Station::ChunkIndex, index, false));
        index.into_iter().chain([own])
    }
}

/// Holds what somebody says against what the store has.
fn judge(object: &Object, copy: &Copy, witness: &dyn Witness, testimony: Testimony) -> Said {
    let station = witness.station();
    let store_is_wrong = copy.answer == Answer::Wrong;
    let mut proved = false;
    let (answer, text) = match testimony {
        Testimony::Nothing => (Answer::Nothing, "keeps nothing of it".to_owned()),
        Testimony::Silent(why) if store_is_wrong => (Answer::Follows, why),
        Testimony::Silent(why) => (Answer::Unknown, why),
        Testimony::Lacks(what) if copy.absent => (Answer::Right, what),
        Testimony::Lacks(what) | Testimony::Broken(what) => {
            let follows = store_is_wrong && station.is_believed();
            (if follows { Answer::Follows } else { Answer::Wrong }, what)
        }
        Testimony::Has(claim) => {
            proved = claim.hashed.is_some() && claim.hashed == object.digest();
            match lie(object, copy, station, &claim) {
                Some(lie) => (Answer::Wrong, with_note(lie, &claim.note)),
                None if proved => (Answer::Right, with_note("digest proved".to_owned(), &claim.note)),
                None => (Answer::Right, with_note("the same".to_owned(), &claim.note)),
            }
        }
    };
    let mend = witness.mend(object);
    Said { who: witness.name(), station, answer, text, proved, first_liar: false, mend }
}

fn with_note(text: String, note: &str) -> String {
    if note.is_empty() { text } else { format!("{text} ({note})") }
}

/// What is not so of a claim.
fn lie(object: &Object, copy: &Copy, station: Station, claim: &Claim) -> Option<String> {
    match &object.reference {
        Reference::Tag(_) => lie_of_tag(copy, station, claim),
        Reference::Digest(digest) => lie_of_content(object, digest, copy, station, claim),
    }
}

fn lie_of_tag(copy: &Copy, station: Station, claim: &Claim) -> Option<String> {
    if let (Some(told), Some(hashed)) = (claim.digest, claim.hashed)
        && told != hashed
        && told.algorithm() == hashed.algorithm()
    {
        return Some(format!("serves wrong bytes: its header says {told}, they have the digest {hashed}"));
    }
    // A target under another algorithm is only compared with a digest of that algorithm.
    let comparable = |told: &Digest| copy.target.is_none_or(|target| target.algorithm() == told.algorithm());
    let told = claim.hashed.filter(comparable).or(claim.digest.filter(comparable))?;
    match copy.target {
        Some(target) if target == told => None,
        Some(target) if station == Station::Front => {
            Some(format!("serves a stale manifest, {told}; the tag points to {target}"))
        }
        Some(target) => Some(format!("has {told}; the tag points to {target}")),
        None if copy.absent && station == Station::Front => {
            Some(format!("serves {told}, and there is no such tag"))
        }
        None => None,
    }
}

fn lie_of_content(
    object: &Object,
    digest: &Digest,
    copy: &Copy,
    station: Station,
    claim: &Claim,
) -> Option<String> {
    if let Some(hashed) = claim.hashed.filter(|hashed| hashed != digest) {
        let size = claim.size.map_or(String::new(), |size| format!("its {size} bytes have the digest "));
        return Some(format!("has wrong bytes: {size}{hashed}"));
    }
    if let Some(told) = claim.digest.filter(|told| told.algorithm() == digest.algorithm() && told != digest) {
        return Some(format!("says that it has the digest {told}"));
    }
    let by_store = copy.size.filter(|_| copy.answer == Answer::Right);
    if let (Some(told), Some(size)) = (claim.size, by_store.or(object.size.filter(|_| object.is_blob())))
        && told != size
    {
        return Some(format!("tells of {told} bytes, there are {size}"));
    }
    if copy.absent && station == Station::Front {
        return Some("serves it, and there is no such manifest in the repository".to_owned());
    }
    let gone = copy.answer == Answer::Wrong && copy.size.is_none() && copy.bytes.is_none();
    if station == Station::DistributionRedis && gone {
        return Some("tells of it, and what is in the store is not it".to_owned());
    }
    None
}

/// Marks who lies first: the innermost of those whose answers others give on; and everybody else who is wrong by
/// himself.
fn mark(said: &mut [Said]) {
    let mut order: Vec<usize> = (0..said.len()).filter(|at| said[*at].station.is_believed()).collect();
    // Of several fronts the last one is the innermost.
    order.sort_by_key(|at| (said[*at].station.depth(), usize::MAX - at));
    let first = order.into_iter().find(|at| said[*at].answer == Answer::Wrong);
    for (at, said) in said.iter_mut().enumerate() {
        let alone = !said.station.is_believed() && said.answer == Answer::Wrong;
        said.first_liar = alone || Some(at) == first;
    }
}
