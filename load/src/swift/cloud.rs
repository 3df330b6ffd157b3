//! The cluster from outside a registry: bare requests, links written in bulk, and what reached the proxy.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use wharfinger_test_support::{Mark, ProxyRequest, SwiftCluster};

use crate::connection::Connection;
use crate::measure::pages::in_parallel;
use crate::pause;

/// Connections that write or delete many objects at once.
const CLIENTS: usize = 8;

/// A cluster with a token for it.
pub(crate) struct Cloud {
    cluster: SwiftCluster,
    headers: String,
}

impl Cloud {
    /// Asks for a token, which is good for a day.
    pub(crate) fn new(cluster: SwiftCluster) -> Cloud {
        let headers = format!("X-Auth-Token: {}\r\n", cluster.token());
        Cloud { cluster, headers }
    }

    /// The cluster.
    pub(crate) fn cluster(&self) -> &SwiftCluster {
        &self.cluster
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.cluster.port()))
    }

    fn path(&self, container: &str, object: &str) -> String {
        format!("/v1/{}/{container}/{object}", self.cluster.account())
    }

    /// A connection to the proxy.
    pub(crate) fn connect(&self) -> Result<Connection> {
        Connection::open(self.address())
    }

    /// Stores an object with one bare PUT.
    pub(crate) fn put(
        &self,
        connection: &mut Connection,
        (container, object): (&str, &str),
        parts: &[&[u8]],
    ) -> Result<()> {
        let answer = connection.request("PUT", &self.path(container, object), &self.headers, parts)?;
        answer.expect(201, "a bare PUT").map(drop)
    }

    /// Reads an object with one bare GET and compares every byte.
    pub(crate) fn get(
        &self,
        connection: &mut Connection,
        (container, object): (&str, &str),
        expected: &[&[u8]],
    ) -> Result<()> {
        connection.download(&self.path(container, object), &self.headers, expected)
    }

    /// Stores `count` small objects; `object` gives the name and the body of each. Names need no quoting.
    pub(crate) fn fill(
        &self,
        container: &str,
        count: usize,
        object: impl Fn(usize) -> (String, String) + Sync,
    ) -> Result<()> {
        self.cluster.create_container(container);
        in_parallel(self.address(), CLIENTS, count, |connection, index| {
            let (name, body) = object(index);
            self.put(connection, (container, &name), &[body.as_bytes()])
        })
    }

    /// Deletes every object of a container, so that its space is free again.
    pub(crate) fn empty(&self, container: &str) -> Result<()> {
        let names = self.cluster.list(container);
        in_parallel(self.address(), CLIENTS, names.len(), |connection, index| {
            let path = self.path(container, &names[index]);
            let answer = connection.request("DELETE", &path, &self.headers, &[])?;
            // A listing may still show what a registry has just deleted.
            if answer.status == 404 { Ok(()) } else { answer.expect(204, "a bare DELETE").map(drop) }
        })
        .with_context(|| format!("emptying {container}"))
    }

    /// Waits until nothing was asked of `container` for a while: a client that leaves does not end what a registry has
    /// begun for it. Gives up after some seconds.
    pub(crate) fn wait_quiet(&self, container: &str) {
        for _ in 0..50 {
            let mark = self.cluster.mark();
            pause(Duration::from_millis(100));
            if self.requests_since(mark, container) == 0 {
                return;
            }
        }
    }

    /// How many requests about `container` the proxy has answered to clients since `mark`, without those that Swift's
    /// own middleware makes for them.
    pub(crate) fn requests_since(&self, mark: Mark, container: &str) -> usize {
        let place = format!("/v1/{}/{container}", self.cluster.account());
        let about = |path: &str| {
            path.strip_prefix(&place).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']))
        };
        let of_clients = |request: &&ProxyRequest| request.source.is_none() && about(&request.path);
        self.cluster.since(mark).iter().filter(of_clients).count()
    }
}
