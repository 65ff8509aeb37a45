//! One table with its rules planned: objects in, findings out, once or step by step.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use datafusion::common::DataFusionError;
use datafusion::execution::cache::cache_manager::FileMetadataCache;
use datafusion::execution::cache::default_cache::DefaultCache;
use datafusion::execution::context::SessionContext;
use datafusion::object_store::memory::InMemory;
use datafusion::object_store::{Error as StoreError, ObjectStore, ObjectStoreExt};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use datafusion::prelude::SessionConfig;
use futures::{StreamExt, TryStreamExt, stream};
use yagura_core::{Finding, TimeRange, Timestamp};
use yagura_host::CallError;
use yagura_lake::OddTimes;
use yagura_lake::guard::Guarded;
use yagura_lake::table::{DataFile, OnProblem, Table, reason_of, store_failure};

use crate::adapt::{Conversions, ConvertedValues};
use crate::background::Background;
use crate::calls::chain;
use crate::detect::DetectExec;
use crate::error::EngineError;
use crate::findings::decode;
use crate::keyed::{KeyedDetectors, KeyedRows};
use crate::plan::{RulePlan, RuleSource, TablePlan};
use crate::quarantine::Quarantine;
use crate::report::{Progress, SkippedEvents};
use crate::run::RunOptions;
use crate::runtime::{DetectRuntime, PluginSource, rule_spec};
use crate::scan::{Reading, object_store_url, scan};

/// What the footers of one table may take; above it the least used are fetched again.
const FOOTER_CACHE_BYTES: usize = 64 * 1024 * 1024;

/// Returns a cache for a table's footers.
pub fn footer_cache() -> Arc<FileMetadataCache> {
    Arc::new(DefaultCache::new(FOOTER_CACHE_BYTES))
}

/// A table with its rules planned.
#[derive(Debug)]
pub struct TableRun {
    pub(crate) table: Arc<Table>,
    pub(crate) cache: Arc<FileMetadataCache>,
    pub(crate) plan: Arc<TablePlan>,
    pub(crate) progress: Arc<Progress>,
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
    /// The findings and their bytes that each rule may make of what is read together; the rest is counted.
    pub(crate) share: Option<(usize, usize)>,
    /// What a person should know of how the objects were read, since it was taken.
    messages: Vec<String>,
}

/// What came of some objects.
#[derive(Debug, Default)]
pub struct Scanned {
    /// Findings of rules without state, in no order.
    pub findings: Vec<Finding>,
    /// Rows of rules that keep state, in no order.
    pub keyed: Vec<KeyedRows>,
    /// Objects left out because they cannot be read, with the reason.
    pub bad_files: Vec<(String, String)>,
    /// The objects that were read.
    pub files: Vec<DataFile>,
    /// Rows of rules whose plugins failed or took long, where steps do not wait for them.
    pub deferred: Vec<KeyedRows>,
    /// Values that rules saw otherwise than they are stored.
    pub converted: ConvertedValues,
    /// Findings over a rule's share, which were counted and not kept, by the rule's index.
    pub over: BTreeMap<usize, u64>,
}

