//! What an upgrade asks for that the version before it did not.

use std::fmt;

use yagura_core::Grant;
use yagura_core::pack::Limits;
use yagura_core::time::parse_duration;

use super::cover::{Cover, cover};
use super::{CapabilityEntry, GrantAnswer, PackRequests, answer, entries};

/// What changes from one version of a pack to the next.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// Plugins that are new, by file name.
    pub new_plugins: Vec<String>,
    /// Plugins that are gone.
    pub gone_plugins: Vec<String>,
    /// What is asked for now and was not, with the plugin.
    pub added: Vec<(String, CapabilityEntry)>,
    /// What was asked for and is not now, with the plugin.
    pub removed: Vec<(String, CapabilityEntry)>,
    /// Limits that are others now. Those of a new plugin are compared with the usual ones.
    pub limits: Vec<LimitChange>,
}

/// A limit that is another now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitChange {
    /// The plugin's file.
    pub plugin: String,
    /// The limit's key in `[plugin.limits]`.
    pub limit: &'static str,
    /// As it was.
    pub before: String,
    /// As it is now.
    pub now: String,
    /// Whether it is more now.
    pub is_more: bool,
}

/// What holds an upgrade back: it asks for more, and nobody has granted or accepted it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenRequest {
    /// The plugin's file.
    pub plugin: String,
    /// What it asks for.
    pub what: String,
    /// What would let it load.
    pub remedy: String,
}

impl fmt::Display for OpenRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            plugin,
            what,
            remedy,
        } = self;
        write!(f, "`{plugin}` now asks to {what}: {remedy}")
    }
}

impl Changes {
    /// Says what changes from `before` to `now`.
    pub fn between(before: &PackRequests, now: &PackRequests) -> Self {
        let mut changes = Self::default();
        for (plugin, asks) in &now.0 {
            let old = before.0.get(plugin);
            if old.is_none() {
                changes.new_plugins.push(plugin.clone());
            }
            let had = old.map(|old| entries(&old.request)).unwrap_or_default();
            let added = entries(&asks.request).into_iter().filter(|ask| {
                let covered = |old: &CapabilityEntry| cover(old, ask) == Cover::All;
                !had.iter().any(covered)
            });
            changes.added.extend(added.map(|ask| (plugin.clone(), ask)));
            let limits = old.map(|old| old.limits.clone()).unwrap_or_default();
            changes
                .limits
                .extend(limit_changes(plugin, &limits, &asks.limits));
        }
        for (plugin, asks) in &before.0 {
            let new = now.0.get(plugin);
            if new.is_none() {
                changes.gone_plugins.push(plugin.clone());
            }
            let has = new.map(|new| entries(&new.request)).unwrap_or_default();
            let removed = entries(&asks.request)
                .into_iter()
                .filter(|ask| !has.contains(ask));
            changes
                .removed
                .extend(removed.map(|ask| (plugin.clone(), ask)));
        }
        changes
    }

    /// Says whether nothing changes.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Says what holds back the upgrade of a pack from what was accepted `before` to what it asks for `now`; nothing: it may
/// load.
pub fn upgrade(
    pack: &str,
    before: &PackRequests,
    now: &PackRequests,
    grant: &Grant,
) -> Vec<OpenRequest> {
    let changes = Changes::between(before, now);
    let accept = format!("accept it with `yagura grants --config FILE --accept {pack}`");
    let added = changes.added.into_iter().filter_map(|(plugin, ask)| {
        let remedy = match answer(pack, grant, &ask) {
            GrantAnswer::Granted => return None,
            GrantAnswer::Missing(line) => format!("{line}, or {accept} to load it without"),
            GrantAnswer::Partly(part) => format!(
                "{} is granted; {accept} to leave it at that",
                part.join(", ")
            ),
        };
        Some(OpenRequest {
            plugin,
            what: ask.to_string(),
            remedy,
        })
    });
    let asked = |plugin: &str| now.0.get(plugin).map(|asks| &asks.limits);
    // What is usual, for one that asks for more than that.
    let usual = |change: &LimitChange| {
        let over = limit_changes("", &Limits::default(), asked(&change.plugin)?);
        let mut over = over.into_iter().filter(|over| over.is_more);
        over.find(|over| over.limit == change.limit)
    };
    // One that the operator bounds has an answer.
    let is_open = |limit: &LimitChange| limit.is_more && !grant.limits.names(limit.limit);
    let limits = changes.limits.into_iter().filter(is_open);
    let limits = limits.map(|change| OpenRequest {
        remedy: match usual(&change) {
            None => accept.clone(),
            Some(over) => format!(
                "write `limits.{} = {}` under `[pack.{pack}]` in the grants file, or {accept} to load it with {}",
                change.limit,
                match change.limit {
                    "time" => format!("{:?}", change.now),
                    _ => change.now.clone(),
                },
                over.before
            ),
        },
        what: format!(
            "have `limits.{} = {}`, which was {}",
            change.limit, change.now, change.before
        ),
        plugin: change.plugin,
    });
    added.chain(limits).collect()
}

fn limit_changes(plugin: &str, before: &Limits, now: &Limits) -> Vec<LimitChange> {
    let micros =
        |text: &str| u64::try_from(parse_duration(text).unwrap_or(i64::MAX)).unwrap_or(u64::MAX);
    let number =
        |limit, before: u64, now: u64| (limit, before.to_string(), now.to_string(), before, now);
    let all = [
        (
            "time",
            before.time.clone(),
            now.time.clone(),
            micros(&before.time),
            micros(&now.time),
        ),
        number("memory_mib", before.memory_mib, now.memory_mib),
        number("output_mib", before.output_mib, now.output_mib),
        number("log_lines", before.log_lines.into(), now.log_lines.into()),
        number("state_kib", before.state_kib, now.state_kib),
    ];
    all.into_iter()
        .filter(|(.., before, now)| before != now)
        .map(|(limit, before, now, old, new)| LimitChange {
            plugin: plugin.to_owned(),
            limit,
            before,
            now,
            is_more: new > old,
        })
        .collect()
}
