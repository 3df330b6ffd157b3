//! What clients do: each action as data, its call, and what came of it.

use std::future::poll_fn;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use wharfinger_oci::{Algorithm, Digest, Reference};
use wharfinger_registry::blob::verified::BodyError;
use wharfinger_registry::manifest::Push;
use wharfinger_registry::{
    Error, Frame, FrameKind, Registry, Result, SessionRef, UploadStatus, UploadWriter,
};
use wharfinger_store::StoreErrorKind;

use crate::pool::{Document, Pool};

pub(crate) const IDENTITY: &str = "user:me";

/// An action of a client. Repositories, contents, documents and tags by their number.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    Push { repository: usize, content: usize, announce: bool, piece: usize },
    Mount { from: usize, to: usize, content: usize },
    PushManifest { repository: usize, document: usize, tags: Vec<usize> },
    Begin { repository: usize, content: usize },
    Patch { upload: Upload, length: usize, piece: usize, ending: Ending },
    Close { upload: Upload, piece: usize, wrong: bool },
    Cancel { upload: Upload },
    Status { upload: Upload },
    DeleteBlob { repository: usize, content: usize },
    DeleteManifest { repository: usize, document: usize },
    DeleteTag { repository: usize, tag: usize },
    Stat { repository: usize, content: usize },
    Pull { repository: usize, content: usize, range: Range<u64> },
    PullManifest { repository: usize, document: usize },
    PullTag { repository: usize, tag: usize },
    Tags { repository: usize, last: Option<usize>, limit: usize },
    Catalog { limit: usize },
    Purge,
    Refresh,
}

/// How a request that brings a chunk ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// With its chunk.
    Pause,
    /// The client goes away in the middle.
    BreakOff,
    /// It does not: the client is slow.
    Hold,
}

/// An upload as its client knows it.
#[derive(Clone, Debug)]
pub(crate) struct Upload {
    pub(crate) number: u64,
    pub(crate) repository: usize,
    pub(crate) content: usize,
    pub(crate) session: SessionRef,
    /// Bytes that were acknowledged: the next ones begin here.
    pub(crate) offset: u64,
}

/// What came of an action.
pub(crate) enum Report {
    Done,
    Found(bool),
    Size(u64),
    Begun(SessionRef),
    Status(UploadStatus),
    /// The session stands elsewhere than its client knows; nothing was written.
    Offset(u64),
    Held(Box<UploadWriter>),
    Manifest(Digest),
    Names(Vec<String>, bool),
    /// The bytes were right to the end.
    Right,
    /// They were not, and the answer ended cleanly.
    Wrong(String),
    /// The answer broke off.
    Broken(BodyError),
    Failed(Error),
}

impl std::fmt::Debug for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Report::Done => f.write_str("done"),
            Report::Found(found) => write!(f, "found: {found}"),
            Report::Size(size) => write!(f, "{size} bytes"),
            Report::Begun(session) => write!(f, "session {session}"),
            Report::Status(status) => write!(f, "at {} of {}", status.length, status.session),
            Report::Offset(offset) => write!(f, "stands at {offset}"),
            Report::Held(writer) => write!(f, "held at {}", writer.length()),
            Report::Manifest(digest) => write!(f, "{digest}"),
            Report::Names(names, more) => write!(f, "{names:?} more: {more}"),
            Report::Right => f.write_str("right bytes"),
            Report::Wrong(what) => write!(f, "WRONG BYTES: {what}"),
            Report::Broken(error) => write!(f, "broke off: {error}"),
            Report::Failed(error) => write!(f, "failed: {error}"),
        }
    }
}

impl Action {
    /// Whether the action changes what is stored.
    pub(crate) fn writes(&self) -> bool {
        use Action::{Catalog, Pull, PullManifest, PullTag, Refresh, Stat, Status, Tags};
        let reads = matches!(
            self,
            Pull { .. } | PullManifest { .. } | PullTag { .. } | Stat { .. } | Status { .. } | Tags { .. }
        );
        !reads && !matches!(self, Catalog { .. } | Refresh)
    }

    /// Does it. A patch whose request was held open goes on with its writer.
    pub(crate) async fn perform(
        self,
        registry: Registry,
        pool: Arc<Pool>,
        documents: Arc<Vec<Arc<Document>>>,
        held: Option<Box<UploadWriter>>,
    ) -> Report {
        let done = self.attempt(&registry, &pool, &documents, held).await;
        done.unwrap_or_else(Report::Failed)
    }

