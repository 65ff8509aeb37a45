//! Packs: a directory of rules, plugins and tests with one manifest.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::capability::line_of_capability;
use crate::case::InlineTest;
use crate::files;
pub use crate::identity::{Identity, IdentityProblem};
use crate::names::did_you_mean;
use crate::shown::without_controls;
use crate::time::parse_duration;
use crate::{CapabilityRequest, FieldPath, Grants, Rule};

/// A pack as read from its directory; every rule was checked by itself.
#[derive(Debug, Clone)]
pub struct Pack {
    /// The directory.
    pub dir: PathBuf,
    /// `pack.toml`.
    pub manifest: Manifest,
    /// The rules, in order of id.
    pub rules: Vec<PackRule>,
}

/// A rule and the file it stands in.
#[derive(Debug, Clone)]
pub struct PackRule {
    /// The rule.
    pub rule: Rule,
    /// The file, for messages.
    pub file: PathBuf,
    /// The test cases in the file.
    pub tests: Vec<InlineTest>,
}

/// `pack.toml`.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Who the pack is.
    pub pack: Identity,
    /// The plugins, by `[[plugin]]`.
    #[serde(default, rename = "plugin")]
    pub plugins: Vec<PluginManifest>,
}

/// A `[[plugin]]` table.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PluginManifest {
    /// File name of the component, as rules refer to it.
    pub file: String,
    /// The world it exports.
    pub world: World,
    /// Directory of its source inside the pack, for `yagura build`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<PathBuf>,
    /// Handed to the plugin as JSON when it is opened.
    #[serde(default)]
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub config: toml::Table,
    /// What one instance and one call may use.
    #[serde(default)]
    pub limits: Limits,
    /// What it asks to reach; an operator grants it or does not.
    #[serde(default, skip_serializing_if = "CapabilityRequest::is_empty")]
    pub request: CapabilityRequest,
}

/// The worlds of the plugin contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum World {
    /// Evaluates events.
    Detector,
    /// Adds facts to an alert.
    Enricher,
    /// Evaluates an alert.
    Reviewer,
    /// Tells people.
    Notifier,
    /// Turns raw bytes into events.
    Normalizer,
}

impl World {
    /// Returns the world's name in the contract.
    pub fn name(self) -> &'static str {
        match self {
            Self::Detector => "detector",
            Self::Enricher => "enricher",
            Self::Reviewer => "reviewer",
            Self::Notifier => "notifier",
            Self::Normalizer => "normalizer",
        }
    }
}

/// What one instance of a plugin and one call of it may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Wall-clock time of one call: a number and `ms`, `s`, `m`, `h` or `d`.
    pub time: String,
    /// Linear memory of one instance, in MiB.
    pub memory_mib: u64,
    /// What one call may return, in MiB.
    pub output_mib: u64,
    /// Log lines of one call; further ones are counted and dropped.
    pub log_lines: u32,
    /// What the names and values of all entries of one partition key may have, in KiB.
    pub state_kib: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            time: "10s".to_owned(),
            memory_mib: 256,
            output_mib: 16,
            log_lines: 100,
            state_kib: 64,
        }
    }
}

impl Limits {
    /// Returns each limit with its key, as it is written in TOML.
    pub fn written(&self) -> [(&'static str, String); 5] {
        [
            ("time", format!("{:?}", self.time)),
            ("memory_mib", self.memory_mib.to_string()),
            ("output_mib", self.output_mib.to_string()),
            ("log_lines", self.log_lines.to_string()),
            ("state_kib", self.state_kib.to_string()),
        ]
    }

    /// Returns the time of one call in microseconds; a pack that was read always has one.
    pub fn time_micros(&self) -> i64 {
        parse_duration(&self.time).unwrap_or(10_000_000)
    }
}

/// Why a pack cannot be read. Every variant names the file.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// The directory or a file in it cannot be read.
    #[error("cannot read {}", .file.display())]
    Read {
        /// What was read.
        file: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// There is no `pack.toml`.
    #[error("{} is not a pack: it {}", .dir.display(), if .dir.is_file() { "is a file; name the directory that holds pack.toml" } else { "has no pack.toml" })]
    NotAPack {
        /// The directory.
        dir: PathBuf,
    },
    /// Not TOML, an unknown key or a value of the wrong type; the message holds line, column and the text there.
    #[error("{}: {message}", .file.display())]
    Toml {
        /// The file.
        file: PathBuf,
        /// Place, text and reason.
        message: String,
    },
    /// A value is not allowed.
    #[error("{}{}: `{key}` {message}", .file.display(), .line.map(|l| format!(":{l}")).unwrap_or_default())]
    Value {
        /// The file.
        file: PathBuf,
        /// Line of the key, from one, where it is known.
        line: Option<usize>,
        /// The key, dotted.
        key: String,
        /// What is wrong and what to write instead.
        message: String,
    },
}

/// A rule file: a `.toml` in `rules/` or a folder below.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleFile {
    /// The rule.
    pub rule: Rule,
    /// Its test cases, by `[[test]]`.
    #[serde(default, rename = "test")]
    pub tests: Vec<InlineTest>,
}

