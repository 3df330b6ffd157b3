//! Staged objects: segments under a prefix of their own, made one object at the end.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use wharfinger_swift::{Delete, DeleteOutcome, ErrorKind, Manifest, ObjectWriter, Put, Read, SloSegment};

use super::names::segment;
use super::remote::{Content, SwiftObject};
use super::segments::Segments;
use super::{Inner, error};
use crate::{
    Checkpoint, Direct, Key, Object, ObjectData, Operation, Part, Result, Staged, StoreError, StoreErrorKind,
};

/// Numbers that have to be absent in a row until no more segments are looked for: a writer is at most one ahead of its
/// record.
const ABSENT: u64 = 2;

/// A plain object on its way to its name.
pub(super) struct SwiftDirect {
    key: Key,
    writer: ObjectWriter,
}

impl SwiftDirect {
    pub(super) fn new(key: Key, writer: ObjectWriter) -> SwiftDirect {
        SwiftDirect { key, writer }
    }
}

#[async_trait]
impl Direct for SwiftDirect {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.writer.write(bytes).await.map_err(|failure| error::of(Operation::Stage, &self.key, failure))
    }

    async fn finish(self: Box<Self>) -> Result<()> {
        let SwiftDirect { key, writer } = *self;
        writer.finish().await.map(drop).map_err(|failure| error::of(Operation::Publish, &key, failure))
    }
}

pub(super) struct SwiftStage {
    inner: Arc<Inner>,
    key: Key,
    parts: Vec<Part>,
    /// The segment that is being written, and how long it is.
    open: Option<(ObjectWriter, u64)>,
    /// Bytes were lost: nothing can follow them.
    broken: bool,
}

impl SwiftStage {
    pub(super) fn new(inner: Arc<Inner>, key: Key, parts: Vec<Part>) -> SwiftStage {
        SwiftStage { inner, key, parts, open: None, broken: false }
    }

    fn durable(&self) -> u64 {
        self.parts.iter().map(|part| part.size).sum()
    }

    fn failed(&mut self, operation: Operation, failure: wharfinger_swift::Error) -> StoreError {
        self.broken = true;
        self.open = None;
        error::of(operation, &self.key, failure)
    }

    fn ensure_sound(&self, operation: Operation) -> Result<()> {
        match self.broken {
            false => Ok(()),
            true => Err(StoreError::new(
                StoreErrorKind::Unavailable,
                operation,
                &self.key,
                "a segment could not be written; go on at the last checkpoint",
            )),
        }
    }

    async fn begin_segment(&mut self) -> Result<()> {
        let name = segment(&self.inner.names.segments(&self.key), self.parts.len() as u64 + 1);
        match self.inner.container.put_stream(&name, None, &Put::default()).await {
            Ok(writer) => {
                self.open = Some((writer, 0));
                Ok(())
            }
            Err(failure) => Err(self.failed(Operation::Stage, failure)),
        }
    }

    async fn end_segment(&mut self) -> Result<()> {
        let Some((writer, size)) = self.open.take() else { return Ok(()) };
        match writer.finish().await {
            Ok(stored) => {
                self.parts.push(Part { size, etag: stored.etag.unwrap_or_default() });
                Ok(())
            }
            Err(failure) => Err(self.failed(Operation::Checkpoint, failure)),
        }
    }

    fn segments(&self) -> Segments {
        Segments::staged(&self.inner, &self.key, &self.parts)
    }
}

#[async_trait]
impl Staged for SwiftStage {
    fn length(&self) -> u64 {
        self.durable() + self.open.as_ref().map_or(0, |(_, size)| *size)
    }

    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.ensure_sound(Operation::Stage)?;
        if self.open.is_none() {
            self.begin_segment().await?;
        }
        let Some((writer, size)) = &mut self.open else { return self.ensure_sound(Operation::Stage) };
        let added = bytes.len() as u64;
        // Taken for lost until it went out whole: a caller that gives up in between leaves a hole.
        self.broken = true;
        match writer.write(bytes).await {
            Ok(()) => {
                *size += added;
                self.broken = false;
                Ok(())
            }
            Err(failure) => Err(self.failed(Operation::Stage, failure)),
        }
    }

    async fn checkpoint(&mut self) -> Result<Checkpoint> {
        self.ensure_sound(Operation::Checkpoint)?;
        self.end_segment().await?;
        Ok(Checkpoint { length: self.durable(), parts: self.parts.clone() })
    }

    async fn open(&mut self) -> Result<Object> {
        self.checkpoint().await?;
        let (size, segments) = (self.durable(), Arc::new(self.segments()));
        let object =
            SwiftObject::new(self.inner.clone(), self.key.clone(), Content::Segments(segments), None);
        Ok(Object { size, data: ObjectData::Remote(Arc::new(object)) })
    }

    async fn publish(mut self: Box<Self>, key: &Key) -> Result<bool> {
        self.checkpoint().await?;
        let name = self.inner.names.object(key);
        let failed = |failure| error::of(Operation::Publish, key, failure);
        let container = &self.inner.container;
        if self.parts.is_empty() {
            return container.put(&name, Bytes::new(), &Put::default()).await.map(|_| true).map_err(failed);
        }
        let segments = self.segments();
        let writes_static = self.inner.writes_static(self.parts.len()).await.map_err(failed)?;
        if writes_static {
            let listed: Vec<SloSegment> =
                segments.list.iter().map(|s| slo_segment(container.name(), s)).collect();
            container.put_slo(&name, &listed, &Put::default()).await.map_err(failed)?;
        } else {
            self.inner.compare(Operation::Publish, key, &segments).await?;
            self.inner.remove_behind(&self.key, self.parts.len() as u64 + 1).await?;
            self.inner.keep_segments(Operation::Publish, key, &segments).await?;
            let prefix = segments.prefix();
            container.put_dlo(&name, container.name(), prefix, &Put::default()).await.map_err(failed)?;
        }
        self.inner.published(&self.key, key).await
    }
}

