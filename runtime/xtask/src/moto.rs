//! A moto server for tests: Amazon's S3, SNS and SQS on loopback, from PyPI.

use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::guests;
use crate::postgres::free_port;
use crate::run::{run, status};
use yagura_toolchain::{cache_dir, on_path};

/// Tells the tests where the server is.
pub(crate) const URL: &str = "YAGURA_TEST_MOTO";

/// The version that the tests were written with.
const PACKAGE: &str = "moto[server]==5.*";

/// How long the server may take to start.
const START: Duration = Duration::from_secs(60);

/// A server that stops when it is dropped.
pub(crate) struct Moto {
    process: Child,
    dir: PathBuf,
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
        let dir = std::env::temp_dir().join(format!("yagura-moto-{}", std::process::id()));
        fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let port = free_port()?;
        let log = fs::File::create(dir.join("log"))?;
        let process = Command::new(&program)
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .current_dir(&dir)
            .stdin(Stdio::null())
            .stderr(log.try_clone()?)
            .stdout(log)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let mut server = Self {
            process,
            url: format!("http://127.0.0.1:{port}"),
            dir,
        };
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if server.process.try_wait()?.is_some() || start.elapsed() > START {
                let log = fs::read_to_string(server.dir.join("log")).unwrap_or_default();
                bail!("moto does not start:\n{log}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(server)
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.dir);
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
