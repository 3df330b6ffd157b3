//! What the doctor tells: the tree of each image, who lies first, what mends it, and a text for an incident page.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::Serialize;
use wharfinger_oci::Digest;

use super::exam::Exam;
use super::witness::Station;
use super::{Branch, Doctor, Object, Role};

/// What somebody's word is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// It is as it has to be.
    Right,
    /// It has none and need not.
    Nothing,
    /// It is not as it has to be, since what it comes from is not.
    Follows,
    /// It is not as it has to be.
    Wrong,
    /// It did not say.
    Unknown,
}

/// What one of those who were asked says of an object.
#[derive(Clone, Debug, Serialize)]
pub struct Said {
    /// Who.
    pub who: String,
    /// Where in the system that is.
    pub station: Station,
    /// What it is worth.
    pub answer: Answer,
    /// What it is, in words.
    pub text: String,
    /// Whether it gave bytes that have the digest.
    pub proved: bool,
    /// Whether it is wrong while what it stands on is right.
    pub first_liar: bool,
    /// The command that mends a wrong answer of its own.
    #[serde(skip)]
    pub(super) mend: String,
}

/// An object with what it names.
#[derive(Clone, Debug, Serialize)]
pub struct Node {
    /// What it is.
    pub role: Role,
    /// In a few words: `layer 3`.
    pub what: String,
    /// Its digest; of a tag, what it points to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Its length in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// From the client inwards to the store; other sites at the end.
    pub said: Vec<Said>,
    /// What it names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<Node>,
}

/// An image that was asked about.
#[derive(Clone, Debug, Serialize)]
pub struct ImageReport {
    /// `NAME:TAG` or `NAME@DIGEST`.
    pub image: String,
    /// Everything that it consists of.
    pub tree: Node,
}

/// One who lies first, on one object.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// Who.
    pub who: String,
    /// Where in the system that is.
    pub station: Station,
    /// What is wrong, as a sentence.
    pub text: String,
    /// The object's digest, or what a tag points to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Images that it hits, of those that were asked about.
    pub images: Vec<String>,
    /// Who has an intact copy, of those that were asked.
    pub intact: Vec<String>,
    /// The command that mends it.
    pub mend: String,
    /// Not before this moment, where it is known (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
}

/// Everything that was found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// In one line.
    pub verdict: String,
    /// Whether the bytes of blobs were read.
    pub deep: bool,
    /// Who was asked, from the client inwards.
    pub asked: Vec<String>,
    /// Who was not asked, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_asked: Vec<String>,
    /// First liars, the innermost first; none where every layer says the same.
    pub verdicts: Vec<Verdict>,
    /// What could not be told, and why.
    pub unknown: Vec<String>,
    /// A paragraph for an incident page, where something is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incident: Option<String>,
    /// One tree for each image.
    pub images: Vec<ImageReport>,
}

impl Report {
    /// 0 every layer says the same, 1 something is wrong, 2 it could not be told.
    pub fn exit_code(&self) -> u8 {
        match (self.verdicts.is_empty(), self.unknown.is_empty()) {
            (false, _) => 1,
            (true, false) => 2,
            (true, true) => 0,
        }
    }
}

/// Verdicts by depth, liar and object, so that an object that several images share is told once.
type Collected = BTreeMap<(usize, String, String), Verdict>;

