//! Packs as an author makes them.

#![expect(
    clippy::unwrap_used,
    reason = "a test whose pack cannot be made or read must fail"
)]

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::command::{Ran, yagura};

/// A pack in a directory of its own.
#[derive(Debug)]
pub struct Pack {
    _dir: tempfile::TempDir,
    /// Where it is.
    pub path: PathBuf,
}

impl Pack {
    /// Makes one with `yagura new`.
    pub fn new(language: &str) -> Self {
        Self::of_world(language, "detector")
    }

    /// Makes one whose plugin is of this world.
    pub fn of_world(language: &str, world: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("logins");
        let place = path.to_str().unwrap();
        yagura(&["new", "--lang", language, "--world", world, place]).must_work();
        Self { _dir: dir, path }
    }

    /// Runs `yagura test` on it.
    pub fn test(&self, more: &[&str]) -> Ran {
        let mut arguments = vec!["test", self.path.to_str().unwrap()];
        arguments.extend(more);
        yagura(&arguments)
    }

    /// Returns the text of one of its files.
    pub fn read(&self, file: &str) -> String {
        fs::read_to_string(self.path.join(file)).unwrap()
    }

    /// Replaces a text in one of its files, which must hold it.
    pub fn replace(&self, file: &str, from: &str, to: &str) {
        let text = self.read(file);
        assert!(text.contains(from), "{file} has no {from}: {text}");
        fs::write(self.path.join(file), text.replace(from, to)).unwrap();
    }
}

/// The lines of `--format json`.
pub fn lines(ran: &Ran) -> Vec<Value> {
    ran.stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}
