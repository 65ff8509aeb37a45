//! Files of a test.

#![expect(
    clippy::unwrap_used,
    reason = "a test whose files cannot be written must fail"
)]

use std::fs;

/// A directory that goes with the test.
#[derive(Debug)]
pub struct Scratch {
    dir: tempfile::TempDir,
}

impl Scratch {
    /// Makes one.
    #[expect(
        clippy::new_without_default,
        reason = "it makes a directory, which is no default"
    )]
    pub fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    /// Writes a file, in directories that are made for it.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Returns the path of a file as an argument.
    pub fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }
}
