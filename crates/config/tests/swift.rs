//! `storage.swift` as Distribution 2.8 takes it, and what is told about it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/common.rs"]
mod common;

use std::time::Duration;

use common::{errors, load, vars, warnings};
use wharfinger_config::*;

/// What a site with two data centres runs Distribution 2.8 with.
const WIKIMEDIA: &str = "\
version: 0.1
log:
  fields:
    service: docker-registry
storage:
  cache:
    blobdescriptor: redis
  swift:
    username: docker:registry
    password: 0123
    authurl: https://swift.example.org/auth/v1.0
    container: docker_registry_codfw
  delete:
    enabled: true
http:
  addr: :5000
  secret: shared
  headers:
    X-Content-Type-Options: [nosniff]
  debug:
    addr: :5001
    prometheus:
      enabled: true
      path: /metrics
redis:
  addr: rdb.example.org:6382
  password: hidden
  db: 0
  dialtimeout: 100ms
  readtimeout: 100ms
  writetimeout: 300ms
  pool:
    maxidle: 16
    maxactive: 64
    idletimeout: 300s
health:
  storagedriver:
    enabled: true
    interval: 10s
    threshold: 3
  tcp:
    - addr: rdb.example.org:6382
      timeout: 3s
      interval: 10s
      threshold: 3
catalog:
  maxentries: 10000
";

const V3: &str = "authurl: https://keystone.example.org/v3, username: u, password: p, container: c";

/// Loads a file whose Swift section has these keys, written in braces.
fn section(keys: &str) -> Result<Loaded, ConfigErrors> {
    load(&format!("version: 0.1\nstorage:\n  swift: {{{keys}}}\n"), &[])
}

fn swift(loaded: &Loaded) -> &Swift {
    let Driver::Swift(swift) = &loaded.config.storage.driver else { panic!("not Swift") };
    swift
}

fn scope(keys: &str) -> SwiftScope {
    let loaded = section(&format!("{V3}, {keys}")).unwrap();
    let SwiftAuth::V3 { scope, .. } = swift(&loaded).auth.clone() else { panic!("not v3") };
    scope
}

#[test]
fn the_redis_of_distribution_is_read_where_it_is_named() {
    let redis = load(WIKIMEDIA, &[]).unwrap().config.redis.unwrap();
    assert_eq!(
        (redis.addresses.join(" ").as_str(), redis.database, redis.user),
        ("rdb.example.org:6382", 0, None)
    );
    assert_eq!(redis.password.unwrap().expose(), "hidden");
    let later = WIKIMEDIA
        .replace("  addr: rdb.example.org:6382\n  password", "  addrs: [one:1, two:2]\n  db: 3\n  password");
    let redis = load(&later.replace("  db: 0\n", ""), &[]).unwrap().config.redis.unwrap();
    assert_eq!((redis.addresses.join(" ").as_str(), redis.database), ("one:1 two:2", 3));
    let file = "version: 0.1\nstorage: {filesystem: {rootdirectory: /a}}\n";
    assert_eq!(load(file, &[]).unwrap().config.redis, None);
}

#[test]
fn wikimedias_file_is_taken_as_it_is_and_what_is_not_used_is_said() {
    let loaded = load(WIKIMEDIA, &[]).unwrap();
    let lines = warnings(&loaded);
    let wanted = [
        "config.yml:31: redis.writetimeout: has no effect here: redis.readtimeout is for the whole of a command",
        "config.yml:32: redis.pool: has no effect here: one connection carries all commands",
    ];
    assert_eq!(lines.len(), wanted.len(), "{lines:#?}");
    for (line, wanted) in lines.iter().zip(wanted) {
        assert!(line.starts_with(wanted), "{line} / {wanted}");
    }
    assert_eq!(loaded.config.storage.directory(), None);
    let swift = swift(&loaded);
    let auth = SwiftAuth::V1 {
        url: "https://swift.example.org/auth/v1.0".into(),
        user: "docker:registry".into(),
        key: Secret::new("0123"),
    };
    assert_eq!((&swift.auth, swift.container.as_str()), (&auth, "docker_registry_codfw"));
    assert_eq!(
        (swift.prefix.as_str(), swift.segment_size, swift.objects),
        ("", 64 << 20, LargeObjects::Auto)
    );
    assert_eq!((swift.concurrency, swift.interface), (64, SwiftInterface::Public));
    assert_eq!(
        (swift.connect_timeout, swift.response_timeout),
        (Duration::from_secs(2), Duration::from_secs(4))
    );
    let config = &loaded.config;
    assert_eq!((config.storage.mode, config.storage.read_only), (StorageMode::Adopted, false));
    assert!(config.storage.delete.enabled && config.health.enabled);
    assert_eq!(
        (config.http.secret.clone(), config.catalog_max_entries),
        (Some(Secret::new("shared")), 10_000)
    );
    assert_eq!(config.http.debug.as_ref().unwrap().listen.to_string(), ":5001");
    assert!(!format!("{config:?}").contains("0123"), "a password is shown");
}

