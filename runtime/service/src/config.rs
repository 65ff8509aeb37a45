//! The configuration file, and the tables that it names.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Deserializer, de};
use yagura_core::source::SourceText;
use yagura_core::{FieldPath, TimeSpan, Timestamp};
use yagura_engine::{Replaced, RunOptions};
use yagura_lake::Location;
use yagura_lake::table::{EpochUnit, OnProblem, TableConfig};

use crate::listen::ListenSettings;

/// MiB of linear memory of all plugins' instances together, unless the configuration sets it.
pub const PLUGIN_MEMORY_MIB: usize = 4_096;

/// `yagura.toml`. `runtime/service/default.toml` shows every setting with its comment.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// A lake whose folders are tables.
    pub lake: Option<LakeSettings>,
    /// Packs to run, directories or archives, relative to the file.
    pub packs: Vec<PathBuf>,
    /// Sigma rules to run, files or directories, relative to the file.
    pub sigma: Vec<PathBuf>,
    /// Field maps for them, relative to the file.
    pub field_maps: Vec<PathBuf>,
    /// Geolocation database (MMDB), relative to the file.
    pub geoip: Option<PathBuf>,
    /// What `yagura serve` needs.
    pub serve: Option<ServeSettings>,
    /// What becomes of alerts: a file, relative to this one.
    pub policy: Option<PathBuf>,
    /// Who may sign packs: a file, relative to this one. Without it packs need no signature.
    pub trust: Option<PathBuf>,
    /// What plugins may reach: a file, relative to this one.
    pub grants: Option<PathBuf>,
    /// Where alerts, incidents and receipts are kept: a file, relative to this one, or `postgres://…`.
    pub store: Option<String>,
    /// Secrets by name.
    pub secret: BTreeMap<String, SecretSettings>,
    /// Lookup tables by name.
    pub lookup: BTreeMap<String, LookupSettings>,
    /// Tables by name; these come before the lake's.
    pub table: BTreeMap<String, TableSettings>,
    /// Raw logs that the service ingests as they arrive, by name.
    pub source: BTreeMap<String, SourceSettings>,
    /// Sockets whose syslog becomes raw logs, by name.
    pub listen: BTreeMap<String, ListenSettings>,
}

/// `[lake]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LakeSettings {
    /// Path, or URL of an object store.
    pub url: String,
    /// Options of the object store.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}

/// `[table.NAME]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableSettings {
    /// Where the objects lie; absent for a table of the lake.
    pub url: Option<String>,
    /// Options of the object store.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    /// The column of event time.
    pub time: Option<String>,
    /// What the numbers of the time column count since 1970.
    pub time_unit: Option<EpochUnit>,
    /// The partition that holds the day of the event time.
    pub day_partition: Option<DayPartition>,
    /// What to do with rows without a usable time.
    pub on_null_time: Option<FaultAction>,
    /// What to do with objects that cannot be read.
    pub on_bad_file: Option<FaultAction>,
    /// How far behind the latest event time an event may come.
    pub lateness: Option<TimeSpan>,
    /// Columns by the kind of observable that they hold, for searches.
    #[serde(default)]
    pub observables: BTreeMap<String, Vec<FieldPath>>,
}

/// `[source.NAME]`: raw logs that the service ingests as they arrive.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceSettings {
    /// The prefix below which raw objects arrive: a path, or a URL of an object store.
    pub url: String,
    /// Options of the object store.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    /// The source that makes rows of them: a name, or the path of its file relative to this one; by default the name of the section.
    pub source: Option<String>,
    /// The table of the lake that receives the rows; by default the name of the source.
    pub table: Option<String>,
    /// The zone of times that name none, in place of the one that the source declares.
    pub timezone: Option<String>,
    /// The queue in which the cloud announces new objects; absent: they are found by listing.
    pub events: Option<String>,
    /// What becomes of the rows of an object that is rewritten; absent: they are replaced, and kept for local files.
    pub rewritten: Option<Rewritten>,
    /// How often the prefix is listed; absent: every 10 s, and every 5 min with a queue.
    pub poll: Option<TimeSpan>,
    /// How often new objects of the table are added to its index.
    #[serde(default = "indexed_every")]
    pub index: TimeSpan,
}

