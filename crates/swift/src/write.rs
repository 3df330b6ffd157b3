//! Writing an object: from memory, or piece by piece.

use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::header::ETAG;
use http::{Method, Response, StatusCode};
use hyper::body::Incoming;
use tokio::sync::mpsc;

use crate::auth::Token;
use crate::call::{Answer, Call, SMALL, collect, success};
use crate::container::value;
use crate::object::{SUPERSEDED, created};
use crate::pace::{Piece, RequestBody};
use crate::patience::Patience;
use crate::read::md5_hex;
use crate::retry::Tries;
use crate::transport::Exchange;
use crate::{Client, Container, Error, ErrorKind, Put, Result, Stored};

/// Pieces that wait for the connection.
const PIECES: usize = 2;

impl Container {
    /// Writes an object from memory, again where an attempt fails. Its MD5 goes along, so that Swift stores these bytes
    /// or none.
    ///
    /// # Errors
    /// [`ErrorKind::Superseded`] where something newer stands there; [`ErrorKind::Precondition`] where
    /// `if_none_match` does not hold, which after more than one [attempt](Error::attempts) can be our own earlier one;
    /// [`ErrorKind::NotFound`] where there is no such container.
    pub async fn put(&self, name: &str, bytes: Bytes, put: &Put) -> Result<Stored> {
        let mut call = self.object_call(Method::PUT, name)?;
        call.headers = put.headers()?;
        let mut etag = put.etag.clone();
        if etag.is_none() && !put.skip_md5 {
            let md5 = md5_hex(&bytes);
            call.headers.insert(ETAG, value("ETag", &md5)?);
            etag = Some(md5);
        }
        call.body = bytes;
        let answer = self.client.inner.fetch(&call, SMALL).await?;
        stored(&answer, etag.as_deref()).map_err(|error| call.name(error))
    }

    /// Begins to write an object piece by piece. Returns when Swift has asked for the bytes (`100 Continue`), or has not
    /// answered for a while; until then a failure or an expired token is tried again.
    ///
    /// With a `length` exactly so many bytes have to be written, and the last ones are held back until
    /// [`finish`](ObjectWriter::finish). An MD5 is sent only if `put.etag` has one.
    ///
    /// # Errors
    /// As [`put`](Container::put).
    pub async fn put_stream(&self, name: &str, length: Option<u64>, put: &Put) -> Result<ObjectWriter> {
        let mut call = self.object_call(Method::PUT, name)?;
        call.headers = put.headers()?;
        let writer = Writer { client: self.client.clone(), call, etag: put.etag.clone(), length, taken: 0 };
        if length == Some(0) {
            // Its head alone would make the object: it is sent by `finish`.
            return Ok(ObjectWriter { writer, stream: None, early: None });
        }
        let stream = Some(writer.open().await?);
        Ok(ObjectWriter { writer, stream, early: None })
    }
}

/// The body of an object that is being written. Dropped before [`finish`](ObjectWriter::finish) it closes the
/// connection before the end of the body, and Swift stores nothing.
#[derive(Debug)]
pub struct ObjectWriter {
    writer: Writer,
    stream: Option<Stream>,
    /// An answer that came before the end of the body.
    early: Option<Error>,
}

#[derive(Debug)]
struct Writer {
    client: Client,
    call: Call,
    etag: Option<String>,
    length: Option<u64>,
    /// Bytes that were taken from the caller.
    taken: u64,
}

#[derive(Debug)]
struct Stream {
    exchange: Exchange,
    pieces: mpsc::Sender<Piece>,
    patience: Patience,
    held: Bytes,
    generation: u64,
}

/// Why a piece was not taken.
enum Stop {
    /// An answer came.
    Answer(Box<Response<Incoming>>),
    /// The exchange failed.
    Lost(Error),
    /// The connection wants no more.
    Closed,
}

