//! Reading objects in Swift: plain ones and static large ones by their name, dynamic ones segment by segment.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::task::JoinHandle;
use wharfinger_swift::{Container, ErrorKind, ObjectReader, Read, TransactionId};

use super::segments::{Segment, Segments, damaged};
use super::{Inner, error};
use crate::{Key, Operation, Remote, RemoteReader, Result};

/// The next segment is asked for when the one before has no more than this left.
const AHEAD: u64 = 2 * 1024 * 1024;

/// A range of a static large object up to this length is left to Swift: one request instead of two.
const LITTLE: u64 = 2 * 1024 * 1024;

/// What an object consists of.
#[derive(Clone, Debug)]
pub(super) enum Content {
    /// One object.
    Plain { etag: Option<String> },
    /// A static large object, put together by Swift.
    Static { etag: Option<String> },
    /// Segments, put together here.
    Segments(Arc<Segments>),
}

/// An object that was looked at.
#[derive(Debug)]
pub(super) struct SwiftObject {
    inner: Arc<Inner>,
    key: Key,
    content: Content,
    modified: Option<SystemTime>,
    /// Whether all copies were asked what it consists of.
    newest: bool,
}

impl SwiftObject {
    pub(super) fn new(
        inner: Arc<Inner>,
        key: Key,
        content: Content,
        modified: Option<SystemTime>,
    ) -> SwiftObject {
        SwiftObject { inner, key, content, modified, newest: false }
    }

    /// The object as it stands now, if it still reaches as far.
    async fn look_again(&self, range: &Range<u64>) -> Result<SwiftObject> {
        let info = self.inner.look(&self.inner.names.object(&self.key), true).await;
        let info = info.map_err(|error| error::of(Operation::Read, &self.key, error))?;
        let (size, content) = self.inner.content(Operation::Read, &self.key, &info).await?;
        if size < range.end {
            let problem = format!("it was replaced by one of {size} bytes");
            return Err(damaged(Operation::Read, &self.key, &problem));
        }
        let modified = info.timestamp.or(info.last_modified);
        Ok(SwiftObject { inner: self.inner.clone(), key: self.key.clone(), content, modified, newest: true })
    }

    /// The segments of a static large object, where they are to be read by their names: Swift's proxy computes the MD5
    /// of each segment that it puts into an answer whole, which costs it more than sending it. The list is that of the
    /// object that was looked at, or none: its ETag is the MD5 of theirs
    /// (<https://docs.openstack.org/swift/latest/overview_large_objects.html#static-large-objects>).
    async fn own_way(&self, range: &Range<u64>) -> Option<Segments> {
        let Content::Static { etag: Some(etag) } = &self.content else { return None };
        if range.end.saturating_sub(range.start) <= LITTLE {
            return None;
        }
        // Where this fails, so does the read in one body, which finds out why.
        let segments = self.inner.static_segments(Operation::Read, &self.key).await.ok()?;
        (*etag == segments.etag()).then_some(segments)
    }

    fn read_segments(&self, segments: &Segments, range: &Range<u64>) -> Result<Box<dyn RemoteReader>> {
        let place = self.inner.client.container(segments.container());
        let place = place.map_err(|error| error::of(Operation::Read, &self.key, error))?;
        let (key, pieces) = (self.key.clone(), pieces(segments, range));
        let seen = VecDeque::new();
        Ok(Box::new(SegmentReader { place, key, pieces, current: None, ahead: None, seen }))
    }

    fn whole_reader(&self, at: u64) -> WholeReader {
        let (inner, key) = (self.inner.clone(), self.key.clone());
        let plain = matches!(self.content, Content::Plain { .. });
        WholeReader { inner, key, reader: None, plain, at, transaction: None }
    }
}

#[async_trait]
impl Remote for SwiftObject {
    async fn read(&self, range: Range<u64>) -> Result<Box<dyn RemoteReader>> {
        if let Some(segments) = self.own_way(&range).await {
            return self.read_segments(&segments, &range);
        }
        let etag = match &self.content {
            Content::Plain { etag } | Content::Static { etag } => etag,
            Content::Segments(segments) => return self.read_segments(segments, &range),
        };
        let mut reader = self.whole_reader(range.start);
        if range.is_empty() {
            return Ok(Box::new(reader));
        }
        let name = self.inner.names.object(&self.key);
        match open(&self.inner.container, &name, range.clone(), etag.as_deref()).await {
            Ok(opened) => {
                reader.transaction.clone_from(&opened.info().transaction);
                reader.reader = Some(opened);
                Ok(Box::new(reader))
            }
            // It was replaced, or an old copy was looked at: what stands there now is what was asked for, too.
            Err(error) if error.kind() == ErrorKind::Precondition && !self.newest => {
                self.look_again(&range).await?.read(range).await
            }
            Err(error) => Err(reader.explain(error).await),
        }
    }

