//! Images made in memory: layers that are real tar archives, OCI or Docker manifests, indexes.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};
use wharfinger_oci::media_type;
use wharfinger_oci::{Algorithm, Digest, Hasher};

use crate::content::{Rng, bytes};
use crate::gzip::Gzip;

/// Which family of media types an image speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// OCI image manifests and indexes.
    Oci,
    /// Docker schema2 manifests and manifest lists.
    Docker,
}

impl Style {
    fn manifest(self) -> &'static str {
        match self {
            Style::Oci => media_type::OCI_MANIFEST,
            Style::Docker => media_type::DOCKER_MANIFEST,
        }
    }

    fn index(self) -> &'static str {
        match self {
            Style::Oci => media_type::OCI_INDEX,
            Style::Docker => media_type::DOCKER_LIST,
        }
    }

    fn config(self) -> &'static str {
        match self {
            Style::Oci => "application/vnd.oci.image.config.v1+json",
            Style::Docker => "application/vnd.docker.container.image.v1+json",
        }
    }

    fn layer(self) -> &'static str {
        match self {
            Style::Oci => "application/vnd.oci.image.layer.v1.tar+gzip",
            Style::Docker => "application/vnd.docker.image.rootfs.diff.tar.gzip",
        }
    }
}

#[derive(Clone, Debug)]
enum Content {
    Memory(Arc<[u8]>),
    File(PathBuf),
}

/// Content with its digest: a layer or a config.
#[derive(Clone, Debug)]
pub struct Blob {
    /// Digest of the content.
    pub digest: Digest,
    /// Length in bytes.
    pub size: u64,
    /// Digest of the archive inside, where the blob is a compressed layer.
    diff_id: Digest,
    content: Content,
}

impl Blob {
    /// A blob of those bytes.
    pub fn new(content: Vec<u8>) -> Blob {
        let digest = Digest::sha256(&content);
        Blob { digest, size: content.len() as u64, diff_id: digest, content: Content::Memory(content.into()) }
    }

    /// A blob of `length` bytes that `seed` decides.
    pub fn seeded(seed: u64, length: usize) -> Blob {
        Blob::new(bytes(seed, length))
    }

    /// A layer with one file of `length` seeded bytes.
    pub fn layer(seed: u64, length: u64) -> Blob {
        let (content, digest, diff_id) = write_layer(Vec::new(), seed, length);
        Blob { digest, size: content.len() as u64, diff_id, content: Content::Memory(content.into()) }
    }

    /// A layer with one file of `length` seeded bytes, written to `path` instead of kept in memory.
    pub fn large_layer(path: &Path, seed: u64, length: u64) -> Blob {
        let file = BufWriter::with_capacity(1 << 20, File::create(path).expect("a layer file"));
        let (file, digest, diff_id) = write_layer(file, seed, length);
        let size = file.get_ref().metadata().expect("the file's length").len();
        Blob { digest, size, diff_id, content: Content::File(path.to_owned()) }
    }

    /// The content; read from disk when it lies there.
    pub fn bytes(&self) -> Vec<u8> {
        match &self.content {
            Content::Memory(bytes) => bytes.to_vec(),
            Content::File(path) => fs::read(path).expect("the layer file is readable"),
        }
    }

    /// Writes the content to `path`, without copying it where it is a file already.
    pub fn write_to(&self, path: &Path) {
        match &self.content {
            Content::Memory(bytes) => fs::write(path, bytes).expect("the blob is written"),
            Content::File(from) => {
                if fs::hard_link(from, path).is_err() {
                    fs::copy(from, path).expect("the blob is copied");
                }
            }
        }
    }

    /// A descriptor of this blob.
    pub fn descriptor(&self, media_type: &str) -> Value {
        json!({ "mediaType": media_type, "digest": self.digest.to_string(), "size": self.size })
    }
}

/// An image: a manifest and what it names.
#[derive(Clone, Debug)]
pub struct Image {
    /// Media type of the manifest.
    pub media_type: &'static str,
    /// The manifest, byte for byte.
    pub manifest: Vec<u8>,
    /// Its digest.
    pub digest: Digest,
    /// The config blob.
    pub config: Blob,
    /// The layers, lowest first.
    pub layers: Vec<Blob>,
    architecture: String,
}

impl Image {
    /// An image of `layers` archives with one file of `size` bytes each.
    pub fn layered(style: Style, seed: u64, layers: usize, size: usize) -> Image {
        let layers =
            (0..layers).map(|i| Blob::layer(seed.wrapping_add(i as u64 * 7919), size as u64)).collect();
        Image::of(style, "amd64", layers)
    }

    /// An OCI image of two small layers, different for each seed.
    pub fn small(seed: u64) -> Image {
        Image::layered(Style::Oci, seed, 2, 3000)
    }

