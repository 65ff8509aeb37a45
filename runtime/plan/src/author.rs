//! For authors: a rule's predicate over a table, why it matches an event, and the event that it nearly matches.

use std::cmp::Ordering;
use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::datatypes::{Int64Type, Schema};
use datafusion::common::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::execution::context::SessionContext;
use datafusion::physical_plan::ExecutionPlanProperties;
use datafusion::prelude::SessionConfig;
use futures::TryStreamExt;
use yagura_core::TimeRange;
use yagura_lake::table::Table;
use yagura_rules::explain::ExplainError;
use yagura_rules::predicate::{FieldNames, Test};
use yagura_rules::{Explanation, Methods, Predicate, PrefilterState, Program};

use crate::condition::{ConditionError, WhereCondition, hints};
use crate::error::PlanError;
use crate::rule_source::RuleSource;
use crate::scan::{ReadOptions, object_store_url, scan};
use crate::session::session;
use crate::table_plan::{TablePlan, Tuning};
use crate::tables::footer_cache;

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
/// [`PlanError::Rule`] naming file and key.
pub fn predicate_of(table: &Arc<Table>, source: &RuleSource) -> Result<Predicate, PlanError> {
    let plan = plan(table, source)?;
    Ok(plan
        .predicates
        .into_iter()
        .next()
        .unwrap_or(Predicate::Always(true)))
}

/// Returns the fields that a rule tests, each under all names that events of the table have for it: those that the table cannot
/// have are not among them.
///
/// # Errors
/// [`PlanError::Rule`] naming file and key.
pub fn fields_of(table: &Arc<Table>, source: &RuleSource) -> Result<Vec<FieldNames>, PlanError> {
    let of_condition;
    let predicate = match &source.predicate {
        Some(predicate) => predicate,
        None => {
            of_condition = predicate_of(table, source)?;
            &of_condition
        }
    };
    let mut fields = Vec::new();
    let mut add = |names: FieldNames| {
        if !fields.contains(&names) {
            fields.push(names);
        }
    };
    predicate.atoms(&mut |atom| {
        add(atom.names.clone());
        if let Test::Field { other, .. } = &atom.test {
            add(other.clone().into());
        }
    });
    if let Some(text) = &source.rule.condition
        && let Ok(condition) = WhereCondition::parse(text, &table.schema(), &source.rule.optional)
    {
        condition.paths().for_each(|path| add(path.clone().into()));
    }
    Ok(fields)
}

/// Returns hints for the author of a rule's `where`: comparisons that are true for no event, patterns that may mean something
/// else than their author thinks.
pub fn condition_hints(table: &Table, source: &RuleSource) -> Vec<String> {
    let schema = table.schema();
    let Some(text) = &source.rule.condition else {
        return Vec::new();
    };
    WhereCondition::parse(text, &schema, &source.rule.optional)
        .and_then(|condition| condition.expression(planning(), &schema))
        .map(|expr| hints(&expr, &schema))
        .unwrap_or_default()
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
    let condition = WhereCondition::parse(condition, schema, &[])?;
    Ok(condition.compile(planning(), schema)?.predicate)
}

/// Returns the session that conditions are planned with where nothing is read. Listing its functions takes longer than planning
/// most conditions, so it is made once.
pub(crate) fn planning() -> &'static SessionState {
    static STATE: LazyLock<SessionState> = LazyLock::new(|| session(SessionConfig::new()).state());
    &STATE
}

/// Explains the rule for every event of a table, in order of object and row; meant for few.
///
/// # Errors
/// [`PlanError`]: as a run, and objects that cannot be read.
pub async fn explain(table: &Arc<Table>, source: &RuleSource) -> Result<Vec<Nearest>, PlanError> {
    let mut all = Vec::new();
    let plan = plan(table, source)?;
    let predicate = plan.predicates[0].clone();
    each_batch(table, &plan, TimeRange::default(), |batch| {
        for row in 0..batch.num_rows() {
            let event = batch.slice(row, 1);
            let explanation = yagura_rules::explain(&predicate, &event).map_err(fault)?;
            all.push(nearest_of(&event, explanation));
        }
        Ok(())
    })
    .await?;
    all.sort_by(|a, b| (&a.object, a.row).cmp(&(&b.object, b.row)));
    Ok(all)
}

