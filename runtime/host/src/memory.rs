//! Linear memory and table entries of one instance, counted as they grow.

use std::sync::Arc;

use wasmtime::ResourceLimiter;

use crate::budget::{Account, PluginMemory};
use crate::limits::{MAX_PARTS, MAX_TABLE_ENTRIES};

/// A growth of an instance that a limit refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Linear memory, by the limit of the instance.
    Memory,
    /// Linear memory, by the limit of all instances together.
    Pool,
    /// Table entries.
    Table,
}

/// Counts the memory and the table entries of one instance: all its memories and tables together.
pub(crate) struct Limiter {
    /// The memory of all instances of the plugin.
    account: Arc<Account>,
    max_memory: usize,
    pub(crate) memory: usize,
    /// The last growth, which is given back if it fails after all.
    last_growth: usize,
    table_entries: usize,
    /// The last refusal since the call began.
    pub(crate) refused: Option<Refused>,
    /// The plugins with the largest memory when all instances together reached their limit.
    pub(crate) largest: Vec<PluginMemory>,
}

impl Limiter {
    pub(crate) fn new(max_memory: usize, account: Arc<Account>) -> Self {
        Self {
            account,
            max_memory,
            memory: 0,
            last_growth: 0,
            table_entries: 0,
            refused: None,
            largest: Vec::new(),
        }
    }
}

impl Limiter {
    /// Returns the limit of all instances of the host together, in bytes.
    pub(crate) fn budget_limit(&self) -> usize {
        self.account.budget().limit()
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
        if self.memory.saturating_add(growth) > self.max_memory {
            self.refused = Some(Refused::Memory);
            return Ok(false);
        }
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        if let Err(largest) = self.account.take(growth) {
            self.refused = Some(Refused::Pool);
            self.largest = largest;
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
        if entries > MAX_TABLE_ENTRIES {
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
        MAX_PARTS
    }

    fn tables(&self) -> usize {
        MAX_PARTS
    }

    fn memories(&self) -> usize {
        MAX_PARTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Budget;

    fn account(budget: &Arc<Budget>) -> Arc<Account> {
        Arc::new(budget.account("p.wasm".into()))
    }

    fn limiter(max: usize) -> Limiter {
        Limiter::new(max, account(&Arc::new(Budget::new(usize::MAX))))
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
    fn instances_share_the_budget_and_give_it_back() {
        let pool = Arc::new(Budget::new(150));
        let own = account(&pool);
        let mut one = Limiter::new(100, Arc::clone(&own));
        let mut other = Limiter::new(100, own);
        assert!(one.memory_growing(0, 100, None).unwrap());
        assert!(!other.memory_growing(0, 60, None).unwrap());
        assert_eq!(other.refused, Some(Refused::Pool));
        assert_eq!(other.largest[0].bytes, 100);
        assert!(other.memory_growing(0, 50, None).unwrap());
        let error = wasmtime::Error::msg("no memory");
        other.memory_grow_failed(error).unwrap();
        assert_eq!(pool.used(), 100);
        drop((one, other));
        assert_eq!(pool.used(), 0);
    }

    #[test]
    fn the_maximum_of_the_component_is_not_a_limit_of_the_host() {
        let mut limiter = limiter(100);
        assert!(!limiter.memory_growing(0, 50, Some(40)).unwrap());
        assert!(!limiter.table_growing(0, 50, Some(40)).unwrap());
        assert_eq!(limiter.refused, None);
        assert!(
            !limiter
                .table_growing(0, MAX_TABLE_ENTRIES + 1, None)
                .unwrap()
        );
        assert_eq!(limiter.refused, Some(Refused::Table));
    }
}
