//! `REGISTRY_*` variables, by Distribution's rules.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/common.rs"]
mod common;

use std::path::{Path, PathBuf};

use common::{PLAIN, errors, load, vars, warnings};
use wharfinger_config::*;

fn config(env: &[(&str, &str)]) -> Config {
    load(PLAIN, env).unwrap().config
}

#[test]
fn a_variable_replaces_what_the_file_says() {
    let config = config(&[
        ("REGISTRY_HTTP_ADDR", ":5001"),
        ("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY", "/other"),
        ("REGISTRY_STORAGE_DELETE_ENABLED", "true"),
        ("REGISTRY_LOG_FIELDS_SERVICE", "x"),
        ("HTTP_ADDR", ":6000"),
        ("REGISTRY_CONFIGURATION_PATH", "/etc/config.yml"),
    ]);
    assert_eq!(config.http.listen.to_string(), ":5001");
    assert_eq!(config.storage.directory().unwrap(), Path::new("/other"));
    assert!(config.storage.delete.enabled);
    assert_eq!(config.log.fields["service"], "x");
}

#[test]
fn parents_apply_before_children_whatever_the_order() {
    let env = [
        ("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY", "/b"),
        ("REGISTRY_STORAGE", "filesystem"),
        ("REGISTRY_HTTP_DEBUG_ADDR", ":5001"),
        ("REGISTRY_HTTP", "{addr: \":5002\", debug: {addr: \":1\"}}"),
    ];
    let text = "version: 0.1\nstorage:\n  swift: {container: a}\nhttp: {secret: gone}\n";
    let config = load(text, &env).unwrap().config;
    assert_eq!(config.storage.directory().unwrap(), Path::new("/b"));
    assert_eq!(config.http.listen.to_string(), ":5002");
    assert_eq!(config.http.debug.unwrap().listen.to_string(), ":5001");
    assert_eq!(config.http.secret, None);
}

#[test]
fn naming_another_driver_beside_the_files_is_refused() {
    let lines = errors(load(PLAIN, &[("REGISTRY_STORAGE_SWIFT_CONTAINER", "a")]));
    assert!(
        lines
            .iter()
            .any(|line| line.contains("swift (environment variable REGISTRY_STORAGE_SWIFT_CONTAINER)")),
        "{lines:?}"
    );
}

#[test]
fn a_value_is_yaml() {
    let config = config(&[
        ("REGISTRY_VALIDATION_MANIFESTS_URLS_ALLOW", "[a, b]"),
        ("REGISTRY_HTTP_HEADERS", "{X-A: [one, two]}"),
        ("REGISTRY_HTTP_HEADERS_X-Content-Type-Options", "[nosniff]"),
        ("REGISTRY_AUTH", "{htpasswd: {realm: r, path: /p}}"),
    ]);
    assert_eq!(config.validation.manifest_urls.unwrap().allow, ["a", "b"]);
    assert_eq!(config.http.headers["X-A"], ["one", "two"]);
    assert_eq!(config.http.headers["x-content-type-options"], ["nosniff"]);
    assert!(matches!(config.auth, Auth::Htpasswd(_)));
}

#[test]
fn an_empty_value_unsets() {
    let text = format!("{PLAIN}http: {{addr: \":5001\", debug: {{addr: \":5002\"}}}}\n");
    let config = load(&text, &[("REGISTRY_HTTP_DEBUG_ADDR", ""), ("REGISTRY_HTTP_ADDR", "")]).unwrap().config;
    assert_eq!((config.http.debug, config.http.listen.to_string().as_str()), (None, "127.0.0.1:5000"));
}

#[test]
fn a_password_may_look_like_anything() {
    for secret in ["12345", "true", "a: b", "[", "{x", "*a", "%", "@y", "- z"] {
        let config = config(&[("REGISTRY_HTTP_SECRET", secret)]);
        assert_eq!(config.http.secret, Some(Secret::new(secret)));
    }
}

