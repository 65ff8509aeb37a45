//! A server for tests: a process on loopback with a folder of its own.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How long a server may take to start.
const START: Duration = Duration::from_secs(60);

/// A server that stops when it is dropped, and takes its folder with it.
pub(crate) struct Server {
    process: Child,
    dir: PathBuf,
}

impl Server {
    /// Starts a program, and waits until all ports are open. `arguments` adds what the program needs, in a folder of its own.
    ///
    /// # Errors
    /// A program that cannot be started or ends, with what it printed.
    pub(crate) fn start(
        name: &str,
        program: &Path,
        ports: &[u16],
        arguments: impl FnOnce(&mut Command, &Path),
    ) -> Result<Self> {
        let dir = std::env::temp_dir().join(format!("yagura-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let log = fs::File::create(dir.join("log"))?;
        let mut command = Command::new(program);
        arguments(&mut command, &dir);
        let process = command
            .current_dir(&dir)
            .stdin(Stdio::null())
            .stderr(log.try_clone()?)
            .stdout(log)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let mut server = Self { process, dir };
        let start = Instant::now();
        let is_open = |port: &u16| TcpStream::connect(("127.0.0.1", *port)).is_ok();
        while !ports.iter().all(is_open) {
            if server.process.try_wait()?.is_some() || start.elapsed() > START {
                let log = fs::read_to_string(server.dir.join("log")).unwrap_or_default();
                bail!("{name} does not start:\n{log}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}
