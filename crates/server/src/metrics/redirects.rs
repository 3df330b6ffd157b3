//! Pulls of blobs where redirects are on, by what came of them.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use wharfinger_registry::Kept;

use super::{ResultLabel, Word};

/// What a pull was answered with, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RedirectResult {
    Sent,
    Repository,
    Network,
    Small,
    Cached,
    Unverified,
    Damaged,
    Incomplete,
    Unsigned,
    Unavailable,
}

impl RedirectResult {
    const NAMES: [&str; 10] = [
        "sent",
        "repository",
        "network",
        "small",
        "cached",
        "unverified",
        "damaged",
        "incomplete",
        "unsigned",
        "unavailable",
    ];
}

impl From<Kept> for RedirectResult {
    fn from(kept: Kept) -> RedirectResult {
        match kept {
            Kept::Small => RedirectResult::Small,
            Kept::Cached => RedirectResult::Cached,
            Kept::Unverified => RedirectResult::Unverified,
            Kept::Damaged => RedirectResult::Damaged,
            Kept::Incomplete => RedirectResult::Incomplete,
            Kept::Unsigned => RedirectResult::Unsigned,
            Kept::Unavailable => RedirectResult::Unavailable,
        }
    }
}

pub(super) struct RedirectMetrics(Vec<Counter>);

impl RedirectMetrics {
    pub(super) fn new(registry: &mut Registry) -> RedirectMetrics {
        let results = Family::<ResultLabel, Counter>::default();
        let help = "Pulls of blobs where redirects are on, by what came of them";
        registry.register("wharfinger_redirects", help, results.clone());
        let counter = |name| results.get_or_create(&ResultLabel { result: Word(name) }).clone();
        RedirectMetrics(RedirectResult::NAMES.into_iter().map(counter).collect())
    }

    pub(super) fn count(&self, result: RedirectResult) {
        self.0[result as usize].inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_result_is_counted_under_its_own_name() {
        let mut registry = Registry::default();
        let metrics = RedirectMetrics::new(&mut registry);
        metrics.count(RedirectResult::Sent);
        metrics.count(Kept::Unavailable.into());
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in ["{result=\"sent\"} 1", "{result=\"unavailable\"} 1", "{result=\"damaged\"} 0"] {
            assert!(text.contains(&format!("wharfinger_redirects_total{line}")), "{text}");
        }
    }
}
