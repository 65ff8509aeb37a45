//! What one instance and one call may use, and the state that keeps count.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cpu_time::ThreadTime;
use wasmtime::{ResourceLimiter, Store};
use yagura_core::pack::Limits;

use crate::budget::{Account, Holder};
use crate::capabilities::Session;
use crate::host::TICK_MICROS;
use crate::keyed::Keyed;
use crate::log::CallLog;
use crate::meter::{FUEL_OF_A_CALL, GuestClock, Meter};

/// Table entries of all tables of an instance; a large Python component has some ten thousand.
pub(crate) const MOST_TABLE_ENTRIES: usize = 1_000_000;

/// Core instances, tables and memories of one component; a Python component has some dozens.
const MOST_PARTS: usize = 1000;

/// The host's side of one instance.
pub(crate) struct HostState {
    pub(crate) limiter: Limiter,
    pub(crate) log: CallLog,
    pub(crate) keyed: Keyed,
    pub(crate) meter: Meter,
    pub(crate) clock: GuestClock,
    /// What the call may have of the processor, where that is what counts.
    pub(crate) processor: Option<Processor>,
    /// What it may reach, for worlds that may reach something; nothing on a trial start.
    pub(crate) session: Option<Session>,
}

impl HostState {
    pub(crate) fn new(
        plugin: Arc<str>,
        limits: &Limits,
        meter: Meter,
        session: Option<Session>,
        account: Arc<Account>,
    ) -> Self {
        Self {
            meter,
            session,
            processor: None,
            clock: GuestClock::default(),
            limiter: Limiter::new(mebibytes(limits.memory_mib), account),
            log: CallLog::new(plugin, limits.log_lines),
            keyed: Keyed::new(limits.state_kib),
        }
    }
}

impl wasmtime::component::HasData for HostState {
    type Data<'a> = &'a mut Self;
}

/// How the time of a call is measured and bounded.
#[derive(Debug, Clone, Copy, Default)]
pub enum Pace {
    /// By the clock, up to the plugin's limit.
    #[default]
    Limit,
    /// By the clock, up to this where it is less than the limit.
    AtMost(Duration),
    /// By what the thread has had of the processor, up to the limit: for threads that give way to others. While the number is
    /// not zero, others want the processor, and the call waits; after a second it goes on for as long.
    OfProcessor(&'static AtomicUsize),
}

/// How long a call that gives way waits for others, and how long it goes on then: half of the time is the least that it has.
const WAITS_FOR_OTHERS: Duration = Duration::from_secs(1);

/// How often it looks whether they are done.
const LOOKS_EVERY: Duration = Duration::from_millis(5);

/// What a thread had had of the processor when a call began, and what the call may have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Processor {
    began: Duration,
    may_have: Duration,
    others: &'static AtomicUsize,
}

impl Processor {
    /// Waits while others want the processor, and returns the ticks after which it is to be asked again; nothing where the
    /// call has had its time.
    pub(crate) fn left(&self) -> Option<u64> {
        let asked = Instant::now();
        let goes_on = loop {
            if self.others.load(Ordering::Relaxed) == 0 {
                break Duration::ZERO;
            }
            if asked.elapsed() >= WAITS_FOR_OTHERS {
                break WAITS_FOR_OTHERS;
            }
            std::thread::sleep(LOOKS_EVERY);
        };
        let had = processor_time()?.checked_sub(self.began)?;
        let left = self.may_have.checked_sub(had)?;
        let goes_on = i64::try_from(goes_on.min(left).as_micros()).unwrap_or(i64::MAX);
        (!left.is_zero()).then(|| ticks(goes_on))
    }
}

/// Returns what this thread has had of the processor so far, where the system tells.
fn processor_time() -> Option<Duration> {
    Some(ThreadTime::try_now().ok()?.as_duration())
}

/// Arms the limits of the next call.
pub(crate) fn begin_call(store: &mut Store<HostState>, limits: &Limits, pace: Pace) {
    let state = store.data_mut();
    state.log.begin();
    state.keyed.begin();
    state.limiter.refused = None;
    state.limiter.holders.clear();
    store.set_hostcall_fuel(mebibytes(limits.output_mib));
    let mut micros = limits.time.micros();
    if let Pace::AtMost(most) = pace {
        micros = micros.min(i64::try_from(most.as_micros()).unwrap_or(i64::MAX));
    }
    store.data_mut().processor = match (pace, processor_time()) {
        (Pace::OfProcessor(others), Some(began)) => Some(Processor {
            began,
            others,
            may_have: Duration::from_micros(u64::try_from(micros).unwrap_or(0)),
        }),
        _ => None,
    };
    if store.data().meter == Meter::Fuel {
        // Only fails where the engine meters no fuel.
        let _ = store.set_fuel(FUEL_OF_A_CALL);
        // Fuel runs out first, on slow machines too: what a test says must not depend on the machine.
        micros = micros.saturating_mul(20);
    }
    if let Some(session) = &mut store.data_mut().session {
        session.begin(Duration::from_micros(u64::try_from(micros).unwrap_or(0)));
    }
    let is_asked = store.data().processor.is_some();
    store.set_epoch_deadline(if is_asked { 1 } else { ticks(micros) });
}