    async fn attempt(
        self,
        registry: &Registry,
        pool: &Pool,
        documents: &[Arc<Document>],
        held: Option<Box<UploadWriter>>,
    ) -> Result<Report> {
        let name = |number: usize| &pool.repositories[number];
        match self {
            Action::Push { repository, content, announce, piece } => {
                let content = &pool.contents[content];
                let algorithm = content.digest.algorithm();
                let mut writer = registry.single_upload(name(repository), IDENTITY, algorithm)?;
                if announce {
                    writer.announce(content.digest, content.bytes.len() as u64);
                }
                pour(&mut writer, content.bytes.clone(), piece).await?;
                writer.finish(content.digest).await?;
                Ok(Report::Done)
            }
            Action::Mount { from, to, content } => {
                let digest = &pool.contents[content].digest;
                Ok(Report::Found(registry.mount(name(to), digest, Some(name(from)), &|_| true).await?))
            }
            Action::PushManifest { repository, document, tags } => {
                let document = &documents[document];
                let tags = tags.into_iter().map(|tag| pool.tags[tag].clone()).collect();
                let content_type = Some(document.media_type);
                let push = Push { digest: None, tags, content_type, bytes: document.bytes.clone() };
                registry.push_manifest(name(repository), push).await?;
                Ok(Report::Done)
            }
            Action::Begin { repository, .. } => {
                let session = registry.start_upload(name(repository), IDENTITY, Algorithm::Sha256).await?;
                Ok(Report::Begun(session))
            }
            Action::Patch { upload, length, piece, ending } => {
                patch(registry, pool, &upload, length, piece, ending, held).await
            }
            Action::Close { upload, piece, wrong } => {
                close(registry, pool, &upload, piece, wrong, held).await
            }
            Action::Cancel { upload } => {
                registry.cancel_upload(name(upload.repository), IDENTITY, upload.session).await?;
                Ok(Report::Done)
            }
            Action::Status { upload } => {
                // The client asks because it does not know: by the session alone.
                let status = registry.upload_status(name(upload.repository), IDENTITY, upload.session.id);
                Ok(Report::Status(status.await?))
            }
            Action::DeleteBlob { repository, content } => {
                registry.delete_blob(name(repository), &pool.contents[content].digest).await?;
                Ok(Report::Done)
            }
            Action::DeleteManifest { repository, document } => {
                let reference = Reference::Digest(documents[document].digest);
                registry.delete_manifest(name(repository), &reference).await?;
                Ok(Report::Done)
            }
            Action::DeleteTag { repository, tag } => {
                let reference = Reference::Tag(pool.tags[tag].clone());
                registry.delete_manifest(name(repository), &reference).await?;
                Ok(Report::Done)
            }
            Action::Stat { repository, content } => {
                let digest = &pool.contents[content].digest;
                Ok(Report::Size(registry.stat_blob(name(repository), digest).await?))
            }
            Action::Pull { repository, content, range } => {
                let content = &pool.contents[content];
                let blob = registry.blob(name(repository), &content.digest).await?;
                if blob.size != content.bytes.len() as u64 {
                    return Ok(Report::Wrong(format!("{} bytes, not {}", blob.size, content.bytes.len())));
                }
                let expected = content.bytes.slice(range.start as usize..range.end as usize);
                Ok(match pull(registry, blob, range).await {
                    Err(error) => Report::Broken(error),
                    Ok(bytes) if bytes == expected => Report::Right,
                    Ok(bytes) => Report::Wrong(format!("{} bytes came", bytes.len())),
                })
            }
            Action::PullManifest { repository, document } => {
                let document = &documents[document];
                let found = registry.manifest(name(repository), &Reference::Digest(document.digest)).await?;
                Ok(if found.bytes == document.bytes && found.media_type == document.media_type {
                    Report::Right
                } else {
                    Report::Wrong(format!("{} of {}", found.digest, found.media_type))
                })
            }
            Action::PullTag { repository, tag } => {
                let reference = Reference::Tag(pool.tags[tag].clone());
                let found = registry.manifest(name(repository), &reference).await?;
                let known = documents.iter().find(|document| document.digest == found.digest);
                Ok(match known {
                    Some(document) if document.bytes == found.bytes => Report::Manifest(found.digest),
                    _ => Report::Wrong(format!("{} of {} bytes", found.digest, found.bytes.len())),
                })
            }
            Action::Tags { repository, last, limit } => {
                let last = last.map(|tag| pool.tags[tag].as_str());
                let page = registry.tags(name(repository), last, limit).await?;
                Ok(Report::Names(page.tags.iter().map(ToString::to_string).collect(), page.more))
            }
            Action::Catalog { limit } => {
                let (names, more) = registry.catalog(None, limit).await?;
                Ok(Report::Names(names.iter().map(ToString::to_string).collect(), more))
            }
            Action::Purge => registry.purge_uploads(Duration::ZERO, false).await.map(|_| Report::Done),
            Action::Refresh => registry.refresh_damaged().await.map(|_| Report::Done),
        }
    }
}

