//! One table with its rules planned: objects in, findings out, once or step by step.

mod faults;
mod once;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::array::RecordBatch;
use datafusion::common::DataFusionError;
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::cache::cache_manager::FileMetadataCache;
use datafusion::execution::context::SessionContext;
use datafusion::object_store::Error as StoreError;
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use futures::{Stream, StreamExt, stream};
use yagura_core::{Finding, Timestamp};
use yagura_host::CallError;
use yagura_lake::OddTimes;
use yagura_lake::table::{DataFile, OnProblem, Table, reason_of};
use yagura_plan::{Conversions, ReadOptions, RulePlan, RuleSource, TablePlan, scan};

use crate::background::Background;
use crate::calls::chain;
use crate::detect::DetectExec;
use crate::error::EngineError;
use crate::findings::decode;
use crate::keyed::KeyedDetectors;
use crate::options::RunOptions;
use crate::quarantine::Quarantine;
use crate::report::{RunCounters, SkippedEvents};
use crate::runtime::{DetectRuntime, PluginSource, rule_spec};
use crate::scan_output::ScanOutput;
use crate::session::{scan_error, session};

/// A table with its rules planned.
#[derive(Debug)]
pub struct TableRun {
    pub(crate) table: Arc<Table>,
    pub(crate) cache: Arc<FileMetadataCache>,
    pub(crate) plan: Arc<TablePlan>,
    pub(crate) progress: Arc<RunCounters>,
    pub(crate) quarantine: Arc<Quarantine>,
    plugins: Vec<PluginSource>,
    /// Ids of all rules of the run.
    rule_ids: Vec<String>,
    options: RunOptions,
    /// Kept from step to step: instances are costly to open.
    runtime: Option<Arc<DetectRuntime>>,
    /// Some of the table's text is not UTF-8.
    text_as_bytes: bool,
    /// What narrows the scan cannot be evaluated on some of the table's objects.
    is_read_whole: bool,
    /// The findings and their bytes that each rule may make of objects that are read together; further ones are only counted.
    pub(crate) rule_limit: Option<(usize, usize)>,
    /// Rows of rules that keep state are given up where there are too many, rather than all of what is read together.
    gives_up_rows: bool,
    /// Messages for a person of how the objects were read, since it was taken.
    messages: Vec<String>,
}

impl TableRun {
    /// Plans rules, with their index among `all`, over the table.
    ///
    /// # Errors
    /// [`EngineError::Plan`]: a rule that does not fit the table.
    pub fn new(
        table: Arc<Table>,
        cache: Arc<FileMetadataCache>,
        rules: &[(usize, RuleSource)],
        all: &[RuleSource],
        plugins: &[PluginSource],
        options: &RunOptions,
    ) -> Result<Self, EngineError> {
        let session = session(&table, options, None)?;
        let plan = Arc::new(TablePlan::new(
            &session.state(),
            Arc::clone(&table),
            rules,
            options.tuning,
        )?);
        let quarantine = plan.rules.iter().filter_map(|rule| {
            let code = &plugins.get(rule.plugin?)?.plugin.info().digest;
            Some((rule.index, rule.rule.id.clone(), code.clone()))
        });
        Ok(Self {
            table,
            cache,
            quarantine: Arc::new(Quarantine::new(quarantine, options.fairness)),
            plan,
            progress: Arc::default(),
            plugins: plugins.to_vec(),
            rule_ids: all.iter().map(|source| source.rule.id.clone()).collect(),
            options: options.clone(),
            runtime: None,
            text_as_bytes: false,
            is_read_whole: false,
            rule_limit: None,
            gives_up_rows: false,
            messages: Vec::new(),
        })
    }

    /// Returns the table's objects.
    pub fn files(&self) -> &[DataFile] {
        &self.table.files
    }

    /// Returns and forgets messages for a person of how the objects were read.
    pub fn take_messages(&mut self) -> Vec<String> {
        std::mem::take(&mut self.messages)
    }

    /// Returns and forgets what was skipped, in order of rule and event.
    pub fn take_skipped(&self) -> Vec<SkippedEvents> {
        self.progress.take_skipped()
    }

    /// Returns the table's rules that keep state, with nothing remembered.
    pub fn keyed(&self) -> KeyedDetectors {
        let plan = Arc::clone(&self.plan);
        let progress = Arc::clone(&self.progress);
        let quarantine = Arc::clone(&self.quarantine);
        KeyedDetectors::new(plan, &self.plugins, quarantine, progress, &self.options)
    }

    /// Returns whether rows of rules that keep state are given up where there are more than may wait: the newest of the rules that
    /// have the most. Else it is an error.
    pub fn gives_up_rows(&mut self, gives_up: bool) {
        self.gives_up_rows = gives_up;
    }