impl Stream {
    /// Waits until there is room for a piece, and leaves it there.
    async fn push(&mut self, piece: Piece, head: Duration) -> Result<(), Stop> {
        let Stream { exchange, pieces, patience, .. } = self;
        let limit = exchange.progress(head);
        patience.set_limit(limit);
        let mut room = pin!(pieces.reserve());
        let ready = std::future::poll_fn(|cx| {
            if let Poll::Ready(answer) = exchange.poll_answer(cx) {
                return Poll::Ready(Err(
                    answer.map_or_else(Stop::Lost, |answer| Stop::Answer(Box::new(answer)))
                ));
            }
            let poll = room.as_mut().poll(cx);
            patience.watch(cx, poll).map(|ready| match ready {
                Ok(room) => room.map_err(|_| Stop::Closed),
                Err(_) => {
                    let message = format!("the body is not taken within {limit:?}");
                    Err(Stop::Lost(Error::new(ErrorKind::Timeout, message)))
                }
            })
        });
        ready.await?.send(piece);
        Ok(())
    }
}

impl Writer {
    /// Begins the exchange; again where it fails before a byte of the body went.
    async fn open(&self) -> Result<Stream> {
        let inner = &self.client.inner;
        let mut tries = Tries::new(&inner.options.retry, &inner.bucket);
        let mut renewed = false;
        loop {
            let token = inner.auth.token().await?;
            let limit = tries.begin(self.call.limit);
            let error = match self.attempt(&token, limit).await {
                Ok(stream) => return Ok(stream),
                Err(error) => error,
            };
            if error.status() == Some(StatusCode::UNAUTHORIZED) && !renewed {
                renewed = true;
                tries.forgive();
                inner.auth.renew(token.generation).await?;
            } else {
                if error.kind() == ErrorKind::RateLimited {
                    inner.permits.slow_down();
                }
                let error = inner.auth.name_refusal(error, &token);
                tries.again(self.call.name(error), Duration::ZERO).await?;
            }
        }
    }

    async fn attempt(&self, token: &Token, limit: Duration) -> Result<Stream> {
        let inner = &self.client.inner;
        // Given back when the body flows: how long that takes is the caller's affair.
        let _permit = inner.permit(limit).await?;
        let (pieces, receiver) = mpsc::channel(PIECES);
        let (body, pace) = RequestBody::channel(receiver, self.length);
        let mut exchange = inner.begin(&self.call, token, body, pace)?;
        if let Some(answer) = exchange.go_ahead(limit).await? {
            return Err(too_early(&success(answer, limit).await?));
        }
        let patience = Patience::new(inner.options.timeouts.progress);
        Ok(Stream { exchange, pieces, patience, held: Bytes::new(), generation: token.generation })
    }

    fn fail(&self, error: Error) -> Error {
        self.call.name(error).after(1)
    }

    /// The error of an answer that came before the end of the body.
    async fn early(&self, answer: Response<Incoming>, generation: u64) -> Error {
        match success(answer, self.call.limit).await {
            Ok(answer) => too_early(&answer),
            Err(error) if error.status() == Some(StatusCode::UNAUTHORIZED) => {
                self.client.inner.auth.forget(generation);
                let message = "401: the token expired while the body was on its way";
                error.of_kind(ErrorKind::Unavailable).saying(message)
            }
            Err(error) => error,
        }
    }
}

impl ObjectWriter {
    /// Sends bytes; waits while Swift is slower than the caller. If the call is dropped before it returns, some of the
    /// bytes may have been sent: drop the writer too.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`] where Swift takes nothing for the time of
    /// [`progress`](crate::Timeouts::progress); what Swift answers before the end of the body;
    /// [`ErrorKind::Invalid`] for more bytes than the length.
    pub async fn write(&mut self, bytes: Bytes) -> Result<()> {
        if let Some(error) = &self.early {
            return Err(error.clone());
        }
        if bytes.is_empty() {
            return Ok(());
        }
        let taken = self.writer.taken + bytes.len() as u64;
        if let Some(length) = self.writer.length
            && taken > length
        {
            let message = format!("{taken} bytes were written, the length is {length}");
            return Err(self.broken(Error::new(ErrorKind::Invalid, message)));
        }
        self.writer.taken = taken;
        let Some(stream) = &mut self.stream else { return Ok(()) };
        if self.writer.length == Some(taken) {
            // One byte is enough to keep the body from being whole.
            let mut first = bytes;
            stream.held = first.split_off(first.len() - 1);
            return self.send(first).await;
        }
        self.send(bytes).await
    }

