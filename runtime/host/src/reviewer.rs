//! A loaded reviewer and its instances.

use std::sync::Arc;

use yagura_core::pack::Limits;
use yagura_core::report::{Assessment, Attribute, ReportAlert};

use crate::bindings::v0_1_0::reviewer;
use crate::cache::CacheOutcome;
use crate::capabilities::Capabilities;
use crate::error::CallError;
use crate::inspect::ComponentInfo;
use crate::instances::{InstancePool, PluginInstance};
use crate::log::LogLine;
use crate::meter::CallCost;
use crate::plugin::{CompiledPlugin, ComponentInstance};
use crate::responder::{alert, attributes, instance, plugin, read_assessment, wrong_text};

/// A reviewer that was compiled and linked once. Starting an instance is cheap. A clone is the same plugin.
#[derive(Debug, Clone)]
pub struct ReviewerPlugin(pub(crate) Arc<CompiledPlugin<reviewer::Reviewer>>);

plugin!(ReviewerPlugin, Reviewer);

impl ReviewerPlugin {
    /// Starts an instance and opens it with its configuration, as JSON text, and its capabilities.
    ///
    /// # Errors
    /// [`CallError`], as from any call.
    pub fn open(
        &self,
        config_json: &str,
        capabilities: &Capabilities,
    ) -> Result<Reviewer, CallError> {
        let mut instance = ComponentInstance::start_with(&self.0, capabilities)?;
        instance.call("open", |guest, store| {
            guest
                .yagura_plugin_reviewing()
                .call_open(store, config_json)
        })?;
        Ok(Reviewer(instance))
    }
}

/// An instance of a reviewer. It is usable until an error.
///
/// Calls block the thread, which needs 1 MiB of free stack.
#[derive(Debug)]
pub struct Reviewer(ComponentInstance<reviewer::Reviewer>);

instance!(Reviewer);

impl Reviewer {
    /// Returns the assessment of an alert, if the reviewer has one.
    ///
    /// # Errors
    /// [`CallError::Garbage`] for a reason longer than 8 KiB; otherwise as described at [`CallError`].
    pub fn review(
        &mut self,
        reported: &ReportAlert,
        known: &[Attribute],
    ) -> Result<Option<Assessment>, CallError> {
        const CALL: &str = "review";
        self.0.set_subject(&reported.alert.id);
        let (sent, known) = (alert(reported), attributes(known));
        let assessment = self.0.call(CALL, |guest, store| {
            guest
                .yagura_plugin_reviewing()
                .call_review(store, &sent, &known)
        })?;
        let Some(assessment) = assessment else {
            return Ok(None);
        };
        if let Some(reason) = wrong_text("the reason", &assessment.reason) {
            return Err(self.0.garbage(CALL, reason));
        }
        Ok(Some(read_assessment(assessment)))
    }
}
