//! Lock files of Rust, Go and Python.

use packageurl::PackageUrl;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{hash, property};
use crate::Digest;

/// The kind of registry of Go modules.
const GO: &str = "golang";

/// A library that a lock file names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LockedLibrary {
    /// Kind of registry, as package URLs call it.
    pub(super) kind: &'static str,
    /// Name there.
    pub(super) name: String,
    /// Version, where it is pinned.
    pub(super) version: Option<String>,
    /// SHA-256 digests that it may have, hexadecimal.
    pub(super) sha256: Vec<String>,
    /// The digest of a Go module's files, in Go's own notation.
    pub(super) h1: Option<String>,
}

impl LockedLibrary {
    /// Returns the package URL (purl).
    pub(super) fn purl(&self) -> Result<String, packageurl::Error> {
        // The path of a Go module is a namespace and a name.
        let (namespace, name) = match self.name.rsplit_once('/') {
            Some((namespace, name)) if self.kind == GO => (Some(namespace), name),
            _ => (None, self.name.as_str()),
        };
        let mut purl = PackageUrl::new(self.kind, name)?;
        if let Some(namespace) = namespace {
            purl.with_namespace(namespace)?;
        }
        if let Some(version) = &self.version {
            purl.with_version(version.as_str())?;
        }
        Ok(purl.to_string())
    }

    /// Returns the component of the list, by its package URL.
    pub(super) fn component(&self, purl: &str) -> Value {
        let mut component = json!({
            "type": "library",
            "bom-ref": purl,
            "name": self.name,
            "purl": purl,
        });
        if let Some(version) = &self.version {
            component["version"] = version.clone().into();
        }
        // Several digests are those of several files, one for each platform: which was taken is not known.
        if let [one] = self.sha256.as_slice()
            && Digest::parse(one).is_some()
        {
            component["hashes"] = json!([hash(one)]);
        }
        if let Some(h1) = &self.h1 {
            component["properties"] = json!([property("go:sum", h1)]);
        }
        component
    }
}

/// Reads a lock file by its name below the source folder; `has` says whether another file is there too.
pub(super) fn read(
    name: &str,
    text: &str,
    has: impl Fn(&str) -> bool,
) -> Result<Vec<LockedLibrary>, toml::de::Error> {
    let (folder, name) = name.rsplit_once('/').unwrap_or(("", name));
    let has = |other: &str| match folder {
        "" => has(other),
        folder => has(&format!("{folder}/{other}")),
    };
    match name {
        "Cargo.lock" => toml_lock("cargo", text),
        "uv.lock" | "poetry.lock" => toml_lock("pypi", text),
        "go.sum" => Ok(go_sum(text)),
        "go.mod" if !has("go.sum") => Ok(go_mod(text)),
        _ if name.starts_with("requirements") && name.ends_with(".txt") => Ok(requirements(text)),
        _ => Ok(Vec::new()),
    }
}

#[derive(Deserialize)]
struct TomlLock {
    #[serde(default)]
    package: Vec<TomlPackage>,
}

#[derive(Deserialize)]
struct TomlPackage {
    name: String,
    version: Option<String>,
    checksum: Option<String>,
}

fn toml_lock(kind: &'static str, text: &str) -> Result<Vec<LockedLibrary>, toml::de::Error> {
    let lock: TomlLock = toml::from_str(text)?;
    let packages = lock.package.into_iter().map(|package| LockedLibrary {
        kind,
        name: package.name,
        version: package.version,
        sha256: package.checksum.into_iter().collect(),
        h1: None,
    });
    Ok(packages.collect())
}

fn go_sum(text: &str) -> Vec<LockedLibrary> {
    let lines = text.lines().filter_map(|line| {
        let mut parts = line.split_whitespace();
        let (name, version, h1) = (parts.next()?, parts.next()?, parts.next()?);
        // The digest of a go.mod alone: such a module was looked at, not built.
        (!version.ends_with("/go.mod")).then(|| go(name, version, Some(h1)))
    });
    lines.collect()
}

