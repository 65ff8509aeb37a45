//! What the host does for plugins: HTTP with secrets, searches in the lake, lookup tables.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use tokio::runtime::Handle;
use yagura_core::{FieldPath, Grant, TimeRange};
use yagura_engine::search::{EventQuery, EventSearch, FoundEvent, SearchError, SearchedTable};
use yagura_host::{
    Caller, ColumnBytes, DataType, Field, Lookup, PluginError, SearchPort, SearchQuery,
    SearchedEvents,
};
use yagura_http::{Secret, SecretSource, Secrets};

use crate::config::Config;
use crate::lookups::{LookupDirectory, LookupFile};

/// The name under which a search answers event time, whatever column holds it.
pub const TIME: &str = "event_time";

/// Returns the secrets that a configuration names; none is read yet.
pub(super) fn secrets(config: &Config) -> Result<Secrets> {
    let mut sources = BTreeMap::new();
    for (name, settings) in &config.secret {
        let source = match (&settings.env, &settings.file, &settings.command) {
            (Some(variable), None, None) => SecretSource::Env(variable.clone()),
            (None, Some(file), None) => SecretSource::File(file.clone()),
            (None, None, Some(command)) if !command.is_empty() => {
                SecretSource::Command(command.clone())
            }
            _ => bail!("[secret.{name}] needs one of `env`, `file` and `command`"),
        };
        sources.insert(name.clone(), source);
    }
    Ok(Secrets::new(sources))
}

/// Says why a secret of the configuration could not be used when it is needed: it is not there, or is too short. A command is not run
/// for that.
pub(super) fn secret_problem(
    config: &Config,
    secrets: Option<&Secrets>,
    name: &str,
) -> Option<String> {
    let Some(settings) = config.secret.get(name) else {
        return Some(format!(
            "the secret `{name}` is not in the configuration: write [secret.{name}] with `env`, `file` or `command`"
        ));
    };
    if let Some(variable) = &settings.env
        && std::env::var_os(variable).is_none()
    {
        return Some(format!(
            "the secret `{name}` is not there: the environment has no {variable}"
        ));
    }
    if let Some(file) = &settings.file
        && !file.is_file()
    {
        return Some(format!(
            "the secret `{name}` is not there: there is no file {}",
            file.display()
        ));
    }
    let problem = secrets?.problem(name)?;
    Some(problem.to_string())
}

/// Finds nothing: for plugins that are only opened.
pub(super) struct NoSearch;

impl SearchPort for NoSearch {
    fn find(&self, _: &Caller, _: &SearchQuery, _: Instant) -> Result<SearchedEvents, PluginError> {
        Err(PluginError::Config(
            "nothing is searched while plugins are looked over".to_owned(),
        ))
    }
}

/// Returns a secret as text, for what the host itself sends.
pub(super) async fn secret_text(secrets: &Secrets, name: &str) -> Result<String> {
    let secret: Secret = secrets.get(name).await?;
    std::str::from_utf8(secret.expose())
        .map(str::to_owned)
        .with_context(|| format!("the secret `{name}` is not UTF-8 text"))
}

/// Searches the tables of a configuration.
pub(super) async fn lake_search(config: &Config, runtime: Handle) -> Result<LakeSearch> {
    let tables = config.tables().await?.into_iter().map(|table| {
        let settings = config.table.get(&table.name);
        SearchedTable {
            observables: settings.map_or_else(BTreeMap::new, |table| table.observables.clone()),
            config: table,
        }
    });
    Ok(LakeSearch {
        search: EventSearch::new(tables),
        runtime,
    })
}

/// Searches for plugins.
pub(super) struct LakeSearch {
    search: EventSearch,
    runtime: Handle,
}