fn slo_segment(container: &str, segment: &super::segments::Segment) -> SloSegment {
    SloSegment {
        container: container.to_owned(),
        name: segment.name.clone(),
        etag: Some(segment.etag.clone()).filter(|etag| !etag.is_empty()),
        size: segment.size,
    }
}

/// Whose segments an object consists of.
enum Owner {
    /// Those that were staged here.
    Ours,
    /// Others, or none.
    Other,
    /// There is no such object.
    Nobody,
}

impl Inner {
    /// Whose segments the object at `key` has.
    async fn owner(&self, staged: &Key, key: &Key) -> Result<Owner> {
        let name = self.names.object(key);
        let prefix = self.names.segments(staged);
        let read = Read { newest: true, ..Read::default() };
        let failed = |failure| error::of(Operation::Head, key, failure);
        let info = match self.container.head(&name, &read).await {
            Ok(info) => info,
            Err(failure) if failure.kind() == ErrorKind::NotFound => return Ok(Owner::Nobody),
            Err(failure) => return Err(failed(failure)),
        };
        let ours = match &info.manifest {
            None => false,
            Some(Manifest::Dlo { container, prefix: theirs }) => {
                *container == self.options.container && *theirs == prefix
            }
            Some(Manifest::Slo) => {
                let segments = self.container.slo_segments(&name, &read).await.map_err(failed)?;
                segments
                    .iter()
                    .any(|s| s.name.strip_prefix(&prefix).is_some_and(|rest| rest.starts_with('/')))
            }
        };
        Ok(if ours { Owner::Ours } else { Owner::Other })
    }

    /// Reads back what was published. Another writer may have published the same content at the same time.
    async fn published(&self, staged: &Key, key: &Key) -> Result<bool> {
        match self.owner(staged, key).await? {
            Owner::Ours => Ok(true),
            Owner::Other => Ok(false),
            Owner::Nobody => Err(StoreError::new(
                StoreErrorKind::Unavailable,
                Operation::Publish,
                key,
                "it is not there although Swift said that it was stored",
            )),
        }
    }

    /// Whether the object at `key` consists of what was staged.
    pub(super) async fn consists_of(&self, key: &Key, staged: &Key) -> Result<bool> {
        Ok(matches!(self.owner(staged, key).await?, Owner::Ours))
    }

    /// Removes what is staged at a key, unless it became the object at `published`.
    pub(super) async fn discard(
        &self,
        key: &Key,
        checkpoint: &Checkpoint,
        published: Option<&Key>,
    ) -> Result<()> {
        if let Some(published) = published
            && matches!(self.owner(key, published).await?, Owner::Ours)
        {
            return Ok(());
        }
        let prefix = self.names.segments(key);
        let parts = checkpoint.parts.len() as u64;
        let names: Vec<String> = (1..=parts).map(|number| segment(&prefix, number)).collect();
        self.remove(key, &names).await?;
        self.remove_behind(key, parts + 1).await
    }

    /// Removes the segments that were written after the last record, by their names.
    async fn remove_behind(&self, key: &Key, first: u64) -> Result<()> {
        let prefix = self.names.segments(key);
        let (mut number, mut absent) = (first, 0);
        while absent < ABSENT {
            let deleted = self.container.delete(&segment(&prefix, number), Delete::default()).await;
            let existed = deleted.map_err(|failure| error::of(Operation::Delete, key, failure))?;
            absent = if existed { 0 } else { absent + 1 };
            number += 1;
        }
        Ok(())
    }

    async fn remove(&self, key: &Key, names: &[String]) -> Result<()> {
        if names.is_empty() {
            return Ok(());
        }
        let deleted = self.client.bulk_delete(&self.options.container, names).await;
        let deleted = deleted.map_err(|failure| error::of(Operation::Delete, key, failure))?;
        for (_, outcome) in deleted {
            if let DeleteOutcome::Failed(failure) = outcome {
                return Err(error::of(Operation::Delete, key, failure));
            }
        }
        Ok(())
    }
}
