//! One pass of all rules over a closed range of event time.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use datafusion::common::DataFusionError;
use datafusion::execution::cache::cache_manager::FileMetadataCache;
use datafusion::execution::cache::default_cache::DefaultCache;
use datafusion::execution::context::SessionContext;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use datafusion::prelude::SessionConfig;
use futures::{StreamExt, TryStreamExt, stream};
use yagura_core::names::did_you_mean;
use yagura_core::{Finding, Rule, TimeRange};
use yagura_lake::table::{DataFile, OnProblem, Table, TableConfig};

use crate::detect::DetectExec;
use crate::error::EngineError;
use crate::findings::decode;
use crate::judge::chain;
use crate::plan::{RuleSource, TablePlan, Tuning};
use crate::report::{Progress, RuleCost, SetAside};
use crate::runtime::{DetectRuntime, PluginSource};
use crate::scan::{object_store_url, scan};
use crate::sigma::{SigmaInput, place};

/// How a run works.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// The event times that are judged.
    pub range: TimeRange,
    /// Scans of a table side by side.
    pub partitions: usize,
    /// Rows of a batch that a plugin receives, and of a batch of the scan.
    pub batch_rows: usize,
    /// Findings that the run may hold.
    pub max_findings: usize,
    /// Which methods are used.
    pub tuning: Tuning,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            range: TimeRange::default(),
            partitions: std::thread::available_parallelism().map_or(1, usize::from),
            batch_rows: 8_192,
            max_findings: 2_000_000,
            tuning: Tuning::default(),
        }
    }
}

/// What a run works on.
#[derive(Debug, Clone, Default)]
pub struct RunInput {
    /// The tables that there are.
    pub tables: Vec<TableConfig>,
    /// The rules.
    pub rules: Vec<RuleSource>,
    /// Sigma rules, which come after them.
    pub sigma: SigmaInput,
    /// The plugins that the rules name by index.
    pub plugins: Vec<PluginSource>,
}

/// What came of a run.
#[derive(Debug, Default)]
pub struct RunOutcome {
    /// The rules that findings refer to by index: those given, then the Sigma rules that found a table.
    pub rules: Vec<Arc<Rule>>,
    /// The findings, in no order.
    pub findings: Vec<Finding>,
    /// Events that rules did not judge because their plugins failed.
    pub set_aside: Vec<SetAside>,
    /// The tables that were scanned.
    pub tables: Vec<TableOutcome>,
    /// Rules that did not run, with their files and the reason.
    pub not_run: Vec<NotRun>,
}

/// A rule that did not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotRun {
    /// Id of the rule.
    pub rule: String,
    /// Its file.
    pub file: PathBuf,
    /// Why.
    pub reason: String,
}

/// What a run saw of a table.
#[derive(Debug, Clone)]
pub struct TableOutcome {
    /// The table, with the objects that were read.
    pub table: Arc<Table>,
    /// How many rules it was judged by.
    pub rules: usize,
    /// Events that came out of the scan.
    pub scanned: u64,
    /// Events handed to rules, once for each rule.
    pub judged: u64,
    /// Rows left out for want of a usable time.
    pub null_times: u64,
    /// Objects left out because they cannot be read, with the reason.
    pub bad_files: Vec<(String, String)>,
    /// What rules' plugins cost, by index among the run's rules; empty unless their host measures it.
    pub costs: BTreeMap<usize, RuleCost>,
}

/// Runs the rules over the tables.
///
/// `watch` is called with each table's name, its plan's size and its live counters before the scan starts.
///
/// # Errors
/// [`EngineError`], naming file and place. A plugin's failure on a batch is not an error: see [`RunOutcome::set_aside`].
pub async fn run(
    input: RunInput,
    options: &RunOptions,
    mut watch: impl FnMut(&Table, &Arc<Progress>),
) -> Result<RunOutcome, EngineError> {
    let mut outcome = RunOutcome::default();
    let mut rules = input.rules;
    let mut open = Vec::new();
    for config in &input.tables {
        let is_named = rules.iter().any(|source| source.rule.table == config.name);
        if is_named || !input.sigma.load.rules.is_empty() {
            let cache: Arc<FileMetadataCache> = Arc::new(DefaultCache::new(FOOTER_CACHE_BYTES));
            let table = Table::open(config.clone(), options.range, Arc::clone(&cache)).await?;
            open.push((Arc::new(table), cache));
        }
    }
    let tables: Vec<Arc<Table>> = open.iter().map(|(table, _)| Arc::clone(table)).collect();
    let placed = place(&input.sigma, &tables);
    rules.extend(placed.rules);
    outcome.not_run.extend(placed.not_run);
    let mut by_table: BTreeMap<&str, Vec<(usize, RuleSource)>> = BTreeMap::new();
    for (index, source) in rules.iter().enumerate() {
        if source.rule.correlation.is_some() {
            outcome.not_run.push(NotRun {
                rule: source.rule.id.clone(),
                file: source.file.clone(),
                reason: "it joins findings of other rules, which runs do not do yet".into(),
            });
        } else if tables.iter().any(|table| table.name == source.rule.table) {
            let rules = by_table.entry(&source.rule.table).or_default();
            rules.push((index, source.clone()));
        } else {
            let known = input.tables.iter().map(|table| table.name.as_str());
            outcome.not_run.push(NotRun {
                rule: source.rule.id.clone(),
                file: source.file.clone(),
                reason: format!(
                    "there is no table `{}`{}",
                    source.rule.table,
                    did_you_mean(&source.rule.table, known)
                ),
            });
        }
    }
    outcome.rules = rules
        .iter()
        .map(|source| Arc::clone(&source.rule))
        .collect();
    for (table, cache) in open {
        let Some(of_table) = by_table.get(table.name.as_str()) else {
            continue;
        };
        let job = TableJob {
            table,
            cache,
            rules: of_table,
            all: &outcome.rules,
            plugins: &input.plugins,
            options,
        };
        let (table, findings, set_aside) = job.run(outcome.findings.len(), &mut watch).await?;
        outcome.tables.push(table);
        outcome.findings.extend(findings);
        outcome.set_aside.extend(set_aside);
    }
    Ok(outcome)
}

