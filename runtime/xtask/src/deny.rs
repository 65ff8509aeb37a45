//! `cargo xtask deny`: what dependencies may be.

use std::process::Command;

use anyhow::Result;

use crate::run::{root, run, status, tool};
use yagura_toolchain::on_path;

/// The version that is installed where there is none.
const VERSION: &str = "0.20.2";

/// The workspaces with lock files of their own.
const WORKSPACES: [&str; 3] = [
    "Cargo.toml",
    "plugins/Cargo.toml",
    "examples/three-languages/rust/detector/Cargo.toml",
];

pub(crate) fn run_task() -> Result<()> {
    let program = match on_path("cargo-deny") {
        Some(found) => found,
        None => tool("cargo-deny", VERSION, &[])?,
    };
    let deny = |manifest: &str| {
        let mut command = Command::new(&program);
        command
            .current_dir(root())
            .arg("--manifest-path")
            .arg(root().join(manifest))
            .arg("--config")
            .arg(root().join("deny.toml"))
            .arg("check")
            // Not every workspace has all that one of them has.
            .args(["--allow", "unmatched-skip"])
            .args(["--allow", "unnecessary-skip"])
            .args(["--allow", "license-exception-not-encountered"])
            .arg("--hide-inclusion-graph");
        command
    };
    for manifest in WORKSPACES {
        run(deny(manifest).args(["licenses", "bans", "sources"]))?;
    }
    // The list of advisories is fetched from another place than the dependencies.
    if !status(
        Command::new(&program)
            .current_dir(root())
            .args(["fetch", "db"]),
    )?
    .success()
    {
        println!("advisories are left out: their list cannot be fetched from here");
        return Ok(());
    }
    for manifest in WORKSPACES {
        run(deny(manifest).arg("advisories"))?;
    }
    Ok(())
}
