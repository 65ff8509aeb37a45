//! For authors: a rule's predicate over a table, why it matches an event, and the event that it nearly matches.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::datatypes::{Int64Type, Schema};
use datafusion::common::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::execution::cache::cache_manager::FileMetadataCache;
use datafusion::execution::cache::default_cache::DefaultCache;
use datafusion::execution::context::SessionContext;
use datafusion::physical_plan::ExecutionPlanProperties;
use futures::TryStreamExt;
use yagura_core::TimeRange;
use yagura_lake::table::Table;
use yagura_rules::explain::ExplainError;
use yagura_rules::{Explanation, Methods, Predicate, PrefilterState, Program};

use crate::condition::{Condition, ConditionError};
use crate::error::EngineError;
use crate::plan::{RuleSource, TablePlan, Tuning};
use crate::scan::{Reading, object_store_url, scan};

/// An event, how near a rule comes to matching it, and why.
#[derive(Debug, Clone)]
pub struct Nearest {
    /// The object that holds it.
    pub object: String,
    /// Its row there.
    pub row: i64,
    /// How many of the rule's outermost parts are true of it.
    pub matched: usize,
    /// How many there are.
    pub parts: usize,
    /// The rule's tree with its verdicts.
    pub explanation: Explanation,
}

/// Returns what a rule asks of an event of the table.
///
/// # Errors
/// [`EngineError::Rule`] naming file and key.
pub fn predicate_of(table: &Arc<Table>, source: &RuleSource) -> Result<Predicate, EngineError> {
    let plan = plan(table, source)?;
    Ok(plan
        .predicates
        .into_iter()
        .next()
        .unwrap_or(Predicate::Always(true)))
}

/// Returns what is wrong with a condition whatever the table is: that it is no SQL expression.
pub fn syntax_error(condition: &str) -> Option<ConditionError> {
    match condition_predicate(condition, &Schema::empty()) {
        Err(error @ ConditionError::Syntax(_)) => Some(error),
        _ => None,
    }
}

/// Returns what a `where` asks of an event of this schema.
///
/// # Errors
/// [`ConditionError`].
pub fn condition_predicate(condition: &str, schema: &Schema) -> Result<Predicate, ConditionError> {
    let condition = Condition::parse(condition, schema, &[])?;
    Ok(condition.compile(planning(), schema)?.predicate)
}

/// Returns what conditions are planned with where nothing is read: the functions there are, which take longer to list than most
/// conditions to plan.
fn planning() -> &'static SessionState {
    static STATE: LazyLock<SessionState> = LazyLock::new(|| SessionContext::new().state());
    &STATE
}

/// Explains the rule for every event of a table, in order of time and place; meant for few.
///
/// # Errors
/// [`EngineError`]: as a run, and what cannot be read.
pub async fn explain(table: &Arc<Table>, source: &RuleSource) -> Result<Vec<Nearest>, EngineError> {
    let mut all = Vec::new();
    let plan = plan(table, source)?;
    let predicate = plan.predicates[0].clone();
    let parts = outermost(&predicate);
    each_batch(table, &plan, TimeRange::default(), |batch| {
        for row in 0..batch.num_rows() {
            let event = batch.slice(row, 1);
            let explanation = yagura_rules::explain(&predicate, &event).map_err(fault)?;
            let matched = matched_parts(&explanation, parts.len());
            all.push(nearest_of(&event, matched, parts.len(), explanation));
        }
        Ok(())
    })
    .await?;
    all.sort_by(|a, b| (&a.object, a.row).cmp(&(&b.object, b.row)));
    Ok(all)
}

