//! OCI image layouts on disk (image-spec, "OCI Image Layout"), for clients that push from one.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::image::{Image, Index};

/// A directory in the OCI image layout.
#[derive(Debug)]
pub struct Layout {
    root: PathBuf,
    entries: Vec<Value>,
}

impl Layout {
    /// An empty layout in `root`, which is created.
    pub fn create(root: &Path) -> Layout {
        fs::create_dir_all(root.join("blobs/sha256")).expect("the layout's directory");
        fs::write(root.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)
            .expect("oci-layout is written");
        let layout = Layout { root: root.to_owned(), entries: Vec::new() };
        layout.write_index();
        layout
    }

    /// Where the layout lies.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Adds an image under a tag.
    pub fn add_image(&mut self, image: &Image, tag: &str) {
        self.write_image(image);
        self.add_entry(image.media_type, &image.digest.to_string(), image.manifest.len(), tag);
    }

    /// Adds an index with all its images under a tag.
    pub fn add_index(&mut self, index: &Index, tag: &str) {
        for image in &index.images {
            self.write_image(image);
        }
        fs::write(self.blob(&index.digest.hex()), &index.manifest).expect("the index is written");
        self.add_entry(index.media_type, &index.digest.to_string(), index.manifest.len(), tag);
    }

    fn write_image(&self, image: &Image) {
        for blob in image.blobs() {
            let path = self.blob(&blob.digest.hex());
            if !path.exists() {
                blob.write_to(&path);
            }
        }
        fs::write(self.blob(&image.digest.hex()), &image.manifest).expect("the manifest is written");
    }

    fn blob(&self, hex: &str) -> PathBuf {
        self.root.join("blobs/sha256").join(hex)
    }

    fn add_entry(&mut self, media_type: &str, digest: &str, size: usize, tag: &str) {
        self.entries.push(json!({
            "mediaType": media_type, "digest": digest, "size": size,
            "annotations": { "org.opencontainers.image.ref.name": tag },
        }));
        self.write_index();
    }

    fn write_index(&self) {
        let index = json!({ "schemaVersion": 2, "manifests": self.entries });
        fs::write(self.root.join("index.json"), index.to_string()).expect("index.json is written");
    }
}