fn indexed_every() -> TimeSpan {
    TimeSpan::from_secs(600)
}

/// What becomes of the rows of a raw object that is rewritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rewritten {
    /// They leave the table when those of the new content are in it.
    Replace,
    /// They stay beside those of the new content.
    Keep,
}

impl SourceSettings {
    /// Returns how often the prefix is listed.
    pub fn listed_every(&self) -> TimeSpan {
        let default = match self.events {
            Some(_) => TimeSpan::from_secs(300),
            None => TimeSpan::from_secs(10),
        };
        self.poll.unwrap_or(default)
    }
}

/// `[secret.NAME]`: where a secret comes from. One of them.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SecretSettings {
    /// An environment variable.
    pub env: Option<String>,
    /// A file, relative to this one; a line end at its end is not part of it.
    pub file: Option<PathBuf>,
    /// A command with its arguments, which writes it to stdout.
    pub command: Option<Vec<String>>,
}

/// `[lookup.NAME]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LookupSettings {
    /// The file, relative to this one.
    pub file: PathBuf,
    /// The column under which rows are found; by default the first.
    pub key: Option<String>,
}

/// `[serve]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServeSettings {
    /// Directory of the state, relative to the file.
    pub state: PathBuf,
    /// File of alerts, relative to the file.
    pub alerts: PathBuf,
    /// How often tables are listed.
    pub poll: TimeSpan,
    /// How far behind the latest event time an event may come, for all tables.
    pub lateness: Option<TimeSpan>,
    /// Time on the clock without new objects after which a table is idle.
    pub idle: TimeSpan,
    /// How far ahead of the clock an event may lie and still move the watermark.
    pub future: TimeSpan,
    /// How often all of a large table is listed.
    pub list_all: TimeSpan,
    /// How long nothing new must be listed before a new table's first load is at its end.
    pub first_load: TimeSpan,
    /// How long an object that cannot be read is waited for.
    pub patience: TimeSpan,
    /// What becomes of an object that was replaced after it had been read.
    pub on_replaced: OnReplaced,
    /// Events before it are not evaluated.
    pub from: Option<Timestamp>,
    /// Objects of a table that one step takes.
    pub step_objects: usize,
    /// MiB of a table that one step takes.
    pub step_mib: u64,
    /// MiB of memory for the state of correlations.
    pub memory_mib: usize,
    /// Keys of correlations that may be spilled.
    pub keys_on_disk: usize,
    /// MiB of linear memory that all plugins may have together.
    pub plugin_memory_mib: usize,
    /// MiB that findings which wait for the watermark may take.
    pub pending_mib: usize,
    /// Events of a table that may wait for rules with `partition_by`.
    pub pending_rows: usize,
    /// Keys of which one rule with `partition_by` keeps state.
    pub keys_per_rule: usize,
    /// MiB of state that one rule with `partition_by` keeps.
    pub state_mib_per_rule: usize,
    /// Time that a step waits for one rule's plugin, beside ten microseconds an event.
    pub rule_time: TimeSpan,
    /// How long the first quarantine of a rule lasts after repeated faults of its plugin.
    pub cooldown: TimeSpan,
    /// How long trouble of the service itself lasts before it is reported, or `off`.
    pub report_trouble: ReportTrouble,
}

impl Default for ServeSettings {
    fn default() -> Self {
        Self {
            state: "state".into(),
            alerts: "alerts.ndjson".into(),
            poll: TimeSpan::from_secs(1),
            lateness: None,
            idle: TimeSpan::from_mins(15),
            future: TimeSpan::from_mins(60),
            list_all: TimeSpan::from_mins(60),
            first_load: TimeSpan::from_secs(10),
            patience: TimeSpan::from_mins(10),
            on_replaced: OnReplaced::Keep,
            from: None,
            step_objects: 64,
            step_mib: 256,
            memory_mib: 512,
            keys_on_disk: 50_000_000,
            plugin_memory_mib: PLUGIN_MEMORY_MIB,
            pending_mib: 512,
            pending_rows: RunOptions::default().max_pending_rows,
            keys_per_rule: RunOptions::default().max_keys,
            state_mib_per_rule: 1_024,
            rule_time: TimeSpan::from_millis(100),
            cooldown: TimeSpan::from_mins(1),
            report_trouble: ReportTrouble(Some(TimeSpan::from_mins(5))),
        }
    }
}

