//! `storage.redirect`, and the keys of Distribution's Swift driver that are about temporary URLs.

use std::time::Duration;

use crate::config::access::Glob;
use crate::config::redirect::{Redirect, RedirectRule};
use crate::config::storage::StorageMode;
use crate::read::Reader;
use crate::tree::Node;
use crate::value::{Size, quoted};

const RULES: &str = "storage.redirect.rules";
const SECRET: &str = "storage.swift.secretkey";
/// How long a URL may be good for.
const LIFETIMES: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(86_400);

pub(super) fn redirect(reader: &mut Reader<'_, '_>, mode: StorageMode) -> Redirect {
    let redirect = Redirect {
        disabled: reader.value("storage.redirect.disable"),
        rules: reader.sections(RULES, rule).unwrap_or_default(),
        min_size: min_size(reader),
        lifetime: lifetime(reader),
        base_url: base_url(reader),
        proxies: reader.list("storage.redirect.proxies").unwrap_or_default(),
    };
    let swift = reader.has("storage.swift");
    if !redirect.rules.is_empty() {
        warn_of_rules(reader, &redirect, swift, mode);
    }
    if swift && (redirect.rules.is_empty() || redirect.disabled) {
        for key in [SECRET, "storage.swift.tempurlcontainerkey"] {
            if given(reader, key) {
                reader.warn(key, format!("has no effect without {RULES}: every byte is sent from here"));
            }
        }
    }
    redirect
}

fn given(reader: &Reader<'_, '_>, path: &str) -> bool {
    reader.node(path).is_some_and(Node::says_something)
}

fn warn_of_rules(reader: &mut Reader<'_, '_>, redirect: &Redirect, swift: bool, mode: StorageMode) {
    if redirect.disabled {
        reader.warn(RULES, "has no effect: storage.redirect.disable says that none are sent");
    } else if !swift {
        reader.warn(RULES, "has no effect without storage.swift: only Swift can be read by clients");
    } else if mode == StorageMode::Observe && !given(reader, SECRET) {
        let message = "has no effect: with storage.mode observe no key is set in Swift; give the one that it knows \
                       in storage.swift.secretkey";
        reader.warn(RULES, message);
    }
}

fn rule(reader: &mut Reader<'_, '_>) -> Option<RedirectRule> {
    let repositories = filled::<Glob>(reader, "repositories");
    let networks = filled(reader, "networks");
    Some(RedirectRule {
        repositories: repositories?.into_iter().map(|Glob(pattern)| pattern).collect(),
        networks: networks?,
    })
}

fn filled<T: crate::value::FromScalar>(reader: &mut Reader<'_, '_>, name: &str) -> Option<Vec<T>> {
    let list = reader.list(name);
    if !given(reader, name) {
        let message = "every rule needs repositories and networks, neither of them empty; everybody is \
                       [0.0.0.0/0, \"::/0\"]";
        reader.error(name, message);
    }
    list
}

fn min_size(reader: &mut Reader<'_, '_>) -> u64 {
    let Size(size) = reader.value("storage.redirect.min_size");
    size
}

fn lifetime(reader: &mut Reader<'_, '_>) -> Duration {
    const LIFETIME: &str = "storage.redirect.lifetime";
    let lifetime: Duration = reader.value(LIFETIME);
    if !LIFETIMES.contains(&lifetime) {
        reader.error(LIFETIME, "has to be between 1s and 24h");
    }
    lifetime
}

fn base_url(reader: &mut Reader<'_, '_>) -> Option<String> {
    const BASE: &str = "storage.redirect.base_url";
    let url: String = reader.optional(BASE)?;
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let plain = |text: &str| text.chars().all(|c| c.is_ascii_graphic() && !"?#@\"<>\\^`{|}".contains(c));
    if !rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/') && plain(rest)) {
        let message = format!("has to be a URL such as https://swift.example.org, not {}", quoted(&url));
        reader.error(BASE, message);
    }
    Some(url.trim_end_matches('/').to_owned())
}
