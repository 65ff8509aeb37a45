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
use crate::plugin::{Instance, Plugin};
use crate::responder::{alert, attributes, instance, plugin, read_assessment, wrong_text};

/// A reviewer that was compiled and linked once and is instantiated cheaply. A clone is the same plugin.
#[derive(Debug, Clone)]
pub struct ReviewerPlugin(pub(crate) Arc<Plugin<reviewer::Reviewer>>);

plugin!(ReviewerPlugin, Reviewer);

impl ReviewerPlugin {
    /// Makes an instance and opens it with its configuration, JSON text, and what it may reach.
    ///
    /// # Errors
    /// [`CallError`], as from any call.
    pub fn open(&self, config_json: &str, reach: &Capabilities) -> Result<Reviewer, CallError> {
        let mut instance = Instance::reaching(&self.0, reach)?;
        instance.call("open", |guest, store| {
            guest
                .yagura_plugin_reviewing()
                .call_open(store, config_json)
        })?;
        Ok(Reviewer(instance))
    }
}

/// An instance of a reviewer. It lives until an error spends it.
///
/// Calls block the thread, which needs 1 MiB of stack to spare.
#[derive(Debug)]
pub struct Reviewer(Instance<reviewer::Reviewer>);

instance!(Reviewer);

impl Reviewer {
    /// Returns what the reviewer thinks of an alert, if it has anything to say about it.
    ///
    /// # Errors
    /// [`CallError::Garbage`] for a reason longer than 8 KiB, else as [`CallError`] says.
    pub fn review(
        &mut self,
        reported: &ReportAlert,
        found: &[Attribute],
    ) -> Result<Option<Assessment>, CallError> {
        const CALL: &str = "review";
        self.0.set_subject(&reported.alert.id);
        let (sent, found) = (alert(reported), attributes(found));
        let assessment = self.0.call(CALL, |guest, store| {
            guest
                .yagura_plugin_reviewing()
                .call_review(store, &sent, &found)
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
