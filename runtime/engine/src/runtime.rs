//! The live things that a plan's operators need where they run: plugins and counters.
//!
//! A plan names rules and plugins by number. Whoever executes it puts a [`DetectRuntime`] into the session, so that the
//! plan itself holds no handle and could be built again in another process.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::error::ArrowError;

use datafusion::common::DataFusionError;
use yagura_host::{
    CallError, DataType, Detector, DetectorPlugin, Field, InstancePool, Meter, RuleSpec,
};
use yagura_plan::{RulePlan, TablePlan};
use yagura_rules::PluginType;

use crate::error::{EngineError, too_many_pending};
use crate::limits::MAX_DEFERRED_BYTES;
use crate::pending_rows::{DroppedRows, PendingRows, drop_newest};
use crate::quarantine::Quarantine;
use crate::report::RunCounters;
use crate::rows::{Rows, RuleRows};

/// A plugin as a run uses it.
#[derive(Debug, Clone)]
pub struct PluginSource {
    /// The compiled plugin.
    pub plugin: DetectorPlugin,
    /// Its `[plugin.config]` as JSON text.
    pub config: String,
}

/// What the operators of one table's plan need where they run.
#[derive(Debug)]
pub struct DetectRuntime {
    pub(crate) plugins: Vec<PluginRuntime>,
    pub(crate) quarantine: Arc<Quarantine>,
    pub(crate) progress: Arc<RunCounters>,
    /// Rows of rules that keep state, from all partitions, in no order.
    keyed: Mutex<KeyedRows>,
    max_pending_rows: usize,
    /// Where rows are too many, some are given up and the scan goes on.
    gives_up: AtomicBool,
    /// Rows of rules that are evaluated in the background, from all partitions, in no order.
    deferred: Mutex<RowsToDefer>,
}

#[derive(Debug, Default)]
struct KeyedRows {
    rows: Vec<RuleRows>,
    /// What was given up of them, by the rule's place in the plan.
    dropped: BTreeMap<usize, DroppedRows>,
}

impl KeyedRows {
    fn len(&self) -> usize {
        self.rows.iter().map(RuleRows::rows).sum()
    }

    /// Gives up what is too much of the rules that have the most.
    fn give_up(&mut self, most: usize) -> Result<(), ArrowError> {
        let mut parts: BTreeMap<usize, Vec<Rows>> = BTreeMap::new();
        for kept in std::mem::take(&mut self.rows) {
            parts.entry(kept.position).or_default().push(kept.rows);
        }
        let (positions, parts): (Vec<usize>, Vec<_>) = parts.into_iter().unzip();
        let mut waiting: Vec<PendingRows> = parts.into_iter().map(PendingRows::of).collect();
        let cuts = drop_newest(&mut waiting.iter_mut().collect::<Vec<_>>(), most)?;
        for ((position, cut), waiting) in positions.into_iter().zip(cuts).zip(waiting) {
            let rows = waiting.into_parts();
            self.rows
                .extend(rows.map(|rows| RuleRows { position, rows }));
            let Some(cut) = cut else {
                continue;
            };
            match self.dropped.get_mut(&position) {
                Some(known) => known.add(cut),
                None => {
                    self.dropped.insert(position, cut);
                }
            }
        }
        Ok(())
    }
}

#[derive(Debug, Default)]
struct RowsToDefer {
    rows: Vec<RuleRows>,
    bytes: usize,
}

/// One plugin with the rules that it serves on one table.
#[derive(Debug)]
pub(crate) struct PluginRuntime {
    source: PluginSource,
    rules: Vec<RuleSpec>,
    numbers: HashMap<usize, u32>,
    /// Dropped when the memory of all plugins is short.
    idle: InstancePool<Detector>,
}