/// Opens every table, to check or explain rules over it.
///
/// # Errors
/// [`EngineError::Table`].
pub async fn open_tables(
    tables: &[TableConfig],
    range: TimeRange,
) -> Result<Vec<Arc<Table>>, EngineError> {
    let cache: Arc<FileMetadataCache> = Arc::new(DefaultCache::new(FOOTER_CACHE_BYTES));
    let mut open = Vec::with_capacity(tables.len());
    for config in tables {
        let table = Table::open(config.clone(), range, Arc::clone(&cache)).await?;
        open.push(Arc::new(table));
    }
    Ok(open)
}

struct TableJob<'a> {
    table: Arc<Table>,
    cache: Arc<FileMetadataCache>,
    rules: &'a [(usize, RuleSource)],
    /// All rules of the run.
    all: &'a [Arc<Rule>],
    plugins: &'a [PluginSource],
    options: &'a RunOptions,
}

impl TableJob<'_> {
    async fn run(
        &self,
        findings_before: usize,
        watch: &mut impl FnMut(&Table, &Arc<Progress>),
    ) -> Result<(TableOutcome, Vec<Finding>, Vec<SetAside>), EngineError> {
        let table = Arc::clone(&self.table);
        let progress = Arc::new(Progress::default());
        let session = self.session(&table, None)?;
        let plan = Arc::new(TablePlan::new(
            &session.state(),
            Arc::clone(&table),
            self.rules,
            self.options.tuning,
        )?);
        watch(&table, &progress);
        let mut bad_files = table.bad_files.clone();
        let mut files = table.files.clone();
        let findings = loop {
            let runtime = Arc::new(DetectRuntime::open(
                &plan,
                self.plugins,
                self.all.len(),
                Arc::clone(&progress),
            )?);
            let session = self.session(&table, Some(runtime))?;
            let attempt = self
                .scan_once(&session, &plan, &files, findings_before)
                .await;
            let error = match attempt {
                Ok(findings) => break findings,
                Err(EngineError::Scan { source, .. }) => source,
                Err(other) => return Err(other),
            };
            // The reader does not say which object it failed on. Reading them one by one does.
            let found = self.unreadable(&session, &plan, &files).await?;
            if found.is_empty() {
                return Err(scan_error(&table, error));
            }
            if table.on_bad_file == OnProblem::Fail {
                let (file, reason) = found[0].clone();
                return Err(EngineError::BadFile {
                    table: table.name.clone(),
                    file,
                    reason,
                });
            }
            let is_bad = |file: &DataFile| {
                let url = table.location.name_of(&file.meta.location);
                found.iter().any(|(bad, _)| *bad == url)
            };
            files.retain(|file| !is_bad(file));
            bad_files.extend(found);
            progress.reset();
        };
        let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let outcome = TableOutcome {
            rules: plan.rules.len(),
            scanned: count(&progress.scanned),
            judged: count(&progress.judged),
            null_times: count(&progress.null_times),
            bad_files,
            costs: progress.take_costs(),
            table,
        };
        Ok((outcome, findings, progress.take_set_aside()))
    }

    fn session(
        &self,
        table: &Table,
        runtime: Option<Arc<DetectRuntime>>,
    ) -> Result<SessionContext, EngineError> {
        let mut config = SessionConfig::new()
            .with_target_partitions(self.options.partitions.max(1))
            .with_batch_size(self.options.batch_rows.max(1));
        if let Some(runtime) = runtime {
            config = config.with_extension(runtime);
        }
        let session = SessionContext::new_with_config(config);
        let url = object_store_url(table).map_err(|error| scan_error(table, error))?;
        session
            .runtime_env()
            .register_object_store(url.as_ref(), Arc::clone(&table.location.store));
        Ok(session)
    }

    async fn scan_once(
        &self,
        session: &SessionContext,
        plan: &Arc<TablePlan>,
        files: &[DataFile],
        findings_before: usize,
    ) -> Result<Vec<Finding>, EngineError> {
        if files.is_empty() {
            return Ok(Vec::new());
        }
        let table = &plan.table;
        let state = session.state();
        let options = state.config_options();
        let cache = Arc::clone(&self.cache);
        let input = scan(plan, files, self.options.range, cache, options)
            .map_err(|error| scan_error(table, error))?;
        let detect: Arc<dyn ExecutionPlan> = Arc::new(DetectExec::new(
            input,
            Arc::clone(plan),
            self.options.range,
            self.options.batch_rows,
        ));
        let partitions = detect.output_partitioning().partition_count();
        let streams = (0..partitions)
            .map(|partition| detect.execute(partition, session.task_ctx()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| scan_error(table, error))?;
        // Each partition is a task of its own, so that they use every core.
        let mut batches = stream::select_all(streams.into_iter().map(in_own_task));
        let mut objects = HashMap::new();
        let mut findings: Vec<Finding> = Vec::new();
        while let Some(batch) = batches.next().await {
            let batch = batch.map_err(|error| scan_error(table, error))?;
            findings.extend(decode(&batch, &mut objects));
            if findings_before + findings.len() > self.options.max_findings {
                return Err(self.too_many(&findings));
            }
        }
        Ok(findings)
    }

    fn too_many(&self, findings: &[Finding]) -> EngineError {
        let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
        for finding in findings {
            *counts.entry(finding.rule).or_default() += 1;
        }
        let most = counts.into_iter().max_by_key(|(_, count)| *count);
        let (rule, count) = most.unwrap_or_default();
        EngineError::TooManyFindings {
            limit: self.options.max_findings,
            rule: self.all[rule].id.clone(),
            count,
        }
    }

    /// Reads every object by itself and returns those that fail, with the reason.
    async fn unreadable(
        &self,
        session: &SessionContext,
        plan: &TablePlan,
        files: &[DataFile],
    ) -> Result<Vec<(String, String)>, EngineError> {
        let table = &plan.table;
        let mut bad = Vec::new();
        for file in files {
            let one = std::slice::from_ref(file);
            let state = session.state();
            let options = state.config_options();
            let read = async {
                let input = scan(
                    plan,
                    one,
                    self.options.range,
                    Arc::clone(&self.cache),
                    options,
                )?;
                for partition in 0..input.output_partitioning().partition_count() {
                    let mut batches = input.execute(partition, session.task_ctx())?;
                    while batches.try_next().await?.is_some() {}
                }
                Ok::<_, DataFusionError>(())
            };
            if let Err(error) = read.await {
                bad.push((
                    table.location.name_of(&file.meta.location),
                    error.strip_backtrace(),
                ));
            }
        }
        Ok(bad)
    }
}

