//! A loaded notifier and its instances.

use std::sync::Arc;

use yagura_core::pack::Limits;
use yagura_core::report::{IncidentStatus, Report};
use yagura_http::{CallOutcome, disarmed};

use crate::bindings::v0_1_0::notifier::{self, notifying};
use crate::cache::CacheOutcome;
use crate::capabilities::Capabilities;
use crate::error::CallError;
use crate::inspect::ComponentInfo;
use crate::instances::{InstancePool, PluginInstance};
use crate::log::LogLine;
use crate::meter::CallCost;
use crate::plugin::{CompiledPlugin, ComponentInstance};
use crate::responder::{alert, assessment, attributes, instance, plugin, severity, wrong_text};

/// A notifier that was compiled and linked once. Starting an instance is cheap. A clone is the same plugin.
#[derive(Debug, Clone)]
pub struct NotifierPlugin(pub(crate) Arc<CompiledPlugin<notifier::Notifier>>);

plugin!(NotifierPlugin, Notifier);

impl NotifierPlugin {
    /// Starts an instance and opens it with its configuration, as JSON text, and its capabilities.
    ///
    /// # Errors
    /// [`CallError`], as from any call.
    pub fn open(
        &self,
        config_json: &str,
        capabilities: &Capabilities,
    ) -> Result<Notifier, CallError> {
        let mut instance = ComponentInstance::start_with(&self.0, capabilities)?;
        instance.call("open", |guest, store| {
            guest
                .yagura_plugin_notifying()
                .call_open(store, config_json)
        })?;
        Ok(Notifier(instance))
    }
}

/// An instance of a notifier. It is usable until an error.
///
/// Calls block the thread, which needs 1 MiB of free stack and must not be one that drives tasks of a runtime.
#[derive(Debug)]
pub struct Notifier(ComponentInstance<notifier::Notifier>);

instance!(Notifier);

impl Notifier {
    /// Sends or updates a report and returns its receipt.
    ///
    /// # Errors
    /// [`CallError::Garbage`] for a receipt longer than 8 KiB; otherwise as described at [`CallError`]. The outcome of its HTTP
    /// calls is then in [`Notifier::last_calls`].
    pub fn notify(&mut self, report: &Report) -> Result<String, CallError> {
        const CALL: &str = "notify";
        self.0.set_subject(&report.id);
        let sent = sent(report);
        let receipt = self.0.call(CALL, |guest, store| {
            guest.yagura_plugin_notifying().call_notify(store, &sent)
        })?;
        match wrong_text("the receipt", &receipt) {
            Some(reason) => Err(self.0.garbage(CALL, reason)),
            None => Ok(receipt),
        }
    }

    /// Returns the outcome of the HTTP calls of the last call, also if it failed.
    pub fn last_calls(&self) -> CallOutcome {
        self.0.last_calls()
    }
}

fn sent(report: &Report) -> notifying::Report {
    notifying::Report {
        id: report.id.clone(),
        revision: report.revision,
        status: match report.status {
            IncidentStatus::Open => notifying::Status::Open,
            IncidentStatus::Acknowledged => notifying::Status::Acknowledged,
            IncidentStatus::Closed => notifying::Status::Closed,
        },
        title: disarmed(&report.title),
        severity: severity(report.severity),
        text: disarmed(&report.text),
        time: report.time.micros(),
        alerts: report.alerts.iter().map(alert).collect(),
        alert_count: report.alert_count,
        attributes: attributes(&report.attributes),
        assessments: report
            .assessments
            .iter()
            .map(|(reviewer, assessed)| (reviewer.clone(), assessment(assessed)))
            .collect(),
        // The plugin's own text.
        earlier: report.earlier.clone(),
        uncertain: report.uncertain,
    }
}