    /// Evaluates the events of these objects by the table's rules; `before` findings are held already. Rows of rules that keep
    /// state are selected only.
    ///
    /// # Errors
    /// As [`crate::run()`]. Nothing of the objects has been kept then.
    pub async fn run(
        &mut self,
        files: &[DataFile],
        before: usize,
    ) -> Result<ScanOutput, EngineError> {
        let mut scanned = ScanOutput {
            files: files.to_vec(),
            ..ScanOutput::default()
        };
        if files.is_empty() && self.runtime.is_some() {
            return Ok(scanned);
        }
        loop {
            let runtime = self.runtime()?;
            runtime.set_gives_up(self.gives_up_rows);
            let session = session(&self.table, &self.options, Some(Arc::clone(&runtime)))?;
            let counted = self.progress.counters();
            let counts = Arc::<Conversions>::default();
            let reading = self.reading(Arc::clone(&counts));
            let attempt = self
                .scan_once(&session, &scanned.files, &reading, before)
                .await;
            if attempt.is_err() {
                // Rows of this attempt are in it, and its last tasks may still add some.
                self.runtime = None;
            }
            let error = match attempt {
                Ok((findings, over)) => {
                    scanned.findings = findings;
                    scanned.over = over;
                    (scanned.keyed, scanned.dropped) = runtime.take_keyed()?;
                    scanned.deferred = runtime.take_deferred();
                    scanned.converted = counts.take();
                    return Ok(scanned);
                }
                Err(EngineError::Scan { source, .. }) => source,
                Err(other) => {
                    self.progress.reset_to(counted);
                    return Err(other);
                }
            };
            self.progress.reset_to(counted);
            // The reader does not name the object that it failed on. Reading them one by one, without any rule, finds it.
            let found = self.unreadable(&session, &scanned.files).await?;
            if found.is_empty() {
                if self.next_reading(&reading, &error) {
                    continue;
                }
                return Err(scan_error(&self.table, error));
            }
            if self.table.on_bad_file == OnProblem::Fail {
                let (file, reason) = found[0].clone();
                return Err(EngineError::BadFile {
                    table: self.table.name.clone(),
                    file,
                    reason,
                });
            }
            let is_bad = |file: &DataFile| {
                let url = self.table.location.name_of(&file.meta.location);
                found.iter().any(|(bad, _)| *bad == url)
            };
            scanned.files.retain(|file| !is_bad(file));
            scanned.bad_files.extend(found);
        }
    }

    fn reading(&self, counts: Arc<Conversions>) -> ReadOptions {
        ReadOptions {
            range: self.options.range,
            text_as_bytes: self.text_as_bytes,
            is_narrowed: !self.is_read_whole,
            counts,
            store: None,
            rows: Arc::default(),
        }
    }

    /// Finds another way to read objects that can all be read, and yet not be scanned. Returns whether there is one.
    fn next_reading(&mut self, failed: &ReadOptions, error: &DataFusionError) -> bool {
        if self.text_as_bytes && !failed.text_as_bytes {
            return true;
        }
        if self.is_read_whole {
            return false;
        }
        // A condition that cannot be evaluated inside the reader: rules evaluate theirs one by one on what it yields.
        self.is_read_whole = true;
        self.messages.push(format!(
            "the rules' common filter cannot be evaluated on objects of table `{}`, so they are read whole: {}",
            self.table.name,
            reason_of(error)
        ));
        true
    }

    /// Returns plugins and counters, and opens the plugins where that was not done before.
    ///
    /// # Errors
    /// As [`DetectRuntime::open`].
    pub(crate) fn runtime(&mut self) -> Result<Arc<DetectRuntime>, EngineError> {
        if let Some(runtime) = &self.runtime {
            return Ok(Arc::clone(runtime));
        }
        let opened = Arc::new(DetectRuntime::open(
            &self.plan,
            &self.plugins,
            Arc::clone(&self.quarantine),
            Arc::clone(&self.progress),
            self.options.max_pending_rows,
        )?);
        self.runtime = Some(Arc::clone(&opened));
        Ok(opened)
    }

    /// Opens the plugins. Returns the rules that they do not accept, each with the reason.
    ///
    /// # Errors
    /// As [`TableRun::runtime`], where the host failed and no plugin.
    pub(crate) fn open_plugins(&mut self) -> Result<Vec<(String, String)>, EngineError> {
        let (name, source) = match self.runtime() {
            Ok(_) => return Ok(Vec::new()),
            Err(EngineError::Open { plugin, source, .. })
                if !matches!(source, CallError::Host { .. }) =>
            {
                (plugin, source)
            }
            Err(error) => return Err(error),
        };
        let of_plugin: Vec<(&RulePlan, &PluginSource)> = self
            .plan
            .rules
            .iter()
            .filter_map(|rule| Some((rule, self.plugins.get(rule.plugin?)?)))
            .filter(|(_, plugin)| plugin.plugin.name() == name)
            .collect();
        let reason =
            |error: &CallError| format!("plugin {name} does not accept it: {}", chain(error));
        // A plugin accepts all of its rules or none. Each by itself shows which it is.
        let refused: Vec<(String, String)> = of_plugin
            .iter()
            .filter_map(|(rule, plugin)| {
                let opened = plugin.plugin.open(&plugin.config, &[rule_spec(rule)]);
                Some((rule.rule.id.clone(), reason(&opened.err()?)))
            })
            .collect();
        if !refused.is_empty() {
            return Ok(refused);
        }
        let all = of_plugin.iter();
        Ok(all
            .map(|(rule, _)| (rule.rule.id.clone(), reason(&source)))
            .collect())
    }

