//! Plugins of all worlds: compiled and linked once, instantiated cheaply, called within their limits.

use std::sync::Arc;
use std::time::Instant;

use wasmtime::component::{Instance as Component, InstancePre, Linker};
use wasmtime::{Store, UpdateDeadline};
use yagura_core::pack::{Limits, World};

use crate::budget::Account;
use crate::cache::CacheOutcome;
use crate::capabilities::CapabilitySession;
use crate::classify::classify;
use crate::error::{CallError, PluginError};
use crate::host_state::{HostState, begin_call};
use crate::inspect::ComponentInfo;
use crate::instances::{InstancePool, PluginInstance};
use crate::limits::{FUEL_PER_CALL, Pace};
use crate::load_error::LoadError;
use crate::log::LogLine;
use crate::meter::{CallCost, Meter};

/// The operations of the generated bindings of a world.
pub(crate) trait Exports: Sized + Send + 'static {
    /// The world.
    const WORLD: World;
    /// The exports, found by name.
    type Pre: Send + Sync + 'static;

    fn pre(linked: InstancePre<HostState>) -> wasmtime::Result<Self::Pre>;
    fn linked(pre: &Self::Pre) -> &InstancePre<HostState>;
    fn instantiate(pre: &Self::Pre, store: &mut Store<HostState>) -> wasmtime::Result<Self>;
    /// Compares the types of the exports with the contract's.
    fn bind(store: &mut Store<HostState>, instance: &Component) -> wasmtime::Result<Self>;
    /// Defines the imports.
    fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()>;
}

/// The error of a plugin, in the types of the bindings of its world.
pub(crate) trait GuestError {
    /// Returns the error in the host's types.
    fn into_plugin_error(self) -> PluginError;
}

/// A compiled and linked plugin, which all its instances share.
pub(crate) struct CompiledPlugin<E: Exports> {
    pub(crate) name: Arc<str>,
    pre: E::Pre,
    pub(crate) limits: Limits,
    pub(crate) info: ComponentInfo,
    pub(crate) cache: CacheOutcome,
    pub(crate) meter: Meter,
    /// The memory of all its instances.
    account: Arc<Account>,
}

impl<E: Exports> CompiledPlugin<E> {
    pub(crate) fn new(
        name: &str,
        pre: E::Pre,
        limits: Limits,
        info: ComponentInfo,
        cache: CacheOutcome,
        meter: Meter,
        account: Account,
    ) -> Self {
        Self {
            meter,
            account: Arc::new(account),
            name: name.into(),
            pre,
            limits,
            info,
            cache,
        }
    }

    /// Returns a pool for its idle instances.
    pub(crate) fn instance_pool<I: PluginInstance>(&self) -> InstancePool<I> {
        InstancePool::new(self.account.budget())
    }

    /// Starts an instance and compares the types of its exports with the contract.
    pub(crate) fn check_start(&self) -> Result<(), LoadError> {
        let mut store = self.store(None);
        let instance = E::linked(&self.pre)
            .instantiate(&mut store)
            .map_err(|error| LoadError::Start {
                name: self.name.to_string(),
                source: classify(START, error, store.data(), &self.limits),
            })?;
        E::bind(&mut store, &instance)
            .map(drop)
            .map_err(|error| LoadError::Types {
                name: self.name.to_string(),
                source: error.into(),
            })
    }

    /// Returns the store of a new instance, with the limits for its start.
    fn store(&self, session: Option<CapabilitySession>) -> Store<HostState> {
        let state = HostState::new(
            self.name.clone(),
            &self.limits,
            self.meter,
            session,
            Arc::clone(&self.account),
        );
        let mut store = Store::new(E::linked(&self.pre).engine(), state);
        store.limiter(|state| &mut state.limiter);
        if self.meter == Meter::Time {
            store.call_hook(|mut store, hook| {
                store.data_mut().clock.cross(hook);
                Ok(())
            });
        }
        store.epoch_deadline_callback(|context| {
            let left = context.data().processor.and_then(|own| own.left());
            Ok(left.map_or(UpdateDeadline::Interrupt, UpdateDeadline::Continue))
        });
        begin_call(&mut store, &self.limits, Pace::Limit);
        store
    }
}

