//! What one table's scan and rules come to: which columns are read, and what each rule takes from them.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::execution::SessionState;
use datafusion::physical_expr::PhysicalExpr;
use yagura_core::rule::TitlePart;
use yagura_core::{FieldPath, Rule};
use yagura_lake::table::Table;
use yagura_rules::{PluginType, Resolved, resolve};

use crate::condition::{Condition, ConditionError};
use crate::error::EngineError;

/// A rule, where it was read from, and the plugin that it needs.
#[derive(Debug, Clone)]
pub struct RuleSource {
    /// The rule.
    pub rule: Arc<Rule>,
    /// Its file, for messages.
    pub file: PathBuf,
    /// Index of its plugin among the run's plugins.
    pub plugin: Option<usize>,
}

/// The rules of one table over one scan.
#[derive(Debug, Clone)]
pub struct TablePlan {
    /// The table, with its objects.
    pub table: Arc<Table>,
    /// Indexes into the table's columns, in scan order.
    pub columns: Vec<usize>,
    /// The scan's columns, without the two that name object and row.
    pub scan_schema: SchemaRef,
    /// Index of the time column in the scan.
    pub time: usize,
    /// The rules.
    pub rules: Vec<RulePlan>,
}

/// One rule over the scan.
#[derive(Debug, Clone)]
pub struct RulePlan {
    /// Index among the run's rules.
    pub index: usize,
    /// The rule.
    pub rule: Arc<Rule>,
    /// Its `where`; absent takes every event.
    pub condition: Option<Arc<dyn PhysicalExpr>>,
    /// The paths that the rule reads, each once.
    pub reads: Vec<Read>,
    /// Indexes into `reads`: what the plugin receives.
    pub plugin_columns: Vec<usize>,
    /// Indexes into `reads`: the alert's key.
    pub key: Vec<usize>,
    /// The title's pieces.
    pub title: Vec<TitlePiece>,
    /// Observable kind and index into `reads`.
    pub observables: Vec<(String, usize)>,
    /// Indexes into `reads`: the alert's context.
    pub context: Vec<usize>,
    /// Index of the plugin among the run's plugins.
    pub plugin: Option<usize>,
}

/// A path that a rule reads.
#[derive(Debug, Clone)]
pub struct Read {
    /// As the rule writes it.
    pub name: String,
    /// Where it leads in the scan; nothing for an optional path that the table lacks.
    pub source: Option<Resolved>,
    /// The type that a plugin sees.
    pub plugin_type: PluginType,
    /// The type of the values.
    pub data_type: DataType,
}

/// A piece of a title.
#[derive(Debug, Clone)]
pub enum TitlePiece {
    /// Literal text.
    Text(String),
    /// Index into the rule's `reads`.
    Read(usize),
}

impl TablePlan {
    /// Plans the rules (with their index among the run's rules) over the table.
    ///
    /// # Errors
    /// [`EngineError::Rule`] naming file and key: a path that the table lacks, a `where` that cannot be evaluated.
    pub fn new(
        state: &SessionState,
        table: Arc<Table>,
        rules: &[(usize, RuleSource)],
    ) -> Result<Self, EngineError> {
        let schema = table.schema();
        let mut needed = BTreeSet::new();
        needed.extend(schema.index_of(&table.time).ok());
        let mut conditions = Vec::with_capacity(rules.len());
        for (_, source) in rules {
            let rule = &source.rule;
            let condition = match &rule.condition {
                None => None,
                Some(text) => Some(
                    Condition::parse(state, text, &schema, &rule.optional)
                        .map_err(|error| wrong(source, &table, "where", error))?,
                ),
            };
            needed.extend(condition.iter().flat_map(Condition::columns));
            for path in rule.read_paths() {
                match resolve(&schema, &path) {
                    Ok(found) => {
                        needed.insert(found.column);
                    }
                    Err(_) if rule.optional.contains(&path) => {}
                    Err(error) => {
                        let key = key_of(rule, &path);
                        return Err(wrong(source, &table, key, error.into()));
                    }
                }
            }
            conditions.push(condition);
        }
        let columns: Vec<usize> = needed.into_iter().collect();
        let scan_schema: SchemaRef = Arc::new(schema.project(&columns)?);
        let time = scan_schema.index_of(&table.time)?;
        let rules = rules
            .iter()
            .zip(conditions)
            .map(|((index, source), condition)| {
                let condition = condition
                    .map(|condition| condition.compile(state, &scan_schema))
                    .transpose()
                    .map_err(|error| wrong(source, &table, "where", error))?;
                RulePlan::new(*index, source, condition, &scan_schema, &table)
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            table,
            columns,
            scan_schema,
            time,
            rules,
        })
    }
}

impl RulePlan {
    fn new(
        index: usize,
        source: &RuleSource,
        condition: Option<Arc<dyn PhysicalExpr>>,
        scan: &Schema,
        table: &Table,
    ) -> Result<Self, EngineError> {
        let rule = &source.rule;
        let paths = rule.read_paths();
        let mut reads = Vec::with_capacity(paths.len());
        for path in &paths {
            let found = resolve(scan, path).ok();
            let data_type = found
                .as_ref()
                .map_or(DataType::Utf8, |found| found.data_type.clone());
            let plugin_type = PluginType::of(&data_type).map_err(|error| EngineError::Rule {
                file: source.file.clone(),
                rule: rule.id.clone(),
                key: key_of(rule, path),
                message: format!("names `{path}` of table `{}`: {error}", table.name),
            })?;
            reads.push(Read {
                name: path.to_string(),
                source: found,
                plugin_type,
                data_type,
            });
        }
        let at = |path: &FieldPath| paths.iter().position(|known| known == path);
        let all = |paths: &[FieldPath]| paths.iter().filter_map(at).collect::<Vec<_>>();
        Ok(Self {
            index,
            rule: Arc::clone(rule),
            condition,
            plugin_columns: all(&rule.columns),
            key: all(&rule.alert.key),
            title: TitlePart::split(&rule.title)
                .into_iter()
                .filter_map(|part| match part {
                    TitlePart::Text(text) => Some(TitlePiece::Text(text)),
                    TitlePart::Column(path) => at(&path).map(TitlePiece::Read),
                })
                .collect(),
            observables: rule
                .observables
                .iter()
                .flat_map(|(kind, paths)| paths.iter().map(move |path| (kind, path)))
                .filter_map(|(kind, path)| Some((kind.clone(), at(path)?)))
                .collect(),
            context: all(&rule.context),
            plugin: source.plugin,
            reads,
        })
    }
}

fn wrong(
    source: &RuleSource,
    table: &Table,
    key: &'static str,
    error: ConditionError,
) -> EngineError {
    let message = match error {
        ConditionError::Unknown(unknown) => format!(
            "cannot be used with table `{}`: {unknown}; correct the name, or add it to `optional` if only some tables have it",
            table.name
        ),
        other => other.to_string(),
    };
    EngineError::Rule {
        file: source.file.clone(),
        rule: source.rule.id.clone(),
        key,
        message,
    }
}

/// Returns the key under which the rule names the path.
fn key_of(rule: &Rule, path: &FieldPath) -> &'static str {
    if rule.columns.contains(path) {
        "columns"
    } else if rule.alert.key.contains(path) {
        "alert.key"
    } else if rule.observables.values().flatten().any(|p| p == path) {
        "observables"
    } else if rule.context.contains(path) {
        "context"
    } else {
        "title"
    }
}
