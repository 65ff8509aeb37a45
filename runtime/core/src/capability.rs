//! What a plugin asks to reach, and what an operator lets it reach. A plugin reaches what both name.

mod access;
mod check;
mod server;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::pack::Limits;
use crate::time::parse_duration;

pub use access::{Access, Denied};
pub use check::Problem;
pub(crate) use check::line_of as line_of_capability;
pub use server::{HostPattern, Scheme, ServerPattern, is_name};

/// What a plugin asks for: `[plugin.wants]` of its manifest. Nothing, where it is left out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Wants {
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

impl Wants {
    /// Says whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What an operator grants, by the name of the pack: the file that `grants` of the configuration names.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Grants {
    /// Packs by name.
    pub pack: BTreeMap<String, Grant>,
}

/// What the plugins of one pack may reach.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Grant {
    /// Servers, written as in [`Wants::http`]; `https://*` is not a grant.
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
    /// Directories whose files may be read as lookup tables, by the names of [`Wants::directories`]; relative to the grants
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
    pub time: Option<String>,
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
        if let Some(time) = &self.time
            && parse_duration(time).is_ok_and(|most| most < limits.time_micros())
        {
            bound.time.clone_from(time);
        }
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
            time: Some("2s".to_owned()),
            memory_mib: Some(512),
            log_lines: Some(5),
            ..MostLimits::default()
        };
        let asked = Limits::default();
        let bound = most.bound(&asked);
        assert_eq!(bound.time, "2s");
        assert_eq!(bound.memory_mib, asked.memory_mib, "more is not granted");
        assert_eq!(bound.log_lines, 5);
        assert_eq!(bound.output_mib, asked.output_mib);
        assert!(most.names("time") && !most.names("output_mib"));
        let longer = MostLimits {
            time: Some("1m".to_owned()),
            ..MostLimits::default()
        };
        assert_eq!(longer.bound(&asked), asked);
        assert_eq!(MostLimits::default().bound(&asked), asked);
    }
}
