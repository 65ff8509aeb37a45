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

pub use change::{Changes, Held, LimitChange, upgrade};

use cover::{Cover, cover};

/// What the plugins of a pack ask for, by file name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Asks(pub BTreeMap<String, PluginAsks>);

/// What one plugin asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PluginAsks {
    /// What it exports, and so when it runs.
    pub world: World,
    /// What it asks to reach.
    #[serde(default, skip_serializing_if = "CapabilityRequest::is_empty")]
    pub request: CapabilityRequest,
    /// What a call and an instance may use.
    #[serde(default)]
    pub limits: Limits,
}

/// A kind of thing that can be reached, by its key in `[plugin.request]` and in the grants file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
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

/// One thing that is asked for or granted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ask {
    /// Of which kind.
    pub kind: Kind,
    /// As it is written in the file.
    pub entry: String,
}

/// One thing that a plugin asks for, and the operator's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The plugin's file.
    pub plugin: String,
    /// What it asks for.
    pub ask: Ask,
    /// The answer.
    pub answer: Answer,
}

/// What a grants file says to what is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
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
    pub asked: Vec<Asked>,
    /// What is granted and nobody asks for: it can be taken out.
    pub unasked: Vec<Ask>,
}

impl Kind {
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

impl fmt::Display for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, entry } = self;
        match kind {
            Kind::Http => write!(f, "speak to `{entry}`"),
            Kind::Secrets => write!(f, "use the secret `{entry}`"),
            Kind::Search => write!(f, "search the table `{entry}`"),
            Kind::Lookups => write!(f, "read the lookup `{entry}`"),
            Kind::Directories => write!(f, "read the files of the directory `{entry}`"),
            Kind::Networks => write!(f, "reach the network `{entry}`"),
        }
    }
}

impl Asks {
    /// Returns what the plugins of a pack ask for.
    pub fn of(pack: &Manifest) -> Self {
        let plugins = pack.plugins.iter().map(|plugin| {
            let asks = PluginAsks {
                world: plugin.world,
                request: plugin.request.clone(),
                limits: plugin.limits.clone(),
            };
            (plugin.file.clone(), asks)
        });
        Self(plugins.collect())
    }

    /// Returns what each plugin asks for, in order, by file name.
    pub fn entries(&self) -> BTreeMap<String, Vec<Ask>> {
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
                comparison.asked.push(Asked {
                    plugin: plugin.clone(),
                    answer: answer(pack, grant, &ask),
                    ask,
                });
            }
        }
        let asked = || comparison.asked.iter().map(|asked| &asked.ask);
        let is_asked = |granted: &Ask| match granted.kind {
            Kind::Networks => asked().any(|ask| ask.kind == Kind::Http),
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
    pub fn missing(&self) -> impl Iterator<Item = &Asked> {
        let asked = self.asked.iter();
        asked.filter(|asked| matches!(asked.answer, Answer::Missing(_)))
    }
}

/// Returns what a plugin asks for, in order.
fn entries(request: &CapabilityRequest) -> Vec<Ask> {
    let lists = [
        (Kind::Http, &request.http),
        (Kind::Secrets, &request.secrets),
        (Kind::Search, &request.search),
        (Kind::Lookups, &request.lookups),
        (Kind::Directories, &request.directories),
    ];
    list(lists)
}

/// Returns what is granted, in order.
fn granted(grant: &Grant) -> Vec<Ask> {
    let secrets: Vec<String> = grant.secrets.keys().cloned().collect();
    let directories: Vec<String> = grant.directories.keys().cloned().collect();
    let lists = [
        (Kind::Http, &grant.http),
        (Kind::Secrets, &secrets),
        (Kind::Search, &grant.search),
        (Kind::Lookups, &grant.lookups),
        (Kind::Directories, &directories),
        (Kind::Networks, &grant.networks),
    ];
    list(lists)
}

fn list<const N: usize>(lists: [(Kind, &Vec<String>); N]) -> Vec<Ask> {
    let mut asks: Vec<Ask> = lists
        .into_iter()
        .flat_map(|(kind, entries)| {
            entries.iter().map(move |entry| Ask {
                kind,
                entry: entry.clone(),
            })
        })
        .collect();
    asks.sort();
    asks.dedup();
    asks
}

fn answer(pack: &str, grant: &Grant, ask: &Ask) -> Answer {
    let mut part = Vec::new();
    for entry in granted(grant) {
        match cover(&entry, ask) {
            Cover::All => return Answer::Granted,
            Cover::Part => part.push(entry.entry),
            Cover::Nothing => {}
        }
    }
    match part.is_empty() {
        false => Answer::Partly(part),
        true => Answer::Missing(line(pack, grant, ask)),
    }
}

/// Returns what to write into the grants file so that something is granted.
fn line(pack: &str, grant: &Grant, ask: &Ask) -> String {
    let key = ask.kind.key();
    let set = match ask.kind {
        Kind::Secrets => {
            let name = if ask.entry == "*" { "NAME" } else { &ask.entry };
            format!("secrets.{} = [\"HOST\"]", toml_key(name))
        }
        Kind::Directories => format!("directories.{} = \"PATH\"", toml_key(&ask.entry)),
        _ => {
            let entry = match (ask.kind, ask.entry.as_str()) {
                (Kind::Http, "https://*") => "https://HOST",
                (Kind::Http, "http://*") => "http://HOST",
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