/// What the footers of one table may take; above it the least used are fetched again.
const FOOTER_CACHE_BYTES: usize = 64 * 1024 * 1024;

fn in_own_task(
    mut input: datafusion::execution::SendableRecordBatchStream,
) -> impl futures::Stream<Item = datafusion::error::Result<datafusion::arrow::array::RecordBatch>> + Unpin
{
    let mut builder =
        datafusion::physical_plan::stream::RecordBatchReceiverStream::builder(input.schema(), 2);
    let sender = builder.tx();
    builder.spawn(async move {
        while let Some(batch) = input.next().await {
            if sender.send(batch).await.is_err() {
                break;
            }
        }
        Ok(())
    });
    builder.build()
}

/// Errors of ours that travelled through DataFusion come out as themselves.
fn scan_error(table: &Table, error: DataFusionError) -> EngineError {
    tracing::debug!(error = chain(&error), "scan failed");
    match error.find_root() {
        DataFusionError::External(_) => match unwrap_external(error) {
            Ok(own) => own,
            Err(source) => EngineError::Scan {
                table: table.name.clone(),
                source,
            },
        },
        _ => EngineError::Scan {
            table: table.name.clone(),
            source: error,
        },
    }
}

fn unwrap_external(error: DataFusionError) -> Result<EngineError, DataFusionError> {
    match error {
        DataFusionError::External(inner) => inner
            .downcast::<EngineError>()
            .map(|own| *own)
            .map_err(DataFusionError::External),
        DataFusionError::Context(text, inner) => {
            unwrap_external(*inner).map_err(|inner| DataFusionError::Context(text, Box::new(inner)))
        }
        other => Err(other),
    }
}