#[test]
fn numbers_from_the_environment_are_texts() {
    let env = [
        ("REGISTRY_STORAGE", "swift"),
        ("REGISTRY_STORAGE_SWIFT_AUTHURL", "https://keystone.example.org/v2.0"),
        ("REGISTRY_STORAGE_SWIFT_USERNAME", "1"),
        ("REGISTRY_STORAGE_SWIFT_PASSWORD", "12345"),
        ("REGISTRY_STORAGE_SWIFT_TENANTID", "0099"),
        ("REGISTRY_STORAGE_SWIFT_TENANT", "7"),
        ("REGISTRY_STORAGE_SWIFT_CONTAINER", "1e3"),
    ];
    let loaded = wharfinger_config::load(None, vars(&env), &[]).unwrap();
    let auth = SwiftAuth::V2 {
        url: "https://keystone.example.org/v2.0".into(),
        user: "1".into(),
        password: Secret::new("12345"),
        tenant: Some("7".into()),
        tenant_id: Some("0099".into()),
    };
    assert_eq!((&swift(&loaded).auth, swift(&loaded).container.as_str()), (&auth, "1e3"));
}

#[test]
fn keys_are_matched_without_case_as_distribution_does() {
    let loaded = section(
        "authURL: https://a/v3, UserName: u, password: p, Container: c, tenantID: 5, chunkSize: 5242880",
    )
    .unwrap();
    assert_eq!(warnings(&loaded), Vec::<String>::new());
    assert_eq!(swift(&loaded).segment_size, 5 << 20);
    let SwiftAuth::V3 { scope, .. } = &swift(&loaded).auth else { panic!("not v3") };
    assert_eq!(*scope, SwiftScope::ProjectId("5".into()));
    let twice = section(&format!("{V3}, Container: other")).unwrap();
    assert_eq!(swift(&twice).container, "c");
    assert!(
        warnings(&twice)[0].contains("storage.swift.Container: unknown key, ignored"),
        "{:?}",
        warnings(&twice)
    );
}

#[test]
fn the_version_comes_from_the_url_unless_it_is_given() {
    let version = |keys: &str| match &swift(&section(keys).unwrap()).auth {
        SwiftAuth::V1 { .. } => 1,
        SwiftAuth::V2 { .. } => 2,
        SwiftAuth::V3 { .. } => 3,
    };
    let rest = "username: u, password: p, container: c";
    for (url, found) in
        [("http://a/auth/v1.0", 1), ("http://a/v2.0", 2), ("http://a/v3", 3), ("http://v1/v3", 3)]
    {
        assert_eq!(version(&format!("authurl: \"{url}\", {rest}")), found, "{url}");
    }
    assert_eq!(version(&format!("authurl: \"http://a/v3\", authversion: 1, {rest}")), 1);
    assert_eq!(version(&format!("authurl: \"http://a\", authversion: 2, {rest}")), 2);
    let lines = errors(section(&format!("authurl: \"http://a\", {rest}")));
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].starts_with("config.yml:3: storage.swift.authversion: has to be 1, 2 or 3"),
        "{lines:?}"
    );
    assert!(errors(section(&format!("{V3}, authversion: 4")))[0].contains("not 4"));
}

