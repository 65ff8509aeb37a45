//! Events by observable and time: what an investigation asks of the lake.
//!
//! A search is a rule that lives for one scan: its condition is that one of the columns that hold such observables has
//! the value. So it prunes by statistics, Bloom filters and days as rules do, and reads no column that it need not.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use datafusion::arrow::datatypes::Schema;
use datafusion::execution::cache::cache_manager::FileMetadataCache;
use yagura_core::names::did_you_mean;
use yagura_core::rule::ReportMode;
use yagura_core::{AlertPolicy, FieldPath, Rule, TimeRange, Timestamp};
use yagura_lake::table::{Table, TableConfig};
use yagura_plan::{RuleSource, footer_cache};
use yagura_rules::predicate::{Atom, FieldReading, Predicate, Test, TextOp};
use yagura_rules::resolve;
use yagura_search::Kind;

use crate::error::EngineError;
use crate::options::RunOptions;
use crate::table_run::TableRun;

/// Searches tables by observable.
#[derive(Debug)]
pub struct EventSearch {
    tables: BTreeMap<String, SearchedTable>,
    open: Mutex<HashMap<String, CachedTable>>,
}

/// A table, and which of its columns hold which kind of observable.
#[derive(Debug, Clone)]
pub struct SearchedTable {
    /// Where it is.
    pub config: TableConfig,
    /// Columns by kind, instead of those found by name.
    pub observables: BTreeMap<String, Vec<FieldPath>>,
}

/// What is searched for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventQuery {
    /// Name of the table.
    pub table: String,
    /// Kind of the observable.
    pub kind: String,
    /// Its value, as events have it.
    pub value: String,
    /// Event times: the start lies inside, the end does not.
    pub range: TimeRange,
    /// What is reported each event.
    pub columns: Vec<FieldPath>,
    /// Events that are reported: the latest.
    pub limit: usize,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FoundEvents {
    /// In order of time, object and row.
    pub events: Vec<FoundEvent>,
    /// There are more: those returned are the latest.
    pub is_truncated: bool,
}

/// An event that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundEvent {
    /// Event time.
    pub time: Timestamp,
    /// Its object.
    pub object: Arc<str>,
    /// Row inside it.
    pub row: u64,
    /// A text for each of the query's columns; `None` where the event has no value.
    pub values: Vec<Option<String>>,
}

/// Why a search cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// There is no such table.
    #[error("there is no table `{table}`{hint}")]
    UnknownTable {
        /// As asked.
        table: String,
        /// `; did you mean …?` or nothing.
        hint: String,
    },
    /// No column of the table holds such observables.
    #[error(
        "no column of table `{table}` is known to hold a `{kind}`; name them under [table.{table}.observables] of the configuration"
    )]
    NoColumn {
        /// The table.
        table: String,
        /// The kind.
        kind: String,
    },
    /// The table cannot be read.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

#[derive(Debug, Clone)]
struct CachedTable {
    since: Instant,
    table: Arc<Table>,
    cache: Arc<FileMetadataCache>,
}

/// Events that one scan of a search brings. A range with more of them is looked at in halves, so that the latest are found
/// whatever there was before.
const MAX_SCANNED: usize = 20_000;

/// How long a listing is good enough: an investigation makes many searches, and searches again after a delay.
const LISTED_FOR: Duration = Duration::from_secs(5);

impl EventSearch {
    /// Searches these tables.
    pub fn new(tables: impl IntoIterator<Item = SearchedTable>) -> Self {
        let named = tables
            .into_iter()
            .map(|table| (table.config.name.clone(), table));
        Self {
            tables: named.collect(),
            open: Mutex::default(),
        }
    }

