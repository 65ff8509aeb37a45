//! What a table holds: its columns, their kinds and its time, as JSON beside its objects.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use object_store::{
    Error as StoreError, ObjectStoreExt, PutMode, PutOptions, PutPayload, UpdateVersion,
};
use serde::{Deserialize, Serialize};
use yagura_core::columns::KEYS_WITHOUT_COLUMN;
use yagura_core::{FieldPath, TimeSpan, Timestamp};

use crate::lock::TableLock;
use crate::{LakeError, Location};

/// Name of the definition's object below the table's prefix. Readers of Parquet skip names that begin with `_`.
pub const DEFINITION_OBJECT: &str = "_table.json";
/// What processes lock while they change it.
const DEFINITION_LOCK: &str = "_table.lock";
/// How many places of a table's times are remembered.
const MAX_TIME_KEYS: usize = 16;

/// The column that holds an event's time.
pub const TIME_COLUMN: &str = "event_time";
/// The column that holds, as one JSON object, what has no column of its own.
pub const UNMAPPED_COLUMN: &str = "unmapped";
/// The column that holds the event as it was.
pub const RAW_COLUMN: &str = "raw";
/// The column that a table is partitioned by: the UTC day of the event.
pub const PARTITION_COLUMN: &str = "date";
/// The partition of events whose days have no object of their own, because they are out of range or few: see `docs/operators/timestamps.md`. It is
/// no day, so that no time range leaves it out.
pub const OTHER_DAYS: &str = "other";
/// The column of objects that says which stretch of which content a row is of, for rows that a rewritten object replaces. No table is
/// defined with it, so no rule sees it.
pub(crate) const PART_COLUMN: &str = "_yagura_part";
/// Names that an event's own keys do not get a column under.
pub const RESERVED_COLUMNS: [&str; 5] = [
    TIME_COLUMN,
    UNMAPPED_COLUMN,
    RAW_COLUMN,
    PARTITION_COLUMN,
    PART_COLUMN,
];
/// The most columns that a table learns from its events; further keys go into `unmapped`.
pub const MAX_COLUMNS: usize = 1_000;

const VERSION: u32 = 1;

/// What a table holds and how it lies on the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableDefinition {
    /// Version of this form.
    pub version: u32,
    /// Name of the table.
    pub name: String,
    /// The shipped mapping that the table's columns come from; absent when they are learned from the events' keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// The source that the table's rows are made by; absent where events are stored as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The column that holds an event's time.
    pub time_column: String,
    /// Where an event's time is looked for, in this order; empty for the usual names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub time_paths: Vec<FieldPath>,
    /// Where the times of earlier events were found, the most usual place first. They come before the other usual names, so that
    /// a key which is added to an event does not move it to another time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub time_keys: Vec<FieldPath>,
    /// The moments in which events are expected; absent for 1990 to 2100. A number outside is not a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_bounds: Option<TimeBounds>,
    /// How the objects are laid out.
    pub partition: Partition,
    /// How much later than its time an event may arrive, as a duration (`15m`).
    pub lateness: TimeSpan,
    /// What a reader does with events without time.
    pub on_null_time: OnNullTime,
    /// Whether events have keys that got no column, because there was no room: these are in `unmapped`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_keys_without_column: bool,
    /// The columns besides `event_time`, `unmapped` and `raw`, in the order of the files.
    pub columns: Vec<ColumnDefinition>,
}

/// The moments in which a table's events are expected. They are fixed: what is stored must not depend on the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeBounds {
    /// The first moment.
    pub from: Timestamp,
    /// The last moment.
    pub to: Timestamp,
}

impl Default for TimeBounds {
    /// 1990 to 2100.
    fn default() -> Self {
        Self {
            from: Timestamp::clamped(631_152_000_000_000),
            to: Timestamp::clamped(4_102_444_800_000_000),
        }
    }
}

/// How a table's objects are laid out: one Hive directory a day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Partition {
    /// The name before the `=` of the directories.
    pub column: String,
    /// The span of a directory.
    pub unit: PartitionUnit,
}

