//! One table's scan and rules: which columns are read, and what each rule takes from them.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::PhysicalExpr;
use yagura_core::columns::UNMAPPED_COLUMN;
use yagura_core::rule::TitlePart;
use yagura_core::{FieldPath, Rule};
use yagura_lake::table::Table;
use yagura_rules::pattern_cost::{self, PatternCost};
use yagura_rules::predicate::Test;
use yagura_rules::resolve::{has_overflowed, mark_overflowed, places};
use yagura_rules::{FieldValues, Methods, PluginType, Predicate, Program, resolve};

use crate::condition::{ConditionError, WhereCondition};
use crate::dictionary::text_dictionary;
use crate::error::PlanError;
use crate::prune;
use crate::rule_source::RuleSource;

/// Which of the methods that make a run fast are used; all of them, but for measurements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuning {
    /// Those of the prefilter.
    pub methods: Methods,
    /// Keep Parquet's dictionaries.
    pub dictionaries: bool,
    /// Decode the columns that the prefilter does not read only for rows that it leaves.
    pub late_decoding: bool,
    /// Leave out what statistics, page indexes and Bloom filters refute.
    pub pruning: bool,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            methods: Methods::default(),
            dictionaries: true,
            late_decoding: true,
            pruning: true,
        }
    }
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
    /// Names of the columns that are read as dictionaries.
    pub dictionaries: Arc<HashSet<String>>,
    /// Names of the columns of bytes that rules compare as text.
    pub bytes: Arc<HashSet<String>>,
    /// What each rule asks of an event, in the order of the rules.
    pub predicates: Vec<Predicate>,
    /// The same as one program.
    pub program: Arc<Program>,
    /// What statistics can refute of them.
    pub prunable: Option<Arc<dyn PhysicalExpr>>,
    /// Which methods are used.
    pub tuning: Tuning,
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
    /// The paths that the rule reads, each once.
    pub reads: Vec<FieldRead>,
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
    /// Indexes into `reads`: by whose values the plugin keeps state.
    pub partition: Vec<usize>,
    /// Index of the plugin among the run's plugins.
    pub plugin: Option<usize>,
    /// What correlations ask of a finding.
    pub fields: Vec<FieldPlan>,
}

/// Where a finding has a field.
#[derive(Debug, Clone)]
pub enum FieldPlan {
    /// Index into the rule's `reads`.
    Read(usize),
    /// Name in the context that the plugin gives.
    Context(String),
}

/// A field that a rule reads.
#[derive(Debug, Clone)]
pub struct FieldRead {
    /// As the rule writes it.
    pub name: String,
    /// Where it leads in the scan; `None` for an optional path that the table lacks.
    pub source: Option<FieldValues>,
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
    /// [`PlanError::Rule`] naming file and key: a path that the table lacks, a `where` that cannot be evaluated. Those of several
    /// rules come together.
    pub fn new(
        state: &SessionState,
        table: Arc<Table>,
        rules: &[(usize, RuleSource)],
        tuning: Tuning,
    ) -> Result<Self, PlanError> {
        Self::with_columns(state, table, rules, [], tuning)
    }

