use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, header};

use super::*;
use crate::{Grant, PolicyConfig, Rule, TokenConfig};

const ALL: [Action; 3] = [Action::Pull, Action::Push, Action::Delete];

fn name(text: &str) -> RepositoryName {
    RepositoryName::parse(text).unwrap()
}

fn user(name: &str) -> Identity {
    Identity::User(Arc::from(name))
}

/// `bob` and `alice`, whose passwords are their names.
fn htpasswd_file() -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    for name in ["bob", "alice"] {
        writeln!(file, "{name}:{}", bcrypt::hash(name, 4).unwrap()).unwrap();
    }
    file
}

fn build(method: Method, policy: PolicyConfig) -> Access {
    Access::new(AccessConfig { method, policy, trusted_proxy: None }).unwrap()
}

fn with_htpasswd(policy: PolicyConfig) -> Access {
    let file = htpasswd_file();
    build(Method::Htpasswd { realm: "Registry".to_owned(), path: file.path().to_owned() }, policy)
}

fn with_tokens(policy: PolicyConfig) -> Access {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    write!(file, "{}", rcgen::CertificateParams::default().self_signed(&key).unwrap().pem()).unwrap();
    let config = TokenConfig {
        realm: "https://issuer.example/token".to_owned(),
        service: "registry.example".to_owned(),
        issuer: "issuer".to_owned(),
        rootcertbundle: Some(file.path().to_owned()),
        ..TokenConfig::default()
    };
    build(Method::Token(config), policy)
}

fn rule(repositories: &str, who: &str, actions: &[Action]) -> Rule {
    let repositories = vec![repositories.to_owned()];
    Rule { repositories, who: vec![who.parse().unwrap()], actions: actions.to_vec() }
}

/// `team/*` is pushed by bob, all but `restricted/*` is public.
fn mixed() -> PolicyConfig {
    let rules = vec![
        rule("restricted/*", "authenticated", &[Action::Pull]),
        rule("team/*", "user:bob", &[Action::Push]),
        rule("*", "anonymous", &[Action::Pull]),
    ];
    PolicyConfig { rules, catalog: vec![] }
}

fn headers(value: &str) -> HeaderMap {
    HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())])
}

