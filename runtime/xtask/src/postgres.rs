//! A PostgreSQL server for tests: Debian's, on loopback, with a directory of its own.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::guests::{apt, is_root};
use crate::run::{run, status};
use yagura_toolchain::on_path;

/// Tells the tests where the server is.
pub(crate) const URL: &str = "YAGURA_TEST_POSTGRES";

/// The user as whom Debian's server runs: it refuses to be root.
const USER: &str = "postgres";

/// A server that stops when it is dropped.
pub(crate) struct Postgres {
    programs: PathBuf,
    dir: PathBuf,
    /// Where tests find it.
    pub(crate) url: String,
}

impl Postgres {
    /// Starts a server, after installing Debian's where there is none.
    ///
    /// # Errors
    /// Why there can be none here, and what to do.
    pub(crate) fn start() -> Result<Self> {
        let programs = match programs() {
            Some(programs) => programs,
            None => {
                for mut command in apt("apt-get install -y --no-install-recommends postgresql") {
                    if status(&mut command)?.success() {
                        break;
                    }
                }
                programs().context(
                    "there is no PostgreSQL and none can be installed: install the package `postgresql`, or name a server in YAGURA_TEST_POSTGRES",
                )?
            }
        };
        let dir = std::env::temp_dir().join(format!("yagura-postgres-{}", std::process::id()));
        if dir.exists() {
            fs::remove_dir_all(&dir)?;
        }
        fs::create_dir(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        if is_root() {
            run(Command::new("chown").arg(USER).arg(&dir))?;
        }
        let port = free_port()?;
        let data = dir.join("data");
        let server = Self {
            programs,
            url: format!("postgres://{USER}@127.0.0.1:{port}/postgres"),
            dir,
        };
        let mut make = server.command("initdb");
        make.args(["--auth", "trust", "--username", USER, "--encoding", "UTF8"]);
        run(make.arg("--pgdata").arg(&data))?;
        // Nothing of it must last.
        let options = format!(
            "-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories= -c fsync=off"
        );
        let mut start = server.command("pg_ctl");
        start.args(["--wait", "--silent", "--options", &options]);
        start.arg("--log").arg(server.dir.join("log"));
        run(start.arg("--pgdata").arg(&data).arg("start"))?;
        Ok(server)
    }

    /// Returns a command of the server's, as a user whom it accepts.
    fn command(&self, program: &str) -> Command {
        let program = self.programs.join(program);
        let mut command = if is_root() {
            let mut command = Command::new("runuser");
            command.args(["-u", USER, "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir(&self.dir);
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let mut stop = self.command("pg_ctl");
        stop.args(["--mode", "immediate", "--silent", "--pgdata"]);
        // What is left of a server that does not stop is a process of this machine's; there is nobody to tell.
        let _ = status(stop.arg(self.dir.join("data")).arg("stop"));
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Returns the directory of the newest server's programs.
fn programs() -> Option<PathBuf> {
    if let Some(found) = on_path("initdb") {
        return found.parent().map(Path::to_owned);
    }
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    let mut found: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .filter(|(_, programs)| programs.join("initdb").is_file())
        .collect();
    found.sort();
    found.pop().map(|(_, programs)| programs)
}

/// Returns a port of loopback that nobody has.
pub(crate) fn free_port() -> Result<u16> {
    let Ok(listener) = TcpListener::bind(("127.0.0.1", 0)) else {
        bail!("there is no free port on loopback");
    };
    Ok(listener.local_addr()?.port())
}
