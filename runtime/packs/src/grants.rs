//! What plugins of a pack ask for, what an operator grants, and what changes from one version to the next.
//!
//! A plugin reaches what both name, so asking for more gives nothing by itself. Still an upgrade that asks for more waits for
//! an answer: a grant that covers it, or an operator who accepts it ([`crate::Installed::record`]).

mod change;
mod cover;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use yagura_core::pack::{Limits, Manifest, World};
use yagura_core::{CapabilityRequest, Grant};

pub use change::{Changes, LimitChange, OpenRequest, upgrade};

use cover::{Cover, cover};

/// What the plugins of a pack ask for, by file name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PackRequests(pub BTreeMap<String, PluginRequests>);

/// What one plugin asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PluginRequests {
    /// What it exports, and so when it runs.
    pub world: World,
    /// What it asks to reach.
    #[serde(default, skip_serializing_if = "CapabilityRequest::is_empty")]
    pub request: CapabilityRequest,
    /// What a call and an instance may use.
    #[serde(default)]
    pub limits: Limits,
}

/// A kind of capability, by its key in `[plugin.request]` and in the grants file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CapabilityKind {
    /// A server.
    Http,
    /// A secret that is put into requests.
    Secrets,
    /// A table whose events are searched.
    Search,
    /// A lookup table of the operator's.
    Lookups,
    /// A directory of lookup tables.
    Directories,
    /// A network of addresses that are not public; granted, never asked for.
    Networks,
}

/// One capability that is requested or granted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CapabilityEntry {
    /// Of which kind.
    pub kind: CapabilityKind,
    /// As it is written in the file.
    pub entry: String,
}

/// One capability that a plugin requests, and the operator's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestedEntry {
    /// The plugin's file.
    pub plugin: String,
    /// What it asks for.
    pub ask: CapabilityEntry,
    /// The answer.
    pub answer: GrantAnswer,
}

/// The answer of a grants file to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GrantAnswer {
    /// All of it is granted.
    Granted,
    /// A part of it is granted, or it leaves the choice to the operator: these entries.
    Partly(Vec<String>),
    /// Nothing of it is granted; the text is what to write into the grants file, and where.
    Missing(String),
}

/// What a pack asks for beside what is granted to it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Comparison {
    /// Everything that is asked for, by plugin, kind and entry.
    pub asked: Vec<RequestedEntry>,
    /// What is granted and nobody asks for: it can be taken out.
    pub unasked: Vec<CapabilityEntry>,
}

impl CapabilityKind {
    /// Returns the key in the files.
    pub fn key(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Secrets => "secrets",
            Self::Search => "search",
            Self::Lookups => "lookups",
            Self::Directories => "directories",
            Self::Networks => "networks",
        }
    }
}

impl fmt::Display for CapabilityEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, entry } = self;
        match kind {
            CapabilityKind::Http => write!(f, "connect to `{entry}`"),
            CapabilityKind::Secrets => write!(f, "use the secret `{entry}`"),
            CapabilityKind::Search => write!(f, "search the table `{entry}`"),
            CapabilityKind::Lookups => write!(f, "read the lookup `{entry}`"),
            CapabilityKind::Directories => write!(f, "read the files of the directory `{entry}`"),
            CapabilityKind::Networks => write!(f, "reach the network `{entry}`"),
        }
    }
}

impl PackRequests {
    /// Returns what the plugins of a pack ask for.
    pub fn of(pack: &Manifest) -> Self {
        let plugins = pack.plugins.iter().map(|plugin| {
            let asks = PluginRequests {
                world: plugin.world,
                request: plugin.request.clone(),
                limits: plugin.limits.clone(),
            };
            (plugin.file.clone(), asks)
        });
        Self(plugins.collect())
    }

    /// Returns what each plugin asks for, in order, by file name.
    pub fn entries(&self) -> BTreeMap<String, Vec<CapabilityEntry>> {
        let plugins = self.0.iter();
        plugins
            .map(|(plugin, asks)| (plugin.clone(), entries(&asks.request)))
            .collect()
    }

