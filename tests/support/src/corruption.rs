//! Every kind of object harmed in every way, each in an image of its own, with what has to be said and done about it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use wharfinger_oci::Digest;

use crate::api::{ACCEPT, Api};
use crate::content::bytes;
use crate::ground::{Ground, Operator, blob_key, index_key, named, repository_key};
use crate::http::Request;
use crate::image::{Blob, Image, Style};
use crate::tree::Tree;

/// Bytes of a layer that has a chunk index in a directory, and none on Swift.
const LAYER: usize = 200_000;
/// Bytes of a layer that has one on Swift.
const LARGE: usize = 5 << 20;

/// Which object of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The bytes of its layer.
    Layer,
    /// The bytes of its manifest.
    Manifest,
    /// The link that makes the manifest readable.
    RevisionLink,
    /// The link from the tag.
    TagLink,
    /// The link that makes the layer readable.
    LayerLink,
    /// The chunk index of its layer.
    ChunkIndex,
    /// The record of an upload beside it.
    Session,
}

/// What happens to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Harm {
    /// It is gone.
    Missing,
    /// It has no bytes.
    Empty,
    /// It has half of its bytes.
    Truncated,
    /// One byte is another.
    Flipped,
    /// It has the bytes of another one of its kind.
    Swapped,
    /// It is there and cannot be read.
    Unreadable,
    /// It is there, and no listing shows it.
    Unlisted,
    /// It is gone, and listings go on to show it.
    Vanished,
}

/// One object, harmed in one way.
#[derive(Clone, Debug)]
pub struct Cell {
    part: Part,
    harm: Harm,
    image: Image,
    session: Option<String>,
    /// Whether its layer has a chunk index.
    indexed: bool,
}

/// What a walk has to say, and what is to become of it.
#[derive(Clone, Copy, Debug)]
struct Expected {
    /// Kinds of findings, sorted.
    kinds: &'static [&'static str],
    /// Whether the image can be pulled while it is harmed.
    pulled: bool,
    /// Whether `heal` mends it from a backup; with links that may have been deleted on purpose.
    healed: Healed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Healed {
    /// There is nothing to mend.
    Nothing,
    /// By itself.
    Yes,
    /// When told to write such links.
    Relinked,
    /// Not here.
    No,
}

impl Cell {
    /// Its repository.
    fn repository(&self) -> String {
        format!("cell/{:?}-{:?}", self.part, self.harm).to_lowercase()
    }

    fn reference(&self) -> String {
        format!("{}:v1", self.repository())
    }

    /// The key of what is harmed.
    fn key(&self) -> String {
        let (name, hex) = (self.repository(), |digest: &wharfinger_oci::Digest| digest.hex());
        let (manifest, layer) = (self.image.digest, self.image.layers[0].digest);
        match self.part {
            Part::Layer => blob_key(&layer),
            Part::Manifest => blob_key(&manifest),
            Part::RevisionLink => {
                repository_key(&name, &format!("_manifests/revisions/sha256/{}/link", hex(&manifest)))
            }
            Part::TagLink => repository_key(&name, "_manifests/tags/v1/current/link"),
            Part::LayerLink => repository_key(&name, &format!("_layers/sha256/{}/link", hex(&layer))),
            Part::ChunkIndex => index_key(&layer),
            Part::Session => {
                let id = self.session.as_deref().expect("a session");
                format!("wharfinger/v1/uploads/{id}/session")
            }
        }
    }