    async fn send(&mut self, bytes: Bytes) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.push(Piece::Data(bytes)).await
    }

    /// Hands a piece to the connection, unless an answer comes first.
    async fn push(&mut self, piece: Piece) -> Result<()> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        let generation = stream.generation;
        let stop = match stream.push(piece, self.writer.call.limit).await {
            Ok(()) => return Ok(()),
            // The body was given up by the connection: the answer or the error says why.
            Err(Stop::Closed) => match stream.exchange.answer(self.writer.call.limit).await {
                Ok(answer) => Stop::Answer(Box::new(answer)),
                Err(error) => Stop::Lost(error),
            },
            Err(stop) => stop,
        };
        let error = match stop {
            Stop::Answer(answer) => self.writer.early(*answer, generation).await,
            Stop::Lost(error) => error,
            Stop::Closed => Error::new(ErrorKind::Connection, "the connection broke"),
        };
        Err(self.broken(error))
    }

    fn broken(&mut self, error: Error) -> Error {
        let error = self.writer.fail(error);
        self.early = Some(error.clone());
        self.stream = None;
        error
    }

    /// Ends the body. The object is there only if this returns it.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] where fewer bytes were written than the length; [`ErrorKind::Superseded`] where
    /// something newer stands there; [`ErrorKind::Checksum`] where the ETag is not the one that was given. After
    /// [`ErrorKind::Timeout`] and [`ErrorKind::Connection`] it is not known whether the object is there.
    pub async fn finish(mut self) -> Result<Stored> {
        if let Some(error) = &self.early {
            return Err(error.clone());
        }
        if let Some(length) = self.writer.length
            && self.writer.taken < length
        {
            let message = format!("{} bytes were written, the length is {length}", self.writer.taken);
            return Err(self.broken(Error::new(ErrorKind::Invalid, message)));
        }
        let Some(stream) = &mut self.stream else {
            let answer = self.writer.client.inner.fetch(&self.writer.call, SMALL).await?;
            return stored(&answer, self.writer.etag.as_deref())
                .map_err(|error| self.writer.call.name(error));
        };
        let held = std::mem::take(&mut stream.held);
        self.send(held).await?;
        if self.writer.length.is_none() {
            self.push(Piece::End).await?;
        }
        self.answer().await.map_err(|error| self.writer.fail(error))
    }

    async fn answer(&mut self) -> Result<Stored> {
        let Some(stream) = &mut self.stream else {
            return Err(Error::new(ErrorKind::Connection, "the connection broke"));
        };
        let limit = self.writer.call.limit;
        let answer = stream.exchange.answer(limit).await?;
        if answer.status() == StatusCode::UNAUTHORIZED {
            return Err(self.writer.early(answer, stream.generation).await);
        }
        let answer = success(answer, limit).await?;
        let (parts, mut body) = answer.into_parts();
        let body = collect(&mut body, SMALL, limit).await.unwrap_or_default();
        self.writer.client.inner.bucket.give();
        self.writer.client.inner.permits.speed_up();
        stored(&Answer { status: parts.status, headers: parts.headers, body }, self.writer.etag.as_deref())
    }
}

/// A success before the end of the body: Swift says 202 as soon as it sees that something newer stands there.
fn too_early(answer: &Response<Incoming>) -> Error {
    let (kind, message) = match answer.status() {
        StatusCode::ACCEPTED => (ErrorKind::Superseded, SUPERSEDED.to_owned()),
        status => (ErrorKind::Protocol, format!("{status} before the end of the body")),
    };
    Error::new(kind, message).answered(answer.status(), answer.headers())
}

/// What was stored, if it is what was sent.
fn stored(answer: &Answer, etag: Option<&str>) -> Result<Stored> {
    let stored = created(answer)?;
    match (etag, &stored.etag) {
        (Some(sent), Some(said)) if !sent.trim_matches('"').eq_ignore_ascii_case(said) => {
            let message = format!("stored with the ETag {said}, sent with {sent}");
            Err(answer.error(ErrorKind::Checksum, message))
        }
        _ => Ok(stored),
    }
}