impl Pack {
    /// Reads the pack in `dir`: its manifest and the rules in `rules/` and the folders below.
    pub fn read(dir: &Path) -> Result<Self, PackError> {
        let manifest_file = dir.join("pack.toml");
        if !manifest_file.is_file() {
            if !dir.exists() {
                return Err(PackError::Read {
                    file: dir.to_owned(),
                    source: std::io::ErrorKind::NotFound.into(),
                });
            }
            return Err(PackError::NotAPack {
                dir: dir.to_owned(),
            });
        }
        let text = read(&manifest_file)?;
        let manifest = Manifest::read(&manifest_file, &text)?;

        let rules_dir = dir.join("rules");
        let mut files = Vec::new();
        if rules_dir.is_dir() {
            collect_rules(&rules_dir, &mut files)?;
        }
        files.sort();
        let mut rules: BTreeMap<String, PackRule> = BTreeMap::new();
        for file in files {
            let text = read(&file)?;
            let RuleFile { rule, tests } = parse_rule(&file, &text)?;
            if let Some(plugin) = &rule.plugin {
                manifest.check_plugin(&file, &text, plugin)?;
            }
            if let Some(first) = rules.get(&rule.id) {
                return Err(value(
                    &file,
                    &text,
                    "rule.id",
                    format!("`{}` is also the id in {}", rule.id, first.file.display()),
                ));
            }
            rules.insert(rule.id.clone(), PackRule { rule, file, tests });
        }
        Ok(Self {
            dir: dir.to_owned(),
            manifest,
            rules: rules.into_values().collect(),
        })
    }
}

impl Manifest {
    /// Bounds the limits of all plugins by what is granted to the pack, or usual.
    pub fn bound(&mut self, grants: &Grants) {
        for plugin in &mut self.plugins {
            let most = grants.most_limits(&self.pack.name, plugin.world);
            plugin.limits = most.bound(&plugin.limits);
        }
    }

    /// Reads `pack.toml` from its text; `file` is for messages.
    ///
    /// # Errors
    /// [`PackError::Toml`] or [`PackError::Value`], with the line.
    pub fn read(file: &Path, text: &str) -> Result<Self, PackError> {
        let manifest: Self = parse(file, text)?;
        manifest.check(file, text)?;
        Ok(manifest)
    }

    fn check(&self, file: &Path, text: &str) -> Result<(), PackError> {
        if let Some(problem) = self.pack.problem() {
            let key = format!("pack.{}", problem.key);
            return Err(value(file, text, &key, problem.message));
        }
        for plugin in &self.plugins {
            if plugin.file.contains(['/', '\\']) || plugin.file.is_empty() {
                let message = format!(
                    "`{}` is not a file name: plugins lie at the top of the pack",
                    plugin.file
                );
                return Err(value(file, text, "plugin.file", message));
            }
            if let Err(error) = parse_duration(&plugin.limits.time) {
                return Err(value(file, text, "plugin.limits.time", error.to_string()));
            }
            for (key, number) in [
                ("plugin.limits.memory_mib", plugin.limits.memory_mib),
                ("plugin.limits.output_mib", plugin.limits.output_mib),
            ] {
                if !(1..=4096).contains(&number) {
                    let message = format!("is {number}: write a number of MiB from 1 to 4096");
                    return Err(value(file, text, key, message));
                }
            }
            let state_kib = plugin.limits.state_kib;
            if !(1..=65_536).contains(&state_kib) {
                let message = format!("is {state_kib}: write a number of KiB from 1 to 65536");
                return Err(value(file, text, "plugin.limits.state_kib", message));
            }
            if let Some(problem) = plugin.request.problem(plugin.world) {
                return Err(PackError::Value {
                    file: file.to_owned(),
                    line: line_of_capability(text, &problem),
                    key: format!("plugin.request.{}", problem.key),
                    message: problem.message,
                });
            }
        }
        Ok(())
    }

