//! What a step changes in the state, besides the correlation engine.

use std::collections::BTreeMap;

use yagura_core::Alert;

use super::status::TableStatus;
use crate::node::Size;
use crate::step::Counters;

/// What a step changes besides the correlation engine.
#[derive(Debug, Clone, Default)]
pub struct StepChanges {
    /// Objects that were read or left out, with their tables.
    pub objects: Vec<(String, KnownObject)>,
    /// Lines for the outbox, in order.
    pub lines: Vec<String>,
    /// For each table its status.
    pub tables: Vec<TableStatus>,
    /// What was counted.
    pub counters: Counters,
    /// What a person should know.
    pub log: Vec<String>,
    /// The number of the last line that was delivered.
    pub delivered: i64,
    /// What changed in what detectors remember.
    pub detectors: Vec<DetectorState>,
    /// How much detectors remember, by rule; nothing where it is as it was.
    pub sizes: Option<BTreeMap<String, Size>>,
    /// What changed in what waits to be evaluated beside the steps.
    pub deferred: Vec<Deferred>,
    /// The alerts of the service's own trouble that are not over, if they have changed.
    pub own_alerts: Option<Vec<Alert>>,
}

/// An object that was read or left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownObject {
    /// Its name.
    pub name: String,
    /// How it was then; nothing where an earlier version of the program read it.
    pub version: Option<String>,
    /// Whether it was left out, because it could not be read.
    pub is_bad: bool,
}

/// Rows of one table that wait to be evaluated beside the steps: what changed.
#[derive(Debug, Clone, Default)]
pub struct Deferred {
    /// The table.
    pub table: String,
    /// Rows that wait now.
    pub rows: Vec<DeferredRows>,
    /// Numbers of rows that wait no more.
    pub done: Vec<i64>,
}

/// Rows of one rule that wait to be evaluated beside the steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeferredRows {
    /// Their number among those of the table.
    pub number: i64,
    /// The rule's id.
    pub rule: String,
    /// The rows.
    pub rows: Vec<u8>,
}

/// What detectors of one table remember: what changed.
#[derive(Debug, Clone, Default)]
pub struct DetectorState {
    /// The table.
    pub table: String,
    /// Rule, key, and what is kept of it; nothing for a key that is gone.
    pub states: Vec<(String, String, Option<Vec<u8>>)>,
    /// Rule and hash of keys that are gone, and were on disk only.
    pub gone: Vec<(String, u64)>,
    /// Rule, latest event time in microseconds, and rows that wait.
    pub rows: Vec<(String, i64, Vec<u8>)>,
    /// Rule and the memory of its plugin.
    pub memories: Vec<(String, Vec<u8>)>,
    /// Rows before it, in microseconds, have been evaluated.
    pub watermark: i64,
}
