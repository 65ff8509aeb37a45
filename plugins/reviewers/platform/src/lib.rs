//! Evaluates alerts by rules that are configuration: what the alert and the facts about it are like, and what to think of that.
//!
//! The first rule that fits decides. Those of the pack say what nearly everybody would: malware for another system is not urgent,
//! what outside services hold for malicious is, scanners that are known are no attack.

mod rule;

use serde::Deserialize;
use yagura_sdk::prelude::*;

use plugin_common::parse;

use rule::{Rule, RuleSettings};

yagura_sdk::reviewer!(Platform);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Rules of the operator's own, tried before `rules`.
    #[serde(default)]
    own: Vec<RuleSettings>,
    #[serde(default)]
    rules: Vec<RuleSettings>,
}

struct Platform {
    rules: Vec<Rule>,
}

impl Reviewer for Platform {
    fn open(config: &Config) -> Result<Self, PluginError> {
        let settings: Settings = parse(config)?;
        let rules: Result<Vec<Rule>, PluginError> = settings
            .own
            .into_iter()
            .chain(settings.rules)
            .map(Rule::new)
            .collect();
        let rules = rules?;
        if rules.is_empty() {
            return Err(PluginError::Config(
                "there are no `rules`: write a `[[rules]]` with `name`, `when` and `reason`"
                    .to_owned(),
            ));
        }
        Ok(Self { rules })
    }

    fn review(
        &mut self,
        alert: &Alert,
        attributes: &[Attribute],
    ) -> Result<Option<Assessment>, PluginError> {
        Ok(self
            .rules
            .iter()
            .find_map(|rule| rule.evaluate(alert, attributes)))
    }
}

#[cfg(test)]
mod tests;