/// Finds the event of the range that most of the rule's outermost parts are true of, the first of several; nothing for
/// a table without events.
///
/// # Errors
/// As [`explain`].
pub async fn nearest(
    table: &Arc<Table>,
    source: &RuleSource,
    range: TimeRange,
) -> Result<Option<Nearest>, EngineError> {
    let plan = plan(table, source)?;
    let predicate = plan.predicates[0].clone();
    let parts = outermost(&predicate);
    let program =
        Program::compile(&plan.scan_schema, &parts, Methods::default()).map_err(|error| {
            EngineError::Scan {
                table: table.name.clone(),
                source: fault(ExplainError::from(error)),
            }
        })?;
    let mut state = PrefilterState::new(&program);
    let mut best: Option<(usize, String, i64, RecordBatch)> = None;
    each_batch(table, &plan, range, |batch| {
        let mut counts = vec![0_usize; batch.num_rows()];
        for (_, rows) in program.evaluate(&mut state, &batch)?.rules {
            for row in rows.set_indices() {
                counts[row] += 1;
            }
        }
        for (row, count) in counts.into_iter().enumerate() {
            if best.as_ref().is_some_and(|(known, ..)| *known > count) {
                continue;
            }
            let event = batch.slice(row, 1);
            let (object, number) = place(&event);
            let first = best
                .as_ref()
                .is_none_or(|(known, of, at, _)| *known < count || (&object, number) < (of, *at));
            if first {
                best = Some((count, object, number, event));
            }
        }
        Ok(())
    })
    .await?;
    let Some((matched, _, _, event)) = best else {
        return Ok(None);
    };
    let explanation =
        yagura_rules::explain(&predicate, &event).map_err(|error| EngineError::Scan {
            table: table.name.clone(),
            source: fault(error),
        })?;
    Ok(Some(nearest_of(&event, matched, parts.len(), explanation)))
}

fn plan(table: &Arc<Table>, source: &RuleSource) -> Result<TablePlan, EngineError> {
    // Every event is wanted, also those that the rule does not match.
    let tuning = Tuning {
        late_decoding: false,
        pruning: false,
        ..Tuning::default()
    };
    let rules = [(0, source.clone())];
    TablePlan::new(planning(), Arc::clone(table), &rules, tuning)
}

fn outermost(predicate: &Predicate) -> Vec<Predicate> {
    match predicate {
        Predicate::All(parts) => parts.clone(),
        other => vec![other.clone()],
    }
}

fn matched_parts(explanation: &Explanation, parts: usize) -> usize {
    if parts == explanation.parts.len() && explanation.text == "all of" {
        explanation.parts.iter().filter(|part| part.matched).count()
    } else {
        usize::from(explanation.matched)
    }
}

fn nearest_of(
    event: &RecordBatch,
    matched: usize,
    parts: usize,
    explanation: Explanation,
) -> Nearest {
    let (object, row) = place(event);
    Nearest {
        object,
        row,
        matched,
        parts,
        explanation,
    }
}

/// The last two columns of a scan say where an event lies.
fn place(event: &RecordBatch) -> (String, i64) {
    let width = event.num_columns();
    let objects = event.column(width - 2).as_any_dictionary();
    let names = objects.values().as_string::<i32>();
    let object = objects
        .normalized_keys()
        .first()
        .map(|key| names.value(*key).to_owned());
    let row = event.column(width - 1).as_primitive::<Int64Type>().value(0);
    (object.unwrap_or_default(), row)
}

async fn each_batch(
    table: &Arc<Table>,
    plan: &TablePlan,
    range: TimeRange,
    mut each: impl FnMut(RecordBatch) -> Result<(), DataFusionError>,
) -> Result<(), EngineError> {
    let failed = |source| EngineError::Scan {
        table: table.name.clone(),
        source,
    };
    let session = SessionContext::new();
    let url = object_store_url(table).map_err(failed)?;
    session
        .runtime_env()
        .register_object_store(url.as_ref(), Arc::clone(&table.location.store));
    let cache: Arc<FileMetadataCache> = Arc::new(DefaultCache::new(16 * 1024 * 1024));
    let state = session.state();
    let reading = Reading {
        range,
        // What is not UTF-8 has nobody to be counted for.
        text_as_bytes: true,
        is_narrowed: true,
        counts: Arc::default(),
    };
    let input =
        scan(plan, &table.files, &reading, cache, state.config_options()).map_err(failed)?;
    for partition in 0..input.output_partitioning().partition_count() {
        let mut batches = input
            .execute(partition, session.task_ctx())
            .map_err(failed)?;
        while let Some(batch) = batches.try_next().await.map_err(failed)? {
            each(batch).map_err(failed)?;
        }
    }
    Ok(())
}

fn fault(error: ExplainError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