/// Finds the event of the range that most of the rule's outermost parts are true of, the first of several; `None` for
/// a table without events. Of a rule with alternatives, such as one for several log sources, the one counts that comes nearest.
///
/// # Errors
/// As [`explain`].
pub async fn nearest(
    table: &Arc<Table>,
    source: &RuleSource,
    range: TimeRange,
) -> Result<Option<Nearest>, PlanError> {
    let plan = plan(table, source)?;
    let predicate = plan.predicates[0].clone();
    let alternatives = alternatives(&predicate);
    let parts: Vec<Predicate> = alternatives.iter().flatten().cloned().collect();
    let program =
        Program::compile(&plan.scan_schema, &parts, Methods::default()).map_err(|error| {
            PlanError::Scan {
                table: table.name.clone(),
                source: fault(ExplainError::from(error)),
            }
        })?;
    let mut state = PrefilterState::new(&program);
    // The alternative that each part belongs to.
    let of_part: Vec<usize> = alternatives
        .iter()
        .enumerate()
        .flat_map(|(at, parts)| parts.iter().map(move |_| at))
        .collect();
    let mut best: Option<(Nearness, String, i64, RecordBatch)> = None;
    each_batch(table, &plan, range, |batch| {
        let mut counts = vec![vec![0_usize; alternatives.len()]; batch.num_rows()];
        for (part, rows) in program.evaluate(&mut state, &batch)?.rules {
            for row in rows.set_indices() {
                counts[row][of_part[part]] += 1;
            }
        }
        for (row, counts) in counts.into_iter().enumerate() {
            let all = counts.into_iter().zip(&alternatives);
            let all = all.map(|(matched, parts)| Nearness::new(matched, parts.len()));
            let Some(near) = all.max() else { continue };
            if best.as_ref().is_some_and(|(known, ..)| *known > near) {
                continue;
            }
            let event = batch.slice(row, 1);
            let (object, number) = location(&event);
            let first = best
                .as_ref()
                .is_none_or(|(known, of, at, _)| *known < near || (&object, number) < (of, *at));
            if first {
                best = Some((near, object, number, event));
            }
        }
        Ok(())
    })
    .await?;
    let Some((.., event)) = best else {
        return Ok(None);
    };
    let explanation =
        yagura_rules::explain(&predicate, &event).map_err(|error| PlanError::Scan {
            table: table.name.clone(),
            source: fault(error),
        })?;
    Ok(Some(nearest_of(&event, explanation)))
}

fn plan(table: &Arc<Table>, source: &RuleSource) -> Result<TablePlan, PlanError> {
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

/// Returns the outermost parts of each way in which the predicate can be true.
fn alternatives(predicate: &Predicate) -> Vec<Vec<Predicate>> {
    match predicate {
        Predicate::Any(parts) => parts.iter().map(outermost).collect(),
        other => vec![outermost(other)],
    }
}

/// How many of so many parts are true, ordered by the share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Nearness {
    matched: usize,
    parts: usize,
}

impl Nearness {
    fn new(matched: usize, parts: usize) -> Self {
        Self { matched, parts }
    }

    /// Counts the parts of an explanation, of alternatives the nearest one's.
    fn of(explanation: &Explanation) -> Self {
        let of_one = |one: &Explanation| match one.text.as_str() {
            "all of" => {
                let matched = one.parts.iter().filter(|part| part.matched).count();
                Self::new(matched, one.parts.len())
            }
            _ => Self::new(usize::from(one.matched), 1),
        };
        match explanation.text.as_str() {
            "any of" => explanation.parts.iter().map(of_one).max(),
            _ => None,
        }
        .unwrap_or_else(|| of_one(explanation))
    }
}

impl Ord for Nearness {
    fn cmp(&self, other: &Self) -> Ordering {
        let share = (self.matched * other.parts).cmp(&(other.matched * self.parts));
        share.then(self.parts.cmp(&other.parts))
    }
}

impl PartialOrd for Nearness {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

fn nearest_of(event: &RecordBatch, explanation: Explanation) -> Nearest {
    let (object, row) = location(event);
    let Nearness { matched, parts } = Nearness::of(&explanation);
    Nearest {
        object,
        row,
        matched,
        parts,
        explanation,
    }
}

/// Returns the object and row of an event: the last two columns of a scan.
fn location(event: &RecordBatch) -> (String, i64) {
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
) -> Result<(), PlanError> {
    let failed = |source| PlanError::Scan {
        table: table.name.clone(),
        source,
    };
    let session = SessionContext::new();
    let url = object_store_url(table).map_err(failed)?;
    session
        .runtime_env()
        .register_object_store(url.as_ref(), Arc::clone(&table.location.store));
    let state = session.state();
    let options = ReadOptions {
        range,
        // Nobody counts the values here that are not UTF-8.
        text_as_bytes: true,
        is_narrowed: true,
        counts: Arc::default(),
        store: None,
        rows: Arc::default(),
    };
    let input = scan(
        plan,
        &table.files,
        &options,
        footer_cache(),
        state.config_options(),
    )
    .map_err(failed)?;
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