    fn modified(&self) -> Option<SystemTime> {
        self.modified
    }

    async fn remember(&self) -> Result<()> {
        match &self.content {
            Content::Segments(segments) if segments.unproved => {
                self.inner.keep_segments(Operation::Put, &self.key, segments).await
            }
            _ => Ok(()),
        }
    }
}

/// Opens a range of an object that has to be the one with this ETag; asks all copies where one has another.
async fn open(
    place: &Container,
    name: &str,
    range: Range<u64>,
    etag: Option<&str>,
) -> Result<ObjectReader, wharfinger_swift::Error> {
    let range = Some(wharfinger_swift::Range::Inclusive(range.start, range.end - 1));
    let mut read = Read { range, if_match: etag.map(str::to_owned), ..Read::default() };
    match place.get(name, &read).await {
        Err(error)
            if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Precondition | ErrorKind::Range) =>
        {
            read.newest = true;
            place.get(name, &read).await
        }
        other => other,
    }
}

/// An object that Swift gives in one body.
struct WholeReader {
    inner: Arc<Inner>,
    key: Key,
    reader: Option<ObjectReader>,
    plain: bool,
    at: u64,
    transaction: Option<TransactionId>,
}

impl WholeReader {
    /// Of a static large object Swift says only that its body broke: finds the segment that is to blame.
    async fn explain(&self, failure: wharfinger_swift::Error) -> crate::StoreError {
        let broke =
            matches!(failure.kind(), ErrorKind::Damaged | ErrorKind::ShortBody | ErrorKind::Unavailable);
        if !self.plain && broke {
            let at = self.at;
            let found = match self.inner.static_segments(Operation::Read, &self.key).await {
                Ok(segments) => self.inner.compare(Operation::Read, &self.key, &segments).await,
                Err(error) => Err(error),
            };
            match found {
                Err(blame) if blame.kind == crate::StoreErrorKind::Invalid => {
                    let problem = format!("{} (broke off at byte {at}: {failure})", blame.source);
                    return damaged(Operation::Read, &self.key, &problem);
                }
                // With every segment in its place, or out of sight, this is no damage: Swift answers 409 also for a
                // segment whose server is away.
                _ => {
                    let kind = crate::StoreErrorKind::Unavailable;
                    return crate::StoreError::new(kind, Operation::Read, &self.key, failure);
                }
            }
        }
        if failure.kind() == ErrorKind::Precondition {
            // Pushed again meanwhile; whoever opens it anew gets the same bytes.
            let kind = crate::StoreErrorKind::Unavailable;
            return crate::StoreError::new(kind, Operation::Read, &self.key, failure);
        }
        let gone = failure.kind() == ErrorKind::NotFound;
        let error = error::of(Operation::Read, &self.key, failure);
        if gone {
            // It was there when it was opened.
            return damaged(Operation::Read, &self.key, &error.source.to_string());
        }
        error
    }
}

#[async_trait]
impl RemoteReader for WholeReader {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        let Some(reader) = &mut self.reader else { return Ok(None) };
        match reader.next().await {
            Ok(Some(bytes)) => {
                self.at += bytes.len() as u64;
                Ok(Some(bytes))
            }
            Ok(None) => {
                self.reader = None;
                Ok(None)
            }
            Err(error) => {
                self.reader = None;
                Err(self.explain(error).await)
            }
        }
    }

    async fn origin(&self, bytes: Range<u64>) -> String {
        let mut names = vec![self.inner.names.object(&self.key)];
        if !self.plain {
            // The bytes are wrong already: that the manifest cannot be read now changes nothing.
            let segments = self.inner.static_segments(Operation::Read, &self.key).await;
            names.extend(segments.iter().flat_map(|segments| names_within(segments, &bytes)));
        }
        origin(names.iter().map(String::as_str), self.transaction.as_ref())
    }
}

/// Names, and the request that brought them.
fn origin<'a>(names: impl Iterator<Item = &'a str>, transaction: Option<&TransactionId>) -> String {
    let names = names.collect::<Vec<_>>().join(", ");
    match transaction {
        Some(id) => format!("{names} (transaction {id})"),
        None => names,
    }
}

/// The segments that make up a range.
fn names_within(segments: &Segments, range: &Range<u64>) -> Vec<String> {
    pieces(segments, range).into_iter().map(|piece| piece.segment.name).collect()
}

/// A part of a segment.
struct Piece {
    segment: Segment,
    /// Where the segment begins in the object.
    start: u64,
    range: Range<u64>,
}

/// The parts of segments that make up a range.
fn pieces(segments: &Segments, range: &Range<u64>) -> VecDeque<Piece> {
    let mut pieces = VecDeque::new();
    let mut start = 0;
    for segment in &segments.list {
        let end = start + segment.size;
        let (from, to) = (range.start.max(start), range.end.min(end));
        if from < to {
            pieces.push_back(Piece { segment: segment.clone(), start, range: from - start..to - start });
        }
        start = end;
    }
    pieces
}

