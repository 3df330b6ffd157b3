//! Files as operators have them.

#[path = "support/common.rs"]
mod common;

use std::path::Path;
use std::time::Duration;

use common::{PLAIN, errors, load, plain_and, warnings};
use wharfinger_config::*;
use wharfinger_oci::Action;

const DEBIAN: &str = "\
version: 0.1
log:
  fields:
    service: registry
storage:
  cache:
    blobdescriptor: inmemory
  filesystem:
    rootdirectory: /var/lib/docker-registry
  delete:
    enabled: true
http:
  addr: :5000
  headers:
    X-Content-Type-Options: [nosniff]
auth:
  htpasswd:
    realm: basic-realm
    path: /etc/docker/registry
health:
  storagedriver:
    enabled: true
    interval: 10s
    threshold: 3
";

const SWIFT: &str = "\
version: 0.1
log:
  level: info
storage:
  swift:
    authurl: https://swift.example.org/auth/v1.0
    username: docker:registry
    password: secret
    container: registry
  redirect:
    disable: true
  cache:
    blobdescriptor: redis
redis:
  addr: 127.0.0.1:6379
  password: secret
  pool:
    maxidle: 16
    maxactive: 64
    idletimeout: 300s
http:
  addr: 127.0.0.1:5000
";

#[test]
fn debians_default_file_is_taken_without_a_word() {
    let loaded = load(DEBIAN, &[]).unwrap();
    assert_eq!(warnings(&loaded), Vec::<String>::new());
    let config = loaded.config;
    assert_eq!(config.storage.directory().unwrap(), Path::new("/var/lib/docker-registry"));
    assert!(config.storage.delete.enabled);
    assert_eq!(config.http.listen, Listen::Tcp { host: None, port: 5000 });
    assert_eq!(config.http.headers["X-Content-Type-Options"], ["nosniff"]);
    assert_eq!(config.log.fields["service"], "registry");
    let htpasswd = Htpasswd { realm: "basic-realm".into(), path: "/etc/docker/registry".into() };
    assert_eq!(config.auth, Auth::Htpasswd(htpasswd));
}

#[test]
fn a_driver_that_we_do_not_have_is_refused_with_file_and_line() {
    let errors = errors(load("version: 0.1\nstorage:\n  s3: {bucket: images}\n", &[]));
    let s3 = "config.yml:3: storage.s3: not supported: this version stores in a directory (storage.filesystem) or \
              in Swift (storage.swift)";
    assert_eq!(errors, [s3]);
}

#[test]
fn redis_is_a_warning_when_the_store_is_a_directory() {
    let env = [("REGISTRY_STORAGE", "filesystem"), ("REGISTRY_STORAGE_CACHE_BLOBDESCRIPTOR", "redis")];
    let loaded = load(SWIFT, &env).unwrap();
    let lines = warnings(&loaded);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with("config.yml:14: redis: not used: the store is a directory"), "{lines:?}");
    assert!(lines[1].starts_with("config.yml:17: redis.pool: has no effect"), "{lines:?}");
    assert_eq!(loaded.config.storage.directory().unwrap(), Path::new("/var/lib/registry"));
}

#[test]
fn a_yaml_error_names_line_and_column() {
    let errors = errors(load("version: 0.1\nstorage: [a\nhttp: x\n", &[]));
    assert_eq!(errors.len(), 1);
    assert!(errors[0].starts_with("config.yml:3:"), "{errors:?}");
    assert!(errors[0].contains("not valid YAML"), "{errors:?}");
}

#[test]
fn all_bad_values_are_named_with_file_line_and_key() {
    let more = "log:\n  level: loud\nhttp:\n  addr: nowhere\n  draintimeout: soon\n  relativeurls: maybe\n\
                catalog:\n  maxentries: many\nvalidation:\n  manifests:\n    urls:\n      allow: {a: b}\n";
    let errors = errors(plain_and(more));
    let wanted = [
        "config.yml:6: log.level: has to be one of error, warn",
        "config.yml:8: http.addr: has to be an address",
        "config.yml:9: http.draintimeout: has to be a duration",
        "config.yml:10: http.relativeurls: has to be true or false",
        "config.yml:12: catalog.maxentries: has to be a whole number",
        "config.yml:16: validation.manifests.urls.allow: has to be a list",
    ];
    assert_eq!(errors.len(), wanted.len(), "{errors:#?}");
    for (error, wanted) in errors.iter().zip(wanted) {
        assert!(error.starts_with(wanted), "{error} / {wanted}");
    }
}