    fn expected(&self) -> Expected {
        use Harm::{Missing, Swapped, Unlisted, Unreadable, Vanished};
        use Healed::{No, Nothing, Relinked, Yes};
        let of = |kinds, pulled, healed| Expected { kinds, pulled, healed };
        let harm = match (self.part, self.harm) {
            (Part::TagLink, Vanished) => return of(&["link-lost"], false, Nothing),
            // What a listing shows is neither believed nor needed.
            (_, Vanished) => Missing,
            (_, harm) => harm,
        };
        match (self.part, harm) {
            (_, Unlisted) => of(&[], true, Nothing),
            // The record of another upload: its client begins again, as with none.
            (Part::Session, Missing | Swapped) => of(&[], true, Nothing),
            (Part::Session, Unreadable) => of(&["unreadable"], true, No),
            (Part::Session, _) => of(&["session-broken"], true, Nothing),
            // A pull by tag does not need it.
            (Part::RevisionLink, Unreadable) => of(&["unreadable"], true, No),
            (_, Unreadable) => of(&["unreadable"], false, No),
            (Part::Layer, Missing) if self.indexed => of(&["blob-missing", "index-stale"], false, Yes),
            (Part::Layer, Missing) => of(&["blob-missing"], false, Yes),
            (Part::Layer, _) => of(&["blob-damaged"], false, Yes),
            (Part::Manifest, Missing) => of(&["manifest-missing"], false, Yes),
            (Part::Manifest, _) => of(&["manifest-damaged"], false, Yes),
            (Part::RevisionLink, Missing) => of(&["manifest-unlinked"], true, Relinked),
            (Part::LayerLink, Missing) => of(&["blob-unlinked"], false, Relinked),
            // By its name alone it is a tag that was deleted.
            (Part::TagLink, Missing) => of(&[], false, Nothing),
            // It leads to a manifest of another repository.
            (Part::TagLink, Swapped) => of(&["blob-unlinked", "manifest-unlinked"], false, Yes),
            (Part::TagLink, _) => of(&["link-broken"], false, Yes),
            // What a link holds is what its name says: who only looks whether it is there does not see it.
            (Part::RevisionLink | Part::LayerLink, _) => of(&["link-broken"], true, Yes),
            (Part::ChunkIndex, Missing) => of(&[], true, Nothing),
            (Part::ChunkIndex, Swapped) => of(&["index-wrong"], false, Yes),
            (Part::ChunkIndex, _) => of(&["index-broken"], true, Yes),
        }
    }

    /// Whether a finding is about this cell.
    fn is_meant(&self, finding: &Value) -> bool {
        if let Some(repository) = finding["repository"].as_str() {
            return repository == self.repository();
        }
        let (what, image) = (finding["what"].as_str().unwrap_or_default(), self.reference());
        let images = finding["images"].as_array().into_iter().flatten();
        what == self.key()
            || images.into_iter().any(|found| found == &image)
            || what == self.image.layers[0].digest.to_string()
            || what == index_key(&self.image.layers[0].digest)
    }
}

/// The whole matrix on one ground.
#[derive(Debug)]
pub struct Matrix {
    cells: Vec<Cell>,
    decoy: Image,
}

const DECOY: &str = "decoy/well";

impl Matrix {
    /// Pushes an image for each cell, and one that nothing happens to, to a registry and to its backup.
    pub fn push(api: &Api, backup: &Api, harms: &[Harm], on_swift: bool) -> Matrix {
        let parts = [
            Part::Layer,
            Part::Manifest,
            Part::RevisionLink,
            Part::TagLink,
            Part::LayerLink,
            Part::ChunkIndex,
            Part::Session,
        ];
        let mut cells = Vec::new();
        let mut seed = 1000;
        for part in parts {
            for harm in harms {
                seed += 1;
                let length = if on_swift && part == Part::ChunkIndex { LARGE } else { LAYER };
                let layers = vec![Blob::new(bytes(seed, length))];
                let image = Image::of(Style::Oci, "amd64", layers);
                let indexed = !on_swift || length == LARGE;
                let mut cell = Cell { part, harm: *harm, image, session: None, indexed };
                for registry in [api, backup] {
                    registry.push_image(&cell.repository(), "v1", &cell.image);
                }
                if part == Part::Session {
                    let session = api.start_upload(&cell.repository());
                    let answer = api.patch(&session, 0, b"what came so far").expect(202);
                    cell.session = session_id(&answer.location());
                }
                cells.push(cell);
            }
        }
        let decoy = Image::small(999);
        for registry in [api, backup] {
            registry.push_image(DECOY, "v1", &decoy);
        }
        Matrix { cells, decoy }
    }