/// The span of event time that shares a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PartitionUnit {
    /// A UTC day.
    Day,
}

/// What a reader does with events whose time is null.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnNullTime {
    /// Stops: the table promises to have none.
    Fail,
    /// Leaves them out and counts them.
    Skip,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnDefinition {
    /// Name in the files; may hold dots (Zeek's `id.orig_h`).
    pub name: String,
    /// What the column holds.
    pub kind: ColumnKind,
    /// Where in the event the value lies; the first path that leads to one wins. Empty: at the event's top-level key of
    /// the column's name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<FieldPath>,
    /// True once the column held an integer beyond ±2⁵³, which a float cannot hold.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub wide_ints: bool,
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ColumnKind {
    /// True or false.
    Boolean,
    /// Whole numbers of 64 bits.
    Int64,
    /// Numbers of IEEE 754, none of which lost a digit.
    Float64,
    /// Moments in microseconds, UTC.
    Timestamp,
    /// Strings as they are, other values as their JSON text.
    Text,
    /// Like text; objects or arrays were among the values.
    Json,
}

impl ColumnKind {
    /// Returns the kind that holds the values of both without losing one. `wide_ints` says whether an integer beyond
    /// ±2⁵³ is among them.
    pub fn widened(self, other: Self, wide_ints: bool) -> Self {
        use ColumnKind::{Float64, Int64, Json, Text};
        match (self, other) {
            (a, b) if a == b && !(a == Float64 && wide_ints) => a,
            (Json, _) | (_, Json) => Json,
            (Int64, Float64) | (Float64, Int64) if !wide_ints => Float64,
            _ => Text,
        }
    }

    /// Returns the Arrow type of a column of this kind.
    pub fn data_type(self) -> DataType {
        match self {
            Self::Boolean => DataType::Boolean,
            Self::Int64 => DataType::Int64,
            Self::Float64 => DataType::Float64,
            Self::Timestamp => timestamp_type(),
            Self::Text | Self::Json => DataType::Utf8,
        }
    }
}

impl fmt::Display for ColumnKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Boolean => "boolean",
            Self::Int64 => "int64",
            Self::Float64 => "float64",
            Self::Timestamp => "timestamp",
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

fn timestamp_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

impl ColumnDefinition {
    /// Returns a column that takes the events' top-level key of its name.
    pub fn of_key(name: &str, kind: ColumnKind) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            paths: Vec::new(),
            wide_ints: false,
        }
    }

    /// Widens the column so that it also holds a value of `kind`, and says whether it changed.
    pub fn admit(&mut self, kind: ColumnKind, wide_int: bool) -> bool {
        let wide_ints = self.wide_ints || wide_int;
        let widened = self.kind.widened(kind, wide_ints);
        let changed = widened != self.kind || wide_ints != self.wide_ints;
        self.kind = widened;
        self.wide_ints = wide_ints;
        changed
    }
}

impl TableDefinition {
    /// Returns a definition without columns, that learns them from the events' keys.
    pub fn new(name: &str) -> Self {
        Self {
            version: VERSION,
            name: name.to_owned(),
            schema: None,
            source: None,
            time_column: TIME_COLUMN.to_owned(),
            time_paths: Vec::new(),
            time_keys: Vec::new(),
            time_bounds: None,
            partition: Partition {
                column: PARTITION_COLUMN.to_owned(),
                unit: PartitionUnit::Day,
            },
            lateness: TimeSpan::from_mins(15),
            on_null_time: OnNullTime::Fail,
            has_keys_without_column: false,
            columns: Vec::new(),
        }
    }