fn basic(user: &str, password: &str) -> HeaderMap {
    headers(&format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
}

fn may(access: &Access, identity: &Identity, repository: &str, action: Action) -> bool {
    access.authorize(identity, Resource::Repository(&name(repository)), Some(action)).is_ok()
}

fn may_list(access: &Access, identity: &Identity) -> bool {
    access.authorize(identity, Resource::Registry, Some(Action::Catalog)).is_ok()
}

fn token(grants: &[Grant]) -> Identity {
    Identity::Token { subject: Arc::from("ci"), grants: grants.into() }
}

#[tokio::test]
async fn without_a_method_everyone_may_do_everything_and_is_nobody() {
    let access = Access::new(AccessConfig::open()).unwrap();
    let identity = access.identify(&basic("bob", "whatever"), None).await.unwrap();
    assert_eq!(identity, Identity::Anonymous);
    assert!(ALL.iter().all(|&action| may(&access, &identity, "a/b", action)));
    assert!(may_list(&access, &identity));
    assert_eq!(access.authorize(&identity, Resource::Registry, None), Ok(()));
    assert!(access.is_public(&name("a")));
    assert_eq!(access.challenge("http://h", &[], None), None);
}

#[test]
fn without_rules_the_method_decides() {
    let granted = token(&[Grant::repository("a", &[Action::Pull])]);
    for (access, identity, pull, push) in [
        (with_htpasswd(PolicyConfig::default()), Identity::Anonymous, false, false),
        (with_htpasswd(PolicyConfig::default()), user("bob"), true, true),
        (with_tokens(PolicyConfig::default()), Identity::Anonymous, false, false),
        (with_tokens(PolicyConfig::default()), user("bob"), false, false),
        (with_tokens(PolicyConfig::default()), granted, true, false),
    ] {
        assert_eq!(may(&access, &identity, "a", Action::Pull), pull, "{identity:?}");
        assert_eq!(may(&access, &identity, "a", Action::Push), push, "{identity:?}");
        assert_eq!(may_list(&access, &identity), push, "{identity:?}");
        assert!(!access.is_public(&name("a")));
    }
}

#[test]
fn with_rules_what_no_rule_allows_is_refused() {
    let access = with_htpasswd(mixed());
    assert!(may(&access, &user("bob"), "team/app", Action::Push));
    assert!(!may(&access, &user("alice"), "team/app", Action::Push));
    assert!(!may(&access, &user("bob"), "other", Action::Push));
    assert!(!may(&access, &user("bob"), "team/app", Action::Delete));
    assert!(!may_list(&access, &user("bob")));
    assert!(access.is_public(&name("team/app")) && !access.is_public(&name("restricted/a")));
}

#[test]
fn a_token_may_do_what_it_grants_and_what_the_rules_add_for_its_subject() {
    let rules = vec![rule("extra/*", "token:ci", &[Action::Pull])];
    let access = with_tokens(PolicyConfig { rules, catalog: vec![] });
    let identity = token(&[Grant::repository("own", &ALL), Grant::catalog()]);
    assert!(may(&access, &identity, "own", Action::Delete));
    assert!(may(&access, &identity, "extra/a", Action::Pull));
    assert!(!may(&access, &identity, "extra/a", Action::Push));
    assert!(may_list(&access, &identity));
    assert!(!may_list(&access, &token(&[])));
}

#[test]
fn a_refusal_says_whether_other_credentials_may_help() {
    let repository = name("restricted/a");
    let refusal = |access: &Access, identity: &Identity| {
        access.authorize(identity, Resource::Repository(&repository), Some(Action::Push)).unwrap_err()
    };
    let access = with_htpasswd(mixed());
    assert!(matches!(refusal(&access, &Identity::Anonymous), Refused::Unauthenticated { error: None, .. }));
    let denied = refusal(&access, &user("bob"));
    assert_eq!(denied, Refused::Denied { reason: "user bob may not push to restricted/a".to_owned() });
    let narrow = refusal(&with_tokens(PolicyConfig::default()), &token(&[]));
    assert_eq!(narrow.challenge_error(), Some("insufficient_scope"));
    let open = build(Method::Anonymous, mixed());
    assert!(matches!(refusal(&open, &Identity::Anonymous), Refused::Denied { .. }));
}

#[test]
fn the_base_asks_for_credentials_wherever_there_are_any() {
    let base =
        |access: &Access, identity: &Identity| access.authorize(identity, Resource::Registry, None).is_ok();
    for access in [with_htpasswd(PolicyConfig::default()), with_htpasswd(mixed()), with_tokens(mixed())] {
        assert!(!base(&access, &Identity::Anonymous));
        assert!(base(&access, &user("bob")));
        assert!(base(&access, &token(&[])));
    }
    assert!(base(&build(Method::Anonymous, mixed()), &Identity::Anonymous));
}

#[tokio::test]
async fn wrong_credentials_are_refused_even_where_anonymous_callers_may_pull() {
    let file = htpasswd_file();
    let method = Method::Htpasswd { realm: "r".to_owned(), path: file.path().to_owned() };
    let access = build(method, mixed());
    assert_eq!(access.identify(&basic("bob", "bob"), None).await, Ok(user("bob")));
    assert_eq!(access.identify(&HeaderMap::new(), None).await, Ok(Identity::Anonymous));
    assert_eq!(access.identify(&basic("", ""), None).await, Ok(Identity::Anonymous));
    for wrong in [basic("bob", "x"), basic("eve", "bob"), headers("Bearer a.b.c"), headers("Basic ?")] {
        let refused = access.identify(&wrong, None).await.unwrap_err();
        assert!(matches!(refused, Refused::Unauthenticated { .. }));
    }
    assert!(with_tokens(mixed()).identify(&basic("bob", "bob"), None).await.is_err());
}

#[tokio::test]
async fn users_and_anonymous_callers_log_in_by_token_where_the_policy_is_mixed() {
    let file = htpasswd_file();
    let method = Method::Htpasswd { realm: "Registry".to_owned(), path: file.path().to_owned() };
    let access = build(method, mixed()).with_login_endpoint("/auth/token", None).unwrap();
    assert_eq!(access.login_endpoint(), Some("/auth/token"));
    let repository = name("team/app");
    let wanted = [(Resource::Repository(&repository), vec![Action::Pull, Action::Push])];
    assert_eq!(
        access.challenge("https://h:5000", &wanted, None).unwrap(),
        r#"Bearer realm="https://h:5000/auth/token",service="Registry",scope="repository:team/app:pull,push""#
    );
    let bearer = |token: &LoginToken| headers(&format!("Bearer {}", token.token));
    let anonymous = access.login(&HeaderMap::new(), None).await.unwrap();
    assert_eq!(access.identify(&bearer(&anonymous), None).await, Ok(Identity::Anonymous));
    let bob = access.login(&basic("bob", "bob"), None).await.unwrap();
    assert_eq!(access.identify(&bearer(&bob), None).await, Ok(user("bob")));
    assert!(access.login(&basic("bob", "wrong"), None).await.is_err());
    assert_eq!(access.identify(&basic("bob", "bob"), None).await, Ok(user("bob")), "Basic still works");

    std::fs::write(file.path(), format!("bob:{}\n", bcrypt::hash("new", 4).unwrap())).unwrap();
    let Authenticator::Htpasswd { users, .. } = &access.method else { panic!("not htpasswd") };
    users.expire();
    assert!(access.identify(&bearer(&bob), None).await.is_err(), "the password has changed");
    assert!(access.identify(&bearer(&anonymous), None).await.is_ok());
}

#[tokio::test]
async fn a_registry_that_opens_nothing_to_everyone_challenges_as_distribution_does() {
    let access = with_htpasswd(PolicyConfig::default()).with_login_endpoint("/auth/token", None).unwrap();
    assert_eq!(access.login_endpoint(), None);
    assert_eq!(access.challenge("https://h", &[], None).unwrap(), r#"Basic realm="Registry""#);
    assert!(access.login(&HeaderMap::new(), None).await.is_err());
    let tokens = with_tokens(PolicyConfig::default());
    assert_eq!(
        tokens.challenge("https://h", &[], Some("invalid_token")).unwrap(),
        r#"Bearer realm="https://issuer.example/token",service="registry.example",error="invalid_token""#
    );
}

#[tokio::test]
async fn the_user_header_counts_from_the_trusted_proxy_alone() {
    let user_header = HeaderName::from_static("x-remote-user");
    let addresses = vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
    let access = Access::new(AccessConfig {
        trusted_proxy: Some(TrustedProxyConfig { addresses, user_header: user_header.clone() }),
        ..AccessConfig::open()
    })
    .unwrap();
    let mut headers = HeaderMap::from_iter([(user_header.clone(), "bob".parse().unwrap())]);
    for (peer, expected) in [
        (Some("10.1.2.3"), user("bob")),
        (Some("::ffff:10.1.2.3"), user("bob")),
        (Some("fd00::1"), user("bob")),
        (Some("192.0.2.1"), Identity::Anonymous),
        (Some("::1"), Identity::Anonymous),
        (None, Identity::Anonymous),
    ] {
        let peer = peer.map(|peer| peer.parse().unwrap());
        assert_eq!(access.identify(&headers, peer).await, Ok(expected), "{peer:?}");
    }
    headers.append(user_header.clone(), "root".parse().unwrap());
    assert!(access.identify(&headers, Some("10.1.2.3".parse().unwrap())).await.is_err(), "two names");
    headers.insert(user_header, " ".parse().unwrap());
    assert_eq!(access.identify(&headers, Some("10.1.2.3".parse().unwrap())).await, Ok(Identity::Anonymous));
}
