//! A loaded normalizer and its instances.

use std::sync::Arc;

use yagura_core::pack::Limits;

use crate::bindings::v0_1_0::enricher::types;
use crate::bindings::v0_1_0::normalizer;
use crate::cache::CacheOutcome;
use crate::error::CallError;
use crate::inspect::ComponentInfo;
use crate::instances::{InstancePool, PluginInstance};
use crate::limits::Pace;
use crate::log::LogLine;
use crate::meter::CallCost;
use crate::normalized::{NormalizedRecords, RawAnswer};
use crate::plugin::{CompiledPlugin, ComponentInstance};
use crate::responder::{instance, plugin};

/// A normalizer that was compiled and linked once. Starting an instance is cheap. A clone is the same plugin.
#[derive(Debug, Clone)]
pub struct NormalizerPlugin(pub(crate) Arc<CompiledPlugin<normalizer::Normalizer>>);

plugin!(NormalizerPlugin, Normalizer);

impl NormalizerPlugin {
    /// Starts an instance and opens it with its configuration, as JSON text.
    ///
    /// # Errors
    /// [`CallError`], as from any call.
    pub fn open(&self, config_json: &str) -> Result<Normalizer, CallError> {
        let mut instance = ComponentInstance::start(&self.0, None)?;
        instance.call("open", |guest, store| {
            guest
                .yagura_plugin_normalizing()
                .call_open(store, config_json)
        })?;
        Ok(Normalizer(instance))
    }
}

/// Raw records for one call, one after another in one piece of memory.
#[derive(Debug, Clone)]
pub struct RawRecords {
    column: types::Column,
}

impl RawRecords {
    /// Copies records together; `None` if they have 4 GiB or more.
    pub fn new<'r>(records: impl IntoIterator<Item = &'r [u8]>) -> Option<Self> {
        let mut column = types::Column {
            validity: Vec::new(),
            offsets: 0_u32.to_le_bytes().to_vec(),
            values: Vec::new(),
        };
        for record in records {
            column.values.extend_from_slice(record);
            let end = u32::try_from(column.values.len()).ok()?;
            column.offsets.extend_from_slice(&end.to_le_bytes());
        }
        Some(Self { column })
    }

    /// Returns how many they are.
    pub fn len(&self) -> usize {
        self.column.offsets.len() / 4 - 1
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// An instance of a normalizer. It is usable until an error.
///
/// Calls block the thread, which needs 1 MiB of free stack and must not be one that drives tasks of a runtime.
#[derive(Debug)]
pub struct Normalizer(ComponentInstance<normalizer::Normalizer>);

instance!(Normalizer);

impl Normalizer {
    /// Sets how the time of the following calls is bounded. A call that takes longer ends like a call over its limit.
    pub fn set_pace(&mut self, pace: Pace) {
        self.0.pace = pace;
    }

    /// Parses raw records.
    ///
    /// # Errors
    /// [`CallError::Garbage`] for an answer that is not about exactly these records; otherwise as described at [`CallError`].
    pub fn normalize(&mut self, records: &RawRecords) -> Result<NormalizedRecords, CallError> {
        const CALL: &str = "normalize";
        let answer = self.0.call(CALL, |guest, store| {
            guest
                .yagura_plugin_normalizing()
                .call_normalize(store, &records.column)
        })?;
        let answer = RawAnswer {
            records: answer.records,
            validity: answer.events.validity,
            offsets: answer.events.offsets,
            values: answer.events.values,
            malformed: answer.malformed,
        };
        NormalizedRecords::new(records.len(), answer).map_err(|reason| self.0.garbage(CALL, reason))
    }
}
