//! The fake is held to what was proven of real Swift.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

#[path = "support/common.rs"]
mod common;

use common::Cluster;
use wharfinger_fake_swift::{Options, Pipeline};
use wharfinger_test_support::{Needs, Probe, facts, prove_facts};

#[test]
fn what_is_true_of_real_swift_is_true_of_the_fake_with_slo_and_bulk() {
    let swift = Cluster::start();
    prove_facts(&swift.fake.url(), &swift.token, &[Needs::Slo, Needs::Bulk]);
}

#[test]
fn what_is_true_of_real_swift_is_true_of_the_fake_without_slo_and_bulk() {
    let swift = Cluster::with(Options { pipeline: Pipeline::NoSloNoBulk, ..Options::default() });
    prove_facts(&swift.fake.url(), &swift.token, &[]);
}

#[test]
fn what_is_true_of_skewed_clocks_is_true_of_the_fake() {
    let swift = Cluster::with(Options { client_timestamps: true, ..Options::default() });
    for fact in facts().into_iter().filter(|fact| fact.needs == Needs::ClientTimestamps) {
        (fact.prove)(&Probe::new(&swift.fake.url(), &swift.token));
    }
}
