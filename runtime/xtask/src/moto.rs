//! A moto server for tests: Amazon's S3, SNS and SQS on loopback, from PyPI.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::guests;
use crate::postgres::free_port;
use crate::run::{run, status};
use crate::server::Server;
use yagura_toolchain::{cache_dir, on_path};

/// Tells the tests where the server is.
pub(crate) const URL: &str = "YAGURA_TEST_MOTO";

/// The version that the tests were written with.
const PACKAGE: &str = "moto[server]==5.*";

/// A server that stops when it is dropped.
pub(crate) struct Moto {
    _server: Server,
    /// Where tests find it.
    pub(crate) url: String,
}

impl Moto {
    /// Starts a server, after installing it where there is none.
    ///
    /// # Errors
    /// Why there can be none here, and what to do.
    pub(crate) fn start() -> Result<Self> {
        let program = program()?;
        let port = free_port()?;
        let server = Server::start("moto", &program, &[port], |command, _| {
            command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        })?;
        Ok(Self {
            url: format!("http://127.0.0.1:{port}"),
            _server: server,
        })
    }
}

/// Returns the server's program: that on the path, else one that is kept beside the other tools.
fn program() -> Result<PathBuf> {
    if let Some(found) = on_path("moto_server") {
        return Ok(found);
    }
    let dir = cache_dir().join("tools").join("moto");
    let program = dir.join("bin/moto_server");
    if !program.is_file() {
        let venv = || {
            let mut command = Command::new("python3");
            command.args(["-m", "venv"]).arg(&dir);
            command
        };
        if on_path("python3").is_none() || !status(&mut venv())?.success() {
            for mut command in
                guests::apt("apt-get install -y --no-install-recommends python3 python3-venv")
            {
                // The environment that is made next has the last word.
                status(&mut command)?;
            }
            run(&mut venv()).context(
                "the tests of SQS need `moto_server` on the path, or Python to install it, or a server in YAGURA_TEST_MOTO",
            )?;
        }
        run(Command::new(dir.join("bin/pip")).args(["install", "--quiet", PACKAGE]))?;
    }
    Ok(program)
}
