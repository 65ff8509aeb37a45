//! A question to a table.

use std::collections::BTreeMap;

use serde::Deserialize;
use yagura_sdk::state::{DAY, HOUR, MINUTE, SECOND};
use yagura_sdk::{Alert, Enriched, PluginError, search};

use crate::answer::answers;

/// `[[questions]]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct QuestionSettings {
    /// Name of the facts.
    name: String,
    /// Table that is asked.
    table: String,
    /// Kind of the alert's observables that are asked about.
    observable: String,
    /// Columns of the answer.
    columns: Vec<String>,
    /// Column with the time of an event.
    #[serde(default = "event_time")]
    time: String,
    /// Time before the alert's first event, and after its last.
    #[serde(default = "day")]
    before: String,
    #[serde(default = "at_once")]
    after: String,
    /// Different answers that are told, the latest first.
    #[serde(default = "five")]
    limit: usize,
    /// Columns whose values are observables, each with its kind.
    #[serde(default)]
    observables: BTreeMap<String, String>,
}

fn event_time() -> String {
    "event_time".to_owned()
}

fn day() -> String {
    "24h".to_owned()
}

fn at_once() -> String {
    "0s".to_owned()
}

fn five() -> usize {
    5
}

/// Events that are asked for; answers are drawn together from them.
const EVENTS: u32 = 500;

const KINDS: [&str; 8] = [
    "ip", "domain", "user", "host", "hash", "url", "email", "process",
];

/// A question that was checked.
pub(crate) struct Question {
    settings: QuestionSettings,
    before: i64,
    after: i64,
}

impl Question {
    pub(crate) fn new(settings: QuestionSettings) -> Result<Self, PluginError> {
        let name = &settings.name;
        let wrong = |message: String| PluginError::Config(format!("question `{name}`: {message}"));
        if settings.columns.is_empty() {
            return Err(wrong("`columns` is empty".to_owned()));
        }
        let kinds = settings.observables.values().chain([&settings.observable]);
        if let Some(kind) = kinds
            .into_iter()
            .find(|kind| !KINDS.contains(&kind.as_str()))
        {
            return Err(wrong(format!(
                "there is no observable `{kind}`: there are `{}`",
                KINDS.join("`, `")
            )));
        }
        if let Some(column) = settings
            .observables
            .keys()
            .find(|column| !settings.columns.contains(column))
        {
            return Err(wrong(format!(
                "`observables` has `{column}`, which is not among its `columns`"
            )));
        }
        let time = |key: &str, text: &str| {
            duration(text).ok_or_else(|| {
                wrong(format!(
                    "`{key}` is \"{text}\": write a number and `s`, `m`, `h` or `d`, like `24h`"
                ))
            })
        };
        let (before, after) = (
            time("before", &settings.before)?,
            time("after", &settings.after)?,
        );
        Ok(Self {
            settings,
            before,
            after,
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.settings.name
    }

    pub(crate) fn ask(
        &self,
        alert: &Alert,
        limit: usize,
        found: &mut Enriched,
    ) -> Result<(), PluginError> {
        let settings = &self.settings;
        let mut columns = settings.columns.clone();
        if !columns.contains(&settings.time) {
            columns.push(settings.time.clone());
        }
        let of_kind = alert
            .observables
            .iter()
            .filter(|(kind, _)| *kind == settings.observable);
        for (kind, value) in of_kind.take(limit) {
            let events = search::table(&settings.table)
                .observable_of(kind, value)
                .between(
                    alert.first_time.saturating_sub(self.before),
                    // Up to and with the last event.
                    alert.last_time.saturating_add(self.after).saturating_add(1),
                )
                .columns(&columns)
                .limit(EVENTS)
                .find()?;
            if events.is_empty() {
                continue;
            }
            let source = format!("{}: {value}", settings.table);
            let answers = answers(&events.batch(), &settings.columns, &settings.time)?;
            for answer in answers.iter().take(settings.limit) {
                found.attribute(&settings.name, answer.text(!events.is_truncated()), &source);
                for (column, kind) in &settings.observables {
                    let value = answer.value(column).unwrap_or_default();
                    let observable = (kind.clone(), value.to_owned());
                    let is_known = alert.observables.contains(&observable);
                    if !value.is_empty() && !is_known && !found.observables.contains(&observable) {
                        found.observables.push(observable);
                    }
                }
            }
            let more = answers.len().saturating_sub(settings.limit);
            if events.is_truncated() {
                found.attribute(
                    &settings.name,
                    format!("drawn from the latest {EVENTS} events; there are earlier ones"),
                    &source,
                );
            } else if more > 0 {
                found.attribute(&settings.name, format!("{more} more"), &source);
            }
        }
        Ok(())
    }
}

/// Microseconds of a number and a unit.
fn duration(text: &str) -> Option<i64> {
    let unit = match text.chars().last()? {
        's' => SECOND,
        'm' => MINUTE,
        'h' => HOUR,
        'd' => DAY,
        _ => return None,
    };
    let number: i64 = text[..text.len() - 1].parse().ok()?;
    (number >= 0).then(|| number.checked_mul(unit)).flatten()
}