impl<E: Exports> std::fmt::Debug for CompiledPlugin<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CompiledPlugin")
            .field("name", &self.name)
            .field("info", &self.info)
            .finish_non_exhaustive()
    }
}

/// The name of the start in errors, which comes before the first call.
const START: &str = "start";

/// An instance of a plugin. It is usable until an error.
pub(crate) struct ComponentInstance<E: Exports> {
    pub(crate) plugin: Arc<CompiledPlugin<E>>,
    pub(crate) store: Store<HostState>,
    bindings: E,
    poisoned: bool,
    cost: CallCost,
    /// How the time of its calls is bounded.
    pub(crate) pace: Pace,
}

impl<E: Exports> ComponentInstance<E> {
    pub(crate) fn start(
        plugin: &Arc<CompiledPlugin<E>>,
        session: Option<CapabilitySession>,
    ) -> Result<Self, CallError> {
        let plugin = plugin.clone();
        let mut store = plugin.store(session);
        let started = E::instantiate(&plugin.pre, &mut store);
        store.data().log.end();
        match started {
            Ok(bindings) => Ok(Self {
                plugin,
                store,
                bindings,
                poisoned: false,
                cost: CallCost::default(),
                pace: Pace::Limit,
            }),
            Err(error) => Err(classify(START, error, store.data(), &plugin.limits)),
        }
    }

    /// Makes one call within the limits.
    pub(crate) fn call<T, G: GuestError>(
        &mut self,
        call: &'static str,
        function: impl FnOnce(&E, &mut Store<HostState>) -> wasmtime::Result<Result<T, G>>,
    ) -> Result<T, CallError> {
        if self.poisoned {
            return Err(CallError::Poisoned);
        }
        begin_call(&mut self.store, &self.plugin.limits, self.pace);
        let start = Instant::now();
        let answer = function(&self.bindings, &mut self.store);
        self.cost = cost(&mut self.store, start);
        let state = self.store.data();
        state.log.end();
        match answer {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(CallError::Guest(error.into_plugin_error())),
            Err(error) => {
                self.poisoned = true;
                Err(classify(call, error, state, &self.plugin.limits))
            }
        }
    }

    /// Returns the error for an invalid answer; the instance is then unusable.
    pub(crate) fn garbage(&mut self, call: &'static str, reason: String) -> CallError {
        self.poisoned = true;
        CallError::Garbage { call, reason }
    }

    pub(crate) fn is_poisoned(&self) -> bool {
        self.poisoned
    }

    /// Returns its linear memory, in bytes.
    pub(crate) fn memory(&self) -> usize {
        self.store.data().limiter.memory
    }

    pub(crate) fn last_cost(&self) -> CallCost {
        self.cost
    }

    pub(crate) fn last_log(&self) -> &[LogLine] {
        self.store.data().log.lines()
    }

    pub(crate) fn last_log_dropped(&self) -> u64 {
        self.store.data().log.dropped()
    }
}

impl<E: Exports> std::fmt::Debug for ComponentInstance<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ComponentInstance")
            .field("plugin", &self.plugin.name)
            .field("poisoned", &self.poisoned)
            .finish_non_exhaustive()
    }
}

/// Returns the cost of the call that began at `start`.
fn cost(store: &mut Store<HostState>, start: Instant) -> CallCost {
    let mut cost = CallCost::default();
    match store.data().meter {
        Meter::Off => {}
        Meter::Time => {
            cost.total = start.elapsed();
            cost.guest = store.data_mut().clock.take();
        }
        Meter::Fuel => cost.fuel = FUEL_PER_CALL.saturating_sub(store.get_fuel().unwrap_or(0)),
    }
    cost.memory = store.data().limiter.memory as u64;
    cost
}
