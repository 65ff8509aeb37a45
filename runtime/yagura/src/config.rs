//! The configuration file, and the tables that it and the command line name.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use yagura_core::{FieldPath, Timestamp, pack};
use yagura_engine::{Replaced, RunOptions};
use yagura_lake::Location;
use yagura_lake::table::{EpochUnit, OnProblem, TableConfig};

/// `yagura.toml`. `runtime/yagura/default.toml` shows every setting with its comment.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// A lake whose folders are tables.
    pub(crate) lake: Option<LakeSettings>,
    /// Packs to run, directories or archives, relative to the file.
    pub(crate) packs: Vec<PathBuf>,
    /// Sigma rules to run, files or directories, relative to the file.
    pub(crate) sigma: Vec<PathBuf>,
    /// Field maps for them, relative to the file.
    pub(crate) field_maps: Vec<PathBuf>,
    /// Geolocation database (MMDB), relative to the file.
    pub(crate) geoip: Option<PathBuf>,
    /// What `yagura serve` needs.
    pub(crate) serve: Option<ServeSettings>,
    /// What becomes of alerts: a file, relative to this one.
    pub(crate) policy: Option<PathBuf>,
    /// Who may sign packs: a file, relative to this one. Without it packs need no signature.
    pub(crate) trust: Option<PathBuf>,
    /// What plugins may reach: a file, relative to this one.
    pub(crate) grants: Option<PathBuf>,
    /// Where alerts, incidents and receipts are kept: a file, relative to this one, or `postgres://…`.
    pub(crate) store: Option<String>,
    /// Secrets by name.
    pub(crate) secret: BTreeMap<String, SecretSettings>,
    /// Lookup tables by name.
    pub(crate) lookup: BTreeMap<String, LookupSettings>,
    /// Tables by name; these come before the lake's.
    pub(crate) table: BTreeMap<String, TableSettings>,
}

/// `[lake]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LakeSettings {
    pub(crate) url: String,
    #[serde(default)]
    pub(crate) options: BTreeMap<String, String>,
}

/// `[table.NAME]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TableSettings {
    /// Where the objects lie; absent for a table of the lake.
    pub(crate) url: Option<String>,
    #[serde(default)]
    pub(crate) options: BTreeMap<String, String>,
    pub(crate) time: Option<String>,
    /// What the numbers of the time column count since 1970.
    pub(crate) time_unit: Option<EpochUnit>,
    pub(crate) day_partition: Option<DayPartition>,
    pub(crate) on_null_time: Option<Action>,
    pub(crate) on_bad_file: Option<Action>,
    /// How far behind the latest event time an event may come.
    pub(crate) lateness: Option<String>,
    /// Columns by the kind of observable that they hold, for searches.
    #[serde(default)]
    pub(crate) observables: BTreeMap<String, Vec<FieldPath>>,
}

/// `[secret.NAME]`: where a secret comes from. One of them.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SecretSettings {
    /// An environment variable.
    pub(crate) env: Option<String>,
    /// A file, relative to this one; a line end at its end is not part of it.
    pub(crate) file: Option<PathBuf>,
    /// A command with its arguments, which writes it to stdout.
    pub(crate) command: Option<Vec<String>>,
}

/// `[lookup.NAME]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LookupSettings {
    /// The file, relative to this one.
    pub(crate) file: PathBuf,
    /// The column under which rows are found; by default the first.
    pub(crate) key: Option<String>,
}

/// `[serve]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ServeSettings {
    /// Directory of the state, relative to the file.
    pub(crate) state: PathBuf,
    /// File of alerts, relative to the file.
    pub(crate) alerts: PathBuf,
    /// How often tables are listed.
    poll: String,
    pub(crate) lateness: Option<String>,
    pub(crate) idle: String,
    pub(crate) future: String,
    pub(crate) list_all: String,
    /// How long nothing new must be listed before a new table's first load is at its end.
    pub(crate) first_load: String,
    /// How long an object that cannot be read is waited for.
    pub(crate) patience: String,
    /// What becomes of an object that was replaced after it had been read.
    pub(crate) on_replaced: OnReplaced,
    pub(crate) from: Option<Timestamp>,
    pub(crate) step_objects: usize,
    pub(crate) step_mib: u64,
    pub(crate) memory_mib: usize,
    pub(crate) keys_on_disk: usize,
    /// MiB of linear memory that all plugins may have together.
    pub(crate) plugin_memory_mib: usize,
    /// Events of a table that may wait for rules with `partition_by`.
    pub(crate) pending_rows: usize,
    /// Keys of which one rule with `partition_by` keeps state, and MiB of it.
    pub(crate) keys_per_rule: usize,
    pub(crate) state_mib_per_rule: usize,
    /// Time that a step waits for one rule's plugin, beside ten microseconds an event.
    pub(crate) rule_time: String,
    /// How long a rule rests at first after repeated faults of its plugin.
    pub(crate) rest: String,
    /// How long trouble of the service itself lasts before it is reported, or `off`.
    pub(crate) report_trouble: String,
}

