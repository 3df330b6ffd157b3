//! Facts of Swift that the product relies on, each as a probe that proves it over plain HTTP.
//!
//! The same probes run on real Swift and on the fake one, so that the fake cannot drift: a probe knows a storage URL
//! and a token, nothing else.

mod conditions;
mod large;
mod listings;
mod reads;
mod writes;

use std::sync::atomic::{AtomicU64, Ordering};

use super::access::OWN_AGENT;
use crate::http::{Client, Connection, Request, Response};

/// What a cluster must offer before a fact can be seen on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing that could be missing.
    Nothing,
    /// Static large objects.
    Slo,
    /// Bulk deletes.
    Bulk,
    /// That a client may say by `X-Timestamp` when its request began, to play a client of a skewed clock.
    ClientTimestamps,
}

/// One fact.
#[derive(Clone, Copy, Debug)]
pub struct Fact {
    /// What is claimed, as one would say it.
    pub name: &'static str,
    /// Where it can be seen.
    pub needs: Needs,
    /// Panics where it does not hold.
    pub prove: fn(&Probe),
}

/// Every fact.
pub fn facts() -> Vec<Fact> {
    [writes::FACTS, conditions::FACTS, reads::FACTS, listings::FACTS, large::FACTS].concat()
}

/// Proves every fact that can be seen with `offered`, each in a container of its own; panics with all that do not
/// hold.
pub fn prove_facts(storage_url: &str, token: &str, offered: &[Needs]) {
    let seen = |fact: &Fact| fact.needs == Needs::Nothing || offered.contains(&fact.needs);
    let mut wrong = Vec::new();
    for fact in facts().into_iter().filter(seen) {
        println!("fact: {}", fact.name);
        if std::panic::catch_unwind(|| (fact.prove)(&Probe::new(storage_url, token))).is_err() {
            wrong.push(fact.name);
        }
    }
    assert!(wrong.is_empty(), "these do not hold here: {wrong:#?}");
}

/// An account of a Swift, and a container in it for one fact.
#[derive(Debug)]
pub struct Probe {
    client: Client,
    /// The path of the account.
    account: String,
    token: String,
    container: String,
}

impl Probe {
    /// A probe of the account at `storage_url` (`http://127.0.0.1:PORT/v1/ACCOUNT`); makes a container.
    pub fn new(storage_url: &str, token: &str) -> Probe {
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        let rest = storage_url.strip_prefix("http://127.0.0.1:").expect("a storage URL on the loopback");
        let (port, account) = rest.split_once('/').expect("a storage URL with a path");
        let probe = Probe {
            client: Client::plain(port.parse().expect("a port")),
            account: format!("/{account}"),
            token: token.to_owned(),
            container: format!("fact-{}", NUMBER.fetch_add(1, Ordering::Relaxed)),
        };
        probe.send(probe.on_container("PUT", "")).expect(201);
        probe
    }

    /// A request for an object; `object` may have a query.
    fn on(&self, method: &str, object: &str) -> Request {
        self.on_account(method, &format!("/{}/{object}", self.container))
    }

    /// A request for the container, with `query` (`?...`).
    fn on_container(&self, method: &str, query: &str) -> Request {
        self.on_account(method, &format!("/{}{query}", self.container))
    }

    fn on_account(&self, method: &str, rest: &str) -> Request {
        Request::new(method, &format!("{}{rest}", self.account)).header("X-Auth-Token", self.token.clone())
    }

    #[track_caller]
    fn send(&self, request: Request) -> Response {
        let what = format!("{} {}", request.method, request.target);
        let request = request.header("User-Agent", OWN_AGENT);
        let answer = self.client.send(&request).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(answer.header("x-trans-id").is_some(), "{what} without a transaction: {answer:?}");
        answer
    }

    /// Stores an object.
    #[track_caller]
    fn put(&self, object: &str, body: &[u8]) -> Response {
        self.send(self.on("PUT", object).body(body)).expect(201)
    }

    /// The status of a HEAD.
    #[track_caller]
    fn status(&self, object: &str) -> u16 {
        self.send(self.on("HEAD", object)).status
    }

    /// The object's bytes.
    #[track_caller]
    fn bytes(&self, object: &str) -> Vec<u8> {
        self.send(self.on("GET", object)).expect(200).body
    }

    /// Begins a PUT: the head is sent, Swift has begun to wait for the body (it answered 100).
    fn begin(&self, request: Request) -> Connection {
        const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";
        let mut connection = self.client.connect().expect("a connection");
        connection.write_head(&request.header("Expect", "100-continue")).expect("the head is sent");
        let answer = connection.read_some(CONTINUE.len()).expect("an interim answer");
        assert_eq!(String::from_utf8_lossy(&answer), CONTINUE);
        connection
    }

    /// Ends what [`Probe::begin`] began.
    fn end(mut connection: Connection, body: &[u8]) -> Response {
        connection.write_bytes(body).expect("the body is sent");
        connection.read("PUT").expect("an answer")
    }

    /// Sends no more on a connection and waits until Swift has taken notice: it answers, or closes.
    fn abandon(mut connection: Connection) -> Option<Response> {
        connection.socket().shutdown(std::net::Shutdown::Write).expect("the connection is half closed");
        connection.read("PUT").ok()
    }
}
