//! The linear memory of all plugins together: how much each plugin uses, and which idle instances are dropped before a call fails.
//!
//! It keeps three promises:
//!
//! * Growth counts for the plugin that grows.
//! * While an instance of any plugin is idle, no growth is refused for lack of memory: idle instances are dropped first, the
//!   largest before the others.
//! * Half of the memory is divided evenly among the loaded plugins. A plugin always has its part of it, whatever others use. Beyond
//!   its part it takes from the other half, and only there it can be refused.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// How many plugins an error names.
const NAMED: usize = 3;

/// Idle instances of one plugin, which can be dropped.
pub(crate) trait IdleInstances: Send + Sync {
    /// Returns the memory of the largest one, in bytes, if there is any.
    fn largest(&self) -> Option<usize>;

    /// Drops the largest one, if there is any.
    fn drop_largest(&self);
}

/// A plugin and the memory of all its instances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PluginMemory {
    pub(crate) plugin: Arc<str>,
    pub(crate) bytes: usize,
}

/// The linear memory of all instances of a host together.
#[derive(Default)]
pub(crate) struct Budget {
    /// The maximum, in bytes.
    limit: usize,
    table: Mutex<UsageTable>,
    /// Locked while instances are dropped, so that a thread sees the memory that another thread is giving back.
    idle: Mutex<Vec<Weak<dyn IdleInstances>>>,
}

/// How much each plugin uses.
#[derive(Debug, Default)]
struct UsageTable {
    used: usize,
    next: u64,
    holders: BTreeMap<u64, PluginMemory>,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            ..Self::default()
        }
    }

    /// Returns the maximum, in bytes.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Returns the bytes that instances use.
    pub(crate) fn used(&self) -> usize {
        self.table().used
    }

    /// Adds a plugin that uses nothing yet.
    pub(crate) fn account(self: &Arc<Self>, plugin: Arc<str>) -> Account {
        let mut table = self.table();
        let number = table.next;
        table.next += 1;
        table
            .holders
            .insert(number, PluginMemory { plugin, bytes: 0 });
        Account {
            budget: Arc::clone(self),
            number,
        }
    }

    /// Adds idle instances that may be dropped if memory is short.
    pub(crate) fn add_idle(&self, idle: Weak<dyn IdleInstances>) {
        let mut all = self.idle();
        all.retain(|known| known.strong_count() > 0);
        all.push(idle);
    }

    fn table(&self) -> MutexGuard<'_, UsageTable> {
        // No panic can leave the table half changed.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Weak<dyn IdleInstances>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Budget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Budget")
            .field("limit", &self.limit)
            .field("table", &self.table())
            .finish_non_exhaustive()
    }
}

impl UsageTable {
    /// Takes bytes for a plugin, or nothing if the plugin cannot have so many.
    fn take(&mut self, number: u64, bytes: usize, limit: usize) -> bool {
        let Some(used) = self.used.checked_add(bytes).filter(|used| *used <= limit) else {
            return false;
        };
        let part = limit / 2 / self.holders.len().max(1);
        let has = self.holders.get(&number).map_or(0, |holder| holder.bytes);
        if has.saturating_add(bytes) > part {
            let others = self.holders.iter().filter(|(other, _)| **other != number);
            let reserved: usize = others
                .map(|(_, holder)| part.saturating_sub(holder.bytes))
                .sum();
            if used > limit - reserved.min(limit) {
                return false;
            }
        }
        if let Some(holder) = self.holders.get_mut(&number) {
            holder.bytes += bytes;
            self.used = used;
        }
        true
    }

    fn give_back(&mut self, number: u64, bytes: usize) {
        if let Some(holder) = self.holders.get_mut(&number) {
            let bytes = bytes.min(holder.bytes);
            holder.bytes -= bytes;
            self.used -= bytes;
        }
    }

