//! Enrichers, reviewers and notifiers: their alerts as the contract has them, and bounds of their answers.

use std::sync::Arc;

use yagura_core::Severity;
use yagura_core::report::{AlertState, Assessment, Attribute, ReportAlert, Verdict};
use yagura_http::{CallOutcome, disarmed};

use crate::bindings::v0_1_0::enricher::types;
use crate::capabilities::{Capabilities, CapabilitySession};
use crate::error::CallError;
use crate::plugin::{CompiledPlugin, ComponentInstance, Exports};

/// Maximum length of a short text in an answer, such as the name of an attribute, in bytes.
const MAX_NAME: usize = 256;

/// Maximum length of a text in an answer, such as the value of an attribute or a receipt, in bytes.
const MAX_TEXT: usize = 8192;

/// Maximum number of attributes, and of observables, in one answer.
const MAX_FACTS: usize = 500;

impl<E: Exports> ComponentInstance<E> {
    /// Starts an instance with capabilities.
    pub(crate) fn start_with(
        plugin: &Arc<CompiledPlugin<E>>,
        capabilities: &Capabilities,
    ) -> Result<Self, CallError> {
        Self::start(plugin, Some(CapabilitySession::new(capabilities)))
    }

    /// Sets the alert or incident of the next call.
    pub(crate) fn set_subject(&mut self, id: &str) {
        if let Some(session) = &mut self.store.data_mut().session {
            session.set_subject(id);
        }
    }

    /// Returns the outcome of the HTTP calls of the last call.
    pub(crate) fn last_calls(&self) -> CallOutcome {
        let session = self.store.data().session.as_ref();
        session.map(|session| session.outcome).unwrap_or_default()
    }
}

/// Implements the methods that plugins of these worlds share.
macro_rules! plugin {
    ($plugin:ident, $instance:ident) => {
        impl $plugin {
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

            /// Returns an empty pool for its idle instances.
            pub fn instance_pool(&self) -> InstancePool<$instance> {
                self.0.instance_pool()
            }
        }
    };
}

/// Implements the methods that instances of these worlds share.
macro_rules! instance {
    ($instance:ident) => {
        impl PluginInstance for $instance {
            fn memory(&self) -> usize {
                self.0.memory()
            }
        }

        impl $instance {
            /// Returns whether an error made this instance unusable.
            pub fn is_poisoned(&self) -> bool {
                self.0.is_poisoned()
            }

            /// Returns the cost of the last call, as far as the host measures it.
            pub fn last_cost(&self) -> CallCost {
                self.0.last_cost()
            }

            /// Returns the log lines of the last call, up to the limit.
            pub fn last_log(&self) -> &[LogLine] {
                self.0.last_log()
            }

            /// Returns how many log lines of the last call the limit dropped.
            pub fn last_log_dropped(&self) -> u64 {
                self.0.last_log_dropped()
            }
        }
    };
}

pub(crate) use {instance, plugin};

/// Returns an alert in the types of the contract, with nothing in it that looks like a placeholder of a secret.
pub(crate) fn alert(reported: &ReportAlert) -> types::Alert {
    let alert = &reported.alert;
    let pair = |name: &str, value: &str| (disarmed(name), disarmed(value));
    types::Alert {
        state: match reported.state {
            AlertState::Provisional => types::AlertState::Provisional,
            AlertState::Final => types::AlertState::Final,
            AlertState::Withdrawn => types::AlertState::Withdrawn,
        },
        id: alert.id.clone(),
        rule: alert.rule.clone(),
        title: disarmed(&alert.title),
        severity: severity(alert.severity),
        key: disarmed(&alert.key),
        window_start: alert.window_start.micros(),
        first_time: alert.first_time.micros(),
        last_time: alert.last_time.micros(),
        count: alert.count,
        observables: alert
            .observables
            .iter()
            .map(|observable| pair(&observable.kind, &observable.value))
            .collect(),
        context: alert
            .context
            .iter()
            .map(|entry| pair(&entry.name, &entry.value))
            .collect(),
        tags: alert.tags.iter().map(|tag| disarmed(tag)).collect(),
    }
}

pub(crate) fn attributes(attributes: &[Attribute]) -> Vec<types::Attribute> {
    attributes
        .iter()
        .map(|attribute| types::Attribute {
            name: disarmed(&attribute.name),
            value: disarmed(&attribute.value),
            source: disarmed(&attribute.source),
        })
        .collect()
}

pub(crate) fn severity(severity: Severity) -> types::Severity {
    match severity {
        Severity::Info => types::Severity::Info,
        Severity::Low => types::Severity::Low,
        Severity::Medium => types::Severity::Medium,
        Severity::High => types::Severity::High,
        Severity::Critical => types::Severity::Critical,
    }
}

pub(crate) fn assessment(assessment: &Assessment) -> types::Assessment {
    types::Assessment {
        severity: severity(assessment.severity),
        verdict: match assessment.verdict {
            Verdict::Undecided => types::Verdict::Undecided,
            Verdict::Benign => types::Verdict::Benign,
            Verdict::Suspicious => types::Verdict::Suspicious,
            Verdict::Malicious => types::Verdict::Malicious,
        },
        reason: disarmed(&assessment.reason),
    }
}

pub(crate) fn read_assessment(assessment: types::Assessment) -> Assessment {
    Assessment {
        severity: match assessment.severity {
            types::Severity::Info => Severity::Info,
            types::Severity::Low => Severity::Low,
            types::Severity::Medium => Severity::Medium,
            types::Severity::High => Severity::High,
            types::Severity::Critical => Severity::Critical,
        },
        verdict: match assessment.verdict {
            types::Verdict::Undecided => Verdict::Undecided,
            types::Verdict::Benign => Verdict::Benign,
            types::Verdict::Suspicious => Verdict::Suspicious,
            types::Verdict::Malicious => Verdict::Malicious,
        },
        reason: assessment.reason,
    }
}

/// Returns why there are too many facts, if so.
pub(crate) fn too_many(what: &str, count: usize) -> Option<String> {
    (count > MAX_FACTS).then(|| format!("it has {count} {what}; the maximum is {MAX_FACTS}"))
}

/// Returns why a short text is invalid, if so.
pub(crate) fn wrong_name(what: &str, text: &str) -> Option<String> {
    if text.is_empty() {
        return Some(format!("{what} is empty"));
    }
    (text.len() > MAX_NAME)
        .then(|| format!("{what} has {} bytes; the maximum is {MAX_NAME}", text.len()))
}

/// Returns why a text is invalid, if so.
pub(crate) fn wrong_text(what: &str, text: &str) -> Option<String> {
    (text.len() > MAX_TEXT)
        .then(|| format!("{what} has {} bytes; the maximum is {MAX_TEXT}", text.len()))
}