#[test]
fn the_scope_of_a_token_is_chosen_as_distribution_does() {
    let by_name = |domain| SwiftScope::Project { name: "t".into(), domain };
    assert_eq!(scope("region: r"), SwiftScope::Unscoped);
    assert_eq!(scope("trustid: x, tenantid: y, tenant: t"), SwiftScope::Trust("x".into()));
    assert_eq!(scope("tenantid: y, tenant: t"), SwiftScope::ProjectId("y".into()));
    assert_eq!(scope("tenant: t"), by_name(SwiftDomain::Name("Default".into())));
    assert_eq!(scope("tenant: t, domainid: d"), by_name(SwiftDomain::Id("d".into())));
    assert_eq!(scope("tenant: t, domain: n, domainid: d"), by_name(SwiftDomain::Name("n".into())));
    assert_eq!(scope("tenant: t, domain: n, tenantdomainid: d"), by_name(SwiftDomain::Id("d".into())));
}

#[test]
fn an_application_credential_stands_in_for_user_and_project() {
    let base = "authurl: http://keystone:5000, container: c";
    let loaded =
        section(&format!("{base}, applicationcredentialid: i, applicationcredentialsecret: hush")).unwrap();
    assert_eq!(warnings(&loaded), Vec::<String>::new());
    let credential = SwiftCredential::ApplicationId { id: "i".into(), secret: Secret::new("hush") };
    let auth = SwiftAuth::V3 { url: "http://keystone:5000".into(), credential, scope: SwiftScope::Unscoped };
    assert_eq!(swift(&loaded).auth, auth);
    let named = "applicationcredentialname: n, applicationcredentialsecret: s";
    let loaded = section(&format!("{base}, {named}, username: u, domainid: d")).unwrap();
    let SwiftAuth::V3 { credential, .. } = &swift(&loaded).auth else { panic!("not v3") };
    let SwiftCredential::ApplicationName { user, domain, .. } = credential else { panic!("{credential:?}") };
    assert_eq!((user.as_str(), domain), ("u", &SwiftDomain::Id("d".into())));
    assert!(
        errors(section(&format!("{base}, {named}")))[0].contains("storage.swift.username: has to be given")
    );
    for (keys, said) in [
        ("applicationcredentialid: i", "applicationcredentialsecret: has to be given"),
        ("applicationcredentialsecret: s", "applicationcredentialsecret: needs applicationcredentialid"),
        ("applicationcredentialid: i, applicationcredentialsecret: s, tenant: t", "tenant: contradicts"),
        ("applicationcredentialid: i, applicationcredentialsecret: s, password: p", "password: contradicts"),
        (
            "applicationcredentialid: i, applicationcredentialname: n, applicationcredentialsecret: s",
            "applicationcredentialname: contradicts",
        ),
        (
            "applicationcredentialid: i, applicationcredentialsecret: s, authversion: 1",
            "applicationcredentialid: needs authentication of version 3, not 1",
        ),
    ] {
        let lines = errors(section(&format!("{base}, {keys}")));
        assert_eq!(lines.len(), 1, "{keys}: {lines:?}");
        assert!(lines[0].starts_with(&format!("config.yml:3: storage.swift.{said}")), "{keys}: {lines:?}");
    }
}

