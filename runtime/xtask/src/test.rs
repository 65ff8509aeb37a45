//! `cargo xtask test`: the whole suite.

use anyhow::Result;

use crate::guests;
use crate::run::{cargo, root, run};

/// Arguments of the task.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Handed to `cargo test`, for instance the name of a test
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

pub(crate) fn run_task(arguments: &Arguments) -> Result<()> {
    let toolchain = guests::toolchain()?;
    println!("Wasm toolchain: {toolchain}");
    let modules = guests::build_test_guests(&toolchain)?;
    guests::build_all_packs()?;
    run_tests(
        cargo()
            .arg("test")
            .arg("--workspace")
            .env(guests::GUESTS, modules),
        arguments,
    )?;
    // The packs' code once more, natively: it is a workspace of its own.
    let plugins = root().join("plugins/Cargo.toml");
    run_tests(
        cargo().arg("test").arg("--manifest-path").arg(plugins),
        arguments,
    )
}

fn run_tests(command: &mut std::process::Command, arguments: &Arguments) -> Result<()> {
    run(command.args(&arguments.arguments))
}