    /// An image of these layers, as they are.
    pub fn of(style: Style, architecture: &str, layers: Vec<Blob>) -> Image {
        let diff_ids: Vec<String> = layers.iter().map(|layer| layer.diff_id.to_string()).collect();
        let config = json!({
            "architecture": architecture, "os": "linux", "created": "2020-01-01T00:00:00Z",
            "config": { "Cmd": ["/none"] },
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
            "history": diff_ids.iter().map(|id| json!({ "created_by": id })).collect::<Vec<_>>(),
        });
        let config = Blob::new(config.to_string().into_bytes());
        Image::with_config(style, architecture, config, layers)
    }

    /// An image with further fields in its manifest (`subject`, `artifactType`, `annotations`).
    #[must_use]
    pub fn with_fields(&self, fields: &Value) -> Image {
        let mut manifest: Value = serde_json::from_slice(&self.manifest).expect("our own manifest");
        for (key, value) in fields.as_object().expect("an object of fields") {
            manifest[key] = value.clone();
        }
        let manifest = manifest.to_string().into_bytes();
        Image { digest: Digest::sha256(&manifest), manifest, ..self.clone() }
    }

    fn with_config(style: Style, architecture: &str, config: Blob, layers: Vec<Blob>) -> Image {
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": style.manifest(),
            "config": config.descriptor(style.config()),
            "layers": layers.iter().map(|layer| layer.descriptor(style.layer())).collect::<Vec<_>>(),
        });
        let manifest = manifest.to_string().into_bytes();
        Image {
            media_type: style.manifest(),
            digest: Digest::sha256(&manifest),
            manifest,
            config,
            layers,
            architecture: architecture.to_owned(),
        }
    }

    /// The config and all layers.
    pub fn blobs(&self) -> impl Iterator<Item = &Blob> {
        self.layers.iter().chain([&self.config])
    }

    /// A descriptor of the manifest, with its platform.
    pub fn descriptor(&self) -> Value {
        json!({
            "mediaType": self.media_type, "digest": self.digest.to_string(), "size": self.manifest.len(),
            "platform": { "architecture": self.architecture, "os": "linux" },
        })
    }
}

/// An OCI index or a Docker manifest list.
#[derive(Clone, Debug)]
pub struct Index {
    /// Media type of the index.
    pub media_type: &'static str,
    /// The index, byte for byte.
    pub manifest: Vec<u8>,
    /// Its digest.
    pub digest: Digest,
    /// The images that it names.
    pub images: Vec<Image>,
}

impl Index {
    /// An index of these images.
    pub fn of(style: Style, images: Vec<Image>) -> Index {
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": style.index(),
            "manifests": images.iter().map(Image::descriptor).collect::<Vec<_>>(),
        });
        let manifest = manifest.to_string().into_bytes();
        Index { media_type: style.index(), digest: Digest::sha256(&manifest), manifest, images }
    }

    /// An index of one image for amd64 and one for arm64.
    pub fn two_platforms(style: Style, seed: u64) -> Index {
        let image = |architecture: &str, seed| Image::of(style, architecture, vec![Blob::layer(seed, 5000)]);
        Index::of(style, vec![image("amd64", seed), image("arm64", seed + 1)])
    }
}

/// Writes bytes on and hashes them on the way.
struct Hashing<W> {
    out: W,
    hash: Hasher,
}

impl<W: Write> Hashing<W> {
    fn new(out: W) -> Hashing<W> {
        Hashing { out, hash: Hasher::new(Algorithm::Sha256) }
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Writes a gzipped tar archive with one file of `length` seeded bytes; returns the digests of the whole and of the
/// archive inside.
fn write_layer<W: Write>(out: W, seed: u64, length: u64) -> (W, Digest, Digest) {
    let write = || -> io::Result<_> {
        let mut archive = Hashing::new(Gzip::new(Hashing::new(out))?);
        archive.write_all(&tar_header(&format!("file-{seed}"), length))?;
        let (mut rng, mut block, mut left) = (Rng::new(seed), vec![0; 1 << 20], length);
        while left > 0 {
            let part = left.min(block.len() as u64) as usize;
            rng.fill(&mut block[..part]);
            archive.write_all(&block[..part])?;
            left -= part as u64;
        }
        archive.write_all(&vec![0; padding(length) + 1024])?;
        let whole = archive.out.finish()?;
        Ok((whole.out, whole.hash.finish(), archive.hash.finish()))
    };
    write().expect("the layer is written")
}

fn padding(size: u64) -> usize {
    ((512 - size % 512) % 512) as usize
}

/// A ustar header of a regular file, owned by root, of the year 1970.
fn tar_header(name: &str, size: u64) -> [u8; 512] {
    let mut header = [0u8; 512];
    let mut put =
        |offset: usize, text: &str| header[offset..offset + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000644\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{size:011o}\0"));
    put(136, "00000000000\0");
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\0");
    put(263, "00");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}
