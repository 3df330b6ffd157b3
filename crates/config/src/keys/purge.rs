//! Caches in front.

use super::{Key, Kind};
use crate::FrontKind;

pub(super) const KEYS: &[Key] = &[
    Key::new(
        "purge",
        Kind::Section,
        "HTTP caches in front, which are told of what was deleted or moved. Private networks only: no TLS.",
    )
    .ours(),
    Key::new(
        "purge.timeout",
        Kind::Duration,
        "Longest time that the answer to a push or delete waits for them; they are tried again afterwards.",
    )
    .default("1s")
    .ours(),
    Key::new("purge.endpoints", Kind::Sections, "The caches, each by itself: not a load balancer before them.")
        .example("[{url: \"http://127.0.0.1:6081\", kind: varnish}]")
        .ours(),
    Key::new(
        "purge.endpoints.*.url",
        Kind::Secret,
        "Where PURGE is sent: http://host:port, with user:password@ where the cache asks for it, and a path if clients use one before /v2/.",
    )
    .example("http://10.0.0.7:6081")
    .ours(),
    Key::new("purge.endpoints.*.kind", Kind::Choice(FrontKind::NAMES), "What the cache understands.")
        .example("traffic-server")
        .ours(),
    Key::new(
        "purge.endpoints.*.host",
        Kind::Text,
        "Host header of the purge, where the cache keeps content apart by it; else that of the URL.",
    )
    .example("registry.example.org")
    .ours(),
];
