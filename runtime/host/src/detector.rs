//! A loaded detector and its instances.

use std::sync::Arc;

use wasmtime::Store;
use yagura_core::pack::Limits;
use yagura_core::{KeyState, Timestamp};

use crate::bindings::v0_1_0::{self, Detection, wit};
use crate::cache::CacheOutcome;
use crate::error::CallError;
use crate::host_state::HostState;
use crate::inspect::ComponentInfo;
use crate::instances::{InstancePool, PluginInstance};
use crate::limits::Pace;
use crate::log::LogLine;
use crate::meter::{CallCost, Meter};
use crate::plugin::{CompiledPlugin, ComponentInstance};
use crate::types::{BatchRef, RawFinding, RuleSpec};

/// A detector that was compiled and linked once. Starting an instance is cheap. A clone is the same plugin.
#[derive(Clone)]
pub struct DetectorPlugin(pub(crate) Arc<CompiledPlugin<v0_1_0::Detector>>);

impl DetectorPlugin {
    /// Returns its file.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Returns the limits of its instances and calls.
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// Returns its size, digest, imports and exports.
    pub fn info(&self) -> &ComponentInfo {
        &self.0.info
    }

    /// Returns whether its compiled code came from the cache.
    pub fn cache_outcome(&self) -> CacheOutcome {
        self.0.cache
    }

    /// Returns what its host measures of each call.
    pub fn meter(&self) -> Meter {
        self.0.meter
    }

    /// Returns an empty pool for its idle instances.
    pub fn instance_pool(&self) -> InstancePool<Detector> {
        self.0.instance_pool()
    }

    /// Returns the ids of the rules that it has code for, sorted.
    ///
    /// # Errors
    /// [`CallError`], as from any call.
    pub fn rule_ids(&self) -> Result<Vec<String>, CallError> {
        let mut rules = Detector::start(self)?.rules()?;
        rules.sort();
        Ok(rules)
    }

    /// Starts an instance and opens it with its configuration, as JSON text, and the rules that it will evaluate.
    ///
    /// # Errors
    /// [`CallError::UnknownRule`] for a rule without code in the component; otherwise as from any call.
    pub fn open(&self, config_json: &str, rules: &[RuleSpec]) -> Result<Detector, CallError> {
        let mut detector = Detector::start(self)?;
        let known = detector.rules()?;
        if let Some(rule) = rules.iter().find(|rule| !known.contains(&rule.id)) {
            return Err(CallError::UnknownRule {
                rule: rule.id.clone(),
                known,
            });
        }
        detector.open(config_json, rules)?;
        Ok(detector)
    }
}

impl std::fmt::Debug for DetectorPlugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DetectorPlugin")
            .field("name", &self.0.name)
            .field("info", &self.0.info)
            .finish_non_exhaustive()
    }
}

/// An instance of a detector, opened with its rules. It is usable until an error.
///
/// Calls block the thread, which needs 1 MiB of free stack.
pub struct Detector {
    instance: ComponentInstance<v0_1_0::Detector>,
    /// For each rule, how many columns its batches have.
    columns: Vec<usize>,
}

impl Detector {
    fn start(plugin: &DetectorPlugin) -> Result<Self, CallError> {
        Ok(Self {
            instance: ComponentInstance::start(&plugin.0, None)?,
            columns: Vec::new(),
        })
    }

    fn rules(&mut self) -> Result<Vec<String>, CallError> {
        self.call("rules", |guest, store| guest.call_rules(store).map(Ok))
    }

    fn open(&mut self, config: &str, rules: &[RuleSpec]) -> Result<(), CallError> {
        let schemas: Vec<Vec<wit::Field<'_>>> = rules
            .iter()
            .map(|rule| {
                let fields = rule.schema.iter().map(|field| wit::Field {
                    name: &field.name,
                    data_type: field.data_type.into(),
                    nullable: field.nullable,
                });
                fields.collect()
            })
            .collect();
        let specs: Vec<wit::Rule<'_>> = rules
            .iter()
            .zip(&schemas)
            .map(|(rule, schema)| wit::Rule {
                id: &rule.id,
                config: &rule.config_json,
                schema,
            })
            .collect();
        self.call("open", |guest, store| {
            guest.call_open(store, config, &specs)
        })?;
        self.columns = rules.iter().map(|rule| rule.schema.len()).collect();
        Ok(())
    }