#[test]
fn a_number_is_an_index_into_a_list() {
    let text = format!(
        "{PLAIN}access:\n  policy:\n    - {{repositories: [a], who: [anonymous], actions: [pull]}}\n"
    );
    let env = [
        ("REGISTRY_ACCESS_POLICY_0_ACTIONS_1", "push"),
        ("REGISTRY_ACCESS_POLICY_1", "{repositories: [b], who: [authenticated]}"),
        ("REGISTRY_ACCESS_POLICY_1_ACTIONS", "[pull]"),
        ("REGISTRY_HTTP_TLS_CLIENTCAS_0", "/ca"),
        ("REGISTRY_HTTP_TLS_CERTIFICATE", "/c"),
        ("REGISTRY_HTTP_TLS_KEY", "/k"),
    ];
    let config = load(&text, &env).unwrap().config;
    let policy = config.access.policy;
    assert_eq!((policy[0].actions.len(), policy[1].repositories[0].as_str()), (2, "b"));
    assert_eq!(config.http.tls.unwrap().client_cas, [PathBuf::from("/ca")]);
    let lines = errors(load(&text, &[("REGISTRY_ACCESS_POLICY_2_WHO", "[anonymous]")]));
    assert!(lines[0].contains("the next index is 1, not 2"), "{lines:?}");
    assert!(errors(load(&text, &[("REGISTRY_ACCESS_POLICY_X_WHO", "a")]))[0].contains("index"));
}

#[test]
fn names_with_underscores_and_names_of_go_fields_are_found() {
    let config = config(&[
        ("REGISTRY_STORAGE_DELETE_BY_DIGEST", "refuse-if-tagged"),
        ("REGISTRY_HTTP_LIMITS_MAX_HEADER_BYTES", "32KiB"),
        ("REGISTRY_ACCESS_TRUSTED_PROXY_ADDRESSES_0", "127.0.0.1"),
    ]);
    assert_eq!(config.storage.delete.by_digest, DeleteByDigest::RefuseIfTagged);
    assert_eq!(config.http.limits.max_header_bytes, 32 << 10);
    assert!(config.access.trusted_proxy.is_some());
    let loaded = load(PLAIN, &[("REGISTRY_HEALTH_FILECHECKERS_0_FILE", "/x")]).unwrap();
    assert!(warnings(&loaded)[0].contains("health.file: ignored"), "{:?}", warnings(&loaded));
    let loaded = load(PLAIN, &[("REGISTRY_COMPATIBILITY_SCHEMA1_TRUSTKEY", "/k")]).unwrap();
    assert!(warnings(&loaded)[0].contains("signingkeyfile"), "{:?}", warnings(&loaded));
}

#[test]
fn an_unknown_variable_is_a_warning() {
    let env = [
        ("REGISTRY_HTP_ADDR", ":1"),
        ("REGISTRY_PORT_5000_TCP", "tcp://10.0.0.1:5000"),
        ("REGISTRY_http_addr", ":2"),
    ];
    let loaded = load(PLAIN, &env).unwrap();
    let lines = warnings(&loaded);
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert_eq!(
        lines[0],
        "environment variable REGISTRY_HTP_ADDR: no configuration key has this name, ignored; did you mean REGISTRY_HTTP_ADDR?"
    );
}

#[test]
fn a_bad_value_names_its_variable_and_key() {
    let lines = errors(load(PLAIN, &[("REGISTRY_HTTP_DRAINTIMEOUT", "10"), ("REGISTRY_LOG_LEVEL", "x")]));
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].starts_with("environment variable REGISTRY_LOG_LEVEL: log.level: has to be one of"),
        "{lines:?}"
    );
    let lines = errors(load(PLAIN, &[("REGISTRY_HTTP", "[")]));
    assert!(lines[0].starts_with("environment variable REGISTRY_HTTP: not valid YAML"), "{lines:?}");
}

#[test]
fn variables_alone_are_a_configuration() {
    let loaded = wharfinger_config::load(None, vars(&[("REGISTRY_HTTP_ADDR", ":7000")]), &[]).unwrap();
    assert_eq!(loaded.config.http.listen.to_string(), ":7000");
    assert_eq!(loaded.config.storage.directory().unwrap(), Path::new("./wharfinger-data"));
}
