//! The table of keys, the sample and the reference agree with what is read.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/common.rs"]
mod common;

use common::{errors, load, vars, warnings};
use wharfinger_config::keys::{Key, Kind, Status, all, find};
use wharfinger_config::*;

#[test]
fn the_sample_yields_the_defaults() {
    let loaded = load(&sample(), &[]).unwrap();
    assert_eq!(loaded.config, Config::default());
    assert_eq!(warnings(&loaded), Vec::<String>::new());
}

#[test]
fn the_sample_shows_every_key_that_has_an_effect() {
    let sample = sample();
    for key in supported().filter(|key| !key.path.contains('*')) {
        assert!(sample.contains(&format!("{}: ", key.name())), "{}", key.path);
        assert!(sample.contains(key.doc), "{}", key.path);
    }
    assert!(!sample.contains("s3"));
}

#[test]
fn the_reference_has_every_key() {
    let reference = reference_markdown();
    for key in all() {
        assert!(
            reference.contains(&format!("`{}`", key.path)) || reference.contains(key.name()),
            "{}",
            key.path
        );
    }
}

/// Every key that is read as such, sections left out.
fn supported() -> impl Iterator<Item = &'static Key> {
    all()
        .iter()
        .filter(|key| key.status == Status::Supported && !matches!(key.kind, Kind::Section | Kind::Driver))
}

/// A value other than the default.
fn other(key: &Key) -> String {
    match (key.example, key.kind) {
        (Some(example), _) => example.to_owned(),
        (None, Kind::Bool) => (key.default != Some("true")).to_string(),
        (None, Kind::Int) => "7".to_owned(),
        (None, Kind::Size) => "2MiB".to_owned(),
        (None, Kind::Duration) => "7s".to_owned(),
        (None, Kind::Choice(names)) => {
            names.iter().rfind(|name| Some(**name) != key.default).unwrap().to_string()
        }
        _ => format!("/other/{}", key.name()),
    }
}

/// A Swift that this key of it matters for.
fn swift(name: &str) -> Vec<(&'static str, &'static str)> {
    let keystone = if name == "authversion" { "http://keystone" } else { "http://keystone/v3" };
    let mut env = vec![
        ("REGISTRY_STORAGE", "swift"),
        ("REGISTRY_STORAGE_SWIFT_AUTHURL", keystone),
        ("REGISTRY_STORAGE_SWIFT_CONTAINER", "c"),
    ];
    let credential = match name {
        "applicationcredentialid" => [("REGISTRY_STORAGE_SWIFT_APPLICATIONCREDENTIALSECRET", "s")].to_vec(),
        "applicationcredentialname" => vec![
            ("REGISTRY_STORAGE_SWIFT_USERNAME", "u"),
            ("REGISTRY_STORAGE_SWIFT_APPLICATIONCREDENTIALSECRET", "s"),
        ],
        "applicationcredentialsecret" => vec![
            ("REGISTRY_STORAGE_SWIFT_APPLICATIONCREDENTIALID", "i"),
            ("REGISTRY_STORAGE_SWIFT_APPLICATIONCREDENTIALSECRET", "before"),
        ],
        _ => vec![("REGISTRY_STORAGE_SWIFT_USERNAME", "u"), ("REGISTRY_STORAGE_SWIFT_PASSWORD", "p")],
    };
    env.extend(credential);
    if name.starts_with("tenantdomain") {
        env.push(("REGISTRY_STORAGE_SWIFT_TENANT", "t"));
    }
    env
}

/// Another site, with what this key of its store needs.
fn peer(path: &str, name: &str) -> Vec<(&'static str, &'static str)> {
    if !path.contains(".swift.") {
        return vec![(
            "REGISTRY_REPLICATION_PEERS",
            "[{name: b, storage: {filesystem: {rootdirectory: /a}}}]",
        )];
    }
    let there = |variable: &str| variable.replacen("REGISTRY_", "REGISTRY_REPLICATION_PEERS_0_", 1).leak();
    let here = swift(name).into_iter().map(|(variable, value)| (&*there(variable), value));
    [("REGISTRY_REPLICATION_PEERS", "[{name: b}]")].into_iter().chain(here).collect()
}

