//! Cases of plugins that answer alerts: enrichers, reviewers, notifiers.
//!
//! A case is `tests/PLUGIN/NAME.json`: what the plugin is given, what the servers, searches and lookup tables answer it, and
//! what it must say. Nothing leaves the machine: HTTP is answered from what was recorded, and anything else that is asked
//! fails the case.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::runtime::Handle;
use yagura_core::names::did_you_mean;
use yagura_core::pack::{PluginManifest, World};
use yagura_core::report::{Assessment, Attribute, Enriched, Report, ReportAlert};
use yagura_core::{Grant, Pack};
use yagura_http::{Exchange, HttpService, PluginId, Record, Replay, Transport};
use yagura_host::{
    CallError, Caller, Capabilities, ColumnBytes, DataType, Events, Field, Host, Lookup,
    PluginError, Search, SearchQuery, Services,
};

use super::evaluate::Outcome;
use crate::answering::{Network, TIME, reach, read_component, text_column};
use crate::exit::RuleFault;

/// A case of a plugin.
#[derive(Debug, Clone)]
struct AnswerCase {
    plugin: String,
    name: String,
    file: PathBuf,
}

/// What a case's file holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseFile {
    /// Over the `[plugin.config]` of the pack.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    config: Map<String, Value>,
    /// For enrichers and reviewers: what is left out is filled in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    alert: Option<Map<String, Value>>,
    /// For reviewers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    attributes: Vec<Attribute>,
    /// For notifiers: what is left out is filled in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    report: Option<Map<String, Value>>,
    /// Names of secrets that an operator would choose, where the manifest leaves that open.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    secrets: Vec<String>,
    /// Requests and their answers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    http: Vec<Exchange>,
    /// Events by table and observable.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    search: Vec<Searched>,
    /// Rows by table and key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    lookups: BTreeMap<String, BTreeMap<String, Value>>,
    /// What the plugin answers, or `{"error": "…"}` with a part of the message.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    expect: Value,
}

/// The answer to a search.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Searched {
    table: String,
    /// Kind of the observable.
    kind: String,
    value: String,
    /// Events, each with the columns that it has; `event_time` in RFC 3339.
    events: Vec<Map<String, Value>>,
}

/// How cases are run.
pub(crate) struct AnswerOptions<'a> {
    /// Write what plugins answer into the files.
    pub(crate) update: bool,
    /// Ask real servers, with the secrets and grants of a configuration, and write their answers into the files.
    pub(crate) record: Option<&'a Network>,
}

/// Says whether a folder of `tests/` belongs to a plugin that answers alerts.
pub(super) fn is_folder_of_plugin(pack: &Pack, folder: &str) -> bool {
    plugin_of(pack, folder).is_some()
}

fn plugin_of<'a>(pack: &'a Pack, folder: &str) -> Option<&'a PluginManifest> {
    let mut plugins = pack.manifest.plugins.iter();
    plugins.find(|plugin| {
        let answers = matches!(
            plugin.world,
            World::Enricher | World::Reviewer | World::Notifier
        );
        answers && plugin.file.strip_suffix(".wasm") == Some(folder)
    })
}

/// Runs the cases of a pack's plugins whose name contains `only`, in order.
///
/// # Errors
/// What is wrong with the pack or a plugin as a whole; a case that cannot run has failed.
pub(crate) async fn run(
    host: &Host,
    pack: &Pack,
    only: &str,
    options: &AnswerOptions<'_>,
) -> Result<Vec<Outcome>> {
    let mut outcomes = Vec::new();
    for case in collect(pack, only)? {
        let Some(manifest) = plugin_of(pack, &case.plugin) else {
            continue;
        };
        let mut outcome = Outcome {
            rule: case.plugin.clone(),
            name: case.name.clone(),
            passed: false,
            message: String::new(),
            wrong_rule: false,
            fuel_per_event: None,
            updated: None,
        };
        match run_case(host, pack, manifest, &case, options).await {
            Ok(evaluated) => {
                outcome.passed = evaluated.message.is_empty();
                outcome.message = evaluated.message;
                outcome.updated = evaluated.updated.then(|| case.file.clone());
            }
            Err(error) => {
                outcome.wrong_rule = error.chain().any(|cause| cause.is::<RuleFault>());
                outcome.message = format!("{error:#}");
            }
        }
        outcomes.push(outcome);
    }
    Ok(outcomes)
}

