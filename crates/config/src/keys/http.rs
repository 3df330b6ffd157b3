//! `http`.

use super::{Key, Kind, Safety};
use crate::{ClientAuth, TlsVersion};

const NETWORKS: &[&str] = &["tcp", "unix"];

pub(super) const KEYS: &[Key] = &[
    Key::new("http", Kind::Section, "The listener for clients and what it says."),
    Key::new("http.addr", Kind::Address, "Address to listen on; :5000 means all interfaces.")
        .default("127.0.0.1:5000")
        .example(":5001"),
    Key::new("http.net", Kind::Choice(NETWORKS), "tcp, or unix with a socket's path in addr.").default("tcp"),
    Key::new("http.host", Kind::Text, "URL under which clients reach the registry; else taken from the request.")
        .example("https://registry.example.org"),
    Key::new("http.prefix", Kind::Text, "Path before /v2/.").example("/registry/"),
    Key::new("http.secret", Kind::Secret, "Key of the tokens that htpasswd users log in with; the same on all instances.")
        .example("a-long-random-text"),
    Key::new("http.relativeurls", Kind::Bool, "Answer relative URLs in Location.").default("false"),
    Key::new("http.draintimeout", Kind::Duration, "How long requests may go on after a stop signal.").default("10s"),
    Key::new("http.headers", Kind::Map, "Headers added to every answer, each with a list of values.")
        .example("{X-Content-Type-Options: [nosniff]}"),
    Key::new("http.tls", Kind::Section, "TLS on the listener."),
    Key::new("http.tls.certificate", Kind::Path, "PEM file with the certificate chain.")
        .example("/etc/wharfinger/tls.crt"),
    Key::new("http.tls.key", Kind::Path, "PEM file with the private key.").example("/etc/wharfinger/tls.key"),
    Key::new("http.tls.clientcas", Kind::List, "PEM files with the authorities of client certificates.")
        .example("[/etc/wharfinger/clients.pem]"),
    Key::new(
        "http.tls.clientauth",
        Kind::Choice(ClientAuth::NAMES),
        "What is asked of clients; require-and-verify-client-cert when there are clientcas.",
    )
    .example("verify-client-cert-if-given"),
    Key::new("http.tls.minimumtls", Kind::Choice(TlsVersion::NAMES), "Oldest version spoken; never below tls1.2.")
        .default("tls1.2"),
    Key::new("http.tls.ciphersuites", Kind::List, "Cipher suites that are offered.").missing(
        Safety::Harmless,
        "the TLS library's suites are offered, all with forward secrecy",
    ),
    Key::new("http.tls.letsencrypt", Kind::Section, "Certificates from Let's Encrypt.").missing(
        Safety::Unsafe,
        "the listener would speak without this certificate; give http.tls.certificate and http.tls.key, or put a proxy in front",
    ),
    Key::new("http.tls.letsencrypt.cachefile", Kind::Path, "").part(),
    Key::new("http.tls.letsencrypt.email", Kind::Text, "").part(),
    Key::new("http.tls.letsencrypt.hosts", Kind::List, "").part(),
    Key::new("http.tls.letsencrypt.directoryurl", Kind::Text, "").part(),
    Key::new("http.debug", Kind::Section, "A second listener for health and metrics."),
    Key::new("http.debug.addr", Kind::Address, "Its address; without one there is none.").example("127.0.0.1:5001"),
    Key::new("http.debug.prometheus", Kind::Section, "Metrics on the second listener."),
    Key::new("http.debug.prometheus.enabled", Kind::Bool, "Serve metrics for Prometheus.").default("false"),
    Key::new("http.debug.prometheus.path", Kind::Text, "Path of the metrics.").default("/metrics").example("/m"),
    Key::new("http.http2", Kind::Section, "HTTP/2 over TLS."),
    Key::new("http.http2.disabled", Kind::Bool, "Speak HTTP/1.1 only.").default("false"),
    Key::new("http.h2c", Kind::Section, "HTTP/2 without TLS."),
    Key::new("http.h2c.enabled", Kind::Bool, "Speak HTTP/2 without TLS too.").default("false"),
    Key::new("http.limits", Kind::Section, "Bounds on what a client may take.").ours(),
    Key::new("http.limits.max_header_bytes", Kind::Size, "Most bytes of a request's head.").default("64KiB").ours(),
    Key::new("http.limits.header_timeout", Kind::Duration, "Time for a request's head to arrive, from the end of the one before.")
        .default("60s")
        .ours(),
    Key::new("http.limits.body_progress_timeout", Kind::Duration, "Longest time without a byte of a body.")
        .default("60s")
        .ours(),
    Key::new("http.limits.max_connections", Kind::Int, "Most open connections; 0: as many as the system allows.")
        .default("0")
        .ours(),
    Key::new("http.limits.buffer_bytes", Kind::Size, "Memory for bodies of all requests together: pieces that the kernel cannot send from files, chunks from remote stores, uploads that are held, manifests above 64KiB.")
        .default("64MiB")
        .ours(),
];
