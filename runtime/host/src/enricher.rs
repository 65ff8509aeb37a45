//! A loaded enricher and its instances.

use std::sync::Arc;

use yagura_core::alert::Observable;
use yagura_core::pack::Limits;
use yagura_core::report::{Attribute, Enriched, ReportAlert};
use yagura_http::CallOutcome;

use crate::bindings::v0_1_0::enricher;
use crate::cache::CacheOutcome;
use crate::capabilities::Capabilities;
use crate::error::CallError;
use crate::inspect::ComponentInfo;
use crate::instances::{InstancePool, PluginInstance};
use crate::log::LogLine;
use crate::meter::CallCost;
use crate::plugin::{CompiledPlugin, ComponentInstance};
use crate::responder::{alert, instance, plugin, too_many, wrong_name, wrong_text};

/// An enricher that was compiled and linked once. Starting an instance is cheap. A clone is the same plugin.
#[derive(Debug, Clone)]
pub struct EnricherPlugin(pub(crate) Arc<CompiledPlugin<enricher::Enricher>>);

plugin!(EnricherPlugin, Enricher);

impl EnricherPlugin {
    /// Starts an instance and opens it with its configuration, as JSON text, and its capabilities.
    ///
    /// # Errors
    /// [`CallError`], as from any call.
    pub fn open(
        &self,
        config_json: &str,
        capabilities: &Capabilities,
    ) -> Result<Enricher, CallError> {
        let mut instance = ComponentInstance::start_with(&self.0, capabilities)?;
        instance.call("open", |guest, store| {
            guest
                .yagura_plugin_enrichment()
                .call_open(store, config_json)
        })?;
        Ok(Enricher(instance))
    }
}

/// An instance of an enricher. It is usable until an error.
///
/// Calls block the thread, which needs 1 MiB of free stack and must not be one that drives tasks of a runtime.
#[derive(Debug)]
pub struct Enricher(ComponentInstance<enricher::Enricher>);

instance!(Enricher);

impl Enricher {
    /// Finds facts about an alert.
    ///
    /// # Errors
    /// [`CallError::Garbage`] for too many or too large facts; otherwise as described at [`CallError`].
    pub fn enrich(&mut self, reported: &ReportAlert) -> Result<Enriched, CallError> {
        const CALL: &str = "enrich";
        self.0.set_subject(&reported.alert.id);
        let sent = alert(reported);
        let enriched = self.0.call(CALL, |guest, store| {
            guest.yagura_plugin_enrichment().call_enrich(store, &sent)
        })?;
        if let Some(reason) = wrong(&enriched) {
            return Err(self.0.garbage(CALL, reason));
        }
        let attributes = enriched.attributes.into_iter().map(|attribute| Attribute {
            name: attribute.name,
            value: attribute.value,
            source: attribute.source,
        });
        let observables = enriched.observables.into_iter();
        Ok(Enriched {
            attributes: attributes.collect(),
            observables: observables
                .map(|(kind, value)| Observable { kind, value })
                .collect(),
        })
    }

    /// Returns the outcome of the HTTP calls of the last call, also if it failed.
    pub fn last_calls(&self) -> CallOutcome {
        self.0.last_calls()
    }
}

/// Returns why an answer is invalid, if so.
fn wrong(enriched: &enricher::enrichment::Enriched) -> Option<String> {
    let attributes = &enriched.attributes;
    let observables = &enriched.observables;
    too_many("attributes", attributes.len())
        .or_else(|| too_many("observables", observables.len()))
        .or_else(|| {
            attributes.iter().find_map(|attribute| {
                wrong_name("the name of an attribute", &attribute.name)
                    .or_else(|| wrong_text("the value of an attribute", &attribute.value))
                    .or_else(|| wrong_name("the source of an attribute", &attribute.source))
            })
        })
        .or_else(|| {
            observables.iter().find_map(|(kind, value)| {
                wrong_name("the kind of an observable", kind)
                    .or_else(|| wrong_text("an observable", value))
            })
        })
}