impl TableRun {
    /// Plans rules, with their index among `all`, over the table.
    ///
    /// # Errors
    /// [`EngineError::Rule`]: a rule that does not fit the table.
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
            share: None,
            messages: Vec::new(),
        })
    }

    /// Returns the table's objects.
    pub fn files(&self) -> &[DataFile] {
        &self.table.files
    }

    /// Returns and forgets what a person should know of how the objects were read.
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

    /// Evaluates the events of these objects by the table's rules; `before` findings are held already. Rows of rules that keep
    /// state are selected only.
    ///
    /// # Errors
    /// As [`crate::run()`]. Nothing of the objects has been kept then.
    pub async fn run(&mut self, files: &[DataFile], before: usize) -> Result<Scanned, EngineError> {
        let mut scanned = Scanned {
            files: files.to_vec(),
            ..Scanned::default()
        };
        if files.is_empty() && self.runtime.is_some() {
            return Ok(scanned);
        }
        loop {
            let runtime = self.runtime()?;
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
                    scanned.keyed = runtime.take_keyed();
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
            // The reader does not say which object it failed on. Reading them one by one does, and without any rule.
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

    fn reading(&self, counts: Arc<Conversions>) -> Reading {
        Reading {
            range: self.options.range,
            text_as_bytes: self.text_as_bytes,
            is_narrowed: !self.is_read_whole,
            counts,
            store: None,
        }
    }

    /// Finds another way to read objects that can all be read, and yet not be scanned. Returns whether there is one.
    fn next_reading(&mut self, failed: &Reading, error: &DataFusionError) -> bool {
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

    /// Returns what evaluates rules beside the table's steps, with nothing to do.
    pub(crate) fn background(&self) -> Background {
        Background::new(Arc::clone(&self.plan), self.options.batch_rows.max(1))
    }

    /// Returns the latest event time of the objects by their footers; nothing where none says.
    pub(crate) async fn latest(&self, files: &[DataFile]) -> Option<Timestamp> {
        let times = stream::iter(files)
            .map(|file| self.table.times_of(file, Arc::clone(&self.cache)))
            .buffered(FOOTERS_AT_ONCE);
        let mut latest = None;
        let mut times = std::pin::pin!(times);
        while let Some(times) = times.next().await {
            // An object that cannot be read was told of already.
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
            // An object that cannot be read was told of already.
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
        reading: &Reading,
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
                if let Some((most, most_bytes)) = self.share {
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

    /// Returns the most findings, and bytes of them, that all rules together may make of what is read together.
    pub(crate) fn most_findings(&self) -> (usize, usize) {
        (self.options.max_findings, self.options.max_finding_bytes)
    }

    /// Forgets what a read has done that was given up after so long, and returns the error to tell.
    pub(crate) fn gave_up(&mut self, after: Duration) -> EngineError {
        self.runtime = None;
        self.share = None;
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

    /// Reads the needed columns of every object by itself, without a condition, and returns those that fail, with the reason:
    /// whatever rules there are, they are the same. Finds out whether text has to be read as bytes.
    async fn unreadable(
        &mut self,
        session: &SessionContext,
        files: &[DataFile],
    ) -> Result<Vec<(String, String)>, EngineError> {
        let mut bad = Vec::new();
        for file in files {
            let mut read = self
                .read_plainly(session, file, self.text_as_bytes, None)
                .await;
            if read.is_err() && !self.text_as_bytes {
                let again = self.read_plainly(session, file, true, None).await;
                self.text_as_bytes = again.is_ok();
                // What is no text is said better by the first error.
                read = again.or(read);
            }
            let Err(error) = read else {
                continue;
            };
            let reason = self.fault_of(file, error).await?;
            bad.push((self.table.location.name_of(&file.meta.location), reason));
        }
        Ok(bad)
    }

    /// Returns what is wrong with an object that cannot be read.
    ///
    /// # Errors
    /// Where it is the store that failed: only bytes that are there, all of them, and cannot be read make an object bad.
    pub(crate) async fn fault_of(
        &self,
        file: &DataFile,
        error: DataFusionError,
    ) -> Result<String, EngineError> {
        if store_failure(&error).is_some() {
            return Err(scan_error(&self.table, error));
        }
        // What is read in one go to prove it must fit into memory.
        if file.meta.size > MOST_COPIED {
            return Ok(reason_of(&error));
        }
        let copied = self.copied(file).await;
        let copy = match copied {
            Ok(copy) => copy,
            Err(StoreError::NotFound { .. }) => return Ok(reason_of(&error)),
            Err(source) => {
                let source = DataFusionError::ObjectStore(Box::new(source));
                return Err(scan_error(&self.table, source));
            }
        };
        let session = session(&self.table, &self.options, None)?;
        match self.read_plainly(&session, file, true, Some(copy)).await {
            Err(error) => Ok(reason_of(&error)),
            Ok(()) => Err(scan_error(
                &self.table,
                DataFusionError::ObjectStore(Box::new(StoreError::Generic {
                    store: "answer",
                    source: format!(
                        "a request for a part of the object gave other bytes than one for all of it ({})",
                        reason_of(&error)
                    )
                    .into(),
                })),
            )),
        }
    }

    /// Returns a store that holds all bytes of an object.
    async fn copied(&self, file: &DataFile) -> Result<Arc<dyn ObjectStore>, StoreError> {
        let object = &file.meta.location;
        let bytes = self.table.location.store.get(object).await?.bytes().await?;
        if bytes.len() as u64 != file.meta.size {
            return Err(StoreError::Generic {
                store: "answer",
                source: format!(
                    "{} bytes came of an object that was listed with {}",
                    bytes.len(),
                    file.meta.size
                )
                .into(),
            });
        }
        let copy = InMemory::new();
        copy.put(object, bytes.into()).await?;
        Ok(Arc::new(copy))
    }

    async fn read_plainly(
        &self,
        session: &SessionContext,
        file: &DataFile,
        text_as_bytes: bool,
        store: Option<Arc<dyn ObjectStore>>,
    ) -> Result<(), DataFusionError> {
        let reading = Reading {
            range: TimeRange::default(),
            text_as_bytes,
            is_narrowed: false,
            counts: Arc::default(),
            store,
        };
        let one = std::slice::from_ref(file);
        let state = session.state();
        let cache = match &reading.store {
            Some(_) => footer_cache(),
            None => Arc::clone(&self.cache),
        };
        let input = scan(&self.plan, one, &reading, cache, state.config_options())?;
        for partition in 0..input.output_partitioning().partition_count() {
            let batches = input.execute(partition, session.task_ctx())?;
            let mut batches = Guarded::new(batches);
            while batches.try_next().await?.is_some() {}
        }
        Ok(())
    }
}

/// The largest object that is read whole to prove that it is bad, in bytes.
const MOST_COPIED: u64 = 1 << 30;

/// Footers that are read side by side.
pub(crate) const FOOTERS_AT_ONCE: usize = 16;

fn session(
    table: &Table,
    options: &RunOptions,
    runtime: Option<Arc<DetectRuntime>>,
) -> Result<SessionContext, EngineError> {
    let mut config = SessionConfig::new()
        .with_target_partitions(options.partitions.max(1))
        .with_batch_size(options.batch_rows.max(1));
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
