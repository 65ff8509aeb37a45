//! What a plugin asks to reach, and what an operator lets it reach. A plugin reaches what both name.

mod access;
mod check;
mod server;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::duration::TimeSpan;
use crate::pack::{Limits, Manifest, World};

pub use access::{Denied, GrantedAccess};
pub use server::{HostPattern, Scheme, ServerPattern, ServerPatternError, is_name};

/// What a plugin asks for: `[plugin.request]` of its manifest. Nothing, where it is left out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CapabilityRequest {
    /// Servers: `https://api.example.org`, with a port where it is not the scheme's own; `https://*.example.org` for all
    /// below a domain; `https://*` or `http://*` for those that the operator chooses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub http: Vec<String>,
    /// Names of secrets that it puts into requests; `*` for those that the operator chooses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// Tables whose events it searches; `*` for those that the operator chooses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub search: Vec<String>,
    /// Lookup tables that are not part of its pack; `*` for those that the operator chooses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lookups: Vec<String>,
    /// Directories of lookup tables, by names of its own: the operator says where each is. A file `ips.csv` in `feeds` is the
    /// table `feeds/ips`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub directories: Vec<String>,
}

impl CapabilityRequest {
    /// Says whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What an operator grants, by the name of the pack: the file that `grants` of the configuration names.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Grants {
    /// The most that plugins of any pack may use, where its own grant says nothing of it. What is left out is as in
    /// [`Limits::default`]: a pack that asks for more needs a grant.
    #[serde(skip_serializing_if = "MostLimits::is_empty")]
    pub limits: MostLimits,
    /// Packs by name.
    pub pack: BTreeMap<String, Grant>,
}

impl Grants {
    /// Returns what is granted to a pack, with the limits that hold for all packs where it has none of its own.
    pub fn of(&self, pack: &str) -> Grant {
        let mut grant = self.pack.get(pack).cloned().unwrap_or_default();
        grant.limits = grant.limits.or(&self.limits);
        grant
    }

    /// Returns the most that plugins of a pack may use: what is granted, else what is usual in their world.
    pub fn most_limits(&self, pack: &str, world: World) -> MostLimits {
        self.of(pack).limits.or(&MostLimits::usual(world))
    }

    /// Grants nothing but every limit that a manifest can ask for: for authors, who run what they wrote.
    pub fn without_bounds() -> Self {
        Self {
            limits: MostLimits {
                time: Some(TimeSpan::from_days(36_500)),
                memory_mib: Some(u64::MAX),
                output_mib: Some(u64::MAX),
                log_lines: Some(u32::MAX),
                state_kib: Some(u64::MAX),
            },
            pack: BTreeMap::new(),
        }
    }
}

/// A limit of which a manifest asks for more than is usual, and which nothing grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotGranted {
    /// The plugin's file.
    pub plugin: String,
    /// Its world, for which the limit is usual.
    pub world: World,
    /// The key in `[plugin.limits]`.
    pub limit: &'static str,
    /// What is asked for, and what it has in place of that; as they are written in TOML.
    pub asked: String,
    /// What it has.
    pub usual: String,
}

/// What the plugins of one pack may reach.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Grant {
    /// Servers, written as in [`CapabilityRequest::http`]; `https://*` is not a grant.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub http: Vec<String>,
    /// Networks of private, loopback or link-local addresses that these servers may have (`10.1.0.0/16`); all such
    /// addresses are refused otherwise.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<String>,
    /// Names of secrets, each with the hosts that it may go to (`api.example.org`, `*.example.org`).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, Vec<String>>,
    /// Tables whose events may be searched.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub search: Vec<String>,
    /// Lookup tables of the configuration.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lookups: Vec<String>,
    /// Directories whose files may be read as lookup tables, by the names of [`CapabilityRequest::directories`]; relative to the grants
    /// file. Nothing outside is read, whatever links lie in them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub directories: BTreeMap<String, PathBuf>,
    /// The most that its plugins may use, whatever their manifest asks for.
    #[serde(skip_serializing_if = "MostLimits::is_empty")]
    pub limits: MostLimits,
}

/// The most that an instance and a call may use, by the keys of `[plugin.limits]`. What is left out is as the manifest says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MostLimits {
    /// See [`Limits::time`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<TimeSpan>,
    /// See [`Limits::memory_mib`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<u64>,
    /// See [`Limits::output_mib`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_mib: Option<u64>,
    /// See [`Limits::log_lines`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_lines: Option<u32>,
    /// See [`Limits::state_kib`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_kib: Option<u64>,
}

impl MostLimits {
    /// Says whether nothing is bounded.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns what plugins of a world may use where nobody says anything else. Those that wait for servers may take longer.
    pub fn usual(world: World) -> Self {
        let usual = Limits::default();
        Self {
            time: Some(match world {
                World::Enricher | World::Reviewer | World::Notifier => TimeSpan::from_secs(30),
                World::Detector | World::Normalizer => usual.time,
            }),
            memory_mib: Some(usual.memory_mib),
            output_mib: Some(usual.output_mib),
            log_lines: Some(usual.log_lines),
            state_kib: Some(usual.state_kib),
        }
    }

    /// Returns these, and those of `others` for what is left out.
    #[must_use]
    pub fn or(&self, others: &Self) -> Self {
        Self {
            time: self.time.or(others.time),
            memory_mib: self.memory_mib.or(others.memory_mib),
            output_mib: self.output_mib.or(others.output_mib),
            log_lines: self.log_lines.or(others.log_lines),
            state_kib: self.state_kib.or(others.state_kib),
        }
    }

