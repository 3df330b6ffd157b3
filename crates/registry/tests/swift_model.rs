//! The promises, against a model: clients push, pull and delete by way of two instances on one hostile Swift, and
//! whatever was acknowledged is there, whatever is read is right, whatever was deleted is gone.
//!
//! `WHARFINGER_TEST_SEED` replays one seed, `WHARFINGER_TEST_STEPS` changes how long a run is. What a seed decides is
//! the setup, the actions and the faults; requests that go side by side may meet the faults in another order.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]
#![allow(clippy::needless_pass_by_value, reason = "an action is used up by being done")]
#![allow(
    clippy::disallowed_methods,
    reason = "steps are taken on a thread of their own, no reactor is blocked"
)]

#[path = "swift_model/action.rs"]
mod action;
#[path = "swift_model/audit.rs"]
mod audit;
#[path = "swift_model/calm.rs"]
mod calm;
#[path = "swift_model/draw.rs"]
mod draw;
#[path = "swift_model/known.rs"]
mod known;
#[path = "swift_model/pool.rs"]
mod pool;
#[path = "swift_model/run.rs"]
mod run;
#[path = "swift_model/world.rs"]
mod world;

use std::time::Instant;

use wharfinger_fake_swift::Pipeline;

use run::Run;
use world::Setup;

/// Seeds of each run in CI: with and without rot, clocks together, a little and minutes apart.
const SEEDS: [u64; 3] = [1, 4, 8];
/// Actions of a run.
const STEPS: u64 = 1_500;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn promises_hold(pipeline: Pipeline) {
    let seeds = number("WHARFINGER_TEST_SEED").map_or(SEEDS.to_vec(), |seed| vec![seed]);
    let steps = number("WHARFINGER_TEST_STEPS").unwrap_or(STEPS);
    for seed in seeds {
        let setup = Setup::new(seed, pipeline);
        println!("{steps} steps of {setup:?}: WHARFINGER_TEST_SEED={seed}");
        let started = Instant::now();
        let mut run = Run::new(setup);
        run.storm(steps);
        let left = run.calm();
        println!(
            "{:?}: {:?}, {} faults, {} requests, left for garbage collection: {left:?}",
            started.elapsed(),
            run.counts,
            run.fake.events().len(),
            run.fake.requests().len(),
        );
    }
}

#[test]
fn the_promises_hold_on_a_hostile_swift() {
    promises_hold(Pipeline::Full);
}

#[test]
fn the_promises_hold_on_a_hostile_swift_without_slo_and_bulk() {
    promises_hold(Pipeline::NoSloNoBulk);
}
