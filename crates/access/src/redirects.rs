//! Who is sent to the store itself: by repository, and by where the client is.

use std::net::IpAddr;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use http::HeaderMap;
use ipnet::IpNet;
use wharfinger_oci::RepositoryName;

use crate::AccessError;
use crate::proxies::{Proxies, is_within};

/// One rule as configured.
#[derive(Clone, Debug, Default)]
pub struct RedirectRule {
    /// Globs over repository names; `*` matches slashes too.
    pub repositories: Vec<String>,
    /// Where the clients are.
    pub networks: Vec<IpNet>,
}

/// The rules, compiled. Any of them will do.
#[derive(Clone, Debug)]
pub struct RedirectRules {
    rules: Vec<(GlobSet, Vec<IpNet>)>,
    proxies: Proxies,
}

/// What the rules say of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redirected {
    /// No rule is for this repository.
    OtherRepository,
    /// None that is for the repository is for this client.
    OtherNetwork,
    /// The client may be sent to the store, as whoever comes from these networks.
    Listed,
    /// The same, and so may everybody else.
    Everybody,
}

impl RedirectRules {
    /// Compiles the rules. Of what comes from one of the `proxies`, `X-Forwarded-For` says where the client is.
    pub fn new(rules: &[RedirectRule], proxies: Proxies) -> Result<RedirectRules, AccessError> {
        let compile = |(index, rule): (usize, &RedirectRule)| {
            let wrong = |pattern: &str, error: &globset::Error| AccessError::Redirect {
                rule: index,
                reason: format!("{pattern:?}: {}", error.kind()),
            };
            let mut set = GlobSetBuilder::new();
            for pattern in &rule.repositories {
                let glob = GlobBuilder::new(pattern).literal_separator(false).build();
                set.add(glob.map_err(|error| wrong(pattern, &error))?);
            }
            let set = set.build().map_err(|error| wrong("repositories", &error))?;
            Ok((set, rule.networks.clone()))
        };
        let rules = rules.iter().enumerate().map(compile).collect::<Result<_, _>>()?;
        Ok(RedirectRules { rules, proxies })
    }

    /// Whether a pull from `name` may be answered by a URL of the store. `peer` is the other end of the connection.
    pub fn judge(&self, name: &RepositoryName, headers: &HeaderMap, peer: Option<IpAddr>) -> Redirected {
        let mut found = Redirected::OtherRepository;
        let mut client = None;
        for (repositories, networks) in &self.rules {
            if !repositories.is_match(name.as_str()) {
                continue;
            }
            if is_everybody(networks) {
                return Redirected::Everybody;
            }
            let client = *client.get_or_insert_with(|| self.proxies.client(headers, peer));
            if client.is_some_and(|client| is_within(networks, client)) {
                found = Redirected::Listed;
            } else if found == Redirected::OtherRepository {
                found = Redirected::OtherNetwork;
            }
        }
        found
    }
}

fn is_everybody(networks: &[IpNet]) -> bool {
    let all =
        |four: bool| networks.iter().any(|net| net.prefix_len() == 0 && matches!(net, IpNet::V4(_)) == four);
    all(true) && all(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(rules: &[(&[&str], &[&str])], proxies: &[&str]) -> RedirectRules {
        let nets = |list: &[&str]| list.iter().map(|net| net.parse().unwrap()).collect::<Vec<IpNet>>();
        let one = |(repositories, networks): &(&[&str], &[&str])| RedirectRule {
            repositories: repositories.iter().map(|glob| (*glob).to_owned()).collect(),
            networks: nets(networks),
        };
        RedirectRules::new(&rules.iter().map(one).collect::<Vec<_>>(), Proxies::new(nets(proxies))).unwrap()
    }

    fn judge(rules: &RedirectRules, name: &str, peer: &str, forwarded: &[&str]) -> Redirected {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        rules.judge(&RepositoryName::parse(name).unwrap(), &headers, peer.parse().ok())
    }

    #[test]
    fn repository_and_network_have_to_be_of_one_rule() {
        let rules = rules(&[(&["ml/*"], &["10.0.0.0/8"]), (&["ml/big", "x"], &["192.0.2.7/32"])], &[]);
        for (name, peer, expected) in [
            ("ml/a/b", "10.1.2.3", Redirected::Listed),
            ("ml/a/b", "::ffff:10.1.2.3", Redirected::Listed),
            ("ml/a/b", "192.0.2.7", Redirected::OtherNetwork),
            ("ml/big", "192.0.2.7", Redirected::Listed),
            ("x", "10.1.2.3", Redirected::OtherNetwork),
            ("y", "10.1.2.3", Redirected::OtherRepository),
            ("ml/a", "a socket", Redirected::OtherNetwork),
        ] {
            assert_eq!(judge(&rules, name, peer, &["10.0.0.1"]), expected, "{name} {peer}");
        }
    }

    #[test]
    fn behind_a_proxy_the_last_address_that_is_none_of_ours_is_the_clients() {
        let rules = rules(&[(&["*"], &["10.0.0.0/8"])], &["127.0.0.1/32", "192.0.2.0/24"]);
        for (peer, forwarded, expected) in [
            ("127.0.0.1", &["10.1.1.1"][..], Redirected::Listed),
            ("127.0.0.1", &["10.1.1.1, 203.0.113.9"], Redirected::OtherNetwork),
            ("127.0.0.1", &["203.0.113.9, 10.1.1.1, 192.0.2.4"], Redirected::Listed),
            ("127.0.0.1", &["203.0.113.9", "10.1.1.1:4711"], Redirected::Listed),
            ("127.0.0.1", &["10.1.1.1, unknown"], Redirected::OtherNetwork),
            ("127.0.0.1", &[], Redirected::OtherNetwork),
            ("203.0.113.9", &["10.1.1.1"], Redirected::OtherNetwork),
        ] {
            assert_eq!(judge(&rules, "a", peer, forwarded), expected, "{peer} {forwarded:?}");
        }
    }

    #[test]
    fn everybody_is_who_comes_from_both_kinds_of_addresses() {
        let all = rules(&[(&["a"], &["0.0.0.0/0", "::/0"]), (&["b"], &["0.0.0.0/0"])], &[]);
        assert_eq!(judge(&all, "a", "a socket", &[]), Redirected::Everybody);
        assert_eq!(judge(&all, "b", "203.0.113.9", &[]), Redirected::Listed);
        assert_eq!(judge(&all, "b", "2001:db8::1", &[]), Redirected::OtherNetwork);
    }

    #[test]
    fn a_pattern_that_cannot_be_read_is_named() {
        let rule = RedirectRule { repositories: vec!["a[".to_owned()], networks: Vec::new() };
        let error = RedirectRules::new(&[rule], Proxies::default()).unwrap_err().to_string();
        assert!(error.starts_with("storage.redirect.rules.0.repositories: \"a[\""), "{error}");
    }
}