    /// Does all the harm at once.
    pub fn harm(&self, ground: Ground<'_>) {
        let keys: Vec<String> = self.cells.iter().map(Cell::key).collect();
        let contents: Vec<Option<Vec<u8>>> = keys.iter().map(|key| ground.read(key)).collect();
        for (at, cell) in self.cells.iter().enumerate() {
            let (key, content) = (&keys[at], contents[at].clone());
            let content = content.unwrap_or_else(|| panic!("{cell:?}: there is no {key}"));
            match cell.harm {
                Harm::Missing => ground.remove(key),
                Harm::Empty => ground.write(key, b""),
                Harm::Truncated => ground.write(key, &content[..content.len() / 2]),
                Harm::Flipped => ground.write(key, &flipped(cell.part, content)),
                Harm::Swapped => {
                    let other = self
                        .cells
                        .iter()
                        .position(|other| other.part == cell.part && other.harm == Harm::Missing);
                    let other = other.expect("another cell of its kind");
                    ground.write(key, contents[other].as_deref().expect("its content"));
                }
                Harm::Unreadable => ground.make_unreadable(key),
                Harm::Unlisted => ground.unlist(&named(key)),
                Harm::Vanished => ground.lose(&named(key)),
            }
        }
    }

    /// What a walk that reads everything has to say: exactly this, about each cell and nothing else.
    #[track_caller]
    pub fn assert_told(&self, report: &Value) {
        let findings = report["findings"].as_array().expect("findings");
        let mut told: BTreeMap<usize, BTreeSet<&str>> = BTreeMap::new();
        for finding in findings {
            let cell = self.cells.iter().position(|cell| cell.is_meant(finding));
            let cell = cell.unwrap_or_else(|| panic!("a finding about nothing that was harmed: {finding:#}"));
            told.entry(cell).or_default().insert(finding["kind"].as_str().expect("a kind"));
        }
        for (at, cell) in self.cells.iter().enumerate() {
            let expected: BTreeSet<&str> = cell.expected().kinds.iter().copied().collect();
            let found = told.remove(&at).unwrap_or_default();
            assert_eq!(found, expected, "{:?} {:?}", cell.part, cell.harm);
        }
    }

    /// Which cells a pull refuses. What it answers is right in any case.
    #[track_caller]
    pub fn assert_pulled(&self, api: &Api) {
        for cell in &self.cells {
            let whole = is_pulled(api, &cell.repository(), &cell.image);
            assert_eq!(whole, cell.expected().pulled, "{:?} {:?}", cell.part, cell.harm);
        }
        assert!(is_pulled(api, DECOY, &self.decoy), "the image that nothing happened to");
    }

    /// `impact` names the image of each blob.
    #[track_caller]
    pub fn assert_impact(&self, operator: &Operator) {
        let asked: Vec<&Cell> = self.cells.iter().filter(|cell| cell.part == Part::Layer).collect();
        let ask =
            |cell: &&Cell| operator.json(&["impact", "--digest", &cell.image.layers[0].digest.to_string()]);
        for (cell, (code, impact)) in asked.iter().zip(side_by_side(&asked, ask)) {
            let images = impact["uses"][0]["images"].as_array().expect("images");
            let names: Vec<&Value> = images.iter().map(|image| &image["image"]).collect();
            assert_eq!(names, [&Value::from(cell.reference())], "{impact:#}");
            // Other manifests cannot be read: one of them might name it, too.
            assert!(code == 0 || code == 2, "{code}: {impact:#}");
        }
    }

    /// `doctor` says of each image that something is wrong with it, where something is that a pull of it meets.
    #[track_caller]
    pub fn assert_diagnosed(&self, operator: &Operator) {
        let asked: Vec<&Cell> = self.cells.iter().filter(|cell| cell.part != Part::Session).collect();
        let ask = |cell: &&Cell| operator.json(&["doctor", "--deep", &cell.reference()]);
        for (cell, (code, told)) in asked.iter().zip(side_by_side(&asked, ask)) {
            let expected = match (cell.part, cell.harm) {
                (_, Harm::Unlisted) => code == 0,
                // By its name alone it is an image that is not there, or one that somebody else's link leads to.
                (Part::TagLink, _) => code != 0,
                (_, Harm::Unreadable) => code == 2,
                (Part::ChunkIndex, Harm::Swapped) => code == 1,
                (Part::ChunkIndex, _) => code <= 1,
                _ => code == 1,
            };
            assert!(expected, "{:?} {:?}: {code} {told:#}", cell.part, cell.harm);
        }
        let (code, told) = operator.json(&["doctor", "--deep", &format!("{DECOY}:v1")]);
        assert_eq!(code, 0, "{told:#}");
    }

