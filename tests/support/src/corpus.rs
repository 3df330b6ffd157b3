//! The images that are pushed, pulled, deleted and collected wherever two registries share a store.

use crate::api::{Api, Pulled};
use crate::content::bytes;
use crate::image::{Blob, Image, Index, Style};
use wharfinger_oci::Digest;

const MIB: usize = 1 << 20;

/// The size of the one large blob that is pushed by POST and PUT.
const ANNOUNCED: usize = 20 * MIB;

/// What is pushed in every direction.
#[derive(Clone, Debug)]
pub struct Corpus {
    images: Vec<(&'static str, &'static str, Image)>,
    indexes: Vec<(&'static str, &'static str, Index)>,
    moved: Vec<Image>,
}

/// An upload that was begun and not ended.
#[derive(Clone, Debug)]
pub struct HalfDone {
    session: String,
    rest: Vec<u8>,
    digest: Digest,
}

impl HalfDone {
    /// The repository that it was begun in.
    pub const REPOSITORY: &'static str = "half/done";

    /// Ends the upload at the registry that it was begun at; returns the blob's digest.
    #[track_caller]
    pub fn finish(&self, api: &Api) -> Digest {
        api.finish(&self.session, &self.digest.to_string(), &self.rest).expect(201);
        self.digest
    }
}

impl Corpus {
    /// An empty blob, blobs around the sizes of buffers and segments, layers that images share, one image of thirty
    /// layers, a Docker list, an OCI index, and a tag that moves three times.
    #[expect(clippy::new_without_default, reason = "no default: it takes a second to make")]
    pub fn new() -> Corpus {
        let shared = Blob::seeded(1, 6 * MIB + 1);
        let sizes = [1, 20 * MIB - 1, ANNOUNCED, 20 * MIB + 1, 200 * MIB];
        let sizes = sizes.iter().enumerate().map(|(i, size)| Blob::seeded(10 + i as u64, *size)).collect();
        let with_shared =
            |seed, size| Image::of(Style::Oci, "amd64", vec![shared.clone(), Blob::seeded(seed, size)]);
        Corpus {
            images: vec![
                ("empty", "v1", Image::of(Style::Oci, "amd64", vec![Blob::new(Vec::new())])),
                ("sizes", "all", Image::of(Style::Oci, "amd64", sizes)),
                ("shared/one", "v1", with_shared(20, 100_000)),
                ("shared/two", "v1", with_shared(21, 100_000)),
                ("shared/two", "doomed", with_shared(22, 5 * MIB + 1)),
                ("layers", "thirty", Image::layered(Style::Docker, 30, 30, 50_000)),
            ],
            indexes: vec![
                ("multi/docker", "latest", Index::two_platforms(Style::Docker, 40)),
                ("multi/oci", "latest", Index::two_platforms(Style::Oci, 50)),
            ],
            moved: (60..64).map(Image::small).collect(),
        }
    }

    /// Pushes an image with its large blobs sent as Docker does, by one PATCH, except one that comes with the closing PUT,
    /// which announces digest and length.
    #[track_caller]
    fn push_image(api: &Api, repository: &str, reference: &str, image: &Image) {
        for blob in image.blobs().filter(|blob| blob.size > MIB as u64 && blob.size != ANNOUNCED as u64) {
            if api.head(&format!("/v2/{repository}/blobs/{}", blob.digest)).status != 200 {
                api.push_chunked(repository, &blob.bytes(), blob.size as usize);
            }
        }
        api.push_image(repository, reference, image);
    }

    /// Pushes everything; what has an empty blob goes to `empty`, since Distribution cannot keep one on Swift. Returns
    /// the upload that was left half done.
    #[track_caller]
    pub fn push(&self, api: &Api, empty: &Api) -> HalfDone {
        for (repository, tag, image) in &self.images {
            let api = if *repository == "empty" { empty } else { api };
            Corpus::push_image(api, repository, tag, image);
        }
        for (repository, tag, index) in &self.indexes {
            api.push_index(repository, tag, index);
        }
        for image in &self.moved {
            api.push_image("moved", "latest", image);
        }
        let (content, sent) = (bytes(70, 3 * MIB), 2 * MIB);
        let session = api.start_upload(HalfDone::REPOSITORY);
        let session = api.patch(&session, 0, &content[..sent]).expect(202).location();
        HalfDone { session, rest: content[sent..].to_vec(), digest: Digest::sha256(&content) }
    }

    /// Every repository, in the order of a catalog.
    pub fn repositories(&self) -> [&'static str; 8] {
        ["empty", "layers", "moved", "multi/docker", "multi/oci", "shared/one", "shared/two", "sizes"]
    }

    /// Every image by its tag, and the targets of the moved tag by digest.
    fn references(&self) -> Vec<(String, String)> {
        let images = self.images.iter().map(|(repository, tag, _)| (*repository, (*tag).to_owned()));
        let indexes = self.indexes.iter().map(|(repository, tag, _)| (*repository, (*tag).to_owned()));
        let moved = self.moved.iter().map(|image| ("moved", image.digest.to_string()));
        let references = images.chain(indexes).chain(moved).chain([("moved", "latest".to_owned())]);
        references.map(|(repository, reference)| (repository.to_owned(), reference)).collect()
    }

    /// The image `shared/two:doomed`: its upper layer is its own, its lower one is not.
    pub fn doomed(&self) -> &Image {
        let found = self.images.iter().find(|(_, tag, _)| *tag == "doomed");
        &found.expect("the doomed image").2
    }

    /// The layer that only the doomed image has.
    pub fn doomed_layer(&self) -> Digest {
        self.doomed().layers[1].digest
    }

    /// The image that the moved tag pointed to at first.
    pub fn oldest(&self) -> &Image {
        &self.moved[0]
    }

    /// The image that the moved tag points to.
    pub fn newest(&self) -> &Image {
        &self.moved[3]
    }

    /// Pulls everything that is not deleted, verifying every digest.
    #[track_caller]
    pub fn pull(&self, api: &Api, deleted: &[&str]) -> Vec<Pulled> {
        let references = self.references();
        let live = references.iter().filter(|(_, reference)| !deleted.contains(&reference.as_str()));
        live.map(|(repository, reference)| api.pull(repository, reference)).collect()
    }

    /// As [`Corpus::pull`], but only asks for the large blobs instead of reading them once more.
    #[track_caller]
    pub fn look(&self, api: &Api, deleted: &[&str]) -> Vec<Pulled> {
        let (repository, tag, sizes) = &self.images[1];
        for blob in sizes.blobs() {
            let head = api.head(&format!("/v2/{repository}/blobs/{}", blob.digest)).expect(200);
            assert_eq!(head.required("content-length"), blob.size.to_string());
        }
        self.pull(api, &[deleted, &[tag]].concat())
    }
}
