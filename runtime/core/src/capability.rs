//! What a plugin asks to reach, and what an operator lets it reach. A plugin reaches what both name.

mod access;
mod check;
mod server;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use access::{Access, Denied};
pub use check::Problem;
pub(crate) use check::line_of as line_of_capability;
pub use server::{HostPattern, Scheme, ServerPattern, is_secret_name};

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
}
