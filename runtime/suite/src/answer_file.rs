//! The files of cases for plugins that answer alerts: `tests/PLUGIN/NAME.json`.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use yagura_core::names::did_you_mean;
use yagura_core::pack::World;
use yagura_core::report::{Attribute, Report, ReportAlert};
use yagura_http::Exchange;

/// What a case's file holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CaseFile {
    /// Over the `[plugin.config]` of the pack.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(crate) config: Map<String, Value>,
    /// For enrichers and reviewers: what is left out is filled in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) alert: Option<Map<String, Value>>,
    /// For reviewers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) attributes: Vec<Attribute>,
    /// For notifiers: what is left out is filled in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) report: Option<Map<String, Value>>,
    /// Names of secrets that an operator would choose, where the manifest leaves that open.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) secrets: Vec<String>,
    /// Requests and their answers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) http: Vec<Exchange>,
    /// Events by table and observable.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) search: Vec<RecordedSearch>,
    /// Rows by table and key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) lookups: BTreeMap<String, BTreeMap<String, Value>>,
    /// What the plugin answers, or `{"error": "…"}` with a part of the message.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub(crate) expect: Value,
}

/// The answer to a search.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecordedSearch {
    pub(crate) table: String,
    /// Kind of the observable.
    pub(crate) kind: String,
    pub(crate) value: String,
    /// Events, each with the columns that it has; `event_time` in RFC 3339.
    pub(crate) events: Vec<Map<String, Value>>,
}

/// What a plugin gets to evaluate.
pub(crate) enum PluginInput {
    Enrich(Box<ReportAlert>),
    Review(Box<ReportAlert>, Vec<Attribute>),
    Notify(Box<Report>),
}

pub(crate) fn plugin_input(world: World, read: &CaseFile) -> Result<PluginInput> {
    let alert = || -> Result<Box<ReportAlert>> {
        let given = read.alert.clone().context("it has no `alert`")?;
        Ok(Box::new(serde_json::from_value(filled(
            alert_defaults(),
            given,
        )?)?))
    };
    Ok(match world {
        World::Notifier => {
            let mut given = read.report.clone().context("it has no `report`")?;
            if let Some(Value::Array(alerts)) = given.get_mut("alerts") {
                for alert in alerts {
                    if let Value::Object(alert) = alert {
                        *alert = match filled(alert_defaults(), std::mem::take(alert))? {
                            Value::Object(filled) => filled,
                            _ => Map::new(),
                        };
                    }
                }
            }
            let report = filled(report_defaults(), given)?;
            PluginInput::Notify(Box::new(serde_json::from_value(report)?))
        }
        World::Reviewer => PluginInput::Review(alert()?, read.attributes.clone()),
        _ => PluginInput::Enrich(alert()?),
    })
}

/// Fills in what was left out.
///
/// # Errors
/// When a key is not one of the defaults.
fn filled(defaults: Value, given: Map<String, Value>) -> Result<Value> {
    let Value::Object(mut whole) = defaults else {
        return Ok(defaults);
    };
    if let Some(key) = given.keys().find(|key| !whole.contains_key(*key)) {
        let known = whole.keys().map(String::as_str);
        bail!("unknown key `{key}`{}", did_you_mean(key, known));
    }
    whole.extend(given);
    Ok(Value::Object(whole))
}

fn alert_defaults() -> Value {
    json!({
        "state": "final", "id": "00000000000000000000000000000001", "rule": "rule", "title": "An alert",
        "severity": "medium", "key": "", "window_start": "2026-01-31T08:00:00Z", "first_time": "2026-01-31T08:00:00Z",
        "last_time": "2026-01-31T08:00:00Z", "count": 1, "observables": [], "context": [], "tags": [],
        "evidence": { "total": 1, "events": [] },
    })
}

fn report_defaults() -> Value {
    json!({
        "id": "00000000000000000000000000000002", "revision": 1, "status": "open", "title": "An incident",
        "severity": "medium", "text": "An incident", "time": "2026-01-31T08:00:01Z", "alerts": [], "alert_count": 1,
        "attributes": [], "assessments": [], "earlier": null, "uncertain": false,
    })
}
