//! Who a pack is: the `[pack]` table of its manifest.

use std::collections::BTreeMap;

use semver::{Version, VersionReq};
use serde::{Deserialize, Serialize};

use crate::diagnostic::{Code, Diagnostic, Key};
use crate::names::did_you_mean;

/// Versions of the plugin contract that this version of Yagura loads: the folders under `wit/`.
pub const CONTRACTS: [&str; 1] = ["0.1.0"];

/// Longest name of a pack, in bytes.
const NAME_BYTES: usize = 64;

/// Names that Windows keeps for devices: a pack's directory bears the pack's name.
const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];

/// The `[pack]` table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Name of the pack: lower-case letters and digits, in groups that are joined by `-`.
    pub name: String,
    /// Semantic version of the pack, such as `1.4.0`.
    pub version: String,
    /// Versions of the plugin contract that the pack can do with: `0.1.0` is that and what is compatible with it.
    pub api: String,
    /// One line for a reader.
    #[serde(default)]
    pub description: String,
    /// SPDX expression, such as `Apache-2.0 OR MIT`.
    #[serde(default)]
    pub license: String,
    /// Whom to ask.
    #[serde(default)]
    pub maintainers: Vec<String>,
    /// Packs that this one needs, each with the versions that will do: `aws = ">=0.2, <0.4"`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dependencies: BTreeMap<String, String>,
}

impl Identity {
    /// Returns the version; nothing for a pack that was not checked and whose version is none.
    pub fn semver(&self) -> Option<Version> {
        Version::parse(&self.version).ok()
    }

    /// Returns the packs that this one needs with the versions that will do, in order of name.
    pub fn requirements(&self) -> Vec<(&str, VersionReq)> {
        self.dependencies
            .iter()
            .filter_map(|(name, versions)| Some((name.as_str(), versions.parse().ok()?)))
            .collect()
    }

    /// Returns the newest version of the plugin contract that both the pack and this version of Yagura know.
    pub fn contract(&self) -> Option<Version> {
        let range: VersionReq = self.api.parse().ok()?;
        CONTRACTS
            .iter()
            .filter_map(|known| known.parse().ok())
            .filter(|known| range.matches(known))
            .max()
    }

    /// Returns the first thing that is wrong, if anything is; its key begins with `pack`.
    pub fn problem(&self) -> Option<Diagnostic> {
        self.check().err().map(|problem| *problem)
    }

    fn check(&self) -> Result<(), Box<Diagnostic>> {
        let wrong = |code, key: &Key, message: String| {
            let problem = Diagnostic::error(code, message).at(key.clone());
            Err(Box::new(problem.under(&Key::top("pack"))))
        };
        let problem = |code, key: &str, message| wrong(code, &Key::top(key), message);
        if let Some(reason) = name_problem(&self.name) {
            return problem(
                Code::InvalidName,
                "name",
                format!("`{}` {reason}", self.name),
            );
        }
        if let Err(error) = Version::parse(&self.version) {
            let message = format!(
                "`{}` is not a semantic version ({error}): write three numbers, such as `1.0.0`",
                self.version
            );
            return problem(Code::InvalidVersion, "version", message);
        }
        if let Err(error) = self.api.parse::<VersionReq>() {
            let message = format!(
                "`{}` is not a range of versions ({error}): write `{}`",
                self.api, CONTRACTS[0]
            );
            return problem(Code::InvalidVersion, "api", message);
        }
        if self.contract().is_none() {
            let message = format!(
                "is `{}`, which this version of yagura does not know: write `{}`",
                self.api, CONTRACTS[0]
            );
            return problem(Code::InvalidVersion, "api", message);
        }
        if !self.license.is_empty()
            && let Some(message) = license_problem(&self.license)
        {
            return problem(Code::InvalidLicense, "license", message);
        }
        let is_line = |text: &str| !text.trim().is_empty() && !text.chars().any(char::is_control);
        if let Some(person) = self.maintainers.iter().find(|person| !is_line(person)) {
            let message = format!("names {person:?}: write a name or an address, in one line");
            return problem(Code::InvalidValue, "maintainers", message);
        }
        for (name, versions) in &self.dependencies {
            let key = Key::top("dependencies").name(name);
            if let Some(reason) = name_problem(name) {
                return wrong(
                    Code::InvalidName,
                    &key,
                    format!("is not the name of a pack: it {reason}"),
                );
            }
            if *name == self.name {
                let message = "is the pack itself: take it out".to_owned();
                return wrong(Code::InvalidDependency, &key, message);
            }
            if let Err(error) = versions.parse::<VersionReq>() {
                let message = format!(
                    "`{versions}` is not a range of versions ({error}): write one such as `>=0.2, <0.4` or `^1.2`"
                );
                return wrong(Code::InvalidVersion, &key, message);
            }
        }
        Ok(())
    }
}

