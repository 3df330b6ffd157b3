//! Small requests as fast as the server answers: one epoll thread, hand-written request bytes, persistent
//! connections. The client shares the machine's cores with the server, so it must cost little.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

use crate::connection::connect;
use crate::http::{self, Framing};

/// What to ask, again and again.
pub(crate) struct Load<'a> {
    /// The server.
    pub(crate) address: SocketAddr,
    /// `GET` or `HEAD`.
    pub(crate) method: &'a str,
    /// The path.
    pub(crate) path: String,
    /// Further header lines.
    pub(crate) headers: &'a str,
    /// The body that every answer must have; for HEAD only its length is compared.
    pub(crate) expected: &'a [u8],
    /// Connections, each with one request in flight.
    pub(crate) connections: usize,
    /// When to stop.
    pub(crate) time: Duration,
    /// Also stop after this many answers.
    pub(crate) max_requests: u64,
}

/// What came of it.
pub(crate) struct Outcome {
    /// Answers, all of them right.
    pub(crate) requests: u64,
    /// Wall time.
    pub(crate) elapsed: Duration,
    /// One latency per answer in nanoseconds, from the send to the last byte.
    pub(crate) latencies: Vec<u64>,
}

struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
    sent: Instant,
}

/// How long no answer at all may come before the measure fails.
const SILENCE_LIMIT: Duration = Duration::from_secs(20);

impl Load<'_> {
    /// Runs the load; an answer that is not as expected ends it with an error.
    pub(crate) fn run(&self) -> Result<Outcome> {
        let request = http::request_head(self.method, &self.path, &self.address.to_string(), self.headers);
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut clients = Vec::with_capacity(self.connections);
        for index in 0..self.connections {
            let client = self.open()?;
            epoll::add(
                &epoll,
                &client.stream,
                epoll::EventData::new_u64(index as u64),
                epoll::EventFlags::IN,
            )?;
            clients.push(client);
        }
        let mut outcome =
            Outcome { requests: 0, elapsed: Duration::ZERO, latencies: Vec::with_capacity(1 << 20) };
        let start = Instant::now();
        for client in &mut clients {
            client.send(request.as_bytes())?;
        }
        let mut events = Vec::with_capacity(self.connections);
        let mut last_answer = start;
        let tick = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
        while start.elapsed() < self.time && outcome.requests < self.max_requests {
            events.clear();
            match epoll::wait(&epoll, spare_capacity(&mut events), Some(&tick)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(e).context("epoll"),
            }
            ensure!(
                last_answer.elapsed() < SILENCE_LIMIT,
                "{} {}: no answer for 20 s",
                self.method,
                self.path
            );
            for event in &events {
                let Ok(index) = usize::try_from(event.data.u64()) else { continue };
                if let Some(latency) = self.advance(&mut clients[index], request.as_bytes())? {
                    outcome.requests += 1;
                    outcome.latencies.push(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
                    last_answer = Instant::now();
                }
            }
        }
        outcome.elapsed = start.elapsed();
        Ok(outcome)
    }

    fn open(&self) -> Result<Client> {
        let stream = connect(self.address)?;
        stream.set_nonblocking(true)?;
        let buffer = vec![0; self.expected.len() + (16 << 10)];
        Ok(Client { stream, buffer, filled: 0, sent: Instant::now() })
    }

    /// Reads what came; when the answer is whole, checks it, sends the next request and gives the latency.
    fn advance(&self, client: &mut Client, request: &[u8]) -> Result<Option<Duration>> {
        match client.stream.read(&mut client.buffer[client.filled..]) {
            Ok(0) => bail!("{} {}: the server closed the connection", self.method, self.path),
            Ok(read) => client.filled += read,
            Err(e)
                if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::Interrupted) =>
            {
                return Ok(None);
            }
            Err(e) => return Err(e).with_context(|| format!("{} {}", self.method, self.path)),
        }
        let Some(size) = self.check(&client.buffer[..client.filled])? else {
            ensure!(
                client.filled < client.buffer.len(),
                "{} {}: the answer is too long",
                self.method,
                self.path
            );
            return Ok(None);
        };
        ensure!(size == client.filled, "{} {}: bytes after the answer", self.method, self.path);
        let latency = client.sent.elapsed();
        client.filled = 0;
        client.send(request)?;
        Ok(Some(latency))
    }

    /// The size of the answer when it is whole and right.
    fn check(&self, answer: &[u8]) -> Result<Option<usize>> {
        let Some(head) = http::parse_head(answer, self.method == "HEAD")? else { return Ok(None) };
        if head.status != 200 {
            bail!("{} {}: expected 200, got {}", self.method, self.path, head.status);
        }
        let length = head.content_length;
        if head.framing == Framing::Chunked || length != Some(self.expected.len() as u64) {
            bail!(
                "{} {}: Content-Length {length:?}, expected {}",
                self.method,
                self.path,
                self.expected.len()
            );
        }
        ensure!(
            !head.closes,
            "{} {}: the server closes the connection after an answer",
            self.method,
            self.path
        );
        if self.method == "HEAD" {
            return Ok(Some(head.size));
        }
        let body = &answer[head.size..];
        if body.len() < self.expected.len() {
            return Ok(None);
        }
        ensure!(body.starts_with(self.expected), "GET {}: the body is not what was pushed", self.path);
        Ok(Some(head.size + self.expected.len()))
    }
}

impl Client {
    fn send(&mut self, request: &[u8]) -> Result<()> {
        self.sent = Instant::now();
        let written = self.stream.write(request).context("sending a request")?;
        // A request of some hundred bytes always fits an empty socket buffer.
        ensure!(written == request.len(), "the server takes no request");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load<'a>(method: &'a str, expected: &'a [u8]) -> Load<'a> {
        Load {
            address: SocketAddr::from(([127, 0, 0, 1], 1)),
            method,
            path: "/".to_owned(),
            headers: "",
            expected,
            connections: 1,
            time: Duration::from_secs(1),
            max_requests: 1,
        }
    }

    #[test]
    fn only_the_expected_answer_counts() {
        let good = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
        assert_eq!(load("GET", b"abc").check(good).unwrap(), Some(good.len()));
        assert_eq!(load("GET", b"abc").check(&good[..good.len() - 1]).unwrap(), None);
        assert!(load("GET", b"abd").check(good).is_err());
        assert!(load("GET", b"abcd").check(good).is_err());
        let missing = b"HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nabc";
        assert!(load("GET", b"abc").check(missing).is_err());
    }

    #[test]
    fn an_answer_to_head_is_checked_by_its_length() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n";
        assert_eq!(load("HEAD", b"abc").check(answer).unwrap(), Some(answer.len()));
        assert!(load("HEAD", b"abcd").check(answer).is_err());
    }
}