type Opened = Result<ObjectReader, wharfinger_swift::Error>;

/// Segments one after another; the next is opened before the one before has ended.
struct SegmentReader {
    place: Container,
    key: Key,
    pieces: VecDeque<Piece>,
    current: Option<(ObjectReader, Piece)>,
    ahead: Option<(Ahead, Piece)>,
    /// What was read last.
    seen: VecDeque<Seen>,
}

/// A segment that was opened.
struct Seen {
    /// Its bytes in the object.
    bytes: Range<u64>,
    name: String,
    transaction: Option<TransactionId>,
}

/// How many of the last segments are kept in mind: those that one chunk of a reader is made of.
const SEEN: usize = 8;

/// A request that runs ahead; ended with its reader.
struct Ahead(JoinHandle<Opened>);

impl Drop for Ahead {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl SegmentReader {
    fn look_ahead(&mut self) {
        if self.ahead.is_none()
            && let Some(piece) = self.pieces.pop_front()
        {
            let place = self.place.clone();
            let (name, etag) = (piece.segment.name.clone(), piece.segment.etag.clone());
            let range = piece.range.clone();
            let task = async move {
                let etag = Some(etag.as_str()).filter(|etag| !etag.is_empty());
                open(&place, &name, range, etag).await
            };
            self.ahead = Some((Ahead(tokio::spawn(task)), piece));
        }
    }

    fn note(&mut self, piece: &Piece, transaction: Option<TransactionId>) {
        if self.seen.len() == SEEN {
            self.seen.pop_front();
        }
        let bytes = piece.start + piece.range.start..piece.start + piece.range.end;
        self.seen.push_back(Seen { bytes, name: piece.segment.name.clone(), transaction });
    }

    fn explain(&self, piece: &Piece, failure: wharfinger_swift::Error) -> crate::StoreError {
        let segment = &piece.segment.name;
        match failure.kind() {
            ErrorKind::NotFound => {
                damaged(Operation::Read, &self.key, &format!("segment {segment} is missing: {failure}"))
            }
            ErrorKind::Precondition | ErrorKind::Range => {
                let problem = format!("segment {segment} is not the one that was written: {failure}");
                damaged(Operation::Read, &self.key, &problem)
            }
            _ => error::of(Operation::Read, &self.key, failure),
        }
    }
}

#[async_trait]
impl RemoteReader for SegmentReader {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            if self.current.is_none() {
                self.look_ahead();
                let Some((mut ahead, piece)) = self.ahead.take() else { return Ok(None) };
                let opened = (&mut ahead.0).await;
                match opened {
                    Ok(Ok(reader)) => {
                        self.note(&piece, reader.info().transaction.clone());
                        self.current = Some((reader, piece));
                    }
                    Ok(Err(failure)) => return Err(self.explain(&piece, failure)),
                    Err(panic) => {
                        let kind = crate::StoreErrorKind::Unavailable;
                        return Err(crate::StoreError::new(kind, Operation::Read, &self.key, panic));
                    }
                }
            }
            let Some((reader, piece)) = &mut self.current else { continue };
            match reader.next().await {
                Ok(Some(bytes)) => {
                    piece.range.start += bytes.len() as u64;
                    if piece.range.end.saturating_sub(piece.range.start) <= AHEAD {
                        self.look_ahead();
                    }
                    return Ok(Some(bytes));
                }
                Ok(None) => self.current = None,
                Err(failure) => {
                    let Some((_, piece)) = self.current.take() else { continue };
                    return Err(self.explain(&piece, failure));
                }
            }
        }
    }

    async fn origin(&self, bytes: Range<u64>) -> String {
        let within = |seen: &&Seen| seen.bytes.start < bytes.end && bytes.start < seen.bytes.end;
        let named = self.seen.iter().filter(within);
        let named = named.map(|seen| origin([seen.name.as_str()].into_iter(), seen.transaction.as_ref()));
        named.collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_cut_at_the_borders_of_segments() {
        let segment = |name: &str, size| Segment { name: name.into(), size, etag: String::new() };
        let segments = Segments::new("c", "p", vec![segment("a", 3), segment("b", 0), segment("c", 5)]);
        let cut = |range: Range<u64>| -> Vec<(String, Range<u64>)> {
            pieces(&segments, &range).into_iter().map(|p| (p.segment.name, p.range)).collect()
        };
        assert_eq!(cut(0..8), [("a".into(), 0..3), ("c".into(), 0..5)]);
        assert_eq!(cut(2..4), [("a".into(), 2..3), ("c".into(), 0..1)]);
        assert_eq!(cut(3..4), [("c".into(), 0..1)]);
        assert_eq!(cut(4..4), []);
    }
}