    /// Sets how the time of the following calls is bounded. A call that takes longer ends like a call over its limit.
    pub fn set_pace(&mut self, pace: Pace) {
        self.instance.pace = pace;
    }

    /// Evaluates the rows of one rule; `rule` is its index among the rules of [`DetectorPlugin::open`].
    ///
    /// The columns are copied once, into the instance's memory.
    ///
    /// # Errors
    /// [`CallError::Garbage`] if a finding has no row or one that is not in the batch; otherwise as described at [`CallError`].
    pub fn on_batch(
        &mut self,
        rule: u32,
        batch: BatchRef<'_>,
    ) -> Result<Vec<RawFinding>, CallError> {
        const CALL: &str = "on-batch";
        let opened = usize::try_from(rule)
            .ok()
            .and_then(|rule| self.columns.get(rule).copied());
        if opened != Some(batch.columns.len()) {
            return Err(CallError::Misuse {
                call: CALL,
                reason: match opened {
                    None => format!("rule {rule} of {} was not opened", self.columns.len()),
                    Some(columns) => format!(
                        "the schema has {columns} columns, the batch {}",
                        batch.columns.len()
                    ),
                },
            });
        }
        let columns: Vec<wit::Column<'_>> = batch
            .columns
            .iter()
            .map(|column| wit::Column {
                validity: column.validity,
                offsets: column.offsets,
                values: column.values,
            })
            .collect();
        let sent = wit::Batch {
            rows: batch.rows,
            columns: &columns,
        };
        let findings = self.call(CALL, |guest, store| guest.call_on_batch(store, rule, sent))?;
        if let Some(reason) = findings
            .iter()
            .find_map(|finding| wrong_rows(&finding.rows, batch.rows))
        {
            return Err(self.garbage(CALL, reason));
        }
        Ok(findings.into_iter().map(RawFinding::from).collect())
    }

    /// Evaluates rows of one rule with the same partition key, in the order of their event time. The plugin can read and change
    /// `state`, the state of the key. If the call fails, `state` is unchanged.
    ///
    /// # Errors
    /// As [`Detector::on_batch`].
    pub fn on_keyed_batch(
        &mut self,
        rule: u32,
        batch: BatchRef<'_>,
        state: &mut KeyState,
    ) -> Result<Vec<RawFinding>, CallError> {
        self.with_key(rule, None, state, |detector| detector.on_batch(rule, batch))
    }

    /// Wakes one key of a rule at the event time that it asked for; `rule` is its index among the rules of
    /// [`DetectorPlugin::open`].
    ///
    /// The wake-up is removed from `state`, and so are entries that have expired by then. If the call fails, `state` is
    /// unchanged and still has the wake-up.
    ///
    /// # Errors
    /// [`CallError::Garbage`] if a finding has rows or is for another rule; otherwise as described at [`CallError`].
    pub fn on_wake(
        &mut self,
        rule: u32,
        time: Timestamp,
        state: &mut KeyState,
    ) -> Result<Vec<RawFinding>, CallError> {
        const CALL: &str = "on-watermark";
        if usize::try_from(rule).is_ok_and(|rule| rule >= self.columns.len()) {
            let reason = format!("rule {rule} of {} was not opened", self.columns.len());
            return Err(CallError::Misuse { call: CALL, reason });
        }
        self.with_key(rule, Some(time), state, |detector| {
            let findings = detector.on_watermark(time)?;
            if let Some((other, _)) = findings.iter().find(|(found, _)| *found != rule) {
                let reason = format!("a finding is for rule {other}, and rule {rule} was woken");
                return Err(detector.garbage(CALL, reason));
            }
            Ok(findings.into_iter().map(|(_, finding)| finding).collect())
        })
    }

    /// Makes a call in which the plugin sees `state`, and keeps its changes only if the call succeeds.
    fn with_key<T>(
        &mut self,
        rule: u32,
        woken: Option<Timestamp>,
        state: &mut KeyState,
        call: impl FnOnce(&mut Self) -> Result<T, CallError>,
    ) -> Result<T, CallError> {
        let keyed = &mut self.instance.store.data_mut().keyed;
        keyed.enter(rule, woken, std::mem::take(state));
        let result = call(self);
        *state = self.instance.store.data_mut().keyed.leave(result.is_ok());
        result
    }

