//! Packs: a directory of rules, plugins and tests with one manifest.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::case::InlineTest;
use crate::diagnostic::{Code, Diagnostic, Diagnostics, Key};
use crate::duration::TimeSpan;
use crate::files;
pub use crate::identity::Identity;
use crate::names::did_you_mean;
use crate::source::SourceText;
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
    /// The files of its sources, the `.toml` in `sources/` and the folders below, in order of their paths.
    pub sources: Vec<PathBuf>,
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
    pub time: TimeSpan,
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
            time: TimeSpan::from_secs(10),
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
            ("time", format!("\"{}\"", self.time)),
            ("memory_mib", self.memory_mib.to_string()),
            ("output_mib", self.output_mib.to_string()),
            ("log_lines", self.log_lines.to_string()),
            ("state_kib", self.state_kib.to_string()),
        ]
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
    /// A file is not TOML, has an unknown key or a value that is not allowed.
    #[error(transparent)]
    Invalid(#[from] Diagnostics),
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

        let files = toml_files(&dir.join("rules"))?;
        let mut rules: BTreeMap<String, PackRule> = BTreeMap::new();
        for file in files {
            let text = read(&file)?;
            let RuleFile { rule, tests } = parse_rule(&file, &text)?;
            if let Some(plugin) = &rule.plugin {
                let source = SourceText::new(&file, &text);
                let key = Key::written("rule.plugin");
                let found = manifest.plugin_of(plugin, World::Detector, "a rule");
                found.map_err(|found| source.refuse([found.at(key)]))?;
            }
            if let Some(first) = rules.get(&rule.id) {
                let message = format!("`{}` is also the id in {}", rule.id, first.file.display());
                let problem = Diagnostic::error(Code::DuplicateName, message);
                let problem = problem.at(Key::written("rule.id"));
                return Err(SourceText::new(&file, &text).refuse([problem]).into());
            }
            rules.insert(rule.id.clone(), PackRule { rule, file, tests });
        }
        Ok(Self {
            dir: dir.to_owned(),
            manifest,
            rules: rules.into_values().collect(),
            sources: toml_files(&dir.join("sources"))?,
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
    /// [`PackError::Invalid`] with all that is wrong.
    pub fn read(file: &Path, text: &str) -> Result<Self, PackError> {
        let manifest: Self = parse(file, text)?;
        match manifest.problems() {
            problems if problems.is_empty() => Ok(manifest),
            problems => Err(SourceText::new(file, text).refuse(problems).into()),
        }
    }

    /// Returns what is wrong with the manifest by itself.
    fn problems(&self) -> Vec<Diagnostic> {
        let mut problems: Vec<Diagnostic> = self.pack.problem().into_iter().collect();
        for (index, plugin) in self.plugins.iter().enumerate() {
            let key = Key::top("plugin").index(index);
            let found = plugin.problems().into_iter();
            problems.extend(found.map(|problem| problem.under(&key)));
        }
        problems
    }

    /// Returns the plugin of a file name, which must be of a world; `user` is what uses it, such as `a rule`.
    ///
    /// # Errors
    /// What is wrong with the name, without its place.
    pub fn plugin_of(
        &self,
        name: &str,
        world: World,
        user: &str,
    ) -> Result<&PluginManifest, Diagnostic> {
        let wrong = |code, message| Err(Diagnostic::error(code, message));
        match self.plugins.iter().find(|plugin| plugin.file == name) {
            Some(plugin) if plugin.world == world => Ok(plugin),
            Some(plugin) => {
                let message = format!(
                    "`{name}` is of the world `{}`: {user} needs a `{}`",
                    plugin.world.name(),
                    world.name()
                );
                wrong(Code::WrongWorld, message)
            }
            None => {
                let known = self.plugins.iter().map(|plugin| plugin.file.as_str());
                let near = did_you_mean(name, known);
                let message = format!("`{name}` has no [[plugin]] in pack.toml{near}");
                wrong(Code::UnknownReference, message)
            }
        }
    }
}

impl PluginManifest {
    /// Returns what is wrong with the plugin's table by itself; keys are inside `[[plugin]]`.
    fn problems(&self) -> Vec<Diagnostic> {
        let mut problems = Vec::new();
        let mut wrong = |code, key, message: String| {
            problems.push(Diagnostic::error(code, message).at(Key::written(key)));
        };
        if self.file.contains(['/', '\\']) || self.file.is_empty() {
            let message = format!(
                "`{}` is not a file name: plugins lie at the top of the pack",
                self.file
            );
            wrong(Code::InvalidName, "file", message);
        }
        for (key, number, most, unit) in [
            ("limits.memory_mib", self.limits.memory_mib, 4_096, "MiB"),
            ("limits.output_mib", self.limits.output_mib, 4_096, "MiB"),
            ("limits.state_kib", self.limits.state_kib, 65_536, "KiB"),
        ] {
            if !(1..=most).contains(&number) {
                let message = format!("is {number}: write a number of {unit} from 1 to {most}");
                wrong(Code::InvalidValue, key, message);
            }
        }
        let request = self.request.problem(self.world);
        problems.extend(request.map(|problem| problem.under(&Key::top("request"))));
        problems
    }
}

/// Reads one rule and its test cases from the text of its file and checks them by themselves.
///
/// # Errors
/// [`PackError::Invalid`] with all that is wrong.
pub fn parse_rule(file: &Path, text: &str) -> Result<RuleFile, PackError> {
    let RuleFile { rule, tests } = parse(file, text)?;
    let of_rule = rule.problem().or_else(|| unused_field(&rule));
    let of_rule = of_rule.map(|problem| problem.under(&Key::top("rule")));
    let mut problems: Vec<Diagnostic> = of_rule.into_iter().collect();
    let mut names = BTreeSet::new();
    for (index, test) in tests.iter().enumerate() {
        let twice = !names.insert(&test.name);
        let twice = twice.then(|| {
            let message = "is also the name of another case";
            Diagnostic::error(Code::DuplicateName, message).at(Key::top("name"))
        });
        if let Some(mut problem) = test.problem().or(twice) {
            problem.message = format!("of the case `{}` {}", test.name, problem.message);
            problems.push(problem.under(&Key::top("test").index(index)));
        }
    }
    match problems.is_empty() {
        true => Ok(RuleFile { rule, tests }),
        false => Err(SourceText::new(file, text).refuse(problems).into()),
    }
}

/// Returns the first field that is listed as optional and that the rule does not read.
fn unused_field(rule: &Rule) -> Option<Diagnostic> {
    let read: Vec<FieldPath> = rule.read_paths();
    let condition = rule.condition.as_deref().unwrap_or_default();
    let is_unused = |path: &FieldPath| {
        !read.contains(path)
            && !condition.contains(path.segments()[path.segments().len() - 1].as_str())
    };
    let index = rule.optional.iter().position(is_unused)?;
    let path = rule.optional.get(index)?;
    let names: Vec<String> = read.iter().map(ToString::to_string).collect();
    let near = did_you_mean(&path.to_string(), names.iter().map(String::as_str));
    let message = format!("names `{path}`, which the rule does not use{near}");
    let key = Key::top("optional").index(index);
    Some(Diagnostic::error(Code::UnusedField, message).at(key))
}

/// Returns the `.toml` in a folder and in those below, in order of their paths; none where there is no folder.
fn toml_files(dir: &Path) -> Result<Vec<PathBuf>, PackError> {
    let mut files = Vec::new();
    if dir.is_dir() {
        collect_toml(dir, &mut files)?;
    }
    files.sort();
    Ok(files)
}

fn collect_toml(dir: &Path, files: &mut Vec<PathBuf>) -> Result<(), PackError> {
    let read_error = |source| PackError::Read {
        file: dir.to_owned(),
        source,
    };
    for entry in fs::read_dir(dir).map_err(read_error)? {
        let path = entry.map_err(read_error)?.path();
        if path.is_dir() {
            collect_toml(&path, files)?;
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

/// Reads a TOML file of a user; an unknown key is an error that names near ones.
///
/// # Errors
/// [`PackError::Invalid`] with line, column and key.
pub fn parse<T: serde::de::DeserializeOwned>(file: &Path, text: &str) -> Result<T, PackError> {
    Ok(SourceText::new(file, text).toml()?)
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
        assert_eq!(
            message,
            "rules/a.toml:5: `rule.wehre` is not a known key; did you mean `where`?"
        );
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
                    "pack.toml:9: `plugin[1].limits.state_kib` is {kib}: write a number of KiB from 1 to 65536"
                )
            );
        }
    }

    #[test]
    fn the_line_is_that_of_the_plugin_that_is_wrong() {
        let plugin = |file: &str, time: &str| {
            format!(
                "[[plugin]]\nfile = \"{file}\"\nworld = \"detector\"\n[plugin.limits]\ntime = \"{time}\"\n"
            )
        };
        let text = format!(
            "[pack]\nname = \"p\"\nversion = \"0.1.0\"\napi = \"0.1.0\"\n{}{}",
            plugin("a.wasm", "10s"),
            plugin("b.wasm", "soon")
        );
        let error = Manifest::read(Path::new("pack.toml"), &text).unwrap_err();
        let message = error.to_string();
        assert!(
            message.starts_with("pack.toml:14: `plugin[2].limits.time` `soon` is not a duration"),
            "{message}"
        );
    }

    #[test]
    fn all_that_is_wrong_is_reported_at_once() {
        let text = "[pack]\nname = \"P\"\nversion = \"0.1.0\"\napi = \"0.1.0\"\n[[plugin]]\nfile = \"a/b\"\n\
                    world = \"detector\"\nlimits.memory_mib = 0\n";
        let PackError::Invalid(found) = Manifest::read(Path::new("pack.toml"), text).unwrap_err()
        else {
            panic!("it can be read");
        };
        let lines: Vec<Option<usize>> = found.0.iter().map(Diagnostic::line).collect();
        assert_eq!(lines, [Some(2), Some(6), Some(8)], "{found}");
    }

    #[test]
    fn what_a_plugin_requests_is_checked_with_its_line() {
        let manifest = |world: &str, request: &str| -> Result<(), PackError> {
            let text = format!(
                "[pack]\nname = \"p\"\nversion = \"0.1.0\"\napi = \"0.1.0\"\n[[plugin]]\nfile = \"a.wasm\"\n\
                 world = \"{world}\"\n[plugin.request]\n{request}\n"
            );
            let file = Path::new("pack.toml");
            Manifest::read(file, &text).map(|_| ())
        };
        manifest("enricher", "http = [\"https://a.example\"]").unwrap();
        assert_eq!(
            manifest(
                "enricher",
                "http = [\n\"https://a.example\",\n\"a.example\"]"
            )
            .unwrap_err()
            .to_string(),
            "pack.toml:11: `plugin[1].request.http[2]` names `a.example`, which is not a server: write `https://` and its name"
        );
        assert_eq!(
            manifest("detector", "lookups = [\"t\"]")
                .unwrap_err()
                .to_string(),
            "pack.toml:9: `plugin[1].request.lookups` is not for this plugin: those of the world `detector` reach nothing but \
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