#[test]
fn what_is_missing_or_wrong_is_told_by_key_and_all_at_once() {
    let lines = errors(load("version: 0.1\nstorage: swift\n", &[]));
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("storage.swift.authurl: has to be given")), "{lines:?}");
    let lines = errors(section("authurl: https://a/v3"));
    for key in ["username", "password", "container"] {
        let said = format!("config.yml:3: storage.swift.{key}: has to be given with storage.swift");
        assert!(lines.contains(&said), "{lines:?}");
    }
    for (keys, said) in [
        ("authurl: swift/v3", "authurl: has to be a URL"),
        ("storageurl: \"https:///v1\"", "storageurl: has to be a URL"),
        ("container: a/b", "container: has to be a container's name"),
        ("chunksize: 1048575", "chunksize: has to be 1048576 (1 MiB) to 5 GiB, not 1048575"),
        ("chunksize: big", "chunksize: has to be a number of bytes"),
        ("segmentsize: 6GiB", "segmentsize: has to be 1 MiB to 5 GiB"),
        ("objects: both", "objects: has to be one of auto, slo, dlo"),
        ("endpointtype: publicURL", "endpointtype: has to be one of public, internal, admin"),
        ("concurrency: 0", "concurrency: has to be 1 or more"),
        ("responsetimeout: 0s", "responsetimeout: has to be longer than 0"),
        ("insecureskipverify: maybe", "insecureskipverify: has to be true or false"),
        ("username: [a]", "username: has to be a single value"),
    ] {
        let (key, _) = keys.split_once(':').unwrap();
        let rest: Vec<&str> = V3.split(", ").filter(|pair| !pair.starts_with(&format!("{key}:"))).collect();
        let lines = errors(section(&format!("{}, {keys}", rest.join(", "))));
        let wanted = format!("config.yml:3: storage.swift.{said}");
        assert!(lines.iter().any(|line| line.starts_with(&wanted)), "{keys}: {lines:?}");
    }
}

#[test]
fn a_version_that_is_given_contradicts_keys_of_another_and_a_guessed_one_only_warns() {
    let base = "username: u, password: p, container: c, tenant: t, trustid: x, region: r";
    let lines = errors(section(&format!("authurl: \"http://a/v1.0\", authversion: 1, {base}")));
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].contains("contradicts authversion 1"), "{lines:?}");
    let loaded = section(&format!("authurl: \"http://a/v1.0\", {base}")).unwrap();
    assert_eq!(warnings(&loaded).len(), 3, "{:?}", warnings(&loaded));
    assert!(warnings(&loaded).iter().all(|line| line.contains("has no effect")), "{:?}", warnings(&loaded));
    let lines = errors(section(&format!("authurl: \"http://a/v2.0\", authversion: 2, {base}")));
    assert_eq!(lines.len(), 1, "{lines:?}");
}

#[test]
fn keys_that_distribution_ignores_or_nobody_needs_are_warned_of() {
    let loaded = section(&format!("{V3}, rootdirectory: /registry, accesskey: a, prefx: b")).unwrap();
    let lines = warnings(&loaded);
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(
        lines.iter().any(|line| line.contains("rootdirectory: has no effect") && line.contains("prefix"))
    );
    assert!(lines.iter().any(|line| line.contains("did you mean prefix?")), "{lines:?}");
    assert_eq!(swift(&loaded).prefix, "");
}

#[test]
fn segment_size_and_prefix_are_read_and_keys_of_temporary_urls_have_no_effect() {
    let loaded = section(&format!(
        "{V3}, segmentsize: 16MiB, chunksize: 5242880, prefix: /images/, secretkey: hush, \
         tempurlcontainerkey: true, tempurlmethods: [GET, HEAD], storageurl: \"https://s/v1/AUTH_a\""
    ))
    .unwrap();
    let swift = swift(&loaded);
    assert_eq!((swift.segment_size, swift.prefix.as_str()), (16 << 20, "images/"));
    assert_eq!(swift.storage_url.as_deref(), Some("https://s/v1/AUTH_a"));
    let told = warnings(&loaded);
    assert_eq!(told.iter().filter(|line| line.contains("has no effect")).count(), 3, "{told:?}");
    assert!(told.iter().all(|line| !line.contains("hush")), "a secret was told: {told:?}");
}

