//! The live things that a plan's operators need where they run: plugins and counters.
//!
//! A plan names rules and plugins by number. Whoever executes it puts a [`DetectRuntime`] into the session, so that the
//! plan itself holds no handle and could be built again in another process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::common::DataFusionError;
use yagura_host::{
    CallError, DataType, Detector, DetectorPlugin, Field, InstancePool, Meter, RuleSpec,
};
use yagura_rules::PluginType;

use crate::background::MOST_BYTES;
use crate::error::EngineError;
use crate::keyed::{KeyedRows, too_many_pending};
use crate::plan::{RulePlan, TablePlan};
use crate::quarantine::Quarantine;
use crate::report::Progress;
use crate::rows::Rows;

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
    pub(crate) progress: Arc<Progress>,
    /// Rows of rules that keep state, from all partitions, in no order.
    keyed: Mutex<Vec<KeyedRows>>,
    max_pending_rows: usize,
    /// Rows of rules that are evaluated beside the steps, from all partitions, in no order.
    deferred: Mutex<DeferredRows>,
}

#[derive(Debug, Default)]
struct DeferredRows {
    rows: Vec<KeyedRows>,
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
        progress: Arc<Progress>,
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
        })
    }

    /// Keeps rows of a rule until all partitions are read.
    pub(crate) fn keep(
        &self,
        plan: &TablePlan,
        position: usize,
        rows: Rows,
    ) -> Result<(), DataFusionError> {
        let mut kept = self.keyed.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push(KeyedRows { position, rows });
        let counts = || kept.iter().map(|kept| (kept.position, kept.rows.len()));
        if counts().map(|(_, rows)| rows).sum::<usize>() > self.max_pending_rows {
            let error = too_many_pending(plan, self.max_pending_rows, counts());
            return Err(DataFusionError::External(Box::new(error)));
        }
        Ok(())
    }

    /// Leaves rows of a rule to be evaluated beside the step. Returns them where there is no room for so many.
    pub(crate) fn defer(&self, position: usize, mut rows: Rows) -> Option<Rows> {
        rows.detach();
        let mut deferred = self.deferred.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = deferred.bytes + rows.bytes();
        if bytes > MOST_BYTES {
            return Some(rows);
        }
        deferred.bytes = bytes;
        deferred.rows.push(KeyedRows { position, rows });
        None
    }

    /// Returns and forgets the rows that were left.
    pub(crate) fn take_deferred(&self) -> Vec<KeyedRows> {
        let mut deferred = self.deferred.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *deferred).rows
    }

    /// Returns and forgets the rows that were kept.
    pub(crate) fn take_keyed(&self) -> Vec<KeyedRows> {
        std::mem::take(&mut *self.keyed.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Returns a rule as its plugin is told of it.
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

    /// Says whether its host measures what calls cost.
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