    /// Plans as [`TablePlan::new`] does. The scan also yields `columns`, by their index in the table, which no rule need read.
    ///
    /// # Errors
    /// As [`TablePlan::new`].
    pub fn with_columns(
        state: &SessionState,
        table: Arc<Table>,
        rules: &[(usize, RuleSource)],
        columns: impl IntoIterator<Item = usize>,
        tuning: Tuning,
    ) -> Result<Self, PlanError> {
        let schema = table.schema();
        let mut needed = BTreeSet::from_iter(columns);
        needed.extend(schema.index_of(&table.time).ok());
        let mut tested = BTreeSet::new();
        let mut known = HashSet::new();
        let mut conditions = Vec::with_capacity(rules.len());
        let mut errors = Vec::new();
        for (_, source) in rules {
            let rule = &source.rule;
            let parsed = rule.condition.as_ref().map(|text| {
                WhereCondition::parse(text, &schema, &rule.optional)
                    .map_err(|error| wrong(source, &table, "where", error))
            });
            let condition = match parsed.transpose() {
                Ok(condition) => condition,
                Err(error) => {
                    errors.push(error);
                    continue;
                }
            };
            tested.extend(condition.iter().flat_map(WhereCondition::columns));
            if let Some(predicate) = &source.predicate {
                predicate.atoms(&mut |atom| {
                    let mut add = |names: &[FieldPath]| {
                        let found = names.iter().flat_map(|name| places(&schema, name));
                        tested.extend(found.map(|place| place.column));
                    };
                    // Thousands of rules test the same few fields.
                    if known.insert(atom.names.clone()) {
                        add(atom.names.all());
                    }
                    if let Test::Field { other, .. } = &atom.test {
                        add(std::slice::from_ref(other));
                    }
                });
            }
            let paths = rule.read_paths();
            for path in &paths {
                if let Some(values) = source.values_of(path, &schema) {
                    needed.extend(values.columns());
                }
            }
            let missing = paths.iter().find_map(|path| {
                let may_lack =
                    rule.optional.contains(path) || source.alternatives.contains_key(path);
                let error = resolve(&schema, path).err().filter(|_| !may_lack)?;
                Some(wrong(source, &table, key_of(rule, path), error.into()))
            });
            errors.extend(missing);
            let fields = source.fields.iter();
            let fields = fields.filter_map(|path| source.values_of(path, &schema));
            needed.extend(fields.flat_map(|values| values.columns().collect::<Vec<_>>()));
            conditions.push(condition);
        }
        if let Some(error) = PlanError::of_rules(errors) {
            return Err(error);
        }
        needed.extend(&tested);
        let columns: Vec<usize> = needed.into_iter().collect();
        let mut dictionaries = HashSet::new();
        let is_overflowed = has_overflowed(&schema);
        let compared_bytes = tested.iter().map(|index| schema.field(*index));
        let is_bytes = |data_type: &DataType| {
            data_type.is_binary() && !matches!(data_type, DataType::FixedSizeBinary(_))
        };
        let compared_bytes = compared_bytes.filter(|field| is_bytes(field.data_type()));
        let compared_bytes = compared_bytes.map(|field| field.name().clone()).collect();
        let fields: Vec<Field> = columns
            .iter()
            .map(|index| {
                let mut field = schema.field(*index).clone();
                if is_overflowed && field.name() == UNMAPPED_COLUMN {
                    field = mark_overflowed(field);
                }
                if tuning.dictionaries && tested.contains(index) && field.data_type().is_string() {
                    dictionaries.insert(field.name().clone());
                    field.with_data_type(text_dictionary())
                } else {
                    field
                }
            })
            .collect();
        let scan_schema: SchemaRef = Arc::new(Schema::new(fields));
        let time = scan_schema.index_of(&table.time)?;
        let mut predicates = Vec::with_capacity(rules.len());
        let mut weaker: Vec<Option<Expr>> = Vec::with_capacity(rules.len());
        let mut errors = Vec::new();
        let mut patterns = Vec::new();
        for ((_, source), condition) in rules.iter().zip(conditions) {
            let compiled = condition
                .map(|condition| condition.compile(state, &scan_schema))
                .transpose();
            let compiled = match compiled {
                Ok(compiled) => compiled,
                Err(error) => {
                    errors.push(wrong(source, &table, "where", error));
                    continue;
                }
            };
            let (predicate, prunable) = match (compiled, &source.predicate) {
                (Some(compiled), _) => {
                    patterns.push((compiled.patterns, source));
                    if let Err(error) = within_table(&patterns, &table) {
                        patterns.pop();
                        errors.push(error);
                        continue;
                    }
                    (compiled.predicate, compiled.prunable)
                }
                (None, Some(predicate)) => (Predicate::clone(predicate), None),
                (None, None) => (Predicate::Always(true), None),
            };
            predicates.push(predicate);
            weaker.push(prunable);
        }
        if let Some(error) = PlanError::of_rules(errors) {
            return Err(error);
        }
        let program =
            Program::compile(&scan_schema, &predicates, tuning.methods).map_err(|error| {
                let (_, source) = &rules[error.rule];
                PlanError::Rule {
                    file: source.file.clone(),
                    rule: source.rule.id.clone(),
                    key: "where",
                    message: error.to_string(),
                }
            })?;
        let prunable = if tuning.pruning {
            let weaker: Vec<(&Predicate, Option<&Expr>)> = predicates
                .iter()
                .zip(weaker.iter().map(Option::as_ref))
                .collect();
            prune::common(state, &weaker, &scan_schema).map_err(|source: DataFusionError| {
                PlanError::Scan {
                    table: table.name.clone(),
                    source,
                }
            })?
        } else {
            None
        };
        let mut planned = Vec::with_capacity(rules.len());
        let mut errors = Vec::new();
        for (index, source) in rules {
            match RulePlan::new(*index, source, &scan_schema, &table) {
                Ok(rule) => planned.push(rule),
                Err(error) => errors.push(error),
            }
        }
        if let Some(error) = PlanError::of_rules(errors) {
            return Err(error);
        }
        Ok(Self {
            table,
            columns,
            scan_schema,
            time,
            dictionaries: Arc::new(dictionaries),
            bytes: Arc::new(compared_bytes),
            predicates,
            program: Arc::new(program),
            prunable,
            tuning,
            rules: planned,
        })
    }
}

