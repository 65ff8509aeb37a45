//! The host's side of one instance: its limits, its log and its capabilities, made ready for each call.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::Store;
use yagura_core::pack::Limits;

use crate::budget::Account;
use crate::capabilities::CapabilitySession;
use crate::keyed::CurrentKey;
use crate::limits::{FUEL_PER_CALL, Pace, mebibytes, ticks};
use crate::log::GuestLog;
use crate::memory::Limiter;
use crate::meter::{GuestClock, Meter};
use crate::processor::Processor;

/// The host's side of one instance.
pub(crate) struct HostState {
    pub(crate) limiter: Limiter,
    pub(crate) log: GuestLog,
    pub(crate) keyed: CurrentKey,
    pub(crate) meter: Meter,
    pub(crate) clock: GuestClock,
    /// The processor time of the call, if that is bounded.
    pub(crate) processor: Option<Processor>,
    /// Its capabilities; `None` in worlds without any, and while the host checks that a component starts.
    pub(crate) session: Option<CapabilitySession>,
}

impl HostState {
    pub(crate) fn new(
        plugin: Arc<str>,
        limits: &Limits,
        meter: Meter,
        session: Option<CapabilitySession>,
        account: Arc<Account>,
    ) -> Self {
        Self {
            meter,
            session,
            processor: None,
            clock: GuestClock::default(),
            limiter: Limiter::new(mebibytes(limits.memory_mib), account),
            log: GuestLog::new(plugin, limits.log_lines),
            keyed: CurrentKey::new(limits.state_kib),
        }
    }
}

impl wasmtime::component::HasData for HostState {
    type Data<'a> = &'a mut Self;
}

/// Resets counters and sets the limits for the next call.
pub(crate) fn begin_call(store: &mut Store<HostState>, limits: &Limits, pace: Pace) {
    let state = store.data_mut();
    state.log.begin();
    state.keyed.begin();
    state.limiter.refused = None;
    state.limiter.largest.clear();
    store.set_hostcall_fuel(mebibytes(limits.output_mib));
    let mut micros = limits.time.micros();
    if let Pace::AtMost(time) = pace {
        micros = micros.min(i64::try_from(time.as_micros()).unwrap_or(i64::MAX));
    }
    let time = |micros: i64| Duration::from_micros(u64::try_from(micros).unwrap_or(0));
    store.data_mut().processor = match pace {
        Pace::OfProcessor(others) => Processor::begin(time(micros), others),
        Pace::Limit | Pace::AtMost(_) => None,
    };
    if store.data().meter == Meter::Fuel {
        // It fails only if the engine does not meter fuel.
        let _ = store.set_fuel(FUEL_PER_CALL);
        // Fuel must run out first, also on slow machines: the result of a test must not depend on the machine.
        micros = micros.saturating_mul(20);
    }
    if let Some(session) = &mut store.data_mut().session {
        session.begin(time(micros));
    }
    let is_paced = store.data().processor.is_some();
    store.set_epoch_deadline(if is_paced { 1 } else { ticks(micros) });
}
