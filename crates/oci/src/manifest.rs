//! Manifests and indexes: enough of their structure to check and to walk them; their bytes stay as they came.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{Descriptor, media_type};

/// The largest manifest accepted, 4 MiB (distribution-spec, "Pushing Manifests").
pub const MAX_MANIFEST_SIZE: usize = 4 * 1024 * 1024;

/// The four kinds of manifest that are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManifestKind {
    /// OCI image manifest (also carries artifacts).
    OciManifest,
    /// OCI image index.
    OciIndex,
    /// Docker schema 2 image manifest.
    DockerManifest,
    /// Docker schema 2 manifest list.
    DockerList,
}

impl ManifestKind {
    /// The kind that a media type names.
    pub fn from_media_type(value: &str) -> Option<ManifestKind> {
        match value {
            media_type::OCI_MANIFEST => Some(ManifestKind::OciManifest),
            media_type::OCI_INDEX => Some(ManifestKind::OciIndex),
            media_type::DOCKER_MANIFEST => Some(ManifestKind::DockerManifest),
            media_type::DOCKER_LIST => Some(ManifestKind::DockerList),
            _ => None,
        }
    }

    /// The kind's media type.
    pub fn media_type(self) -> &'static str {
        match self {
            ManifestKind::OciManifest => media_type::OCI_MANIFEST,
            ManifestKind::OciIndex => media_type::OCI_INDEX,
            ManifestKind::DockerManifest => media_type::DOCKER_MANIFEST,
            ManifestKind::DockerList => media_type::DOCKER_LIST,
        }
    }

    /// Whether manifests of this kind list other manifests.
    pub fn is_index(self) -> bool {
        matches!(self, ManifestKind::OciIndex | ManifestKind::DockerList)
    }
}

/// Why bytes are not a manifest that this registry stores.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not JSON, or JSON of another shape.
    #[error("the manifest is not valid JSON of the expected shape: {0}")]
    Json(#[from] serde_json::Error),
    /// Docker schema 1.
    #[error(
        "schema1 manifests are not supported; push with a client of Docker 1.10 or later (schema2 or OCI)"
    )]
    Schema1,
    /// `schemaVersion` is not 2.
    #[error("schemaVersion must be 2, found {0}")]
    SchemaVersion(u64),
    /// A media type we know nothing of.
    #[error("media type {0:?} is not a manifest that this registry stores")]
    UnknownMediaType(String),
    /// CVE-2021-41190: the header says one thing, the body another.
    #[error("the Content-Type says {header}, the manifest's mediaType says {body}")]
    MediaTypeMismatch {
        /// From the request's header.
        header: String,
        /// From the manifest.
        body: String,
    },
    /// A field that differs from one of the specification's only in case.
    #[error("field {0:?} differs from the specification's only in case; clients would not agree what it is")]
    Lookalike(String),
    /// CVE-2021-41190: image and index at once.
    #[error("a manifest has either config and layers or manifests, not both")]
    Ambiguous,
    /// A field that this kind needs is not there.
    #[error("the manifest has no {0:?}, which {1} requires")]
    Missing(&'static str, &'static str),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    #[serde(default)]
    schema_version: u64,
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
    subject: Option<Descriptor>,
    annotations: Option<BTreeMap<String, String>>,
    #[serde(rename = "fsLayers")]
    fs_layers: Option<serde_json::Value>,
    blobs: Option<serde_json::Value>,
}

/// A parsed manifest or index.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// Which of the four kinds.
    pub kind: ManifestKind,
    /// The config blob; none in an index.
    pub config: Option<Descriptor>,
    /// Layer blobs, in order; empty in an index.
    pub layers: Vec<Descriptor>,
    /// Child manifests, in order; empty in an image.
    pub manifests: Vec<Descriptor>,
    /// The manifest that this one refers to (image-spec, "subject").
    pub subject: Option<Descriptor>,
    /// `artifactType` as it stands in the manifest.
    pub artifact_type: Option<String>,
    /// Annotations of the manifest itself.
    pub annotations: Option<BTreeMap<String, String>>,
}