/// What has to be set for the key to matter.
fn context(key: &Key) -> Vec<(&'static str, &'static str)> {
    let token = [
        ("REGISTRY_AUTH_TOKEN_REALM", "a"),
        ("REGISTRY_AUTH_TOKEN_SERVICE", "b"),
        ("REGISTRY_AUTH_TOKEN_ISSUER", "c"),
        ("REGISTRY_AUTH_TOKEN_ROOTCERTBUNDLE", "d"),
    ];
    let tls = [
        ("REGISTRY_HTTP_TLS_CERTIFICATE", "a"),
        ("REGISTRY_HTTP_TLS_KEY", "b"),
        ("REGISTRY_HTTP_TLS_CLIENTCAS", "[c]"),
    ];
    match key.path {
        path if path.starts_with("storage.swift.") || path == "storage.mode" => swift(key.name()),
        path if path.starts_with("auth.token") => token.to_vec(),
        path if path.starts_with("auth.htpasswd") => {
            vec![("REGISTRY_AUTH_HTPASSWD_REALM", "a"), ("REGISTRY_AUTH_HTPASSWD_PATH", "b")]
        }
        path if path.starts_with("http.tls") => tls.to_vec(),
        path if path.starts_with("http.debug.prometheus") => {
            let enabled =
                path.ends_with("path").then_some(("REGISTRY_HTTP_DEBUG_PROMETHEUS_ENABLED", "true"));
            [("REGISTRY_HTTP_DEBUG_ADDR", ":1")].into_iter().chain(enabled).collect()
        }
        path if path.starts_with("health.tcp.*") => {
            vec![("REGISTRY_HEALTH_TCPCHECKERS", "[{addr: \"a:1\"}]")]
        }
        "redis.addr" | "redis.addrs" => Vec::new(),
        path if path.starts_with("redis.") => vec![("REGISTRY_REDIS_ADDR", "redis:1")],
        "cache.size" | "cache.stale_tag_limit" => vec![("REGISTRY_CACHE_DIRECTORY", "/c")],
        path if path.starts_with("storage.redirect.rules.*") => {
            vec![("REGISTRY_STORAGE_REDIRECT_RULES", "[{repositories: [a], networks: [\"::1\"]}]")]
        }
        path if path.starts_with("purge.endpoints.*") => {
            vec![("REGISTRY_PURGE_ENDPOINTS", "[{url: \"http://cache\", kind: varnish}]")]
        }
        path if path.starts_with("replication.peers.*") => peer(path, key.name()),
        "http.net" => vec![("REGISTRY_HTTP_ADDR", "/run/a.sock")],
        "access.trusted_proxy.user_header" => vec![("REGISTRY_ACCESS_TRUSTED_PROXY_ADDRESSES", "[\"::1\"]")],
        "validation.enabled" => vec![("REGISTRY_VALIDATION_DISABLED", "true")],
        path if path.starts_with("validation.manifests.indexes.platformlist") => vec![
            ("REGISTRY_VALIDATION_MANIFESTS_INDEXES_PLATFORMS", "list"),
            ("REGISTRY_VALIDATION_MANIFESTS_INDEXES_PLATFORMLIST", "[{architecture: a, os: b}]"),
        ],
        "validation.manifests.indexes.platforms" => {
            vec![("REGISTRY_VALIDATION_MANIFESTS_INDEXES_PLATFORMLIST", "[{architecture: a, os: b}]")]
        }
        path if path.starts_with("access.policy.*") => {
            vec![("REGISTRY_ACCESS_POLICY", "[{repositories: [a], who: [anonymous], actions: [pull]}]")]
        }
        _ => Vec::new(),
    }
}

#[test]
fn every_supported_key_changes_the_configuration() {
    for key in supported().filter(|key| key.path != "version") {
        let mut env = context(key);
        let loaded = |env: &[(&str, &str)]| wharfinger_config::load(None, vars(env), &[]);
        // A context may lean on the key itself (a socket's path as address needs http.net).
        let before = loaded(&env).map_or_else(|_| Config::default(), |loaded| loaded.config);
        let (name, value) = (key.variable().replace("_N_", "_0_"), other(key));
        env.retain(|(old, _)| *old != name);
        env.push((&name, &value));
        let after = loaded(&env).unwrap_or_else(|errors| panic!("{}: {errors}", key.path));
        assert_ne!(before, after.config, "{} = {value} changed nothing", key.path);
    }
}

#[test]
fn every_default_can_be_written_out() {
    // Any key of these asks for the whole section.
    let whole = |key: &Key| key.path.starts_with("auth.token") || key.path.starts_with("storage.swift");
    for key in supported().filter(|key| !key.path.contains('*') && !whole(key)) {
        let Some(default) = key.default else { continue };
        let loaded = wharfinger_config::load(None, vars(&[(&key.variable(), default)]), &[]).unwrap();
        assert_eq!(loaded.config, Config::default(), "{}", key.path);
    }
}

#[test]
fn every_key_without_effect_says_so() {
    for key in all().iter().filter(|key| !matches!(key.status, Status::Supported | Status::Part)) {
        let value = match key.kind {
            Kind::Sections => "[{name: x}]".to_owned(),
            Kind::Section => {
                let part =
                    all().iter().find(|part| part.path.starts_with(&format!("{}.", key.path))).unwrap();
                format!("{{{}: x}}", part.name())
            }
            Kind::Driver => "{}".to_owned(),
            Kind::Bool => "true".to_owned(),
            Kind::List => "[x]".to_owned(),
            _ => "7".to_owned(),
        };
        let (variable, path) = (key.variable().replace("_N_", "_0_"), key.path.replace('*', "0"));
        // A certificate would silence letsencrypt.
        let mut env = if key.path.starts_with("http.tls") { Vec::new() } else { context(key) };
        env.push((&variable, &value));
        let said = match wharfinger_config::load(None, vars(&env), &[]) {
            Ok(loaded) => warnings(&loaded),
            Err(found) => errors(Err(found)),
        };
        assert!(said.iter().any(|line| line.contains(&format!(" {path}: "))), "{path}: {said:?}");
    }
}

#[test]
fn distributions_field_names_are_the_variables() {
    for (path, variable) in [
        ("compatibility.schema1.signingkeyfile", "REGISTRY_COMPATIBILITY_SCHEMA1_TRUSTKEY"),
        ("notifications.events.includereferences", "REGISTRY_NOTIFICATIONS_EVENTCONFIG_INCLUDEREFERENCES"),
        ("health.tcp.*.addr", "REGISTRY_HEALTH_TCPCHECKERS_N_ADDR"),
        ("log.hooks.*.options.from", "REGISTRY_LOG_HOOKS_N_MAILOPTIONS_FROM"),
    ] {
        assert_eq!(find(path).unwrap().variable(), variable);
    }
}