    /// Returns the schema of the table's objects once widened: `event_time`, the columns, `unmapped`, `raw`, without
    /// the partition column. A file may lack columns that are null in it and hold narrower types, which the reader
    /// casts.
    pub fn arrow_schema(&self) -> SchemaRef {
        let mut fields = Vec::with_capacity(self.columns.len() + 3);
        fields.push(Field::new(TIME_COLUMN, timestamp_type(), true));
        for column in &self.columns {
            fields.push(Field::new(&column.name, column.kind.data_type(), true));
        }
        let mut unmapped = Field::new(UNMAPPED_COLUMN, DataType::Utf8, true);
        if self.has_keys_without_column {
            let mark = (KEYS_WITHOUT_COLUMN.to_owned(), "true".to_owned());
            unmapped = unmapped.with_metadata([mark].into());
        }
        fields.push(unmapped);
        fields.push(Field::new(RAW_COLUMN, DataType::Utf8, false));
        Arc::new(Schema::new(fields))
    }

    /// Takes in what `other`, a definition of the same table, knows beyond this one: its columns and wider kinds.
    /// Says whether anything changed.
    pub fn merge(&mut self, other: &Self) -> bool {
        let mut changed = false;
        for column in &other.columns {
            match self.columns.iter_mut().find(|own| own.name == column.name) {
                Some(own) => changed |= own.admit(column.kind, column.wide_ints),
                None => {
                    self.columns.push(column.clone());
                    changed = true;
                }
            }
        }
        if self.on_null_time == OnNullTime::Fail && other.on_null_time == OnNullTime::Skip {
            self.on_null_time = OnNullTime::Skip;
            changed = true;
        }
        if other.has_keys_without_column && !self.has_keys_without_column {
            self.has_keys_without_column = true;
            changed = true;
        }
        if self.time_paths != other.time_paths && !other.time_paths.is_empty() {
            self.time_paths.clone_from(&other.time_paths);
            changed = true;
        }
        for key in &other.time_keys {
            changed |= self.learn_time_key(key);
        }
        if other.time_bounds.is_some() && self.time_bounds != other.time_bounds {
            self.time_bounds = other.time_bounds;
            changed = true;
        }
        changed
    }

    /// Takes note of where times stand, after the places that are known. Says whether it was new and there was room.
    pub(crate) fn learn_time_key(&mut self, key: &FieldPath) -> bool {
        let is_new = self.time_keys.len() < MAX_TIME_KEYS && !self.time_keys.contains(key);
        if is_new {
            self.time_keys.push(key.clone());
        }
        is_new
    }

    /// Reads the definition of the table at `table`; nothing if it has none.
    ///
    /// # Errors
    /// When the store fails, or the object is not a definition that this version understands.
    pub async fn read(table: &Location) -> Result<Option<Self>, LakeError> {
        Ok(Self::read_version(table).await?.map(|(found, _)| found))
    }

    async fn read_version(table: &Location) -> Result<Option<(Self, UpdateVersion)>, LakeError> {
        let object = table.join(DEFINITION_OBJECT);
        let unreadable = |source| LakeError::Read {
            object: object.to_string(),
            source,
        };
        let answer = match table.store.get(&object.prefix).await {
            Ok(answer) => answer,
            Err(StoreError::NotFound { .. }) => return Ok(None),
            Err(source) => return Err(unreadable(source)),
        };
        let version = UpdateVersion {
            e_tag: answer.meta.e_tag.clone(),
            version: answer.meta.version.clone(),
        };
        let bytes = answer.bytes().await.map_err(unreadable)?;
        let found: Self =
            serde_json::from_slice(&bytes).map_err(|source| LakeError::NotADefinition {
                object: object.to_string(),
                source,
            })?;
        match found.problem() {
            Some(reason) => Err(LakeError::BadDefinition {
                object: object.to_string(),
                reason,
            }),
            None => Ok(Some((found, version))),
        }
    }

    /// Merges this definition into the one at `table`, or creates it, and returns what stands there now.
    ///
    /// Writers at once lose nothing, threads and processes alike: each reads, merges and writes under the table's lock, and
    /// stores with conditional writes refuse what was merged with an older version. A process that is killed in between
    /// leaves the definition as it was.
    ///
    /// # Errors
    /// When the store fails, or others change the definition again and again.
    pub async fn write(&self, table: &Location) -> Result<Self, LakeError> {
        if let Some((stored, _)) = Self::read_version(table).await?
            && !stored.clone().merge(self)
        {
            return Ok(stored);
        }
        let lock = TableLock::take(table, DEFINITION_LOCK).await?;
        let written = self.write_locked(table).await;
        lock.release().await;
        written
    }

