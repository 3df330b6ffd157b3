//! A fake with a container, and a blocking client with a token.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]
#![allow(dead_code, reason = "each test file uses its own part")]

use wharfinger_fake_swift::{FakeSwift, Options};
use wharfinger_test_support::{Client, Connection, HttpError, Request, Response};

/// The container that [`Cluster::start`] creates.
pub(crate) const CONTAINER: &str = "c";

/// A running fake, and what a client needs.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) fake: FakeSwift,
    pub(crate) client: Client,
    pub(crate) token: String,
}

impl Cluster {
    /// A fake with the default options and one empty container.
    pub(crate) fn start() -> Cluster {
        Cluster::with(Options::default())
    }

    /// A fake with one empty container.
    pub(crate) fn with(options: Options) -> Cluster {
        let fake = FakeSwift::start(options);
        let client = Client::plain(fake.port());
        let token = log_in(&client, "test:tester", "testing").expect(200).required("x-auth-token").to_owned();
        let cluster = Cluster { fake, client, token };
        cluster.send(&cluster.request("PUT", "")).expect(201);
        cluster
    }

    /// A request for `path` below the container's URL, or for the container itself.
    pub(crate) fn request(&self, method: &str, path: &str) -> Request {
        let slash = if path.is_empty() || path.starts_with('?') { "" } else { "/" };
        let target = format!("/v1/{}/{CONTAINER}{slash}{path}", self.fake.account());
        Request::new(method, &target).header("X-Auth-Token", &*self.token)
    }

    /// A request for a path of the account.
    pub(crate) fn on_account(&self, method: &str, path: &str) -> Request {
        let target = format!("/v1/{}{path}", self.fake.account());
        Request::new(method, &target).header("X-Auth-Token", &*self.token)
    }

    /// Sends a request; panics when there is no whole answer.
    #[track_caller]
    pub(crate) fn send(&self, request: &Request) -> Response {
        self.client
            .send(request)
            .unwrap_or_else(|error| panic!("{} {}: {error}", request.method, request.target))
    }

    /// Sends a request that may have no whole answer.
    pub(crate) fn try_send(&self, request: &Request) -> Result<Response, HttpError> {
        self.client.send(request)
    }

    /// Puts an object; panics unless the answer is 201.
    #[track_caller]
    pub(crate) fn put(&self, name: &str, content: &[u8]) -> Response {
        self.send(&self.request("PUT", name).body(content)).expect(201)
    }

    /// Gets an object, whatever the answer.
    #[track_caller]
    pub(crate) fn get(&self, name: &str) -> Response {
        self.send(&self.request("GET", name))
    }

    /// Begins a PUT of `length` bytes without sending any; it has begun when this returns.
    pub(crate) fn begin_put(&self, name: &str, length: usize) -> Connection {
        let before = self.fake.requests().len();
        let mut connection = self.client.connect().expect("the fake listens");
        let head = self.request("PUT", name).header("Content-Length", length.to_string());
        connection.write_head(&head).expect("the fake reads");
        wharfinger_test_support::wait_until("the PUT to begin", std::time::Duration::from_secs(10), || {
            self.fake.requests().len() > before
        });
        connection
    }

    /// The names that a listing shows.
    pub(crate) fn list(&self, query: &str) -> Vec<String> {
        let answer = self.send(&self.request("GET", &format!("?format=json{query}"))).expect(200);
        let list = answer.json();
        let name = |entry: &serde_json::Value| {
            entry["name"].as_str().or_else(|| entry["subdir"].as_str()).expect("a name").to_owned()
        };
        list.as_array().expect("a list").iter().map(name).collect()
    }
}

/// `GET /auth/v1.0`.
pub(crate) fn log_in(client: &Client, user: &str, key: &str) -> Response {
    let request = Request::new("GET", "/auth/v1.0").header("X-Auth-User", user).header("X-Auth-Key", key);
    client.send(&request).expect("the fake answers")
}

/// The MD5 of bytes, in hex.
pub(crate) fn md5(bytes: &[u8]) -> String {
    use md5::{Digest, Md5};
    hex::encode(Md5::digest(bytes))
}