/// How long trouble of the service itself lasts before it is reported; never with `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportTrouble(pub Option<TimeSpan>);

impl<'de> Deserialize<'de> for ReportTrouble {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "off" => Ok(Self(None)),
            text => text
                .parse()
                .map(|span| Self(Some(span)))
                .map_err(|error| de::Error::custom(format!("{error}, or off"))),
        }
    }
}

/// What becomes of an object that was replaced after it had been read.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnReplaced {
    /// What was found in the old object stays.
    Keep,
    /// The events of the new object are evaluated too.
    Evaluate,
}

impl From<OnReplaced> for Replaced {
    fn from(replaced: OnReplaced) -> Self {
        match replaced {
            OnReplaced::Keep => Self::Keep,
            OnReplaced::Evaluate => Self::Evaluate,
        }
    }
}

/// `day_partition`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DayPartition {
    /// The partition column.
    pub column: String,
    /// How it writes the day, in the way of strftime.
    #[serde(default = "iso_day")]
    pub format: String,
}

fn iso_day() -> String {
    "%Y-%m-%d".to_owned()
}

/// What to do with rows and objects that cannot be used.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FaultAction {
    /// The run stops.
    Fail,
    /// They are counted and left out.
    Skip,
}

impl From<FaultAction> for OnProblem {
    fn from(action: FaultAction) -> Self {
        match action {
            FaultAction::Fail => Self::Fail,
            FaultAction::Skip => Self::Skip,
        }
    }
}

impl Config {
    /// Reads the file; paths in it become relative to its directory.
    pub fn read(file: &Path) -> Result<Self> {
        let text = fs::read_to_string(file)
            .with_context(|| format!("cannot read the configuration {}", file.display()))?;
        let mut config: Self = SourceText::new(file, &text).toml()?;
        let dir = file.parent().unwrap_or(Path::new("."));
        let serve = config.serve.get_or_insert_default();
        for path in [&mut serve.state, &mut serve.alerts] {
            *path = dir.join(&*path);
        }
        let files = [
            &mut config.geoip,
            &mut config.policy,
            &mut config.trust,
            &mut config.grants,
        ];
        for file in files.into_iter().flatten() {
            *file = dir.join(&*file);
        }
        for secret in config.secret.values_mut() {
            if let Some(file) = &mut secret.file {
                *file = dir.join(&*file);
            }
        }
        for lookup in config.lookup.values_mut() {
            lookup.file = dir.join(&lookup.file);
        }
        let paths = [&mut config.packs, &mut config.sigma, &mut config.field_maps];
        for path in paths.into_iter().flatten() {
            *path = dir.join(&*path);
        }
        let here = |url: &mut String| {
            if !url.contains("://") && Path::new(url).is_relative() {
                *url = dir.join(&*url).to_string_lossy().into_owned();
            }
        };
        if let Some(lake) = &mut config.lake {
            here(&mut lake.url);
        }
        if let Some(store) = &mut config.store {
            here(store);
        }
        let of_tables = config.table.values_mut();
        let of_tables = of_tables.filter_map(|table| table.url.as_mut());
        let of_sources = config.source.values_mut().map(|source| &mut source.url);
        let of_listeners = config.listen.values_mut().map(|listener| {
            listener.resolve(dir);
            &mut listener.url
        });
        let raw = of_sources.chain(of_listeners);
        of_tables.chain(raw).for_each(here);
        for source in config.source.values_mut() {
            if let Some(file) = &mut source.source
                && file.ends_with(".toml")
            {
                *file = dir.join(&*file).to_string_lossy().into_owned();
            }
        }
        Ok(config)
    }