    async fn write_locked(&self, table: &Location) -> Result<Self, LakeError> {
        const ATTEMPTS: usize = 20;
        let object = table.join(DEFINITION_OBJECT);
        for _ in 0..ATTEMPTS {
            let (merged, mode) = match Self::read_version(table).await? {
                None => (self.clone(), PutMode::Create),
                Some((mut stored, version)) => {
                    if !stored.merge(self) {
                        return Ok(stored);
                    }
                    (stored, PutMode::Update(version))
                }
            };
            let json = serde_json::to_string_pretty(&merged).map_err(|source| {
                LakeError::NotADefinition {
                    object: object.to_string(),
                    source,
                }
            })?;
            let payload = PutPayload::from(json + "\n");
            let conditional = PutOptions::from(mode);
            let put = table
                .store
                .put_opts(&object.prefix, payload.clone(), conditional);
            let put = match put.await {
                // The local file system: the lock keeps others away.
                Err(StoreError::NotImplemented { .. } | StoreError::NotSupported { .. }) => {
                    table.store.put(&object.prefix, payload).await
                }
                other => other,
            };
            match put {
                Ok(_) => return Ok(merged),
                Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => {}
                Err(source) => {
                    return Err(LakeError::Write {
                        object: object.to_string(),
                        source,
                    });
                }
            }
        }
        Err(LakeError::Contended {
            object: object.to_string(),
            attempts: ATTEMPTS,
        })
    }

