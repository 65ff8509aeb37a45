//! An Azurite server for tests: Microsoft's emulator of Azure's object store and its queues, from npm, on loopback.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::guests;
use crate::postgres::free_port;
use crate::run::run;
use crate::server::Server;
use yagura_toolchain::{cache_dir, on_path};

/// Tells the tests where the server is.
pub(crate) const URL: &str = "YAGURA_TEST_AZURITE";
/// Tells them where its queues are.
pub(crate) const QUEUE_URL: &str = "YAGURA_TEST_AZURITE_QUEUE";

/// The version that the tests were written with.
const PACKAGE: &str = "azurite@3";

/// A server that stops when it is dropped.
pub(crate) struct Azurite {
    _server: Server,
    /// Where tests find it.
    pub(crate) url: String,
    /// Where they find its queues.
    pub(crate) queue_url: String,
}

impl Azurite {
    /// Starts a server, after installing it where there is none.
    ///
    /// # Errors
    /// Why there can be none here, and what to do.
    pub(crate) fn start() -> Result<Self> {
        let program = program()?;
        let (port, queue_port, table_port) = (free_port()?, free_port()?, free_port()?);
        let server = Server::start("azurite", &program, &[port, queue_port], |command, dir| {
            command
                .args(["--silent", "--skipApiVersionCheck", "--disableTelemetry"])
                .args(["--blobPort", &port.to_string()])
                .args(["--queuePort", &queue_port.to_string()])
                .args(["--tablePort", &table_port.to_string()])
                .arg("--location")
                .arg(dir.join("data"));
        })?;
        Ok(Self {
            url: format!("http://127.0.0.1:{port}/devstoreaccount1"),
            queue_url: format!("http://127.0.0.1:{queue_port}/devstoreaccount1"),
            _server: server,
        })
    }
}

/// Returns the server's program: that on the path, else one that is kept beside the other tools.
fn program() -> Result<PathBuf> {
    if let Some(found) = on_path("azurite") {
        return Ok(found);
    }
    let dir = cache_dir().join("tools").join("azurite");
    let program = dir.join("node_modules/.bin/azurite");
    if !program.is_file() {
        guests::install("npm").context(
            "the tests of Azure need `azurite` on the path, or npm to install it, or a server in YAGURA_TEST_AZURITE",
        )?;
        fs::create_dir_all(&dir)?;
        run(Command::new("npm")
            .args(["install", "--no-audit", "--no-fund", "--prefix"])
            .arg(&dir)
            .arg(PACKAGE))?;
    }
    Ok(program)
}