impl Manifest {
    /// Parses a pushed manifest. `content_type` is the request's Content-Type, which must agree with the body's
    /// `mediaType` where both are given.
    pub fn parse(content_type: Option<&str>, bytes: &[u8]) -> Result<Manifest, ManifestError> {
        // serde_json does not look at the text of unknown fields; other readers would stumble over it.
        if std::str::from_utf8(bytes).is_err() {
            return Err(ManifestError::Json(serde::de::Error::custom("it is not UTF-8 text")));
        }
        let manifest = Self::read(content_type, bytes)?;
        refuse_lookalikes(bytes)?;
        Ok(manifest)
    }

    /// Parses a manifest as it lies in the store, where no media type is recorded beside it.
    pub fn parse_stored(bytes: &[u8]) -> Result<Manifest, ManifestError> {
        Self::read(None, bytes)
    }

    fn read(content_type: Option<&str>, bytes: &[u8]) -> Result<Manifest, ManifestError> {
        let header = content_type.map(media_type::essence).filter(|value| !value.is_empty());
        if let Some(media_type::DOCKER_SCHEMA1 | media_type::DOCKER_SCHEMA1_SIGNED) = header {
            return Err(ManifestError::Schema1);
        }
        let raw: Raw = serde_json::from_slice(bytes)?;
        if raw.schema_version == 1 || raw.fs_layers.is_some() {
            return Err(ManifestError::Schema1);
        }
        if raw.schema_version != 2 {
            return Err(ManifestError::SchemaVersion(raw.schema_version));
        }
        if let (Some(header), Some(body)) = (header, raw.media_type.as_deref())
            && header != body
        {
            return Err(ManifestError::MediaTypeMismatch { header: header.into(), body: body.into() });
        }
        // Docker's kinds name themselves; without that the stored bytes would read as OCI.
        if let (Some(header @ (media_type::DOCKER_MANIFEST | media_type::DOCKER_LIST)), None) =
            (header, raw.media_type.as_deref())
        {
            return Err(ManifestError::MediaTypeMismatch { header: header.into(), body: "nothing".into() });
        }
        let declared = header.or(raw.media_type.as_deref());
        let kind = match declared {
            Some(value) => ManifestKind::from_media_type(value)
                .ok_or_else(|| ManifestError::UnknownMediaType(value.chars().take(128).collect()))?,
            None if raw.manifests.is_some() => ManifestKind::OciIndex,
            None => ManifestKind::OciManifest,
        };
        Self::from_raw(kind, raw)
    }

    fn from_raw(kind: ManifestKind, raw: Raw) -> Result<Manifest, ManifestError> {
        let (is_image, is_index) = (raw.config.is_some() || raw.layers.is_some(), raw.manifests.is_some());
        if is_index && (is_image || raw.blobs.is_some()) {
            return Err(ManifestError::Ambiguous);
        }
        if kind.is_index() && !is_index {
            return Err(ManifestError::Missing("manifests", kind.media_type()));
        }
        if !kind.is_index() && raw.config.is_none() {
            return Err(ManifestError::Missing("config", kind.media_type()));
        }
        if !kind.is_index() && raw.layers.is_none() {
            return Err(ManifestError::Missing("layers", kind.media_type()));
        }
        Ok(Manifest {
            kind,
            config: raw.config,
            layers: raw.layers.unwrap_or_default(),
            manifests: raw.manifests.unwrap_or_default(),
            subject: raw.subject,
            artifact_type: raw.artifact_type.filter(|value| !value.is_empty()),
            annotations: raw.annotations,
        })
    }

    /// The blobs that must be in the registry: config and layers, but for layers that may lie elsewhere
    /// (image-spec, "Non-Distributable Layers").
    pub fn required_blobs(&self) -> impl Iterator<Item = &Descriptor> {
        let layers = self.layers.iter().filter(|layer| {
            layer.urls.is_empty() && !media_type::is_non_distributable(media_type::essence(&layer.media_type))
        });
        self.config.iter().chain(layers)
    }

    /// The descriptor's `artifactType` in a referrers list: the manifest's own, else the config's media type for
    /// an image (distribution-spec, "Listing Referrers").
    pub fn referrer_artifact_type(&self) -> Option<&str> {
        self.artifact_type
            .as_deref()
            .or_else(|| self.config.as_ref().map(|config| config.media_type.as_str()))
    }
}

