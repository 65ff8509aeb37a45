//! What calls cost, where a host is asked to measure it.

use std::time::{Duration, Instant};

use wasmtime::CallHook;

/// Fuel of one call where fuel is metered, about an instruction each: endless loops end here, and everywhere in the same
/// place.
pub(crate) const FUEL_OF_A_CALL: u64 = 2_000_000_000;

/// What a [`Host`](crate::Host) measures of each call. Measuring slows calls down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Meter {
    /// Nothing.
    #[default]
    Off,
    /// Time, in the guest and at the boundary to it.
    Time,
    /// Fuel: about one for each Wasm instruction, the same in every run and on every machine. A call may use two billion.
    Fuel,
}

/// What one call, or several, cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CallCost {
    /// From the host's call to its return; zero unless time is metered.
    pub total: Duration,
    /// The longest stay in Wasm, which is the plugin's own function; the rest of the total is the boundary: copying, and
    /// the guest's allocator. Zero unless time is metered.
    pub guest: Duration,
    /// Zero unless fuel is metered.
    pub fuel: u64,
    /// Linear memory of the instance after the call, in bytes.
    pub memory: u64,
}

/// Watches the crossings between host and guest during one call.
#[derive(Debug, Default)]
pub(crate) struct GuestClock {
    entered: Option<Instant>,
    longest: Duration,
}

impl GuestClock {
    /// Takes note of a crossing.
    pub(crate) fn cross(&mut self, hook: CallHook) {
        match hook {
            CallHook::CallingWasm => self.entered = Some(Instant::now()),
            CallHook::ReturningFromWasm => {
                if let Some(entered) = self.entered.take() {
                    self.longest = self.longest.max(entered.elapsed());
                }
            }
            // A guest that logs is still at work.
            CallHook::CallingHost | CallHook::ReturningFromHost => {}
        }
    }

    /// Returns the longest stay in the guest, and forgets it.
    pub(crate) fn take(&mut self) -> Duration {
        self.entered = None;
        std::mem::take(&mut self.longest)
    }
}