impl Default for ServeSettings {
    fn default() -> Self {
        Self {
            state: "state".into(),
            alerts: "alerts.ndjson".into(),
            poll: "1s".to_owned(),
            lateness: None,
            idle: "15m".to_owned(),
            future: "1h".to_owned(),
            list_all: "1h".to_owned(),
            first_load: "10s".to_owned(),
            patience: "10m".to_owned(),
            on_replaced: OnReplaced::Keep,
            from: None,
            step_objects: 64,
            step_mib: 256,
            memory_mib: 512,
            keys_on_disk: 50_000_000,
            plugin_memory_mib: crate::packs::PLUGIN_MEMORY_MIB,
            pending_rows: RunOptions::default().max_pending_rows,
            keys_per_rule: RunOptions::default().max_keys,
            state_mib_per_rule: 1_024,
            rule_time: "100ms".to_owned(),
            rest: "1m".to_owned(),
            report_trouble: "5m".to_owned(),
        }
    }
}

impl ServeSettings {
    /// Returns how often tables are listed.
    pub(crate) fn poll(&self) -> Result<std::time::Duration> {
        crate::commands::serve::duration("poll", &self.poll)
    }
}

/// What becomes of an object that was replaced after it had been read.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OnReplaced {
    Keep,
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
pub(crate) struct DayPartition {
    pub(crate) column: String,
    #[serde(default = "iso_day")]
    pub(crate) format: String,
}

fn iso_day() -> String {
    "%Y-%m-%d".to_owned()
}

/// What to do with rows and objects that cannot be used.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Action {
    Fail,
    Skip,
}

impl From<Action> for OnProblem {
    fn from(action: Action) -> Self {
        match action {
            Action::Fail => Self::Fail,
            Action::Skip => Self::Skip,
        }
    }
}

impl Config {
    /// Reads the file; paths in it become relative to its directory.
    pub(crate) fn read(file: &Path) -> Result<Self> {
        let text = fs::read_to_string(file)
            .with_context(|| format!("cannot read the configuration {}", file.display()))?;
        let mut config: Self =
            pack::parse(file, &text).map_err(|error| anyhow::anyhow!("{error}"))?;
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
        config
            .table
            .values_mut()
            .filter_map(|table| table.url.as_mut())
            .for_each(here);
        Ok(config)
    }

    /// Returns where alerts are kept.
    pub(crate) fn store_location(&self) -> Result<yagura_alerts::Location> {
        match &self.store {
            Some(store) => crate::commands::alerts::location(store),
            None => {
                let state = self.serve.clone().unwrap_or_default().state;
                Ok(yagura_alerts::Location::Sqlite(state.join("alerts.db")))
            }
        }
    }

    /// Returns the tables: those with a URL, then the lake's others, which are its folders.
    pub(crate) async fn tables(&self) -> Result<Vec<TableConfig>> {
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
    pub(crate) async fn tables_so_far(&self) -> Result<Vec<TableConfig>> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shown_defaults_are_a_valid_configuration() {
        let text = include_str!("../default.toml");
        let config: Config = pack::parse("default.toml".as_ref(), text).unwrap();
        assert_eq!(config.table.len(), 1);
        // Every line that is commented out is a setting too.
        let all: String = text
            .lines()
            .map(|line| line.strip_prefix("#: ").unwrap_or(line))
            .fold(String::new(), |all, line| all + line + "\n");
        pack::parse::<Config>("default.toml".as_ref(), &all).unwrap();
    }

    #[test]
    fn an_unknown_setting_names_a_near_one() {
        let error = pack::parse::<Config>(
            "yagura.toml".as_ref(),
            "[table.a]\nurl = \"x\"\non_bad_fiel = \"skip\"\n",
        );
        let message = error.unwrap_err().to_string();
        assert!(message.contains("did you mean `on_bad_file`?"), "{message}");
    }
}