/// Fields that decide what a manifest is.
const FIELDS: [&str; 7] =
    ["schemaVersion", "mediaType", "config", "layers", "manifests", "fsLayers", "subject"];

/// Clients written in Go read field names in any case, so `Manifests` beside `layers` would be an index to them
/// and an image to us (CVE-2021-41190 by another door).
fn refuse_lookalikes(bytes: &[u8]) -> Result<(), ManifestError> {
    let names: BTreeMap<String, serde::de::IgnoredAny> = serde_json::from_slice(bytes)?;
    let lookalike =
        |name: &&String| FIELDS.iter().any(|field| field.eq_ignore_ascii_case(name) && field != name);
    match names.keys().find(lookalike) {
        Some(name) => Err(ManifestError::Lookalike(name.clone())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const D: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn image(extra: &str) -> String {
        format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"application/x","digest":"{D}","size":0}},"layers":[]{extra}}}"#
        )
    }

    #[test]
    fn a_body_without_media_type_is_oci() {
        let parsed = Manifest::parse(Some(media_type::DOCKER_MANIFEST), image("").as_bytes());
        assert!(matches!(parsed, Err(ManifestError::MediaTypeMismatch { .. })));
        assert_eq!(Manifest::parse_stored(image("").as_bytes()).unwrap().kind, ManifestKind::OciManifest);
    }

    #[test]
    fn header_and_body_must_agree() {
        let body = image(&format!(r#","mediaType":"{}""#, media_type::OCI_MANIFEST));
        assert!(Manifest::parse(Some(media_type::OCI_MANIFEST), body.as_bytes()).is_ok());
        let wrong = Manifest::parse(Some(media_type::DOCKER_MANIFEST), body.as_bytes());
        assert!(matches!(wrong, Err(ManifestError::MediaTypeMismatch { .. })));
    }

    #[test]
    fn an_image_that_is_also_an_index_is_refused() {
        let body = image(r#","manifests":[]"#);
        assert!(matches!(Manifest::parse(None, body.as_bytes()), Err(ManifestError::Ambiguous)));
    }

    #[test]
    fn fields_that_only_some_clients_would_read_are_refused() {
        for extra in [r#","Manifests":[]"#, r#","MediaType":"a/b""#, r#","LAYERS":[]"#] {
            let parsed = Manifest::parse(None, image(extra).as_bytes());
            assert!(matches!(parsed, Err(ManifestError::Lookalike(_))), "{extra}");
        }
        assert!(Manifest::parse(None, image(r#","Custom":1"#).as_bytes()).is_ok());
    }

    #[test]
    fn schema_1_is_refused_by_header_and_by_body() {
        let body = br#"{"schemaVersion":1,"fsLayers":[]}"#;
        assert!(matches!(Manifest::parse(None, body), Err(ManifestError::Schema1)));
        let by_header = Manifest::parse(Some(media_type::DOCKER_SCHEMA1_SIGNED), b"{}");
        assert!(matches!(by_header, Err(ManifestError::Schema1)));
    }

    #[test]
    fn a_pushed_manifest_is_text_to_its_last_unknown_field() {
        let mut body = image(r#","x":"?""#).into_bytes();
        assert!(Manifest::parse(None, &body).is_ok());
        if let Some(byte) = body.iter_mut().find(|byte| **byte == b'?') {
            *byte = 0xff;
        }
        assert!(matches!(Manifest::parse(None, &body), Err(ManifestError::Json(_))));
        assert!(Manifest::parse_stored(&body).is_ok(), "another registry took it");
    }

    #[test]
    fn layers_that_may_lie_elsewhere_are_not_required() {
        let layer =
            |kind: &str, urls: &str| format!(r#"{{"mediaType":"{kind}","digest":"{D}","size":0{urls}}}"#);
        let body = format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"a/b","digest":"{D}","size":0}},"layers":[{},{},{}]}}"#,
            layer("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", ""),
            layer(
                "application/vnd.docker.image.rootfs.diff.tar.gzip",
                r#","urls":["https://example.org/l"]"#
            ),
            layer("application/vnd.oci.image.layer.v1.tar", ""),
        );
        let manifest = Manifest::parse(None, body.as_bytes()).unwrap();
        assert_eq!(manifest.required_blobs().count(), 2);
    }
}