    /// Returns where alerts are kept.
    pub fn store_location(&self) -> Result<yagura_alerts::StoreLocation> {
        match &self.store {
            Some(store) => alert_store(store),
            None => {
                let state = self.serve.clone().unwrap_or_default().state;
                Ok(yagura_alerts::StoreLocation::Sqlite(
                    state.join("alerts.db"),
                ))
            }
        }
    }

    /// Returns the tables: those with a URL, then the lake's others, which are its folders.
    pub async fn tables(&self) -> Result<Vec<TableConfig>> {
        let tables = self.tables_so_far().await?;
        if tables.is_empty()
            && let Some(lake) = &self.lake
        {
            let location = Location::parse(&lake.url, &lake.options)?;
            bail!(
                "the lake {location} holds no tables; `yagura ingest --table NAME --to {location} FILE…` makes one"
            );
        }
        Ok(tables)
    }

    /// Returns the tables, of which a lake may hold none yet.
    pub async fn tables_so_far(&self) -> Result<Vec<TableConfig>> {
        let mut tables = Vec::new();
        for (name, settings) in &self.table {
            let location = match (&settings.url, &self.lake) {
                (Some(url), _) => Location::parse(url, &settings.options)?,
                (None, Some(lake)) => Location::parse(&lake.url, &lake.options)?.join(name),
                (None, None) => {
                    bail!("table `{name}` has no `url`, and there is no lake that could hold it")
                }
            };
            tables.push(settings.table(name, location));
        }
        let Some(lake) = &self.lake else {
            return Ok(tables);
        };
        let location = Location::parse(&lake.url, &lake.options)?;
        for name in folders(&location).await? {
            if !tables.iter().any(|table| table.name == name) {
                let below = location.join(&name);
                tables.push(TableSettings::default().table(&name, below));
            }
        }
        Ok(tables)
    }
}

impl TableSettings {
    fn table(&self, name: &str, location: Location) -> TableConfig {
        let day = self.day_partition.as_ref();
        TableConfig {
            name: name.to_owned(),
            location,
            time: self.time.clone(),
            day_partition: day.map(|day| (day.column.clone(), day.format.clone())),
            time_unit: self.time_unit,
            on_null_time: self.on_null_time.map(Into::into),
            on_bad_file: self.on_bad_file.map_or(OnProblem::Fail, Into::into),
        }
    }
}

async fn folders(location: &Location) -> Result<Vec<String>> {
    let listed = location
        .store
        .list_with_delimiter(Some(&location.prefix))
        .await
        .with_context(|| format!("cannot list the lake {location}"))?;
    let names = listed
        .common_prefixes
        .iter()
        .filter_map(|prefix| prefix.filename().map(str::to_owned));
    Ok(names.filter(|name| !name.starts_with(['_', '.'])).collect())
}

/// Returns where alerts are kept: a URL, or the path of a file.
///
/// # Errors
/// When a URL is of a database that cannot hold alerts.
pub fn alert_store(text: &str) -> Result<yagura_alerts::StoreLocation> {
    match text.contains("://") || text.starts_with("sqlite:") {
        true => Ok(text.parse()?),
        false => Ok(yagura_alerts::StoreLocation::Sqlite(text.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, yagura_core::Diagnostics> {
        SourceText::new(Path::new("yagura.toml"), text).toml()
    }

    #[test]
    fn the_shown_defaults_are_a_valid_configuration() {
        let text = include_str!("../default.toml");
        let config = parse(text).unwrap();
        assert_eq!(config.table.len(), 1);
        // Every line that is commented out is a setting too.
        let all: String = text
            .lines()
            .map(|line| line.strip_prefix("#: ").unwrap_or(line))
            .fold(String::new(), |all, line| all + line + "\n");
        parse(&all).unwrap();
    }

    #[test]
    fn an_unknown_setting_names_a_near_one() {
        let error = parse("[table.a]\nurl = \"x\"\non_bad_fiel = \"skip\"\n");
        let message = error.unwrap_err().to_string();
        assert_eq!(
            message,
            "yagura.toml:3: `table.a.on_bad_fiel` is not a known key; did you mean `on_bad_file`?"
        );
    }
}
