//! Tasks of the project: `cargo xtask demo`, `cargo xtask test`, and their parts.
//!
//! Knows how to get a toolchain for Wasm and in which order things are built; runs cargo and `yagura` for all the rest,
//! and prints each command, so that a reader learns it.

#![expect(
    clippy::print_stdout,
    reason = "tasks talk to the person who runs them"
)]

mod azurite;
mod book;
mod demo;
mod deny;
mod examples;
mod fuzz;
mod guests;
mod moto;
mod ocsf;
mod postgres;
mod run;
#[allow(
    dead_code,
    unreachable_pub,
    reason = "the demo uses a part of what it offers"
)]
mod sample;
mod server;
mod test;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Tasks of the project.
#[derive(Parser)]
#[command(name = "cargo xtask", max_term_width = 110)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build everything, make sample logs, ingest them, run the packs and print the alerts
    Demo(demo::Arguments),
    /// Build the guests and run the whole test suite; further arguments go to `cargo test`
    Test(test::Arguments),
    /// Run the tests on real logs, which are not part of the project: $YAGURA_TEST_DATA or ../shared/data
    TestReal,
    /// Build the documentation as a book of HTML pages, and check the links of its pages
    Book,
    /// Look over licences, sources and advisories of dependencies
    Deny,
    /// Look for inputs that do harm to what reads bytes of others
    Fuzz(fuzz::Arguments),
    /// Make the file of the OCSF schema again, from the .tar.gz of a release
    Ocsf(ocsf::Arguments),
    /// Build the packs' plugins and the guests of the tests
    Guests,
    /// Find a toolchain that compiles to Wasm, or install one
    Toolchain,
}

fn main() -> Result<()> {
    match Arguments::parse().task {
        Task::Book => book::run_task(),
        Task::Demo(arguments) => demo::run_task(&arguments),
        Task::Deny => deny::run_task(),
        Task::Fuzz(arguments) => fuzz::run_task(&arguments),
        Task::Ocsf(arguments) => ocsf::run_task(&arguments),
        Task::Test(arguments) => test::run_task(&arguments),
        Task::TestReal => test::run_real(),
        Task::Guests => {
            let toolchain = guests::toolchain()?;
            guests::build_all_packs()?;
            guests::build_test_guests(&toolchain).map(|dir| {
                println!("export {}={}", guests::GUESTS, dir.display());
            })
        }
        Task::Toolchain => guests::toolchain().map(|toolchain| println!("{toolchain}")),
    }
}
