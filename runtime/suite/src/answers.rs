//! Cases of plugins that answer alerts: enrichers, reviewers, notifiers.
//!
//! A case is `tests/PLUGIN/NAME.json`: what the plugin is given, what the servers, searches and lookup tables answer it, and
//! what it must say. Nothing leaves the machine: HTTP is answered from what was recorded, and anything else that is asked
//! fails the case.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};
use tokio::runtime::Handle;
use yagura_core::pack::{PluginManifest, World};
use yagura_core::report::{Assessment, Enriched};
use yagura_core::source::SourceText;
use yagura_core::{Fault, FaultKind, Grant, OrFault, Pack};
use yagura_host::{CallError, Capabilities, Host, Lookup, SearchPort, Services};
use yagura_http::{Exchange, HttpService, PluginId, RecordingTransport, Replay, Transport};
use yagura_service::answering::{Network, capabilities, read_component};

use crate::answer_file::{CaseFile, PluginInput, plugin_input};
use crate::compare::answer_difference;
use crate::outcome::Outcome;
use crate::recorded_services::RecordedServices;

/// A case of a plugin.
#[derive(Debug, Clone)]
struct AnswerCase {
    plugin: String,
    name: String,
    file: PathBuf,
}

/// How cases are run.
pub struct AnswerOptions<'a> {
    /// Write what plugins answer into the files.
    pub update: bool,
    /// Ask real servers, with the secrets and grants of a configuration, and write their answers into the files.
    pub record: Option<&'a Network>,
}

/// Returns whether a folder of `tests/` belongs to a plugin that answers alerts.
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
pub async fn run(
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
                outcome.wrong_rule = Fault::kind(error.chain()) == FaultKind::Rule;
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
                return Err(Fault::rule(format!(
                    "{} is not a case: a case of a plugin is NAME.json",
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

/// The result of a case: how the answer differs from the expected one, empty if it does not.
struct CaseResult {
    message: String,
    updated: bool,
}

async fn run_case(
    host: &Host,
    pack: &Pack,
    manifest: &PluginManifest,
    case: &AnswerCase,
    options: &AnswerOptions<'_>,
) -> Result<CaseResult> {
    let text = fs::read_to_string(&case.file)
        .with_context(|| format!("cannot read {}", case.file.display()))?;
    let mut read: CaseFile = SourceText::new(&case.file, &text)
        .json()
        .with_context(|| format!("{} is not a case", case.file.display()))?;
    let input = plugin_input(manifest.world, &read)
        .with_context(|| format!("{} is not a case", case.file.display()))?;
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
            Arc::new(RecordingTransport::create(
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
            let grant = full_grant(manifest, &read);
            (Arc::clone(&replay) as Arc<dyn Transport>, grant)
        }
    };
    let recorded = Arc::new(RecordedServices {
        search: read.search.clone(),
        lookups: read.lookups.clone(),
        unmatched: Mutex::default(),
    });
    let services = Services {
        http: Arc::new(HttpService::new(transport, Handle::current())),
        search: Arc::clone(&recorded) as Arc<dyn SearchPort>,
        lookup: Arc::clone(&recorded) as Arc<dyn Lookup>,
    };
    let mut own: Vec<String> = read.lookups.keys().cloned().collect();
    own.sort();
    let capabilities = capabilities(&id, manifest, &grant, services)
        .map_err(|problem| Fault::rule(format!("{}: {problem}", pack.dir.display())))?
        .with_own_lookups(own);
    let bytes = read_component(&pack.dir.join(&manifest.file), pack, manifest)?;
    let name = pack.dir.join(&manifest.file).display().to_string();
    let config = serde_json::to_string(&config)?;
    let (host, limits) = (host.clone(), manifest.limits.clone());
    let called = tokio::task::spawn_blocking(move || -> Result<Result<Value, CallError>> {
        call(&host, &name, &bytes, &limits, &config, &capabilities, input)
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
        let asked = recorded
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
            read.http = read_recording(recording.path())?;
        } else {
            read.http = replay.learned();
        }
        read.expect = answer;
        let text = serde_json::to_string_pretty(&read)? + "\n";
        fs::write(&case.file, text)
            .with_context(|| format!("cannot write {}", case.file.display()))?;
        return Ok(CaseResult {
            message: String::new(),
            updated: true,
        });
    }
    if let Some(difference) = answer_difference(&read.expect, &answer)? {
        lines.push(difference);
    }
    Ok(CaseResult {
        message: lines.join("\n"),
        updated: false,
    })
}

fn read_recording(file: &Path) -> Result<Vec<Exchange>> {
    let text = fs::read_to_string(file)?;
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    Ok(lines.map(serde_json::from_str).collect::<Result<_, _>>()?)
}

/// Grants all that a plugin asks for, for servers of which an answer is recorded.
fn full_grant(manifest: &PluginManifest, read: &CaseFile) -> Grant {
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
    capabilities: &Capabilities,
    input: PluginInput,
) -> Result<Result<Value, CallError>> {
    Ok(match input {
        PluginInput::Enrich(alert) => host
            .load_enricher(name, bytes, limits)
            .or_fault()?
            .open(config, capabilities)
            .and_then(|mut enricher| enricher.enrich(&alert))
            .map(|found: Enriched| json!(found)),
        PluginInput::Review(alert, attributes) => host
            .load_reviewer(name, bytes, limits)
            .or_fault()?
            .open(config, capabilities)
            .and_then(|mut reviewer| reviewer.review(&alert, &attributes))
            .map(|assessment: Option<Assessment>| json!({ "assessment": assessment })),
        PluginInput::Notify(report) => host
            .load_notifier(name, bytes, limits)
            .or_fault()?
            .open(config, capabilities)
            .and_then(|mut notifier| notifier.notify(&report))
            .map(|receipt: String| json!({ "receipt": receipt })),
    })
}