    /// Returns the plugins that use most, the largest first.
    fn largest(&self) -> Vec<PluginMemory> {
        let mut holders: Vec<PluginMemory> = self.holders.values().cloned().collect();
        holders.retain(|holder| holder.bytes > 0);
        holders.sort_by(|a, b| b.bytes.cmp(&a.bytes).then(a.plugin.cmp(&b.plugin)));
        holders.truncate(NAMED);
        holders
    }
}

/// The memory of one plugin: of all its instances together.
#[derive(Debug)]
pub(crate) struct Account {
    budget: Arc<Budget>,
    number: u64,
}

impl Account {
    /// Returns the memory of all plugins.
    pub(crate) fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// Takes bytes. If there are not enough, idle instances are dropped until there are.
    ///
    /// # Errors
    /// The plugins that use most memory then; nothing is taken.
    pub(crate) fn take(&self, bytes: usize) -> Result<(), Vec<PluginMemory>> {
        if self.try_take(bytes) {
            return Ok(());
        }
        let idle = self.budget.idle();
        loop {
            // Once more, because another thread may have given memory back meanwhile.
            if self.try_take(bytes) {
                return Ok(());
            }
            let all = idle.iter().filter_map(Weak::upgrade);
            let largest = all
                .filter_map(|some| Some((some.largest()?, some)))
                .max_by_key(|(size, _)| *size);
            match largest {
                Some((size, some)) => {
                    tracing::debug!(
                        target: "plugin",
                        bytes = size,
                        "dropped an idle instance: memory is short"
                    );
                    some.drop_largest();
                }
                None => return Err(self.budget.table().largest()),
            }
        }
    }

    fn try_take(&self, bytes: usize) -> bool {
        let limit = self.budget.limit;
        self.budget.table().take(self.number, bytes, limit)
    }