#[test]
fn the_version_and_a_driver_have_to_be_given_in_a_file() {
    let lines = errors(load("log:\n  level: debug\n", &[]));
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].contains("version: 0.1"), "{lines:?}");
    assert!(lines[1].contains("storage.filesystem.rootdirectory"), "{lines:?}");
    assert!(errors(load(&PLAIN.replace("0.1", "0.2"), &[]))[0].starts_with("config.yml:1: version"));
}

#[test]
fn two_drivers_or_two_ways_of_authentication_are_refused() {
    let lines = errors(plain_and("  inmemory:\nauth:\n  none: {}\n  htpasswd: {realm: a, path: b}\n"));
    assert!(
        lines.iter().any(|line| line.contains("filesystem (config.yml:3) and inmemory (config.yml:5)")),
        "{lines:?}"
    );
    assert!(lines.iter().any(|line| line.contains("more than one way of authentication: none")), "{lines:?}");
}

#[test]
fn what_protects_nothing_or_is_misspelt_does_not_leave_the_registry_open() {
    assert!(errors(plain_and("auth: silly\n"))[0].contains("protects nothing"));
    assert!(
        errors(plain_and("auth:\n  htpaswd: {realm: a, path: b}\n"))[0].contains("did you mean htpasswd?")
    );
    assert!(errors(plain_and("access:\n  polcy: []\n"))[0].contains("did you mean policy?"));
    assert!(
        errors(plain_and("auth:\n  htpasswd: {realm: a}\n"))[0]
            .contains("auth.htpasswd.path: has to be given")
    );
    assert!(errors(plain_and("auth: yes\n"))[0].contains("no such way of authentication"));
    let token = "auth:\n  token: {realm: a, service: b, issuer: c, jwks: d, signingalgorithms: [none]}\n";
    assert!(errors(plain_and(token))[0].contains("\"none\" is not accepted"));
}

#[test]
fn an_unknown_key_is_a_warning_with_the_nearest_name() {
    let loaded = plain_and("http:\n  adr: :5000\ncolour: red\nx-anchors: {a: b}\n").unwrap();
    assert_eq!(
        warnings(&loaded),
        [
            "config.yml:6: http.adr: unknown key, ignored; did you mean addr?",
            "config.yml:7: colour: unknown key, ignored",
        ]
    );
}

#[test]
fn what_is_unsafe_to_ignore_is_an_error_until_it_is_ignored_by_name() {
    let text = format!(
        "{PLAIN}proxy:\n  remoteurl: https://registry-1.docker.io\nmiddleware:\n  storage:\n    - name: cloudfront\n      disabled: true\n"
    );
    let lines = errors(load(&text, &[]));
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with("config.yml:5: proxy: not supported"), "{lines:?}");
    assert!(lines[1].ends_with("--ignore-unsupported middleware.storage)"), "{lines:?}");
    let ignore = ["proxy".to_owned(), "middleware".to_owned(), "redis".to_owned()];
    let loaded = load_str("config.yml", &text, std::iter::empty(), &ignore).unwrap();
    let lines = warnings(&loaded);
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[2].contains("--ignore-unsupported redis is not needed"), "{lines:?}");
}

#[test]
fn what_is_switched_off_is_not_missed() {
    let more = "proxy:\n  remoteurl: \"\"\ncompatibility:\n  schema1:\n    enabled: false\nnotifications:\n  \
                endpoints:\n    - {name: a, url: http://a, disabled: true}\nmiddleware:\n  storage: []\n\
                http:\n  tls:\n    certificate: a\n    key: b\n    letsencrypt: {cachefile: c}\n";
    assert_eq!(warnings(&plain_and(more).unwrap()), Vec::<String>::new());
    assert!(errors(plain_and("compatibility: {schema1: {enabled: true}}\n"))[0].contains("schema1"));
    assert!(
        errors(plain_and("notifications:\n  endpoints:\n    - {url: http://a}\n"))[0]
            .contains("notifications")
    );
}

#[test]
fn forms_of_2_8_and_3_are_both_understood() {
    let more = "  cache: {layerinfo: inmemory}\nloglevel: debug\nlog: {formatter: logstash}\n\
                redis: {addrs: [a, b], tls: {rootcas: [c]}}\ntags: {maxtags: 5}\ncatalog: {maxentries: -1}\n\
                http:\n  h2c: {enabled: true}\n  tls: {minimumtls: tls1.0}\n\
                validation:\n  disabled: true\n";
    let loaded = plain_and(more).unwrap();
    assert_eq!(loaded.config.log.level, LogLevel::Debug);
    assert_eq!(loaded.config.log.format, LogFormat::Json);
    assert_eq!((loaded.config.tags_max_entries, loaded.config.catalog_max_entries), (5, 1000));
    assert_eq!(loaded.config.validation.manifest_urls, None);
    assert_eq!(loaded.config.validation.index_children, IndexChildren::None);
    assert_eq!(loaded.warnings.len(), 3, "{:?}", warnings(&loaded));
}

