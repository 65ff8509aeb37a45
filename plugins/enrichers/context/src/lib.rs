//! What an alert's events do not say by themselves, from other tables around the same time: questions that are configuration.

mod answer;
mod question;

use serde::Deserialize;
use yagura_sdk::prelude::*;

use plugin_common::parse;

use question::{Question, QuestionSettings};

yagura_sdk::enricher!(Context);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(default)]
    questions: Vec<QuestionSettings>,
    /// Observables of each kind that are asked about for one alert.
    #[serde(default = "five")]
    limit: usize,
}

fn five() -> usize {
    5
}

struct Context {
    questions: Vec<Question>,
    limit: usize,
}

impl Enricher for Context {
    fn open(config: &Config) -> Result<Self, PluginError> {
        let settings: Settings = parse(config)?;
        if settings.questions.is_empty() {
            return Err(PluginError::Config(
                "there are no `questions`: write a `[[questions]]` with `name`, `table`, `observable` and `columns`".to_owned(),
            ));
        }
        let questions: Result<Vec<Question>, PluginError> =
            settings.questions.into_iter().map(Question::new).collect();
        Ok(Self {
            questions: questions?,
            limit: settings.limit,
        })
    }

    fn enrich(&mut self, alert: &Alert, found: &mut Enriched) -> Result<(), PluginError> {
        let mut refused = None;
        let mut answered = 0;
        for question in &self.questions {
            match question.ask(alert, self.limit, found) {
                Ok(()) => answered += 1,
                // A table that is not there or not granted costs its own question. The questions that come with the pack name
                // tables that not everybody has.
                Err(PluginError::Config(message)) => {
                    log::warn(&format!("question `{}`: {message}", question.name()));
                    refused = Some(PluginError::Config(message));
                }
                Err(other) => return Err(other),
            }
        }
        match refused {
            Some(error) if answered == 0 => Err(error),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