fn collect(pack: &Pack, only: &str) -> Result<Vec<AnswerCase>> {
    let mut cases = Vec::new();
    for plugin in &pack.manifest.plugins {
        let stem = plugin.file.strip_suffix(".wasm").unwrap_or(&plugin.file);
        let folder = pack.dir.join("tests").join(stem);
        if plugin_of(pack, stem).is_none() || !stem.contains(only) || !folder.is_dir() {
            continue;
        }
        let entries =
            fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
        for entry in entries {
            let file = entry?.path();
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with(['.', '_']) {
                continue;
            }
            let Some(name) = name.strip_suffix(".json").map(str::to_owned) else {
                return Err(RuleFault(format!(
                    "{} is no case: a case of a plugin is NAME.json",
                    file.display()
                ))
                .into());
            };
            cases.push(AnswerCase {
                plugin: stem.to_owned(),
                name,
                file,
            });
        }
    }
    cases.sort_by(|a, b| (&a.plugin, &a.name).cmp(&(&b.plugin, &b.name)));
    Ok(cases)
}

/// What came of a case: what was not as expected, empty otherwise.
struct Evaluated {
    message: String,
    updated: bool,
}

async fn run_case(
    host: &Host,
    pack: &Pack,
    manifest: &PluginManifest,
    case: &AnswerCase,
    options: &AnswerOptions<'_>,
) -> Result<Evaluated> {
    let text = fs::read_to_string(&case.file)
        .with_context(|| format!("cannot read {}", case.file.display()))?;
    let mut read: CaseFile = serde_json::from_str(&text)
        .with_context(|| format!("{} is no case", case.file.display()))?;
    let given = given(manifest.world, &read)
        .with_context(|| format!("{} is no case", case.file.display()))?;
    let mut config = match serde_json::to_value(&manifest.config)? {
        Value::Object(config) => config,
        _ => Map::new(),
    };
    config.extend(read.config.clone());
    let id = PluginId {
        pack: pack.manifest.pack.name.clone(),
        file: manifest.file.clone(),
    };
    let recording = tempfile::NamedTempFile::new().context("cannot make a file")?;
    // A case that is written may leave out what is sent; it is written too.
    let replay = Arc::new(match options.update || read.expect.is_null() {
        true => Replay::learning(read.http.clone()),
        false => Replay::new(read.http.clone()),
    });
    let (transport, grant): (Arc<dyn Transport>, Grant) = match options.record {
        Some(network) => (
            Arc::new(Record::create(
                Arc::clone(&network.transport),
                recording.path(),
            )?),
            network
                .grants
                .pack
                .get(&id.pack)
                .cloned()
                .unwrap_or_default(),
        ),
        None => {
            let grant = everything(manifest, &read);
            (Arc::clone(&replay) as Arc<dyn Transport>, grant)
        }
    };
    let scripted = Arc::new(Scripted {
        search: read.search.clone(),
        lookups: read.lookups.clone(),
        unmatched: Mutex::default(),
    });
    let services = Services {
        http: Arc::new(HttpService::new(transport, Handle::current())),
        search: Arc::clone(&scripted) as Arc<dyn Search>,
        lookup: Arc::clone(&scripted) as Arc<dyn Lookup>,
    };
    let mut own: Vec<String> = read.lookups.keys().cloned().collect();
    own.sort();
    let reach = reach(&id, manifest, &grant, services)
        .map_err(|problem| RuleFault(format!("{}: {problem}", pack.dir.display())))?
        .with_own_lookups(own);
    let bytes = read_component(&pack.dir.join(&manifest.file), pack, manifest)?;
    let name = pack.dir.join(&manifest.file).display().to_string();
    let config = serde_json::to_string(&config)?;
    let (host, limits) = (host.clone(), manifest.limits.clone());
    let called = tokio::task::spawn_blocking(move || -> Result<Result<Value, CallError>> {
        call(&host, &name, &bytes, &limits, &config, &reach, given)
    });
    let answer = called.await.context("the plugin's thread ended")??;
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => json!({ "error": error.to_string() }),
    };
    let mut lines: Vec<String> = Vec::new();
    if options.record.is_none() {
        let asked = replay.unmatched().into_iter();
        lines.extend(asked.map(|asked| format!("it asked what no `http` answers: {asked}")));
        let unused = replay.unused().into_iter();
        lines.extend(
            unused.map(|unused| format!("it did not ask {} {}", unused.method, unused.url)),
        );
        let asked = scripted
            .unmatched
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        lines.extend(asked.iter().cloned());
    }
    if read.expect.is_null()
        && !options.update
        && let Some(error) = answer.get("error").and_then(Value::as_str)
    {
        lines.push(format!(
            "it has no `expect`, and the plugin failed: {error}; if that is what it must do, write it with --update"
        ));
    }
    let updated = options.update || options.record.is_some() || read.expect.is_null();
    if updated && lines.is_empty() {
        if options.record.is_some() {
            read.http = recorded(recording.path())?;
        } else {
            read.http = replay.learned();
        }
        read.expect = answer;
        let text = serde_json::to_string_pretty(&read)? + "\n";
        fs::write(&case.file, text)
            .with_context(|| format!("cannot write {}", case.file.display()))?;
        return Ok(Evaluated {
            message: String::new(),
            updated: true,
        });
    }
    if let Some(difference) = difference(&read.expect, &answer)? {
        lines.push(difference);
    }
    Ok(Evaluated {
        message: lines.join("\n"),
        updated: false,
    })
}

