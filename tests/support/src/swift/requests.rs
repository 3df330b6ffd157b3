//! Requests to a cluster without a client of ours, for assertions.

use std::sync::atomic::{AtomicU64, Ordering};

use super::access::OWN_AGENT;
use super::{Server, SwiftCluster};
use crate::http::{Request, Response};

/// Requests without a client of ours, for assertions.
impl SwiftCluster {
    /// A token of [`SwiftCluster::user`].
    pub fn token(&self) -> String {
        let mut place = self.token.lock();
        let fresh = || match &self.keystone {
            None => self.authenticate(self.user(), self.key()),
            Some(keystone) => keystone.token(),
        };
        place.get_or_insert_with(fresh).clone()
    }

    /// A fresh token of any of tempauth's users.
    pub fn authenticate(&self, user: &str, key: &str) -> String {
        let request = Request::new("GET", "/auth/v1.0").header("X-Auth-User", user).header("X-Auth-Key", key);
        let answer = self.client.send(&request.header("User-Agent", OWN_AGENT)).expect("the proxy answers");
        answer.expect(200).required("x-auth-token").to_owned()
    }

    /// Sends a request with a token; its target is relative to the account, as `/container/object`.
    pub fn send(&self, request: Request) -> Response {
        let mut request = request.header("User-Agent", OWN_AGENT);
        request.target = format!("/v1/{}{}", self.account(), request.target);
        let send = |token: String| {
            let request = request.clone().header("X-Auth-Token", token);
            self.client
                .send(&request)
                .unwrap_or_else(|error| panic!("{} {}: {error}", request.method, request.target))
        };
        let answer = send(self.token());
        if answer.status != 401 {
            return answer;
        }
        *self.token.lock() = None;
        send(self.token())
    }

    /// A container that no other test has.
    pub fn fresh_container(&self) -> String {
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        let name = format!("container-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        self.create_container(&name);
        name
    }

    /// Makes a container.
    pub fn create_container(&self, container: &str) {
        let answer = self.send(Request::new("PUT", &format!("/{container}")));
        assert!(matches!(answer.status, 201 | 202), "{answer:?}\n{}", self.tail(Server::Proxy));
    }

    /// Stores an object; `object` is quoted as a URL wants it.
    pub fn put(&self, container: &str, object: &str, body: &[u8]) -> Response {
        self.send(Request::new("PUT", &format!("/{container}/{object}")).body(body)).expect(201)
    }

    /// Reads an object, whatever the status; panics when the body is short.
    pub fn get(&self, container: &str, object: &str) -> Response {
        self.send(Request::new("GET", &format!("/{container}/{object}")))
    }

    /// Asks for an object's head, whatever the status.
    pub fn head(&self, container: &str, object: &str) -> Response {
        self.send(Request::new("HEAD", &format!("/{container}/{object}")))
    }

    /// Deletes an object, whatever the status.
    pub fn delete(&self, container: &str, object: &str) -> Response {
        self.send(Request::new("DELETE", &format!("/{container}/{object}")))
    }

    /// The names in a container, of all pages, in Swift's order.
    pub fn list(&self, container: &str) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        loop {
            let marker = names.last().map(|name| quote(name)).unwrap_or_default();
            let answer = self.send(Request::new("GET", &format!("/{container}?format=json&marker={marker}")));
            let page = answer.expect(200).json();
            let page = page.as_array().expect("a listing is a list");
            if page.is_empty() {
                return names;
            }
            names.extend(page.iter().map(|row| row["name"].as_str().expect("a row has a name").to_owned()));
        }
    }
}

/// Quotes a name for a path or query.
pub(crate) fn quote(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    name.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
