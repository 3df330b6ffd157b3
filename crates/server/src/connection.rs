//! The byte stream under a connection: sends pieces of files from the kernel, and ends when nothing moves.

use std::future::Future;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use parking_lot::Mutex;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Sleep;
use tokio_rustls::server::TlsStream;
use wharfinger_store::LocalFile;

use crate::patience::Patience;

/// The file whose pieces a connection may be about to send.
pub(crate) type SendingFile = Arc<Mutex<Option<Arc<LocalFile>>>>;

/// Set when a connection ends with bytes of a body on it that nobody reads.
pub(crate) type Unread = Arc<AtomicBool>;

/// How long such bytes are still taken, so that the peer finds the answer (RFC 9112, section 9.6).
const LINGER: Duration = Duration::from_secs(5);

/// What a connection runs over.
pub(crate) enum Transport {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A transport that knows which memory is really a file, and that does not wait for ever for its peer to read.
pub(crate) struct Connection {
    transport: Transport,
    sending: SendingFile,
    /// How long a write may wait for the peer.
    patience: Patience,
    unread: Unread,
    /// Runs while the last bytes of the peer are taken.
    lingering: Option<Pin<Box<Sleep>>>,
}

impl Connection {
    pub(crate) fn new(
        transport: Transport,
        sending: SendingFile,
        unread: Unread,
        patience: Duration,
    ) -> Connection {
        Connection { transport, sending, patience: Patience::new(patience), unread, lingering: None }
    }

    /// Takes what the peer still sends until it closes: a reset would take the answer from it.
    fn poll_linger(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let timer = self.lingering.get_or_insert_with(|| Box::pin(tokio::time::sleep(LINGER)));
        if timer.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        loop {
            let mut memory = [MaybeUninit::uninit(); 16 * 1024];
            let mut taken = ReadBuf::uninit(&mut memory);
            let read = ready!(self.transport.poll_read(context, &mut taken));
            if read.is_err() || taken.filled().is_empty() {
                return Poll::Ready(());
            }
        }
    }

    /// Passes a write's outcome on; a write that has been waiting for too long becomes an error.
    fn patient<T>(&mut self, context: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.patience.renew();
            return outcome;
        }
        ready!(self.patience.poll_exhausted(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client stopped reading")))
    }

    fn poll_transport(
        &mut self,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.transport {
            Transport::Tls(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Transport::Unix(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Transport::Tcp(stream) => {
                let file = self.sending.lock().clone();
                match file {
                    Some(file) => poll_with_file(stream, &file, context, slices),
                    None => Pin::new(stream).poll_write_vectored(context, slices),
                }
            }
        }
    }
}

impl Transport {
    fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Transport::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Transport::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
            Transport::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }

    fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Transport::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Transport::Unix(stream) => Pin::new(stream).poll_shutdown(context),
            Transport::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

/// Writes what stands in memory, up to the first piece that is mapped from `file`; that one is sent by the kernel.
fn poll_with_file(
    stream: &mut TcpStream,
    file: &LocalFile,
    context: &mut Context<'_>,
    slices: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    let mapped = slices.iter().position(|slice| !slice.is_empty() && file.offset_of(slice).is_some());
    let Some(first) = mapped else { return Pin::new(stream).poll_write_vectored(context, slices) };
    loop {
        ready!(stream.poll_write_ready(context))?;
        let sent = stream.try_io(Interest::WRITABLE, || {
            let before = &slices[..first];
            if before.iter().any(|slice| !slice.is_empty()) {
                // More follows at once: headers and the first bytes share a segment.
                let flags = rustix::net::SendFlags::MORE.bits() as i32;
                return SockRef::from(&*stream).send_vectored_with_flags(before, flags);
            }
            let piece = &slices[first];
            let mut offset = file.offset_of(piece);
            Ok(rustix::fs::sendfile(stream.as_fd(), file.as_fd(), offset.as_mut(), piece.len())?)
        });
        match sent {
            // A file that ends early sends nothing: that is a failure, not the end of the answer.
            Ok(0) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            other => return Poll::Ready(other),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.transport.poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = self.poll_transport(context, slices);
        self.patient(context, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = match &mut self.transport {
            Transport::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Transport::Unix(stream) => Pin::new(stream).poll_flush(context),
            Transport::Tls(stream) => Pin::new(stream).poll_flush(context),
        };
        self.patient(context, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingering.is_none() {
            ready!(self.transport.poll_shutdown(context))?;
        }
        if self.unread.load(Ordering::Relaxed) {
            ready!(self.poll_linger(context));
        }
        Poll::Ready(Ok(()))
    }
}