    /// Gives back bytes that were taken.
    pub(crate) fn give_back(&self, bytes: usize) {
        self.budget.table().give_back(self.number, bytes);
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let mut table = self.budget.table();
        if let Some(holder) = table.holders.remove(&self.number) {
            table.used -= holder.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Idle instances, as sizes that are counted for an account.
    struct Sizes {
        account: Arc<Account>,
        sizes: Mutex<Vec<usize>>,
    }

    impl IdleInstances for Sizes {
        fn largest(&self) -> Option<usize> {
            self.sizes.lock().unwrap().iter().copied().max()
        }

        fn drop_largest(&self) {
            let mut sizes = self.sizes.lock().unwrap();
            sizes.sort_unstable();
            if let Some(size) = sizes.pop() {
                self.account.give_back(size);
            }
        }
    }

    fn plugin(budget: &Arc<Budget>, name: &str) -> Arc<Sizes> {
        let sizes = Arc::new(Sizes {
            account: Arc::new(budget.account(name.into())),
            sizes: Mutex::default(),
        });
        let idle: Arc<dyn IdleInstances> = sizes.clone();
        budget.add_idle(Arc::downgrade(&idle));
        sizes
    }

    #[test]
    fn the_largest_plugins_are_named() {
        let budget = Arc::new(Budget::new(1000));
        let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| plugin(&budget, name));
        for (plugin, bytes) in [(&a, 100), (&b, 500), (&c, 125)] {
            plugin.account.take(bytes).unwrap();
        }
        // The part of `d`, an eighth, is reserved.
        let named = a.account.take(200).unwrap_err();
        let named: Vec<(&str, usize)> = named
            .iter()
            .map(|holder| (&*holder.plugin, holder.bytes))
            .collect();
        assert_eq!(named, [("b", 500), ("c", 125), ("a", 100)]);
        d.account.take(125).unwrap();
        drop((a, b, c, d));
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn one_plugin_alone_can_have_everything() {
        let budget = Arc::new(Budget::new(1001));
        let only = plugin(&budget, "only");
        only.account.take(1001).unwrap();
        assert!(only.account.take(1).is_err());
        let unbounded = Arc::new(Budget::new(usize::MAX));
        let [one, other] = ["one", "other"].map(|name| plugin(&unbounded, name));
        one.account.take(1 << 40).unwrap();
        other.account.take(1 << 40).unwrap();
    }

    #[derive(Debug, Clone)]
    enum Step {
        /// A call begins, or grows.
        Grow(usize, usize),
        /// A call ends, and its instance is idle.
        Idle(usize),
        /// A call ends, and its instance is gone.
        Drop(usize),
    }

    fn steps() -> impl Strategy<Value = (usize, usize, Vec<Step>)> {
        (1..6_usize).prop_flat_map(|plugins| {
            let step = prop_oneof![
                3 => (0..plugins, 0..600_usize).prop_map(|(at, bytes)| Step::Grow(at, bytes)),
                2 => (0..plugins).prop_map(Step::Idle),
                1 => (0..plugins).prop_map(Step::Drop),
            ];
            let steps = prop::collection::vec(step, 0..80);
            (Just(plugins), 100..2000_usize, steps)
        })
    }

    proptest! {
        #[test]
        fn the_table_keeps_its_promises((count, most, steps) in steps()) {
            let budget = Arc::new(Budget::new(most));
            let plugins: Vec<Arc<Sizes>> =
                (0..count).map(|at| plugin(&budget, &at.to_string())).collect();
            // The memory of running calls.
            let mut busy: Vec<Vec<usize>> = vec![Vec::new(); count];
            let part = most / 2 / count;
            for step in steps {
                match step {
                    Step::Grow(at, bytes) => {
                        let mine: usize = busy[at].iter().sum();
                        match plugins[at].account.take(bytes) {
                            Ok(()) => busy[at].push(bytes),
                            Err(named) => {
                                // Nothing is idle any more, and its own part is always granted.
                                prop_assert!(plugins.iter().all(|one| one.largest().is_none()));
                                prop_assert!(mine + bytes > part);
                                let held: Vec<usize> = named.iter().map(|one| one.bytes).collect();
                                let mut all: Vec<usize> =
                                    busy.iter().map(|sizes| sizes.iter().sum()).collect();
                                all.retain(|bytes| *bytes > 0);
                                all.sort_unstable_by(|a, b| b.cmp(a));
                                all.truncate(NAMED);
                                prop_assert_eq!(held, all);
                            }
                        }
                    }
                    Step::Idle(at) => {
                        plugins[at].sizes.lock().unwrap().append(&mut busy[at]);
                    }
                    Step::Drop(at) => {
                        for bytes in busy[at].drain(..) {
                            plugins[at].account.give_back(bytes);
                        }
                    }
                }
                // The counts are right, for each plugin and for all.
                let mut used = 0;
                for (at, one) in plugins.iter().enumerate() {
                    let waits: usize = one.sizes.lock().unwrap().iter().sum();
                    let has = waits + busy[at].iter().sum::<usize>();
                    let table = budget.table();
                    prop_assert_eq!(table.holders[&one.account.number].bytes, has);
                    used += has;
                }
                prop_assert_eq!(budget.used(), used);
                prop_assert!(used <= most);
            }
            drop((plugins, busy));
            prop_assert_eq!(budget.used(), 0);
        }
    }

    #[test]
    fn threads_that_need_memory_at_once_all_get_idle_memory() {
        for _ in 0..50 {
            let budget = Arc::new(Budget::new(800));
            let hog = plugin(&budget, "hog");
            let others: Vec<Arc<Sizes>> =
                (0..4).map(|at| plugin(&budget, &at.to_string())).collect();
            for _ in 0..4 {
                hog.account.take(100).unwrap();
                hog.sizes.lock().unwrap().push(100);
            }
            std::thread::scope(|scope| {
                for other in &others {
                    scope.spawn(|| other.account.take(150).unwrap());
                }
            });
            assert!(budget.used() <= 800);
        }
    }
}