    /// Returns what the plugins of a pack ask for over what is usual, and nothing here answers.
    pub fn not_granted(&self, pack: &Manifest) -> Vec<NotGranted> {
        let mut over = Vec::new();
        for plugin in &pack.plugins {
            let bound = Self::usual(plugin.world).bound(&plugin.limits).written();
            let asked = plugin.limits.written().into_iter().zip(bound);
            over.extend(
                asked
                    .filter(|((limit, asked), (_, usual))| asked != usual && !self.names(limit))
                    .map(|((limit, asked), (_, usual))| NotGranted {
                        plugin: plugin.file.clone(),
                        world: plugin.world,
                        limit,
                        asked,
                        usual,
                    }),
            );
        }
        over
    }

    /// Says whether a limit is bounded, by its key.
    pub fn names(&self, limit: &str) -> bool {
        match limit {
            "time" => self.time.is_some(),
            "memory_mib" => self.memory_mib.is_some(),
            "output_mib" => self.output_mib.is_some(),
            "log_lines" => self.log_lines.is_some(),
            "state_kib" => self.state_kib.is_some(),
            _ => false,
        }
    }

    /// Returns the limits, each no more than this.
    pub fn bound(&self, limits: &Limits) -> Limits {
        let mut bound = limits.clone();
        bound.time = self.time.map_or(bound.time, |most| most.min(bound.time));
        let least = |asked: &mut u64, most: Option<u64>| {
            *asked = most.map_or(*asked, |most| most.min(*asked))
        };
        least(&mut bound.memory_mib, self.memory_mib);
        least(&mut bound.output_mib, self.output_mib);
        least(&mut bound.state_kib, self.state_kib);
        bound.log_lines = self
            .log_lines
            .map_or(bound.log_lines, |most| most.min(bound.log_lines));
        bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_granted_bounds_what_is_asked_for() {
        let most = MostLimits {
            time: Some(TimeSpan::from_secs(2)),
            memory_mib: Some(512),
            log_lines: Some(5),
            ..MostLimits::default()
        };
        let asked = Limits::default();
        let bound = most.bound(&asked);
        assert_eq!(bound.time, TimeSpan::from_secs(2));
        assert_eq!(bound.memory_mib, asked.memory_mib, "more is not granted");
        assert_eq!(bound.log_lines, 5);
        assert_eq!(bound.output_mib, asked.output_mib);
        assert!(most.names("time") && !most.names("output_mib"));
        let longer = MostLimits {
            time: Some(TimeSpan::from_mins(1)),
            ..MostLimits::default()
        };
        assert_eq!(longer.bound(&asked), asked);
        assert_eq!(MostLimits::default().bound(&asked), asked);
    }

    #[test]
    fn more_than_usual_needs_a_grant() {
        let limits = |time: &str, memory_mib, state_kib| Limits {
            time: time.parse().unwrap(),
            memory_mib,
            state_kib,
            ..Limits::default()
        };
        let text =
            "limits = { state_kib = 128 }\npack.a.limits = { memory_mib = 1024, time = \"1s\" }\n";
        let grants: Grants = toml::from_str(text).unwrap();
        let asked = limits("20s", 2048, 256);
        let got = |pack: &str| grants.most_limits(pack, World::Detector).bound(&asked);
        assert_eq!(got("a"), limits("1s", 1024, 128));
        assert_eq!(got("b"), limits("10s", 256, 128));
        assert_eq!(
            Grants::default()
                .most_limits("b", World::Normalizer)
                .bound(&asked),
            Limits::default()
        );
        // Who waits for a server may take longer.
        for world in [World::Enricher, World::Reviewer, World::Notifier] {
            let most = Grants::default().most_limits("b", world);
            assert_eq!(most.bound(&asked), limits("20s", 256, 64));
            assert_eq!(
                most.bound(&limits("1m", 1, 1)).time,
                TimeSpan::from_secs(30)
            );
            let most = grants.most_limits("a", world);
            assert_eq!(
                most.bound(&asked).time,
                TimeSpan::from_secs(1),
                "as the grants say"
            );
        }
        assert_eq!(
            Grants::without_bounds()
                .most_limits("b", World::Detector)
                .bound(&asked),
            asked
        );
        // Less needs none.
        let less = limits("5ms", 1, 1);
        assert_eq!(grants.most_limits("b", World::Detector).bound(&less), less);

        let manifest = "[pack]\nname = \"b\"\nversion = \"1.0.0\"\napi = \"0.1.0\"\n[[plugin]]\nfile = \"a.wasm\"\nworld = \"detector\"\n\
             [plugin.limits]\ntime = \"20s\"\nmemory_mib = 2048\nstate_kib = 256\nlog_lines = 1\n";
        let manifest: Manifest = toml::from_str(manifest).unwrap();
        let over = |pack| -> Vec<String> {
            let over = grants.of(pack).limits.not_granted(&manifest).into_iter();
            over.map(|one| format!("{} = {} for {}", one.limit, one.usual, one.asked))
                .collect()
        };
        assert_eq!(over("a"), [""; 0]);
        assert_eq!(
            over("b"),
            ["time = \"10s\" for \"20s\"", "memory_mib = 256 for 2048"]
        );
    }
}
