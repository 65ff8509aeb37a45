//! What a configuration puts together: packs beside each other, and a policy with its plugins.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;
use yagura_alerts::policy::Policy;
use yagura_core::alert::OWN_RULES;
use yagura_host::Meter;

use super::super::block_on;
use super::{Check, Level, Linted};
use crate::answering::{now, try_plugins};
use crate::config::Config;
use crate::operator::Operator;
use crate::ruleset::RuleSet;
use crate::{operator, packs};

impl Check {
    /// Looks a policy over, with the rules that are known.
    pub(super) fn policy(&mut self, set: &RuleSet, file: &Path) -> Result<()> {
        let own = set.own().map(|source| source.rule.id.clone());
        let sigma = set
            .sigma
            .load
            .rules
            .iter()
            .map(yagura_engine::sigma_rule_id);
        let mut rules: BTreeSet<String> = own.chain(sigma).collect();
        let has_rules = !rules.is_empty();
        rules.extend(OWN_RULES.map(str::to_owned));
        let policy = Policy::read(file)?;
        for problem in policy.lint(has_rules.then_some(&rules), now()) {
            self.found.push(Linted {
                file: file.to_owned(),
                line: problem.line,
                level: match problem.level {
                    yagura_alerts::policy::Level::Error => Level::Error,
                    yagura_alerts::policy::Level::Warning => Level::Warning,
                },
                check: "policy",
                rule: None,
                key: Some(problem.key.to_string()),
                message: problem.message,
            });
        }
        Ok(())
    }

    /// Says which packs cannot run beside each other. What a single pack needs may lie elsewhere; what a configuration names is
    /// all that there will be.
    pub(super) fn together(&mut self, set: &RuleSet, is_all: bool) {
        let identities: Vec<_> = set.packs.iter().map(|pack| &pack.manifest.pack).collect();
        let level = if is_all { Level::Error } else { Level::Note };
        let unmet = operator::unmet(&identities).into_iter();
        let mut messages: Vec<_> = unmet
            .map(|(place, message)| (place, level, message))
            .collect();
        for (place, pack) in identities.iter().enumerate() {
            let mut earlier = identities.iter().take(place);
            if let Some(before) = earlier.position(|other| other.name == pack.name) {
                let (one, other) = (&set.packs[before].dir, &set.packs[place].dir);
                let message = operator::twice(&pack.name, one, other).to_string();
                messages.push((place, Level::Error, message));
            }
        }
        for (place, level, message) in messages {
            self.found.push(Linted {
                file: set.packs[place].dir.join("pack.toml"),
                line: None,
                level,
                check: "packs",
                rule: None,
                key: None,
                message,
            });
        }
    }

    /// Says which packs `yagura run` and `yagura serve` would not let in, by who signed them and what was used before.
    pub(super) fn admitted(&mut self, config: &Config) -> Result<()> {
        let operator = Operator::read(config)?;
        for path in &config.packs {
            let (level, messages) = match operator.open(path, false) {
                Ok(opened) => {
                    let granted = operator.grants.of(opened.pack.name()).limits;
                    let messages = packs::not_granted(&granted, opened.pack.pack());
                    (Level::Warning, messages)
                }
                Err(error) => (Level::Error, vec![error.to_string()]),
            };
            self.found
                .extend(messages.into_iter().map(|message| Linted {
                    file: path.clone(),
                    line: None,
                    level,
                    check: "packs",
                    rule: None,
                    key: None,
                    message,
                }));
        }
        Ok(())
    }

    /// Opens the plugins that a policy names, as `yagura serve` would.
    pub(super) fn policy_plugins(&mut self, config: &Config, file: &Path) -> Result<()> {
        let policy = Policy::read(file)?.policy;
        let mut config = config.clone();
        let mut unpacked = Vec::new();
        for path in &mut config.packs {
            *path = operator::directory(path, &mut unpacked)?;
        }
        let host = packs::host(Meter::Off)?;
        let tried = block_on(async {
            Ok(tokio::task::block_in_place(|| {
                try_plugins(&config, &host, &policy)
            }))
        })?;
        let (level, messages) = match tried {
            Ok(lints) => (Level::Warning, lints),
            Err(error) => (Level::Error, vec![format!("{error:#}")]),
        };
        for message in messages {
            self.found.push(Linted {
                file: file.to_owned(),
                line: None,
                level,
                check: "plugins",
                rule: None,
                key: None,
                message,
            });
        }
        Ok(())
    }
}