impl RulePlan {
    /// Returns whether its plugin keeps state by key, and so gets its rows in the order of event time.
    pub fn is_keyed(&self) -> bool {
        self.plugin.is_some() && !self.partition.is_empty()
    }

    /// Returns the reads that a finding's title, key, observables, context and fields are made of; some more than once.
    pub fn finding_reads(&self) -> impl Iterator<Item = usize> {
        let key = self.key.iter().chain(&self.context).copied();
        let observables = self.observables.iter().map(|(_, read)| *read);
        let title = self.title.iter().filter_map(|piece| match piece {
            TitlePiece::Read(read) => Some(*read),
            TitlePiece::Text(_) => None,
        });
        let fields = self.fields.iter().filter_map(|field| match field {
            FieldPlan::Read(read) => Some(*read),
            FieldPlan::Context(_) => None,
        });
        key.chain(observables).chain(title).chain(fields)
    }

    fn new(
        index: usize,
        source: &RuleSource,
        scan: &Schema,
        table: &Table,
    ) -> Result<Self, PlanError> {
        let rule = &source.rule;
        let mut paths = rule.read_paths();
        for path in &source.fields {
            if !paths.contains(path) && source.values_of(path, scan).is_some() {
                paths.push(path.clone());
            }
        }
        let mut reads = Vec::with_capacity(paths.len());
        for path in &paths {
            let found = source.values_of(path, scan);
            let data_type = found
                .as_ref()
                .map_or(DataType::Utf8, |found| found.data_type().clone());
            let plugin_type = PluginType::of(&data_type).map_err(|error| PlanError::Rule {
                file: source.file.clone(),
                rule: rule.id.clone(),
                key: key_of(rule, path),
                message: format!("names `{path}` of table `{}`: {error}", table.name),
            })?;
            reads.push(FieldRead {
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
            partition: all(&rule.partition_by),
            plugin: source.plugin,
            fields: source
                .fields
                .iter()
                .map(|path| match at(path) {
                    Some(read) => FieldPlan::Read(read),
                    None => FieldPlan::Context(path.to_string()),
                })
                .collect(),
            reads,
        })
    }
}

/// Checks what the patterns of all rules in SQL cost together, and names the rule whose patterns cost most.
fn within_table(patterns: &[(PatternCost, &RuleSource)], table: &Table) -> Result<(), PlanError> {
    let total = patterns.iter().map(|(cost, _)| cost.total).sum::<u64>();
    let most = patterns.iter().max_by_key(|(cost, _)| cost.total);
    match most {
        Some((cost, source)) if total > pattern_cost::TABLE => {
            let message = pattern_cost::over_table(&table.name, cost);
            let error = ConditionError::NotAllowed(message);
            Err(wrong(source, table, "where", error))
        }
        _ => Ok(()),
    }
}

fn wrong(
    source: &RuleSource,
    table: &Table,
    key: &'static str,
    error: ConditionError,
) -> PlanError {
    let message = match error {
        ConditionError::Unknown(unknown) => {
            let unknown = unknown.to_string();
            // It may end with a question.
            let next = match unknown.ends_with('?') {
                true => " Correct",
                false => "; correct",
            };
            format!(
                "cannot be used with table `{}`: {unknown}{next} the name, or add it to `optional` if only some tables have it",
                table.name
            )
        }
        other => other.to_string(),
    };
    PlanError::Rule {
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
    } else if rule.partition_by.contains(path) {
        "partition_by"
    } else {
        "title"
    }
}
