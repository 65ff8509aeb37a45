//! The status of a service.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};
use yagura_core::Timestamp;

/// The status of a service, from its state.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// When the last step was committed, in wall-clock time.
    pub committed: Option<Timestamp>,
    /// The tables, by name.
    pub tables: Vec<TableStatus>,
    /// The watermark of each set of tables that correlations join.
    pub watermarks: Vec<(String, Option<Timestamp>)>,
    /// The rules that remember or counted something, by id; the windows of alerts under the empty one.
    pub rules: Vec<RuleState>,
    /// Findings that wait for the watermark.
    pub pending: i64,
    /// Alerts that were emitted and are not final yet.
    pub provisional: i64,
    /// Lines that were written to the outbox in all.
    pub lines: i64,
    /// Lines that are not delivered yet.
    pub undelivered: i64,
    /// The last messages, newest last.
    pub log: Vec<LogEntry>,
    /// Why the state cannot be written, while it cannot: what is above is of before.
    pub problem: Option<String>,
}

/// The status of a table.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TableStatus {
    /// Its name.
    pub name: String,
    /// Objects that were read.
    pub objects: u64,
    /// Objects that are listed and not read yet.
    pub waiting: u64,
    /// Events that its rules looked at.
    pub events: u64,
    /// The latest event time.
    pub latest: Option<Timestamp>,
    /// No event before it is still to come.
    pub watermark: Option<Timestamp>,
    /// How far behind the latest event time an event may come, in microseconds.
    pub lateness: i64,
    /// Whether it has been idle for so long that the others do not wait for it.
    pub is_idle: bool,
    /// Objects whose events lie too far in the future to move time on.
    pub future: u64,
    /// Objects that cannot be read.
    pub bad: u64,
    /// Objects that were replaced after they had been read.
    #[serde(default)]
    pub replaced: u64,
    /// Its first load is under way, and nothing is final before it has ended.
    #[serde(default)]
    pub is_loading: bool,
    /// When something new was seen last, in wall-clock time.
    pub seen: Option<Timestamp>,
    /// Why it cannot be looked at, if it cannot.
    pub problem: Option<String>,
    /// Events that wait for background evaluation, for rules whose plugins failed or took long.
    #[serde(default)]
    pub background: u64,
    /// Its rules that are in quarantine after repeated faults of their plugins, or were lately.
    #[serde(default)]
    pub quarantine: Vec<QuarantinedRule>,
    /// The events that were skipped because a rule's `where` failed on them since the service began, by the rule's id.
    #[serde(default)]
    pub skipped: BTreeMap<String, SkippedByRule>,
}

/// Events that a rule skipped because its `where` failed on them. They count as not matched.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkippedByRule {
    /// How many.
    pub events: u64,
    /// What was wrong with the last of them.
    pub reason: String,
}

/// A rule in quarantine after repeated faults of its plugin. Its times are of the clock, but for those of events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantinedRule {
    /// The rule's id.
    pub rule: String,
    /// Digest of the plugin that failed.
    pub code: String,
    /// The last fault.
    pub reason: String,
    /// Whether it is still in quarantine; otherwise it works again, and its next cooldown is longer than the last.
    pub is_quarantined: bool,
    /// How many quarantines followed each other.
    pub repeats: u32,
    /// Since when it does not work.
    pub since: Option<Timestamp>,
    /// When it is tried again.
    pub until: Timestamp,
    /// When the last fault was.
    pub last_fault: Timestamp,
    /// Events that it skipped in this quarantine.
    pub events: u64,
    /// Wake-ups that it skipped in this quarantine.
    pub wakes: u64,
    /// The earliest event time of what was skipped.
    pub first: Option<Timestamp>,
    /// The latest one.
    pub last: Option<Timestamp>,
}

/// What a rule remembers and counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RuleState {
    /// Its id; empty for the windows of alerts.
    pub rule: String,
    /// Keys in memory.
    pub keys: i64,
    /// Keys on disk.
    pub spilled: i64,
    /// Memory, about, in bytes.
    pub bytes: i64,
    /// Findings that came too late for correlations.
    pub late: i64,
    /// What limits made it forget.
    pub capped: i64,
    /// Findings that lacked a field of its `by`.
    pub without_key: i64,
    /// Findings without a value that it can measure.
    pub without_value: i64,
}