fn recorded(file: &Path) -> Result<Vec<Exchange>> {
    let text = fs::read_to_string(file)?;
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    Ok(lines.map(serde_json::from_str).collect::<Result<_, _>>()?)
}

/// Says how an answer differs from what is expected. Of an error a part of its message is enough.
fn difference(expected: &Value, found: &Value) -> Result<Option<String>> {
    let part = |value: &Value| {
        value
            .get("error")
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    if let (Some(expected), Some(found)) = (part(expected), part(found))
        && found.contains(&expected)
    {
        return Ok(None);
    }
    if expected == found {
        return Ok(None);
    }
    let (expected, found) = (
        serde_json::to_string_pretty(expected)?,
        serde_json::to_string_pretty(found)?,
    );
    let diff = similar::TextDiff::from_lines(&expected, &found);
    let lines = diff.iter_all_changes().map(|change| {
        let sign = match change.tag() {
            similar::ChangeTag::Delete => "-",
            similar::ChangeTag::Insert => "+",
            similar::ChangeTag::Equal => " ",
        };
        format!("{sign} {}", change.value().trim_end_matches('\n'))
    });
    let lines: Vec<String> = lines.collect();
    Ok(Some(format!(
        "the answer is not the expected one (- expected, + found):\n{}",
        lines.join("\n")
    )))
}

/// What a plugin is given.
enum Given {
    Enrich(Box<ReportAlert>),
    Review(Box<ReportAlert>, Vec<Attribute>),
    Notify(Box<Report>),
}

fn given(world: World, read: &CaseFile) -> Result<Given> {
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
            Given::Notify(Box::new(serde_json::from_value(report)?))
        }
        World::Reviewer => Given::Review(alert()?, read.attributes.clone()),
        _ => Given::Enrich(alert()?),
    })
}

/// Fills in what was left out; a key that is none of these is a slip of the pen.
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

/// Grants all that a plugin asks for, for servers of which an answer is recorded.
fn everything(manifest: &PluginManifest, read: &CaseFile) -> Grant {
    let mut servers = BTreeSet::new();
    let mut hosts = BTreeSet::new();
    for exchange in &read.http {
        if let Ok(url) = url::Url::parse(&exchange.url)
            && let Some(host) = url.host_str()
        {
            let port = url
                .port()
                .map_or_else(String::new, |port| format!(":{port}"));
            servers.insert(format!("{}://{host}{port}", url.scheme()));
            hosts.insert(host.to_owned());
        }
    }
    let hosts: Vec<String> = hosts.into_iter().collect();
    let request = &manifest.request;
    let secrets = granted(&request.secrets, read.secrets.iter());
    Grant {
        http: servers.into_iter().collect(),
        networks: Vec::new(),
        secrets: secrets
            .into_iter()
            .filter(|_| !hosts.is_empty())
            .map(|name| (name, hosts.clone()))
            .collect(),
        search: granted(
            &request.search,
            read.search.iter().map(|searched| &searched.table),
        ),
        lookups: granted(&request.lookups, read.lookups.keys()),
        ..Grant::default()
    }
}