/// Returns what keeps a text from being the name of a pack, if anything does.
pub fn name_problem(name: &str) -> Option<String> {
    let plain = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    if name.is_empty() || !name.split('-').all(plain) {
        return Some(
            "is not a name: use lower-case letters and digits, in groups joined by one `-`"
                .to_owned(),
        );
    }
    if name.len() > NAME_BYTES {
        return Some(format!(
            "has {} letters, and at most {NAME_BYTES} are allowed",
            name.len()
        ));
    }
    let number = |prefix: &str| {
        name.strip_prefix(prefix)
            .is_some_and(|rest| rest.len() == 1 && rest.bytes().all(|byte| byte.is_ascii_digit()))
    };
    if DEVICES.contains(&name) || number("com") || number("lpt") {
        return Some("is the name of a device on Windows: add a word to it".to_owned());
    }
    None
}

/// Licences that packs have most, for near names.
const LICENSES: [&str; 10] = [
    "0BSD",
    "AGPL-3.0-only",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC-BY-4.0",
    "GPL-3.0-only",
    "ISC",
    "MIT",
    "MPL-2.0",
];

fn license_problem(license: &str) -> Option<String> {
    let error = spdx::Expression::parse(license).err()?;
    let found = license.get(error.span.clone()).unwrap_or(license);
    let near = did_you_mean(found, LICENSES);
    Some(format!(
        "`{license}` is not an SPDX expression ({} at `{found}`{near}): write one such as `Apache-2.0`, or \
         `LicenseRef-NAME` for a licence of your own",
        error.reason
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(lines: &str) -> Identity {
        let mut table: toml::Table =
            toml::from_str("name = \"p\"\nversion = \"0.1.0\"\napi = \"0.1.0\"\n").unwrap();
        table.extend(toml::from_str::<toml::Table>(lines).unwrap());
        table.try_into().unwrap()
    }

    fn problem(lines: &str) -> String {
        identity(lines).problem().unwrap().to_string()
    }

    #[test]
    fn what_packs_have_today_is_right() {
        for lines in [
            "name = \"three-languages-go\"\nlicense = \"Apache-2.0\"\nmaintainers = [\"The Yagura authors\"]",
            "license = \"Apache-2.0 OR MIT\"",
            "license = \"LicenseRef-Proprietary\"",
            "version = \"1.0.0-rc.1+build.5\"",
            "api = \">=0.1, <0.3\"",
            "[dependencies]\naws = \"^0.1\"\nbase = \"*\"",
        ] {
            assert_eq!(identity(lines).problem(), None, "{lines}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_what_to_write() {
        for name in ["", "A", "a_b", "-a", "a-", "a--b", "a/b", "ä", "../x"] {
            let message = problem(&format!("name = \"{name}\""));
            assert!(message.contains("is not a name"), "{message}");
        }
        assert_eq!(
            problem("name = \"com1\""),
            "`pack.name` `com1` is the name of a device on Windows: add a word to it"
        );
        let long = "a".repeat(65);
        assert!(
            problem(&format!("name = \"{long}\""))
                .contains("has 65 letters, and at most 64 are allowed")
        );
        assert_eq!(
            problem("version = \"1.0\""),
            "`pack.version` `1.0` is not a semantic version (unexpected end of input while parsing minor version number): \
             write three numbers, such as `1.0.0`"
        );
        assert_eq!(
            problem("api = \"0.2.0\""),
            "`pack.api` is `0.2.0`, which this version of yagura does not know: write `0.1.0`"
        );
        let message = problem("license = \"Apache 2\"");
        assert!(message.contains("did you mean `Apache-2.0`?"), "{message}");
        assert!(problem("maintainers = [\"a\\nb\"]").contains("in one line"));
        assert!(problem("[dependencies]\np = \"*\"").contains("is the pack itself"));
        assert!(
            problem("[dependencies]\nx = \"one\"")
                .starts_with("`pack.dependencies.x` `one` is not a range of versions")
        );
        assert!(
            problem("[dependencies]\nX = \"1\"")
                .starts_with("`pack.dependencies.X` is not the name of a pack")
        );
    }

    #[test]
    fn a_range_picks_the_contract() {
        assert_eq!(identity("").contract(), Some(Version::new(0, 1, 0)));
        assert_eq!(
            identity("api = \">=0.1.0, <0.9\"").contract(),
            Some(Version::new(0, 1, 0))
        );
        assert_eq!(identity("api = \">=0.2\"").contract(), None);
    }
}
