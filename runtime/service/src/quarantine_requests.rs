//! Requests to end the quarantine of rules, from `yagura quarantine clear` to the service: a file each in a directory of its state.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The directory's name in that of the state.
const DIRECTORY: &str = "quarantine";

/// A request: its file, and the rule's id.
#[derive(Debug, PartialEq, Eq)]
pub struct QuarantineRequest {
    file: PathBuf,
    /// The rule's id.
    pub rule: String,
}

impl QuarantineRequest {
    /// Removes the request. One that cannot be removed is logged, and read again at the next start.
    pub fn done(&self) {
        if let Err(error) = fs::remove_file(&self.file) {
            tracing::error!(file = %self.file.display(), %error, "cannot remove a request that was handled; remove the file by hand");
        }
    }
}

/// Makes the directory for requests, so that it is the service's own: whoever else asks may be another user.
pub fn prepare(state: &Path) {
    let dir = state.join(DIRECTORY);
    if let Err(error) = fs::create_dir_all(&dir) {
        tracing::error!(dir = %dir.display(), %error, "no quarantine can be cleared");
    }
}

/// Writes a request to end a rule's quarantine. Whoever reads it finds it whole.
pub fn write(state: &Path, rule: &str) -> Result<()> {
    let dir = state.join(DIRECTORY);
    let write_file = || -> io::Result<()> {
        fs::create_dir_all(&dir)?;
        let mut file = tempfile::Builder::new()
            .prefix("clear-")
            .suffix(".part")
            .tempfile_in(&dir)?;
        file.write_all(rule.as_bytes())?;
        // A temporary file is for its owner alone; this one is for the service.
        #[cfg(unix)]
        file.as_file()
            .set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
        file.as_file().sync_all()?;
        let name = file.path().with_extension("rule");
        file.persist(name).map_err(|error| error.error)?;
        Ok(())
    };
    write_file().with_context(|| format!("cannot write into {}", dir.display()))
}

/// Returns the requests that can be read; the others are logged.
pub fn pending(state: &Path) -> Vec<QuarantineRequest> {
    let dir = state.join(DIRECTORY);
    let entries = fs::read_dir(&dir).into_iter().flatten().flatten();
    let files = entries.map(|entry| entry.path());
    let files = files.filter(|file| {
        file.extension()
            .is_some_and(|extension| extension == "rule")
    });
    let mut requests: Vec<QuarantineRequest> = files
        .filter_map(|file| match fs::read(&file) {
            Ok(rule) => {
                let rule = String::from_utf8_lossy(&rule).trim().to_owned();
                Some(QuarantineRequest { file, rule })
            }
            Err(error) => {
                tracing::error!(file = %file.display(), %error, "cannot read a request to end a quarantine");
                None
            }
        })
        .collect();
    requests.sort_by(|a, b| a.file.cmp(&b.file));
    requests
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_until_they_are_done() {
        let state = tempfile::tempdir().unwrap();
        assert_eq!(pending(state.path()), []);
        write(state.path(), "pack/rule").unwrap();
        write(state.path(), "other").unwrap();
        let requests = pending(state.path());
        let mut rules: Vec<&str> = requests
            .iter()
            .map(|request| request.rule.as_str())
            .collect();
        rules.sort_unstable();
        assert_eq!(rules, ["other", "pack/rule"]);
        for request in requests {
            request.done();
        }
        assert_eq!(pending(state.path()), []);
    }
}
