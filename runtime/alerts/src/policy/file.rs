//! The policy as a file: read, looked over, and what is wrong brought to its line.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use yagura_core::Timestamp;
use yagura_core::diagnostic::{Diagnostic, Diagnostics, Level};
use yagura_core::pack::{PackError, parse};
use yagura_core::source::SourceText;

use super::{CompiledPolicy, Policy, lint};

/// A policy and the file that it was read from.
#[derive(Debug, Clone)]
pub struct PolicyFile {
    /// The file.
    pub file: PathBuf,
    /// The policy.
    pub policy: Policy,
    text: String,
}

impl Policy {
    /// Reads a policy from its file.
    ///
    /// # Errors
    /// The file cannot be read, is not TOML, or has an unknown key; near keys are named.
    pub fn read(file: &Path) -> Result<PolicyFile, PackError> {
        let text = fs::read_to_string(file).map_err(|source| PackError::Read {
            file: file.to_owned(),
            source,
        })?;
        PolicyFile::parse(file, text)
    }
}

impl PolicyFile {
    /// Reads a policy from the text of its file.
    ///
    /// # Errors
    /// It is not TOML, or has an unknown key; near keys are named.
    pub fn parse(file: &Path, text: String) -> Result<Self, PackError> {
        Ok(Self {
            file: file.to_owned(),
            policy: parse(file, &text)?,
            text,
        })
    }

    /// Makes the policy ready to be asked.
    ///
    /// # Errors
    /// All that is wrong with it, each with its line.
    pub fn compile(&self) -> Result<CompiledPolicy, Diagnostics> {
        CompiledPolicy::compile(&self.policy).map_err(|problems| self.source().refuse(problems.0))
    }

    /// Returns what is wrong or looks wrong, errors first, each with its line.
    ///
    /// `rules` are the ids of all rules, where they are known; `now` says what has expired.
    pub fn lint(&self, rules: Option<&BTreeSet<String>>, now: Timestamp) -> Vec<Diagnostic> {
        let mut problems = CompiledPolicy::compile(&self.policy)
            .err()
            .map(|problems| problems.0)
            .unwrap_or_default();
        problems.extend(lint::problems(&self.policy, rules, now));
        let mut problems = self.source().place_all(problems);
        problems.sort_by_key(|problem| (problem.level, problem.line()));
        problems
    }

    /// Says whether nothing keeps the policy from being used.
    pub fn is_usable(problems: &[Diagnostic]) -> bool {
        problems.iter().all(|problem| problem.level != Level::Error)
    }

    fn source(&self) -> SourceText<'_> {
        SourceText::new(&self.file, &self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> PolicyFile {
        PolicyFile::parse(Path::new("policy.toml"), text.to_owned()).unwrap()
    }

    #[test]
    fn an_unknown_key_names_file_line_and_near_key() {
        let text = "[[route]]\nnotfy = [\"chat\"]\n".to_owned();
        let error = PolicyFile::parse(Path::new("policy.toml"), text).unwrap_err();
        let message = error.to_string();
        assert_eq!(
            message,
            "policy.toml:2: `route[1].notfy` is not a known key; did you mean `notify`?"
        );
        let error = Policy::read(Path::new("/nowhere/policy.toml")).unwrap_err();
        assert!(error.to_string().contains("/nowhere/policy.toml"));
    }

    #[test]
    fn a_suppression_needs_owner_reason_and_end() {
        for (left_out, text) in [
            ("owner", "reason = \"r\"\nexpires = \"2027-01-01\""),
            ("reason", "owner = \"o\"\nexpires = \"2027-01-01\""),
            ("expires", "owner = \"o\"\nreason = \"r\""),
        ] {
            let text = format!("[[suppress]]\nwhen = {{ rules = [\"a\"] }}\n{text}\n");
            let error = PolicyFile::parse(Path::new("policy.toml"), text).unwrap_err();
            let message = error.to_string();
            assert!(
                message.contains(&format!(
                    "policy.toml:1: `suppress[1].{left_out}` is missing"
                )),
                "{message}"
            );
        }
    }

    #[test]
    fn a_text_that_is_not_a_duration_names_its_key() {
        for (text, expected) in [
            (
                "[notifier.chat]\nplugin = \"p/a.wasm\"\nevery = \"0s\"\n",
                "policy.toml:3: `notifier.chat.every` `0s` is not a duration",
            ),
            (
                "[[inhibit]]\nby = {}\nsilences = {}\nwithin = \"1 hour\"\n",
                "policy.toml:4: `inhibit[1].within` `1 hour` is not a duration",
            ),
            (
                "[[enrich]]\nplugin = \"p/a.wasm\"\ndelays = [\"0s\", \"now\"]\n",
                "policy.toml:3: `enrich[1].delays` `now` is not a duration",
            ),
        ] {
            let error = PolicyFile::parse(Path::new("policy.toml"), text.to_owned()).unwrap_err();
            let message = error.to_string();
            assert!(message.starts_with(expected), "{message}");
        }
    }

    #[test]
    fn what_is_wrong_is_brought_to_its_line() {
        let policy = read(
            "[notifier.\"on.call\"]\nplugin = \"p/a.wasm\"\nevery = \"1m\"\n\n[[route]]\nnotify = [\n  \"on.call\",\n  \"nobody\",\n]\n\n[[route]]\nwhen = { hours = [\"8-9\"] }\nnotify = [\"on.call\"]\n\n[[inhibit]]\nby = { severity = \"high\" }\nwithin = \"1h\"\nsilences = { rules = [\"\"] }\n\n[[maintenance]]\nowner = \"o\"\nreason = \"r\"\n",
        );
        let problems = policy.compile().unwrap_err().0;
        let key = |problem: &Diagnostic| problem.key.as_ref().map(ToString::to_string);
        let lines: Vec<_> = problems
            .iter()
            .map(|problem| (key(problem).unwrap_or_default(), problem.line()))
            .collect();
        let expected = [
            ("route[1].notify[2]", 8),
            ("route[2].when.hours[1]", 12),
            ("inhibit[1].silences.rules[1]", 18),
            ("maintenance[1]", 20),
        ];
        let expected = expected.map(|(key, line)| (key.to_owned(), Some(line)));
        assert_eq!(lines, expected);
        let message = problems[0].to_string();
        assert!(
            message.starts_with("policy.toml:8: `route[1].notify[2]` names `nobody`"),
            "{message}"
        );
    }
}
