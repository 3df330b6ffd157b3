//! What the model pushes: contents, manifests, names.

use std::sync::Arc;

use bytes::Bytes;
use wharfinger_oci::{Algorithm, Digest, RepositoryName, Tag, media_type};
use wharfinger_test_support::{Rng, bytes};

/// A layer or config.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) bytes: Bytes,
    pub(crate) digest: Digest,
    /// The content that begins with this one, if there is one.
    pub(crate) longer: Option<usize>,
}

/// A manifest or index.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) bytes: Bytes,
    pub(crate) digest: Digest,
    pub(crate) media_type: &'static str,
    /// Contents that it names.
    pub(crate) blobs: Vec<usize>,
    /// Documents that it names.
    pub(crate) manifests: Vec<usize>,
}

/// Everything that is pushed in one run.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) contents: Vec<Content>,
    pub(crate) repositories: Vec<RepositoryName>,
    pub(crate) tags: Vec<Tag>,
}

/// Sizes, mostly small; those above 4 MiB are staged whoever pushes them and have a chunk index.
const SIZES: [usize; 20] = [
    0, 1, 700, 9_000, 40_000, 65_536, 65_537, 70_000, 90_000, 120_000, 150_000, 200_000, 260_000, 400_000,
    1_048_577, 1_400_000, 2_600_000, 4_194_304, 4_194_305, 6_000_000,
];
/// Indexes of sizes that have a longer sibling.
const GROWING: [usize; 3] = [7, 9, 14];

impl Pool {
    pub(crate) fn new(seed: u64) -> Pool {
        let mut contents: Vec<Content> = Vec::new();
        for (number, size) in SIZES.into_iter().enumerate() {
            let algorithm = if number % 7 == 6 { Algorithm::Sha512 } else { Algorithm::Sha256 };
            contents.push(content(bytes(seed + number as u64, size), algorithm));
        }
        for number in GROWING {
            let mut longer = contents[number].bytes.to_vec();
            longer.extend(bytes(seed + 1_000 + number as u64, 80_000));
            contents[number].longer = Some(contents.len());
            contents.push(content(longer, Algorithm::Sha256));
        }
        let names = |list: &[&str]| list.iter().map(|name| RepositoryName::parse(name).unwrap()).collect();
        let tags = ["latest", "1.0", "1.0-a", "1.0.1", "2024-01", "2024-01.rc"];
        Pool {
            contents,
            repositories: names(&["app", "team/app", "team/app-2"]),
            tags: tags.iter().map(|tag| Tag::parse(tag).unwrap()).collect(),
        }
    }

    /// A content; rarely one of the large ones.
    pub(crate) fn draw(&self, random: &mut Rng) -> usize {
        let common = SIZES.len() - 5;
        match random.below(12) {
            0 => common + random.below(5) as usize,
            1 | 2 => SIZES.len() + random.below(GROWING.len() as u64) as usize,
            _ => random.below(common as u64) as usize,
        }
    }
}

fn content(bytes: Vec<u8>, algorithm: Algorithm) -> Content {
    let digest = Digest::of(algorithm, &bytes);
    Content { bytes: bytes.into(), digest, longer: None }
}

impl Document {
    /// An image of these contents, the first of them its config.
    pub(crate) fn image(pool: &Pool, blobs: Vec<usize>, variant: u64) -> Document {
        let descriptor = |content: &usize| {
            let content = &pool.contents[*content];
            let (digest, size) = (content.digest.to_string(), content.bytes.len());
            serde_json::json!({ "mediaType": "application/x", "digest": digest, "size": size })
        };
        let (config, layers) = blobs.split_first().unwrap();
        let text = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": media_type::OCI_MANIFEST,
            "config": descriptor(config),
            "layers": layers.iter().map(descriptor).collect::<Vec<_>>(),
            "annotations": { "variant": variant.to_string() },
        });
        Document::new(&text, media_type::OCI_MANIFEST, blobs, Vec::new())
    }

    /// An index of these documents.
    pub(crate) fn index(documents: &[Arc<Document>], manifests: Vec<usize>, variant: u64) -> Document {
        let descriptor = |number: &usize| {
            let document = &documents[*number];
            let (digest, size) = (document.digest.to_string(), document.bytes.len());
            serde_json::json!({ "mediaType": document.media_type, "digest": digest, "size": size })
        };
        let text = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": media_type::OCI_INDEX,
            "manifests": manifests.iter().map(descriptor).collect::<Vec<_>>(),
            "annotations": { "variant": variant.to_string() },
        });
        Document::new(&text, media_type::OCI_INDEX, Vec::new(), manifests)
    }

    fn new(
        text: &serde_json::Value,
        media_type: &'static str,
        blobs: Vec<usize>,
        manifests: Vec<usize>,
    ) -> Document {
        let bytes = Bytes::from(text.to_string());
        Document { digest: Digest::sha256(&bytes), bytes, media_type, blobs, manifests }
    }
}