impl DetectRuntime {
    /// Opens one instance of every plugin that the plan's rules need, which checks that it accepts them. It holds as many
    /// rows of rules that keep state as `max_pending_rows`.
    ///
    /// # Errors
    /// [`EngineError::Open`]: a rule that the component has no code for, a configuration that it refuses.
    pub(crate) fn open(
        plan: &TablePlan,
        plugins: &[PluginSource],
        quarantine: Arc<Quarantine>,
        progress: Arc<RunCounters>,
        max_pending_rows: usize,
    ) -> Result<Self, EngineError> {
        let plugins = plugins
            .iter()
            .enumerate()
            .map(|(index, source)| PluginRuntime::open(plan, index, source))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            plugins,
            quarantine,
            progress,
            keyed: Mutex::default(),
            deferred: Mutex::default(),
            max_pending_rows,
            gives_up: AtomicBool::new(false),
        })
    }

    /// Returns whether rows are given up where there are too many, rather than the scan.
    pub(crate) fn set_gives_up(&self, gives_up: bool) {
        self.gives_up.store(gives_up, Ordering::Relaxed);
    }

    /// Keeps rows of a rule until all partitions are read.
    pub(crate) fn add_keyed(
        &self,
        plan: &TablePlan,
        position: usize,
        rows: Rows,
    ) -> Result<(), DataFusionError> {
        let mut kept = self.keyed.lock().unwrap_or_else(PoisonError::into_inner);
        kept.rows.push(RuleRows { position, rows });
        let (rows, most) = (kept.len(), self.max_pending_rows);
        if rows <= most {
            return Ok(());
        }
        if self.gives_up.load(Ordering::Relaxed) {
            // Not for each batch: it looks at all of them.
            if rows > most + most / 8 {
                kept.give_up(most)?;
            }
            return Ok(());
        }
        let counts = kept.rows.iter().map(|kept| (kept.position, kept.rows()));
        let error = too_many_pending(plan, most, counts);
        Err(DataFusionError::External(Box::new(error)))
    }

    /// Leaves rows of a rule to be evaluated in the background. Returns them where there is no room for so many.
    pub(crate) fn defer(&self, position: usize, mut rows: Rows) -> Option<Rows> {
        rows.detach();
        let mut deferred = self.deferred.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = deferred.bytes + rows.bytes();
        if bytes > MAX_DEFERRED_BYTES {
            return Some(rows);
        }
        deferred.bytes = bytes;
        deferred.rows.push(RuleRows { position, rows });
        None
    }

    /// Returns and forgets the rows that were left.
    pub(crate) fn take_deferred(&self) -> Vec<RuleRows> {
        let mut deferred = self.deferred.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *deferred).rows
    }

    /// Returns and forgets the rows that were kept, and what was given up, by the rule's place in the plan.
    pub(crate) fn take_keyed(
        &self,
    ) -> Result<(Vec<RuleRows>, BTreeMap<usize, DroppedRows>), ArrowError> {
        let mut kept = self.keyed.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() > self.max_pending_rows {
            kept.give_up(self.max_pending_rows)?;
        }
        let KeyedRows { rows, dropped } = std::mem::take(&mut *kept);
        Ok((rows, dropped))
    }
}

/// Returns a rule as its plugin is reported it.
pub(crate) fn rule_spec(rule: &RulePlan) -> RuleSpec {
    RuleSpec {
        id: rule.rule.id.clone(),
        config_json: serde_json::to_string(&rule.rule.config).unwrap_or_default(),
        schema: rule
            .plugin_columns
            .iter()
            .map(|read| &rule.reads[*read])
            .map(|read| Field {
                name: read.name.clone(),
                data_type: host_type(read.plugin_type),
                nullable: true,
            })
            .collect(),
    }
}

impl PluginRuntime {
    fn open(plan: &TablePlan, index: usize, source: &PluginSource) -> Result<Self, EngineError> {
        let mut rules = Vec::new();
        let mut numbers = HashMap::new();
        for rule in plan.rules.iter().filter(|rule| rule.plugin == Some(index)) {
            numbers.insert(rule.index, u32::try_from(rules.len()).unwrap_or(u32::MAX));
            rules.push(rule_spec(rule));
        }
        let runtime = Self {
            source: source.clone(),
            rules,
            numbers,
            idle: source.plugin.instance_pool(),
        };
        if !runtime.rules.is_empty() {
            let first = runtime.take().map_err(|error| EngineError::Open {
                plugin: source.plugin.name().to_owned(),
                table: plan.table.name.clone(),
                source: error,
            })?;
            runtime.give_back(first);
        }
        Ok(runtime)
    }

    /// Returns an idle instance, or opens a new one.
    pub(crate) fn take(&self) -> Result<Detector, CallError> {
        match self.idle.take() {
            Some(detector) => Ok(detector),
            None => self.source.plugin.open(&self.source.config, &self.rules),
        }
    }

    /// Returns whether its host measures what calls cost.
    pub(crate) fn is_metered(&self) -> bool {
        self.source.plugin.meter() != Meter::Off
    }

    /// Keeps an instance for the next call.
    pub(crate) fn give_back(&self, detector: Detector) {
        self.idle.give_back(detector);
    }

    /// Returns the number under which the plugin knows a rule of the run.
    pub(crate) fn number_of(&self, rule: usize) -> u32 {
        self.numbers.get(&rule).copied().unwrap_or(u32::MAX)
    }
}

fn host_type(plugin_type: PluginType) -> DataType {
    match plugin_type {
        PluginType::Boolean => DataType::Boolean,
        PluginType::Int64 => DataType::Int64,
        PluginType::Float64 => DataType::Float64,
        PluginType::TimestampMicros => DataType::TimestampUs,
        PluginType::Utf8 => DataType::Utf8,
        PluginType::Binary => DataType::Binary,
    }
}