#[test]
fn numbers_are_texts_where_a_text_is_wanted() {
    let loaded = plain_and("http: {secret: 12345}\nauth: {htpasswd: {realm: 007, path: 1}}\n").unwrap();
    assert_eq!(loaded.config.http.secret, Some(Secret::new("12345")));
    let Auth::Htpasswd(htpasswd) = &loaded.config.auth else { panic!() };
    assert_eq!(htpasswd.realm, "007");
    assert!(!format!("{:?}", loaded.config).contains("12345"));
}

#[test]
fn the_policy_table_is_read_whole() {
    let more = "access:\n  policy:\n    - repositories: [\"team/*\"]\n      who: [\"user:alice\", \"token:ci\"]\n      \
                actions: [pull, push, delete]\n    - {repositories: \"*\", who: anonymous, actions: pull}\n  \
                catalog: [authenticated]\n  trusted_proxy: {addresses: [10.0.0.0/8, \"::1\"]}\n";
    let access = plain_and(more).unwrap().config.access;
    let rules = access.policy;
    assert_eq!(rules[0].who, [Who::User("alice".into()), Who::TokenSubject("ci".into())]);
    assert_eq!(rules[0].actions, [Action::Pull, Action::Push, Action::Delete]);
    assert_eq!(
        (&rules[1].who[..], &rules[1].repositories[..]),
        (&[Who::Anonymous][..], &["*".to_owned()][..])
    );
    assert_eq!(access.catalog, [Who::Authenticated]);
    let proxy = access.trusted_proxy.unwrap();
    assert_eq!((proxy.addresses.len(), proxy.user_header.as_str()), (2, "X-Remote-User"));
}

#[test]
fn a_rule_that_could_never_apply_is_refused() {
    let rule = |rule: &str| errors(plain_and(&format!("access:\n  policy:\n    - {rule}\n")));
    let lines = rule("{repositories: [Team/x], who: [bob], actions: [write]}");
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(
        lines[0].starts_with("config.yml:7: access.policy.0.repositories: no repository name contains 'T'"),
        "{lines:?}"
    );
    assert_eq!(rule("{repositories: [a], who: [], actions: [pull]}").len(), 1);
    assert!(
        rule("{repository: [a], who: [anonymous], actions: [pull]}")
            .iter()
            .any(|l| l.contains("did you mean"))
    );
    assert!(!rule("anonymous").is_empty());
}

#[test]
fn an_empty_table_is_refused_as_it_would_be_none() {
    for empty in ["", " []", " null"] {
        let lines = errors(plain_and(&format!("access:\n  policy:{empty}\n")));
        assert!(lines[0].starts_with("config.yml:6: access.policy: is empty"), "{lines:?}");
    }
    assert!(errors(plain_and("access: {catalog: []}\n"))[0].contains("access.catalog: is empty"));
    assert_eq!(plain_and("").unwrap().config.access, Access::default());
}

#[test]
fn rules_for_users_warn_when_nothing_tells_who_a_client_is() {
    let loaded = plain_and("access: {catalog: [authenticated]}\n").unwrap();
    assert!(warnings(&loaded)[0].contains("tells who a client is"), "{:?}", warnings(&loaded));
    let loaded =
        plain_and("auth: {htpasswd: {realm: a, path: b}}\naccess: {catalog: [authenticated]}\n").unwrap();
    assert_eq!(warnings(&loaded), Vec::<String>::new());
}

#[test]
fn an_algorithm_that_cannot_be_verified_is_left_out_and_never_leaves_all_of_them() {
    let token = |list: &str| {
        plain_and(&format!(
            "auth:\n  token: {{realm: a, service: b, issuer: c, jwks: d, signingalgorithms: {list}}}\n"
        ))
    };
    let loaded = token("[ES512, ES256]").unwrap();
    assert!(warnings(&loaded)[0].contains("ES512 is not implemented"), "{:?}", warnings(&loaded));
    let Auth::Token(token_auth) = loaded.config.auth else { panic!() };
    assert_eq!(token_auth.signing_algorithms, ["ES256"]);
    assert!(errors(token("[ES512]"))[0].contains("leaves no algorithm"));
    assert!(errors(token("[HS256]"))[0].contains("\"HS256\" is not accepted"));
}

