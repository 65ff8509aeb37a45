//! Connects the generated bindings of each world to the code that all worlds share.

use wasmtime::Store;
use wasmtime::component::{Instance as Component, InstancePre, Linker};
use yagura_core::pack::World;

use crate::bindings::v0_1_0::enricher::types;
use crate::bindings::v0_1_0::{self, enricher, normalizer, notifier, reviewer, wit};
use crate::error::PluginError;
use crate::host_state::HostState;
use crate::plugin::{Exports, GuestError};

/// Implements [`Exports`] for the generated bindings of a world.
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

exports!(
    Normalizer,
    normalizer::Normalizer,
    normalizer::NormalizerPre<HostState>
);

impl GuestError for wit::PluginError {
    fn into_plugin_error(self) -> PluginError {
        match self {
            Self::Config(text) => PluginError::config(&text),
            Self::Data(text) => PluginError::data(&text),
            Self::Retry(text) => PluginError::retry(&text),
        }
    }
}

impl GuestError for types::PluginError {
    fn into_plugin_error(self) -> PluginError {
        match self {
            Self::Config(text) => PluginError::config(&text),
            Self::Data(text) => PluginError::data(&text),
            Self::Retry(text) => PluginError::retry(&text),
        }
    }
}