fn go_mod(text: &str) -> Vec<LockedLibrary> {
    let mut packages = Vec::new();
    let mut in_block = false;
    for line in text.lines() {
        let line = line.split("//").next().unwrap_or_default().trim();
        let entry = match (in_block, line) {
            (false, "require (") => {
                in_block = true;
                continue;
            }
            (true, ")") => {
                in_block = false;
                continue;
            }
            (true, entry) => Some(entry),
            (false, line) => line.strip_prefix("require "),
        };
        let mut parts = entry.unwrap_or_default().split_whitespace();
        if let (Some(name), Some(version)) = (parts.next(), parts.next()) {
            packages.push(go(name, version, None));
        }
    }
    packages
}

fn go(name: &str, version: &str, h1: Option<&str>) -> LockedLibrary {
    LockedLibrary {
        kind: GO,
        name: name.to_owned(),
        version: Some(version.to_owned()),
        sha256: Vec::new(),
        h1: h1.map(str::to_owned),
    }
}

fn requirements(text: &str) -> Vec<LockedLibrary> {
    let joined = text.replace("\\\n", " ").replace("\\\r\n", " ");
    let lines = joined.lines().filter_map(|line| {
        let line = line.split(" #").next().unwrap_or_default().trim();
        if line.is_empty() || line.starts_with(['-', '#']) {
            return None;
        }
        let (requirement, options) = line.split_once(" --").unwrap_or((line, ""));
        let requirement = requirement.split(';').next().unwrap_or_default().trim();
        let end = requirement
            .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')))
            .unwrap_or(requirement.len());
        let name = requirement[..end].to_lowercase().replace(['_', '.'], "-");
        let version = requirement.split_once("==");
        let hashes = options.split("hash=sha256:").skip(1);
        Some(LockedLibrary {
            kind: "pypi",
            name,
            version: version.map(|(_, version)| version.trim().to_owned()),
            sha256: hashes
                .filter_map(|hash| hash.split_whitespace().next())
                .map(str::to_owned)
                .collect(),
            h1: None,
        })
    });
    lines.filter(|package| !package.name.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn purls(name: &str, text: &str) -> Vec<String> {
        let packages = read(name, text, |_| false).unwrap();
        let purls = packages.iter().map(|package| package.purl().unwrap());
        purls.collect()
    }

    #[test]
    fn requirements_are_read_with_their_digests() {
        let text = "# pinned\nRequests[socks]==2.32.0 ; python_version > '3.8' \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n\
                    -r other.txt\nzope.interface>=5\nyaml_x==1.0  # why\n";
        let packages = read("requirements-dev.txt", text, |_| false).unwrap();
        assert_eq!(packages[0].sha256, ["aa", "bb"]);
        assert_eq!(
            purls("requirements.txt", text),
            [
                "pkg:pypi/requests@2.32.0",
                "pkg:pypi/zope-interface",
                "pkg:pypi/yaml-x@1.0"
            ]
        );
    }

    #[test]
    fn go_modules_are_read_from_sums_or_else_from_the_module() {
        let module = "module x\ngo 1.25\nrequire example.org/a v1.0.0\nrequire (\n\texample.org/b/v2 v2.0.0 // indirect\n)\n";
        assert_eq!(
            purls("go.mod", module),
            [
                "pkg:golang/example.org/a@v1.0.0",
                "pkg:golang/example.org/b/v2@v2.0.0"
            ]
        );
        let beside = read("sub/go.mod", module, |other| other == "sub/go.sum").unwrap();
        assert_eq!(beside, []);
    }

    #[test]
    fn python_locks_are_read() {
        let text = "version = 1\n[[package]]\nname = \"idna\"\nversion = \"3.7\"\nsource = { registry = \"https://pypi.org/simple\" }\n";
        assert_eq!(purls("uv.lock", text), ["pkg:pypi/idna@3.7"]);
        assert_eq!(purls("src/main.py", "x"), [""; 0]);
    }
}