#[test]
fn anchors_merges_and_keys_given_twice_do_what_yaml_says() {
    let text = "x-a: &a {level: warn, formatter: json}\nlog:\n  <<: *a\n  level: debug\n";
    let loaded = load(&format!("{PLAIN}{text}"), &[]).unwrap();
    assert_eq!(warnings(&loaded), Vec::<String>::new());
    assert_eq!((loaded.config.log.level, loaded.config.log.format), (LogLevel::Debug, LogFormat::Json));
    let loaded = plain_and("loglevel: warn\nloglevel: debug\n").unwrap();
    assert_eq!(loaded.config.log.level, LogLevel::Debug);
    assert!(warnings(&loaded)[0].starts_with("config.yml:6: loglevel: given twice"));
}

#[test]
fn tls_needs_both_halves_and_authorities_for_client_certificates() {
    let tls = |tls: &str| plain_and(&format!("http:\n  tls: {tls}\n"));
    assert!(errors(tls("{certificate: a}"))[0].contains("needs http.tls.key"));
    assert!(errors(tls("{clientcas: [a]}"))[0].contains("needs http.tls.certificate"));
    let open = "{certificate: a, key: b, clientauth: require-and-verify-client-cert}";
    assert!(errors(tls(open))[0].contains("needs http.tls.clientcas"));
    let tls = tls("{certificate: a, key: b, clientcas: [c]}").unwrap().config.http.tls.unwrap();
    assert_eq!(tls.client_auth, ClientAuth::RequireAndVerify);
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let result = wharfinger_config::load(Some("/nonexistent/config.yml".as_ref()), std::iter::empty(), &[]);
    assert!(errors(result)[0].starts_with("/nonexistent/config.yml: cannot be read"));
    let directory = tempfile::tempdir().unwrap();
    assert!(
        errors(wharfinger_config::load(Some(directory.path()), std::iter::empty(), &[]))[0]
            .contains("is a directory")
    );
    let path = directory.path().join("c.yml");
    std::fs::write(&path, b"version: \xff").unwrap();
    assert!(errors(wharfinger_config::load(Some(&path), std::iter::empty(), &[]))[0].contains("UTF-8"));
    std::fs::write(&path, DEBIAN).unwrap();
    assert!(wharfinger_config::load(Some(&path), std::iter::empty(), &[]).is_ok());
}

#[test]
fn without_a_file_the_defaults_hold() {
    let loaded = wharfinger_config::load(None, std::iter::empty(), &[]).unwrap();
    assert_eq!(loaded.config, Config::default());
    assert_eq!(loaded.config.storage.directory().unwrap(), Path::new("./wharfinger-data"));
    assert_eq!(loaded.config.http.listen.to_string(), "127.0.0.1:5000");
    assert!(!loaded.config.storage.delete.enabled);
    assert_eq!(loaded.config.storage.upload_purging.age, Duration::from_secs(168 * 3600));
}

#[test]
fn caches_in_front_are_named_with_what_they_understand_and_their_passwords_stay_secret() {
    let file = |endpoint: &str| {
        let text = format!(
            "version: 0.1\nstorage: {{filesystem: {{}}}}\npurge:\n  timeout: 2s\n  endpoints: [{endpoint}]\n"
        );
        load(&text, &[])
    };
    let purge = file("{url: \"http://u:hunter2@cache:6081/r\", kind: varnish}").unwrap().config.purge;
    assert_eq!(purge.timeout, Duration::from_secs(2));
    let url = &purge.endpoints[0].url;
    assert_eq!((url.address.as_str(), url.path.as_str()), ("cache:6081", "/r"));
    assert!(!format!("{purge:?}").contains("hunter2"));
    for (endpoint, message) in [
        ("{url: \"http://cache\"}", "purge.endpoints.0.kind: every endpoint needs a url and a kind"),
        ("{kind: varnish}", "purge.endpoints.0.url: every endpoint needs"),
        ("{url: \"http://cache\", kind: squid}", "varnish, traffic-server"),
        ("{url: \"https://u:hunter2@cache\", kind: varnish}", "without TLS"),
        ("{url: \"u:hunter2@cache\", kind: varnish}", "has to be a URL"),
        ("{url: \"http://cache\", kind: varnish, host: \"a b\"}", "purge.endpoints.0.host"),
    ] {
        let found = errors(file(endpoint));
        assert!(found.iter().any(|line| line.contains(message)), "{endpoint}: {found:?}");
        assert!(!found.iter().any(|line| line.contains("hunter2")), "{found:?}");
    }
    assert!(
        errors(load("version: 0.1\nstorage: {filesystem: {}}\npurge: {timeout: 0s}\n", &[]))[0]
            .contains("more than 0")
    );
}
