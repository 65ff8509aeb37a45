//! The policy: what becomes of alerts, in one file that operators review.

mod compiled;
mod file;
mod hours;
mod lint;
mod matcher;
pub mod testing;

use std::collections::BTreeMap;

pub use compiled::{
    CompiledEnrichment, CompiledGrouping, CompiledInhibition, CompiledMaintenance,
    CompiledNotifier, CompiledPolicy, CompiledReview, CompiledRoute, CompiledStaging,
    CompiledSuppression, Rate,
};
pub use file::PolicyFile;
pub use hours::{Hours, HoursError};
pub use matcher::{Matcher, TextPattern, TextPatternError};
use serde::{Deserialize, Deserializer, de};
use yagura_core::{Severity, TimeSpan, Timestamp};

/// The file that `policy` of the configuration names.
#[derive(Debug, Clone, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Where reports go, by name.
    pub notifier: BTreeMap<String, NotifierSettings>,
    /// Which alerts belong to which team, by name.
    pub team: BTreeMap<String, Team>,
    /// Which incidents go where, in order.
    pub route: Vec<Route>,
    /// When alerts are parts of one incident.
    pub group: Grouping,
    /// Alerts that are recorded and not reported.
    pub suppress: Vec<Suppression>,
    /// Alerts that more severe ones silence.
    pub inhibit: Vec<Inhibition>,
    /// Times when alerts are recorded and not reported.
    pub maintenance: Vec<Maintenance>,
    /// When the alerts of one rule are reported as one.
    pub flood: Flood,
    /// New rules, on trial.
    pub staging: Staging,
    /// Who finds facts.
    pub enrich: Vec<Enrichment>,
    /// Who evaluates, in order: the last assessment on an alert holds.
    pub review: Vec<Reviewing>,
    /// Cases that `yagura test` runs.
    pub test: Vec<PolicyTest>,
}

/// `[notifier.NAME]`: where reports go.
#[derive(Debug, Clone, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NotifierSettings {
    /// `PACK/FILE.wasm` of a plugin of the world `notifier`.
    pub plugin: Option<String>,
    /// E-mail by the host, in place of a plugin.
    pub email: Option<Email>,
    /// Handed to the plugin, over the settings in its pack.
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub config: toml::Table,
    /// The least time between two reports of one incident; changes between them are reported together. Default: `10s`.
    pub every: Option<TimeSpan>,
    /// New incidents that are reported one by one. Further ones are reported in one summary.
    pub limit: Option<ReportLimit>,
    /// How long a report is tried before it is put aside as a dead letter. Default: `24h`.
    pub give_up: Option<TimeSpan>,
}

/// `[notifier.NAME.limit]`.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReportLimit {
    /// How many new incidents.
    pub incidents: u32,
    /// In how much time.
    pub per: TimeSpan,
}

/// `[notifier.NAME.email]`.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Email {
    /// `smtps://HOST[:PORT]` (port 465), or `smtp://HOST[:PORT]` with STARTTLS (port 587); to loopback without (port 25).
    pub server: String,
    /// The sender.
    pub from: String,
    /// The receivers.
    pub to: Vec<String>,
    /// User for the server.
    #[serde(default)]
    pub user: Option<String>,
    /// Name of the secret with the password.
    #[serde(default)]
    pub password: Option<String>,
}

/// `[team.NAME]`: which alerts belong to a team.
#[derive(Debug, Clone, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Team {
    /// What its alerts are like; an alert belongs to every team that claims it.
    pub owns: Match,
}

