//! What enrichers, reviewers and notifiers have in common: alerts handed in, answers bounded.

use std::sync::Arc;

use wasmtime::Store;
use wasmtime::component::{Instance as Component, InstancePre, Linker};
use yagura_core::Severity;
use yagura_core::pack::World;
use yagura_core::report::{AlertState, Assessment, Attribute, ReportAlert, Verdict};

use crate::bindings::v0_1_0::enricher::{self, types};
use crate::bindings::v0_1_0::{self, notifier, reviewer};
use crate::capabilities::{Capabilities, Session};
use crate::error::CallError;
use crate::http::{CallOutcome, disarmed};
use crate::limits::HostState;
use crate::plugin::{Exports, Instance, Plugin};

/// Longest short text of an answer, such as the name of an attribute, in bytes.
const LONGEST_NAME: usize = 256;

/// Longest text of an answer, such as the value of an attribute or a receipt, in bytes.
const LONGEST_TEXT: usize = 8192;

/// Most attributes, and most observables, of one answer.
const MOST_FACTS: usize = 500;

/// Ties the generated bindings of a world to what all worlds share.
macro_rules! exports {
    ($world:ident, $bindings:path, $pre:path) => {
        impl Exports for $bindings {
            const WORLD: World = World::$world;
            type Pre = $pre;

            fn pre(linked: InstancePre<HostState>) -> wasmtime::Result<Self::Pre> {
                <$pre>::new(linked)
            }

            fn linked(pre: &Self::Pre) -> &InstancePre<HostState> {
                pre.instance_pre()
            }

            fn instantiate(
                pre: &Self::Pre,
                store: &mut Store<HostState>,
            ) -> wasmtime::Result<Self> {
                pre.instantiate(store)
            }

            fn bind(store: &mut Store<HostState>, instance: &Component) -> wasmtime::Result<Self> {
                <$bindings>::new(store, instance)
            }

            fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
                <$bindings>::add_to_linker::<HostState, HostState>(linker, |state| state)
            }
        }
    };
}

exports!(Detector, v0_1_0::Detector, v0_1_0::DetectorPre<HostState>);
exports!(
    Enricher,
    enricher::Enricher,
    enricher::EnricherPre<HostState>
);
exports!(
    Reviewer,
    reviewer::Reviewer,
    reviewer::ReviewerPre<HostState>
);
exports!(
    Notifier,
    notifier::Notifier,
    notifier::NotifierPre<HostState>
);

impl<E: Exports> Instance<E> {
    /// Makes an instance that reaches what it may.
    pub(crate) fn reaching(
        plugin: &Arc<Plugin<E>>,
        reach: &Capabilities,
    ) -> Result<Self, CallError> {
        Self::start(plugin, Some(Session::new(reach)))
    }

    /// Names what the next call is for.
    pub(crate) fn set_subject(&mut self, id: &str) {
        if let Some(session) = &mut self.store.data_mut().session {
            session.set_subject(id);
        }
    }

    /// Returns what came of the HTTP calls of the last call.
    pub(crate) fn last_calls(&self) -> CallOutcome {
        let session = self.store.data().session.as_ref();
        session.map(|session| session.outcome).unwrap_or_default()
    }
}

/// Documents and forwards what is known of each plugin of a world.
macro_rules! plugin {
    ($plugin:ident, $instance:ident) => {
        impl $plugin {
            /// Returns the file that it came from.
            pub fn name(&self) -> &str {
                &self.0.name
            }

            /// Returns what each instance and each call may use.
            pub fn limits(&self) -> &Limits {
                &self.0.limits
            }

            /// Returns its size, digest, imports and exports.
            pub fn info(&self) -> &ComponentInfo {
                &self.0.info
            }

            /// Returns what the cache of compiled code did for it.
            pub fn cache_outcome(&self) -> CacheOutcome {
                self.0.cache
            }

            /// Returns an empty pool for instances of it that wait for their next call.
            pub fn instance_pool(&self) -> InstancePool<$instance> {
                self.0.instance_pool()
            }
        }
    };
}

/// Documents and forwards what is known of each instance of a world.
macro_rules! instance {
    ($instance:ident) => {
        impl PluginInstance for $instance {
            fn memory(&self) -> usize {
                self.0.memory()
            }
        }

        impl $instance {
            /// Says whether an error spent this instance.
            pub fn is_poisoned(&self) -> bool {
                self.0.is_poisoned()
            }

            /// Returns what the last call cost, as far as the host measures it.
            pub fn last_cost(&self) -> CallCost {
                self.0.last_cost()
            }

            /// Returns the lines that the plugin wrote in the last call, as far as the limit let them through.
            pub fn last_log(&self) -> &[LogLine] {
                self.0.last_log()
            }

            /// Returns how many lines of the last call were over the limit and dropped.
            pub fn last_log_dropped(&self) -> u64 {
                self.0.last_log_dropped()
            }
        }
    };
}

pub(crate) use {instance, plugin};

/// Returns an alert as the contract has it, without anything that could be taken for a placeholder of a secret.
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

/// Says what is wrong with the number of facts, if anything is.
pub(crate) fn too_many(what: &str, count: usize) -> Option<String> {
    (count > MOST_FACTS).then(|| format!("it has {count} {what}, and may have {MOST_FACTS}"))
}

/// Says what is wrong with a short text, if anything is.
pub(crate) fn wrong_name(what: &str, text: &str) -> Option<String> {
    if text.is_empty() {
        return Some(format!("{what} is empty"));
    }
    (text.len() > LONGEST_NAME).then(|| {
        format!(
            "{what} has {} bytes, and it may have {LONGEST_NAME}",
            text.len()
        )
    })
}

/// Says what is wrong with a text, if anything is.
pub(crate) fn wrong_text(what: &str, text: &str) -> Option<String> {
    (text.len() > LONGEST_TEXT).then(|| {
        format!(
            "{what} has {} bytes, and it may have {LONGEST_TEXT}",
            text.len()
        )
    })
}
