//! One repair, made and read back.

use wharfinger_oci::{Digest, DigestError, Reference, RepositoryName, Tag};
use wharfinger_registry::layout::{self, Place, place};
use wharfinger_registry::{Error, Registry};
use wharfinger_store::Key;

use super::{Outcome, Step};
use crate::copies::{Source, copy_blob};
use crate::graph::{LOOK_AGAIN, Link, read};
use crate::prove::{Pace, hash};

/// Why a repair was not made.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    /// The place that had the copy is not asked any more.
    #[error("{0} is not among the places that are asked")]
    NoSource(String),
    /// The copy is not what it was a moment ago.
    #[error("{0} has no intact copy any more")]
    NoCopy(String),
    /// A step that does not say what it must.
    #[error("{0} is no name that can be mended")]
    Name(String),
    /// It was written, and something else was read.
    #[error("{0} was written and is not as it should be when it is read back")]
    NotReadBack(String),
    /// The registry refused.
    #[error(transparent)]
    Registry(#[from] Error),
    /// A digest that is none.
    #[error(transparent)]
    Digest(#[from] DigestError),
}

pub(super) async fn apply(
    registry: &Registry,
    step: &Step,
    sources: &[Source],
    pace: &Pace,
) -> Result<Outcome, Failed> {
    match step {
        Step::CopyBlob { digest, from, repository } => {
            let (digest, source) = (Digest::parse(digest)?, source(sources, from)?);
            let name = RepositoryName::parse(repository).map_err(|_| Failed::Name(repository.clone()))?;
            if is_right(registry, &digest, pace).await {
                return Ok(Outcome::MendedBefore);
            }
            copy_blob(source, registry, &name, &digest, pace).await?;
            read_back(registry, &digest, pace).await
        }
        Step::CopyManifest { digest, from } => {
            let (digest, source) = (Digest::parse(digest)?, source(sources, from)?);
            if is_right(registry, &digest, pace).await {
                return Ok(Outcome::MendedBefore);
            }
            let bytes = source.manifest(&digest).await.ok_or_else(|| Failed::NoCopy(from.clone()))?;
            registry.restore_manifest(&digest, bytes).await?;
            read_back(registry, &digest, pace).await
        }
        Step::WriteLink { key, digest } => write_link(registry, key, &Digest::parse(digest)?).await,
        Step::PointTag { image, digest, wrong, .. } => {
            let wrong = wrong.as_deref().map(Digest::parse).transpose()?;
            point_tag(registry, image, &Digest::parse(digest)?, wrong.as_ref()).await
        }
        Step::WriteIndex { digest } => write_index(registry, &Digest::parse(digest)?, pace).await,
        Step::Mark { digest } => {
            let digest = Digest::parse(digest)?;
            if is_right(registry, &digest, pace).await {
                return Ok(Outcome::MendedBefore);
            }
            registry.withhold(&digest).await?;
            Ok(Outcome::Marked)
        }
    }
}

fn source<'a>(sources: &'a [Source], name: &str) -> Result<&'a Source, Failed> {
    sources.iter().find(|source| source.name == name).ok_or_else(|| Failed::NoSource(name.to_owned()))
}

async fn is_right(registry: &Registry, digest: &Digest, pace: &Pace) -> bool {
    let key = layout::blob_data(digest);
    let Ok(object) = registry.store().open(&key).await else { return false };
    hash(&key, &object, digest.algorithm(), pace).await.is_ok_and(|(found, _)| found == *digest)
}

async fn read_back(registry: &Registry, digest: &Digest, pace: &Pace) -> Result<Outcome, Failed> {
    // A replica that lags goes on to show what was there before.
    for wait in [None].into_iter().chain(LOOK_AGAIN.map(Some)) {
        if let Some(wait) = wait {
            tokio::time::sleep(wait).await;
        }
        if is_right(registry, digest, pace).await {
            return Ok(Outcome::Mended);
        }
    }
    Err(Failed::NotReadBack(digest.to_string()))
}

async fn write_link(registry: &Registry, key: &str, digest: &Digest) -> Result<Outcome, Failed> {
    let at = Key::new(key);
    if read::link(registry.store(), &at).await == Link::To(*digest) {
        return Ok(Outcome::MendedBefore);
    }
    match place(key) {
        Some(Place::LayerLink(name, _)) => registry.restore_layer(&name, digest).await?,
        Some(Place::RevisionLink(name, _)) => registry.restore_revision(&name, digest).await?,
        Some(Place::TagIndex(name, tag, _)) => registry.restore_tag_history(&name, &tag, digest).await?,
        _ => return Err(Failed::Name(key.to_owned())),
    }
    match read::link(registry.store(), &at).await == Link::To(*digest) {
        true => Ok(Outcome::Mended),
        false => Err(Failed::NotReadBack(key.to_owned())),
    }
}

async fn point_tag(
    registry: &Registry,
    image: &str,
    digest: &Digest,
    wrong_target: Option<&Digest>,
) -> Result<Outcome, Failed> {
    let wrong = || Failed::Name(image.to_owned());
    let (name, tag) = image.rsplit_once(':').ok_or_else(wrong)?;
    let (name, tag) =
        (RepositoryName::parse(name).map_err(|_| wrong())?, Tag::parse(tag).map_err(|_| wrong())?);
    if !registry.restore_tag(&name, &tag, digest, wrong_target).await? {
        return Ok(Outcome::MendedBefore);
    }
    let found = registry.manifest(&name, &Reference::Tag(tag)).await?;
    match found.digest == *digest {
        true => Ok(Outcome::Mended),
        false => Err(Failed::NotReadBack(image.to_owned())),
    }
}

async fn write_index(registry: &Registry, digest: &Digest, pace: &Pace) -> Result<Outcome, Failed> {
    let key = layout::blob_data(digest);
    let object = registry.store().open(&key).await.map_err(Error::from)?;
    let (found, index) = hash(&key, &object, digest.algorithm(), pace).await.map_err(Error::from)?;
    if found != *digest {
        return Err(Failed::NotReadBack(digest.to_string()));
    }
    registry.replace_index(digest, index).await?;
    Ok(Outcome::Mended)
}