/// Tables by name; where the manifest leaves them to the operator, those of the case.
fn granted<'a>(wanted: &[String], known: impl Iterator<Item = &'a String>) -> Vec<String> {
    let named = wanted.iter().filter(|name| *name != "*").cloned();
    match wanted.iter().any(|name| name == "*") {
        true => named.chain(known.cloned()).collect(),
        false => named.collect(),
    }
}

fn call(
    host: &Host,
    name: &str,
    bytes: &[u8],
    limits: &yagura_core::pack::Limits,
    config: &str,
    reach: &Capabilities,
    given: Given,
) -> Result<Result<Value, CallError>> {
    Ok(match given {
        Given::Enrich(alert) => host
            .load_enricher(name, bytes, limits)?
            .open(config, reach)
            .and_then(|mut enricher| enricher.enrich(&alert))
            .map(|found: Enriched| json!(found)),
        Given::Review(alert, attributes) => host
            .load_reviewer(name, bytes, limits)?
            .open(config, reach)
            .and_then(|mut reviewer| reviewer.review(&alert, &attributes))
            .map(|assessment: Option<Assessment>| json!({ "assessment": assessment })),
        Given::Notify(report) => host
            .load_notifier(name, bytes, limits)?
            .open(config, reach)
            .and_then(|mut notifier| notifier.notify(&report))
            .map(|receipt: String| json!({ "receipt": receipt })),
    })
}

/// Searches and lookup tables of a case.
struct Scripted {
    search: Vec<Searched>,
    lookups: BTreeMap<String, BTreeMap<String, Value>>,
    unmatched: Mutex<Vec<String>>,
}

impl Search for Scripted {
    fn find(&self, _: &Caller, query: &SearchQuery, _: Instant) -> Result<Events, PluginError> {
        let (kind, value) = &query.observable;
        let found = self.search.iter().find(|searched| {
            searched.table == query.table && searched.kind == *kind && searched.value == *value
        });
        let Some(found) = found else {
            let asked = format!(
                "it searched what no `search` answers: {kind} {value} in `{}`",
                query.table
            );
            let mut unmatched = self
                .unmatched
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            unmatched.push(asked.clone());
            return Err(PluginError::Config(asked));
        };
        let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
        let events = &found.events[..found.events.len().min(limit)];
        let columns = query.columns.iter().map(|name| {
            text_column(events.iter().map(|event| match event.get(name) {
                None | Some(Value::Null) => None,
                Some(Value::String(text)) => Some(text.clone()),
                Some(other) => Some(other.to_string()),
            }))
        });
        let columns: Vec<ColumnBytes> = columns.collect();
        let mut answer = Events {
            schema: Vec::new(),
            rows: u32::try_from(events.len()).unwrap_or(u32::MAX),
            columns,
            truncated: found.events.len() > events.len(),
        };
        for (name, column) in query.columns.iter().zip(&mut answer.columns) {
            let is_time = name == TIME;
            if is_time {
                let micros = events.iter().flat_map(|event| time_of(event).to_le_bytes());
                *column = ColumnBytes {
                    values: micros.collect(),
                    ..ColumnBytes::default()
                };
            }
            answer.schema.push(Field {
                name: name.clone(),
                data_type: match is_time {
                    true => DataType::TimestampUs,
                    false => DataType::Utf8,
                },
                nullable: !is_time,
            });
        }
        Ok(answer)
    }
}

fn time_of(event: &Map<String, Value>) -> i64 {
    let text = event.get(TIME).and_then(Value::as_str);
    let time: Option<yagura_core::Timestamp> = text.and_then(|text| text.parse().ok());
    time.unwrap_or_default().micros()
}

impl Lookup for Scripted {
    fn get(&self, _: &Caller, table: &str, key: &str) -> Result<Option<String>, PluginError> {
        match self.lookups.get(table) {
            Some(rows) => Ok(rows.get(key).map(Value::to_string)),
            None => Err(PluginError::Config(format!(
                "there is no lookup table `{table}`"
            ))),
        }
    }
}