    /// Compares with what an operator grants the pack; no grant is an empty one.
    pub fn compare(&self, pack: &str, grant: &Grant) -> Comparison {
        let mut comparison = Comparison::default();
        for (plugin, asks) in &self.0 {
            for ask in entries(&asks.request) {
                comparison.asked.push(RequestedEntry {
                    plugin: plugin.clone(),
                    answer: answer(pack, grant, &ask),
                    ask,
                });
            }
        }
        let asked = || comparison.asked.iter().map(|asked| &asked.ask);
        let is_asked = |granted: &CapabilityEntry| match granted.kind {
            CapabilityKind::Networks => asked().any(|ask| ask.kind == CapabilityKind::Http),
            _ => asked().any(|ask| cover(granted, ask) != Cover::Nothing),
        };
        comparison.unasked = granted(grant)
            .into_iter()
            .filter(|entry| !is_asked(entry))
            .collect();
        comparison
    }
}

impl Comparison {
    /// Returns what is asked for and not granted at all.
    pub fn missing(&self) -> impl Iterator<Item = &RequestedEntry> {
        let asked = self.asked.iter();
        asked.filter(|asked| matches!(asked.answer, GrantAnswer::Missing(_)))
    }
}

/// Returns what a plugin asks for, in order.
fn entries(request: &CapabilityRequest) -> Vec<CapabilityEntry> {
    let lists = [
        (CapabilityKind::Http, &request.http),
        (CapabilityKind::Secrets, &request.secrets),
        (CapabilityKind::Search, &request.search),
        (CapabilityKind::Lookups, &request.lookups),
        (CapabilityKind::Directories, &request.directories),
    ];
    list(lists)
}

/// Returns what is granted, in order.
fn granted(grant: &Grant) -> Vec<CapabilityEntry> {
    let secrets: Vec<String> = grant.secrets.keys().cloned().collect();
    let directories: Vec<String> = grant.directories.keys().cloned().collect();
    let lists = [
        (CapabilityKind::Http, &grant.http),
        (CapabilityKind::Secrets, &secrets),
        (CapabilityKind::Search, &grant.search),
        (CapabilityKind::Lookups, &grant.lookups),
        (CapabilityKind::Directories, &directories),
        (CapabilityKind::Networks, &grant.networks),
    ];
    list(lists)
}

fn list<const N: usize>(lists: [(CapabilityKind, &Vec<String>); N]) -> Vec<CapabilityEntry> {
    let mut asks: Vec<CapabilityEntry> = lists
        .into_iter()
        .flat_map(|(kind, entries)| {
            entries.iter().map(move |entry| CapabilityEntry {
                kind,
                entry: entry.clone(),
            })
        })
        .collect();
    asks.sort();
    asks.dedup();
    asks
}

fn answer(pack: &str, grant: &Grant, ask: &CapabilityEntry) -> GrantAnswer {
    let mut part = Vec::new();
    for entry in granted(grant) {
        match cover(&entry, ask) {
            Cover::All => return GrantAnswer::Granted,
            Cover::Part => part.push(entry.entry),
            Cover::Nothing => {}
        }
    }
    match part.is_empty() {
        false => GrantAnswer::Partly(part),
        true => GrantAnswer::Missing(line(pack, grant, ask)),
    }
}

/// Returns what to write into the grants file so that something is granted.
fn line(pack: &str, grant: &Grant, ask: &CapabilityEntry) -> String {
    let key = ask.kind.key();
    let set = match ask.kind {
        CapabilityKind::Secrets => {
            let name = if ask.entry == "*" { "NAME" } else { &ask.entry };
            format!("secrets.{} = [\"HOST\"]", toml_key(name))
        }
        CapabilityKind::Directories => format!("directories.{} = \"PATH\"", toml_key(&ask.entry)),
        _ => {
            let entry = match (ask.kind, ask.entry.as_str()) {
                (CapabilityKind::Http, "https://*") => "https://HOST",
                (CapabilityKind::Http, "http://*") => "http://HOST",
                (_, "*") => "TABLE",
                (_, entry) => entry,
            };
            let entries = granted(grant);
            let same = entries.iter().filter(|other| other.kind == ask.kind);
            let all = same.map(|other| other.entry.as_str()).chain([entry]);
            let all: Vec<String> = all
                .map(|entry| toml::Value::from(entry).to_string())
                .collect();
            format!("{key} = [{}]", all.join(", "))
        }
    };
    format!(
        "write `{set}` under `[pack.{}]` in the grants file",
        toml_key(pack)
    )
}

/// Writes a key of TOML, in quotes where it needs them.
fn toml_key(key: &str) -> String {
    let is_bare = key
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    match is_bare && !key.is_empty() {
        true => key.to_owned(),
        false => toml::Value::from(key).to_string(),
    }
}

#[cfg(test)]
mod tests;