    /// Returns the first thing that is wrong with the definition.
    fn problem(&self) -> Option<String> {
        if self.version != VERSION {
            return Some(format!(
                "it is of version {}, this program knows version {VERSION}: use a newer one",
                self.version
            ));
        }
        if self.time_column != TIME_COLUMN || self.partition.column != PARTITION_COLUMN {
            return Some(format!(
                "the time column is always `{TIME_COLUMN}` and the partition column `{PARTITION_COLUMN}`"
            ));
        }
        let mut names = HashSet::from(RESERVED_COLUMNS);
        self.columns
            .iter()
            .find(|column| !names.insert(column.name.as_str()))
            .map(|column| format!("the column `{}` is there twice or reserved", column.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ColumnKind::{Boolean, Float64, Int64, Json, Text, Timestamp};

    async fn location(name: &str) -> Location {
        Location::parse(
            &format!("memory://definition-{name}/table"),
            &Default::default(),
        )
        .unwrap()
    }

    #[test]
    fn kinds_widen_without_losing_a_value() {
        for kind in [Boolean, Int64, Float64, Timestamp, Text, Json] {
            assert_eq!(kind.widened(kind, false), kind);
            assert_eq!(kind.widened(Json, false), Json);
            assert_eq!(kind.widened(Json, true), Json);
        }
        assert_eq!(Int64.widened(Float64, false), Float64);
        assert_eq!(Float64.widened(Int64, false), Float64);
        assert_eq!(Int64.widened(Float64, true), Text);
        assert_eq!(Float64.widened(Int64, true), Text);
        assert_eq!(Int64.widened(Int64, true), Int64);
        assert_eq!(Boolean.widened(Int64, false), Text);
        assert_eq!(Text.widened(Float64, false), Text);
    }

    #[test]
    fn an_integer_column_remembers_that_it_cannot_become_float() {
        let mut column = ColumnDefinition::of_key("n", Int64);
        assert!(!column.admit(Int64, false));
        assert!(column.admit(Int64, true));
        assert_eq!(column.kind, Int64);
        assert!(column.admit(Float64, false));
        assert_eq!(column.kind, Text);
    }

    #[test]
    fn merging_is_the_union_in_either_order() {
        let mut left = TableDefinition::new("t");
        left.columns = vec![
            ColumnDefinition::of_key("a", Int64),
            ColumnDefinition::of_key("b", Text),
        ];
        let mut right = TableDefinition::new("t");
        right.columns = vec![
            ColumnDefinition::of_key("c", Json),
            ColumnDefinition::of_key("a", Float64),
        ];
        right.on_null_time = OnNullTime::Skip;
        let (mut one, mut two) = (left.clone(), right.clone());
        assert!(one.merge(&right) && two.merge(&left));
        assert!(!one.merge(&two) && !two.merge(&one));
        assert_eq!(one.columns.len(), 3);
        assert_eq!(one.columns[0].kind, Float64);
        assert_eq!(one.on_null_time, OnNullTime::Skip);
    }

    #[tokio::test]
    async fn definitions_round_trip_and_grow_on_the_store() {
        let table = location("round-trip").await;
        assert_eq!(TableDefinition::read(&table).await.unwrap(), None);
        let mut first = TableDefinition::new("t");
        first.columns = vec![ColumnDefinition::of_key("id.orig_h", Text)];
        first.write(&table).await.unwrap();
        assert_eq!(TableDefinition::read(&table).await.unwrap(), Some(first));
        let mut second = TableDefinition::new("t");
        second.columns = vec![ColumnDefinition::of_key("n", Int64)];
        let merged = second.write(&table).await.unwrap();
        let names: Vec<_> = merged.columns.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names, ["id.orig_h", "n"]);
        assert_eq!(TableDefinition::read(&table).await.unwrap(), Some(merged));
    }

    #[tokio::test]
    async fn writers_at_once_lose_no_column() {
        let table = location("contention").await;
        let writers = (0..8).map(|i| {
            let mut definition = TableDefinition::new("t");
            definition.columns = vec![ColumnDefinition::of_key(&format!("c{i}"), Int64)];
            let table = table.clone();
            tokio::spawn(async move { definition.write(&table).await })
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.await.unwrap().unwrap();
        }
        let stored = TableDefinition::read(&table).await.unwrap().unwrap();
        assert_eq!(stored.columns.len(), 8);
    }

    #[tokio::test]
    async fn local_files_take_updates_too() {
        let directory = tempfile::tempdir().unwrap();
        let table =
            Location::parse(directory.path().to_str().unwrap(), &Default::default()).unwrap();
        for name in ["a", "b"] {
            let mut definition = TableDefinition::new("t");
            definition.columns = vec![ColumnDefinition::of_key(name, Int64)];
            definition.write(&table).await.unwrap();
        }
        let stored = TableDefinition::read(&table).await.unwrap().unwrap();
        assert_eq!(stored.columns.len(), 2);
    }

    #[tokio::test]
    async fn what_is_not_a_definition_is_named() {
        let table = location("wrong").await;
        let object = table.join(DEFINITION_OBJECT);
        let good = serde_json::to_string(&TableDefinition::new("t")).unwrap();
        for (text, said) in [
            ("{".to_owned(), "not a table definition"),
            (
                good.replace("\"version\":1", "\"version\":1,\"x\":1"),
                "not a table definition",
            ),
            (good.replace("\"version\":1", "\"version\":7"), "version 7"),
            (
                good.replace(
                    "\"columns\":[]",
                    r#""columns":[{"name":"raw","kind":"text"}]"#,
                ),
                "`raw`",
            ),
        ] {
            table
                .store
                .put(&object.prefix, text.clone().into())
                .await
                .unwrap();
            let error = TableDefinition::read(&table).await.unwrap_err();
            assert!(error.to_string().contains(said), "{text}: {error}");
            assert!(error.to_string().contains("_table.json"), "{error}");
        }
    }

    #[test]
    fn the_schema_has_time_first_and_raw_last() {
        let mut definition = TableDefinition::new("t");
        definition.columns = vec![ColumnDefinition::of_key("n", Int64)];
        let schema = definition.arrow_schema();
        let names: Vec<_> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        assert_eq!(names, ["event_time", "n", "unmapped", "raw"]);
    }
}
