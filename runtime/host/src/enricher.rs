//! A loaded enricher and its instances.

use std::sync::Arc;

use yagura_core::alert::Observable;
use yagura_core::pack::Limits;
use yagura_core::report::{Attribute, Enriched, ReportAlert};

use crate::bindings::v0_1_0::enricher;
use crate::cache::CacheOutcome;
use crate::capabilities::Capabilities;
use crate::error::CallError;
use crate::http::CallOutcome;
use crate::inspect::ComponentInfo;
use crate::instances::{InstancePool, PluginInstance};
use crate::log::LogLine;
use crate::meter::CallCost;
use crate::plugin::{Instance, Plugin};
use crate::responder::{alert, instance, plugin, too_many, wrong_name, wrong_text};

/// An enricher that was compiled and linked once and is instantiated cheaply. A clone is the same plugin.
#[derive(Debug, Clone)]
pub struct EnricherPlugin(pub(crate) Arc<Plugin<enricher::Enricher>>);

plugin!(EnricherPlugin, Enricher);

impl EnricherPlugin {
    /// Makes an instance and opens it with its configuration, JSON text, and what it may reach.
    ///
    /// # Errors
    /// [`CallError`], as from any call.
    pub fn open(&self, config_json: &str, reach: &Capabilities) -> Result<Enricher, CallError> {
        let mut instance = Instance::reaching(&self.0, reach)?;
        instance.call("open", |guest, store| {
            guest
                .yagura_plugin_enrichment()
                .call_open(store, config_json)
        })?;
        Ok(Enricher(instance))
    }
}

/// An instance of an enricher. It lives until an error spends it.
///
/// Calls block the thread, which needs 1 MiB of stack to spare and must not be one that drives tasks of a runtime.
#[derive(Debug)]
pub struct Enricher(Instance<enricher::Enricher>);

instance!(Enricher);

impl Enricher {
    /// Finds facts about an alert.
    ///
    /// # Errors
    /// [`CallError::Garbage`] for more or larger facts than an answer may have, else as [`CallError`] says.
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

    /// Returns what came of the HTTP calls of the last call, also when it failed.
    pub fn last_calls(&self) -> CallOutcome {
        self.0.last_calls()
    }
}

/// Says what is wrong with an answer, if anything is.
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