impl Doctor<'_> {
    /// Makes a report of what was found.
    pub(super) fn report(
        &self,
        deep: bool,
        mut unknown: Vec<String>,
        branches: Vec<(String, Branch)>,
    ) -> Report {
        let mut collected = Collected::new();
        let mut images = Vec::new();
        for (image, branch) in branches {
            let tree = self.node(&image, &branch, &mut collected, &mut unknown);
            images.push(ImageReport { image, tree });
        }
        unknown.sort();
        unknown.dedup();
        let verdicts: Vec<Verdict> = collected.into_values().collect();
        let verdict = match (verdicts.first(), unknown.first()) {
            (Some(first), _) if verdicts.len() == 1 => first.text.clone(),
            (Some(first), _) => format!("{}; and {} more", first.text, verdicts.len() - 1),
            (None, Some(first)) if unknown.len() == 1 => format!("could not tell: {first}"),
            (None, Some(first)) => format!("could not tell: {first}; and {} more", unknown.len() - 1),
            (None, None) => "all good: every layer says the same".to_owned(),
        };
        let mut asked: Vec<String> = self.names(|station| station != Station::Site);
        asked.push(self.options.store.clone());
        asked.extend(self.names(|station| station == Station::Site));
        let incident = incident(&verdicts);
        let not_asked = self.options.not_asked.clone();
        Report { verdict, deep, asked, not_asked, verdicts, unknown, incident, images }
    }

    fn names(&self, keep: impl Fn(Station) -> bool) -> Vec<String> {
        let kept = self.witnesses.iter().filter(|witness| keep(witness.station()));
        kept.map(|witness| witness.name()).collect()
    }

    fn node(
        &self,
        image: &str,
        branch: &Branch,
        collected: &mut Collected,
        unknown: &mut Vec<String>,
    ) -> Node {
        let object = &branch.object;
        let exam = self.known(object);
        let mut node = Node {
            role: object.role,
            what: object.to_string(),
            digest: object.digest(),
            size: object.size,
            said: Vec::new(),
            children: Vec::new(),
        };
        if let Some(exam) = exam {
            node.digest = node.digest.or(exam.copy.target);
            node.size = exam.copy.size.or(node.size);
            for said in &exam.said {
                if said.first_liar {
                    self.collect(image, object, &exam, said, collected);
                }
                if said.answer == Answer::Unknown {
                    unknown.push(format!("{} on {} of {image}: {}", said.who, object, said.text));
                }
            }
            node.said.clone_from(&exam.said);
        }
        unknown.extend(branch.trouble.iter().map(|trouble| format!("{image}: {trouble}")));
        node.children =
            branch.children.iter().map(|child| self.node(image, child, collected, unknown)).collect();
        node
    }

    fn collect(&self, image: &str, object: &Object, exam: &Exam, said: &Said, collected: &mut Collected) {
        let key = (said.station.depth(), said.who.clone(), object.path());
        let hit = |verdict: &mut Verdict| {
            if !verdict.images.iter().any(|other| other == image) {
                verdict.images.push(image.to_owned());
            }
        };
        if let Some(verdict) = collected.get_mut(&key) {
            return hit(verdict);
        }
        let digest = object.digest().or(exam.copy.target);
        let name = match object.digest() {
            Some(digest) => format!("{object} of {image} ({digest})"),
            None => format!("{object} of {}", object.repository),
        };
        let text = match said.station {
            Station::Store if object.role == Role::Tag => format!("the store's link of {name} {}", said.text),
            Station::Store => format!("the store's copy of {name} {}", said.text),
            Station::ChunkIndex => format!("the chunk index of {name} {}", said.text),
            _ => format!("{} {}: {name}", said.who, said.text),
        };
        let good = |other: &&Said| other.answer == Answer::Right && other.station != said.station;
        let intact: Vec<&Said> = exam.said.iter().filter(good).filter(|other| has_bytes(other)).collect();
        let by_heal = intact.iter().any(|other| other.station != Station::Front);
        let mend = match said.station {
            Station::Store => self.mend_store(image, object, exam, by_heal),
            _ => said.mend.clone(),
        };
        let since = match said.station {
            Station::Store | Station::Front => exam.since().and_then(rfc3339),
            _ => None,
        };
        let intact = intact.into_iter().map(|other| other.who.clone()).collect();
        let verdict = Verdict {
            who: said.who.clone(),
            station: said.station,
            text,
            digest,
            images: vec![image.to_owned()],
            intact,
            mend,
            since,
        };
        collected.insert(key, verdict);
    }

    /// What mends the store: the best intact copy, or another push.
    fn mend_store(&self, image: &str, object: &Object, exam: &Exam, intact: bool) -> String {
        let pushed = format!("docker push REGISTRY/{image}");
        match object.digest() {
            _ if self.options.observe => format!(
                "{pushed}    # by way of a server with storage.mode adopted: this one writes nothing, and Distribution \
                 would take it for there already"
            ),
            _ if exam.copy.unlinked => pushed,
            Some(digest) if intact => format!("wharfinger heal --digest {digest}{}", self.options.config),
            // A push that asks first would be told that it is there, until it is withheld.
            Some(digest) if object.is_blob() && exam.copy.size.is_some() => {
                format!("wharfinger heal --digest {digest}{}; {pushed}", self.options.config)
            }
            _ => pushed,
        }
    }
}

/// Whether what is right is a copy of the bytes, and not word of them.
fn has_bytes(said: &Said) -> bool {
    said.proved || matches!(said.station, Station::Site | Station::DiskCache)
}

fn rfc3339(at: SystemTime) -> Option<String> {
    let format = time::format_description::well_known::Rfc3339;
    time::OffsetDateTime::from(at).replace_nanosecond(0).ok()?.format(&format).ok()
}

fn incident(verdicts: &[Verdict]) -> Option<String> {
    let first = verdicts.first()?;
    let mut images: Vec<&str> = verdicts.iter().flat_map(|v| v.images.iter().map(String::as_str)).collect();
    images.sort_unstable();
    images.dedup();
    let effect = match first.station {
        Station::Store | Station::ChunkIndex | Station::Server => "cannot be pulled whole",
        Station::Front => "is answered wrongly to clients that ask by way of it",
        Station::DistributionRedis => "may be refused to clients, and pushes of it may be lost",
        Station::DiskCache | Station::SharedRedis => "is pulled more slowly",
        Station::Site => "is not the same at the other site",
    };
    let causes: Vec<&str> = verdicts.iter().map(|verdict| verdict.text.as_str()).collect();
    let since = match &first.since {
        Some(since) => {
            format!("It is so since {since} at the earliest, when what stands in the store was written")
        }
        None => "Since when is not known".to_owned(),
    };
    let intact = match first.intact.is_empty() {
        true => "No intact copy was found among those that were asked".to_owned(),
        false => format!("An intact copy is at {}", first.intact.join(", ")),
    };
    let intact = if first.station == Station::Store { format!(" {intact}.") } else { String::new() };
    let shared = verdicts.iter().find(|v| v.station == Station::Store).and_then(|v| v.digest);
    let others = shared.map_or(String::new(), |digest| {
        format!(" Other images may have the same layers: wharfinger impact --digest {digest}.")
    });
    Some(format!(
        "{} {effect}. Cause: {}. {since}.{intact}{others} Being mended by: {}",
        images.join(", "),
        causes.join("; "),
        first.mend
    ))
}