/// What an alert must be like. What is given must all hold; of a list, one. Empty: every alert.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Match {
    /// Ids of rules; `*` stands for any text.
    pub rules: Vec<String>,
    /// At least this severe.
    pub severity: Option<Severity>,
    /// Tags of the rule; `*` stands for any text.
    pub tags: Vec<String>,
    /// Keys; `*` stands for any text.
    pub keys: Vec<String>,
    /// Kinds of observables, each with values (`*` stands for any text) or, for addresses, networks.
    pub observables: BTreeMap<String, Vec<String>>,
    /// Names of context entries, each with values; `*` stands for any text.
    pub context: BTreeMap<String, Vec<String>>,
    /// Names of teams.
    pub teams: Vec<String>,
    /// Hours of the alert's first event: `mon-fri 09:00-18:00 Asia/Tokyo`; days and zone may be left out (every day, UTC).
    pub hours: Vec<String>,
    /// What it must not be like.
    pub not: Option<Box<Match>>,
}

/// `[[route]]`: which incidents go where.
#[derive(Debug, Clone, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Route {
    /// One alert of the incident must be like this.
    pub when: Match,
    /// Names of notifiers.
    pub notify: Vec<String>,
    /// Goes on with the routes below. Otherwise the first that fits is the last.
    pub also: bool,
}

/// `[group]`: when alerts are parts of one incident.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Grouping {
    /// Kinds of observables: alerts that share a value are one incident.
    pub by: Vec<String>,
    /// Values that many share, and that join nothing; `*` stands for any text, for addresses networks.
    pub ignore: Vec<String>,
    /// Event time between an alert and the incident's nearest.
    pub within: TimeSpan,
    /// Event time from an incident's first alert, after which a new one is opened.
    pub longest: TimeSpan,
}

impl Default for Grouping {
    fn default() -> Self {
        Self {
            by: ["ip", "user", "host", "email"].map(str::to_owned).to_vec(),
            ignore: Vec::new(),
            within: TimeSpan::from_mins(60),
            longest: TimeSpan::from_days(1),
        }
    }
}

/// `[[suppress]]`: alerts that are recorded and not reported.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Suppression {
    /// Which.
    pub when: Match,
    /// Who answers for it.
    pub owner: String,
    /// Why.
    pub reason: String,
    /// Until when, in event time: a suppression without end is an error.
    pub expires: Timestamp,
}

/// `[[inhibit]]`: alerts that more severe ones silence.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Inhibition {
    /// The more severe alert.
    pub by: Match,
    /// Those that it silences.
    pub silences: Match,
    /// Kinds of observables of which they must share a value; `key` for the key. Empty: nothing in common.
    #[serde(default)]
    pub share: Vec<String>,
    /// Event time between them.
    pub within: TimeSpan,
}

/// `[[maintenance]]`: times when alerts are recorded and not reported. Either `from` and `to`, or `hours`.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Maintenance {
    /// Which alerts.
    #[serde(default)]
    pub when: Match,
    /// Who answers for it.
    pub owner: String,
    /// What is done.
    pub reason: String,
    /// Event time from which on.
    #[serde(default)]
    pub from: Option<Timestamp>,
    /// Event time until which.
    #[serde(default)]
    pub to: Option<Timestamp>,
    /// Hours that come again, written as in a `when`.
    #[serde(default)]
    pub hours: Vec<String>,
}

/// `[flood]`: when the alerts of one rule are reported as one.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Flood {
    /// Incidents that one rule may open.
    pub incidents: u32,
    /// In how much event time. What comes more goes into one incident of the rule, until there has been less for as long.
    pub per: TimeSpan,
    /// Only alerts less severe than this are folded; each of the others has an incident.
    pub below: Option<Severity>,
}

impl Default for Flood {
    fn default() -> Self {
        Self {
            incidents: 20,
            per: TimeSpan::from_mins(60),
            below: None,
        }
    }
}

/// `[staging]`: new rules whose alerts are recorded and not reported yet.
#[derive(Debug, Clone, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Staging {
    /// Ids of rules on trial; `*` stands for any text.
    pub rules: Vec<String>,
    /// A rule is promoted once it has been quiet for so long, in event time. Without it, it stays on trial while it is
    /// listed.
    pub quiet: Option<TimeSpan>,
}

