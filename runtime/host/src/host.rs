//! The Wasm engine that all plugins share: its configuration, and the clock that interrupts plugins.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::Linker;
use wasmtime::{Config, Engine, EngineWeak, WasmBacktraceDetails};

use crate::bindings::v0_1_0::{self, enricher, normalizer, notifier, reviewer};
use crate::budget::Budget;
use crate::cache::{Cache, CacheError};
use crate::host_state::HostState;
use crate::limits::{STACK_BYTES, TICK_MICROS};
use crate::meter::Meter;
use crate::plugin::Exports;

/// How a [`Host`] is set up.
#[derive(Debug, Clone, Default)]
pub struct HostConfig {
    /// The directory for compiled code; `None` to compile each time. The directory is created if it is missing, and only its
    /// owner may be able to write to it: see [`default_cache_dir`](crate::default_cache_dir).
    pub cache_dir: Option<PathBuf>,
    /// What is measured of each call.
    pub meter: Meter,
    /// Maximum linear memory of all instances together, in bytes; with `None`, only each instance has its limit.
    pub most_memory: Option<usize>,
    /// Called with name and size in bytes before a component is compiled, which takes seconds for large ones.
    pub on_compile: Option<fn(name: &str, bytes: usize)>,
}

/// Why a [`Host`] cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The Wasm engine does not support this platform.
    #[error("cannot start the Wasm engine on this machine")]
    Engine(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The thread that interrupts plugins cannot start.
    #[error("cannot start the thread that interrupts plugins")]
    Clock(#[source] std::io::Error),
    /// The directory for compiled code cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

/// The engine that all plugins of a process share. A clone is the same host.
#[derive(Clone)]
pub struct Host {
    pub(crate) shared: Arc<HostParts>,
}

pub(crate) struct HostParts {
    pub(crate) engine: Engine,
    pub(crate) detectors: Linker<HostState>,
    pub(crate) enrichers: Linker<HostState>,
    pub(crate) reviewers: Linker<HostState>,
    pub(crate) notifiers: Linker<HostState>,
    pub(crate) normalizers: Linker<HostState>,
    pub(crate) cache: Option<Cache>,
    pub(crate) meter: Meter,
    pub(crate) budget: Arc<Budget>,
    pub(crate) on_compile: Option<fn(&str, usize)>,
}

impl Host {
    /// Starts the engine and the clock, and opens the directory for compiled code.
    ///
    /// # Errors
    /// [`HostError::Cache`] if the directory cannot be created or is not private; a caller can go on without it.
    pub fn new(config: HostConfig) -> Result<Self, HostError> {
        let cache = config.cache_dir.as_deref().map(Cache::open).transpose()?;
        let engine = Engine::new(&engine_config(config.meter))
            .map_err(|error| HostError::Engine(error.into()))?;
        start_clock(engine.weak()).map_err(HostError::Clock)?;
        Ok(Self {
            shared: Arc::new(HostParts {
                detectors: linker::<v0_1_0::Detector>(&engine)?,
                enrichers: linker::<enricher::Enricher>(&engine)?,
                reviewers: linker::<reviewer::Reviewer>(&engine)?,
                notifiers: linker::<notifier::Notifier>(&engine)?,
                normalizers: linker::<normalizer::Normalizer>(&engine)?,
                engine,
                cache,
                meter: config.meter,
                budget: Arc::new(Budget::new(config.most_memory.unwrap_or(usize::MAX))),
                on_compile: config.on_compile,
            }),
        })
    }
}

impl Host {
    /// Returns the current linear memory of all instances, in bytes.
    pub fn memory(&self) -> usize {
        self.shared.budget.used()
    }
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").finish_non_exhaustive()
    }
}

/// Returns the imports of a world.
fn linker<E: Exports>(engine: &Engine) -> Result<Linker<HostState>, HostError> {
    let mut linker = Linker::new(engine);
    E::link(&mut linker).map_err(|error| HostError::Engine(error.into()))?;
    Ok(linker)
}

fn engine_config(meter: Meter) -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .epoch_interruption(true)
        .consume_fuel(meter == Meter::Fuel)
        .max_wasm_stack(STACK_BYTES)
        // The same batch must give the same findings on every machine.
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        // Detectors do not need these, so they are no attack surface.
        .wasm_memory64(false)
        .wasm_shared_everything_threads(false)
        .shared_memory(false)
        // File and line in a backtrace, where the author built with debug information.
        .wasm_backtrace_details(WasmBacktraceDetails::Enable);
    config
}

/// Advances the epoch until the last plugin, instance and host of the engine is dropped.
fn start_clock(engine: EngineWeak) -> std::io::Result<()> {
    std::thread::Builder::new()
        .name("plugin-clock".to_owned())
        .spawn(move || {
            loop {
                std::thread::sleep(Duration::from_micros(TICK_MICROS));
                match engine.upgrade() {
                    Some(engine) => engine.increment_epoch(),
                    None => return,
                }
            }
        })
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_goes_to_other_threads() {
        fn check<T: Clone + Send + Sync + 'static>() {}
        check::<Host>();
        check::<crate::DetectorPlugin>();
        fn sends<T: Send + 'static>() {}
        sends::<crate::Detector>();
        sends::<crate::Enricher>();
        check::<crate::NotifierPlugin>();
        check::<crate::NormalizerPlugin>();
        check::<crate::Services>();
    }

    #[test]
    fn the_clock_stops_with_the_engine() {
        let host = Host::new(HostConfig::default()).unwrap();
        let engine = host.shared.engine.weak();
        drop(host);
        // At most one tick may hold the engine still.
        std::thread::sleep(Duration::from_micros(2 * TICK_MICROS));
        assert!(engine.upgrade().is_none());
    }
}
