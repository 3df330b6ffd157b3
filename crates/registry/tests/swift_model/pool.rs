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
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    pub(crate) contents: Vec<Arc<Content>>,
    pub(crate) repositories: Vec<RepositoryName>,
    pub(crate) tags: Vec<Tag>,
}

/// Sizes that every run has; those above 4 MiB are staged whoever pushes them, and have a chunk index.
const SIZES: [usize; 12] =
    [0, 1, 700, 9_000, 40_000, 65_536, 65_537, 400_000, 1_048_577, 4_194_304, 4_194_305, 6_000_000];

impl Pool {
    pub(crate) fn new(random: &mut Rng) -> Pool {
        let names = |list: &[&str]| list.iter().map(|name| RepositoryName::parse(name).unwrap()).collect();
        let tags = ["latest", "1.0", "1.0-a", "1.0.1", "2024-01", "2024-01.rc"];
        let mut pool = Pool {
            contents: Vec::new(),
            repositories: names(&["app", "team/app", "team/app-2"]),
            tags: tags.iter().map(|tag| Tag::parse(tag).unwrap()).collect(),
        };
        for size in SIZES {
            pool.add(random, size);
        }
        pool
    }

    /// Adds a content of that size, and sometimes one that begins with it.
    fn add(&mut self, random: &mut Rng, size: usize) -> usize {
        let algorithm = if random.below(6) == 0 { Algorithm::Sha512 } else { Algorithm::Sha256 };
        let number = self.contents.len();
        let bytes = bytes(random.number(), size);
        let longer = (random.below(3) == 0).then(|| {
            let mut longer = bytes.clone();
            longer.extend_from_slice(&random.number().to_le_bytes().repeat(9_000));
            longer
        });
        let digest = Digest::of(algorithm, &bytes);
        let sibling = longer.is_some().then_some(number + 1);
        self.contents.push(Arc::new(Content { bytes: bytes.into(), digest, longer: sibling }));
        if let Some(longer) = longer {
            let digest = Digest::sha256(&longer);
            self.contents.push(Arc::new(Content { bytes: longer.into(), digest, longer: None }));
        }
        number
    }

    /// A content that nobody has pushed: mostly of a few segments where little is held in memory.
    pub(crate) fn fresh(&mut self, random: &mut Rng) -> usize {
        let size = match random.below(40) {
            0 => 4_194_305 + random.below(2_000_000),
            1..5 => 300_000 + random.below(2_000_000),
            5..10 => random.below(65_536),
            _ => 65_537 + random.below(250_000),
        };
        self.add(random, usize::try_from(size).unwrap())
    }

    /// A content that somebody may have pushed already; rarely a large one.
    pub(crate) fn draw(&self, random: &mut Rng) -> usize {
        let number = random.below(self.contents.len() as u64) as usize;
        let large = self.contents[number].bytes.len() > 1_500_000;
        if large && random.below(4) > 0 { number / 4 } else { number }
    }
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
