//! Serves a healthy fake until standard input ends, for trying clients by hand:
//! `cargo run -p wharfinger-fake-swift --example serve [full|no-slo-no-bulk]`.

use std::io::Read;

use wharfinger_fake_swift::{FakeSwift, Options, Pipeline};

fn main() {
    let pipeline = match std::env::args().nth(1).as_deref() {
        Some("no-slo-no-bulk") => Pipeline::NoSloNoBulk,
        _ => Pipeline::Full,
    };
    let fake = FakeSwift::start(Options { pipeline, ..Options::default() });
    println!("auth {} as test:tester with key testing; storage {}", fake.auth_url(), fake.url());
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}