    /// Returns what evaluates rules in the background, with nothing to do.
    pub(crate) fn background(&self) -> Background {
        Background::new(Arc::clone(&self.plan), self.options.batch_rows.max(1))
    }

    /// Returns the latest event time of the objects by their footers; nothing if none has one.
    pub(crate) async fn latest(&self, files: &[DataFile]) -> Option<Timestamp> {
        let times = stream::iter(files)
            .map(|file| self.table.times_of(file, Arc::clone(&self.cache)))
            .buffered(FOOTERS_AT_ONCE);
        let mut latest = None;
        let mut times = std::pin::pin!(times);
        while let Some(times) = times.next().await {
            // An object that cannot be read was reported already.
            if let Ok(Some((_, last))) = times {
                latest = latest.max(Some(last));
            }
        }
        latest
    }

    /// Returns the events of the objects whose times are odd; `limit` is the latest time that is not.
    pub(crate) async fn odd_times(&self, files: &[DataFile], limit: Timestamp) -> OddTimes {
        let times = stream::iter(files)
            .map(|file| {
                self.table
                    .look_at_times(file, Arc::clone(&self.cache), limit)
            })
            .buffered(FOOTERS_AT_ONCE);
        let mut odd = OddTimes::default();
        let mut times = std::pin::pin!(times);
        while let Some(times) = times.next().await {
            // An object that cannot be read was reported already.
            if let Ok(times) = times {
                odd.join(times.odd);
            }
        }
        odd
    }

    async fn scan_once(
        &self,
        session: &SessionContext,
        files: &[DataFile],
        reading: &ReadOptions,
        before: usize,
    ) -> Result<(Vec<Finding>, BTreeMap<usize, u64>), EngineError> {
        if files.is_empty() {
            return Ok(Default::default());
        }
        let (table, plan) = (&self.table, &self.plan);
        let state = session.state();
        let options = state.config_options();
        let cache = Arc::clone(&self.cache);
        let input =
            scan(plan, files, reading, cache, options).map_err(|error| scan_error(table, error))?;
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
        let mut bytes = 0;
        let mut of_rules: BTreeMap<usize, (usize, usize)> = BTreeMap::new();
        let mut over = BTreeMap::new();
        while let Some(batch) = batches.next().await {
            let batch = batch.map_err(|error| scan_error(table, error))?;
            for finding in decode(&batch, &mut objects) {
                let size = finding.bytes();
                if let Some((most, most_bytes)) = self.rule_limit {
                    let (count, taken) = of_rules.entry(finding.rule).or_default();
                    if *count >= most || *taken + size > most_bytes {
                        *over.entry(finding.rule).or_default() += 1;
                        continue;
                    }
                    *count += 1;
                    *taken += size;
                }
                bytes += size;
                findings.push(finding);
            }
            if before + findings.len() > self.options.max_findings
                || bytes > self.options.max_finding_bytes
            {
                return Err(self.too_many(&findings));
            }
            if self
                .options
                .enough
                .is_some_and(|enough| findings.len() >= enough)
            {
                break;
            }
        }
        Ok((findings, over))
    }

    /// Returns the maximum of findings, and bytes of them, that all rules together may make of what is read together.
    pub(crate) fn most_findings(&self) -> (usize, usize) {
        (self.options.max_findings, self.options.max_finding_bytes)
    }

    /// Forgets what a read has done that took too long, and returns its error.
    pub(crate) fn timed_out(&mut self, after: Duration) -> EngineError {
        self.runtime = None;
        self.rule_limit = None;
        self.gives_up_rows = false;
        let source = StoreError::Generic {
            store: "answer",
            source: format!("it was not there after {} seconds", after.as_secs()).into(),
        };
        scan_error(&self.table, DataFusionError::ObjectStore(Box::new(source)))
    }

    /// Returns the id of a rule.
    pub(crate) fn rule_id(&self, rule: usize) -> &str {
        self.rule_ids.get(rule).map_or("", String::as_str)
    }

    pub(crate) fn too_many(&self, findings: &[Finding]) -> EngineError {
        let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
        for finding in findings {
            *counts.entry(finding.rule).or_default() += 1;
        }
        let most = counts.into_iter().max_by_key(|(_, count)| *count);
        let (rule, count) = most.unwrap_or_default();
        EngineError::TooManyFindings {
            limit: self.options.max_findings,
            rule: self.rule_ids[rule].clone(),
            count,
        }
    }
}

/// Footers that are read side by side.
pub(crate) const FOOTERS_AT_ONCE: usize = 16;

/// Runs a stream in a task of its own.
fn in_own_task(
    mut input: SendableRecordBatchStream,
) -> impl Stream<Item = DataFusionResult<RecordBatch>> + Unpin {
    let mut builder = RecordBatchReceiverStream::builder(input.schema(), 2);
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