impl SearchPort for LakeSearch {
    fn find(
        &self,
        _: &Caller,
        query: &SearchQuery,
        deadline: Instant,
    ) -> Result<SearchedEvents, PluginError> {
        let wanted = query
            .columns
            .iter()
            .filter(|name| *name != TIME)
            .map(|name| {
                let path: Result<FieldPath, _> = name.parse();
                path.map_err(|error| PluginError::Data(error.to_string()))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let range = TimeRange::new(Some(query.from), Some(query.to))
            .map_err(|error| PluginError::Data(error.to_string()))?;
        let (kind, value) = query.observable.clone();
        let asked = EventQuery {
            table: query.table.clone(),
            kind,
            value,
            range,
            columns: wanted,
            limit: usize::try_from(query.limit).unwrap_or(usize::MAX),
        };
        let find = tokio::time::timeout_at(deadline.into(), self.search.find(&asked));
        match self.runtime.block_on(find) {
            Ok(Ok(found)) => Ok(events(&query.columns, &found.events, found.is_truncated)),
            Ok(Err(error @ (SearchError::UnknownTable { .. } | SearchError::NoColumn { .. }))) => {
                Err(PluginError::Config(error.to_string()))
            }
            Ok(Err(error)) => Err(PluginError::Retry(format!(
                "{:#}",
                anyhow::Error::from(error)
            ))),
            Err(_) => Err(PluginError::Retry(format!(
                "the search in `{}` took longer than the plugin's time",
                query.table
            ))),
        }
    }
}

/// Lays events out as columns: text, and [`TIME`] as a timestamp.
fn events(names: &[String], found: &[FoundEvent], truncated: bool) -> SearchedEvents {
    let mut schema = Vec::with_capacity(names.len());
    let mut columns = Vec::with_capacity(names.len());
    let mut at = 0;
    for name in names {
        let is_time = name == TIME;
        schema.push(Field {
            name: name.clone(),
            data_type: match is_time {
                true => DataType::TimestampUs,
                false => DataType::Utf8,
            },
            nullable: !is_time,
        });
        if is_time {
            let micros = found
                .iter()
                .flat_map(|event| event.time.micros().to_le_bytes());
            columns.push(ColumnBytes {
                values: micros.collect(),
                ..ColumnBytes::default()
            });
        } else {
            columns.push(text_column(
                found.iter().map(|event| event.values[at].as_deref()),
            ));
            at += 1;
        }
    }
    SearchedEvents {
        schema,
        rows: u32::try_from(found.len()).unwrap_or(u32::MAX),
        columns,
        truncated,
    }
}

/// Lays texts out as a column.
pub fn text_column(values: impl Iterator<Item = Option<impl AsRef<str>>>) -> ColumnBytes {
    let mut column = ColumnBytes::default();
    column.offsets.extend(0_u32.to_le_bytes());
    let mut are_all = true;
    for (row, value) in values.enumerate() {
        if row % 8 == 0 {
            column.validity.push(0);
        }
        match value {
            Some(text) => {
                column.values.extend(text.as_ref().as_bytes());
                if let Some(byte) = column.validity.last_mut() {
                    *byte |= 1 << (row % 8);
                }
            }
            None => are_all = false,
        }
        let end = u32::try_from(column.values.len()).unwrap_or(u32::MAX);
        column.offsets.extend(end.to_le_bytes());
    }
    if are_all {
        column.validity.clear();
    }
    column
}

/// The lookup tables of packs, by pack and name, of the configuration, and of directories that are granted to packs.
#[derive(Debug, Default)]
pub(super) struct Lookups {
    own: BTreeMap<(String, String), LookupFile>,
    directories: BTreeMap<(String, String), LookupDirectory>,
    shared: BTreeMap<String, LookupFile>,
}

impl Lookups {
    /// Reads those of the configuration.
    pub(super) fn new(config: &Config) -> Result<Self> {
        let mut lookups = Self::default();
        for (name, settings) in &config.lookup {
            let file = LookupFile::open(&settings.file, settings.key.as_deref())
                .with_context(|| format!("[lookup.{name}]"))?;
            lookups.shared.insert(name.clone(), file);
        }
        Ok(lookups)
    }

    /// Opens the directories that are granted to a pack.
    pub(super) fn add_directories(&mut self, pack: &str, grant: &Grant) -> Result<()> {
        for (name, path) in &grant.directories {
            let directory = LookupDirectory::open(path).with_context(|| {
                format!("`directories.{name}` of [pack.{pack}] in the grants file")
            })?;
            let key = (pack.to_owned(), name.to_owned());
            self.directories.insert(key, directory);
        }
        Ok(())
    }

    /// Reads the files in `lookups/` of a pack, and returns their names: those of the files without their ends.
    pub(super) fn add_pack(&mut self, pack: &str, dir: &Path) -> Result<Vec<String>> {
        let below = dir.join("lookups");
        let mut names = Vec::new();
        if !below.is_dir() {
            return Ok(names);
        }
        let entries = std::fs::read_dir(&below)
            .with_context(|| format!("cannot read {}", below.display()))?;
        for entry in entries {
            let file = entry?.path();
            let Some(name) = file.file_stem().and_then(|name| name.to_str()) else {
                continue;
            };
            names.push(name.to_owned());
            let key = (pack.to_owned(), name.to_owned());
            if let Entry::Vacant(own) = self.own.entry(key) {
                own.insert(LookupFile::open(&file, None)?);
            }
        }
        names.sort();
        Ok(names)
    }
}

impl Lookup for Lookups {
    fn get(&self, caller: &Caller, table: &str, key: &str) -> Result<Option<String>, PluginError> {
        let own = (caller.plugin.pack.clone(), table.to_owned());
        if !self.own.contains_key(&own)
            && let Some((directory, name)) = table.split_once('/')
            && let Some(directory) = self.directories.get(&(own.0.clone(), directory.to_owned()))
        {
            let row = directory.get(name, key);
            return row.map_err(|error| PluginError::Config(format!("{error:#}")));
        }
        match self.own.get(&own).or_else(|| self.shared.get(table)) {
            Some(file) => Ok(file.get(key)),
            None => Err(PluginError::Config(format!(
                "there is no lookup table `{table}`: name its file under [lookup.{table}] of the configuration"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use yagura_core::Timestamp;

    use super::*;

    #[test]
    fn events_are_laid_out_as_batches_are() {
        let event = |seconds: i64, values: [Option<&str>; 2]| FoundEvent {
            time: Timestamp::clamped(seconds * 1_000_000),
            object: Arc::from("part"),
            row: 0,
            values: values.map(|value| value.map(str::to_owned)).to_vec(),
        };
        let found = [
            event(1, [Some("ab"), Some("x")]),
            event(2, [None, Some("yz")]),
        ];
        let names = ["host", TIME, "user"].map(str::to_owned);
        let answer = events(&names, &found, true);
        assert_eq!((answer.rows, answer.truncated), (2, true));
        let [host, time, user] = &answer.columns[..] else {
            panic!("three columns");
        };
        assert_eq!(host.validity, [0b01]);
        assert_eq!(host.values, b"ab");
        assert_eq!(host.offsets, [0, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0]);
        assert_eq!(time.values[..8], 1_000_000_i64.to_le_bytes());
        assert!(time.offsets.is_empty() && time.validity.is_empty());
        assert_eq!(user.values, b"xyz");
        assert!(user.validity.is_empty());
        let _ = Arc::strong_count(&found[0].object);
    }
}
