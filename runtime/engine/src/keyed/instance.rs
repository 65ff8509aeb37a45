//! The instance of a plugin that serves all keys of one rule.

use yagura_host::{CallError, Detector, InstancePool, RuleSpec};
use yagura_plan::RulePlan;

use crate::calls::{chain, in_instance};
use crate::report::RunCounters;
use crate::runtime::{PluginSource, rule_spec};
use yagura_host::Meter;

/// A plugin for one rule, opened when first called, and again after an error that spent the instance or where memory was short.
#[derive(Debug)]
pub(super) struct KeyedInstance {
    source: PluginSource,
    rule: RuleSpec,
    open: Option<Detector>,
    /// The instance in place of `open` while its memory is known: it can be dropped then when the memory of all is short.
    waiting: InstancePool<Detector>,
    /// Its own memory, as it was returned last.
    memory: Vec<u8>,
    /// Whether it was called since then.
    was_called: bool,
}

impl KeyedInstance {
    pub(super) fn new(source: PluginSource, rule: &RulePlan) -> Self {
        Self {
            rule: rule_spec(rule),
            waiting: source.plugin.instance_pool(),
            source,
            open: None,
            memory: Vec::new(),
            was_called: false,
        }
    }

    /// Makes a call; the rule is number 0.
    pub(super) fn call<T>(
        &mut self,
        rule: &RulePlan,
        rows: u32,
        progress: &RunCounters,
        call: impl FnOnce(&mut Detector) -> Result<T, CallError>,
    ) -> Result<T, CallError> {
        self.was_called = true;
        if self.open.is_none() {
            self.open = self.waiting.take();
        }
        let (source, memory, spec) = (&self.source, &self.memory, &self.rule);
        in_instance(
            &mut self.open,
            || start(source, spec, memory),
            |detector| {
                if source.plugin.meter() != Meter::Off {
                    progress.add_cost(rule.index, rows, detector.last_cost());
                }
            },
            call,
        )
    }

    /// Asks the instance for its memory, if it was called since the last time, and returns it if it is another one.
    pub(super) fn changed_memory(&mut self) -> Option<Vec<u8>> {
        if !std::mem::take(&mut self.was_called) {
            return None;
        }
        let mut detector = self.open.take()?;
        match detector.snapshot() {
            Ok(memory) => {
                self.waiting.give_back(detector);
                if memory == self.memory {
                    return None;
                }
                self.memory.clone_from(&memory);
                Some(memory)
            }
            Err(error) => {
                tracing::warn!(
                    rule = self.rule.id,
                    error = chain(&error),
                    "the plugin's own memory cannot be stored"
                );
                if !detector.is_poisoned() {
                    self.open = Some(detector);
                }
                None
            }
        }
    }

    /// Sets the memory with which the next instance begins.
    pub(super) fn set_memory(&mut self, memory: Vec<u8>) {
        self.memory = memory;
        self.open = None;
        // One that waits has another memory.
        drop(self.waiting.take());
    }
}

fn start(source: &PluginSource, rule: &RuleSpec, memory: &[u8]) -> Result<Detector, CallError> {
    let rules = std::slice::from_ref(rule);
    let mut detector = source.plugin.open(&source.config, rules)?;
    if memory.is_empty() {
        return Ok(detector);
    }
    let Err(error) = detector.restore(memory) else {
        return Ok(detector);
    };
    tracing::warn!(
        rule = rule.id,
        error = chain(&error),
        "the plugin does not take its own memory back and begins anew"
    );
    source.plugin.open(&source.config, rules)
}
