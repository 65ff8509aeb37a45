//! Where a store is.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::AlertStoreError;

/// Where a store is: `sqlite://FILE`, `sqlite::memory:` or `postgres://USER:PASSWORD@HOST/DATABASE`.
///
/// Written out, it has no password.
#[derive(Clone, PartialEq, Eq)]
pub enum StoreLocation {
    /// A file, relative to the working directory unless its path is absolute.
    Sqlite(PathBuf),
    /// Gone when it is closed: for tests of policies.
    Memory,
    /// A database of a server.
    Postgres(String),
}

impl FromStr for StoreLocation {
    type Err = AlertStoreError;

    fn from_str(text: &str) -> Result<Self, AlertStoreError> {
        let text = text.trim();
        if text == "sqlite::memory:" {
            return Ok(Self::Memory);
        }
        let file = text.strip_prefix("sqlite:");
        if let Some(file) = file.map(|file| file.strip_prefix("//").unwrap_or(file))
            && !file.is_empty()
        {
            return Ok(Self::Sqlite(PathBuf::from(file)));
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Ok(Self::Postgres(text.to_owned()));
        }
        Err(AlertStoreError::Location {
            found: without_password(text),
        })
    }
}

impl StoreLocation {
    pub(super) fn is_sqlite(&self) -> bool {
        !matches!(self, Self::Postgres(_))
    }

    /// Returns the file, where it is one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::Sqlite(file) => Some(file),
            _ => None,
        }
    }

    pub(super) fn connections(&self) -> u32 {
        match self {
            Self::Memory => 1,
            Self::Sqlite(_) => 4,
            Self::Postgres(_) => 8,
        }
    }

    /// Returns the address that sqlx reads.
    pub(super) fn url(&self, may_create: bool) -> String {
        match self {
            Self::Memory => "sqlite::memory:".to_owned(),
            Self::Postgres(url) => url.clone(),
            Self::Sqlite(file) => {
                let mut url = "sqlite://".to_owned();
                // Absolute, because the part before the first slash would be taken for a host.
                let file = std::path::absolute(file).unwrap_or_else(|_| file.clone());
                for byte in file.to_string_lossy().bytes() {
                    if byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte) {
                        url.push(char::from(byte));
                    } else {
                        url.push_str(&format!("%{byte:02X}"));
                    }
                }
                url.push_str(if may_create { "?mode=rwc" } else { "?mode=rw" });
                url
            }
        }
    }
}

impl fmt::Display for StoreLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("in memory"),
            Self::Sqlite(file) => write!(f, "{}", file.display()),
            Self::Postgres(url) => f.write_str(&without_password(url)),
        }
    }
}

impl fmt::Debug for StoreLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Location({self})")
    }
}

/// Returns an address without what stands between user and host, and without parameters, where a password may be too.
fn without_password(url: &str) -> String {
    let url = url.split('?').next().unwrap_or_default();
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    match rest.rsplit_once('@') {
        Some((user, host)) => {
            let user = user.split(':').next().unwrap_or_default();
            format!("{scheme}://{user}@{host}")
        }
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_never_shows_its_password() {
        let location: StoreLocation = "postgres://yagura:p@ss:word@db/alerts?password=x"
            .parse()
            .unwrap();
        assert_eq!(location.to_string(), "postgres://yagura@db/alerts");
        assert_eq!(
            format!("{location:?}"),
            "Location(postgres://yagura@db/alerts)"
        );
        let error = "mysql://u:secret@h/d".parse::<StoreLocation>().unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
    }

    #[test]
    fn a_file_may_have_any_name() {
        let location: StoreLocation = "sqlite:///tmp/a b?#%.sqlite".parse().unwrap();
        assert_eq!(
            location.url(true),
            "sqlite:///tmp/a%20b%3F%23%25.sqlite?mode=rwc"
        );
    }
}