    /// Announces that no event before `time` will follow, outside of any key. Each finding comes with its rule.
    ///
    /// # Errors
    /// [`CallError::Garbage`] if a finding has rows or names a rule that was not opened; otherwise as described at [`CallError`].
    pub fn on_watermark(&mut self, time: Timestamp) -> Result<Vec<(u32, RawFinding)>, CallError> {
        const CALL: &str = "on-watermark";
        let findings = self.call(CALL, |guest, store| {
            guest.call_on_watermark(store, time.micros())
        })?;
        let rules = self.columns.len();
        for (rule, finding) in &findings {
            if usize::try_from(*rule).is_ok_and(|rule| rule >= rules) {
                let reason = format!("a finding is for rule {rule}, and {rules} were opened");
                return Err(self.garbage(CALL, reason));
            }
            if !finding.rows.is_empty() {
                return Err(
                    self.garbage(CALL, "a finding has rows, and there is no batch".to_owned())
                );
            }
        }
        Ok(findings
            .into_iter()
            .map(|(rule, finding)| (rule, finding.into()))
            .collect())
    }

    /// Returns a snapshot of the plugin's own memory, in its own encoding, without the states of keys.
    ///
    /// # Errors
    /// As described at [`CallError`].
    pub fn snapshot(&mut self) -> Result<Vec<u8>, CallError> {
        self.call("snapshot", |guest, store| guest.call_snapshot(store))
    }

    /// Restores a snapshot of [`Detector::snapshot`].
    ///
    /// # Errors
    /// As described at [`CallError`].
    pub fn restore(&mut self, state: &[u8]) -> Result<(), CallError> {
        self.call("restore", |guest, store| guest.call_restore(store, state))
    }

    /// Returns whether an error made this instance unusable.
    pub fn is_poisoned(&self) -> bool {
        self.instance.is_poisoned()
    }

    /// Returns the cost of the last call, as far as the host measures it.
    pub fn last_cost(&self) -> CallCost {
        self.instance.last_cost()
    }

    /// Returns the log lines of the last call, up to the limit.
    pub fn last_log(&self) -> &[LogLine] {
        self.instance.last_log()
    }

    /// Returns how many log lines of the last call the limit dropped.
    pub fn last_log_dropped(&self) -> u64 {
        self.instance.last_log_dropped()
    }

    /// Returns how often a limit refused a change of state in the last call.
    pub fn last_state_refusals(&self) -> u64 {
        self.instance.store.data().keyed.refusals()
    }

    /// Makes one call within the limits.
    fn call<T>(
        &mut self,
        call: &'static str,
        function: impl FnOnce(
            &Detection,
            &mut Store<HostState>,
        ) -> wasmtime::Result<Result<T, wit::PluginError>>,
    ) -> Result<T, CallError> {
        self.instance.call(call, |bindings, store| {
            function(bindings.yagura_plugin_detection(), store)
        })
    }

    /// Returns the error for an invalid answer; the instance is then unusable.
    fn garbage(&mut self, call: &'static str, reason: String) -> CallError {
        self.instance.garbage(call, reason)
    }
}

impl PluginInstance for Detector {
    fn memory(&self) -> usize {
        self.instance.memory()
    }
}

impl std::fmt::Debug for Detector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Detector")
            .field("plugin", &self.instance.plugin.name)
            .field("poisoned", &self.instance.is_poisoned())
            .finish_non_exhaustive()
    }
}

/// Returns why the rows of a finding are invalid, if so.
fn wrong_rows(rows: &[u32], batch: u32) -> Option<String> {
    if rows.is_empty() {
        return Some("a finding has no rows".to_owned());
    }
    if usize::try_from(batch).is_ok_and(|batch| rows.len() > batch) {
        return Some(format!(
            "a finding has {} rows, and the batch has {batch}",
            rows.len()
        ));
    }
    let beyond = rows.iter().find(|row| **row >= batch)?;
    Some(format!(
        "a finding names row {beyond}, and the batch has {batch} rows"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_must_lie_in_the_batch() {
        assert_eq!(wrong_rows(&[0, 2, 1], 3), None);
        assert_eq!(wrong_rows(&[], 3).unwrap(), "a finding has no rows");
        assert_eq!(
            wrong_rows(&[0, 3], 3).unwrap(),
            "a finding names row 3, and the batch has 3 rows"
        );
        assert_eq!(
            wrong_rows(&[0, 0, 0, 0], 3).unwrap(),
            "a finding has 4 rows, and the batch has 3"
        );
    }
}
