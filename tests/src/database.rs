//! A database for one test.

#![expect(clippy::unwrap_used, reason = "a test without its database must fail")]

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// A database that no other test uses; it goes with the test.
#[derive(Debug)]
pub struct Database {
    server: String,
    name: String,
    /// Its address.
    pub url: String,
}

impl Database {
    /// Makes one on a server, whose address names any database of it.
    ///
    /// # Panics
    /// If `psql` cannot.
    pub fn new(server: &str) -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("yagura_test_{}_{number}", std::process::id());
        let (address, _) = server.rsplit_once('/').unwrap();
        let database = Self {
            server: server.to_owned(),
            url: format!("{address}/{name}"),
            name,
        };
        assert!(database.ask("CREATE DATABASE"), "psql cannot make one");
        database
    }

    fn ask(&self, what: &str) -> bool {
        let asked = Command::new("psql")
            .args([&self.server, "--quiet", "--command"])
            .arg(format!("{what} {}", self.name))
            .status();
        asked.is_ok_and(|status| status.success())
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // The service that used it may have been killed a moment ago.
        let _ = Command::new("psql")
            .args([&self.server, "--quiet", "--command"])
            .arg(format!(
                "DROP DATABASE IF EXISTS {} WITH (FORCE)",
                self.name
            ))
            .status();
    }
}