/// Returns the ticks of the epoch after which at least `micros` have passed.
fn ticks(micros: i64) -> u64 {
    // One more, because the current tick has already begun.
    u64::try_from(micros).unwrap_or(0).div_ceil(TICK_MICROS) + 1
}

fn mebibytes(number: u64) -> usize {
    usize::try_from(number.saturating_mul(1 << 20)).unwrap_or(usize::MAX)
}

/// What an instance asked for and did not get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Linear memory.
    Memory,
    /// Linear memory, of which all instances together have too much.
    Pool,
    /// Table entries.
    Table,
}

/// Counts the memory and the table entries of one instance, all its memories and tables together.
pub(crate) struct Limiter {
    /// What all instances of the plugin have.
    account: Arc<Account>,
    most_memory: usize,
    pub(crate) memory: usize,
    /// Granted last, to be given back if the growth then fails.
    last_growth: usize,
    table_entries: usize,
    /// Since the call began.
    pub(crate) refused: Option<Refused>,
    /// Who had the most memory when there was none left for all together.
    pub(crate) holders: Vec<Holder>,
}

impl Limiter {
    fn new(most_memory: usize, account: Arc<Account>) -> Self {
        Self {
            account,
            most_memory,
            memory: 0,
            last_growth: 0,
            table_entries: 0,
            refused: None,
            holders: Vec::new(),
        }
    }
}

impl Limiter {
    /// Returns how much all instances of the host may have together, in bytes.
    pub(crate) fn pool_most(&self) -> usize {
        self.account.budget().most()
    }
}

impl Drop for Limiter {
    fn drop(&mut self) {
        self.account.give_back(self.memory);
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let growth = desired.saturating_sub(current);
        self.last_growth = 0;
        if self.memory.saturating_add(growth) > self.most_memory {
            self.refused = Some(Refused::Memory);
            return Ok(false);
        }
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        if let Err(holders) = self.account.take(growth) {
            self.refused = Some(Refused::Pool);
            self.holders = holders;
            return Ok(false);
        }
        self.memory += growth;
        self.last_growth = growth;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        let growth = std::mem::take(&mut self.last_growth);
        self.memory -= growth;
        self.account.give_back(growth);
        tracing::debug!(target: "plugin", error = %error, "memory did not grow");
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let entries = self
            .table_entries
            .saturating_add(desired.saturating_sub(current));
        if entries > MOST_TABLE_ENTRIES {
            self.refused = Some(Refused::Table);
            return Ok(false);
        }
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        self.table_entries = entries;
        Ok(true)
    }

    fn instances(&self) -> usize {
        MOST_PARTS
    }

    fn tables(&self) -> usize {
        MOST_PARTS
    }

    fn memories(&self) -> usize {
        MOST_PARTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Budget;

    fn account(budget: &Arc<Budget>) -> Arc<Account> {
        Arc::new(budget.account("p.wasm".into()))
    }

    fn limiter(most: usize) -> Limiter {
        Limiter::new(most, account(&Arc::new(Budget::new(usize::MAX))))
    }

    #[test]
    fn memories_count_together() {
        let mut limiter = limiter(100);
        assert!(limiter.memory_growing(0, 60, None).unwrap());
        assert!(!limiter.memory_growing(0, 60, None).unwrap());
        assert_eq!(limiter.refused, Some(Refused::Memory));
        assert!(limiter.memory_growing(0, 40, None).unwrap());
        assert!(!limiter.memory_growing(60, 61, None).unwrap());
    }

    #[test]
    fn growth_that_fails_is_given_back_once() {
        let mut limiter = limiter(100);
        assert!(limiter.memory_growing(0, 90, None).unwrap());
        for _ in 0..2 {
            let error = wasmtime::Error::msg("no memory");
            limiter.memory_grow_failed(error).unwrap();
        }
        assert_eq!(limiter.memory, 0);
    }

    #[test]
    fn instances_share_what_there_is_and_give_it_back() {
        let pool = Arc::new(Budget::new(150));
        let own = account(&pool);
        let mut one = Limiter::new(100, Arc::clone(&own));
        let mut other = Limiter::new(100, own);
        assert!(one.memory_growing(0, 100, None).unwrap());
        assert!(!other.memory_growing(0, 60, None).unwrap());
        assert_eq!(other.refused, Some(Refused::Pool));
        assert_eq!(other.holders[0].bytes, 100);
        assert!(other.memory_growing(0, 50, None).unwrap());
        let error = wasmtime::Error::msg("no memory");
        other.memory_grow_failed(error).unwrap();
        assert_eq!(pool.used(), 100);
        drop((one, other));
        assert_eq!(pool.used(), 0);
    }

    #[test]
    fn the_components_own_maximum_is_not_our_limit() {
        let mut limiter = limiter(100);
        assert!(!limiter.memory_growing(0, 50, Some(40)).unwrap());
        assert!(!limiter.table_growing(0, 50, Some(40)).unwrap());
        assert_eq!(limiter.refused, None);
        assert!(
            !limiter
                .table_growing(0, MOST_TABLE_ENTRIES + 1, None)
                .unwrap()
        );
        assert_eq!(limiter.refused, Some(Refused::Table));
    }

    #[test]
    fn a_deadline_never_comes_early() {
        assert_eq!(ticks(1), 2);
        assert_eq!(ticks(10_000), 2);
        assert_eq!(ticks(1_000_000), 101);
    }
}
