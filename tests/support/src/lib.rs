//! What the end-to-end tests stand on: real servers as child processes on free loopback ports, a strict HTTP
//! client, seeded content and images.
//!
//! A helper that cannot do its work panics: here a panic is how a test reports.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]
#![allow(clippy::missing_panics_doc, reason = "every helper panics when it cannot do its work")]

mod api;
mod config;
mod content;
mod corpus;
mod corruption;
mod engines;
mod exchange;
mod fake;
mod ground;
mod gzip;
mod http;
mod http2;
mod http_cache;
mod image;
mod incumbent;
mod issuer;
mod large;
mod layout;
mod log;
mod nginx;
mod process;
mod records;
mod redis;
mod registry;
mod swift;
mod systemd;
mod tls;
mod tools;
mod tree;

pub use api::{Api, Pulled};
pub use config::Config;
pub use content::{Rng, bytes};
pub use corpus::{Corpus, HalfDone};
pub use corruption::{Cell, Harm, Matrix, Part};
pub use engines::{Containerd, Dockerd};
pub use exchange::{Place, Side, Trees, exchange, foreign_upload, life};
pub use fake::FakeContainer;
pub use ground::{Ground, Operator, Printed, blob_key, index_key, named, repository_key};
pub use http::{Client, Connection, HttpError, Request, Response};
pub use http_cache::{CacheProgram, CacheRules, HttpCache};
pub use http2::{Http2, StreamAnswer, StreamEnd};
pub use image::{Blob, Image, Index, Style};
pub use incumbent::DockerRegistry;
pub use issuer::{
    ISSUER, Rules, SERVICE, TokenIssuer, TokenKey, TokenRequest, epoch_seconds, token_claims, write_keys,
};
pub use large::LargeObjects;
pub use layout::Layout;
pub use log::LogLine;
pub use nginx::{Front, Nginx, RESTRICTED, WRITER};
pub use process::{Process, free_port, pause, quiet_port, wait_until};
pub use records::BrokenRecords;
pub use redis::RedisServer;
pub use registry::{Builder, Registry, wharfinger_binary};
pub use swift::{
    ApplicationCredential, Fact, Keystone, Mark, Needs, Pipeline, Probe, ProxyRequest, Server, SwiftBuilder,
    SwiftCluster, Trust, facts, prove_facts,
};
pub use systemd::Systemd;
pub use tls::{Authority, ClientCertificate, Identity, Purpose};
pub use tools::{Tool, go_tool, run_tool, system_tool, target_directory, try_tool};
pub use tree::Tree;
pub use wharfinger_oci::{Algorithm, Digest};