/// Something that a person should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogEntry {
    /// When, in wall-clock time.
    pub at: Timestamp,
    /// What.
    pub message: String,
}

/// Messages that a status shows.
const MOST_SHOWN: i64 = 20;

pub(super) fn put(connection: &Connection, table: &TableStatus) -> rusqlite::Result<()> {
    let text = serde_json::to_string(table)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    connection
        .prepare_cached("INSERT OR REPLACE INTO tables (name, value) VALUES (?, ?)")?
        .execute(params![table.name, text])?;
    Ok(())
}

fn parse(text: &str) -> rusqlite::Result<TableStatus> {
    serde_json::from_str(text).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error))
    })
}

pub(super) fn table(connection: &Connection, name: &str) -> rusqlite::Result<Option<TableStatus>> {
    let text: Option<String> = connection
        .query_row("SELECT value FROM tables WHERE name = ?1", [name], |row| {
            row.get(0)
        })
        .optional()?;
    text.as_deref().map(parse).transpose()
}

pub(super) fn read(connection: &Connection) -> rusqlite::Result<Status> {
    // One transaction, so that all of it is of one moment.
    let connection = connection.unchecked_transaction()?;
    let meta = |name: &str| -> rusqlite::Result<Option<i64>> {
        connection
            .query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| {
                row.get(0)
            })
            .optional()
    };
    let mut tables = Vec::new();
    let mut statement = connection.prepare("SELECT value FROM tables ORDER BY name")?;
    for text in statement.query_map([], |row| row.get::<_, String>(0))? {
        tables.push(parse(&text?)?);
    }
    let mut statement =
        connection.prepare("SELECT tables, watermark FROM watermark_groups ORDER BY tables")?;
    let watermarks = statement
        .query_map([], |row| {
            let watermark: i64 = row.get(1)?;
            let is_set = watermark > i64::MIN;
            Ok((row.get(0)?, is_set.then(|| Timestamp::clamped(watermark))))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let mut statement = connection.prepare(
        "SELECT rule, sum(keys), sum(spilled), sum(bytes), sum(late), sum(capped), sum(without_key),
                sum(without_value) FROM (
           SELECT rule, keys, spilled, bytes, 0 AS late, 0 AS capped, 0 AS without_key,
                  0 AS without_value FROM sizes
           UNION ALL
           SELECT rule, 0, 0, 0, iif(name = 'late', count, 0), iif(name = 'capped', count, 0),
                  iif(name = 'without_key', count, 0), iif(name = 'without_value', count, 0) FROM counters
         ) GROUP BY rule ORDER BY rule",
    )?;
    let rules = statement
        .query_map([], |row| {
            Ok(RuleState {
                rule: row.get(0)?,
                keys: row.get(1)?,
                spilled: row.get(2)?,
                bytes: row.get(3)?,
                late: row.get(4)?,
                capped: row.get(5)?,
                without_key: row.get(6)?,
                without_value: row.get(7)?,
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    let mut statement = connection.prepare(
        "SELECT at, message FROM (SELECT * FROM log ORDER BY id DESC LIMIT ?1) ORDER BY id",
    )?;
    let log = statement
        .query_map([MOST_SHOWN], |row| {
            Ok(LogEntry {
                at: Timestamp::clamped(row.get(0)?),
                message: row.get(1)?,
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    Ok(Status {
        committed: meta("committed")?.map(Timestamp::clamped),
        tables,
        watermarks,
        rules,
        pending: meta("pending")?.unwrap_or_default(),
        provisional: meta("provisional")?.unwrap_or_default(),
        lines: meta("last_line")?.unwrap_or_default(),
        undelivered: connection.query_row("SELECT count(*) FROM outbox", [], |row| row.get(0))?,
        log,
        problem: None,
    })
}