#[test]
fn redirects_are_off_unless_rules_ask_for_them_on_a_swift_that_may_be_redirected_to() {
    let load = |swift: &str, redirect: &str, more: &str| {
        let text =
            format!("version: 0.1\nstorage:\n  swift: {{{V3}{swift}}}\n  redirect: {{{redirect}}}\n{more}");
        common::load(&text, &[]).unwrap()
    };
    const RULES: &str = "rules: [{repositories: [a, \"b/*\"], networks: [10.0.0.0/8, \"::1\"]}]";
    let plain = load("", "disable: false", "");
    assert_eq!((plain.config.storage.redirects(), warnings(&plain)), (None, Vec::new()));
    let rest = "min_size: 1GiB, lifetime: 1m, base_url: \"https://s.example/x/\", proxies: 127.0.0.1";
    let loaded = load(", secretkey: hush", &format!("{RULES}, {rest}"), "");
    assert_eq!(warnings(&loaded), Vec::<String>::new());
    let redirects = loaded.config.storage.redirects().unwrap();
    assert_eq!(redirects.rules[0].repositories, ["a", "b/*"]);
    assert_eq!((redirects.rules[0].networks.len(), redirects.proxies.len()), (2, 1));
    assert_eq!((redirects.min_size, redirects.lifetime), (1 << 30, Duration::from_secs(60)));
    assert_eq!(redirects.base_url.as_deref(), Some("https://s.example/x"));
    assert_eq!(swift(&loaded).temp_url_key.as_ref().unwrap().expose(), "hush");
    assert!(!format!("{:?}", loaded.config).contains("hush"));

    let disabled = load(", secretkey: hush", &format!("{RULES}, disable: true"), "");
    assert_eq!(disabled.config.storage.redirects(), None);
    assert_eq!(warnings(&disabled).len(), 2, "{:?}", warnings(&disabled));
    let observing = load("", RULES, "  mode: observe\n");
    assert!(warnings(&observing)[0].contains("give the one that it knows in storage.swift.secretkey"));
    let directory = common::plain_and(&format!("  redirect: {{{RULES}}}\n")).unwrap();
    assert_eq!(directory.config.storage.redirects(), None);
    assert!(warnings(&directory)[0].contains("has no effect without storage.swift"));
}

#[test]
fn redirects_that_mean_more_or_less_than_they_say_are_refused() {
    let said = |redirect: &str| {
        let text = format!("version: 0.1\nstorage:\n  swift: {{{V3}}}\n  redirect: {{{redirect}}}\n");
        errors(common::load(&text, &[]))
    };
    for (redirect, expected) in [
        ("rules: [{repositories: [a]}]", "rules.0.networks: every rule needs repositories and networks"),
        (
            "rules: [{networks: [\"::/0\"]}]",
            "rules.0.repositories: every rule needs repositories and networks",
        ),
        ("rules: [{repositories: [A], networks: [\"::/0\"]}]", "can never match"),
        ("rules: [{repositories: [a], networks: [10.0.0.0/33]}]", "address or network"),
        ("lifetime: 25h", "between 1s and 24h"),
        ("lifetime: 10ms", "between 1s and 24h"),
        ("base_url: swift.example.org", "has to be a URL"),
        ("base_url: \"https://a/?x\"", "has to be a URL"),
    ] {
        let lines = said(redirect);
        assert!(lines.len() == 1 && lines[0].contains(expected), "{redirect}: {lines:?}");
    }
}

#[test]
fn a_mode_that_deletes_nothing_turns_deletes_and_purges_off() {
    let load = |mode: &str, more: &str| {
        load(&format!("version: 0.1\nstorage:\n  mode: {mode}\n  swift: {{{V3}}}\n{more}"), &[]).unwrap()
    };
    for (mode, read_only) in [("observe", true), ("trial", false)] {
        let loaded = load(mode, "  delete: {enabled: true}\n");
        let storage = &loaded.config.storage;
        assert_eq!(storage.read_only, read_only, "{mode}");
        assert!(!storage.delete.enabled && !storage.upload_purging.enabled, "{mode}");
        assert_eq!(warnings(&loaded).len(), 1);
        assert!(warnings(&loaded)[0].contains(&format!("nothing is deleted with storage.mode {mode}")));
    }
    let adopted = load("adopted", "").config.storage;
    assert!(!adopted.read_only && adopted.upload_purging.enabled);
}

#[test]
fn a_mode_for_a_directory_is_refused() {
    let lines = errors(common::plain_and("  mode: observe\n"));
    assert!(
        lines[0].starts_with("config.yml:5: storage.mode: observe is for storage.swift only"),
        "{lines:?}"
    );
    assert!(
        errors(common::plain_and("  mode: look\n"))[0].contains("has to be one of observe, trial, adopted")
    );
}
