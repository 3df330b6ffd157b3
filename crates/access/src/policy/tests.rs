use std::sync::Arc;

use super::*;

fn rule(repositories: &[&str], who: &[&str], actions: &[Action]) -> Rule {
    Rule {
        repositories: repositories.iter().map(ToString::to_string).collect(),
        who: who.iter().map(|who| who.parse().unwrap()).collect(),
        actions: actions.to_vec(),
    }
}

fn user(name: &str) -> Identity {
    Identity::User(Arc::from(name))
}

fn token(subject: &str) -> Identity {
    Identity::Token { subject: Arc::from(subject), grants: Arc::new([]) }
}

/// The table in the rustdoc of [`PolicyConfig`].
fn documented() -> Policy {
    Policy::new(&PolicyConfig {
        rules: vec![
            rule(&["restricted/*"], &["user:deploy", "user:ci"], &[Action::Pull]),
            rule(&["restricted/*"], &["user:ci"], &[Action::Push, Action::Delete]),
            rule(&["team/*"], &["user:alice"], &[Action::Push, Action::Delete]),
            rule(&["*"], &["anonymous"], &[Action::Pull]),
        ],
        catalog: vec![],
    })
    .unwrap()
}

#[test]
fn the_documented_table_means_what_its_documentation_says() {
    use Action::{Delete, Pull, Push};
    let policy = documented();
    let identities =
        [Identity::Anonymous, user("deploy"), user("ci"), user("alice"), user("bob"), token("ci")];
    // One letter per identity above: y allowed, n refused.
    for (name, action, expected) in [
        ("restricted/a", Pull, "nyynnn"),
        ("restricted/a/b", Pull, "nyynnn"),
        ("restricted/a", Push, "nnynnn"),
        ("restricted/a", Delete, "nnynnn"),
        ("team/app", Pull, "yyyyyy"),
        ("team/app/x", Push, "nnnynn"),
        ("team/app", Delete, "nnnynn"),
        ("team", Push, "nnnnnn"),
        ("restricted", Pull, "yyyyyy"),
        ("restrictedx/a", Pull, "yyyyyy"),
        ("other/app", Pull, "yyyyyy"),
        ("other/app", Push, "nnnnnn"),
        ("other/app", Delete, "nnnnnn"),
    ] {
        let name = RepositoryName::parse(name).unwrap();
        let allowed = |identity| policy.repository(identity, &name, action) == Some(true);
        let actual: String = identities.iter().map(|i| if allowed(i) { 'y' } else { 'n' }).collect();
        assert_eq!(actual, expected, "{action:?} {name}");
    }
    for identity in &identities {
        assert_eq!(policy.catalog(identity), Some(false), "nobody is named for the catalog");
    }
}

#[test]
fn without_rules_the_table_says_nothing() {
    let policy = Policy::new(&PolicyConfig::default()).unwrap();
    let name = RepositoryName::parse("a").unwrap();
    assert_eq!(policy.repository(&Identity::Anonymous, &name, Action::Pull), None);
    assert_eq!(policy.catalog(&Identity::Anonymous), None);
}

#[test]
fn the_first_pattern_decides_whatever_the_later_ones_allow() {
    let policy = Policy::new(&PolicyConfig {
        rules: vec![
            rule(&["a/private"], &["user:bob"], &[Action::Pull]),
            rule(&["a/*"], &["authenticated"], &[Action::Pull]),
            rule(&["a/private"], &["token:robot"], &[Action::Pull]),
        ],
        catalog: vec!["token:robot".parse().unwrap()],
    })
    .unwrap();
    let name = RepositoryName::parse("a/private").unwrap();
    let allowed = |identity: &Identity| policy.repository(identity, &name, Action::Pull) == Some(true);
    assert!(allowed(&user("bob")));
    assert!(allowed(&token("robot")), "a later rule with the same pattern counts");
    assert!(!allowed(&user("alice")));
    assert!(!allowed(&user("robot")), "a user is not the token of that name");
    assert_eq!(policy.catalog(&token("robot")), Some(true));
    assert_eq!(policy.catalog(&user("robot")), Some(false));
}

#[test]
fn a_token_without_a_subject_is_not_authenticated() {
    let policy = Policy::new(&PolicyConfig {
        rules: vec![rule(&["*"], &["authenticated"], &[Action::Pull])],
        catalog: vec![],
    })
    .unwrap();
    let name = RepositoryName::parse("a").unwrap();
    assert_eq!(policy.repository(&token(""), &name, Action::Pull), Some(false));
    assert_eq!(policy.repository(&token("x"), &name, Action::Pull), Some(true));
}

#[test]
fn rules_that_can_never_apply_are_refused_by_number() {
    let good = rule(&["*"], &["anonymous"], &[Action::Pull]);
    for bad in [
        rule(&[], &["anonymous"], &[Action::Pull]),
        rule(&["a"], &["anonymous"], &[]),
        rule(&["a"], &["anonymous"], &[Action::Catalog]),
        rule(&[""], &["anonymous"], &[Action::Pull]),
        rule(&["/a"], &["anonymous"], &[Action::Pull]),
        rule(&["a/"], &["anonymous"], &[Action::Pull]),
        rule(&["Team/*"], &["anonymous"], &[Action::Pull]),
        rule(&["!a"], &["anonymous"], &[Action::Pull]),
        rule(&["a[b"], &["anonymous"], &[Action::Pull]),
    ] {
        let config = PolicyConfig { rules: vec![good.clone(), bad.clone()], catalog: vec![] };
        let error = Policy::new(&config).unwrap_err().to_string();
        assert!(error.starts_with("policy.rules[1]: "), "{bad:?}: {error}");
    }
}
