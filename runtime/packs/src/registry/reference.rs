//! References to packs in a registry: registry, repository, and version or digest.

use std::fmt;
use std::net::IpAddr;

use semver::Version;
use yagura_core::identity::name_problem;

use crate::Digest;

/// A reference to packs in a registry: `registry.example.org/team/aws`, with `:1.2.0` or `@sha256:…`, and `oci://` before it
/// where one likes. Without either it is all versions of a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Host, with a port where it has one.
    pub registry: String,
    /// Path there; its last part is the pack's name.
    pub repository: String,
    /// Which one.
    pub at: VersionSelector,
}

/// Which of the packs in a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VersionSelector {
    /// The newest version that is no preview.
    Newest,
    /// This version.
    Version(Version),
    /// The image with this digest.
    Digest(Digest),
}

/// Why a text is not a reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a reference to a registry: {reason}; write one such as `registry.example.org/team/aws:1.2.0`"
)]
pub struct ReferenceError {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Reference {
    /// Reads a reference.
    ///
    /// # Errors
    /// [`ReferenceError`].
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        let fail = |reason: &str| {
            Err(ReferenceError {
                text: text.to_owned(),
                reason: reason.to_owned(),
            })
        };
        let rest = text.strip_prefix("oci://").unwrap_or(text);
        if rest.contains("://") {
            return fail("the only scheme is `oci://`");
        }
        let Some((registry, path)) = rest.split_once('/') else {
            return fail("it has no path");
        };
        let is_host =
            |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
        if registry.is_empty() || !registry.chars().all(is_host) {
            return fail("it does not begin with a host");
        }
        let (repository, at) = if let Some((repository, digest)) = path.split_once('@') {
            match Digest::parse_tagged(digest) {
                Some(digest) => (repository, VersionSelector::Digest(digest)),
                None => return fail("there is no `sha256:` digest after `@`"),
            }
        } else if let Some((repository, version)) = path.split_once(':') {
            match Version::parse(version) {
                Ok(version) => (repository, VersionSelector::Version(version)),
                Err(_) => return fail("there is no version of three numbers after `:`"),
            }
        } else {
            (path, VersionSelector::Newest)
        };
        let is_part = |part: &str| {
            let is_letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
            part.bytes().next().is_some_and(is_letter)
                && part.bytes().last().is_some_and(is_letter)
                && part
                    .bytes()
                    .all(|b| is_letter(b) || matches!(b, b'-' | b'_' | b'.'))
        };
        if !repository.split('/').all(is_part) || repository.len() > 200 {
            return fail("its path is not of lower-case letters, digits, `-`, `_`, `.` and `/`");
        }
        let reference = Self {
            registry: registry.to_owned(),
            repository: repository.to_owned(),
            at,
        };
        match name_problem(reference.pack()) {
            Some(reason) => fail(&format!("`{}` at its end {reason}", reference.pack())),
            None => Ok(reference),
        }
    }

    /// Returns the name of the pack.
    pub fn pack(&self) -> &str {
        let name = self.repository.rsplit('/').next();
        name.unwrap_or(&self.repository)
    }

    /// Returns where another pack lies beside this one.
    pub fn beside(&self, pack: &str, at: VersionSelector) -> Self {
        let repository = match self.repository.rsplit_once('/') {
            Some((folder, _)) => format!("{folder}/{pack}"),
            None => pack.to_owned(),
        };
        Self {
            registry: self.registry.clone(),
            repository,
            at,
        }
    }

    /// Returns the same repository with another version.
    pub(super) fn at(&self, at: VersionSelector) -> Self {
        Self { at, ..self.clone() }
    }

    /// Says whether the registry is on this machine, where plain HTTP is nobody's to read.
    pub fn is_loopback(&self) -> bool {
        let host = match self.registry.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => host,
            _ => self.registry.as_str(),
        };
        let host = host.trim_matches(['[', ']']);
        host == "localhost"
            || host
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "oci://{}/{}", self.registry, self.repository)?;
        match &self.at {
            VersionSelector::Newest => Ok(()),
            VersionSelector::Version(version) => write!(f, ":{version}"),
            VersionSelector::Digest(digest) => write!(f, "@{}", digest.tagged()),
        }
    }
}

/// Returns a version as a tag; tags have no `+`.
pub(super) fn tag(version: &Version) -> String {
    version.to_string().replace('+', "_")
}

/// Returns the version of a tag, if it is one.
pub(super) fn version(tag: &str) -> Option<Version> {
    Version::parse(&tag.replace('_', "+")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_and_written() {
        for text in [
            "oci://registry.example.org/team/aws",
            "oci://localhost:5000/aws:1.2.0-rc.1+b.2",
            "oci://[::1]:5000/a/b/c-d:0.1.0",
        ] {
            assert_eq!(Reference::parse(text).unwrap().to_string(), text);
        }
        let reference = Reference::parse("127.0.0.1:5000/team/aws:1.0.0").unwrap();
        assert!(reference.is_loopback());
        assert_eq!(reference.pack(), "aws");
        assert_eq!(
            reference
                .beside("base", VersionSelector::Newest)
                .to_string(),
            "oci://127.0.0.1:5000/team/base"
        );
        for far in [
            "10.0.0.1/aws",
            "localhost.evil.org/aws",
            "127.0.0.1.nip.io:80/aws",
        ] {
            assert!(!Reference::parse(far).unwrap().is_loopback(), "{far}");
        }
        let version = Version::parse("1.0.0-a+b").unwrap();
        assert_eq!(tag(&version), "1.0.0-a_b");
        assert_eq!(super::version(&tag(&version)), Some(version));
        assert_eq!(super::version("latest"), None);
    }

    #[test]
    fn a_text_that_is_not_a_reference_is_refused() {
        for (text, reason) in [
            ("aws", "it has no path"),
            ("https://a.org/aws", "the only scheme"),
            ("a.org/aws:latest", "three numbers"),
            ("a.org/aws@sha256:12", "digest"),
            ("a.org/../aws", "its path"),
            ("a.org/Team/aws", "its path"),
            ("a.org/team/a_b", "is not a name"),
            ("user:pw@a.org/aws", "does not begin with a host"),
        ] {
            let message = Reference::parse(text).unwrap_err().to_string();
            assert!(message.contains(reason), "{text}: {message}");
        }
    }
}
