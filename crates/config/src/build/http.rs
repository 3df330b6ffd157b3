//! `http`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::config::http::{ClientAuth, Debug, Http, Limits, Listen, Tls, TlsVersion};
use crate::read::Reader;
use crate::value::{Size, not_one_of, quoted};

pub(super) fn http(reader: &mut Reader<'_, '_>) -> Http {
    Http {
        listen: listen(reader),
        host: host(reader),
        prefix: prefix(reader),
        secret: reader.optional("http.secret"),
        relative_urls: reader.value("http.relativeurls"),
        drain_timeout: reader.value("http.draintimeout"),
        headers: headers(reader),
        tls: tls(reader),
        debug: debug(reader),
        http2: !reader.value::<bool>("http.http2.disabled"),
        h2c: reader.value("http.h2c.enabled"),
        limits: limits(reader),
    }
}

fn listen(reader: &mut Reader<'_, '_>) -> Listen {
    match reader.value::<String>("http.net").as_str() {
        "tcp" => {}
        "unix" => match reader.optional("http.addr") {
            Some(path) => return Listen::Unix(path),
            None => reader.error("http.addr", "has to be a socket's path, as http.net is unix"),
        },
        other => reader.error("http.net", not_one_of(other, &["tcp", "unix"])),
    }
    reader.value("http.addr")
}

fn host(reader: &mut Reader<'_, '_>) -> Option<String> {
    let host: String = reader.optional("http.host")?;
    let authority = host.strip_prefix("https://").or_else(|| host.strip_prefix("http://"));
    let clean =
        |text: &str| !text.is_empty() && !text.starts_with('/') && text.chars().all(|c| c.is_ascii_graphic());
    if !authority.is_some_and(clean) {
        reader.error(
            "http.host",
            format!("has to be a URL such as https://registry.example, not {}", quoted(&host)),
        );
        return None;
    }
    Some(host.trim_end_matches('/').to_owned())
}

fn prefix(reader: &mut Reader<'_, '_>) -> Option<String> {
    let given: String = reader.optional("http.prefix")?;
    let known = |c: char| c.is_ascii_alphanumeric() || "-._~/".contains(c);
    let parts: Vec<&str> = given.split('/').filter(|part| !part.is_empty()).collect();
    if !given.chars().all(known) || parts.iter().any(|part| matches!(*part, "." | "..")) {
        reader.error(
            "http.prefix",
            format!("has to be a plain path such as /registry/, not {}", quoted(&given)),
        );
        return None;
    }
    (!parts.is_empty()).then(|| format!("/{}", parts.join("/")))
}

fn headers(reader: &mut Reader<'_, '_>) -> BTreeMap<String, Vec<String>> {
    let mut headers = BTreeMap::new();
    for (name, values) in reader.map("http.headers") {
        let path = format!("http.headers.{name}");
        if !is_header_name(&name) {
            reader.error("http.headers", format!("{} is not a header's name", quoted(&name)));
        } else if values.iter().any(|value| value.chars().any(|c| c.is_ascii_control() && c != '\t')) {
            reader.error(&path, "a header's value is one line");
        } else if !values.is_empty() {
            headers.insert(name, values);
        }
    }
    headers
}

/// Whether the text is a token of RFC 9110, section 5.6.2.
pub(super) fn is_header_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c))
}

fn tls(reader: &mut Reader<'_, '_>) -> Option<Tls> {
    let certificate: Option<PathBuf> = reader.optional("http.tls.certificate");
    let key: Option<PathBuf> = reader.optional("http.tls.key");
    let client_cas: Vec<PathBuf> = reader.list("http.tls.clientcas").unwrap_or_default();
    let client_auth = client_auth(reader, !client_cas.is_empty());
    let minimum = minimum(reader);
    match (certificate, key) {
        (Some(certificate), Some(key)) => Some(Tls { certificate, key, client_cas, client_auth, minimum }),
        (None, None) if client_cas.is_empty() => None,
        (None, None) => {
            reader.error("http.tls.clientcas", "needs http.tls.certificate and http.tls.key");
            None
        }
        (Some(_), None) => {
            reader.error("http.tls.certificate", "needs http.tls.key too");
            None
        }
        (None, Some(_)) => {
            reader.error("http.tls.key", "needs http.tls.certificate too");
            None
        }
    }
}

fn client_auth(reader: &mut Reader<'_, '_>, cas: bool) -> ClientAuth {
    const KEY: &str = "http.tls.clientauth";
    let given = reader.optional(KEY);
    match given {
        Some(ClientAuth::Request) if !cas => {
            reader.warn(
                KEY,
                "has no effect without http.tls.clientcas: clients are not asked for certificates",
            );
        }
        Some(_) if !cas => {
            reader.error(
                KEY,
                "needs http.tls.clientcas: without authorities no client certificate is looked at",
            );
        }
        _ => {}
    }
    given.unwrap_or(ClientAuth::RequireAndVerify)
}

fn minimum(reader: &mut Reader<'_, '_>) -> TlsVersion {
    const KEY: &str = "http.tls.minimumtls";
    match reader.value(KEY) {
        version @ (TlsVersion::Tls10 | TlsVersion::Tls11) => {
            let message = format!("{} is no longer spoken; clients need tls1.2 or newer", version.as_str());
            reader.warn(KEY, message);
            TlsVersion::Tls12
        }
        version => version,
    }
}

fn debug(reader: &mut Reader<'_, '_>) -> Option<Debug> {
    const PATH: &str = "http.debug.prometheus.path";
    let enabled: bool = reader.value("http.debug.prometheus.enabled");
    let path: String = reader.value(PATH);
    if !path.starts_with('/') {
        reader.error(PATH, "has to begin with /");
    }
    match reader.optional("http.debug.addr") {
        Some(listen) => Some(Debug { listen, prometheus_path: enabled.then_some(path) }),
        None => {
            if enabled {
                reader.warn("http.debug.prometheus.enabled", "has no effect without http.debug.addr");
            }
            None
        }
    }
}

fn limits(reader: &mut Reader<'_, '_>) -> Limits {
    const HEAD: &str = "http.limits.max_header_bytes";
    const BUFFERS: &str = "http.limits.buffer_bytes";
    let Size(head) = reader.value(HEAD);
    let Size(buffer_bytes) = reader.value(BUFFERS);
    if !(8 << 10..=16 << 20).contains(&head) {
        reader.error(HEAD, "has to be between 8KiB and 16MiB");
    }
    if buffer_bytes < 1 << 20 {
        reader.error(BUFFERS, "has to be 1MiB or more");
    }
    let connections: u64 = reader.value("http.limits.max_connections");
    let limits = Limits {
        max_header_bytes: usize::try_from(head).unwrap_or(usize::MAX),
        header_timeout: reader.value("http.limits.header_timeout"),
        body_progress_timeout: reader.value("http.limits.body_progress_timeout"),
        max_connections: usize::try_from(connections).ok().filter(|most| *most > 0),
        buffer_bytes,
    };
    for (name, time) in
        [("header_timeout", limits.header_timeout), ("body_progress_timeout", limits.body_progress_timeout)]
    {
        if time.is_zero() {
            reader.error(&format!("http.limits.{name}"), "has to be longer than 0");
        }
    }
    limits
}
