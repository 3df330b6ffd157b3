//! Bodies of answers.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use wharfinger_registry::VerifiedBody;
use wharfinger_registry::blob::verified::BodyError;

use crate::app::Peer;
use crate::connection::SendingFile;
use crate::patience::{Counted, Progress};
use crate::record::Record;

/// The body of an answer; tells its [`Record`] how much of it went out.
pub(crate) struct AnswerBody {
    content: Content,
    sent: u64,
    record: Option<Box<Record>>,
}

enum Content {
    Bytes(Bytes),
    Blob(Box<VerifiedBody>, SendingFile, Option<Counted>),
}

impl AnswerBody {
    pub(crate) fn empty() -> AnswerBody {
        AnswerBody::from(Bytes::new())
    }

    pub(crate) fn blob(body: VerifiedBody, peer: &Peer) -> AnswerBody {
        let (sending, counted) = (peer.sending.clone().unwrap_or_default(), peer.progress.as_ref());
        let content = Content::Blob(Box::new(body), sending, counted.map(Progress::count));
        AnswerBody { content, sent: 0, record: None }
    }

    /// Who is told when the body ends, well or not.
    pub(crate) fn recorded(mut self, record: Box<Record>) -> AnswerBody {
        self.record = Some(record);
        self
    }

    fn remaining(&self) -> u64 {
        match &self.content {
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::Blob(body, ..) => body.remaining(),
        }
    }
}

impl<T: Into<Bytes>> From<T> for AnswerBody {
    fn from(bytes: T) -> AnswerBody {
        AnswerBody { content: Content::Bytes(bytes.into()), sent: 0, record: None }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = match &mut self.content {
            Content::Bytes(bytes) if bytes.is_empty() => return Poll::Ready(None),
            Content::Bytes(bytes) => std::mem::take(bytes),
            Content::Blob(body, sending, counted) => match ready!(body.poll_frame(context)) {
                None => return Poll::Ready(None),
                Some(Ok(wharfinger_registry::Frame::Copied(bytes))) => {
                    if let Some(counted) = counted {
                        counted.moved();
                    }
                    bytes
                }
                Some(Ok(wharfinger_registry::Frame::Mapped(file, bytes))) => {
                    *sending.lock() = Some(file);
                    bytes
                }
                Some(Err(error)) => {
                    if let Some(record) = &mut self.record {
                        record.fail(&error);
                    }
                    return Poll::Ready(Some(Err(error)));
                }
            },
        };
        self.sent += frame.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(frame))))
    }

    fn is_end_stream(&self) -> bool {
        self.remaining() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining())
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        let unsent = self.remaining();
        if let Some(record) = self.record.take() {
            record.finish(self.sent, unsent);
        }
    }
}
