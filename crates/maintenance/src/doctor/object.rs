//! What an image consists of, as the objects that are asked about.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use wharfinger_oci::{Descriptor, Digest, Reference, RepositoryName, Tag};

/// What an object is to its image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The link from a tag to a manifest.
    Tag,
    /// An index.
    Index,
    /// A manifest.
    Manifest,
    /// The config.
    Config,
    /// A layer.
    Layer,
}

/// One object of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// What it is.
    pub role: Role,
    /// Of a layer: which, counted from 1.
    pub number: usize,
    /// Of a manifest in an index: for which platform.
    pub platform: Option<String>,
    /// In which repository it is asked for.
    pub repository: RepositoryName,
    /// By what.
    pub reference: Reference,
    /// Its length in bytes, as the one above it says.
    pub size: Option<u64>,
    /// Whether something names it: then it has to be there.
    pub required: bool,
    /// False for what an index names and the configuration lets be elsewhere.
    pub must_be_here: bool,
}

impl Object {
    /// The one at the top of an image. Of what has a digest it shows only when it is read whether it is an index.
    pub(super) fn root(image: &Image) -> Object {
        let role = match image.reference {
            Reference::Tag(_) => Role::Tag,
            Reference::Digest(_) => Role::Manifest,
        };
        Object {
            role,
            number: 0,
            platform: None,
            repository: image.repository.clone(),
            reference: image.reference.clone(),
            size: None,
            required: false,
            must_be_here: true,
        }
    }

    /// What it names, or what a tag points to.
    pub(super) fn below(&self, role: Role, digest: Digest, size: Option<u64>) -> Object {
        Object {
            role,
            number: 0,
            platform: None,
            repository: self.repository.clone(),
            reference: Reference::Digest(digest),
            size,
            required: true,
            must_be_here: true,
        }
    }

    /// Its digest; none of a tag.
    pub fn digest(&self) -> Option<Digest> {
        match self.reference {
            Reference::Digest(digest) => Some(digest),
            Reference::Tag(_) => None,
        }
    }

    /// Whether it is asked for as a blob, not as a manifest.
    pub fn is_blob(&self) -> bool {
        matches!(self.role, Role::Config | Role::Layer)
    }

    /// Where the API has it.
    pub fn path(&self) -> String {
        let kind = if self.is_blob() { "blobs" } else { "manifests" };
        format!("/v2/{}/{kind}/{}", self.repository, self.reference)
    }
}

/// In a few words, without its digest: `layer 3`.
impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.role {
            Role::Tag => write!(f, "tag {}", self.reference),
            Role::Index => f.write_str("index"),
            Role::Manifest => f.write_str("manifest"),
            Role::Config => f.write_str("config"),
            Role::Layer => write!(f, "layer {}", self.number),
        }?;
        match &self.platform {
            Some(platform) => write!(f, " {platform}"),
            None => Ok(()),
        }
    }
}

/// An image, as a client names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The repository.
    pub repository: RepositoryName,
    /// A tag or a digest.
    pub reference: Reference,
}

impl FromStr for Image {
    type Err = String;

    /// `NAME`, `NAME:TAG`, `NAME@DIGEST` or `NAME:TAG@DIGEST`; a registry's `HOST:PORT/` or `https://HOST/` before it
    /// is dropped. The tag is `latest` where there is none.
    fn from_str(text: &str) -> Result<Image, String> {
        let wrong =
            |error: &dyn fmt::Display| format!("{text:?} is not an image (NAME:TAG or NAME@DIGEST): {error}");
        let rest = without_host(text);
        let (name, reference) = match rest.split_once('@') {
            Some((name, digest)) => {
                let name = name.rsplit_once(':').map_or(name, |(name, _)| name);
                (name, Digest::parse(digest).map(Reference::Digest).map_err(|error| wrong(&error))?)
            }
            None => {
                let (name, tag) = rest.rsplit_once(':').unwrap_or((rest, "latest"));
                (name, Tag::parse(tag).map(Reference::Tag).map_err(|error| wrong(&error))?)
            }
        };
        let repository = RepositoryName::parse(name).map_err(|error| wrong(&error))?;
        Ok(Image { repository, reference })
    }
}

fn without_host(text: &str) -> &str {
    for scheme in ["https://", "http://", "docker://"] {
        if let Some((_, path)) = text.strip_prefix(scheme).and_then(|rest| rest.split_once('/')) {
            return path;
        }
    }
    // A name of a repository has no colon before a slash.
    match text.split_once('/') {
        Some((host, path)) if host.contains(':') => path,
        _ => text,
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reference {
            Reference::Tag(tag) => write!(f, "{}:{tag}", self.repository),
            Reference::Digest(digest) => write!(f, "{}@{digest}", self.repository),
        }
    }
}

/// A platform, as `os/architecture` or `os/architecture/variant`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Platform {
    os: String,
    architecture: String,
    variant: Option<String>,
}

impl Platform {
    /// What an index says of one of its manifests.
    pub(super) fn of(descriptor: &Descriptor) -> Option<Platform> {
        let platform = descriptor.platform.as_ref()?;
        let text = |key: &str| platform[key].as_str().map(str::to_owned);
        Some(Platform { os: text("os")?, architecture: text("architecture")?, variant: text("variant") })
    }

    /// Whether a manifest for `other` is asked for; a variant only counts where it is given.
    pub(super) fn takes(&self, other: &Platform) -> bool {
        let variant = self.variant.is_none() || self.variant == other.variant;
        self.os == other.os && self.architecture == other.architecture && variant
    }

    pub(super) fn is(&self, os: &str, architecture: &str) -> bool {
        self.os == os && self.architecture == architecture
    }
}

impl FromStr for Platform {
    type Err = String;

    fn from_str(text: &str) -> Result<Platform, String> {
        let mut parts = text.split('/').map(str::to_owned);
        let (os, architecture, variant) = (parts.next(), parts.next(), parts.next());
        match (os, architecture) {
            (Some(os), Some(architecture))
                if !os.is_empty() && !architecture.is_empty() && parts.next().is_none() =>
            {
                Ok(Platform { os, architecture, variant })
            }
            _ => Err("a platform such as linux/amd64 or linux/arm/v7".to_owned()),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_named_as_clients_name_them() {
        let digest = format!("sha256:{}", "0".repeat(64));
        for (text, expected) in [
            ("team/app:1.0", "team/app:1.0".to_owned()),
            ("app", "app:latest".to_owned()),
            ("registry.example.org:5000/team/app:1.0", "team/app:1.0".to_owned()),
            ("https://registry.example.org/app", "app:latest".to_owned()),
            (&format!("app@{digest}"), format!("app@{digest}")),
            (&format!("app:1.0@{digest}"), format!("app@{digest}")),
        ] {
            assert_eq!(text.parse::<Image>().map(|image| image.to_string()), Ok(expected), "{text}");
        }
        for wrong in ["", "APP:1", "app:", "app@sha256:12", "app:.1"] {
            assert!(wrong.parse::<Image>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_platform_takes_every_variant_unless_it_names_one() {
        let platform = |text: &str| text.parse::<Platform>().unwrap();
        assert!(platform("linux/arm").takes(&platform("linux/arm/v7")));
        assert!(!platform("linux/arm/v6").takes(&platform("linux/arm/v7")));
        assert!(!platform("linux/arm64").takes(&platform("linux/arm")));
        for wrong in ["linux", "/amd64", "linux/", "a/b/c/d"] {
            assert!(wrong.parse::<Platform>().is_err(), "{wrong}");
        }
    }
}
