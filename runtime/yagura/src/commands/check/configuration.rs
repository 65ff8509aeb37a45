//! What a configuration puts together: packs beside each other, and a policy with its plugins.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;
use yagura_alerts::Clock;
use yagura_alerts::policy::Policy;
use yagura_core::OrFault;
use yagura_core::alert::OWN_RULES;
use yagura_core::diagnostic::{Code, Diagnostic, Level};
use yagura_host::Meter;
use yagura_service::admission::Admission;
use yagura_service::answering::try_plugins;
use yagura_service::config::Config;
use yagura_service::{admission, packs};

use super::super::block_on;
use super::RuleCheck;
use crate::ruleset::RuleSet;

impl RuleCheck {
    /// Looks a policy over, with the rules that are known.
    pub(super) fn policy(&mut self, set: &RuleSet, file: &Path) -> Result<()> {
        let own = set.own().map(|source| source.rule.id.clone());
        let sigma = set.sigma.load.rules.iter().map(yagura_plan::sigma_rule_id);
        let mut rules: BTreeSet<String> = own.chain(sigma).collect();
        let has_rules = !rules.is_empty();
        rules.extend(OWN_RULES.map(str::to_owned));
        let policy = Policy::read(file).or_fault()?;
        let rules = has_rules.then_some(&rules);
        self.found.extend(policy.lint(rules, Clock::system().now()));
        Ok(())
    }

    /// Says which packs cannot run beside each other. What a single pack needs may lie elsewhere; what a configuration names is
    /// all that there will be.
    pub(super) fn together(&mut self, set: &RuleSet, is_all: bool) {
        let identities: Vec<_> = set.packs.iter().map(|pack| &pack.manifest.pack).collect();
        let level = if is_all { Level::Error } else { Level::Note };
        let unmet = admission::unmet(&identities).into_iter();
        let mut messages: Vec<_> = unmet
            .map(|(place, message)| (place, level, message))
            .collect();
        for (place, pack) in identities.iter().enumerate() {
            let mut earlier = identities.iter().take(place);
            if let Some(before) = earlier.position(|other| other.name == pack.name) {
                let (one, other) = (&set.packs[before].dir, &set.packs[place].dir);
                let message = packs::twice(&pack.name, one, other).to_string();
                messages.push((place, Level::Error, message));
            }
        }
        for (place, level, message) in messages {
            let file = set.packs[place].dir.join("pack.toml");
            let problem = Diagnostic::new(level, Code::InvalidDependency, message);
            self.found.push(problem.in_file(&file));
        }
    }

    /// Says which packs `yagura run` and `yagura serve` would not let in, by who signed them and what was used before.
    pub(super) fn admitted(&mut self, config: &Config) -> Result<()> {
        let operator = Admission::read(config)?;
        for path in &config.packs {
            let (level, code, messages) = match operator.open(path, false) {
                Ok(opened) => {
                    let granted = operator.grants.of(opened.pack.name()).limits;
                    let messages = packs::not_granted(&granted, opened.pack.pack());
                    (Level::Warning, Code::NotGranted, messages)
                }
                Err(error) => (Level::Error, Code::PackRefused, vec![error.to_string()]),
            };
            let problem = |message| Diagnostic::new(level, code, message).in_file(path);
            self.found.extend(messages.into_iter().map(problem));
        }
        Ok(())
    }

    /// Opens the plugins that a policy names, as `yagura serve` would.
    pub(super) fn policy_plugins(&mut self, config: &Config, file: &Path) -> Result<()> {
        let policy = Policy::read(file).or_fault()?.policy;
        let mut config = config.clone();
        let mut unpacked = Vec::new();
        for path in &mut config.packs {
            *path = admission::directory(path, &mut unpacked)?;
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
            let problem = Diagnostic::new(level, Code::PluginProblem, message);
            self.found.push(problem.in_file(file));
        }
        Ok(())
    }
}