    /// Keys that a repair writes, those of links that may have been deleted on purpose among them.
    fn repaired(&self, relink: bool) -> BTreeSet<String> {
        let healed = |cell: &&Cell| match cell.expected().healed {
            Healed::Yes => true,
            Healed::Relinked => relink,
            Healed::No | Healed::Nothing => false,
        };
        self.cells.iter().filter(healed).map(Cell::key).collect()
    }

    /// The names that differ for good once a repair was made: what was harmed and is not repaired.
    pub fn lasting(&self, well: &Tree, harmed: &Tree, relink: bool) -> BTreeSet<String> {
        let repaired = self.repaired(relink);
        well.changed(harmed).into_iter().filter(|name| !repaired.contains(&name[1..])).collect()
    }

    /// What a walk still finds after `heal`.
    #[track_caller]
    pub fn assert_left(&self, report: &Value, relinked: bool) {
        let left: BTreeSet<String> = self
            .cells
            .iter()
            .filter(|cell| match cell.expected().healed {
                Healed::Yes => false,
                Healed::Relinked => !relinked,
                Healed::No => true,
                Healed::Nothing => !cell.expected().kinds.is_empty(),
            })
            .map(Cell::repository)
            .collect();
        let mut found = BTreeSet::new();
        for finding in report["findings"].as_array().expect("findings") {
            let cell = self.cells.iter().find(|cell| cell.is_meant(finding));
            found.insert(cell.unwrap_or_else(|| panic!("a new finding: {finding:#}")).repository());
        }
        assert_eq!(found, left);
    }

    /// Cells whose image can be pulled whole after `heal`.
    #[track_caller]
    pub fn assert_mended(&self, api: &Api) {
        for cell in &self.cells {
            let expected = cell.expected();
            let mended = expected.pulled || matches!(expected.healed, Healed::Yes | Healed::Relinked);
            let whole = is_pulled(api, &cell.repository(), &cell.image);
            assert_eq!(whole, mended, "{:?} {:?}", cell.part, cell.harm);
        }
        assert!(is_pulled(api, DECOY, &self.decoy), "the image that nothing happened to");
    }
}

/// In the middle where it is about bytes, else at the start, where the form is.
fn flipped(part: Part, mut content: Vec<u8>) -> Vec<u8> {
    let at = if part == Part::Layer { content.len() / 2 } else { 0 };
    content[at] ^= 0x55;
    content
}

fn session_id(location: &str) -> Option<String> {
    let path = location.split('?').next()?;
    path.split(['/', '.']).find(|part| part.len() == 36 && part.matches('-').count() == 4).map(str::to_owned)
}

/// Asks about each; what looks again after a while takes no longer for all than for one.
pub(crate) fn side_by_side<T: Sync, A: Send>(asked: &[T], ask: impl Fn(&T) -> A + Sync) -> Vec<A> {
    let ask = &ask;
    std::thread::scope(|scope| {
        let asking: Vec<_> = asked.iter().map(|one| scope.spawn(move || ask(one))).collect();
        asking.into_iter().map(|thread| thread.join().expect("an answer")).collect()
    })
}

/// Whether an image is pulled whole. Panics when an answer ends cleanly with other bytes.
pub(crate) fn is_pulled(api: &Api, repository: &str, image: &Image) -> bool {
    is_tagged(api, repository, image)
        && image
            .blobs()
            .all(|blob| is_got(api, &format!("/v2/{repository}/blobs/{}", blob.digest), &blob.bytes()))
}

/// Whether the tag leads to the image. A tag whose link is that of another repository leads to another one, proved.
fn is_tagged(api: &Api, repository: &str, image: &Image) -> bool {
    let target = format!("/v2/{repository}/manifests/v1");
    match api.try_send(Request::new("GET", &target).header("Accept", ACCEPT)) {
        Ok(answer) if answer.status == 200 => {
            let digest = Digest::sha256(&answer.body);
            assert_eq!(answer.required("docker-content-digest"), digest.to_string(), "{target}");
            digest == image.digest
        }
        _ => false,
    }
}

fn is_got(api: &Api, target: &str, content: &[u8]) -> bool {
    match api.try_send(Request::new("GET", target).header("Accept", ACCEPT)) {
        Ok(answer) if answer.status == 200 => {
            assert!(answer.body == content, "{target}: a clean answer with other bytes");
            true
        }
        _ => false,
    }
}
