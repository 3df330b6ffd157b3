//! Requests to a cluster without a client of ours, for assertions.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;

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
        self.rows(container).iter().map(|row| name(row).to_owned()).collect()
    }

    /// The rows of a container's listing, of all pages, in Swift's order
    /// (<https://docs.openstack.org/api-ref/object-store/#show-container-details-and-list-objects>).
    pub fn rows(&self, container: &str) -> Vec<Value> {
        let mut rows: Vec<Value> = Vec::new();
        loop {
            let marker = rows.last().map(|row| quote(name(row))).unwrap_or_default();
            let answer = self.send(Request::new("GET", &format!("/{container}?format=json&marker={marker}")));
            let page = answer.expect(200).json();
            let page = page.as_array().expect("a listing is a list");
            if page.is_empty() {
                return rows;
            }
            rows.extend_from_slice(page);
        }
    }

    /// Names below `segments/` that no object below `files/` consists of: what nothing frees any more.
    pub fn orphaned_segments(&self, container: &str) -> Vec<String> {
        let (segments, files): (Vec<_>, Vec<_>) =
            self.list(container).into_iter().partition(|name| name.starts_with("segments/"));
        let mut used = Vec::new();
        for object in files.iter().filter(|name| name.ends_with("/data")) {
            used.extend(self.segments_of(container, object));
        }
        segments.into_iter().filter(|name| !used.contains(name)).collect()
    }

    /// The names of the segments of a large object, static or dynamic; none for a plain one. A dynamic one has those
    /// that the listing shows.
    pub fn segments_of(&self, container: &str, object: &str) -> Vec<String> {
        let head = self.head(container, &quote(object)).expect(200);
        if let Some(manifest) = head.header("x-object-manifest") {
            let prefix = manifest.split_once('/').expect("container/prefix").1;
            let below = self.list(container).into_iter().filter(|name| name.starts_with(prefix));
            return below.collect();
        }
        if head.header("x-static-large-object").is_none() {
            return Vec::new();
        }
        let target = format!("{}?multipart-manifest=get&format=json", quote(object));
        let manifest = self.get(container, &target).expect(200).json();
        let segments = manifest.as_array().expect("a manifest is a list");
        let place = format!("/{container}/");
        segments.iter().map(|row| name(row).strip_prefix(&place).expect("its container").to_owned()).collect()
    }
}

fn name(row: &Value) -> &str {
    row["name"].as_str().expect("a row has a name")
}

/// Quotes a name for a path or query.
pub(crate) fn quote(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    name.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