    /// Returns the events of a table in which an observable occurs.
    ///
    /// # Errors
    /// [`SearchError`].
    pub async fn find(&self, query: &EventQuery) -> Result<FoundEvents, SearchError> {
        let Some(searched) = self.tables.get(&query.table) else {
            let names = self.tables.keys().map(String::as_str);
            return Err(SearchError::UnknownTable {
                table: query.table.clone(),
                hint: did_you_mean(&query.table, names),
            });
        };
        let open = self.open(&searched.config).await?;
        let schema = open.table.schema();
        let known = searched.columns(&query.kind, &schema);
        let fields = known
            .into_iter()
            .filter(|path| resolve::find(&schema, path).is_some());
        let tests: Vec<Predicate> = fields.map(|field| is(field, query)).collect();
        if tests.is_empty() {
            return Err(SearchError::NoColumn {
                table: query.table.clone(),
                kind: query.kind.clone(),
            });
        }
        let source = RuleSource {
            rule: Arc::new(Rule {
                id: "search".to_owned(),
                title: "search".to_owned(),
                table: query.table.clone(),
                alert: AlertPolicy {
                    report: ReportMode::None,
                    ..AlertPolicy::default()
                },
                ..Rule::default()
            }),
            file: PathBuf::from("search"),
            plugin: None,
            predicate: Some(Arc::new(Predicate::Any(tests))),
            fields: query.columns.clone(),
            alternatives: Default::default(),
        };
        // Ranges that are still to be looked at, the latest last.
        let mut ranges = vec![query.range];
        let mut events: Vec<FoundEvent> = Vec::new();
        let mut is_truncated = false;
        while let Some(range) = ranges.pop() {
            let found = scan(&open, &source, range).await?;
            if found.len() > MAX_SCANNED {
                if let Some((earlier, later)) = halves(range) {
                    ranges.extend([earlier, later]);
                    continue;
                }
                is_truncated = true;
            }
            events.extend(found);
            if events.len() > query.limit {
                break;
            }
        }
        events.sort_by(|a, b| (a.time, &a.object, a.row).cmp(&(b.time, &b.object, b.row)));
        let more = events.len().saturating_sub(query.limit);
        events.drain(..more);
        Ok(FoundEvents {
            events,
            is_truncated: is_truncated || more > 0,
        })
    }

    async fn open(&self, config: &TableConfig) -> Result<CachedTable, EngineError> {
        let known = self.lock().get(&config.name).cloned();
        let cache = match known {
            Some(open) if open.since.elapsed() < LISTED_FOR => return Ok(open),
            Some(open) => open.cache,
            None => footer_cache(),
        };
        let since = Instant::now();
        let range = TimeRange::default();
        let table = Table::open(config.clone(), range, Arc::clone(&cache)).await?;
        let open = CachedTable {
            since,
            table: Arc::new(table),
            cache,
        };
        self.lock().insert(config.name.clone(), open.clone());
        Ok(open)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, CachedTable>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SearchedTable {
    /// Returns the columns that hold observables of a kind, by the configuration or else by their names.
    fn columns(&self, kind: &str, schema: &Schema) -> Vec<FieldPath> {
        match (self.observables.get(kind), Kind::from_name(kind)) {
            (Some(columns), _) => columns.clone(),
            (None, Some(kind)) => kind.fields(schema, &self.observables),
            (None, None) => Vec::new(),
        }
    }
}

/// Returns the events of a range that a rule selects, in order of object and row; where there are more than
/// [`MAX_SCANNED`], one more than that.
async fn scan(
    open: &CachedTable,
    source: &RuleSource,
    range: TimeRange,
) -> Result<Vec<FoundEvent>, EngineError> {
    let options = RunOptions {
        range,
        // In order, so that what is left out does not depend on luck.
        partitions: 1,
        enough: Some(MAX_SCANNED + 1),
        ..RunOptions::default()
    };
    let files = open.table.files_in(range);
    let rules = [(0, source.clone())];
    let sources = [source.clone()];
    let (table, cache) = (Arc::clone(&open.table), Arc::clone(&open.cache));
    let mut run = TableRun::new(table, cache, &rules, &sources, &[], &options)?;
    let found = run.run(&files, 0).await?.findings.into_iter();
    let events = found.filter_map(|finding| {
        let event = finding.events.into_iter().next()?;
        Some(FoundEvent {
            time: event.time,
            object: event.object,
            row: event.row,
            values: finding.fields,
        })
    });
    Ok(events.take(MAX_SCANNED + 1).collect())
}

/// Splits a range with a start and an end, and more than a moment between them.
fn halves(range: TimeRange) -> Option<(TimeRange, TimeRange)> {
    let (from, to) = (range.from?, range.to?);
    let middle = from.micros().midpoint(to.micros());
    let middle = Timestamp::clamped(middle);
    let part = |from, to| TimeRange {
        from: Some(from),
        to: Some(to),
    };
    (middle > from).then(|| (part(from, middle), part(middle, to)))
}

fn is(field: FieldPath, query: &EventQuery) -> Predicate {
    // Addresses are written alike everywhere, and equal texts can be found by statistics and Bloom filters.
    let cased = query.kind == "ip";
    let value = match cased {
        true => query.value.clone(),
        false => query.value.to_lowercase(),
    };
    Predicate::Atom(Arc::new(Atom {
        names: field.into(),
        // Zeek's `answers` is a list.
        reading: FieldReading::Members,
        test: Test::Text {
            op: TextOp::Equals,
            value,
            cased,
        },
    }))
}
