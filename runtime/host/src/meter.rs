//! The cost of calls, if a host measures it.

use std::time::{Duration, Instant};

use wasmtime::CallHook;

/// What a [`Host`](crate::Host) measures of each call. Measuring makes calls slower.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Meter {
    /// Nothing.
    #[default]
    Off,
    /// Time, in the guest and at the boundary to it.
    Time,
    /// Fuel: about one unit per Wasm instruction, the same in every run and on every machine. A call can use 2,000,000,000.
    Fuel,
}

/// The cost of one call or of several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CallCost {
    /// Time from the host's call to its return; zero unless time is metered.
    pub total: Duration,
    /// The longest stay in Wasm, which is the plugin's own function. The rest of `total` is the boundary: copying and the guest's
    /// allocator. Zero unless time is metered.
    pub guest: Duration,
    /// Fuel; zero unless fuel is metered.
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
    /// Records a crossing.
    pub(crate) fn cross(&mut self, hook: CallHook) {
        match hook {
            CallHook::CallingWasm => self.entered = Some(Instant::now()),
            CallHook::ReturningFromWasm => {
                if let Some(entered) = self.entered.take() {
                    self.longest = self.longest.max(entered.elapsed());
                }
            }
            // A guest that logs is still running.
            CallHook::CallingHost | CallHook::ReturningFromHost => {}
        }
    }

    /// Returns the longest stay in the guest, and resets it.
    pub(crate) fn take(&mut self) -> Duration {
        self.entered = None;
        std::mem::take(&mut self.longest)
    }
}