async fn pour(writer: &mut UploadWriter, mut bytes: Bytes, piece: usize) -> Result<()> {
    while !bytes.is_empty() {
        writer.write(bytes.split_to(piece.min(bytes.len()))).await?;
    }
    Ok(())
}

/// The writer for the next bytes, or where the session stands instead.
async fn open(
    registry: &Registry,
    pool: &Pool,
    upload: &Upload,
    held: Option<Box<UploadWriter>>,
) -> Result<Result<Box<UploadWriter>, Report>> {
    if let Some(held) = held {
        return Ok(Ok(held));
    }
    let writer =
        registry.open_upload(&pool.repositories[upload.repository], IDENTITY, upload.session).await?;
    match writer.length() {
        length if length == upload.offset => Ok(Ok(Box::new(writer))),
        elsewhere => Ok(Err(Report::Offset(elsewhere))),
    }
}

async fn patch(
    registry: &Registry,
    pool: &Pool,
    upload: &Upload,
    length: usize,
    piece: usize,
    ending: Ending,
    held: Option<Box<UploadWriter>>,
) -> Result<Report> {
    let mut writer = match open(registry, pool, upload, held).await? {
        Ok(writer) => writer,
        Err(elsewhere) => return Ok(elsewhere),
    };
    let content = &pool.contents[upload.content].bytes;
    let start = usize::try_from(writer.length()).unwrap().min(content.len());
    let bytes = content.slice(start..content.len().min(start + length));
    let poured = pour(&mut writer, bytes, piece).await;
    match ending {
        Ending::Hold if poured.is_ok() => return Ok(Report::Held(writer)),
        Ending::BreakOff => {
            drop(writer);
            poured?;
            return Ok(Report::Done);
        }
        _ => {}
    }
    // As the server does it: what came is kept even if the rest failed.
    let status = writer.pause().await;
    poured?;
    Ok(Report::Status(status?))
}

async fn close(
    registry: &Registry,
    pool: &Pool,
    upload: &Upload,
    piece: usize,
    wrong: bool,
    held: Option<Box<UploadWriter>>,
) -> Result<Report> {
    let mut writer = match open(registry, pool, upload, held).await? {
        Ok(writer) => writer,
        Err(elsewhere) => return Ok(elsewhere),
    };
    let content = &pool.contents[upload.content];
    let digest = if wrong { Digest::sha256(b"something else") } else { content.digest };
    if writer.length() == 0 {
        writer.announce(digest, content.bytes.len() as u64);
    }
    let start = usize::try_from(writer.length()).unwrap().min(content.bytes.len());
    if let Err(error) = pour(&mut writer, content.bytes.slice(start..), piece).await {
        let _ = writer.pause().await;
        return Err(error);
    }
    writer.finish(digest).await?;
    Ok(Report::Done)
}

/// The bytes of a range, if the answer ended cleanly.
async fn pull(
    registry: &Registry,
    blob: wharfinger_registry::Blob,
    range: Range<u64>,
) -> std::result::Result<Bytes, BodyError> {
    let mut body = registry.read_blob(blob, range, FrameKind::Copied).await?;
    let mut all = Vec::new();
    while let Some(frame) = poll_fn(|context| body.poll_frame(context)).await {
        match frame? {
            Frame::Copied(bytes) | Frame::Mapped(_, bytes) => all.extend_from_slice(&bytes),
        }
    }
    Ok(all.into())
}

/// What a client can make of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Means {
    /// Try again: 503, or 507 where the store is full.
    Again,
    /// The store holds other bytes than it should.
    Damage,
    /// Nothing: it should not have come from below.
    Nothing,
    /// Its own variant says it.
    Itself,
}

impl Means {
    pub(crate) fn of(error: &Error) -> Means {
        match error {
            Error::Store(error) => Means::of_kind(error.kind),
            Error::Damaged { .. } => Means::Damage,
            _ => Means::Itself,
        }
    }

    pub(crate) fn of_body(error: &BodyError) -> Means {
        match error {
            BodyError::Store { source, .. } => Means::of_kind(source.kind),
            BodyError::Damaged { .. } => Means::Damage,
            _ => Means::Nothing,
        }
    }

    fn of_kind(kind: StoreErrorKind) -> Means {
        match kind {
            StoreErrorKind::Unavailable | StoreErrorKind::Full | StoreErrorKind::Denied => Means::Again,
            StoreErrorKind::Invalid => Means::Damage,
            _ => Means::Nothing,
        }
    }
}