    fn check_plugin(&self, file: &Path, text: &str, name: &str) -> Result<(), PackError> {
        match self.plugins.iter().find(|plugin| plugin.file == name) {
            Some(plugin) if plugin.world == World::Detector => Ok(()),
            Some(plugin) => Err(value(
                file,
                text,
                "rule.plugin",
                format!(
                    "`{name}` is of the world `{}`: a rule needs a `detector`",
                    plugin.world.name()
                ),
            )),
            None => {
                let known = self.plugins.iter().map(|plugin| plugin.file.as_str());
                Err(value(
                    file,
                    text,
                    "rule.plugin",
                    format!(
                        "`{name}` has no [[plugin]] in pack.toml{}",
                        did_you_mean(name, known)
                    ),
                ))
            }
        }
    }
}

/// Reads one rule and its test cases from the text of its file and checks them by themselves.
pub fn parse_rule(file: &Path, text: &str) -> Result<RuleFile, PackError> {
    let RuleFile { rule, tests } = parse(file, text)?;
    if let Some(problem) = rule.problem() {
        return Err(value(
            file,
            text,
            &format!("rule.{}", problem.key),
            problem.message,
        ));
    }
    let read: Vec<FieldPath> = rule.read_paths();
    let condition = rule.condition.as_deref().unwrap_or_default();
    let unused = rule.optional.iter().find(|path| {
        !read.contains(path)
            && !condition.contains(path.segments()[path.segments().len() - 1].as_str())
    });
    if let Some(path) = unused {
        let names: Vec<String> = read.iter().map(ToString::to_string).collect();
        let near = did_you_mean(&path.to_string(), names.iter().map(String::as_str));
        return Err(value(
            file,
            text,
            "rule.optional",
            format!("names `{path}`, which the rule does not use{near}"),
        ));
    }
    let mut names = BTreeSet::new();
    for test in &tests {
        let twice = !names.insert(&test.name);
        let twice = twice.then(|| ("name", "is also the name of another case".to_owned()));
        if let Some((key, message)) = test.problem().or(twice) {
            let message = format!("of the case `{}` {message}", test.name);
            return Err(value(file, text, &format!("test.{key}"), message));
        }
    }
    Ok(RuleFile { rule, tests })
}

/// Adds the files of rules in a folder and in those below.
fn collect_rules(dir: &Path, files: &mut Vec<PathBuf>) -> Result<(), PackError> {
    let read_error = |source| PackError::Read {
        file: dir.to_owned(),
        source,
    };
    for entry in fs::read_dir(dir).map_err(read_error)? {
        let path = entry.map_err(read_error)?.path();
        if path.is_dir() {
            collect_rules(&path, files)?;
        } else if path.extension().is_some_and(|ext| ext == "toml") {
            files.push(path);
        }
    }
    Ok(())
}

fn read(file: &Path) -> Result<String, PackError> {
    files::read_text(file).map_err(|source| PackError::Read {
        file: file.to_owned(),
        source,
    })
}

/// Reads a TOML file of ours; an unknown key is an error that names near ones.
///
/// # Errors
/// [`PackError::Toml`] with line, column and the text there.
pub fn parse<T: serde::de::DeserializeOwned>(file: &Path, text: &str) -> Result<T, PackError> {
    toml::from_str(text).map_err(|error: toml::de::Error| PackError::Toml {
        file: file.to_owned(),
        message: without_controls(&format!(
            "{}{}",
            error.to_string().trim_end(),
            unknown_field_hint(error.message())
        )),
    })
}

/// Serde's message for an unknown field names it first and all known ones after; this names the near ones.
fn unknown_field_hint(message: &str) -> String {
    if !message.starts_with("unknown field") && !message.starts_with("unknown variant") {
        return String::new();
    }
    let mut quoted = message.split('`').skip(1).step_by(2);
    quoted
        .next()
        .map(|wanted| did_you_mean(wanted, quoted))
        .unwrap_or_default()
}