/// `[[enrich]]`: who finds facts.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Enrichment {
    /// `PACK/FILE.wasm` of a plugin of the world `enricher`.
    pub plugin: String,
    /// About which alerts.
    #[serde(default)]
    pub when: Match,
    /// Handed to the plugin, over the settings in its pack.
    #[serde(default)]
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub config: toml::Table,
    /// When, after the alert came up; more than once, because logs arrive late.
    #[serde(default = "at_once")]
    pub delays: Vec<Delay>,
    /// How long answers of servers are kept and given again. Default: not at all.
    #[serde(default)]
    pub cache: Option<TimeSpan>,
    /// Calls to one server.
    #[serde(default)]
    pub limit: Option<EnrichLimit>,
}

fn at_once() -> Vec<Delay> {
    vec![Delay(None)]
}

/// A time to wait, which may be none: `0s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Delay(pub Option<TimeSpan>);

impl Delay {
    /// Returns its length in microseconds.
    pub fn micros(self) -> i64 {
        self.0.map_or(0, TimeSpan::micros)
    }
}

impl<'de> Deserialize<'de> for Delay {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let unit = text.trim().trim_start_matches('0');
        let is_none =
            unit.len() < text.trim().len() && matches!(unit, "ms" | "s" | "m" | "h" | "d");
        match is_none {
            true => Ok(Self(None)),
            false => text
                .parse()
                .map(|span| Self(Some(span)))
                .map_err(de::Error::custom),
        }
    }
}

impl schemars::JsonSchema for Delay {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Delay".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        TimeSpan::json_schema(generator)
    }
}

/// `[enrich.limit]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EnrichLimit {
    /// How many calls.
    pub calls: u32,
    /// In how much time.
    pub per: TimeSpan,
}

/// `[[review]]`: who evaluates.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reviewing {
    /// `PACK/FILE.wasm` of a plugin of the world `reviewer`.
    pub plugin: String,
    /// Which alerts.
    #[serde(default)]
    pub when: Match,
    /// Handed to the plugin, over the settings in its pack.
    #[serde(default)]
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub config: toml::Table,
}

/// `[[test]]`: alerts, and what must become of them.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyTest {
    /// Name of the case.
    pub name: String,
    /// Alerts as they come up, in order.
    #[serde(default)]
    pub alert: Vec<TestAlert>,
    /// File of recorded alerts (as `yagura serve` or `run --format json` writes them), relative to the policy, in place of
    /// `alert`.
    #[serde(default)]
    pub alerts: Option<std::path::PathBuf>,
    /// What becomes of each, in the same order; of recorded alerts, all that `rule` or `key` name.
    pub expect: Vec<ExpectedOutcome>,
    /// How many incidents there are in the end.
    #[serde(default)]
    pub incidents: Option<u32>,
}

/// `[[test.alert]]`.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TestAlert {
    /// Id of the rule.
    pub rule: String,
    /// Time of its first event.
    pub time: Timestamp,
    /// How severe.
    #[serde(default)]
    pub severity: Severity,
    /// What it is about.
    #[serde(default)]
    pub key: String,
    /// Tags of the rule.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Kinds of observables, each with values.
    #[serde(default)]
    pub observables: BTreeMap<String, Vec<String>>,
    /// Context entries.
    #[serde(default)]
    pub context: BTreeMap<String, String>,
}

/// `[[test.expect]]`: what becomes of an alert. What is left out is not looked at.
#[derive(Debug, Clone, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ExpectedOutcome {
    /// Only for recorded alerts: those of this rule.
    pub rule: Option<String>,
    /// Only for recorded alerts: those with this key.
    pub key: Option<String>,
    /// Notifiers that report it, in any order.
    pub notify: Option<Vec<String>>,
    /// What became of it: `reported`, `suppressed`, `maintenance`, `staged` or `inhibited`.
    pub outcome: Option<String>,
    /// Part of the incident that the alert at this place (from one) opened.
    pub incident: Option<u32>,
    /// Reported as a part of its rule's flood.
    pub flood: Option<bool>,
}
