//! A registry for tests: Debian's `docker-registry` (package docker-registry), which keeps no lists of referrers, on loopback.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot set up its registry must fail"
)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

const WHY: &str = "install the Debian package docker-registry";

/// A registry on a free port of loopback; it ends with the test.
#[derive(Debug)]
pub struct RegistryServer {
    child: Child,
    /// Host and port.
    pub address: String,
    /// Its directory; `data` in it holds what was pushed.
    pub dir: TempDir,
}

impl RegistryServer {
    /// Starts a registry, and waits until it listens.
    ///
    /// # Panics
    ///
    /// If `docker-registry` is not installed or does not start.
    pub fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let address = format!("127.0.0.1:{port}");
        let config = format!(
            "version: 0.1\nlog:\n  level: info\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: {address}\n",
            dir.path().join("data").display()
        );
        let file = dir.path().join("config.yml");
        fs::write(&file, config).unwrap();
        let mut child = Command::new("docker-registry")
            .arg("serve")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect(WHY);
        // It prints where it listens, and stops if nobody reads what it prints afterwards.
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let listens = lines
            .by_ref()
            .map_while(Result::ok)
            .any(|line| line.contains("listening on"));
        assert!(listens, "docker-registry ended before it listened");
        std::thread::spawn(move || lines.map_while(Result::ok).count());
        Self {
            child,
            address,
            dir,
        }
    }
}

impl Drop for RegistryServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