fn value(file: &Path, text: &str, key: &str, message: String) -> PackError {
    PackError::Value {
        file: file.to_owned(),
        line: line_of(text, key),
        key: key.to_owned(),
        message,
    }
}

/// Finds the line on which the last segment of a dotted key is set.
fn line_of(text: &str, key: &str) -> Option<usize> {
    let last = key.rsplit('.').next()?;
    text.lines()
        .position(|line| {
            let line = line.trim_start();
            line.strip_prefix(last)
                .is_some_and(|rest| rest.trim_start().starts_with('='))
                || line.trim_end() == format!("[{key}]")
        })
        .map(|index| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: &str = "[rule]\nid = \"a-b\"\ntitle = \"t\"\ntable = \"x\"\nwhere = \"a = 1\"\n";

    fn message(text: &str) -> String {
        parse_rule(Path::new("rules/a.toml"), text)
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn an_unknown_key_names_file_line_and_near_key() {
        let text = RULE.replace("where", "wehre");
        let message = message(&text);
        assert!(message.starts_with("rules/a.toml: "), "{message}");
        assert!(message.contains("line 5"), "{message}");
        assert!(message.contains("did you mean `where`?"), "{message}");
    }

    #[test]
    fn a_wrong_value_names_file_line_and_key() {
        assert_eq!(
            message(&RULE.replace("a-b", "A B")),
            "rules/a.toml:2: `rule.id` `A B` is not an id: use lower-case letters, digits and `-`"
        );
        let window = format!("{RULE}[rule.alert]\nwindow = \"1w\"\n");
        assert!(
            message(&window)
                .starts_with("rules/a.toml:7: `rule.alert.window` `1w` is not a duration"),
            "{}",
            message(&window)
        );
        let none = RULE.replace("where = \"a = 1\"\n", "");
        assert!(message(&none).contains("every event"), "{}", message(&none));
    }

    #[test]
    fn a_limit_of_the_state_is_checked() {
        let manifest = |kib: &str| -> Result<(), PackError> {
            let text = format!(
                "[pack]\nname = \"p\"\nversion = \"0.1.0\"\napi = \"0.1.0\"\n[[plugin]]\nfile = \"a.wasm\"\n\
                 world = \"detector\"\n[plugin.limits]\nstate_kib = {kib}\n"
            );
            let file = Path::new("pack.toml");
            Manifest::read(file, &text).map(|_| ())
        };
        for kib in ["1", "65536"] {
            manifest(kib).unwrap();
        }
        for kib in ["0", "65537"] {
            assert_eq!(
                manifest(kib).unwrap_err().to_string(),
                format!(
                    "pack.toml:9: `plugin.limits.state_kib` is {kib}: write a number of KiB from 1 to 65536"
                )
            );
        }
    }

    #[test]
    fn what_a_plugin_wants_is_checked_with_its_line() {
        let manifest = |world: &str, request: &str| -> Result<(), PackError> {
            let text = format!(
                "[pack]\nname = \"p\"\nversion = \"0.1.0\"\napi = \"0.1.0\"\n[[plugin]]\nfile = \"a.wasm\"\n\
                 world = \"{world}\"\n[plugin.request]\n{request}\n"
            );
            let file = Path::new("pack.toml");
            parse::<Manifest>(file, &text)?.check(file, &text)
        };
        manifest("enricher", "http = [\"https://a.example\"]").unwrap();
        assert_eq!(
            manifest(
                "enricher",
                "http = [\n\"https://a.example\",\n\"a.example\"]"
            )
            .unwrap_err()
            .to_string(),
            "pack.toml:11: `plugin.request.http` names `a.example`, which is not a server: write `https://` and its name"
        );
        assert_eq!(
            manifest("detector", "lookups = [\"t\"]")
                .unwrap_err()
                .to_string(),
            "pack.toml:9: `plugin.request.lookups` is not for this plugin: those of the world `detector` reach nothing but \
             their log"
        );
    }

    #[test]
    fn an_optional_path_must_be_used() {
        let text = format!("{RULE}columns = [\"user_name\"]\noptional = [\"usr_name\"]\n");
        assert!(
            message(&text).contains("did you mean `user_name`?"),
            "{}",
            message(&text)
        );
        let in_where = format!("{RULE}optional = [\"a\"]\n");
        assert!(parse_rule(Path::new("r"), &in_where).is_ok());
    }
}
